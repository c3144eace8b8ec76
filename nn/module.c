/* Trees of modules. The root keeps two flat lists, of all modules and of all named tensors;
 * a module's part of them is what lies below its path. */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "nn/internal.h"
#include "tensor/alloc.h"
#include "tensor/strbuf.h"

typedef struct et_module_tree tree;

et_status et_grow(void *items, int64_t n, int64_t *room, size_t size)
{
    void *old, *bigger;
    int64_t more = *room ? *room * 2 : 8;

    if (n < *room)
        return ET_OK;
    memcpy(&old, items, sizeof old);
    bigger = et_alloc_resize(old, (size_t)more * size);
    if (!bigger)
        return et_error_status();
    memcpy(items, &bigger, sizeof bigger);
    *room = more;
    return ET_OK;
}

bool et_path_within(const char *path, const char *name)
{
    size_t n = strlen(path);

    return n == 0 || (strncmp(path, name, n) == 0 && (name[n] == 0 || name[n] == '.'));
}

/* path + "." + name, without the point where path is "". */
static char *join(const char *path, const char *name)
{
    size_t n = strlen(path), k = strlen(name);
    char *s = et_alloc(n + k + 2);

    if (!s)
        return NULL;
    memcpy(s, path, n);
    if (n)
        s[n++] = '.';
    memcpy(s + n, name, k + 1);
    return s;
}

static et_entry *find_entry(const tree *t, const char *name)
{
    for (int64_t i = 0; i < t->n_entries; i++)
        if (strcmp(t->entries[i].name, name) == 0)
            return &t->entries[i];
    return NULL;
}

static et_module *find_module(const tree *t, const char *path)
{
    for (int64_t i = 0; i < t->n_modules; i++)
        if (strcmp(t->modules[i]->path, path) == 0)
            return t->modules[i];
    return NULL;
}

/* The full name of a new thing under m; NULL if it is no name or taken. */
static char *new_name(const et_module *m, const char *name)
{
    const tree *t = m->root->tree;
    char *full;

    if (!name || !*name || strchr(name, '.')) {
        et_raise(ET_EINVAL, "module %s: \"%s\" is no name for a part", m->path, name ? name : "(null)");
        return NULL;
    }
    full = join(m->path, name);
    if (full && (find_entry(t, full) || find_module(t, full))) {
        et_raise(ET_EINVAL, "module: the name \"%s\" is taken", full);
        et_dealloc(full);
        return NULL;
    }
    return full;
}

/* --- making and freeing ---------------------------------------------------------------- */

static void free_module(et_module *m)
{
    if (m->release)
        m->release(m);
    et_dealloc(m->path);
    et_dealloc(m);
}

static void free_entry(et_entry *e)
{
    if (!e->tied)
        et_free(e->tensor);
    et_dealloc(e->name);
}

static void free_tree(tree *t)
{
    for (int64_t i = 0; i < t->n_entries; i++)
        free_entry(&t->entries[i]);
    for (int64_t i = t->n_modules - 1; i >= 0; i--)
        free_module(t->modules[i]);
    et_dealloc(t->entries);
    et_dealloc(t->modules);
    et_dealloc(t);
}

/* The module `path` below m, of which the first n characters count; plain groups where there is none. */
static et_module *group(et_module *m, const char *path, size_t n)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_module *found = NULL;

    if (et_strbuf_add(&b, path, n)) {
        found = et_module_child(m, b.data);
        found = found ? found : et_module_new(sizeof *found, "Group", m, b.data);
    }
    et_strbuf_free(&b);
    return found;
}

void *et_module_new(size_t size, const char *kind, et_module *parent, const char *name)
{
    const char *dot = parent && name ? strrchr(name, '.') : NULL;
    et_module *m;
    tree *t;

    if (et_error_status())
        return NULL;
    if (size < sizeof *m || !kind || (!parent && name)) {
        et_raise(ET_EINVAL, "module: %s",
                 size < sizeof *m ? "the size does not hold an et_module"
                 : !kind          ? "it has no kind"
                                  : "it has a name but no parent");
        return NULL;
    }
    if (dot && dot > name) {
        parent = group(parent, name, (size_t)(dot - name));
        name = dot + 1;
        if (!parent)
            return NULL;
    }
    m = et_alloc_zero(1, size);
    if (!m)
        return NULL;
    m->kind = kind;
    m->parent = parent;
    m->root = parent ? parent->root : m;
    m->training = parent ? parent->training : true;
    m->path = parent ? new_name(parent, name) : et_alloc_string("");
    m->tree = m->path && !parent ? et_alloc_zero(1, sizeof *m->tree) : NULL;
    t = parent ? m->root->tree : m->tree;
    if (!m->path || !t || et_grow(&t->modules, t->n_modules, &t->room_modules, sizeof *t->modules)) {
        et_dealloc(m->tree);
        et_dealloc(m->path);
        et_dealloc(m);
        return NULL;
    }
    t->modules[t->n_modules++] = m;
    return m;
}

