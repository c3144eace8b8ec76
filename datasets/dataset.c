/* Making, checking, cutting and releasing data sets. */
#include "config.h"

#include "datasets/dataset.h"

#include <inttypes.h>
#include <string.h>

#include "tensor/alloc.h"

et_status et_names_add(et_names *names, const char *name)
{
    char **items, *copy;
    size_t n = (size_t)names->n;

    if (!name)
        return et_raise(ET_EINVAL, "names: NULL");
    /* Powers of two: room is full when n is one of them. */
    if ((n & (n - 1)) == 0) {
        size_t bytes;
        if (!et_mul_size(n == 0 ? 1 : 2 * n, sizeof *items, &bytes))
            return et_raise(ET_ENOMEM, "names: too many");
        items = et_alloc_resize(names->items, bytes);
        if (!items)
            return et_fail_status("names");
        names->items = items;
    }
    copy = et_alloc_string(name);
    if (!copy)
        return et_fail_status("names");
    names->items[names->n++] = copy;
    return ET_OK;
}

int64_t et_names_find(const et_names *names, const char *name)
{
    for (int64_t i = 0; name && i < names->n; i++)
        if (strcmp(names->items[i], name) == 0)
            return i;
    return -1;
}

et_status et_names_copy(et_names *names, const et_names *from)
{
    for (int64_t i = 0; i < from->n; i++)
        if (et_names_add(names, from->items[i]) < 0)
            return et_error_status();
    return ET_OK;
}

void et_names_free(et_names *names)
{
    for (int64_t i = 0; i < names->n; i++)
        et_dealloc(names->items[i]);
    et_dealloc(names->items);
    names->items = NULL;
    names->n = 0;
}

et_tensor *et_dataset_tensor(et_dtype dtype, int ndim, const int64_t *shape)
{
    et_tensor *t = et_empty(dtype, ndim, shape);
    return t ? et_own(t) : NULL;
}

et_dataset *et_dataset_new(void) { return et_alloc_zero(1, sizeof(et_dataset)); }

void et_dataset_free(et_dataset *ds)
{
    if (!ds)
        return;
    et_free(ds->x);
    et_free(ds->y);
    et_free(ds->lengths);
    et_free(ds->groups);
    et_free(ds->split);
    et_free(ds->events);
    et_free(ds->tags);
    et_names_free(&ds->classes);
    et_names_free(&ds->tag_names);
    et_names_free(&ds->names);
    et_names_free(&ds->splits);
    et_dealloc(ds);
}

int64_t et_dataset_size(const et_dataset *ds) { return ds && ds->x && ds->x->ndim > 0 ? ds->x->shape[0] : 0; }
int64_t et_dataset_classes(const et_dataset *ds) { return ds ? ds->classes.n : 0; }

/* An optional int32 field with n rows and values lo .. hi. */
static et_status check_ints(const char *what, const et_tensor *t, int64_t n, int ndim, int64_t lo, int64_t hi)
{
    const int32_t *v;

    if (!t)
        return ET_OK;
    if (t->dtype != ET_I32)
        return et_raise(ET_EDTYPE, "dataset: %s are %s, not int32", what, et_dtype_name(t->dtype));
    if (t->ndim != ndim || t->shape[0] != n || (ndim == 2 && t->shape[1] != 2) || !et_is_contiguous(t)) {
        char text[ET_SHAPE_TEXT];
        return et_raise(ET_ESHAPE, "dataset: %s are %s for %" PRId64 " items", what,
                        et_shape_text(text, t->ndim, t->shape), n);
    }
    v = et_data_i32(t);
    if (!v)
        return et_fail_status("dataset");
    for (int64_t i = 0; i < t->numel; i++)
        if (v[i] < lo || v[i] > hi)
            return et_raise(ET_EINVAL,
                            "dataset: %s: %" PRId32 " at %" PRId64 " is not in %" PRId64 " .. %" PRId64, what,
                            v[i], i, lo, hi);
    return ET_OK;
}

static et_status check_tags(const et_tensor *t, int64_t n, const et_names *names)
{
    const uint8_t *v;

    if (!t && names->n > 0)
        return et_raise(ET_ESHAPE, "dataset: %" PRId64 " tag names, but no tags", names->n);
    if (!t)
        return ET_OK;
    if (t->dtype != ET_U8)
        return et_raise(ET_EDTYPE, "dataset: tags are %s, not uint8", et_dtype_name(t->dtype));
    if (t->ndim != 2 || t->shape[0] != n || t->shape[1] != names->n || !et_is_contiguous(t)) {
        char text[ET_SHAPE_TEXT];
        return et_raise(ET_ESHAPE, "dataset: tags are %s for %" PRId64 " items and %" PRId64 " tag names",
                        et_shape_text(text, t->ndim, t->shape), n, names->n);
    }
    if (!(v = et_data(t)))
        return et_fail_status("dataset");
    for (int64_t i = 0; i < t->numel; i++)
        if (v[i] > 1)
            return et_raise(ET_EINVAL, "dataset: tag '%s' of item %" PRId64 " is %d, not 0 or 1",
                            names->items[i % names->n], i / names->n, (int)v[i]);
    return ET_OK;
}

