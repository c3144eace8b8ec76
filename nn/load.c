/* Reading modules from safetensors files, with the names of other libraries,
 * and what became of each tensor. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "nn/internal.h"
#include "tensor/alloc.h"
#include "tensor/strbuf.h"

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
    list_free(&r->shapes);
    r->loaded = r->passed_over = r->kept = 0;
}

et_status et_load_report_print(const et_load_report *r, FILE *out)
{
    const struct { const char *what; const et_name_list *names, *more; } lists[] = {
        {"missing", &r->missing, NULL}, {"unexpected", &r->unexpected, NULL},
        {"of another shape", &r->misshaped, &r->shapes}};
    bool good = fprintf(out, "%" PRId64 " tensors loaded, %" PRId64 " of the file passed over, %" PRId64
                        " of the model kept\n", r->loaded, r->passed_over, r->kept) > 0;

    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < lists[k].names->n && good; i++)
            good = fprintf(out, "%s: %s%s%s\n", lists[k].what, lists[k].names->items[i],
                           lists[k].more ? ": " : "", lists[k].more ? lists[k].more->items[i] : "") > 0;
    return good && fflush(out) == 0 ? ET_OK : et_raise(ET_EIO, "the report of a load cannot be written");
}

/* --- names -------------------------------------------------------------------------------- */

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

/* True if name is one of a list of paths (or NULL) or below it. */
static bool below(const char *const *paths, const char *name)
{
    for (; paths && *paths; paths++)
        if (et_path_within(*paths, name))
            return true;
    return false;
}

/* Where `part`, whole between dots, stands in name, or NULL. */
static char *part_of(char *name, const char *part)
{
    const size_t n = strlen(part);

    for (char *at = name; n && (at = strstr(at, part)); at++)
        if ((at == name || at[-1] == '.') && (!at[n] || at[n] == '.'))
            return at;
    return NULL;
}

/* Puts `to` in the place of `from` in b. */
static bool renamed(et_strbuf *b, const et_rename *r)
{
    et_strbuf out = ET_STRBUF_INIT;
    char *at = b->data ? part_of(b->data, r->from) : NULL;

    if (!at)
        return !b->failed;
    if (!et_strbuf_add(&out, b->data, (size_t)(at - b->data)) || !et_strbuf_puts(&out, r->to) ||
        !et_strbuf_puts(&out, at + strlen(r->from))) {
        et_strbuf_free(&out);
        return false;
    }
    et_strbuf_free(b);
    *b = out;
    return true;
}

/* A name of the file as the module calls it, into b. */
static bool rewritten(et_strbuf *b, const char *name, const et_load_options *o)
{
    static const char *const pairs[][2] = {{"LayerNorm.gamma", "LayerNorm.weight"},
                                           {"LayerNorm.beta", "LayerNorm.bias"}};
    size_t keep;
    bool good;

    et_strbuf_reset(b);
    if (o->rewrite && strncmp(name, "module.", 7) == 0)
        name += 7;
    if (o->prefix && strncmp(name, o->prefix, strlen(o->prefix)) == 0)
        name += strlen(o->prefix);
    keep = strlen(name);
    const char *end = "";
    for (int i = 0; i < 2 && o->rewrite; i++)
        if (ends_with(name, pairs[i][0])) {
            keep -= strlen(pairs[i][0]);
            end = pairs[i][1];
        }
    good = et_strbuf_add(b, name, keep) && et_strbuf_puts(b, end);
    for (const et_rename *r = o->renames; good && r && r->from; r++)
        good = renamed(b, r);
    return good;
}

/* --- matching ----------------------------------------------------------------------------- */

/* What is known while a file and a module are compared. */
typedef struct comparison {
    const et_load_options *o;
    et_load_report *r;
    et_state plan;  /* what is to be read */
    et_state other; /* tensors of the module that were found misshaped, or are reported as missing */
} comparison;

static et_status misshaped(comparison *c, const et_safetensors_entry *e, et_tensor *t, int parts)
{
    char a[ET_SHAPE_TEXT], b[ET_SHAPE_TEXT];
    int64_t wanted[ET_MAX_DIMS];
    et_strbuf text = ET_STRBUF_INIT;
    et_status status = et_state_add(&c->other, "", e->name, t);

    if (status || (c->r->misshaped.n && strcmp(c->r->misshaped.items[c->r->misshaped.n - 1], e->name) == 0))
        return status;
    for (int d = 0; d < t->ndim; d++)
        wanted[d] = t->shape[d] * (d == 0 && parts ? parts : 1);
    et_strbuf_printf(&text, "%s %s in the file, expected %s %s", e->stored,
                     et_shape_text(a, e->ndim, e->shape), et_dtype_name(t->dtype),
                     et_shape_text(b, t->ndim, wanted));
    status = text.failed ? et_error_status() : list_add(&c->r->shapes, text.data);
    et_strbuf_free(&text);
    return status ? status : list_add(&c->r->misshaped, e->name);
}

