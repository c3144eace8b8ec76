/* Checkpoints. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "nn/checkpoint.h"
#include "nn/internal.h"
#include "tensor/alloc.h"
#include "tensor/number.h"
#include "tensor/strbuf.h"

#define FORMAT_KEY "etude.checkpoint"
#define FORMAT "1"

/* Metadata being put together: owned keys and values. */
typedef struct pairs {
    et_metadata *items;
    int64_t n, room;
} pairs;

static void pairs_free(pairs *p)
{
    for (int64_t i = 0; i < p->n; i++) {
        et_dealloc((char *)p->items[i].key);
        et_dealloc((char *)p->items[i].value);
    }
    et_dealloc(p->items);
}

/* prefix + key = value */
static et_status put(pairs *p, const char *prefix, const char *key, const char *value)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_status status = et_grow(&p->items, p->n, &p->room, sizeof *p->items);
    char *k, *v;

    if (status)
        return status;
    et_strbuf_puts(&b, prefix);
    et_strbuf_puts(&b, key);
    k = et_strbuf_take(&b);
    et_strbuf_free(&b);
    v = k ? et_alloc_string(value) : NULL;
    if (!v) {
        et_dealloc(k);
        return et_error_status();
    }
    p->items[p->n++] = (et_metadata){k, v};
    return ET_OK;
}

static et_status put_int(pairs *p, const char *key, int64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64, value);
    return put(p, "", key, text);
}

static et_status describe(const et_checkpoint_state *c, pairs *p)
{
    char number[ET_NUMBER_TEXT], state[96];
    et_status status = put(p, "", FORMAT_KEY, FORMAT);

    if (!status)
        status = put_int(p, "epoch", c->epoch);
    if (!status)
        status = put_int(p, "step", c->step);
    if (!status)
        status = put(p, "", "best", et_format_double(number, c->progress.best));
    if (!status)
        status = put_int(p, "best_epoch", c->progress.best_epoch);
    if (!status)
        status = put_int(p, "waited", c->progress.waited);
    if (!status && c->optim) {
        status = put(p, "", "optim.kind", et_optim_kind_name(c->optim));
        if (!status)
            status = put_int(p, "optim.steps", et_optim_steps(c->optim));
    }
    for (int i = 0; i < c->n_rngs && !status; i++) {
        const et_rng *r = c->rngs[i].rng;
        snprintf(state, sizeof state, "%" PRIu64 " %" PRIu64 " %" PRIu64, r->seed, r->stream, r->counter);
        status = put(p, "rng.", c->rngs[i].name, state);
    }
    for (int64_t i = 0; i < c->n_metadata && !status; i++)
        status = put(p, "run.", c->metadata[i].key, c->metadata[i].value);
    return status;
}

static et_status collect(const et_checkpoint_state *c, et_state *s)
{
    et_status status = et_state_add_module(s, "model.", c->module);

    if (!status && c->optim)
        status = et_optim_refresh(c->optim);
    return status || !c->optim ? status : et_optim_add_state(c->optim, "optim.", s);
}

static et_status check(const et_checkpoint_state *c, const char *path, const char *what)
{
    if (et_error_status())
        return et_fail_status(what);
    if (!c || !path || !c->module)
        return et_raise(ET_EINVAL, "%s: %s is NULL", what,
                        !c     ? "the checkpoint"
                        : path ? "the module"
                               : "the path");
    for (int i = 0; i < c->n_rngs; i++)
        if (!c->rngs[i].name || !c->rngs[i].rng)
            return et_raise(ET_EINVAL, "%s: generator %d is NULL or has no name", what, i);
    for (int64_t i = 0; i < c->n_metadata; i++)
        if (!c->metadata[i].key || !c->metadata[i].value)
            return et_raise(ET_EINVAL, "%s: metadata %d is NULL", what, (int)i);
    return ET_OK;
}

et_status et_checkpoint_save(const et_checkpoint_state *c, const char *path)
{
    et_state s = {NULL, 0, 0};
    pairs p = {NULL, 0, 0};
    et_status status = check(c, path, "checkpoint_save");

    if (status)
        return status;
    status = collect(c, &s);
    if (!status)
        status = describe(c, &p);
    if (!status)
        status = et_state_write(&s, path, p.items, p.n);
    pairs_free(&p);
    et_state_free(&s);
    return status ? et_fail_status("checkpoint_save") : ET_OK;
}

/* --- reading ------------------------------------------------------------------------------ */

/* What a file says besides tensors. */
typedef struct facts {
    int64_t epoch, step, best_epoch, waited, optim_steps;
    double best;
    et_rng *rngs;
} facts;

static et_status read_int(const et_safetensors *f, const char *path, const char *key, int64_t least,
                          int64_t *out)
{
    const char *text = et_safetensors_meta(f, key);

    if (!text || !et_parse_i64(text, strlen(text), out) || *out < least)
        return et_raise(ET_EFORMAT, "%s: no valid \"%s\"", path, key);
    return ET_OK;
}

