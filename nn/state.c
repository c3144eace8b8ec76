/* Lists of named tensors, written to safetensors files and read from them; and the state of
 * modules with the names of other libraries. */
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
    et_strbuf_free(&b);
    if (!full)
        return et_error_status();
    s->items[s->n++] = (et_state_item){full, t, NULL, 0, 0};
    return ET_OK;
}

static bool listed(const et_state *s, const et_tensor *t)
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
        if (e->kind != ET_ENTRY_CONSTANT && !listed(s, e->tensor))
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

static bool fits(const et_state_item *it, const et_safetensors_entry *e)
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
        if (!fits(it, e) || (exact && e->dtype != it->tensor->dtype))
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

static et_status list_add(et_name_list *list, const char *name)
{
    char **items = et_alloc_resize(list->items, (size_t)(list->n + 1) * sizeof *items);

    if (!items)
        return et_error_status();
    list->items = items;
    items[list->n] = et_alloc_string(name);
    return items[list->n] ? (list->n++, ET_OK) : et_error_status();
}

static void list_free(et_name_list *list)
{
    for (int64_t i = 0; i < list->n; i++)
        et_dealloc(list->items[i]);
    et_dealloc(list->items);
    *list = (et_name_list){0, NULL};
}

void et_load_report_free(et_load_report *r)
{
    if (!r)
        return;
    list_free(&r->missing);
    list_free(&r->unexpected);
    list_free(&r->misshaped);
    r->loaded = 0;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);

    return n >= k && strcmp(s + n - k, end) == 0;
}

/* What older files hold and no module needs, or modules hold and older files do not. */
static bool dispensable(const char *name)
{
    static const char *const ends[] = {"num_batches_tracked", "position_ids", "relative_position_index",
                                       "attn_mask"};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, ends[i]))
            return true;
    return false;
}

/* A name of the file as the module calls it, into b. */
static bool rewritten(et_strbuf *b, const char *name, const et_load_options *o)
{
    static const char *const pairs[][2] = {{"LayerNorm.gamma", "LayerNorm.weight"},
                                           {"LayerNorm.beta", "LayerNorm.bias"}};

    et_strbuf_reset(b);
    if (o->rewrite && strncmp(name, "module.", 7) == 0)
        name += 7;
    if (o->prefix && strncmp(name, o->prefix, strlen(o->prefix)) == 0)
        name += strlen(o->prefix);
    for (int i = 0; i < 2 && o->rewrite; i++)
        if (ends_with(name, pairs[i][0]))
            return et_strbuf_add(b, name, strlen(name) - strlen(pairs[i][0])) &&
                   et_strbuf_puts(b, pairs[i][1]);
    return et_strbuf_puts(b, name);
}

/* Plans to read t from the file's entry; records a misfit instead. */
static et_status plan(et_state *s, et_load_report *r, const et_safetensors_entry *e, et_tensor *t, int part,
                      int parts)
{
    const et_state_item it = {NULL, t, NULL, part, parts};
    et_status status;

    if (listed(s, t)) /* a tied tensor under its other name */
        return ET_OK;
    if (!fits(&it, e))
        return r->misshaped.n && strcmp(r->misshaped.items[r->misshaped.n - 1], e->name) == 0
                   ? ET_OK
                   : list_add(&r->misshaped, e->name);
    status = et_state_add(s, "", e->name, t);
    if (!status) {
        s->items[s->n - 1].part = part;
        s->items[s->n - 1].parts = parts;
    }
    return status;
}

/* Finds the three tensors that the packed "qkv" of `name` is cut into. */
static bool split_qkv(const et_module *m, const char *name, et_strbuf *b, et_tensor *out[3])
{
    static const char *const sets[][3] = {
        {"q", "k", "v"}, {"query", "key", "value"}, {"q_proj", "k_proj", "v_proj"}};
    const char *at = strstr(name, "qkv");

    if (!at || (at != name && at[-1] != '.') || (at[3] && at[3] != '.'))
        return false;
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        int found = 0;
        for (int i = 0; i < 3; i++) {
            et_strbuf_reset(b);
            if (!et_strbuf_add(b, name, (size_t)(at - name)) || !et_strbuf_puts(b, sets[k][i]) ||
                !et_strbuf_puts(b, at + 3))
                return false;
            out[i] = et_module_find(m, b->data);
            found += out[i] != NULL;
        }
        if (found == 3)
            return true;
    }
    return false;
}

