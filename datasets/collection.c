/* Making, checking and asking collections of sounds. */
#include "config.h"

#include "datasets/collection.h"

#include <inttypes.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/sort.h"

/* The load of collections of files. */
static et_status load_file(const et_collection *c, int64_t i, et_audio *out)
{
    if (c->files.n == 0 || c->files.items[i][0] == '\0')
        return et_raise(ET_EINVAL, "there is no sound file to it");
    return et_audio_read(c->files.items[i], out);
}

et_collection *et_collection_new(const char *name)
{
    et_collection *c;

    if (!name) {
        et_raise(ET_EINVAL, "collection: needs a name");
        return NULL;
    }
    c = et_alloc_zero(1, sizeof *c);
    if (!c)
        return NULL;
    c->name = et_alloc_string(name);
    if (!c->name) {
        et_dealloc(c);
        return NULL;
    }
    c->load = load_file;
    return c;
}

void et_collection_free(et_collection *c)
{
    if (!c)
        return;
    if (c->free_source)
        c->free_source(c->source);
    et_dealloc(c->name);
    et_names_free(&c->names);
    et_names_free(&c->files);
    et_names_free(&c->classes);
    et_free(c->y);
    et_names_free(&c->tag_names);
    et_free(c->tags);
    et_names_free(&c->captions);
    et_free(c->groups);
    et_free(c->split);
    et_names_free(&c->splits);
    et_dealloc(c);
}

int64_t et_collection_size(const et_collection *c) { return c ? c->names.n : 0; }

/* An optional int32 [n] field with values lo .. hi. */
static et_status check_ints(const et_collection *c, const char *what, const et_tensor *t, int64_t lo,
                            int64_t hi)
{
    const int32_t *v;

    if (!t)
        return ET_OK;
    if (t->dtype != ET_I32)
        return et_raise(ET_EDTYPE, "%s: %s are %s, not int32", c->name, what, et_dtype_name(t->dtype));
    if (t->ndim != 1 || t->shape[0] != c->names.n || !et_is_contiguous(t)) {
        char text[ET_SHAPE_TEXT];
        return et_raise(ET_ESHAPE, "%s: %s are %s for %" PRId64 " items", c->name, what,
                        et_shape_text(text, t->ndim, t->shape), c->names.n);
    }
    if (!(v = et_data_i32(t)))
        return et_fail_status(c->name);
    for (int64_t i = 0; i < t->numel; i++)
        if (v[i] < lo || v[i] > hi)
            return et_raise(ET_EINVAL, "%s: %s: %" PRId32 " of '%s' is not in %" PRId64 " .. %" PRId64,
                            c->name, what, v[i], c->names.items[i], lo, hi);
    return ET_OK;
}

