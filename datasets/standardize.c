/* Means and deviations of features, and their use. */
#include "config.h"

#include "datasets/standardize.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/parallel.h"

/* The data as rows of `width` numbers that share a set of statistics: `rows` of them in
 * an item, of which the first valid(i) count. */
typedef struct layout {
    int64_t width, rows, per_step; /* rows for each step of a sequence */
    const float *x;
    const int32_t *lengths;
} layout;

static et_status layout_of(layout *l, const et_dataset *ds, int64_t width)
{
    int64_t item = 1;

    for (int d = 1; d < ds->x->ndim; d++)
        item *= ds->x->shape[d];
    if (width < 1 || item % width != 0)
        return et_raise(ET_ESHAPE, "standardize: %" PRId64 " values for items of %" PRId64, width, item);
    l->width = width;
    l->rows = item / width;
    l->x = et_data_f32(ds->x);
    l->lengths = ds->lengths ? et_data_i32(ds->lengths) : NULL;
    l->per_step = 1;
    if (l->lengths && width <= ds->x->shape[2])
        l->per_step = ds->x->shape[2] / width;
    return l->x ? ET_OK : et_fail_status("standardize");
}

/* Rows of item i before the end of its sequence. An item that is one row counts whole. */
static int64_t valid_rows(const layout *l, int64_t i)
{
    if (!l->lengths || l->rows == 1)
        return l->rows;
    return l->lengths[i] * l->per_step;
}

static const float *row_at(const layout *l, int64_t item, int64_t row)
{
    return l->x + (item * l->rows + row) * l->width;
}

/* The shape [*ndim] of the statistics. */
static et_status shape_of(const et_dataset *ds, et_standardize_kind kind, int *ndim, int64_t *shape)
{
    const et_tensor *x = ds->x;

    *ndim = 1;
    shape[0] = kind == ET_STANDARDIZE_ALL ? 1 : x->shape[x->ndim - 1];
    if (kind != ET_STANDARDIZE_ELEMENT)
        return ET_OK;
    if (ds->lengths)
        return et_raise(ET_EINVAL, "standardize: statistics of each element need sequences of one length");
    *ndim = x->ndim - 1;
    memcpy(shape, x->shape + 1, (size_t)*ndim * sizeof *shape);
    return ET_OK;
}

static et_status check_items(const et_dataset *ds, const int32_t *index, int64_t n)
{
    const int64_t size = et_dataset_size(ds);

    if (n < 1)
        return et_raise(ET_EINVAL, "standardize: no items to fit to");
    for (int64_t i = 0; index && i < n; i++)
        if (index[i] < 0 || index[i] >= size)
            return et_raise(ET_EINVAL, "standardize: index %" PRId32 " is outside %" PRId64 " items",
                            index[i], size);
    return ET_OK;
}

/* Of each of the numbers in a row, over the valid rows of n items. */
typedef struct moments {
    double *mean, *var, *top; /* [width]: the mean, the variance around it, the largest magnitude */
} moments;

/* To *to, which is zero before. */
static et_status measure(const et_dataset *ds, const layout *l, const int32_t *index, int64_t n,
                         const moments *to)
{
    double *mean = to->mean, *var = to->var, *top = to->top;
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++) {
        const int64_t item = index ? index[i] : i, rows = valid_rows(l, item);
        for (int64_t r = 0; r < rows; r++) {
            const float *x = row_at(l, item, r);
            for (int64_t j = 0; j < l->width; j++) {
                if (!isfinite(x[j]))
                    return et_raise(ET_ENONFINITE,
                                    "standardize: item %" PRId64 " (%s) is not finite in feature %" PRId64,
                                    item, ds->names.n > 0 ? ds->names.items[item] : "unnamed", j);
                mean[j] += x[j];
                if (fabs(x[j]) > top[j])
                    top[j] = fabs(x[j]);
            }
        }
        count += rows;
    }
    for (int64_t j = 0; j < l->width; j++)
        mean[j] /= (double)count;
    for (int64_t i = 0; i < n; i++) {
        const int64_t item = index ? index[i] : i, rows = valid_rows(l, item);
        for (int64_t r = 0; r < rows; r++) {
            const float *x = row_at(l, item, r);
            for (int64_t j = 0; j < l->width; j++)
                var[j] += (x[j] - mean[j]) * (x[j] - mean[j]);
        }
    }
    for (int64_t j = 0; j < l->width; j++)
        var[j] /= (double)count;
    return ET_OK;
}

/* A deviation that is rounding alone, beside the numbers themselves, counts as none: 1 leaves them as they
 * are. */
static double divisor(double deviation, double top)
{
    return deviation > 1e-6 * top && deviation > 1e-30 ? deviation : 1.0;
}

