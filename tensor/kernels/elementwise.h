/* Elementwise kernels: y[i] = f(x[i], ...), one function for each entry of the table.
 * Included once by variant.c. */

/* --- unary ---------------------------------------------------------------------- */

#define UNARY_FN(name, expr) \
    static void unary_##name(int64_t n, const void *vx, void *vy) \
    { \
        const real *xs = vx; \
        real *ys = vy; \
        EACH(n, { vr x = LD(xs); ST(ys, (expr)); }); \
    }

V_INLINE vr elu(vr x) { return v_sel(v_lt(v_set(0), x), x, v_expm1(v_min(v_set(0), x))); }

UNARY_FN(neg, -x)
UNARY_FN(abs, v_abs(x))
UNARY_FN(square, x * x)
UNARY_FN(reciprocal, 1 / x)
UNARY_FN(exp, v_exp(x))
UNARY_FN(expm1, v_expm1(x))
UNARY_FN(log, v_log(x))
UNARY_FN(log1p, v_log1p(x))
UNARY_FN(sqrt, v_sqrt(x))
UNARY_FN(rsqrt, 1 / v_sqrt(x))
UNARY_FN(sin, v_sin(x))
UNARY_FN(cos, v_cos(x))
UNARY_FN(tanh, v_tanh(x))
UNARY_FN(sigmoid, v_sigmoid(x))
UNARY_FN(erf, v_erf(x))
UNARY_FN(relu, v_max(v_set(0), x))
UNARY_FN(softplus, v_softplus(x))
UNARY_FN(log_sigmoid, -v_softplus(-x))
UNARY_FN(elu, elu(x))

