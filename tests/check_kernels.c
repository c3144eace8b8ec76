/* Elementwise kernels of every table of this machine against their definitions in double. */
#include "config.h"

#include <stdio.h>

#include "tensor/rng.h"
#include "tests/accuracy.h"
#include "tests/kernel_arrays.h"
#include "tests/suite.h"

static const char *const unary_names[ET_N_UNARY] = {
    "neg",      "abs",         "square", "reciprocal", "exp",       "expm1",      "log", "log1p",
    "sqrt",     "rsqrt",       "sin",    "cos",        "tanh",      "sigmoid",    "erf", "relu",
    "softplus", "log_sigmoid", "elu",    "gelu",       "gelu_tanh", "quick_gelu", "silu"};

/* f(x) by its definition. */
static double define(et_unary op, double x)
{
    double scale;

    switch (op) {
    case ET_U_NEG: return -x;
    case ET_U_ABS: return fabs(x);
    case ET_U_SQUARE: return x * x;
    case ET_U_RELU: return x > 0 ? x : 0;
    default:
        for (int f = 0; f < ACCURACY_FNS; f++)
            if (accuracy_fns[f].op == op && !accuracy_fns[f].slope)
                return accuracy_fns[f].ref(x, &scale);
        ck_abort_msg("unary %d has no definition", (int)op);
        return NAN;
    }
}

/* f'(x) by its definition; x the argument, y the value. */
static double define_slope(et_unary op, double x)
{
    double scale, y = define(op, x);

    switch (op) {
    case ET_U_NEG: return -1;
    case ET_U_ABS: return x > 0 ? 1 : x < 0 ? -1 : 0;
    case ET_U_SQUARE: return 2 * x;
    case ET_U_RECIPROCAL: return -1 / (x * x);
    case ET_U_EXP: return exp(x);
    case ET_U_EXPM1: return exp(x);
    case ET_U_LOG: return 1 / x;
    case ET_U_LOG1P: return 1 / (1 + x);
    case ET_U_SQRT: return 0.5 / sqrt(x);
    case ET_U_RSQRT: return -0.5 / (x * sqrt(x));
    case ET_U_SIN: return cos(x);
    case ET_U_COS: return -sin(x);
    case ET_U_TANH: return 1 / (cosh(x) * cosh(x));
    case ET_U_SIGMOID: return y * (1 - y);
    case ET_U_ERF: return 2 / sqrt(3.14159265358979323846) * exp(-x * x);
    case ET_U_RELU: return x > 0;
    case ET_U_SOFTPLUS: return 1 / (1 + exp(-x));
    case ET_U_LOG_SIGMOID: return 1 / (1 + exp(x));
    case ET_U_ELU: return x > 0 ? 1 : exp(x);
    default:
        for (int f = 0; f < ACCURACY_FNS; f++)
            if (accuracy_fns[f].op == op && accuracy_fns[f].slope)
                return accuracy_fns[f].ref(x, &scale);
        ck_abort_msg("unary %d has no derivative", (int)op);
        return NAN;
    }
}

/* True where backward reads the value, not the argument. */
static int reads_value(et_unary op)
{
    return op == ET_U_RECIPROCAL || op == ET_U_EXP || op == ET_U_EXPM1 || op == ET_U_SQRT ||
           op == ET_U_RSQRT || op == ET_U_TANH || op == ET_U_SIGMOID || op == ET_U_RELU || op == ET_U_ELU;
}

static int needs_positive(et_unary op)
{
    return op == ET_U_LOG || op == ET_U_LOG1P || op == ET_U_SQRT || op == ET_U_RSQRT;
}

static array x, y, z, a, b, dy;