/* uint8 [N, L], 0 or 1. */
static et_status check_tags(const et_collection *c)
{
    const et_tensor *t = c->tags;
    const uint8_t *v;

    if (!t)
        return c->tag_names.n == 0
                   ? ET_OK
                   : et_raise(ET_ESHAPE, "%s: %" PRId64 " tag names, but no tags", c->name, c->tag_names.n);
    if (t->dtype != ET_U8)
        return et_raise(ET_EDTYPE, "%s: tags are %s, not uint8", c->name, et_dtype_name(t->dtype));
    if (t->ndim != 2 || t->shape[0] != c->names.n || t->shape[1] != c->tag_names.n || !et_is_contiguous(t)) {
        char text[ET_SHAPE_TEXT];
        return et_raise(ET_ESHAPE, "%s: tags are %s for %" PRId64 " items and %" PRId64 " tag names", c->name,
                        et_shape_text(text, t->ndim, t->shape), c->names.n, c->tag_names.n);
    }
    if (!(v = et_data(t)))
        return et_fail_status(c->name);
    for (int64_t i = 0; i < t->numel; i++)
        if (v[i] > 1)
            return et_raise(ET_EINVAL, "%s: tag '%s' of '%s' is %d, not 0 or 1", c->name,
                            c->tag_names.items[i % c->tag_names.n], c->names.items[i / c->tag_names.n],
                            (int)v[i]);
    return ET_OK;
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static et_status check_unique(const et_collection *c, const char *what, const et_names *names)
{
    char **sorted;
    et_status status = ET_OK;

    if (names->n == 0)
        return ET_OK;
    sorted = et_alloc_zero((size_t)names->n, sizeof *sorted);
    if (!sorted)
        return et_fail_status(c->name);
    memcpy(sorted, names->items, (size_t)names->n * sizeof *sorted);
    et_sort_pointers((void **)sorted, (size_t)names->n, by_text);
    for (int64_t i = 0; status == ET_OK && i < names->n; i++)
        if (sorted[i][0] == '\0')
            status = et_raise(ET_EINVAL, "%s: %s without a name", c->name, what);
        else if (i > 0 && strcmp(sorted[i], sorted[i - 1]) == 0)
            status = et_raise(ET_EINVAL, "%s: the %s '%.80s' is there twice", c->name, what, sorted[i]);
    et_dealloc(sorted);
    return status;
}

static et_status check_count(const et_collection *c, const char *what, const et_names *names)
{
    if (names->n != 0 && names->n != c->names.n)
        return et_raise(ET_ESHAPE, "%s: %" PRId64 " %s for %" PRId64 " items", c->name, names->n, what,
                        c->names.n);
    return ET_OK;
}

et_status et_collection_check(const et_collection *c)
{
    if (!c)
        return et_raise(ET_EINVAL, "collection: NULL");
    if (c->names.n > INT32_MAX)
        return et_raise(ET_ESHAPE, "%s: more than 2^31 items", c->name);
    if (check_count(c, "files", &c->files) < 0 || check_count(c, "captions", &c->captions) < 0 ||
        check_unique(c, "item", &c->names) < 0 || check_unique(c, "class", &c->classes) < 0 ||
        check_unique(c, "tag", &c->tag_names) < 0 || check_unique(c, "split", &c->splits) < 0)
        return et_error_status();
    if (!c->y != (c->classes.n == 0) && c->names.n > 0)
        return et_raise(ET_ESHAPE, "%s: %s", c->name, c->y ? "labels, but no classes"
                                                           : "classes, but no labels");
    if (check_ints(c, "labels", c->y, 0, c->classes.n - 1) < 0 ||
        check_ints(c, "groups", c->groups, INT32_MIN, INT32_MAX) < 0 ||
        check_ints(c, "splits", c->split, -1, c->splits.n - 1) < 0 || check_tags(c) < 0)
        return et_error_status();
    return ET_OK;
}

et_status et_collection_audio(const et_collection *c, int64_t i, et_audio *out)
{
    if (!c || !out)
        return et_raise(ET_EINVAL, "collection: NULL");
    *out = (et_audio){NULL, 0};
    if (i < 0 || i >= c->names.n)
        return et_raise(ET_EINVAL, "%s: no item %" PRId64 " among %" PRId64, c->name, i, c->names.n);
    if (!c->load)
        return et_raise(ET_EINVAL, "%s: there is no sound to its items", c->name);
    if (c->load(c, i, out) < 0) {
        *out = (et_audio){NULL, 0};
        return et_fail_status(c->names.items[i]);
    }
    if (et_audio_check_finite(out) < 0) {
        et_audio_free(out);
        return et_fail_status(c->names.items[i]);
    }
    return ET_OK;
}

/* A copy that no scope owns; NULL stays NULL. */
static et_status copy_tensor(et_tensor **out, const et_tensor *t)
{
    *out = NULL;
    if (!t)
        return ET_OK;
    *out = et_dataset_tensor(t->dtype, t->ndim, t->shape);
    return *out && et_copy_into(*out, t) == ET_OK ? ET_OK : et_fail_status("collection");
}

et_dataset *et_collection_labels(const et_collection *c)
{
    et_dataset *ds;
    et_status status;

    if (et_collection_check(c) < 0 || !(ds = et_dataset_new()))
        return NULL;
    if (c->y) {
        status = copy_tensor(&ds->y, c->y);
        if (status == ET_OK)
            status = et_names_copy(&ds->classes, &c->classes);
    } else {
        ds->y = et_dataset_tensor(ET_I32, ET_SHAPE(c->names.n));
        status = ds->y ? et_fill(ds->y, 0) : et_error_status();
        if (status == ET_OK)
            status = et_names_add(&ds->classes, c->name);
    }
    if (status < 0 || copy_tensor(&ds->groups, c->groups) < 0 || copy_tensor(&ds->split, c->split) < 0 ||
        copy_tensor(&ds->tags, c->tags) < 0 || et_names_copy(&ds->tag_names, &c->tag_names) < 0 ||
        et_names_copy(&ds->names, &c->names) < 0 || et_names_copy(&ds->splits, &c->splits) < 0) {
        et_dataset_free(ds);
        return NULL;
    }
    return ds;
}
