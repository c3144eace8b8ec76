"""Prints tests/print_table.h: arrays and the text that NumPy gives them."""
import numpy as np

np.set_printoptions(precision=4)
f4, f8, i4, u1 = np.float32, np.float64, np.int32, np.uint8
nan, inf = np.nan, np.inf
CASES = [
    (f4, [1, 2, 3]), (f4, [1.5, -2.25, 3]), (f4, [0.1, 0.25, 1 / 3]), (f8, [0.1, 0.25, 1 / 3]),
    (f4, [[1, 2], [3, 4]]), (f4, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]), (f4, [[[[1.5]]], [[[-1]]]]),
    (f4, [nan, inf, -inf, 1]), (f4, [nan, 1]), (f4, [inf, 1]), (f4, [nan, nan]), (f8, [-inf]), (f4, [nan, 100.5]),
    (f4, [1e-5, 1]), (f4, [1e8, 1]), (f4, [99999999, 1]), (f8, [99999999, 98765432]), (f4, [1, 1000]),
    (f4, [1, 1001]), (f8, [1e-4, 0.05]), (f4, [1e-4, 0.05]), (f8, [1e100, 1, -inf]), (f8, [1e-300, 0, nan]),
    (f4, [0, -0.0]), (f8, [2.00005, 1.00015, 0.99995]), (f4, [0.03125, 0.09375]), (f4, [123456.78, 3000]),
    (f4, [16777216, 33554432]), (f4, [67108872]), (f8, [3.14159265, 2.71828, 0]), (f8, [0, 0]), (f4, [1e-45]),
    (f4, [3.4028235e38]), (f8, [-1.5e-7, 2.5]), (f8, [9.99999, 0.99996]),
    (i4, [1, -20, 300]), (i4, [[2147483647, -2147483648], [0, 1]]), (u1, [0, 255, 7]), (i4, [-1]),
    (f4, np.zeros((0,))), (f8, np.zeros((2, 0, 3))), (i4, np.zeros((0, 2))),
    (f4, 1.0), (f4, 3.14159265), (f8, 3.141592653589793), (f4, 1e-5), (f4, 1e16), (f4, 123456789), (f8, 1e15),
    (f8, -0.0), (f8, 1e-4), (f4, 1e-4), (f8, 9.999e-5), (f8, 123.456), (f4, nan), (f8, -inf), (i4, -5), (u1, 200),
    (f8, 5e-324), (f8, 1.7976931348623157e308), (f4, 0.0),
]
RANGES = [  # dtype, shape: 0, 1, 2, ... in that shape, times a factor
    (i4, (1000,), 1), (i4, (1001,), 1), (f4, (1001,), 1), (f4, (60, 30), 1), (i4, (8, 7, 20), 1), (f4, (7, 200), 0.5),
    (f4, (30,), 1.25), (i4, (4, 40), 1), (i4, (400, 3), 1), (f8, (2, 2, 2, 2, 2), 0.1), (i4, (8, 9, 2, 8), 1),
    (f4, (1, 1, 40), 1000.5),
]


def c_string(text):
    lines = text.split("\n")
    out = ['"' + line + ('\\n"' if i + 1 < len(lines) else '"') for i, line in enumerate(lines)]
    return "\n     ".join(out)


def c_number(x):
    if np.isnan(x):
        return "NAN"
    if np.isinf(x):
        return "INFINITY" if x > 0 else "-INFINITY"
    return repr(float(x)).replace(".0", "") if float(x).is_integer() and abs(x) < 1e15 and x != 0 else repr(float(x))


NAMES = {f4: "ET_F32", f8: "ET_F64", i4: "ET_I32", u1: "ET_U8"}
print("/* Made by tests/oracle/print.py. */\n")
print("static const struct literal literals[] = {")
for dtype, values in CASES:
    a = np.array(values, dtype=dtype)
    shape = ", ".join(str(n) for n in a.shape) or "0"
    numbers = ", ".join(c_number(x) for x in a.ravel()) or "0"
    print(f"    {{{NAMES[dtype]}, {a.ndim}, {{{shape}}}, {{{numbers}}},\n     {c_string(str(a))}}},")
print("};\n")
print("static const struct range ranges[] = {")
for dtype, shape, factor in RANGES:
    a = (np.arange(np.prod(shape)) * factor).astype(dtype).reshape(shape)
    dims = ", ".join(str(n) for n in shape)
    print(f"    {{{NAMES[dtype]}, {len(shape)}, {{{dims}}}, {factor},\n     {c_string(str(a))}}},")
print("};")
