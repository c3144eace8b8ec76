/* config.json and metrics.json of a run folder. */
#include "config.h"

#include "examples/common/runfolder_internal.h"

#include <string.h>

#include "examples/common/interrupt.h"
#include "tensor/alloc.h"
#include "tensor/file.h"

et_status et_run_config_begin(et_run *run, const et_cli *cli, et_json_writer *w)
{
    if (et_interrupted())
        return et_raise(ET_EINVAL, "interrupted");
    et_strbuf_free(&run->text);
    et_json_begin(w, &run->text, 2);
    et_json_open_object(w);
    et_json_key(w, "program");
    et_json_string(w, et_cli_program(cli)->name);
    et_json_key(w, "verb");
    et_json_string(w, et_cli_verb(cli)->name);
    et_json_key(w, "version");
    et_json_string(w, PACKAGE_VERSION);
    et_json_key(w, "options");
    et_cli_write_options(cli, w);
    return run->text.failed ? ET_ENOMEM : et_error_status();
}

et_status et_run_config_end(et_run *run, et_json_writer *w)
{
    const char *path = et_run_path(run, ET_RUN_CONFIG);
    et_status status;

    et_json_close(w);
    status = et_json_end(w);
    if (status == ET_OK && (!path || !et_strbuf_putc(&run->text, '\n')))
        status = ET_ENOMEM;
    if (status == ET_OK && run->replaces)
        status = et_run_remove_old(run);
    run->replaces = run->replaces && status != ET_OK;
    if (status == ET_OK)
        status = et_file_write(path, run->text.data, run->text.size);
    run->unread = run->unread && status != ET_OK;
    et_strbuf_free(&run->text);
    return status;
}

/* --- names ----------------------------------------------------------------------------- */

void et_run_write_names(et_json_writer *w, const char *key, const et_names *names)
{
    et_json_key(w, key);
    et_json_open_array(w);
    for (int64_t i = 0; i < names->n; i++)
        et_json_string(w, names->items[i]);
    et_json_close(w);
}

/* The list of config.json, in *list; NULL where it has none. */
static et_status find_names(const et_run *run, const char *key, const et_json_value **list)
{
    *list = et_json_get(et_run_config(run), key);
    if (*list && (*list)->type != ET_JSON_ARRAY)
        return et_raise(ET_EFORMAT, "%s: %s in its config.json is no list", run->dir, key);
    return ET_OK;
}

et_status et_run_read_names(et_run *run, const char *key, et_names *out)
{
    const et_json_value *list;

    if (find_names(run, key, &list))
        return et_error_status();
    for (const et_json_value *v = list ? list->first : NULL; v; v = v->next) {
        if (v->type != ET_JSON_STRING || v->length == 0 || strlen(v->string) != v->length)
            return et_raise(ET_EFORMAT, "%s: one of its %s is no name", et_run_path(run, ET_RUN_CONFIG), key);
        if (et_names_add(out, v->string))
            return et_error_status();
    }
    return ET_OK;
}

/* Whether a name is that of config.json, which has U+FFFD for bytes that are not UTF-8: these may be any. */
static bool is_name(const et_json_value *v, const char *name)
{
    return v && v->type == ET_JSON_STRING &&
           (strcmp(v->string, name) == 0 || strstr(v->string, "\xEF\xBF\xBD"));
}

et_status et_run_check_names(const et_run *run, const char *key, const et_names *names)
{
    const et_json_value *list, *v;

    if (find_names(run, key, &list))
        return et_error_status();
    v = list ? list->first : NULL;
    for (int64_t k = 0; list && k < names->n; k++, v = v->next) {
        if (!v)
            return et_raise(ET_EINVAL, "%s learned fewer %s than the data have: not %s", run->dir, key,
                            names->items[k]);
        if (!is_name(v, names->items[k]))
            return et_raise(ET_EINVAL, "%s learned other %s: its number %lld is not %s", run->dir, key,
                            (long long)k + 1, names->items[k]);
    }
    return v ? et_raise(ET_EINVAL, "%s learned more %s than the data have", run->dir, key) : ET_OK;
}

/* --- metrics ----------------------------------------------------------------------------- */

/* Writes a value that was read; as deep as the reader allows. */
static void copy_value(et_json_writer *w, const et_json_value *v)
{
    if (v->key)
        et_json_key(w, v->key);
    switch (v->type) {
    case ET_JSON_NULL:
        et_json_null(w);
        break;
    case ET_JSON_BOOL:
        et_json_bool(w, v->boolean);
        break;
    case ET_JSON_NUMBER:
        if (v->is_int)
            et_json_int(w, v->integer);
        else
            et_json_number(w, v->number);
        break;
    case ET_JSON_STRING:
        et_json_string(w, v->string);
        break;
    case ET_JSON_ARRAY:
    case ET_JSON_OBJECT:
        if (v->type == ET_JSON_ARRAY)
            et_json_open_array(w);
        else
            et_json_open_object(w);
        for (const et_json_value *c = v->first; c; c = c->next)
            copy_value(w, c);
        et_json_close(w);
        break;
    }
}

static void write_section(et_json_writer *w, const char *section, const et_figure *figures, int n)
{
    et_json_key(w, section);
    et_json_open_object(w);
    for (int i = 0; i < n; i++)
        et_run_write_figure(w, figures[i]);
    et_json_close(w);
}

/* Place of a section in the file. */
static int section_rank(const char *section)
{
    return strcmp(section, "train") == 0 ? 0 : strcmp(section, "valid") == 0
           ? 1 : strcmp(section, "test") == 0 ? 2 : 3;
}

et_status et_run_metrics(et_run *run, const char *section, const et_figure *figures, int n)
{
    const char *path = et_run_path(run, ET_RUN_METRICS);
    int has = et_run_has(run->dir, ET_RUN_METRICS), rank = section_rank(section);
    et_json *old = NULL;
    et_strbuf text = ET_STRBUF_INIT;
    et_json_writer w;
    et_status status;
    bool written = false;

    if (!path || has < 0)
        return ET_ENOMEM;
    if (has && !(old = et_json_read(path, ET_RUN_CONFIG_LIMIT)))
        return et_error_status();
    if (old && et_json_root(old)->type != ET_JSON_OBJECT) {
        et_json_free(old);
        return et_raise(ET_EFORMAT, "%s: not an object", path);
    }
    et_json_begin(&w, &text, 2);
    et_json_open_object(&w);
    for (const et_json_value *v = old ? et_json_root(old)->first : NULL; v; v = v->next) {
        bool same = strcmp(v->key, section) == 0;

        if (!written && (same || section_rank(v->key) > rank)) {
            write_section(&w, section, figures, n);
            written = true;
        }
        if (!same)
            copy_value(&w, v);
    }
    if (!written)
        write_section(&w, section, figures, n);
    et_json_close(&w);
    status = et_json_end(&w);
    if (status == ET_OK && !et_strbuf_putc(&text, '\n'))
        status = ET_ENOMEM;
    if (status == ET_OK)
        status = et_file_write(path, text.data, text.size);
    et_strbuf_free(&text);
    et_json_free(old);
    return status;
}