/* Takes m and all below it out of its tree. Names that other parts of the tree gave to its
 * tensors go too. */
static void prune(et_module *m)
{
    tree *t = m->root->tree;
    int64_t kept = 0;

    for (int64_t i = 0; i < t->n_entries; i++) {
        et_entry *e = &t->entries[i];
        if (e->tied)
            for (int64_t j = 0; j < t->n_entries; j++)
                if (!t->entries[j].tied && t->entries[j].tensor == e->tensor &&
                    et_path_within(m->path, t->entries[j].owner->path))
                    e->owner = m;
    }
    for (int64_t i = 0; i < t->n_entries; i++) {
        if (et_path_within(m->path, t->entries[i].owner->path))
            free_entry(&t->entries[i]);
        else
            t->entries[kept++] = t->entries[i];
    }
    t->n_entries = kept;
    kept = 0;
    for (int64_t i = 0; i < t->n_modules; i++) {
        et_module *part = t->modules[i];
        if (part != m && et_path_within(m->path, part->path))
            free_module(part);
        else if (part != m)
            t->modules[kept++] = part;
    }
    t->n_modules = kept;
    free_module(m);
}

void *et_module_done(et_module *m)
{
    if (!m || !et_error_status())
        return m;
    if (m->parent)
        prune(m);
    else
        free_tree(m->tree);
    return NULL;
}

et_status et_module_free(et_module *root)
{
    if (!root)
        return ET_OK;
    if (root->parent)
        return et_raise(ET_EINVAL, "module_free: %s has a parent, which frees it", root->path);
    free_tree(root->tree);
    return ET_OK;
}

void et_module_note(et_module *m, const char *fmt, ...)
{
    va_list args;

    if (!m)
        return;
    va_start(args, fmt);
    vsnprintf(m->note, sizeof m->note, fmt, args);
    va_end(args);
}

/* Adds an entry; takes `full`. */
static et_status add_entry(et_module *m, char *full, et_tensor *x, et_entry_kind kind, bool tied)
{
    tree *t = m->root->tree;

    if (!full || et_grow(&t->entries, t->n_entries, &t->room_entries, sizeof *t->entries)) {
        et_dealloc(full);
        return et_error_status();
    }
    t->entries[t->n_entries++] = (et_entry){full, x, m, kind, tied};
    if (!tied)
        x->name = full;
    return ET_OK;
}

et_tensor *et_module_buffer(et_module *m, const char *name, et_entry_kind kind, et_dtype dtype, int ndim,
                            const int64_t *shape)
{
    et_tensor *x = NULL;
    char *full;

    if (et_error_status())
        return NULL;
    if (!m) {
        et_raise(ET_EINVAL, "module: %s is to be added to a NULL module", name ? name : "a tensor");
        return NULL;
    }
    full = new_name(m, name);
    if (full)
        x = et_empty_owned(dtype, ndim, shape);
    if (!x || et_fill(x, 0)) {
        et_free(x);
        et_dealloc(full);
        return NULL;
    }
    if (add_entry(m, full, x, kind, false)) {
        et_free(x);
        return NULL;
    }
    return x;
}

et_tensor *et_module_param(et_module *m, const char *name, int ndim, const int64_t *shape)
{
    return et_set_requires_grad(et_module_buffer(m, name, ET_ENTRY_PARAMETER, ET_F32, ndim, shape), true);
}

et_tensor *et_module_tie(et_module *m, const char *name, et_tensor *x)
{
    if (et_error_status())
        return NULL;
    if (!m || !x) {
        et_raise(ET_EINVAL, "module_tie: %s is NULL", m ? "the tensor" : "the module");
        return NULL;
    }
    const tree *t = m->root->tree;
    for (int64_t i = 0; i < t->n_entries; i++)
        if (t->entries[i].tensor == x)
            return add_entry(m, new_name(m, name), x, t->entries[i].kind, true) ? NULL : x;
    et_raise(ET_EINVAL, "module_tie: the tensor for \"%s\" is not in the same tree", name ? name : "");
    return NULL;
}

/* --- looking ----------------------------------------------------------------------------- */

static bool has(const et_module *m, const et_entry *e) { return et_path_within(m->path, e->owner->path); }

const et_entry *et_module_entry(const et_module *m, int64_t i)
{
    const tree *t;

    if (!m || i < 0)
        return NULL;
    t = m->root->tree;
    if (m == m->root)
        return i < t->n_entries ? &t->entries[i] : NULL;
    for (int64_t j = 0; j < t->n_entries; j++)
        if (has(m, &t->entries[j]) && i-- == 0)
            return &t->entries[j];
    return NULL;
}

