/* Lists of named tensors, written to safetensors files and read from them; modules as such files. What
 * modules make of files of other libraries is in load.c. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "nn/internal.h"
#include "tensor/alloc.h"
#include "tensor/strbuf.h"

et_status et_state_add(et_state *s, const char *prefix, const char *name, et_tensor *t)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_status status = et_grow(&s->items, s->n, &s->room, sizeof *s->items);
    char *full;

    if (status)
        return status;
    et_strbuf_puts(&b, prefix);
    et_strbuf_puts(&b, name);
    full = et_strbuf_take(&b);
    if (!full)
        return et_error_status();
    s->items[s->n++] = (et_state_item){full, t, NULL, 0, 0};
    return ET_OK;
}

bool et_state_lists(const et_state *s, const et_tensor *t)
{
    for (int64_t i = 0; i < s->n; i++)
        if (s->items[i].tensor == t)
            return true;
    return false;
}

et_status et_state_add_module(et_state *s, const char *prefix, const et_module *m)
{
    const et_entry *e;
    et_status status = ET_OK;

    for (int64_t i = 0; (e = et_module_entry(m, i)) && !status; i++)
        if (e->kind != ET_ENTRY_CONSTANT && !et_state_lists(s, e->tensor))
            status = et_state_add(s, prefix, et_module_entry_name(m, e), e->tensor);
    return status;
}

et_status et_state_write(const et_state *s, const char *path, const et_metadata *metadata, int64_t n)
{
    et_named_tensor *list = et_alloc_zero((size_t)s->n + 1, sizeof *list);
    et_status status;

    if (!list)
        return et_error_status();
    for (int64_t i = 0; i < s->n; i++)
        list[i] = (et_named_tensor){s->items[i].name, s->items[i].tensor};
    status = et_safetensors_write(path, list, s->n, metadata, n);
    et_dealloc(list);
    return status;
}

/* True if the entry has the shape that the item reads. */
static bool shape_fits(const et_state_item *it, const et_safetensors_entry *e)
{
    if (e->ndim != it->tensor->ndim)
        return false;
    for (int d = 0; d < e->ndim; d++)
        if (e->shape[d] != it->tensor->shape[d] * (d == 0 && it->parts ? it->parts : 1))
            return false;
    return true;
}

static bool converts(et_dtype from, et_dtype to)
{
    return from == to ||
           ((et_dtype_is_real(from) || from == ET_BF16) && (et_dtype_is_real(to) || to == ET_BF16));
}

bool et_state_fits(const et_state_item *it, const et_safetensors_entry *e)
{
    return shape_fits(it, e) && e->readable && converts(e->dtype, it->tensor->dtype);
}

/* Reads one slice of the first axis. */
static et_status load_part(et_safetensors *file, const et_safetensors_entry *e, et_state_item *it)
{
    et_tensor *whole = et_empty_owned(it->tensor->dtype, e->ndim, e->shape), *slice;
    et_status status = whole ? et_safetensors_load_into(file, e->name, whole) : et_error_status();

    if (!status) {
        slice = et_own(et_raw_view(whole, it->tensor->ndim, it->tensor->shape, whole->strides,
                                   it->part * it->tensor->numel));
        status = slice ? et_copy_into(it->staged, slice) : et_error_status();
        et_free(slice);
    }
    et_free(whole);
    return status;
}

et_status et_state_stage(et_state *s, et_safetensors *file, bool exact)
{
    char a[ET_SHAPE_TEXT], b[ET_SHAPE_TEXT];
    et_status status = ET_OK;

    for (int64_t i = 0; i < s->n; i++) {
        const et_state_item *it = &s->items[i];
        const et_safetensors_entry *e = et_safetensors_find(file, it->name);
        if (!e)
            return et_raise(ET_EINVAL, "the file has no tensor \"%s\"", it->name);
        if (!shape_fits(it, e))
            return et_raise(ET_ESHAPE, "\"%s\" is %s in the file, expected %s", it->name,
                            et_shape_text(a, e->ndim, e->shape),
                            et_shape_text(b, it->tensor->ndim, it->tensor->shape));
        if (!et_state_fits(it, e) || (exact && e->dtype != it->tensor->dtype))
            return et_raise(ET_EDTYPE, "\"%s\" is %s in the file, expected %s", it->name, e->stored,
                            et_dtype_name(it->tensor->dtype));
    }
    for (int64_t i = 0; i < s->n && !status; i++) {
        et_state_item *it = &s->items[i];
        it->staged = et_empty_owned(it->tensor->dtype, it->tensor->ndim, it->tensor->shape);
        if (!it->staged)
            return et_error_status();
        status = it->parts ? load_part(file, et_safetensors_find(file, it->name), it)
                           : et_safetensors_load_into(file, it->name, it->staged);
    }
    return status;
}

et_status et_state_commit(et_state *s)
{
    et_status status = ET_OK;

    for (int64_t i = 0; i < s->n && !status; i++)
        status = et_copy_into(s->items[i].tensor, s->items[i].staged);
    return status;
}

void et_state_free(et_state *s)
{
    for (int64_t i = 0; i < s->n; i++) {
        et_free(s->items[i].staged);
        et_dealloc(s->items[i].name);
    }
    et_dealloc(s->items);
    *s = (et_state){NULL, 0, 0};
}

/* --- modules ------------------------------------------------------------------------------ */

et_status et_module_save(const et_module *m, const char *path, const char *const *metadata, int n_meta)
{
    et_state s = {NULL, 0, 0};
    et_metadata *pairs;
    et_status status;

    if (et_error_status())
        return et_fail_status("module_save");
    if (!m || !path || n_meta < 0)
        return et_raise(ET_EINVAL, "module_save: %s", !m ? "the module is NULL" : "no path, or no metadata");
    pairs = et_alloc_zero((size_t)n_meta + 1, sizeof *pairs);
    if (!pairs)
        return et_error_status();
    for (int i = 0; i < n_meta; i++)
        pairs[i] = (et_metadata){metadata[2 * i], metadata[2 * i + 1]};
    status = et_state_add_module(&s, "", m);
    if (!status)
        status = et_state_write(&s, path, pairs, n_meta);
    et_dealloc(pairs);
    et_state_free(&s);
    return status ? et_fail_status("module_save") : ET_OK;
}
