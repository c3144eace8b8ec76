#!/usr/bin/env python3
"""Prints the polynomial coefficients of tensor/kernels/math.h.

Each is the minimax polynomial of its function for a weighted error (Lawson's
iteration in 40 digits). Coefficients are rounded to float32 one by one from the constant term
up, the rest fitted again after each, so that rounding costs almost nothing.
Needs mpmath; nobody needs this to build or to test.
"""
import struct
import sys

import mpmath as mp

mp.mp.dps = 40


def f32(v):
    return mp.mpf(struct.unpack('f', struct.pack('f', float(v)))[0])


def f64(v):
    return mp.mpf(float(v))


def minimax(f, w, lo, hi, powers, rounds=60):
    """c making max |w(x) (f(x) - sum c_i x^powers_i)| small: least squares whose points
    gain weight where the error is large (Lawson)."""
    n, m = len(powers), 12 * len(powers) + 20
    xs = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / m) for i in range(m)]
    rows = [[w(x) * x ** p for p in powers] for x in xs]
    goal = [w(x) * f(x) for x in xs]
    lawson, best = [mp.mpf(1) / m] * m, None
    for _ in range(rounds):
        a, b = mp.matrix(n, n), mp.matrix(n, 1)
        for i in range(n):
            for j in range(i + 1):
                a[i, j] = a[j, i] = mp.fsum(g * r[i] * r[j] for g, r in zip(lawson, rows))
            b[i] = mp.fsum(g * r[i] * y for g, r, y in zip(lawson, rows, goal))
        c = list(mp.lu_solve(a, b))
        err = [abs(mp.fdot(c, r) - y) for r, y in zip(rows, goal)]
        if best is None or max(err) < best[1]:
            best = (c, max(err))
        lawson = [g * e for g, e in zip(lawson, err)]
        total = mp.fsum(lawson)
        if total == 0:
            break
        lawson = [g / total for g in lawson]
    return best


def fit(name, f, w, lo, hi, powers, rnd=f32):
    lo, hi, fixed, powers = mp.mpf(lo), mp.mpf(hi), [], list(powers)
    _, ideal = minimax(f, w, lo, hi, powers)
    while powers:
        g = lambda x: f(x) - sum(c * x ** p for c, p in fixed)
        c, _ = minimax(g, w, lo, hi, powers)
        fixed.append((rnd(c[0]), powers.pop(0)))
    xs = [lo + (hi - lo) * i / 2000 for i in range(2001)]
    got = max(abs(w(x) * (f(x) - sum(c * x ** p for c, p in fixed))) for x in xs if w(x) < mp.mpf(10) ** 30)
    print(f"{name}: error 2^{float(mp.log(got, 2)):.2f}, unrounded 2^{float(mp.log(ideal, 2)):.2f}")
    for c, p in fixed:
        print(f"    x^{p}: {float(c):.9g}{'f' if rnd is f32 else ''}   {float(c).hex()}" if rnd is f32
              else f"    x^{p}: {float(c):.17g}")
    return fixed


def tiny(f, x0=mp.mpf(10) ** -12):
    """f, evaluated beside 0 where its formula is 0/0."""
    return lambda x: f(x if abs(x) > x0 else x0)


if __name__ == "__main__":
    which = sys.argv[1:]

    def job(name, *a, **k):
        if not which or name in which:
            fit(name, *a, **k)

    h = mp.log(2) / 2 * mp.mpf('1.002')
    # e^x = 1 + x + x^2 P(x)
    job("exp", tiny(lambda x: (mp.expm1(x) - x) / x ** 2, mp.mpf(10) ** -8), lambda x: x * x / mp.exp(x) + mp.mpf(10) ** -12, -h, h, range(5))
    # expm1: the error counts relative to x
    job("expm1", tiny(lambda x: (mp.expm1(x) - x) / x ** 2, mp.mpf(10) ** -8), lambda x: abs(x) + mp.mpf(10) ** -12, -h, h, range(6))
    # ln(1 + x) = x + x^2 P(x)
    job("log", tiny(lambda x: (mp.log1p(x) - x) / x ** 2, mp.mpf(10) ** -8), lambda x: abs(x) + mp.mpf(10) ** -12, -mp.mpf(1) / 3, mp.mpf(1) / 3, range(9))
    # sin x = x + x^3 P(x^2), cos x = 1 - x^2/2 + x^4 P(x^2), over x^2
    q = (mp.pi / 4 * mp.mpf('1.001')) ** 2
    job("sin", tiny(lambda u: (mp.sin(mp.sqrt(u)) / mp.sqrt(u) - 1) / u, mp.mpf(10) ** -8), lambda u: u + mp.mpf(10) ** -12, 0, q, range(3))
    job("cos", tiny(lambda u: (mp.cos(mp.sqrt(u)) - 1 + u / 2) / u ** 2, mp.mpf(10) ** -8), lambda u: u * u + mp.mpf(10) ** -12, 0, q, range(3))
    # erf x = x + x P(x^2) below 0.9375, 1 - exp(-x - x P(x)) above
    job("erf_small", tiny(lambda u: mp.erf(mp.sqrt(u)) / mp.sqrt(u) - 1, mp.mpf(10) ** -20), lambda u: mp.mpf(1), 0, mp.mpf('0.9375') ** 2, range(6))
    job("erf_large", lambda x: -mp.log(mp.erfc(x)) / x - 1, lambda x: mp.erfc(x) * x, mp.mpf('0.9375'), 4, range(7))
    # cdf(-a) = exp(-a^2/2) P(u) / (1 + c a), u = (a - k) / (a + k)
    k, c = mp.mpf(9) / 2, mp.mpf(5) / 4
    a = lambda u: k * (1 + u) / (1 - u)
    g = lambda u: mp.erfc(a(u) / mp.sqrt(2)) / 2 * mp.exp(a(u) ** 2 / 2) * (1 + c * a(u))
    job("cdf", g, lambda u: 1 / g(u), -1, (mp.mpf('14.5') - k) / (mp.mpf('14.5') + k), range(10))
    # log2((1 + s) / (1 - s)) = s P(s^2) and 2^f, for pow in double
    w = (3 - 2 * mp.sqrt(2)) * mp.mpf('1.0001')
    job("log2", tiny(lambda u: mp.log((1 + mp.sqrt(u)) / (1 - mp.sqrt(u)), 2) / mp.sqrt(u), mp.mpf(10) ** -20), lambda u: mp.mpf(1), 0, w * w, range(6), rnd=f64)
    job("exp2", lambda x: mp.mpf(2) ** x, lambda x: mp.mpf(2) ** -x, -mp.mpf('0.5'), mp.mpf('0.5'), range(8), rnd=f64)