/* Values right, the end respected, in place allowed, the same bits wherever a piece starts. */
START_TEST(unary)
{
    const et_kernels *k = table_at(_i);
    int64_t lengths[16];
    const int n_lengths = lengths_of(k, lengths);

    for (int op = 0; op < ET_N_UNARY; op++) {
        const char *name = unary_names[op];

        fill_random(&x, k->dtype, 1 + (uint32_t)op, 6);
        for (int64_t i = 0; needs_positive((et_unary)op) && i < ARRAY_MAX; i++)
            put(&x, i, fabs(get(&x, i)) + 1e-3);
        fill_random(&y, k->dtype, 77, 1);
        k->unary[op](1000, at(&x, 0), at(&y, 0));
        for (int64_t i = 0; i < 1000; i++) {
            double exact = define((et_unary)op, get(&x, i));
            /* gelu_tanh and quick_gelu lose |u| ulp in their tails */
            assert_near(get(&y, i), exact, 32 * eps_of(k) * fabs(exact) + 1e-300, "%s %s(%g)", k->name, name,
                        get(&x, i));
        }
        for (int l = 0; l < n_lengths; l++) {
            const int64_t n = lengths[l], from = 3 * l; /* another alignment, another piece */

            if (n < 0 || from + n > 1000)
                continue;
            fill_random(&z, k->dtype, 99, 1);
            a = z;
            k->unary[op](n, at(&x, from), at(&z, from));
            ck_assert_msg(same_bits(&z, &y, from, from + n), "%s %s: a piece of %d has other bits", k->name,
                          name, (int)n);
            ck_assert_msg(same_bits(&z, &a, from + n, ARRAY_MAX), "%s %s wrote beyond %d", k->name, name,
                          (int)n);
            z = x;
            k->unary[op](n, at(&z, from), at(&z, from));
            ck_assert_msg(same_bits(&z, &y, from, from + n), "%s %s differs in place", k->name, name);
        }
    }
}
END_TEST

START_TEST(unary_backward)
{
    const et_kernels *k = table_at(_i);
    int64_t lengths[16];
    const int n_lengths = lengths_of(k, lengths);

    for (int op = 0; op < ET_N_UNARY; op++) {
        const char *name = unary_names[op];

        fill_random(&x, k->dtype, 11 + (uint32_t)op, 4);
        fill_random(&dy, k->dtype, 5, 2);
        put(&x, 7, 0); /* a kink or an ordinary point */
        for (int64_t i = 0; (needs_positive((et_unary)op) || op == ET_U_RECIPROCAL) && i < ARRAY_MAX; i++)
            put(&x, i, fabs(get(&x, i)) + 0.1);
        a = x;
        for (int64_t i = 0; reads_value((et_unary)op) && i < 1000; i++)
            put(&a, i, define((et_unary)op, get(&x, i)));
        fill_random(&b, k->dtype, 3, 1);
        for (int acc = 0; acc < 2; acc++) {
            y = b;
            k->unary_bwd[op](1000, at(&a, 0), at(&dy, 0), at(&y, 0), acc);
            for (int64_t i = 0; i < 1000; i++) {
                double exact = get(&dy, i) * define_slope((et_unary)op, get(&x, i));
                double before = acc ? get(&b, i) : 0;

                /* 1 - y^2 and the like have lost what y's rounding took */
                assert_near(get(&y, i), exact + before,
                            eps_of(k) * (32 * fabs(exact) + 8 * fabs(get(&dy, i)) + 1),
                            "%s %s' at %g, acc %d", k->name, name, get(&x, i), acc);
            }
            for (int l = 0; l < n_lengths; l++) {
                const int64_t n = lengths[l];

                if (n < 0)
                    continue;
                z = b;
                k->unary_bwd[op](n, at(&a, 5), at(&dy, 5), at(&z, 5), acc);
                ck_assert_msg(same_bits(&z, &y, 5, n + 5 < 1000 ? n + 5 : 1000), "%s %s' differs by piece",
                              k->name, name);
                ck_assert_msg(same_bits(&z, &b, n + 5, ARRAY_MAX), "%s %s' wrote beyond %d", k->name, name,
                              (int)n);
            }
            if (!acc) {
                z = dy;
                k->unary_bwd[op](999, at(&a, 0), at(&z, 0), at(&z, 0), 0);
                ck_assert_msg(same_bits(&z, &y, 0, 999), "%s %s' differs when dx is dy", k->name, name);
            }
        }
    }
    k->unary_bwd[ET_U_NEG](10, NULL, at(&dy, 0), at(&z, 0), 0);
    ck_assert(get(&z, 9) == -get(&dy, 9));
}
END_TEST

