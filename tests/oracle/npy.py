"""Writes tests/fixtures/npy/: small arrays as NumPy saves them. Element k in row-major order
is 3 k - 7 (unsigned: 3 k; bool: 3 k is even; reals: (3 k - 7) / 4)."""
import os
import sys

import numpy as np

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "npy")
os.makedirs(out, exist_ok=True)
if sys.byteorder != "little":
    sys.exit("run this on a little-endian machine")


def save(name, dtype, shape, version=None, fortran=False):
    k = 3 * np.arange(int(np.prod(shape)))
    kind = np.dtype(dtype).kind
    a = (k - 7) / 4 if kind == "f" else k % 2 == 0 if kind == "b" else k if kind == "u" else k - 7
    a = a.astype(dtype).reshape(shape)
    with open(os.path.join(out, name + ".npy"), "wb") as f:
        np.lib.format.write_array(f, np.asfortranarray(a) if fortran else a, version=version)


for code in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8".split():
    save(code, "<" + code, (2, 3))
save("b1", "?", (2, 3))
for code in "f2 f4 f8 i2 i4 i8 u2 u4 u8".split():
    save("big-" + code, ">" + code, (2, 3))
save("scalar", "<f4", ())
save("vector", "<f8", (5,))
save("empty", "<f4", (3, 0, 2))
save("eight", "<i4", (2, 1, 2, 1, 2, 1, 2, 1))
save("fortran", "<f4", (3, 4, 5), fortran=True)
save("fortran-big", ">i2", (3, 4), fortran=True)
save("version2", "<f4", (2, 3), version=(2, 0))
save("version3", "<f4", (2, 3), version=(3, 0))
save("long", "<u2", (40, 33), fortran=True)
