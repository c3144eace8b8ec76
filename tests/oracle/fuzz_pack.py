"""The inputs that a fuzzer found, in one file: each as its size (32 bits, the least significant byte first)
and its bytes.

    fuzz_pack.py pack FOLDER tests/fixtures/fuzz/NAME.pack
    fuzz_pack.py unpack tests/fixtures/fuzz/NAME.pack FOLDER

To add to them, build tests/fuzz_NAME with clang and CFLAGS='-g -O1 -fsanitize=fuzzer-no-link', unpack, run it
over the folder, minimise with -merge=1, and pack."""
import os
import struct
import sys

if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
    sys.exit(__doc__)
if sys.argv[1] == "pack":
    inputs = []
    for name in os.listdir(sys.argv[2]):
        with open(os.path.join(sys.argv[2], name), "rb") as f:
            inputs.append(f.read())
    inputs.sort(key=lambda b: (len(b), b))
    with open(sys.argv[3], "wb") as f:
        for b in inputs:
            f.write(struct.pack("<I", len(b)) + b)
else:
    os.makedirs(sys.argv[3], exist_ok=True)
    with open(sys.argv[2], "rb") as f:
        data = f.read()
    at = n = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        with open(os.path.join(sys.argv[3], "%05d" % n), "wb") as f:
            f.write(data[at + 4 : at + 4 + size])
        at += 4 + size
        n += 1