/* Value and slope at once: the same bits as one after the other. */
START_TEST(unary_both)
{
    const et_kernels *k = table_at(_i);

    fill_random(&x, k->dtype, 21, 9);
    fill_random(&dy, k->dtype, 1, 0);
    for (int64_t i = 0; i < 1000; i++)
        put(&dy, i, 1);
    for (int op = 0; op < ET_N_UNARY; op++) {
        if (op != ET_U_GELU && op != ET_U_GELU_TANH && op != ET_U_QUICK_GELU && op != ET_U_SILU) {
            ck_assert_ptr_null((void *)(intptr_t)k->unary_d[op]);
            continue;
        }
        k->unary_d[op](999, at(&x, 0), at(&y, 0), at(&z, 0));
        k->unary[op](999, at(&x, 0), at(&a, 0));
        k->unary_bwd[op](999, at(&x, 0), at(&dy, 0), at(&b, 0), 0);
        a.dtype = b.dtype = y.dtype = z.dtype = k->dtype;
        ck_assert_msg(same_bits(&y, &a, 0, 999), "%s %s", k->name, unary_names[op]);
        ck_assert_msg(same_bits(&z, &b, 0, 999), "%s %s'", k->name, unary_names[op]);
    }
}
END_TEST

/* Bounds over floats of every exponent: doc/accuracy.md. */
START_TEST(ulp_bounds)
{
    const et_kernels *k = table_at(_i);

    if (k->dtype != ET_F32)
        return;
    for (int f = 0; f < ACCURACY_FNS; f++) {
        const accuracy_fn *fn = &accuracy_fns[f];
        accuracy_result r = accuracy_sweep(k, fn, (uint64_t)f, UINT64_C(1) << 32, 16381);

        ck_assert_msg(r.worst <= fn->bound, "%s %s(%a) = %.9g: %g ulp, bound %g", k->name, fn->name,
                      (double)r.at, (double)r.got, r.worst, fn->bound);
    }
}
END_TEST

static const double specials[] = {
    0.0,      -0.0,           1,        -1,        0.5,     -0.5, 2,     -2,   3,    -3,       1e-45,
    -1e-45,   1.17549435e-38, 5e-39,    3.4e38,    -3.4e38, 88.9, -88.9, -104, 1e30, 16777216, 16777217,
    -8388609, 100000,         INFINITY, -INFINITY, NAN};
enum { N_SPECIALS = sizeof specials / sizeof specials[0] };

/* Infinities, NaN, subnormals; zeros keep their signs where the definition does. */
START_TEST(special_values)
{
    const et_kernels *k = table_at(_i);

    x.dtype = y.dtype = k->dtype;
    for (int op = 0; op < ET_N_UNARY; op++) {
        for (int i = 0; i < N_SPECIALS; i++)
            put(&x, i, specials[i]);
        k->unary[op](N_SPECIALS, at(&x, 0), at(&y, 0));
        for (int i = 0; i < N_SPECIALS; i++) {
            double v = get(&x, i), got = get(&y, i), exact = define((et_unary)op, v);

            if (op == ET_U_RELU && isnan(v))
                exact = NAN;
            ck_assert_msg(isnan(exact) == isnan(got), "%s %s(%g) = %g, not %g", k->name, unary_names[op], v,
                          got, exact);
            if (k->dtype == ET_F32)
                exact = (double)(float)exact;
            ck_assert_msg(isinf(exact) == isinf(got), "%s %s(%g) = %g, not %g", k->name, unary_names[op], v,
                          got, exact);
            if (v == 0 && exact == 0 && op != ET_U_RELU && op != ET_U_ELU)
                ck_assert_msg(got == 0 && !signbit(got) == !signbit(exact), "%s %s(%g) = %g", k->name,
                              unary_names[op], v, got);
            if (k->unary_d[op] && !isnan(v)) {
                k->unary_d[op](1, at(&x, i), at(&z, 0), at(&a, 0));
                a.dtype = k->dtype;
                ck_assert_msg(isfinite(get(&a, 0)), "%s %s'(%g) = %g", k->name, unary_names[op], v,
                              get(&a, 0));
            }
        }
    }
}
END_TEST