/* "rng.<name>": three numbers. */
static et_status read_rng(const et_safetensors *f, const char *path, const char *name, et_rng *out)
{
    et_strbuf b = ET_STRBUF_INIT;
    char *text = NULL, *part[3];
    et_status status = ET_OK;

    if (et_strbuf_puts(&b, "rng.") && et_strbuf_puts(&b, name)) {
        const char *found = et_safetensors_meta(f, b.data);
        if (!found)
            status = et_raise(ET_EINVAL, "%s has no random generator \"%s\"", path, name);
        else if ((text = et_alloc_string(found)) != NULL) {
            part[0] = text;
            part[1] = strchr(text, ' ');
            part[2] = part[1] ? strchr(part[1] + 1, ' ') : NULL;
            if (part[2])
                *part[1]++ = 0, *part[2]++ = 0;
            if (!part[2] || !et_read_u64(part[0], &out->seed) || !et_read_u64(part[1], &out->stream) ||
                !et_read_u64(part[2], &out->counter))
                status = et_raise(ET_EFORMAT, "%s: the state of the random generator \"%s\" is damaged", path,
                                  name);
        }
    }
    if (!status && (b.failed || !text))
        status = et_error_status();
    et_dealloc(text);
    et_strbuf_free(&b);
    return status;
}

static et_status check_metadata(const et_checkpoint_state *c, const et_safetensors *f, const char *path)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_status status = ET_OK;

    for (int64_t i = 0; i < c->n_metadata && !status; i++) {
        et_strbuf_reset(&b);
        if (!et_strbuf_puts(&b, "run.") || !et_strbuf_puts(&b, c->metadata[i].key)) {
            status = et_error_status();
            break;
        }
        const char *found = et_safetensors_meta(f, b.data);
        if (!found || strcmp(found, c->metadata[i].value) != 0)
            status = et_raise(ET_EINVAL, "%s belongs to a run with %s = %s, not %s", path, c->metadata[i].key,
                              found ? found : "(nothing)", c->metadata[i].value);
    }
    et_strbuf_free(&b);
    return status;
}

static et_status read_facts(const et_checkpoint_state *c, const et_safetensors *f, const char *path,
                            facts *out)
{
    const char *text = et_safetensors_meta(f, FORMAT_KEY), *kind = et_safetensors_meta(f, "optim.kind");
    et_status status;

    if (!text || strcmp(text, FORMAT) != 0)
        return et_raise(ET_EFORMAT, "%s is no checkpoint of this version", path);
    if ((status = check_metadata(c, f, path)) || (status = read_int(f, path, "epoch", 0, &out->epoch)) ||
        (status = read_int(f, path, "step", 0, &out->step)) ||
        (status = read_int(f, path, "best_epoch", -1, &out->best_epoch)) ||
        (status = read_int(f, path, "waited", 0, &out->waited)))
        return status;
    text = et_safetensors_meta(f, "best");
    if (!text || !et_parse_double(text, strlen(text), &out->best))
        return et_raise(ET_EFORMAT, "%s: no valid \"best\"", path);
    if (c->optim && (!kind || strcmp(kind, et_optim_kind_name(c->optim)) != 0))
        return et_raise(ET_EINVAL, "%s belongs to a run with the optimiser %s, not %s", path,
                        kind ? kind : "(none)", et_optim_kind_name(c->optim));
    if (c->optim && (status = read_int(f, path, "optim.steps", 0, &out->optim_steps)))
        return status;
    for (int i = 0; i < c->n_rngs && !status; i++)
        status = read_rng(f, path, c->rngs[i].name, &out->rngs[i]);
    return status;
}

et_status et_checkpoint_load(et_checkpoint_state *c, const char *path)
{
    et_state s = {NULL, 0, 0};
    facts found = {0};
    et_safetensors *file;
    et_status status = check(c, path, "checkpoint_load");

    if (status)
        return status;
    file = et_safetensors_open(path);
    if (!file)
        return et_fail_status("checkpoint_load");
    found.rngs = et_alloc_zero((size_t)c->n_rngs + 1, sizeof *found.rngs);
    status = found.rngs ? read_facts(c, file, path, &found) : et_error_status();
    if (!status)
        status = collect(c, &s);
    if (!status)
        status = et_state_stage(&s, file, true);
    if (!status && et_safetensors_count(file) != s.n)
        status = et_raise(ET_EINVAL, "%s has %" PRId64 " tensors, expected %" PRId64, path,
                          et_safetensors_count(file), s.n);
    if (!status)
        status = et_state_commit(&s);
    if (!status) {
        c->epoch = found.epoch;
        c->step = found.step;
        c->progress.best = found.best;
        c->progress.best_epoch = found.best_epoch;
        c->progress.waited = found.waited;
        if (c->optim)
            et_optim_set_steps(c->optim, found.optim_steps);
        for (int i = 0; i < c->n_rngs; i++)
            *c->rngs[i].rng = found.rngs[i];
    }
    et_safetensors_close(file);
    et_state_free(&s);
    et_dealloc(found.rngs);
    return status ? et_fail_status("checkpoint_load") : ET_OK;
}