static bool is_state(const et_module *m, const et_tensor *t)
{
    const et_entry *e;

    for (int64_t i = 0; (e = et_module_entry(m, i)); i++)
        if (e->tensor == t)
            return e->kind != ET_ENTRY_CONSTANT;
    return false;
}

/* Compares the file with the module. */
static et_status match(const et_module *m, const et_safetensors *file, const et_load_options *o, et_state *s,
                       et_load_report *r)
{
    et_strbuf name = ET_STRBUF_INIT, other = ET_STRBUF_INIT;
    et_status status = ET_OK;
    const et_safetensors_entry *e;
    const et_entry *entry;

    for (int64_t i = 0; !status && (e = et_safetensors_at(file, i)); i++) {
        et_tensor *parts[3], *t;
        if (!rewritten(&name, e->name, o)) {
            status = et_error_status();
            break;
        }
        t = et_module_find(m, name.data);
        if (t && is_state(m, t))
            status = plan(s, r, e, t, 0, 0);
        else if (o->rewrite && split_qkv(m, name.data, &other, parts))
            for (int k = 0; k < 3 && !status; k++)
                status = plan(s, r, e, parts[k], k, 3);
        else if (!(o->rewrite && dispensable(e->name)))
            status = list_add(&r->unexpected, e->name);
        if (other.failed)
            status = et_error_status();
    }
    r->loaded = s->n;
    for (int64_t i = 0; !status && (entry = et_module_entry(m, i)); i++) {
        const char *wanted = et_module_entry_name(m, entry);
        bool there = entry->kind == ET_ENTRY_CONSTANT || listed(s, entry->tensor);
        if (there || (o->rewrite && dispensable(wanted)))
            continue;
        for (int64_t k = 0; k < r->misshaped.n && !there; k++) {
            if (!rewritten(&name, r->misshaped.items[k], o))
                break;
            there = strcmp(name.data, wanted) == 0;
        }
        if (!there && !(entry->tied && et_module_find(m, wanted) == entry->tensor && r->missing.n &&
                        et_module_find(m, r->missing.items[r->missing.n - 1]) == entry->tensor))
            status = list_add(&r->missing, wanted);
    }
    et_strbuf_free(&name);
    et_strbuf_free(&other);
    return status;
}

/* "3 missing (a.weight, ...)" */
static void describe(et_strbuf *b, const char *what, const et_name_list *list)
{
    if (list->n)
        et_strbuf_printf(b, "%s%" PRId64 " %s (%s%s)", b->size ? ", " : "", list->n, what, list->items[0],
                         list->n > 1 ? ", ..." : "");
}

static et_status refuse(const char *path, const et_load_report *r)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_status status;

    describe(&b, "missing", &r->missing);
    describe(&b, "unexpected", &r->unexpected);
    describe(&b, "of another shape", &r->misshaped);
    if (b.failed)
        status = et_error_status();
    else
        status = et_raise(r->misshaped.n ? ET_ESHAPE : ET_EINVAL, "%s does not fit the module: %s", path,
                          b.data);
    et_strbuf_free(&b);
    return status;
}

et_status et_module_load(et_module *m, const char *path, const et_load_options *options,
                         et_load_report *report)
{
    et_load_options o = options ? *options : (et_load_options){false, false, NULL};
    et_load_report own = {0}, *r = report ? report : &own;
    et_state s = {NULL, 0, 0};
    et_safetensors *file;
    et_status status;

    if (report)
        *report = own;
    if (et_error_status())
        return et_fail_status("module_load");
    if (!m || !path)
        return et_raise(ET_EINVAL, "module_load: %s is NULL", m ? "the path" : "the module");
    file = et_safetensors_open(path);
    if (!file)
        return et_fail_status("module_load");
    status = match(m, file, &o, &s, r);
    if (!status && !o.partial && (r->missing.n || r->unexpected.n || r->misshaped.n))
        status = refuse(path, r);
    if (!status)
        status = et_state_stage(&s, file, false);
    if (!status)
        status = et_state_commit(&s);
    et_safetensors_close(file);
    et_state_free(&s);
    et_load_report_free(&own);
    return status ? et_fail_status("module_load") : ET_OK;
}