START_TEST(power)
{
    const et_kernels *k = table_at(_i);
    double worst = 0;
    uint32_t seed = 4;

    x.dtype = y.dtype = z.dtype = a.dtype = k->dtype;
    for (int i = 0; i < N_SPECIALS; i++)
        for (int j = 0; j < N_SPECIALS; j++) {
            double exact;

            put(&x, 0, specials[i]);
            put(&y, 0, specials[j]);
            exact = pow(get(&x, 0), get(&y, 0));
            for (int lane = 0; lane < 9; lane++) {
                put(&x, lane, specials[i]);
                put(&y, lane, specials[j]);
            }
            k->pow(9, at(&x, 0), 1, at(&y, 0), 1, at(&z, 0));
            if (k->dtype == ET_F32) {
                float f = (float)exact, got = (float)get(&z, 8);
                ck_assert_msg(
                    accuracy_ulp(got, exact, exact) <= 0.55 && (isnan(exact) || !signbit(f) == !signbit(got)),
                    "%s pow(%g, %g) = %g, not %g", k->name, specials[i], specials[j], (double)got, exact);
            } else {
                assert_near(get(&z, 8), exact, 1e-15 * fabs(exact), "pow(%g, %g)", specials[i], specials[j]);
            }
        }
    for (int e = -3; e <= 5; e++) { /* one exponent for all */
        put(&y, 0, e);
        for (int i = 0; i < 1000; i++)
            put(&x, i, i < N_SPECIALS ? specials[i] : (i & 1 ? -1 : 1) * exp(22 * draw(&seed)));
        for (int n = 1; n <= 1000; n += n < 40 ? 1 : 480) {
            put(&z, n, 77);
            k->pow(n, at(&x, 0), 1, at(&y, 0), 0, at(&z, 0));
            ck_assert(get(&z, n) == 77);
            for (int i = 0; i < n; i++) {
                const double exact = pow(get(&x, i), e), got = get(&z, i);
                ck_assert_msg(k->dtype == ET_F32
                                  ? accuracy_ulp((float)got, exact, exact) <= 0.51
                                  : got == exact || fabs(got - exact) <= 1e-15 * fabs(exact) ||
                                        (isnan(got) && isnan(exact)),
                              "%s pow(%g, %d) = %g, not %g", k->name, get(&x, i), e, got, exact);
                ck_assert(isnan(exact) || !signbit(got) == !signbit(exact));
            }
        }
    }
    if (k->dtype != ET_F32)
        return;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 1000; i++) {
            put(&x, i, exp(88 * draw(&seed)));
            put(&y, i, pow(2, 8 * draw(&seed)) * (draw(&seed) < 0 ? -1 : 1));
            if (round & 1) /* so that results are of every size */
                put(&y, i, 87 * draw(&seed) / log(get(&x, i)));
        }
        k->pow(1000, at(&x, 0), 1, at(&y, 0), 1, at(&z, 0));
        for (int i = 0; i < 1000; i++) {
            double exact = pow(get(&x, i), get(&y, i)), error = accuracy_ulp((float)get(&z, i), exact, exact);
            worst = error > worst ? error : worst;
        }
    }
    ck_assert_msg(worst <= 0.51, "%s pow: %g ulp", k->name, worst);
}
END_TEST

/* Broadcasting in four ways, tails, in place on either side. */
START_TEST(binary)
{
    const et_kernels *k = table_at(_i);
    int64_t lengths[16];
    const int n_lengths = lengths_of(k, lengths);

    for (int op = 0; op < ET_N_BINARY; op++)
        for (int l = 0; l < n_lengths; l++)
            for (int s = 0; s < 4; s++) {
                const int64_t n = lengths[l];
                const int sa = s & 1, sb = s >> 1;

                if (n < 0)
                    continue;
                fill_random(&a, k->dtype, 31, 3);
                fill_random(&b, k->dtype, 32, 3);
                put(&a, 3, NAN);
                put(&b, 4, NAN);
                put(&a, 5, INFINITY);
                put(&b, 6, -INFINITY);
                fill_random(&y, k->dtype, 33, 3);
                z = y;
                k->binary[op](n, at(&a, 0), sa, at(&b, 0), sb, at(&y, 0));
                for (int64_t i = 0; i < n; i++) {
                    double p = get(&a, sa * i), q = get(&b, sb * i), exact;

                    exact = op == ET_B_ADD                           ? p + q
                            : op == ET_B_SUB                         ? p - q
                            : op == ET_B_MUL                         ? p * q
                            : op == ET_B_DIV                         ? p / q
                            : isnan(p + q) && !isinf(p) && !isinf(q) ? NAN
                            : op == ET_B_MIN                         ? (p < q ? p : q)
                                                                     : (p > q ? p : q);
                    if (k->dtype == ET_F32)
                        exact = (double)(float)exact; /* rounding twice is harmless for + - * / */
                    assert_near(get(&y, i), exact, 0, "%s binary %d of %g, %g", k->name, op, p, q);
                }
                ck_assert(same_bits(&y, &z, n, ARRAY_MAX));
                if (sa) {
                    z = a;
                    k->binary[op](n, at(&z, 0), sa, at(&b, 0), sb, at(&z, 0));
                    ck_assert(same_bits(&z, &y, 0, n));
                }
                if (sb) {
                    z = b;
                    k->binary[op](n, at(&a, 0), sa, at(&z, 0), sb, at(&z, 0));
                    ck_assert(same_bits(&z, &y, 0, n));
                }
            }
}
END_TEST

