/* Plans of Fourier transforms: factors, roots of unity, orders; and transforms of plain sequences. */
#include "config.h"

#include "datasets/fft.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "datasets/fft_rows.h"
#include "tensor/alloc.h"
#include "tensor/pool.h"

static const double pi = 3.14159265358979323846;

struct fft_block {
    fft_block *next;
    double data[]; /* aligned for either real */
};

/* Memory that lives as long as the plan; 0 bytes are allowed. */
static void *take(et_fft *plan, int64_t count, size_t size)
{
    size_t bytes;
    fft_block *b;

    if (!et_mul_size((size_t)count, size, &bytes) || bytes > SIZE_MAX - sizeof *b) {
        et_raise(ET_ENOMEM, "et_fft_new: tables of length %" PRId64, plan->n);
        return NULL;
    }
    if (!(b = et_alloc(sizeof *b + bytes)))
        return NULL;
    b->next = plan->blocks;
    plan->blocks = b;
    return b->data;
}

static void *take_reals(et_fft *plan, int64_t count) { return take(plan, count, et_dtype_size(plan->dtype)); }

static void put(et_dtype dtype, void *p, int64_t i, double v)
{
    if (dtype == ET_F32)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

/* exp(-2 pi i k / n), k reduced to an eighth of the circle so that the angle is accurate. */
static void unit_root(int64_t k, int64_t n, double *re, double *im)
{
    int64_t eighth, rest;
    double a, c, s;

    k %= n;
    eighth = 8 * k / n;
    /* from the near axis, in 1 / 8 n */
    rest = eighth % 2 == 0 ? 8 * k - eighth * n : (eighth + 1) * n - 8 * k;
    a = 2 * pi * (double)rest / (8 * (double)n);
    c = cos(a);
    s = sin(a);
    switch (eighth) {
    case 0: *re = c, *im = -s; break;
    case 1: *re = s, *im = -c; break;
    case 2: *re = -s, *im = -c; break;
    case 3: *re = -c, *im = -s; break;
    case 4: *re = -c, *im = s; break;
    case 5: *re = -s, *im = c; break;
    case 6: *re = s, *im = c; break;
    default: *re = c, *im = s; break;
    }
}

/* scale exp(-2 pi i k / n) as pair i of `table` */
static void put_root(et_dtype dtype, void *table, int64_t i, int64_t k, int64_t n, double scale)
{
    double re, im;

    unit_root(k, n, &re, &im);
    put(dtype, table, 2 * i, scale * re);
    put(dtype, table, 2 * i + 1, scale * im);
}

/* Radices of the passes for length n, odd ones first; false if a prime factor is too large. */
static bool factor(et_fft_passes *s, int64_t n)
{
    int twos = 0;

    s->n = n;
    s->count = 0;
    for (; n % 2 == 0; n /= 2)
        twos++;
    for (int r = 3; r <= ET_FFT_RADIX; r += 2)
        for (; n % r == 0; n /= r)
            s->radix[s->count++] = r;
    while (twos > 0) {
        int t = twos == 4 || twos == 2 ? 2 : twos >= 3 ? 3 : 1;
        s->radix[s->count++] = 1 << t;
        twos -= t;
    }
    return n == 1;
}

/* Twiddles and roots of the passes, in dtype. */
static bool make_twiddles(et_fft *plan, et_dtype dtype, et_fft_passes *s)
{
    int64_t m = s->n;

    for (int i = 0; i < s->count; i++) {
        const int r = s->radix[i];
        void *w = take(plan, 2 * m, et_dtype_size(dtype)), *roots = take(plan, 2 * r, et_dtype_size(dtype));
        if (!w || !roots)
            return false;
        for (int64_t j = 0, at = 0; j < m / r; j++)
            for (int q = 1; q < r; q++)
                put_root(dtype, w, at++, j * q, m, 1);
        for (int j = 0; j < r; j++) {
            double re, im;
            unit_root(j, r, &re, &im);
            put(dtype, roots, 2 * j, re);
            put(dtype, roots, 2 * j + 1, -im);
        }
        s->twiddles[i] = w;
        s->roots[i] = roots;
        m /= r;
    }
    return true;
}

/* Where the passes leave result k: its digits in the mixed radix, reversed. */
static const int32_t *make_order(et_fft *plan, const et_fft_passes *s)
{
    int32_t *order = take(plan, s->n, sizeof *order);

    for (int64_t k = 0; order && k < s->n; k++) {
        int64_t m = s->n, rest = k, at = 0;
        for (int i = 0; i < s->count; i++) {
            m /= s->radix[i];
            at += rest % s->radix[i] * m;
            rest /= s->radix[i];
        }
        order[k] = (int32_t)at;
    }
    return order;
}

/* The filter of Bluestein's convolution, in double: conj c[j] at j and M - j, transformed. */
static bool make_filter(et_fft *plan, void *filter)
{
    const int64_t N = plan->N, M = plan->M;
    et_fft_passes s;
    const int32_t *order = plan->order;
    double *b = take(plan, 2 * M, sizeof *b);

    factor(&s, M);
    if (!b || !make_twiddles(plan, ET_F64, &s))
        return false;
    memset(b, 0, (size_t)(2 * M) * sizeof *b);
    for (int64_t j = 0; j < N; j++) {
        double re, im;
        unit_root(j * j % (2 * N), 2 * N, &re, &im);
        b[2 * j] = re;
        b[2 * j + 1] = -im;
        if (j > 0) {
            b[2 * (M - j)] = re;
            b[2 * (M - j) + 1] = -im;
        }
    }
    et_kernels_for(ET_F64)->fft_passes(&s, b);
    for (int64_t k = 0; k < M; k++) {
        put(plan->dtype, filter, 2 * k, b[2 * order[k]] / (double)M);
        put(plan->dtype, filter, 2 * k + 1, b[2 * order[k] + 1] / (double)M);
    }
    return true;
}

static bool make_bluestein(et_fft *plan)
{
    const int64_t N = plan->N;
    void *chirp = take_reals(plan, 2 * N), *back = take_reals(plan, 2 * N), *filter;
    int32_t *natural = take(plan, N, sizeof *natural);

    for (plan->M = 1; plan->M < 2 * N - 1;)
        plan->M *= 2;
    filter = take_reals(plan, 2 * plan->M);
    factor(&plan->passes, plan->M);
    if (!chirp || !back || !natural || !filter || !make_twiddles(plan, plan->dtype, &plan->passes) ||
        !(plan->order = make_order(plan, &plan->passes)) || !make_filter(plan, filter))
        return false;
    for (int64_t j = 0; j < N; j++) {
        const int64_t square = j * j % (2 * N);
        put_root(plan->dtype, chirp, j, square, 2 * N, 1);
        put_root(plan->dtype, back, j, 2 * N - square, 2 * N, 1);
        natural[j] = (int32_t)j;
    }
    plan->chirp = chirp;
    plan->chirp_back = back;
    plan->filter = filter;
    plan->natural = natural;
    return true;
}

/* The widest table, no wider than the plan's, whose transform of one sequence takes this length: N a multiple
 * of its squared lanes. NULL: none. */
static const et_kernels *table_for_one(const et_fft *plan)
{
    const et_kernels *tables[8];
    const int count = et_kernels_available(tables, 8);

    for (int i = 0; plan->dtype == ET_F32 && plan->n % 2 == 0 && i < count; i++)
        if (tables[i]->fft_one && tables[i]->lanes <= plan->k->lanes &&
            plan->N % (tables[i]->lanes * tables[i]->lanes) == 0)
            return tables[i];
    return NULL;
}

static bool make_one(et_fft *plan)
{
    const int64_t lanes = plan->one_k->lanes, N = plan->N, M = N / lanes;
    et_fft_one *s = &plan->one;
    void *w = take_reals(plan, 2 * N), *roots = take_reals(plan, N);

    factor(&s->columns, M);
    factor(&s->across, lanes);
    if (!w || !roots || !make_twiddles(plan, plan->dtype, &s->columns) ||
        !make_twiddles(plan, plan->dtype, &s->across) ||
        !(s->column_order = make_order(plan, &s->columns)) ||
        !(s->across_order = make_order(plan, &s->across)))
        return false;
    for (int64_t k = 0; k < M; k++)
        for (int64_t l = 0; l < lanes; l++) {
            double re, im;
            unit_root(k * l, N, &re, &im);
            put(plan->dtype, w, 2 * lanes * k + l, re);
            put(plan->dtype, w, 2 * lanes * k + lanes + l, im);
        }
    for (int64_t k = 0; k < N / 2; k++) {
        double re, im;
        unit_root(k, 2 * N, &re, &im);
        put(plan->dtype, roots, k, 0.5 * re);
        put(plan->dtype, roots, N / 2 + k, 0.5 * im);
    }
    s->twiddles = w;
    s->roots = roots;
    return true;
}

static bool make_tables(et_fft *plan)
{
    if (plan->n % 2 == 0) {
        void *roots = take_reals(plan, 2 * (plan->N / 2 + 1));
        if (!roots)
            return false;
        for (int64_t k = 0; 2 * k <= plan->N; k++)
            put_root(plan->dtype, roots, k, k, plan->n, 0.5);
        plan->roots = roots;
    }
    if (!factor(&plan->passes, plan->N))
        return make_bluestein(plan);
    if (!make_twiddles(plan, plan->dtype, &plan->passes) || !(plan->order = make_order(plan, &plan->passes)))
        return false;
    plan->one_k = table_for_one(plan);
    return !plan->one_k || make_one(plan);
}

et_fft *et_fft_new(et_dtype dtype, int64_t n)
{
    const et_kernels *tables[8];
    et_fft *plan;
    int count;

    if (dtype != ET_F32 && dtype != ET_F64) {
        et_raise(ET_EDTYPE, "et_fft_new: %s is not float32 or float64", et_dtype_name(dtype));
        return NULL;
    }
    if (n < 1 || n > ET_FFT_LONGEST) {
        et_raise(ET_EINVAL, "et_fft_new: length %" PRId64 " is not within 1..%d", n, ET_FFT_LONGEST);
        return NULL;
    }
    if (!(plan = et_alloc_zero(1, sizeof *plan)))
        return NULL;
    plan->dtype = dtype;
    plan->n = n;
    plan->N = n % 2 == 0 ? n / 2 : n;
    plan->k = plan->plain = et_kernels_for(dtype);
    count = et_kernels_available(tables, 8);
    if (dtype == ET_F32)
        plan->plain = tables[count - 1];
    if (!make_tables(plan)) {
        et_fft_free(plan);
        return NULL;
    }
    return plan;
}

void et_fft_free(et_fft *plan)
{
    while (plan && plan->blocks) {
        fft_block *next = plan->blocks->next;
        et_dealloc(plan->blocks);
        plan->blocks = next;
    }
    et_dealloc(plan);
}

int64_t et_fft_length(const et_fft *plan) { return plan->n; }
int64_t et_fft_bins(const et_fft *plan) { return plan->n / 2 + 1; }

/* Memory to work in: `first` reals and `second` behind them. */
static void *room(const et_fft *plan, int64_t first, int64_t second, void **behind)
{
    const size_t size = et_dtype_size(plan->dtype);
    char *p = et_pool_alloc((size_t)(first + second) * size);

    *behind = p ? p + (size_t)first * size : NULL;
    return p;
}

static et_status check(const char *what, const et_fft *plan, int64_t count, const void *in, const void *out,
                       int64_t x_step, int64_t x_least, int64_t X_step)
{
    if (!plan)
        return et_raise(ET_EINVAL, "%s: no plan", what);
    if (count < 0)
        return et_raise(ET_EINVAL, "%s: %" PRId64 " sequences", what, count);
    if (count > 0 && (!in || !out))
        return et_raise(ET_EINVAL, "%s: NULL", what);
    if (count > 1 && (x_step < x_least || X_step < 2 * et_fft_bins(plan)))
        return et_raise(ET_EINVAL, "%s: sequences %" PRId64 " apart, spectra %" PRId64
                        "; the least are %" PRId64
                        " and %" PRId64, what, x_step, X_step, x_least, 2 * et_fft_bins(plan));
    return ET_OK;
}

et_status et_fft_forward(const et_fft *plan, int64_t count, const void *x, int64_t x_step, void *X,
                         int64_t X_step)
{
    const et_kernels *k;
    const int64_t bins = plan ? et_fft_bins(plan) : 0;
    void *work, *out;
    et_status status = check("et_fft_forward", plan, count, x, X, x_step, 0, X_step);

    if (status < 0 || count == 0)
        return status;
    if (count == 1 && plan->one_k) {
        if (!(work = room(plan, 4 * plan->N + 2 * plan->one_k->lanes, 0, &out)))
            return ET_ENOMEM;
        plan->one_k->fft_one(&plan->one, x, work, X);
        et_pool_free(work);
        return ET_OK;
    }
    k = count == 1 ? plan->plain : plan->k;
    if (!(work = room(plan, et_fft_rows_work(plan, k), 2 * bins * k->lanes, &out)))
        return ET_ENOMEM;
    for (int64_t i = 0; i < count; i += k->lanes) {
        const int n = count - i < k->lanes ? (int)(count - i) : k->lanes;
        const size_t size = et_dtype_size(plan->dtype);
        k->fft_load(plan->n, n, (const char *)x + (size_t)(i * x_step) * size, x_step, NULL, work,
                    et_fft_rows_step(plan, k));
        et_fft_rows_forward(plan, k, work, out, false);
        k->fft_store(2 * bins, n, out, k->lanes, (char *)X + (size_t)(i * X_step) * size, X_step);
    }
    et_pool_free(work);
    return ET_OK;
}

et_status et_fft_inverse(const et_fft *plan, int64_t count, const void *X, int64_t X_step, void *x,
                         int64_t x_step)
{
    const et_kernels *k;
    void *work, *rows;
    et_status status = check("et_fft_inverse", plan, count, X, x, x_step, plan ? plan->n : 0, X_step);

    if (status < 0 || count == 0)
        return status;
    k = count == 1 ? plan->plain : plan->k;
    /* the spectrum's rows, and then the sequences' */
    if (!(work = room(plan, et_fft_rows_work(plan, k), 2 * (plan->N + 1) * k->lanes, &rows)))
        return ET_ENOMEM;
    for (int64_t i = 0; i < count; i += k->lanes) {
        const int n = count - i < k->lanes ? (int)(count - i) : k->lanes;
        const size_t size = et_dtype_size(plan->dtype);
        k->fft_load(2 * et_fft_bins(plan), n, (const char *)X + (size_t)(i * X_step) * size, X_step,
                    NULL, rows, k->lanes);
        et_fft_rows_inverse(plan, k, rows, work, rows);
        k->fft_store(plan->n, n, rows, et_fft_rows_step(plan, k), (char *)x + (size_t)(i * x_step) * size,
                     x_step);
    }
    et_pool_free(work);
    return ET_OK;
}
