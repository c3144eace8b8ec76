/* Copying, converting, filling and comparing elements of any strides and dtype. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tensor/iter.h"
#include "tensor/ints.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

/* --- one element ------------------------------------------------------------------- */

static double load(et_dtype dtype, const char *p)
{
    switch (dtype) {
    case ET_F32: return *(const float *)p;
    case ET_F64: return *(const double *)p;
    case ET_I32: return *(const int32_t *)p;
    case ET_U8: return *(const uint8_t *)p;
    case ET_BF16: return et_bf16_to_f32(*(const uint16_t *)p);
    }
    return 0;
}

static void store(et_dtype dtype, char *p, double v)
{
    switch (dtype) {
    case ET_F32: *(float *)p = (float)v; break;
    case ET_F64: *(double *)p = v; break;
    case ET_I32:
        *(int32_t *)p = isnan(v) ? 0 : v <= INT32_MIN ? INT32_MIN : v >= INT32_MAX ? INT32_MAX : (int32_t)v;
        break;
    case ET_U8: *(uint8_t *)p = (uint8_t)(isnan(v) || v <= 0 ? 0 : v >= 255 ? 255 : v); break;
    case ET_BF16: *(uint16_t *)p = et_f32_to_bf16((float)v); break;
    }
}

/* --- copying ------------------------------------------------------------------------ */

typedef struct {
    et_iter it;
    const et_tensor *dst, *src;
    char *d;
    const char *s;
} copy_job;

#define COPY_LOOP(type)                                   \
    do {                                                  \
        type *dd = (type *)d;                             \
        const type *ss = (const type *)s;                 \
        for (int64_t i = 0; i < n; i++)                   \
            dd[i * sd] = ss[i * st];                      \
    } while (0)

/* d[0 .. n - 1] = the element at s, in pieces that stay in the first-level cache. */
static void repeat(char *d, const char *s, size_t size, int64_t n)
{
    const int64_t piece = 4096 / (int64_t)size;

    if (n > 0)
        memmove(d, s, size);
    for (int64_t done = 1, more; done < n; done += more) {
        more = min64(min64(done, piece), n - done);
        memcpy(d + (size_t)done * size, d, (size_t)more * size);
    }
}