/* Random words in blocks are those of et_philox one by one, past a carry of the counter's lower half too;
 * bytes that say whether a word lies in a range, its ends included. */
START_TEST(random_words)
{
    const et_kernels *k = table_at(_i);
    const uint64_t seed = UINT64_C(0x0123456789ABCDEF), stream = UINT64_C(0xFEDCBA9876543210);
    const uint64_t counters[] = {0, 5, UINT64_C(0xFFFFFFF8), UINT64_MAX - 3};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t words[4 * ET_PHILOX_BLOCKS + 1], expected[4];
    uint8_t inside[4 * ET_PHILOX_BLOCKS + 1];

    for (size_t c = 0; k->philox && c < sizeof counters / sizeof *counters; c++) {
        words[4 * ET_PHILOX_BLOCKS] = 77;
        k->philox(seed, stream, counters[c], words);
        for (int b = 0; b < ET_PHILOX_BLOCKS; b++) {
            const uint64_t n = counters[c] + (uint64_t)b;
            et_philox((const uint32_t[]){(uint32_t)n, (uint32_t)(n >> 32), (uint32_t)stream,
                                         (uint32_t)(stream >> 32)}, key,
                      expected);
            ck_assert_mem_eq(words + 4 * b, expected, sizeof expected);
        }
        ck_assert_uint_eq(words[4 * ET_PHILOX_BLOCKS], 77);
    }
    for (int64_t n = 0; n <= 4 * ET_PHILOX_BLOCKS; n++) {
        uint32_t seed32 = 3;
        for (int64_t i = 0; i < n; i++)
            words[i] = i % 5 == 0   ? 1000
                       : i % 5 == 1 ? 3000000000
                       : i % 5 == 2 ? 999
                       : i % 5 == 3 ? 3000000001
                                    : (uint32_t)(int64_t)(draw(&seed32) * 2e9);
        memset(inside, 7, sizeof inside);
        k->between(n, words, 1000, 3000000000, inside);
        for (int64_t i = 0; i < n; i++)
            ck_assert_uint_eq(inside[i], words[i] >= 1000 && words[i] <= 3000000000);
        if (n < 4 * ET_PHILOX_BLOCKS)
            ck_assert_uint_eq(inside[n], 7);
        k->between(n, words, 0, UINT32_MAX, inside);
        for (int64_t i = 0; i < n; i++)
            ck_assert_uint_eq(inside[i], 1);
    }
}
END_TEST