/* Makes tensors of what was found. */
static et_status keep(et_standardizer *s, const moments *found, et_standardize_kind kind, int ndim,
                      const int64_t *shape)
{
    et_tensor *m = et_dataset_tensor(ET_F32, ndim, shape);
    et_tensor *d = m ? et_dataset_tensor(ET_F32, ndim, shape) : NULL;
    double variance = 0; /* the mean of all */

    if (!d) {
        et_free(m);
        return et_fail_status("standardize");
    }
    float *mp = et_data_mut(m), *dp = et_data_mut(d);
    for (int64_t j = 0; j < m->numel; j++)
        variance += found->var[j] / (double)m->numel;
    for (int64_t j = 0; j < m->numel; j++) {
        const double v = kind == ET_STANDARDIZE_CENTRE ? variance : found->var[j];
        mp[j] = (float)found->mean[j];
        dp[j] = (float)divisor(sqrt(v), found->top[j]);
    }
    s->mean = m;
    s->std = d;
    return ET_OK;
}

et_status et_standardizer_fit(et_standardizer *s, const et_dataset *ds, const int32_t *index, int64_t n,
                              et_standardize_kind kind)
{
    layout l;
    int64_t shape[ET_MAX_DIMS], width = 1;
    int ndim;

    if (!s)
        return et_raise(ET_EINVAL, "standardize: NULL");
    memset(s, 0, sizeof *s);
    if (et_dataset_check(ds) < 0)
        return et_error_status();
    n = index ? n : et_dataset_size(ds);
    if (shape_of(ds, kind, &ndim, shape) || check_items(ds, index, n))
        return et_error_status();
    for (int i = 0; i < ndim; i++)
        width *= shape[i];
    if (layout_of(&l, ds, width) < 0)
        return et_error_status();

    double *all = et_alloc_zero((size_t)width, 3 * sizeof *all);
    if (!all)
        return et_fail_status("standardize");
    const moments found = {all, all + width, all + 2 * width};
    et_status status = measure(ds, &l, index, n, &found);
    if (status == ET_OK)
        status = keep(s, &found, kind, ndim, shape);
    et_dealloc(all);
    return status;
}

et_status et_standardizer_set(et_standardizer *s, const et_tensor *mean, const et_tensor *std)
{
    const float *dev;

    if (!s || !mean || !std)
        return et_raise(ET_EINVAL, "standardize: NULL");
    memset(s, 0, sizeof *s);
    if (mean->dtype != ET_F32 || std->dtype != ET_F32)
        return et_raise(ET_EDTYPE, "standardize: mean and deviation must be float32");
    if (!et_same_shape(mean, std) || mean->numel < 1 || !et_is_contiguous(mean) || !et_is_contiguous(std))
        return et_raise(ET_ESHAPE, "standardize: mean and deviation must have one shape");
    if (et_check_finite(mean, "standardize: mean") < 0)
        return et_error_status();
    dev = et_data_f32(std);
    if (!dev)
        return et_fail_status("standardize");
    for (int64_t j = 0; j < std->numel; j++)
        if (!(dev[j] > 0) || !isfinite(dev[j]))
            return et_raise(ET_EINVAL, "standardize: deviation %g at %" PRId64 " is not positive",
                            (double)dev[j], j);
    s->mean = et_dataset_tensor(ET_F32, mean->ndim, mean->shape);
    s->std = s->mean ? et_dataset_tensor(ET_F32, std->ndim, std->shape) : NULL;
    if (!s->std || et_copy_into(s->mean, mean) < 0 || et_copy_into(s->std, std) < 0) {
        et_standardizer_free(s);
        return et_fail_status("standardize");
    }
    return ET_OK;
}

typedef struct job {
    layout l;
    float *x;
    const float *mean, *std;
    float clip;
} job;

static void apply_items(int64_t lo, int64_t hi, void *user)
{
    const job *a = user;
    int64_t width = a->l.width;

    for (int64_t i = lo; i < hi; i++) {
        int64_t valid = valid_rows(&a->l, i);
        for (int64_t r = 0; r < a->l.rows; r++) {
            float *x = a->x + (i * a->l.rows + r) * width;
            if (r >= valid) {
                memset(x, 0, (size_t)width * sizeof *x);
                continue;
            }
            for (int64_t j = 0; j < width; j++) {
                float v = (x[j] - a->mean[j]) / a->std[j];
                if (a->clip > 0)
                    v = v < -a->clip ? -a->clip : v > a->clip ? a->clip : v;
                x[j] = v;
            }
        }
    }
}

et_status et_standardizer_apply(const et_standardizer *s, et_dataset *ds)
{
    job a;
    int64_t n;

    if (!s || !s->mean || !s->std)
        return et_raise(ET_EINVAL, "standardize: not fitted");
    if (et_dataset_check(ds) < 0)
        return et_error_status();
    if (s->mean->numel > 1)
        for (int i = 0; i < s->mean->ndim; i++)
            if (s->mean->ndim > ds->x->ndim - 1 ||
                s->mean->shape[s->mean->ndim - 1 - i] != ds->x->shape[ds->x->ndim - 1 - i]) {
                char a_text[ET_SHAPE_TEXT], b_text[ET_SHAPE_TEXT];
                return et_raise(ET_ESHAPE, "standardize: values are %s, the data %s",
                                et_shape_text(a_text, s->mean->ndim, s->mean->shape),
                                et_shape_text(b_text, ds->x->ndim, ds->x->shape));
            }
    if (layout_of(&a.l, ds, s->mean->numel) < 0)
        return et_error_status();
    a.x = et_data_mut(ds->x);
    a.mean = et_data_f32(s->mean);
    a.std = et_data_f32(s->std);
    a.clip = (float)s->clip;
    if (!a.x || !a.mean || !a.std)
        return et_fail_status("standardize");
    n = et_dataset_size(ds);
    et_parallel_for(n, et_row_grain(n, a.l.rows * a.l.width), apply_items, &a);
    return ET_OK;
}