static void copy_row(et_dtype to, char *d, int64_t sd, et_dtype from, const char *s, int64_t st, int64_t n)
{
    size_t zd = et_dtype_size(to), zs = et_dtype_size(from);

    if (to == from) {
        if (sd == 1 && st == 1)
            memmove(d, s, (size_t)n * zd);
        else if (sd == 1 && st == 0)
            repeat(d, s, zd, n);
        else if (zd == 4)
            COPY_LOOP(uint32_t);
        else if (zd == 8)
            COPY_LOOP(uint64_t);
        else if (zd == 2)
            COPY_LOOP(uint16_t);
        else
            COPY_LOOP(uint8_t);
        return;
    }
    if (sd == 1 && st == 1 && to == ET_BF16 && from == ET_F32) {
        et_kernels_for(ET_F32)->to_bf16(n, (const float *)s, (uint16_t *)d);
        return;
    }
    if (sd == 1 && st == 1 && to == ET_F32 && from == ET_BF16) {
        et_kernels_for(ET_F32)->from_bf16(n, (const uint16_t *)s, (float *)d);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        store(to, d + (size_t)(i * sd) * zd, load(from, s + (size_t)(i * st) * zs));
}

static void copy_rows(int64_t lo, int64_t hi, void *user)
{
    const copy_job *j = user;
    size_t zd = et_dtype_size(j->dst->dtype), zs = et_dtype_size(j->src->dtype);
    int last = j->it.ndim - 1;

    for (int64_t r = lo; r < hi; r++)
        copy_row(j->dst->dtype, j->d + (size_t)et_iter_offset(&j->it, 0, r) * zd, j->it.strides[0][last],
                 j->src->dtype, j->s + (size_t)et_iter_offset(&j->it, 1, r) * zs, j->it.strides[1][last],
                 j->it.n);
}

/* The only row, elements lo .. hi - 1. */
static void copy_part(int64_t lo, int64_t hi, void *user)
{
    const copy_job *j = user;
    const int64_t sd = j->it.strides[0][0], ss = j->it.strides[1][0];

    copy_row(j->dst->dtype, j->d + (size_t)(lo * sd) * et_dtype_size(j->dst->dtype), sd, j->src->dtype,
             j->s + (size_t)(lo * ss) * et_dtype_size(j->src->dtype), ss, hi - lo);
}

enum { TILE = 16 };

/* Rows of tiles of the two last dimensions, for a transposition: both sides are then
 * touched in runs that fit a cache line. Index r counts (outer row, tile row). */
static void copy_tiles(int64_t lo, int64_t hi, void *user)
{
    const copy_job *j = user;
    const et_iter *it = &j->it;
    size_t z = et_dtype_size(j->dst->dtype);
    int b = it->ndim - 1, a = b - 1;
    int64_t tiles = ceil_div(it->shape[a], TILE);

    for (int64_t r = lo; r < hi; r++) {
        int64_t outer = r / tiles, i0 = r % tiles * TILE;
        int64_t i1 = i0 + TILE < it->shape[a] ? i0 + TILE : it->shape[a];
        char *d = j->d + (size_t)et_iter_offset(it, 0, outer * it->shape[a]) * z;
        const char *s = j->s + (size_t)et_iter_offset(it, 1, outer * it->shape[a]) * z;
        for (int64_t k0 = 0; k0 < it->n; k0 += TILE) {
            int64_t k1 = k0 + TILE < it->n ? k0 + TILE : it->n;
            for (int64_t i = i0; i < i1; i++)
                copy_row(j->dst->dtype, d + (size_t)(i * it->strides[0][a] + k0 * it->strides[0][b]) * z,
                         it->strides[0][b], j->src->dtype,
                         s + (size_t)(i * it->strides[1][a] + k0 * it->strides[1][b]) * z, it->strides[1][b],
                         k1 - k0);
        }
    }
}

et_status et_copy_into(et_tensor *dst, const et_tensor *src)
{
    int64_t shape[ET_MAX_DIMS];
    int n;
    char a[ET_SHAPE_TEXT], b[ET_SHAPE_TEXT];
    copy_job j = {.dst = dst, .src = src};

    j.s = et_data(src);
    j.d = et_data_mut(dst);
    if (!j.s || !j.d)
        return et_error_status();
    if (et_broadcast_shape(dst->ndim, dst->shape, src->ndim, src->shape, &n, shape) || n != dst->ndim ||
        memcmp(shape, dst->shape, (size_t)n * sizeof *shape) != 0)
        return et_raise(ET_ESHAPE, "copy_into: %s does not broadcast to %s",
                        et_shape_text(a, src->ndim, src->shape), et_shape_text(b, dst->ndim, dst->shape));
    if (!dst->numel)
        return ET_OK;
    et_iter_init(&j.it, dst->ndim, dst->shape, 2, (const et_tensor *const[]){dst, src});
    const et_iter *it = &j.it;
    if (it->ndim >= 2 && dst->dtype == src->dtype && it->strides[1][it->ndim - 1] > 1 &&
        it->strides[1][it->ndim - 2] == 1) {
        int64_t tiles = ceil_div(it->shape[it->ndim - 2], TILE);
        int64_t rows = it->rows / it->shape[it->ndim - 2] * tiles;
        et_parallel_for(rows, et_row_grain(rows, TILE * it->n), copy_tiles, &j);
    } else if (it->ndim == 1 && dst->storage != src->storage) {
        et_parallel_for(it->n, et_row_grain(it->n, 1), copy_part, &j);
    } else {
        et_parallel_for(it->rows, et_row_grain(it->rows, it->n), copy_rows, &j);
    }
    return ET_OK;
}

et_status et_fill(et_tensor *x, double value)
{
    char *p = et_data_mut(x);

    if (!p)
        return et_error_status();
    if (!x->numel)
        return ET_OK;
    size_t z = et_dtype_size(x->dtype);
    et_iter it;
    char one[8];
    store(x->dtype, one, value);
    et_iter_init(&it, x->ndim, x->shape, 1, (const et_tensor *const[]){x});
    for (int64_t r = 0; r < it.rows; r++)
        copy_row(x->dtype, p + (size_t)et_iter_offset(&it, 0, r) * z, it.strides[0][it.ndim - 1], x->dtype,
                 one, 0, it.n);
    return ET_OK;
}

/* --- single elements ------------------------------------------------------------------- */

static int64_t place(const et_tensor *x, const int64_t *index)
{
    int64_t at = 0;

    for (int i = 0; i < x->ndim; i++) {
        if (!index || index[i] < 0 || index[i] >= x->shape[i]) {
            char a[ET_SHAPE_TEXT];
            et_raise(ET_EINVAL, "index %" PRId64 " of dimension %d is outside %s", index ? index[i] : -1, i,
                     et_shape_text(a, x->ndim, x->shape));
            return -1;
        }
        at += index[i] * x->strides[i];
    }
    return at;
}

double et_get(const et_tensor *x, const int64_t *index)
{
    const char *p = et_data(x);
    int64_t at = p ? place(x, index) : -1;

    return at < 0 ? (double)NAN : load(x->dtype, p + (size_t)at * et_dtype_size(x->dtype));
}

et_status et_set(et_tensor *x, const int64_t *index, double value)
{
    char *p = et_data_mut(x);
    int64_t at = p ? place(x, index) : -1;

    if (at < 0)
        return et_error_status();
    store(x->dtype, p + (size_t)at * et_dtype_size(x->dtype), value);
    return ET_OK;
}

double et_item(const et_tensor *x)
{
    const char *p = et_data(x);

    if (!p)
        return (double)NAN;
    if (x->numel != 1) {
        char a[ET_SHAPE_TEXT];
        et_raise(ET_EINVAL, "item: a tensor of shape %s has no single element",
                 et_shape_text(a, x->ndim, x->shape));
        return (double)NAN;
    }
    return load(x->dtype, p);
}

/* --- comparing ----------------------------------------------------------------------- */

/* Calls visit for every pair of elements of two tensors of one shape, in row-major
 * order, until it returns false. */
static bool each_pair(const et_tensor *a, const et_tensor *b,
                      bool (*visit)(const char *pa, const char *pb, int64_t i, void *user), void *user)
{
    const char *pa = et_data(a), *pb = et_data(b);
    size_t za = et_dtype_size(a->dtype), zb = et_dtype_size(b->dtype);
    et_iter it;
    int64_t i = 0;

    if (!pa || !pb)
        return false;
    if (!a->numel)
        return true;
    et_iter_init(&it, a->ndim, a->shape, 2, (const et_tensor *const[]){a, b});
    for (int64_t r = 0; r < it.rows; r++) {
        int64_t oa = et_iter_offset(&it, 0, r), ob = et_iter_offset(&it, 1, r);
        for (int64_t k = 0; k < it.n; k++, i++)
            if (!visit(pa + (size_t)(oa + k * it.strides[0][it.ndim - 1]) * za,
                       pb + (size_t)(ob + k * it.strides[1][it.ndim - 1]) * zb, i, user))
                return false;
    }
    return true;
}

typedef struct {
    et_dtype a, b;
    double rtol, atol, diff, norm;
    bool equal_nan;
    int64_t where;
} compare;

static bool close_pair(const char *pa, const char *pb, int64_t i, void *user)
{
    compare *c = user;
    double x = load(c->a, pa), y = load(c->b, pb);

    (void)i;
    if (isnan(x) || isnan(y))
        return c->equal_nan && isnan(x) && isnan(y);
    return x == y || (!isinf(y) && fabs(x - y) <= c->atol + c->rtol * fabs(y)); /* inf <= inf says nothing */
}

static bool equal_pair(const char *pa, const char *pb, int64_t i, void *user)
{
    (void)i;
    return memcmp(pa, pb, et_dtype_size(((compare *)user)->a)) == 0;
}

static bool gather_error(const char *pa, const char *pb, int64_t i, void *user)
{
    compare *c = user;
    double x = load(c->a, pa), y = load(c->b, pb);

    (void)i;
    c->diff += x == y ? 0 : (x - y) * (x - y);
    c->norm += y * y;
    return true;
}

static bool finite_element(const char *pa, const char *pb, int64_t i, void *user)
{
    compare *c = user;

    (void)pb;
    c->where = i;
    return isfinite(load(c->a, pa));
}

bool et_allclose(const et_tensor *a, const et_tensor *b, double rtol, double atol, bool equal_nan)
{
    compare c = {.rtol = rtol, .atol = atol, .equal_nan = equal_nan};

    if (!et_same_shape(a, b))
        return false;
    c.a = a->dtype;
    c.b = b->dtype;
    return each_pair(a, b, close_pair, &c);
}

bool et_equal(const et_tensor *a, const et_tensor *b)
{
    if (!et_same_shape(a, b) || a->dtype != b->dtype)
        return false;
    return each_pair(a, b, equal_pair, &(compare){.a = a->dtype});
}

double et_relative_error(const et_tensor *a, const et_tensor *b)
{
    compare c = {0};

    if (!et_same_shape(a, b)) {
        et_raise(ET_ESHAPE, "relative_error: shapes differ, or a tensor is NULL");
        return (double)NAN;
    }
    c.a = a->dtype;
    c.b = b->dtype;
    if (!each_pair(a, b, gather_error, &c))
        return (double)NAN;
    return c.diff == 0 ? 0 : sqrt(c.diff) / fmax(sqrt(c.norm), 1e-300);
}

et_status et_check_finite(const et_tensor *x, const char *what)
{
    compare c = {0};

    if (!x)
        return et_raise(ET_EINVAL, "check_finite: tensor is NULL");
    if (x->dtype == ET_I32 || x->dtype == ET_U8)
        return ET_OK;
    c.a = x->dtype;
    if (each_pair(x, x, finite_element, &c))
        return ET_OK;
    if (et_error_status())
        return et_error_status();
    int64_t at = c.where, index[ET_MAX_DIMS];
    char text[ET_SHAPE_TEXT];
    for (int d = x->ndim - 1; d >= 0; d--) {
        index[d] = at % x->shape[d];
        at /= x->shape[d];
    }
    return et_raise(ET_ENONFINITE, "%s: element %s is not finite", what ? what : "tensor",
                    et_shape_text(text, x->ndim, index));
}