/* fill, axpby, affine, mul_acc, masked_fill, where, clamp and its slope, mask_scale. */
START_TEST(others)
{
    const et_kernels *k = table_at(_i);
    static uint8_t mask[ARRAY_MAX + ARRAY_GUARD];
    int64_t lengths[16];
    const int n_lengths = lengths_of(k, lengths);
    const double eps = eps_of(k);
    uint32_t seed = 8;

    for (int64_t i = 0; i < ARRAY_MAX + ARRAY_GUARD; i++)
        mask[i] = draw(&seed) < 0 ? 0 : (uint8_t)(i % 255 + 1);
    for (int l = 0; l < n_lengths; l++) {
        const int64_t n = lengths[l];

        if (n < 0)
            continue;
        fill_random(&a, k->dtype, 41, 3);
        fill_random(&b, k->dtype, 42, 3);
        put(&a, 2, NAN);
        put(&a, 1, 1.5);
        put(&a, 4, -0.5);
#define RUN(call, expected, tol)                                                                          \
    do {                                                                                                  \
        fill_random(&y, k->dtype, 43, 3);                                                                 \
        z = y;                                                                                            \
        call;                                                                                             \
        for (int64_t i = 0; i < n; i++) {                                                                 \
            const double p = get(&a, i), q = get(&b, i), old = get(&z, i);                                \
            (void)p, (void)q, (void)old;                                                                  \
            assert_near(get(&y, i), (expected),                                                           \
                        (tol)*eps *(1 + (isnan(p) ? 0 : fabs(p) * fabs(q)) + fabs(old)),                  \
                        "%s: %s [%d] of %d", k->name, #call, (int)i, (int)n);                             \
        }                                                                                                 \
        ck_assert_msg(same_bits(&y, &z, n, ARRAY_MAX), "%s: %s wrote beyond %d", k->name, #call, (int)n); \
    } while (0)
        RUN(k->fill(n, 0.5, at(&y, 0)), 0.5, 0);
        RUN(k->axpby(n, 0.75, at(&a, 0), 0, at(&y, 0)), 0.75 * p, 1);
        RUN(k->axpby(n, 0.75, at(&a, 0), 1, at(&y, 0)), 0.75 * p + old, 1);
        RUN(k->axpby(n, 0.75, at(&a, 0), -2, at(&y, 0)), 0.75 * p - 2 * old, 2);
        RUN(k->affine(n, at(&a, 0), 0.75, -2, at(&y, 0)), 0.75 * p - 2, 2);
        RUN(k->mul_acc(n, at(&a, 0), 1, at(&b, 0), 1, at(&y, 0), 0), p * q, 1);
        RUN(k->mul_acc(n, at(&a, 0), 1, at(&b, 0), 1, at(&y, 0), 1), p * q + old, 2);
        RUN(k->mul_acc(n, at(&a, 0), 0, at(&b, 0), 1, at(&y, 0), 1), get(&a, 0) * q + old, 8);
        RUN(k->mul_acc(n, at(&a, 0), 1, at(&b, 1), 0, at(&y, 0), 1), p * get(&b, 1) + old, 8);
        RUN(k->mul_acc(n, at(&a, 0), 0, at(&b, 1), 0, at(&y, 0), 0), get(&a, 0) * get(&b, 1), 8);
        RUN(k->masked_fill(n, at(&a, 0), mask, -7, at(&y, 0)), mask[i] ? p : -7, 0);
        RUN(k->masked_fill(n, NULL, mask, -7, at(&y, 0)), mask[i] ? 0 : -7, 0);
        RUN(k->masked_fill(n, NULL, mask, -INFINITY, at(&y, 0)), mask[i] ? 0 : (double)-INFINITY, 0);
        RUN(k->where(n, mask, at(&a, 0), 1, at(&b, 0), 1, at(&y, 0)), mask[i] ? p : q, 0);
        RUN(k->where(n, mask, at(&a, 0), 0, at(&b, 0), 1, at(&y, 0)), mask[i] ? get(&a, 0) : q, 0);
        RUN(k->where(n, mask, at(&a, 0), 1, at(&b, 3), 0, at(&y, 0)), mask[i] ? p : get(&b, 3), 0);
        RUN(k->where(n, mask, at(&a, 0), 0, at(&b, 3), 0, at(&y, 0)), mask[i] ? get(&a, 0) : get(&b, 3), 0);
        RUN(k->clamp(n, at(&a, 0), -0.5, 1.5, at(&y, 0)), p < -0.5 ? -0.5 : p > 1.5 ? 1.5 : p, 0);
        RUN(k->clamp_bwd(n, at(&a, 0), -0.5, 1.5, at(&b, 0), at(&y, 0), 0), p >= -0.5 && p <= 1.5 ? q : 0, 0);
        RUN(k->clamp_bwd(n, at(&a, 0), -0.5, 1.5, at(&b, 0), at(&y, 0), 1),
            (p >= -0.5 && p <= 1.5 ? q : 0) + old, 1);
        RUN(k->mask_scale(n, at(&a, 0), mask, 1.25, at(&y, 0), 0), mask[i] ? p * 1.25 : 0, 1);
        RUN(k->mask_scale(n, at(&a, 0), mask, 1.25, at(&y, 0), 1), (mask[i] ? p * 1.25 : 0) + old, 2);
#undef RUN
        /* with beta 0 what was there is not read */
        put(&y, 0, NAN);
        k->axpby(1, 2, at(&b, 0), 0, at(&y, 0));
        ck_assert(get(&y, 0) == 2 * get(&b, 0));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tc = tcase_create("elementwise");
    int tables = table_count();

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, unary, 0, tables);
    tcase_add_loop_test(tc, unary_backward, 0, tables);
    tcase_add_loop_test(tc, unary_both, 0, tables);
    tcase_add_loop_test(tc, ulp_bounds, 0, tables);
    tcase_add_loop_test(tc, special_values, 0, tables);
    tcase_add_loop_test(tc, power, 0, tables);
    tcase_add_loop_test(tc, binary, 0, tables);
    tcase_add_loop_test(tc, others, 0, tables);
    tcase_add_loop_test(tc, random_words, 0, tables);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