/* Takes the mean off n numbers that are `stride` apart. */
static void centre(float *x, int64_t n, int64_t stride)
{
    double sum = 0;

    for (int64_t j = 0; j < n; j++)
        sum += x[j * stride];
    for (int64_t j = 0; j < n; j++)
        x[j * stride] = (float)(x[j * stride] - sum / (double)n);
}

et_status et_centre_items(et_dataset *ds)
{
    int64_t n, item = 1, step = 1;
    const int32_t *lengths;
    float *x;

    if (et_dataset_check(ds) < 0)
        return et_error_status();
    for (int d = 1; d < ds->x->ndim; d++)
        item *= ds->x->shape[d];
    if (ds->lengths)
        step = ds->x->shape[2];
    lengths = ds->lengths ? et_data_i32(ds->lengths) : NULL;
    if (!(x = et_data_mut(ds->x)))
        return et_fail_status("centre items");
    n = et_dataset_size(ds);
    for (int64_t i = 0; i < n; i++, x += item)
        centre(x, lengths ? lengths[i] * step : item, 1);
    return ET_OK;
}

et_status et_centre_features(et_dataset *ds, int64_t n)
{
    float *x;

    if (et_dataset_check(ds) < 0)
        return et_error_status();
    if (ds->x->ndim != 3)
        return et_raise(ET_ESHAPE, "centre features: items have %d dimensions, expected sequences [T, F]",
                        ds->x->ndim - 1);
    const int64_t T = ds->x->shape[1], F = ds->x->shape[2];
    if (n < 0 || n > F)
        return et_raise(ET_EINVAL, "centre features: %" PRId64 " features of %" PRId64, n, F);
    const int32_t *lengths = ds->lengths ? et_data_i32(ds->lengths) : NULL;
    if (!(x = et_data_mut(ds->x)))
        return et_fail_status("centre features");
    for (int64_t i = 0; i < et_dataset_size(ds); i++)
        for (int64_t f = 0; f < (n ? n : F); f++)
            centre(x + i * T * F + f, lengths ? lengths[i] : T, F);
    return ET_OK;
}

void et_standardizer_free(et_standardizer *s)
{
    if (!s)
        return;
    et_free(s->mean);
    et_free(s->std);
    s->mean = s->std = NULL;
}

/* Adds to each frame [F] what `more` makes of its first n features; more gets the frame, the one before it
 * (NULL at the first), n, and writes n values. */
static et_status widen(et_dataset *ds, const char *what, int64_t n_from,
                       void (*more)(const float *x, const float *before, int64_t n, float *out))
{
    if (et_dataset_check(ds) < 0)
        return et_error_status();
    if (ds->x->ndim != 3)
        return et_raise(ET_ESHAPE, "%s: items have %d dimensions, expected sequences [T, F]", what,
                        ds->x->ndim - 1);
    int64_t n = ds->x->shape[0], T = ds->x->shape[1], F = ds->x->shape[2], C = n_from ? n_from : F;
    if (C < 1 || C > F)
        return et_raise(ET_EINVAL, "%s: %lld features of %lld", what, (long long)C, (long long)F);
    et_tensor *wide = et_dataset_tensor(ET_F32, 3, (const int64_t[]){n, T, F + C});
    const float *from = et_data_f32(ds->x);
    float *to = wide ? et_data_mut(wide) : NULL;

    if (!to)
        return et_fail_status(what);
    for (int64_t i = 0; i < n; i++) {
        int64_t valid = ds->lengths ? et_data_i32(ds->lengths)[i] : T;
        for (int64_t t = 0; t < T; t++, from += F, to += F + C) {
            memcpy(to, from, (size_t)F * sizeof *to);
            if (t < valid)
                more(from, t > 0 ? from - F : NULL, C, to + F);
            else
                memset(to + F, 0, (size_t)C * sizeof *to);
        }
    }
    et_free(ds->x);
    ds->x = wide;
    return ET_OK;
}

static void flux(const float *x, const float *before, int64_t n, float *out)
{
    for (int64_t f = 0; f < n; f++)
        out[f] = before ? fabsf(x[f] - before[f]) : 0;
}

static void roughness(const float *x, const float *before, int64_t n, float *out)
{
    (void)before;
    for (int64_t f = 0; f < n; f++)
        out[f] = f > 0 && f < n - 1 ? fabsf(x[f - 1] - 2 * x[f] + x[f + 1]) : 0;
}

et_status et_append_flux(et_dataset *ds) { return widen(ds, "append flux", 0, flux); }

et_status et_append_roughness(et_dataset *ds, int64_t n)
{
    return widen(ds, "append roughness", n, roughness);
}