/* y = f(x), and d = f'(x) with it. */
#define UNARY_D_FN(name) \
    static void unary_##name(int64_t n, const void *vx, void *vy) \
    { \
        const real *xs = vx; \
        real *ys = vy; \
        EACH(n, { vr d; ST(ys, v_##name(LD(xs), &d)); }); \
    } \
    static void unary_d_##name(int64_t n, const void *vx, void *vy, void *vd_) \
    { \
        const real *xs = vx; \
        real *ys = vy, *ds = vd_; \
        EACH(n, { \
            vr d, y = v_##name(LD(xs), &d); \
            ST(ys, y); \
            ST(ds, d); \
        }); \
    }
UNARY_D_FN(gelu)
UNARY_D_FN(gelu_tanh)
UNARY_D_FN(quick_gelu)
UNARY_D_FN(silu)

/* --- their derivatives ---------------------------------------------------------- */

/* `expr` is dy f'(s), of g = dy and s. */
#define BWD_FN(name, expr) \
    static void bwd_##name(int64_t n, const void *vs, const void *vg, void *vx, int acc) \
    { \
        const real *ss = vs, *gs = vg; \
        real *xs = vx; \
        if (acc) \
            EACH(n, { vr s = LD(ss), g = LD(gs); (void)s; ST(xs, LD(xs) + (expr)); }); \
        else \
            EACH(n, { vr s = LD(ss), g = LD(gs); (void)s; ST(xs, (expr)); }); \
    }

V_INLINE vr bwd_neg_1(vr g) { return -g; }
/* NEG reads nothing, so s may be NULL there. */
static void bwd_neg(int64_t n, const void *vs, const void *vg, void *vx, int acc)
{
    const real *gs = vg;
    real *xs = vx;
    (void)vs;
    if (acc)
        EACH(n, { ST(xs, LD(xs) + bwd_neg_1(LD(gs))); });
    else
        EACH(n, { ST(xs, bwd_neg_1(LD(gs))); });
}

V_INLINE vr sign(vr x) { return v_sel(v_eq(x, v_set(0)), v_set(0), v_copysign(v_set(1), x)); }
V_INLINE vr slope_gelu(vr x) { vr d; (void)v_gelu(x, &d); return d; }
V_INLINE vr slope_gelu_tanh(vr x) { vr d; (void)v_gelu_tanh(x, &d); return d; }
V_INLINE vr slope_quick_gelu(vr x) { vr d; (void)v_quick_gelu(x, &d); return d; }
V_INLINE vr slope_silu(vr x) { vr d; (void)v_silu(x, &d); return d; }

BWD_FN(abs, g * sign(s))
BWD_FN(square, g * (s + s))
BWD_FN(reciprocal, -(g * (s * s)))
BWD_FN(exp, g * s)
BWD_FN(expm1, g * (s + 1))
BWD_FN(log, g / s)
BWD_FN(log1p, g / (s + 1))
BWD_FN(sqrt, g * (v_set((real)0.5) / s))
BWD_FN(rsqrt, g * (s * s * s * (real)-0.5))
BWD_FN(sin, g * v_cos(s))
BWD_FN(cos, g * -v_sin(s))
BWD_FN(tanh, g * v_fnma(s, s, v_set(1)))
BWD_FN(sigmoid, g * v_fnma(s, s, s))
BWD_FN(erf, g * (v_exp_minus_square(s) * (real)1.12837916709551257390))
BWD_FN(relu, v_sel(v_lt(v_set(0), s), g, v_set(0)))
BWD_FN(softplus, g * v_sigmoid(s))
BWD_FN(log_sigmoid, g * v_sigmoid(-s))
BWD_FN(elu, v_sel(v_lt(v_set(0), s), g, g * (s + 1)))
BWD_FN(gelu, g * slope_gelu(s))
BWD_FN(gelu_tanh, g * slope_gelu_tanh(s))
BWD_FN(quick_gelu, g * slope_quick_gelu(s))
BWD_FN(silu, g * slope_silu(s))

/* --- binary --------------------------------------------------------------------- */

/* The four ways of broadcasting: A and B load a vector or repeat the only element.
 * The operand that is repeated is read before anything is written. */
#define LD2(expr_a, expr_b, ...) EACH(n, { vr a = (expr_a), b = (expr_b); __VA_ARGS__ });
#define BROADCAST2(...) \
    do { \
        if (n <= 0) \
            return; \
        if (sa && sb) { \
            LD2(LD(as), LD(bs), __VA_ARGS__) \
        } else if (sb) { \
            const vr a0 = v_set(*as); \
            LD2(a0, LD(bs), __VA_ARGS__) \
        } else if (sa) { \
            const vr b0 = v_set(*bs); \
            LD2(LD(as), b0, __VA_ARGS__) \
        } else { \
            const vr a0 = v_set(*as), b0 = v_set(*bs); \
            LD2(a0, b0, __VA_ARGS__) \
        } \
    } while (0)

/* The smaller and the larger, NaN if either is. */
V_INLINE vr v_min_nan(vr a, vr b) { return v_sel(v_isnan(a), a, v_min(a, b)); }
V_INLINE vr v_max_nan(vr a, vr b) { return v_sel(v_isnan(a), a, v_max(a, b)); }

#define BINARY_FN(name, expr) \
    static void binary_##name(int64_t n, const void *va, int sa, const void *vb, int sb, void *vy) \
    { \
        const real *as = va, *bs = vb; \
        real *ys = vy; \
        BROADCAST2(ST(ys, (expr));); \
    }
BINARY_FN(add, a + b)
BINARY_FN(sub, a - b)
BINARY_FN(mul, a * b)
BINARY_FN(div, a / b)
BINARY_FN(min, v_min_nan(a, b))
BINARY_FN(max, v_max_nan(a, b))
BINARY_FN(pow, v_pow(a, b))

/* x^e for all x, where e is 2, 3 or 4: products, in double but for the square, so that the last one alone
 * rounds. False, and nothing done, for another e. (Float64 has nothing wider, and pow is closer.) */
static int whole_power(int64_t n, const real *xs, double e, real *ys)
{
    if (e == 2)
        EACH(n, { const vr x = LD(xs); ST(ys, x * x); });
#if !defined(ET_ISA_F64)
    else if (e == 3)
        EACH(n, { const vw x = w_from(LD(xs)); ST(ys, w_narrow(w_mul(w_mul(x, x), x))); });
    else if (e == 4)
        EACH(n, {
            const vw x = w_from(LD(xs)), square = w_mul(x, x);
            ST(ys, w_narrow(w_mul(square, square)));
        });
#endif
    else
        return 0;
    return 1;
}

static void power(int64_t n, const void *x, int sx, const void *e, int se, void *y)
{
    if (!n || se || !sx || !whole_power(n, x, (double)*(const real *)e, y))
        binary_pow(n, x, sx, e, se, y);
}

static void mul_acc(int64_t n, const void *va, int sa, const void *vb, int sb, void *vy, int acc)
{
    const real *as = va, *bs = vb;
    real *ys = vy;
    if (acc)
        BROADCAST2(ST(ys, v_fma(a, b, LD(ys))););
    else
        BROADCAST2(ST(ys, a * b););
}

static void where(int64_t n, const uint8_t *m, const void *va, int sa, const void *vb, int sb, void *vy)
{
    const real *as = va, *bs = vb;
    real *ys = vy;
    BROADCAST2(ST(ys, v_sel(LDM(m), a, b)););
}

/* --- the rest ------------------------------------------------------------------- */

static void fill(int64_t n, double value, void *vy)
{
    real *ys = vy;
    const vr v = v_set((real)value);
    EACH(n, { ST(ys, v); });
}

static void reverse(int64_t n, const void *vx, void *vy, int acc)
{
    const real *restrict x = vx;
    real *restrict y = vy;

    if (acc)
        for (int64_t i = 0; i < n; i++)
            y[i] += x[n - 1 - i];
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = x[n - 1 - i];
}

static void axpby(int64_t n, double alpha, const void *vx, double beta, void *vy)
{
    const real *xs = vx;
    real *ys = vy;
    const vr a = v_set((real)alpha), b = v_set((real)beta);
    if (beta == 0)
        EACH(n, { ST(ys, a * LD(xs)); });
    else if (beta == 1)
        EACH(n, { ST(ys, v_fma(a, LD(xs), LD(ys))); });
    else
        EACH(n, { ST(ys, v_fma(a, LD(xs), b * LD(ys))); });
}

static void affine(int64_t n, const void *vx, double alpha, double shift, void *vy)
{
    const real *xs = vx;
    real *ys = vy;
    const vr a = v_set((real)alpha), b = v_set((real)shift);
    EACH(n, { ST(ys, v_fma(a, LD(xs), b)); });
}

static void masked_fill(int64_t n, const void *vx, const uint8_t *m, double value, void *vy)
{
    const real *xs = vx;
    real *ys = vy;
    const vr v = v_set((real)value);
    if (xs)
        EACH(n, { ST(ys, v_sel(LDM(m), LD(xs), v)); });
    else
        EACH(n, { ST(ys, v_sel(LDM(m), v_set(0), v)); });
}

static void mask_scale(int64_t n, const void *vx, const uint8_t *m, double scale, void *vy, int acc)
{
    const real *xs = vx;
    real *ys = vy;
    const vr s = v_set((real)scale), zero = v_set(0);
    if (acc)
        EACH(n, { ST(ys, LD(ys) + v_sel(LDM(m), LD(xs) * s, zero)); });
    else
        EACH(n, { ST(ys, v_sel(LDM(m), LD(xs) * s, zero)); });
}

static void share(int64_t n, const void *va, const void *vb, int min, void *vy)
{
    const real *as = va, *bs = vb;
    real *ys = vy;
    EACH(n, {
        const vr a = LD(as), b = LD(bs), lost = v_sel(min ? v_lt(b, a) : v_lt(a, b), v_set(0), v_set(1));
        ST(ys, v_sel(v_eq(a, b), v_set((real)0.5), lost));
    });
}

static void clamp(int64_t n, const void *vx, double lo, double hi, void *vy)
{
    const real *xs = vx;
    real *ys = vy;
    const vr l = v_set((real)lo), h = v_set((real)hi);
    EACH(n, {
        vr x = LD(xs);
        ST(ys, v_sel(v_isnan(x), x, v_min(v_max(l, x), h)));
    });
}

static void clamp_bwd(int64_t n, const void *vx, double lo, double hi, const void *vg, void *vd_, int acc)
{
    const real *xs = vx, *gs = vg;
    real *ds = vd_;
    const vr l = v_set((real)lo), h = v_set((real)hi), zero = v_set(0);
    if (acc)
        EACH(n, {
            vr x = LD(xs);
            ST(ds, LD(ds) + v_sel(m_and(v_le(l, x), v_le(x, h)), LD(gs), zero));
        });
    else
        EACH(n, {
            vr x = LD(xs);
            ST(ds, v_sel(m_and(v_le(l, x), v_le(x, h)), LD(gs), zero));
        });
}

/* --- bfloat16: the upper half of a float32 ------------------------------------------- */

#if !defined(ET_ISA_F64)
#if LANES > 1
typedef uint16_t vh __attribute__((vector_size(LANES * 2)));

/* The bits of x rounded to the nearest number whose lower half is zero, ties to even; NaN stays
 * one, and quiet. Only the upper half is of use. */
V_INLINE vi v_round_bf16(vr x)
{
    const vi u = v_bits(x), up = u + 0x7fff + (u >> 16 & 1);

    return v_bits(v_sel(v_isnan(x), v_from_bits(u | 0x400000), v_from_bits(up)));
}
#endif

/* float32 as double: a vector's lower and upper half. */
static void to_f64(int64_t n, const float *x, double *y)
{
    int64_t i = 0;

    for (; i <= n - LANES; i += LANES) {
        const vw w = w_from(v_load(x + i));
        memcpy(y + i, &w, LANES * sizeof *y);
    }
    for (; i < n; i++)
        y[i] = (double)x[i];
}

static void from_f64(int64_t n, const double *x, float *y)
{
    int64_t i = 0;

    for (; i <= n - LANES; i += LANES) {
        vw w;
        memcpy(&w, x + i, LANES * sizeof *x);
        v_store(y + i, w_narrow(w));
    }
    for (; i < n; i++)
        y[i] = (float)x[i];
}

static void to_bf16(int64_t n, const float *x, uint16_t *y)
{
    int64_t i = 0;

#if LANES > 1
    for (; i + LANES <= n; i += LANES) {
        const vh half = __builtin_convertvector(v_round_bf16(v_load(x + i)) >> 16, vh);
        memcpy(y + i, &half, sizeof half);
    }
#endif
    for (; i < n; i++)
        y[i] = et_f32_to_bf16(x[i]);
}

static void from_bf16(int64_t n, const uint16_t *x, float *y)
{
    int64_t i = 0;

#if LANES > 1
    for (; i + LANES <= n; i += LANES) {
        vh half;
        memcpy(&half, x + i, sizeof half);
        v_store(y + i, v_from_bits(__builtin_convertvector(half, vi) << 16));
    }
#endif
    for (; i < n; i++)
        y[i] = et_bf16_to_f32(x[i]);
}

static void round_bf16(int64_t n, const float *x, float *y)
{
    int64_t i = 0;

#if LANES > 1
    for (; i + LANES <= n; i += LANES)
        v_store(y + i, v_from_bits(v_round_bf16(v_load(x + i)) & 0xffff0000u));
#endif
    for (; i < n; i++)
        y[i] = et_bf16_to_f32(et_f32_to_bf16(x[i]));
}
#endif
