/* The generator itself, single draws, and what is drawn one after another: shuffles
 * and samples. The filling of whole tensors is in rng_fill.c. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "tensor/kernels.h"
#include "tensor/rng.h"
#include "tensor/rng_words.h"

static _Thread_local et_rng default_rng;

et_rng et_rng_make(uint64_t seed, uint64_t stream)
{
    et_rng r = {seed, stream, 0};

    return r;
}

void et_seed(uint64_t seed) { default_rng = et_rng_make(seed, 0); }

et_rng *et_rng_default(void) { return &default_rng; }

/* --- Philox ------------------------------------------------------------------------ */

/* Multipliers of the round, and what the key grows by after each. */
#define MULT_0 UINT64_C(0xD2511F53)
#define MULT_1 UINT64_C(0xCD9E8D57)
#define WEYL_0 UINT32_C(0x9E3779B9)
#define WEYL_1 UINT32_C(0xBB67AE85)

enum { ROUNDS = 10, LANES = ET_PHILOX_BLOCKS };

void et_philox(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t a = ctr[0], b = ctr[1], c = ctr[2], d = ctr[3], k0 = key[0], k1 = key[1];
    int r;

    for (r = 0; r < ROUNDS; r++) {
        uint64_t p = MULT_0 * a, q = MULT_1 * c;

        a = (uint32_t)(q >> 32) ^ b ^ k0;
        c = (uint32_t)(p >> 32) ^ d ^ k1;
        b = (uint32_t)q;
        d = (uint32_t)p;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = d;
}

static void one_block(const et_rng *r, uint64_t n, uint32_t out[4])
{
    uint32_t ctr[4] = {(uint32_t)n, (uint32_t)(n >> 32), (uint32_t)r->stream, (uint32_t)(r->stream >> 32)};
    uint32_t key[2] = {(uint32_t)r->seed, (uint32_t)(r->seed >> 32)};

    et_philox(ctr, key, out);
}

/* The LANES blocks from number n on, side by side, so that the compiler can use vectors. */
static void plain_blocks(const et_rng *r, uint64_t n, uint32_t *restrict out)
{
    uint32_t a[LANES], b[LANES], c[LANES], d[LANES];
    uint32_t k0 = (uint32_t)r->seed, k1 = (uint32_t)(r->seed >> 32);
    int i, l;

    for (l = 0; l < LANES; l++) {
        a[l] = (uint32_t)(n + (uint64_t)l);
        b[l] = (uint32_t)((n + (uint64_t)l) >> 32);
        c[l] = (uint32_t)r->stream;
        d[l] = (uint32_t)(r->stream >> 32);
    }
    for (i = 0; i < ROUNDS; i++) {
        for (l = 0; l < LANES; l++) {
            uint64_t p = MULT_0 * a[l], q = MULT_1 * c[l];

            a[l] = (uint32_t)(q >> 32) ^ b[l] ^ k0;
            c[l] = (uint32_t)(p >> 32) ^ d[l] ^ k1;
            b[l] = (uint32_t)q;
            d[l] = (uint32_t)p;
        }
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    for (l = 0; l < LANES; l++) {
        out[4 * l] = a[l];
        out[4 * l + 1] = b[l];
        out[4 * l + 2] = c[l];
        out[4 * l + 3] = d[l];
    }
}

/* The same, by the instruction set where that has a way. */
static void many_blocks(const et_rng *r, uint64_t n, uint32_t *out)
{
    const et_kernels *k = et_kernels_for(ET_F32);

    if (k->philox)
        k->philox(r->seed, r->stream, n, out);
    else
        plain_blocks(r, n, out);
}

void et_rng_words(const et_rng *r, uint64_t first, int64_t n, uint32_t *out)
{
    uint32_t block[4 * LANES];
    int64_t skip, size, take;

    while (n > 0) {
        skip = (int64_t)(first % 4);
        if (skip == 0 && n >= 4 * LANES) {
            many_blocks(r, first / 4, out);
            take = 4 * LANES;
        } else {
            size = n > 8 ? 4 * LANES : 4;
            if (size == 4)
                one_block(r, first / 4, block);
            else
                many_blocks(r, first / 4, block);
            take = size - skip < n ? size - skip : n;
            memcpy(out, block + skip, (size_t)take * sizeof *out);
        }
        out += take;
        first += (uint64_t)take;
        n -= take;
    }
}

/* --- one number -------------------------------------------------------------------- */

static et_rng *chosen(et_rng *r) { return r ? r : &default_rng; }

static void next_words(et_rng *r, int n, uint32_t *out)
{
    r = chosen(r);
    et_rng_words(r, r->counter, n, out);
    r->counter += (uint64_t)n;
}

uint32_t et_rng_u32(et_rng *r)
{
    uint32_t w;

    next_words(r, 1, &w);
    return w;
}

uint64_t et_rng_u64(et_rng *r)
{
    uint32_t w[2];

    next_words(r, 2, w);
    return (uint64_t)w[0] << 32 | w[1];
}

double et_rng_uniform(et_rng *r)
{
    uint32_t w[2];

    next_words(r, 2, w);
    return et_uniform53(w);
}

double et_rng_normal(et_rng *r)
{
    uint32_t w[4];
    double y[2];

    next_words(r, 4, w);
    et_box_muller(w, y);
    return y[0];
}

/* Upper half of the 128-bit product, by halves. */
static uint64_t mul_high(uint64_t a, uint64_t b)
{
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t mid = ah * bl + (al * bl >> 32), low = al * bh + (uint32_t)mid;

    return ah * bh + (mid >> 32) + (low >> 32);
}

int64_t et_rng_below(et_rng *r, int64_t n)
{
    uint64_t u = et_rng_u64(r);

    if (n < 1) {
        et_raise(ET_EINVAL, "rng_below: n must be at least 1, it is %lld", (long long)n);
        return 0;
    }
    return (int64_t)mul_high(u, (uint64_t)n);
}

/* --- shuffles and samples ------------------------------------------------------------ */

void et_shuffle(et_rng *r, int32_t *items, int64_t n)
{
    int64_t i, j;
    int32_t t;

    for (i = n - 1; i > 0; i--) {
        j = et_rng_below(r, i + 1);
        t = items[i];
        items[i] = items[j];
        items[j] = t;
    }
}

et_tensor *et_permutation(et_rng *r, int64_t n)
{
    et_tensor *x;
    int32_t *p;
    int64_t i;

    if (n < 0 || n > INT32_MAX) {
        et_raise(ET_EINVAL, "permutation: n must be in 0 .. %ld, it is %lld", (long)INT32_MAX, (long long)n);
        return NULL;
    }
    x = et_empty(ET_I32, 1, &n);
    p = x ? et_data_mut(x) : NULL;
    if (!p)
        return NULL;
    for (i = 0; i < n; i++)
        p[i] = (int32_t)i;
    et_shuffle(r, p, n);
    return x;
}

/* Element i of a row of floats or doubles. */
static double at(const void *row, et_dtype dtype, int64_t i)
{
    return dtype == ET_F32 ? (double)((const float *)row)[i] : ((const double *)row)[i];
}

/* Draws an index from softmax(row / temperature) with the uniform number u, -1 if the
 * row has no finite maximum. */
static int32_t draw_one(const void *row, et_dtype dtype, int64_t k, int64_t stride, double temperature,
                        double u)
{
    double max = -INFINITY, sum = 0, part = 0, x, p;
    int32_t last = -1;
    int64_t i;

    for (i = 0; i < k; i++) {
        x = at(row, dtype, i * stride);
        if (x > max || isnan(x))
            max = x;
        if (isnan(x))
            break;
    }
    if (!isfinite(max))
        return -1;
    for (i = 0; i < k; i++)
        sum += exp((at(row, dtype, i * stride) - max) / temperature);
    for (i = 0; i < k; i++) {
        p = exp((at(row, dtype, i * stride) - max) / temperature);
        part += p;
        if (p > 0)
            last = (int32_t)i;
        if (u * sum < part)
            break;
    }
    return last; /* rounding may leave u sum just above the last part */
}

et_tensor *et_categorical(et_rng *r, const et_tensor *logits, double temperature)
{
    const char *data;
    et_tensor *y;
    int32_t *out;
    int64_t rows, row, rest, k, offset;
    int d;

    if (!logits) {
        et_raise(ET_EINVAL, "categorical: the logits are NULL");
        return NULL;
    }
    if (!et_dtype_is_real(logits->dtype)) {
        et_raise(ET_EDTYPE, "categorical: logits must be float32 or float64, not %s",
                 et_dtype_name(logits->dtype));
        return NULL;
    }
    k = logits->ndim ? logits->shape[logits->ndim - 1] : 0;
    if (k < 1 || k > INT32_MAX) {
        char text[ET_SHAPE_TEXT];

        et_raise(ET_ESHAPE, "categorical: logits must be [..., K] with K at least 1, not %s",
                 et_shape_text(text, logits->ndim, logits->shape));
        return NULL;
    }
    if (!(temperature > 0)) {
        et_raise(ET_EINVAL, "categorical: the temperature must be positive, it is %g", temperature);
        return NULL;
    }
    data = et_data(logits);
    y = data ? et_empty(ET_I32, logits->ndim - 1, logits->shape) : NULL;
    out = y ? et_data_mut(y) : NULL;
    if (!out)
        return NULL;
    rows = y->numel;
    for (row = 0; row < rows; row++) {
        offset = 0;
        for (rest = row, d = logits->ndim - 2; d >= 0; d--) {
            offset += rest % logits->shape[d] * logits->strides[d];
            rest /= logits->shape[d];
        }
        out[row] = draw_one(data + (size_t)offset * et_dtype_size(logits->dtype), logits->dtype, k,
                            logits->strides[logits->ndim - 1], temperature, et_rng_uniform(r));
        if (out[row] < 0) {
            et_raise(ET_ENONFINITE, "categorical: row %lld of the logits has NaN, +inf or nothing but -inf",
                     (long long)row);
            et_free(y);
            return NULL;
        }
    }
    return y;
}