int64_t et_module_n_entries(const et_module *m)
{
    int64_t n = 0;

    for (int64_t j = 0; m && j < m->root->tree->n_entries; j++)
        n += has(m, &m->root->tree->entries[j]);
    return n;
}

const char *et_module_entry_name(const et_module *m, const et_entry *e)
{
    size_t n = strlen(m->path);

    return e->name + (n ? n + 1 : 0);
}

et_tensor *et_module_find(const et_module *m, const char *name)
{
    if (!m || !name)
        return NULL;
    const tree *t = m->root->tree;
    for (int64_t i = 0; i < t->n_entries; i++)
        if (has(m, &t->entries[i]) && strcmp(et_module_entry_name(m, &t->entries[i]), name) == 0)
            return t->entries[i].tensor;
    return NULL;
}

et_module *et_module_child(const et_module *m, const char *name)
{
    if (!m || !name)
        return NULL;
    const tree *t = m->root->tree;
    const size_t n = strlen(m->path);
    for (int64_t i = 0; i < t->n_modules; i++)
        if (t->modules[i] != m && et_path_within(m->path, t->modules[i]->path) &&
            strcmp(t->modules[i]->path + (n ? n + 1 : 0), name) == 0)
            return t->modules[i];
    return NULL;
}

static int64_t count(const et_module *m, bool frozen_too)
{
    int64_t n = 0;

    for (int64_t i = 0; m && i < m->root->tree->n_entries; i++) {
        const et_entry *e = &m->root->tree->entries[i];
        if (has(m, e) && e->kind == ET_ENTRY_PARAMETER && !e->tied &&
            (frozen_too || e->tensor->requires_grad))
            n += e->tensor->numel;
    }
    return n;
}

int64_t et_module_count(const et_module *m) { return count(m, true); }
int64_t et_module_count_trainable(const et_module *m) { return count(m, false); }

et_status et_module_check_finite(const et_module *m)
{
    et_status status = ET_OK;
    const et_entry *e;

    for (int64_t i = 0; !status && (e = et_module_entry(m, i)); i++)
        status = et_check_finite(e->tensor, et_module_entry_name(m, e));
    return status;
}

/* 1234567 as "1 234 567". */
static const char *grouped(char buf[32], int64_t n)
{
    char digits[24];
    int k = snprintf(digits, sizeof digits, "%" PRId64, n), at = 0;

    for (int i = 0; i < k; i++) {
        if (i && (k - i) % 3 == 0)
            buf[at++] = ' ';
        buf[at++] = digits[i];
    }
    buf[at] = 0;
    return buf;
}

/* The entry that owns the tensor of a tied one. */
static const char *first_name(const tree *t, const et_tensor *x)
{
    for (int64_t i = 0; i < t->n_entries; i++)
        if (!t->entries[i].tied && t->entries[i].tensor == x)
            return t->entries[i].name;
    return "";
}

/* Of a dotted name what follows the last point. */
static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? dot + 1 : name;
}

/* m and what is below it, as the tree has them, whatever the order they were added in. */
static void print_part(const et_module *m, int depth, FILE *out)
{
    const tree *t = m->root->tree;
    char shape[ET_SHAPE_TEXT], number[32];

    fprintf(out, "%*s%s%s%s%s%s\n", 2 * depth, "", depth ? last_part(m->path) : "", depth ? ": " : "",
            m->kind, *m->note ? "  " : "", m->note);
    for (int64_t i = 0; i < t->n_entries; i++) {
        const et_entry *e = &t->entries[i];
        const et_tensor *x = e->tensor;
        if (e->owner != m)
            continue;
        fprintf(out, "%*s%-*s %-16s %12s%s%s%s\n", 2 * depth + 2, "",
                34 - 2 * depth > 1 ? 34 - 2 * depth : 1, last_part(e->name),
                et_shape_text(shape, x->ndim, x->shape),
                e->tied || e->kind != ET_ENTRY_PARAMETER ? "-" : grouped(number, x->numel),
                e->tied                         ? "  is "
                : e->kind != ET_ENTRY_PARAMETER ? "  not trained"
                : x->requires_grad              ? ""
                                                : "  frozen",
                e->tied ? first_name(t, x) : "",
                x->dtype == ET_F64 ? "  float64" : "");
    }
    for (int64_t i = 0; i < t->n_modules; i++)
        if (t->modules[i]->parent == m)
            print_part(t->modules[i], depth + 1, out);
}

