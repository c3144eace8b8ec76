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

/* --- conversion, by way of double --------------------------------------------------- */

#define READ(type, value)                                 \
    for (int64_t i = 0; i < n; i++) {                     \
        const type e = ((const type *)s)[i * step];       \
        out[i] = value;                                   \
    }                                                     \
    break

/* n elements, `step` apart. */
static void read_row(et_dtype dtype, const char *s, int64_t step, int64_t n, double *out)
{
    switch (dtype) {
    case ET_F32: READ(float, e);
    case ET_F64: READ(double, e);
    case ET_I32: READ(int32_t, e);
    case ET_U8: READ(uint8_t, e);
    case ET_BF16: READ(uint16_t, et_bf16_to_f32(e));
    }
}

#define WRITE(type, value)                                \
    for (int64_t i = 0; i < n; i++) {                     \
        const double v = in[i];                           \
        ((type *)d)[i * step] = value;                    \
    }                                                     \
    break

/* The same back. Integers: towards zero, to the nearest that there is; NaN is 0. */
static void write_row(et_dtype dtype, const double *in, int64_t n, char *d, int64_t step)
{
    switch (dtype) {
    case ET_F32: WRITE(float, (float)v);
    case ET_F64: WRITE(double, v);
    case ET_I32:
        WRITE(int32_t, isnan(v) ? 0 : v <= INT32_MIN ? INT32_MIN : v >= INT32_MAX ? INT32_MAX : (int32_t)v);
    case ET_U8: WRITE(uint8_t, (uint8_t)(isnan(v) || v <= 0 ? 0 : v >= 255 ? 255 : v));
    case ET_BF16: WRITE(uint16_t, et_f32_to_bf16((float)v));
    }
}

static double load(et_dtype dtype, const char *p)
{
    double v = 0;

    read_row(dtype, p, 1, 1, &v);
    return v;
}

static void store(et_dtype dtype, char *p, double v) { write_row(dtype, &v, 1, p, 1); }

