/* Checkpoints. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "nn/checkpoint.h"
#include "nn/internal.h"
#include "tensor/alloc.h"
#include "tensor/number.h"

#define FORMAT_KEY "etude.checkpoint"
#define FORMAT "2"

static et_status describe(const et_checkpoint_state *c, et_pairs *p)
{
    char number[ET_NUMBER_TEXT], state[96];
    et_status status = et_pairs_put(p, "", FORMAT_KEY, FORMAT);

    if (!status)
        status = et_pairs_put_int(p, "", "epoch", c->epoch);
    if (!status)
        status = et_pairs_put_int(p, "", "step", c->step);
    if (!status)
        status = et_pairs_put_int(p, "", "phase", c->phase);
    if (!status)
        status = et_pairs_put_int(p, "", "phase_began", c->phase_began);
    if (!status)
        status = et_pairs_put(p, "", "best", et_format_double(number, c->progress.best));
    if (!status)
        status = et_pairs_put_int(p, "", "best_epoch", c->progress.best_epoch);
    if (!status)
        status = et_pairs_put_int(p, "", "waited", c->progress.waited);
    if (!status && c->optim)
        status = et_optim_describe(c->optim, "optim.", p);
    for (int i = 0; i < c->n_rngs && !status; i++) {
        const et_rng *r = c->rngs[i].rng;
        snprintf(state, sizeof state, "%" PRIu64 " %" PRIu64 " %" PRIu64, r->seed, r->stream, r->counter);
        status = et_pairs_put(p, "rng.", c->rngs[i].name, state);
    }
    for (int64_t i = 0; i < c->n_metadata && !status; i++)
        status = et_pairs_put(p, "run.", c->metadata[i].key, c->metadata[i].value);
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
    et_pairs p = {NULL, 0, 0};
    et_status status = check(c, path, "checkpoint_save");

    if (status)
        return status;
    status = collect(c, &s);
    if (!status)
        status = describe(c, &p);
    if (!status)
        status = et_state_write(&s, path, p.items, p.n);
    et_pairs_free(&p);
    et_state_free(&s);
    return status ? et_fail_status("checkpoint_save") : ET_OK;
}

/* --- reading ------------------------------------------------------------------------------ */

/* What a file says besides tensors. */
typedef struct facts {
    int64_t epoch, step, phase, phase_began, best_epoch, waited;
    double best;
    et_rng *rngs;
} facts;

/* "rng.<name>": seed, stream and counter. */
static et_status read_rng(const et_safetensors *f, const char *path, const char *name, et_rng *out)
{
    uint64_t *const parts[3] = {&out->seed, &out->stream, &out->counter};
    const char *text = et_meta_under(f, "rng.", name);

    if (!text)
        return et_error_status() ? et_error_status()
                                 : et_raise(ET_EINVAL, "%s has no random generator \"%s\"", path, name);
    for (int i = 0; i < 3; i++) {
        const char *end = i < 2 ? strchr(text, ' ') : text + strlen(text);
        if (!end || !et_parse_u64(text, (size_t)(end - text), parts[i]))
            return et_raise(ET_EFORMAT, "%s: the state of the random generator \"%s\" is damaged", path,
                            name);
        text = end + 1;
    }
    return ET_OK;
}

static et_status check_format(const et_safetensors *f, const char *path)
{
    const char *text = et_safetensors_meta(f, FORMAT_KEY);

    return text && strcmp(text, FORMAT) == 0 ? ET_OK
                                             : et_raise(ET_EFORMAT, "%s is no checkpoint of this version",
                                                        path);
}

static et_status check_metadata(const et_checkpoint_state *c, const et_safetensors *f, const char *path)
{
    for (int64_t i = 0; i < c->n_metadata; i++) {
        const char *found = et_meta_under(f, "run.", c->metadata[i].key);
        if (!found || strcmp(found, c->metadata[i].value) != 0)
            return et_raise(ET_EINVAL, "%s belongs to a run with %s = %s, not %s", path, c->metadata[i].key,
                            found ? found : "(nothing)", c->metadata[i].value);
    }
    return ET_OK;
}

static et_status read_facts(const et_checkpoint_state *c, const et_safetensors *f, const char *path,
                            facts *out)
{
    const char *text;
    et_status status;

    if ((status = check_format(f, path)) || (status = check_metadata(c, f, path)) ||
        (status = et_meta_int(f, path, "", "epoch", 0, &out->epoch)) ||
        (status = et_meta_int(f, path, "", "step", 0, &out->step)) ||
        (status = et_meta_int(f, path, "", "phase", 0, &out->phase)) ||
        (status = et_meta_int(f, path, "", "phase_began", 0, &out->phase_began)) ||
        (status = et_meta_int(f, path, "", "best_epoch", -1, &out->best_epoch)) ||
        (status = et_meta_int(f, path, "", "waited", 0, &out->waited)))
        return status;
    text = et_safetensors_meta(f, "best");
    if (!text || !et_parse_double(text, strlen(text), &out->best))
        return et_raise(ET_EFORMAT, "%s: no valid \"best\"", path);
    if (c->optim)
        status = et_optim_stage(c->optim, f, path, "optim.");
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
    status = found.rngs ? collect(c, &s) : et_error_status();
    if (!status)
        status = read_facts(c, file, path, &found);
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
        c->phase = found.phase;
        c->phase_began = found.phase_began;
        c->progress.best = found.best;
        c->progress.best_epoch = found.best_epoch;
        c->progress.waited = found.waited;
        if (c->optim)
            et_optim_commit(c->optim);
        for (int i = 0; i < c->n_rngs; i++)
            *c->rngs[i].rng = found.rngs[i];
    }
    et_safetensors_close(file);
    et_state_free(&s);
    et_dealloc(found.rngs);
    return status ? et_fail_status("checkpoint_load") : ET_OK;
}

et_status et_checkpoint_phase(const char *path, int64_t *phase)
{
    et_safetensors *f = et_safetensors_open(path);
    et_status status = f ? check_format(f, path) : et_error_status();

    if (!status)
        status = et_meta_int(f, path, "", "phase", 0, phase);
    et_safetensors_close(f);
    return status ? et_fail_status("checkpoint_phase") : ET_OK;
}