/* Plans to read t from the file's entry; records a misfit instead. */
static et_status plan(comparison *c, const et_safetensors_entry *e, et_tensor *t, int part, int parts)
{
    const et_state_item it = {NULL, t, NULL, part, parts};
    et_status status;

    if (et_state_lists(&c->plan, t)) /* a tied tensor under its other name */
        return ET_OK;
    if (!et_state_fits(&it, e))
        return misshaped(c, e, t, parts);
    status = et_state_add(&c->plan, "", e->name, t);
    if (!status) {
        c->plan.items[c->plan.n - 1].part = part;
        c->plan.items[c->plan.n - 1].parts = parts;
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

/* What one tensor of the file is for; name and other are memory for names. */
static et_status match_entry(comparison *c, const et_module *m, const et_safetensors_entry *e,
                             et_strbuf *name, et_strbuf *other)
{
    et_tensor *parts[3], *t;
    et_status status = ET_OK;

    if (!rewritten(name, e->name, c->o))
        return et_error_status();
    t = et_module_find(m, name->data);
    if (below(c->o->keep, name->data))
        c->r->passed_over++;
    else if (t && is_state(m, t))
        status = plan(c, e, t, 0, 0);
    else if (c->o->rewrite && split_qkv(m, name->data, other, parts))
        for (int k = 0; k < 3 && !status; k++)
            status = plan(c, e, parts[k], k, 3);
    else if ((c->o->rewrite && dispensable(e->name)) || below(c->o->pass_over, name->data))
        c->r->passed_over++;
    else
        status = list_add(&c->r->unexpected, e->name);
    return other->failed ? et_error_status() : status;
}

/* Compares the file with the module. */
static et_status match(comparison *c, const et_module *m, const et_safetensors *file)
{
    et_strbuf name = ET_STRBUF_INIT, other = ET_STRBUF_INIT;
    et_status status = ET_OK;
    const et_safetensors_entry *e;
    const et_entry *entry;

    for (int64_t i = 0; !status && (e = et_safetensors_at(file, i)); i++)
        status = match_entry(c, m, e, &name, &other);
    c->r->loaded = c->plan.n;
    for (int64_t i = 0; !status && (entry = et_module_entry(m, i)); i++) {
        const char *wanted = et_module_entry_name(m, entry);
        if (entry->kind == ET_ENTRY_CONSTANT || et_state_lists(&c->plan, entry->tensor) ||
            et_state_lists(&c->other, entry->tensor) || (c->o->rewrite && dispensable(wanted)))
            continue;
        if (below(c->o->keep, wanted) || below(c->o->optional, wanted)) {
            c->r->kept++;
            continue;
        }
        status = et_state_add(&c->other, "", wanted, entry->tensor);
        if (!status)
            status = list_add(&c->r->missing, wanted);
    }
    et_strbuf_free(&name);
    et_strbuf_free(&other);
    return status;
}

/* "3 missing (a.weight, ...)" */
static void describe(et_strbuf *b, const char *what, const et_name_list *list, const et_name_list *more)
{
    if (list->n)
        et_strbuf_printf(b, "%s%" PRId64 " %s (%s%s%s%s)", b->size ? ", " : "", list->n, what, list->items[0],
                         more ? ": " : "", more ? more->items[0] : "", list->n > 1 ? ", ..." : "");
}

static et_status refuse(const char *path, const et_load_report *r)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_status status;

    describe(&b, "missing", &r->missing, NULL);
    describe(&b, "unexpected", &r->unexpected, NULL);
    describe(&b, "of another shape", &r->misshaped, &r->shapes);
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
    static const et_load_options plain;
    const et_load_options *o = options ? options : &plain;
    et_load_report own = {0}, *r = report ? report : &own;
    comparison c = {.o = o, .r = r};
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
    status = match(&c, m, file);
    if (!status && !o->partial && !o->compare && (r->missing.n || r->unexpected.n || r->misshaped.n))
        status = refuse(path, r);
    if (!status && !o->compare)
        status = et_state_stage(&c.plan, file, false);
    if (!status && !o->compare)
        status = et_state_commit(&c.plan);
    et_safetensors_close(file);
    et_state_free(&c.plan);
    et_state_free(&c.other);
    et_load_report_free(&own);
    return status ? et_fail_status("module_load") : ET_OK;
}