/* d[i sd] = s[i st], of two dtypes. */
static void convert_row(et_dtype to, char *d, int64_t sd, et_dtype from, const char *s, int64_t st, int64_t n)
{
    enum { PIECE = 256 };
    double v[PIECE];

    if (sd == 1 && st == 1 && to == ET_F64 && from == ET_F32) {
        et_kernels_for(ET_F32)->to_f64(n, (const float *)(const void *)s, (double *)(void *)d);
    } else if (sd == 1 && st == 1 && to == ET_F32 && from == ET_F64) {
        et_kernels_for(ET_F32)->from_f64(n, (const double *)(const void *)s, (float *)(void *)d);
    } else if (sd == 1 && st == 1 && to == ET_BF16 && from == ET_F32) {
        et_kernels_for(ET_F32)->to_bf16(n, (const float *)(const void *)s, (uint16_t *)(void *)d);
    } else if (sd == 1 && st == 1 && to == ET_F32 && from == ET_BF16) {
        et_kernels_for(ET_F32)->from_bf16(n, (const uint16_t *)(const void *)s, (float *)(void *)d);
    } else {
        const size_t zd = et_dtype_size(to), zs = et_dtype_size(from);
        for (int64_t i = 0, m; i < n; i += m) {
            m = min64(PIECE, n - i);
            read_row(from, s + (size_t)(i * st) * zs, st, m, v);
            write_row(to, v, m, d + (size_t)(i * sd) * zd, sd);
        }
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

#define REPEAT_LOOP(type)                                 \
    do {                                                  \
        enum { MANY = 64 / sizeof(type) };                \
        const type e = *(const type *)s;                  \
        type many[MANY], *dd = (type *)d;                 \
        int64_t i = 0;                                    \
        for (int k = 0; k < MANY && n >= MANY; k++)       \
            many[k] = e;                                  \
        for (; i + MANY <= n; i += MANY)                  \
            memcpy(dd + i, many, sizeof many);            \
        for (; i < n; i++)                                \
            dd[i] = e;                                    \
    } while (0)

/* Of elements of so many bytes. */
#define BY_SIZE(bytes, LOOP)                              \
    do {                                                  \
        if ((bytes) == 4)                                 \
            LOOP(uint32_t);                               \
        else if ((bytes) == 8)                            \
            LOOP(uint64_t);                               \
        else if ((bytes) == 2)                            \
            LOOP(uint16_t);                               \
        else                                              \
            LOOP(uint8_t);                                \
    } while (0)

/* d[i sd] = s[i st], of the dtypes `to` and `from`. */
static void copy_row(et_dtype to, char *d, int64_t sd, et_dtype from, const char *s, int64_t st, int64_t n)
{
    const size_t size = et_dtype_size(to);

    if (to != from)
        convert_row(to, d, sd, from, s, st, n);
    else if (sd == 1 && st == 1)
        memmove(d, s, (size_t)n * size);
    else if (sd == 1 && st == 0)
        BY_SIZE(size, REPEAT_LOOP);
    else
        BY_SIZE(size, COPY_LOOP);
}

#define PIECES(width)                                                     \
    for (int64_t r = 0; r < rows; r++, d += d_row, s += s_row) {          \
        for (size_t at = 0; at + (width) <= size; at += (width))          \
            memcpy(d + at, s + at, (width));                              \
        memcpy(d + size - (width), s + size - (width), (width));          \
    }                                                                     \
    return

/* Rows of `size` bytes, d_row and s_row bytes apart, to other memory: short ones in pieces, the last of which
 * may lie across the one before, for less than a call of memcpy takes. */
static void copy_dense(int64_t rows, size_t size, char *d, int64_t d_row, const char *s, int64_t s_row)
{
    enum { SHORT = 1024 };

    if (size >= 64 && size <= SHORT) {
        PIECES(64);
    } else if (size >= 16 && size < 64) {
        PIECES(16);
    } else if (size >= 4 && size < 16) {
        PIECES(4);
    }
    for (int64_t r = 0; r < rows; r++, d += d_row, s += s_row)
        memcpy(d, s, size);
}

#define SHORT_LOOP(type)                                  \
    do {                                                  \
        type *dd = (type *)d;                             \
        const type *ss = (const type *)s;                 \
        for (int64_t r = 0; r < rows; r++)                \
            for (int64_t i = 0; i < n; i++)               \
                dd[r * d_row + i * sd] =                  \
                    ss[r * s_row + i * st];               \
    } while (0)

static void copy_rows(int64_t lo, int64_t hi, void *user)
{
    enum { SHORT = 16 };
    const copy_job *j = user;
    const et_iter *it = &j->it;
    const size_t zd = et_dtype_size(j->dst->dtype), zs = et_dtype_size(j->src->dtype);
    const int last = it->ndim - 1, outer = last > 0 ? last - 1 : 0; /* rows along it lie evenly apart */
    const int64_t d_row = it->strides[0][outer], s_row = it->strides[1][outer], n = it->n;
    const int64_t sd = it->strides[0][last], st = it->strides[1][last];

    for (int64_t at = lo, rows; at < hi; at += rows) {
        const et_iter_row row = et_iter_seek(it, at);
        char *d = j->d + (size_t)row.at[0] * zd;
        const char *s = j->s + (size_t)row.at[1] * zs;
        rows = last > 0 ? min64(hi - at, it->shape[outer] - row.index[outer]) : 1;
        if (sd == 1 && st == 1 && j->dst->dtype == j->src->dtype && j->dst->storage != j->src->storage)
            copy_dense(rows, (size_t)n * zd, d, d_row * (int64_t)zd, s, s_row * (int64_t)zs);
        else if (n <= SHORT && j->dst->dtype == j->src->dtype)
            BY_SIZE(zd, SHORT_LOOP);
        else
            for (int64_t r = 0; r < rows; r++, d += d_row * (int64_t)zd, s += s_row * (int64_t)zs)
                copy_row(j->dst->dtype, d, sd, j->src->dtype, s, st, n);
    }
}

/* The only row, elements lo .. hi - 1. */
static void copy_part(int64_t lo, int64_t hi, void *user)
{
    const copy_job *j = user;
    const int64_t sd = j->it.strides[0][0], ss = j->it.strides[1][0];

    copy_row(j->dst->dtype, j->d + (size_t)(lo * sd) * et_dtype_size(j->dst->dtype), sd, j->src->dtype,
             j->s + (size_t)(lo * ss) * et_dtype_size(j->src->dtype), ss, hi - lo);
}

/* --- transposition --- */

#define TURN_LOOP(type)                                                   \
    for (int64_t k = 0; k < n; k++)                                       \
        for (int64_t i = 0; i < m; i++)                                   \
            ((type *)d)[i * sd + k] = ((const type *)s)[k * ss + i]

/* d[i sd + k] = s[k ss + i] for i < m, k < n; small elements. */
static void turn(size_t size, int64_t m, int64_t n, const char *s, int64_t ss, char *d, int64_t sd)
{
    if (size == sizeof(float))
        et_kernels_for(ET_F32)->transpose(m, n, s, ss, d, sd);
    else if (size == sizeof(double))
        et_kernels_for(ET_F64)->transpose(m, n, s, ss, d, sd);
    else if (size == 2)
        TURN_LOOP(uint16_t);
    else
        TURN_LOOP(uint8_t);
}

enum { BAND = 64 };

/* Bands of dst's rows, which are src's columns. Index: (what is around the two last dimensions, band). */
static void copy_turned(int64_t lo, int64_t hi, void *user)
{
    const copy_job *j = user;
    const et_iter *it = &j->it;
    const size_t size = et_dtype_size(j->dst->dtype);
    const int b = it->ndim - 1, a = b - 1;
    const int64_t bands = ceil_div(it->shape[a], BAND), sd = it->strides[0][a], ss = it->strides[1][b];

    for (int64_t r = lo; r < hi; r++) {
        const int64_t i = r % bands * BAND;
        const et_iter_row row = et_iter_seek(it, r / bands * it->shape[a]);
        turn(size, min64(BAND, it->shape[a] - i), it->n, j->s + (size_t)(row.at[1] + i) * size, ss,
             j->d + (size_t)(row.at[0] + i * sd) * size, sd);
    }
}

static void swap_dims(et_iter *it, int a, int b)
{
    int64_t n = it->shape[a];

    it->shape[a] = it->shape[b];
    it->shape[b] = n;
    for (int k = 0; k < it->n_ops; k++) {
        n = it->strides[k][a];
        it->strides[k][a] = it->strides[k][b];
        it->strides[k][b] = n;
    }
}

/* True if dst's elements follow each other along the last dimension and src's along another, which is then
 * the one before. */
static bool turned(et_iter *it)
{
    const int last = it->ndim - 1;

    if (it->strides[0][last] != 1 || it->strides[1][last] < 2)
        return false;
    for (int d = last - 1; d >= 0; d--)
        if (it->strides[1][d] == 1) {
            swap_dims(it, d, last - 1);
            return true;
        }
    return false;
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
    if (dst->dtype == src->dtype && dst->storage != src->storage && turned(&j.it)) {
        const int64_t height = it->shape[it->ndim - 2], bands = it->rows / height * ceil_div(height, BAND);
        et_parallel_for(bands, et_row_grain(bands, min64(height, BAND) * it->n), copy_turned, &j);
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
    double one = 0; /* aligned for an element of any dtype */
    store(x->dtype, (char *)&one, value);
    et_iter_init(&it, x->ndim, x->shape, 1, (const et_tensor *const[]){x});
    et_iter_row row = et_iter_seek(&it, 0);
    for (int64_t r = 0; r < it.rows; r++, et_iter_next(&it, &row))
        copy_row(x->dtype, p + (size_t)row.at[0] * z, it.strides[0][it.ndim - 1], x->dtype,
                 (const char *)&one, 0, it.n);
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
    et_iter_row row = et_iter_seek(&it, 0);
    for (int64_t r = 0; r < it.rows; r++, et_iter_next(&it, &row))
        for (int64_t k = 0; k < it.n; k++, i++)
            if (!visit(pa + (size_t)(row.at[0] + k * it.strides[0][it.ndim - 1]) * za,
                       pb + (size_t)(row.at[1] + k * it.strides[1][it.ndim - 1]) * zb, i, user))
                return false;
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