et_status et_dataset_check(const et_dataset *ds)
{
    int64_t n, steps, longest;

    if (!ds)
        return et_raise(ET_EINVAL, "dataset: NULL");
    if (!ds->x || !ds->y)
        return et_raise(ET_EINVAL, "dataset: x or y is missing");
    if (ds->x->dtype != ET_F32)
        return et_raise(ET_EDTYPE, "dataset: x is %s, not float32", et_dtype_name(ds->x->dtype));
    if (ds->x->ndim < 2 || !et_is_contiguous(ds->x))
        return et_raise(ET_ESHAPE, "dataset: x needs items and at least one further dimension, contiguous");
    n = ds->x->shape[0];
    steps = longest = ds->x->shape[1];
    if (ds->x->ndim == 3 && !ds->lengths &&
        ds->x->shape[2] > longest) /* [N, F, T]: events lie along the last */
        longest = ds->x->shape[2];
    if (n > INT32_MAX)
        return et_raise(ET_ESHAPE, "dataset: more than 2^31 items");
    if (ds->lengths && ds->x->ndim != 3)
        return et_raise(ET_ESHAPE, "dataset: lengths need x [N, T, F]");
    if (ds->names.n != 0 && ds->names.n != n)
        return et_raise(ET_ESHAPE, "dataset: %" PRId64 " names for %" PRId64 " items", ds->names.n, n);
    if (check_ints("labels", ds->y, n, 1, 0, ds->classes.n - 1) < 0 ||
        check_ints("lengths", ds->lengths, n, 1, 1, steps) < 0 ||
        check_ints("groups", ds->groups, n, 1, INT32_MIN, INT32_MAX) < 0 ||
        check_ints("splits", ds->split, n, 1, -1, ds->splits.n - 1) < 0 ||
        check_ints("events", ds->events, n, 2, 0, longest) < 0 || check_tags(ds->tags, n, &ds->tag_names) < 0)
        return et_error_status();
    return ET_OK;
}

/* Rows index[0 .. n-1] of t; NULL stays NULL. */
static et_status take(et_tensor **out, const et_tensor *t, const int32_t *index, int64_t n)
{
    int64_t shape[ET_MAX_DIMS];
    size_t row;
    const char *src;
    char *dst;

    if (!t)
        return ET_OK;
    memcpy(shape, t->shape, sizeof shape);
    shape[0] = n;
    *out = et_dataset_tensor(t->dtype, t->ndim, shape);
    if (!*out)
        return et_fail_status("dataset subset");
    row = et_dtype_size(t->dtype);
    for (int d = 1; d < t->ndim; d++)
        row *= (size_t)t->shape[d];
    src = et_data(t);
    dst = et_data_mut(*out);
    if (!src || !dst)
        return et_fail_status("dataset subset");
    for (int64_t i = 0; row > 0 && i < n; i++)
        memcpy(dst + (size_t)i * row, src + (size_t)index[i] * row, row);
    return ET_OK;
}

et_dataset *et_dataset_subset(const et_dataset *ds, const int32_t *index, int64_t n)
{
    et_dataset *out;

    if (et_dataset_check(ds) < 0)
        return NULL;
    if (n < 0 || (n > 0 && !index)) {
        et_raise(ET_EINVAL, "dataset subset: no index");
        return NULL;
    }
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= et_dataset_size(ds)) {
            et_raise(ET_EINVAL,
                     "dataset subset: index %" PRId32 " at %" PRId64 " is outside %" PRId64 " items",
                     index[i], i, et_dataset_size(ds));
            return NULL;
        }
    out = et_dataset_new();
    if (!out)
        return NULL;
    if (take(&out->x, ds->x, index, n) < 0 || take(&out->y, ds->y, index, n) < 0 ||
        take(&out->lengths, ds->lengths, index, n) < 0 || take(&out->groups, ds->groups, index, n) < 0 ||
        take(&out->split, ds->split, index, n) < 0 || take(&out->events, ds->events, index, n) < 0 ||
        take(&out->tags, ds->tags, index, n) < 0 ||
        et_names_copy(&out->classes, &ds->classes) < 0 || et_names_copy(&out->splits, &ds->splits) < 0 ||
        et_names_copy(&out->tag_names, &ds->tag_names) < 0) {
        et_dataset_free(out);
        return NULL;
    }
    for (int64_t i = 0; ds->names.n > 0 && i < n; i++)
        if (et_names_add(&out->names, ds->names.items[index[i]]) < 0) {
            et_dataset_free(out);
            return NULL;
        }
    return out;
}

et_status et_dataset_count(const et_dataset *ds, int64_t *counts)
{
    const int32_t *y;

    if (et_dataset_check(ds) < 0)
        return et_error_status();
    if (!counts)
        return et_raise(ET_EINVAL, "dataset count: NULL");
    y = et_data_i32(ds->y);
    for (int64_t k = 0; k < ds->classes.n; k++)
        counts[k] = 0;
    for (int64_t i = 0; i < ds->y->numel; i++)
        counts[y[i]]++;
    return ET_OK;
}