et_status et_module_print(const et_module *m, FILE *out)
{
    char all[32], trained[32];

    if (!m || !out)
        return et_raise(ET_EINVAL, "module_print: %s is NULL", m ? "the file" : "the module");
    print_part(m, 0, out);
    fprintf(out, "%s parameters, %s of them trained\n", grouped(all, et_module_count(m)),
            grouped(trained, et_module_count_trainable(m)));
    return fflush(out) || ferror(out) ? et_raise(ET_EIO, "module_print: the output cannot be written")
                                      : ET_OK;
}

/* --- setting ----------------------------------------------------------------------------- */

static void set_training(et_module *m, bool on)
{
    for (int64_t i = 0; m && i < m->root->tree->n_modules; i++)
        if (et_path_within(m->path, m->root->tree->modules[i]->path))
            m->root->tree->modules[i]->training = on && !m->root->tree->modules[i]->held;
}

void et_module_hold_eval(et_module *m, bool on)
{
    for (int64_t i = 0; m && i < m->root->tree->n_modules; i++) {
        et_module *part = m->root->tree->modules[i];
        if (et_path_within(m->path, part->path)) {
            part->held = on;
            part->training = !on && m->root->training;
        }
    }
}

void et_module_train(et_module *m) { set_training(m, true); }
void et_module_eval(et_module *m) { set_training(m, false); }

static et_status set_trainable(et_module *m, const char *prefix, bool on)
{
    int64_t found = 0;

    if (!m)
        return et_raise(ET_EINVAL, "module_%s: the module is NULL", on ? "unfreeze" : "freeze");
    for (int64_t i = 0; i < m->root->tree->n_entries; i++) {
        et_entry *e = &m->root->tree->entries[i];
        if (e->kind == ET_ENTRY_PARAMETER && has(m, e) &&
            et_path_within(prefix ? prefix : "", et_module_entry_name(m, e))) {
            et_set_requires_grad(e->tensor, on);
            found++;
        }
    }
    return found ? ET_OK
                 : et_raise(ET_EINVAL, "module_%s: no parameter is named \"%s\" or below it",
                            on ? "unfreeze" : "freeze", prefix ? prefix : "");
}

et_status et_module_freeze(et_module *m, const char *prefix) { return set_trainable(m, prefix, false); }
et_status et_module_unfreeze(et_module *m, const char *prefix) { return set_trainable(m, prefix, true); }

et_status et_module_to(et_module *m, et_dtype dtype)
{
    et_tensor **fresh;
    tree *t;
    et_status status = ET_OK;

    if (!m)
        return et_raise(ET_EINVAL, "module_to: the module is NULL");
    if (!et_dtype_is_real(dtype))
        return et_raise(ET_EDTYPE, "module_to: %s is no type for parameters", et_dtype_name(dtype));
    t = m->root->tree;
    fresh = et_alloc_zero((size_t)t->n_entries + 1, sizeof *fresh);
    if (!fresh)
        return et_error_status();
    for (int64_t i = 0; i < t->n_entries && !status; i++) {
        const et_tensor *x = t->entries[i].tensor;
        if (t->entries[i].tied || !has(m, &t->entries[i]) || !et_dtype_is_real(x->dtype) || x->dtype == dtype)
            continue;
        fresh[i] = et_empty_owned(dtype, x->ndim, x->shape);
        status = fresh[i] ? et_copy_into(fresh[i], x) : et_error_status();
    }
    for (int64_t i = 0; i < t->n_entries; i++) {
        et_tensor *x = t->entries[i].tensor, *y = fresh[i];
        if (y && !status) { /* the handle takes the new storage, the temporary one the old */
            et_storage *old = x->storage;
            x->storage = y->storage;
            x->offset = y->offset;
            x->dtype = dtype; /* the strides stay: entries are dense */
            y->storage = old;
            et_free(x->grad);
            x->grad = NULL;
            x->reached = false;
        }
        et_free(y);
    }
    et_dealloc(fresh);
    return status;
}

void et_zero_grad(et_module *m)
{
    for (int64_t i = 0; m && i < m->root->tree->n_entries; i++)
        if (has(m, &m->root->tree->entries[i]) && !m->root->tree->entries[i].tied)
            et_zero_grad_of(m->root->tree->entries[i].tensor);
}

int64_t et_module_unreached(const et_module *m, const char **names, int64_t max)
{
    int64_t n = 0;

    for (int64_t i = 0; m && i < m->root->tree->n_entries; i++) {
        const et_entry *e = &m->root->tree->entries[i];
        if (!has(m, e) || e->tied || e->kind != ET_ENTRY_PARAMETER || !e->tensor->requires_grad ||
            e->tensor->reached)
            continue;
        if (names && n < max)
            names[n] = et_module_entry_name(m, e);
        n++;
    }
    return n;
}
