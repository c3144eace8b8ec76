/* The state of optimisers: moments and step number, to and from files. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "nn/optim_internal.h"
#include "tensor/number.h"
#include "tensor/strbuf.h"

static const char *kind_name(const et_optim *o)
{
    static const char *const names[] = {"sgd", "adam", "adamw", "swats"};

    return names[o->options.kind];
}

et_status et_optim_add_state(const et_optim *o, const char *prefix, et_state *s)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_status status = ET_OK;

    for (int i = 0; i < o->n_blocks && !status; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots && !status; k++) {
            const et_optim_slot *at = &o->blocks[i].slots[k];
            et_tensor *moments[2] = {at->m, at->v};
            for (int j = 0; j < 2 && !status; j++) {
                if (!moments[j])
                    continue;
                et_strbuf_reset(&b);
                et_strbuf_printf(&b, "%s%s.", prefix,
                                 o->options.kind == ET_SGD ? "momentum"
                                 : j                       ? "exp_avg_sq"
                                                           : "exp_avg");
                status = b.failed ? et_error_status() : et_state_add(s, b.data, at->name, moments[j]);
            }
        }
    et_strbuf_free(&b);
    return status;
}

static et_status describe_swats(const et_swats *s, const char *prefix, et_pairs *p)
{
    char number[ET_NUMBER_TEXT];
    et_status status = et_pairs_put_int(p, prefix, "switched", s->at);

    if (!status)
        status = et_pairs_put(p, prefix, "lambda", et_format_double(number, s->lambda));
    if (!status)
        status = et_pairs_put(p, prefix, "rate", et_format_double(number, s->rate));
    if (!status)
        status = et_pairs_put(p, prefix, "rate_lr", et_format_double(number, s->rate_lr));
    return status;
}

static et_status read_real(const et_safetensors *file, const char *path, const char *prefix, const char *key,
                           double *out)
{
    const char *text = et_meta_under(file, prefix, key);

    return text && et_parse_double(text, strlen(text), out) ? ET_OK
                                                            : et_raise(ET_EFORMAT, "%s: no valid \"%s\"",
                                                                       path, key);
}

static et_status read_swats(const et_safetensors *file, const char *path, const char *prefix, et_swats *out)
{
    et_status status = et_meta_int(file, path, prefix, "switched", 0, &out->at);

    if (!status)
        status = read_real(file, path, prefix, "lambda", &out->lambda);
    if (!status)
        status = read_real(file, path, prefix, "rate", &out->rate);
    return status ? status : read_real(file, path, prefix, "rate_lr", &out->rate_lr);
}

et_status et_optim_describe(const et_optim *o, const char *prefix, et_pairs *p)
{
    et_status status = et_pairs_put(p, prefix, "kind", kind_name(o));
    et_strbuf below = ET_STRBUF_INIT;

    if (!status)
        status = et_pairs_put_int(p, prefix, "steps", o->steps);
    if (!status && o->options.kind == ET_SWATS)
        status = describe_swats(&o->swats, prefix, p);
    if (!status && !(et_strbuf_puts(&below, prefix) && et_strbuf_puts(&below, "steps.")))
        status = et_error_status();
    for (int i = 0; i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots && !status; k++) {
            const et_optim_slot *s = &o->blocks[i].slots[k];
            if (s->steps != o->steps)
                status = et_pairs_put_int(p, below.data, s->name, s->steps);
        }
    et_strbuf_free(&below);
    return status;
}

et_status et_optim_stage(et_optim *o, const et_safetensors *file, const char *path, const char *prefix)
{
    const char *kind = et_meta_under(file, prefix, "kind");
    et_strbuf below = ET_STRBUF_INIT;
    et_status status = et_error_status();

    if (!status && (!kind || strcmp(kind, kind_name(o)) != 0))
        status = et_raise(ET_EINVAL, "%s holds the state of the optimiser %s, not %s", path,
                          kind ? kind : "(none)", kind_name(o));
    if (!status)
        status = et_meta_int(file, path, prefix, "steps", 0, &o->staged);
    if (!status && o->options.kind == ET_SWATS)
        status = read_swats(file, path, prefix, &o->swats_staged);
    if (!status && !(et_strbuf_puts(&below, prefix) && et_strbuf_puts(&below, "steps.")))
        status = et_error_status();
    for (int i = 0; i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots && !status; k++) {
            et_optim_slot *s = &o->blocks[i].slots[k];
            s->staged = o->staged;
            if (et_meta_under(file, below.data, s->name))
                status = et_meta_int(file, path, below.data, s->name, 0, &s->staged);
            else
                status = et_error_status();
        }
    et_strbuf_free(&below);
    return status;
}

void et_optim_commit(et_optim *o)
{
    o->steps = o->staged;
    if (o->options.kind == ET_SWATS)
        o->swats = o->swats_staged;
    for (int i = 0; i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++)
            o->blocks[i].slots[k].steps = o->blocks[i].slots[k].staged;
}

et_status et_optim_save(const et_optim *o, const char *path)
{
    et_state s = {NULL, 0, 0};
    et_pairs p = {NULL, 0, 0};
    et_status status;

    if (et_error_status())
        return et_fail_status("optim_save");
    if (!o || !path)
        return et_raise(ET_EINVAL, "optim_save: %s is NULL", o ? "the path" : "the optimiser");
    status = et_optim_add_state(o, "", &s);
    if (!status)
        status = et_optim_describe(o, "", &p);
    if (!status)
        status = et_state_write(&s, path, p.items, p.n);
    et_pairs_free(&p);
    et_state_free(&s);
    return status ? et_fail_status("optim_save") : ET_OK;
}

et_status et_optim_load(et_optim *o, const char *path)
{
    et_state s = {NULL, 0, 0};
    et_safetensors *file;
    et_status status;

    if (et_error_status())
        return et_fail_status("optim_load");
    if (!o || !path)
        return et_raise(ET_EINVAL, "optim_load: %s is NULL", o ? "the path" : "the optimiser");
    status = et_optim_refresh(o);
    file = status ? NULL : et_safetensors_open(path);
    if (!file)
        return et_fail_status("optim_load");
    status = et_optim_stage(o, file, path, "");
    if (!status)
        status = et_optim_add_state(o, "", &s);
    if (!status && et_safetensors_count(file) != s.n)
        status = et_raise(ET_EINVAL, "%s has %" PRId64 " tensors, expected %" PRId64, path,
                          et_safetensors_count(file), s.n);
    if (!status)
        status = et_state_stage(&s, file, true);
    if (!status)
        status = et_state_commit(&s);
    if (!status)
        et_optim_commit(o);
    et_safetensors_close(file);
    et_state_free(&s);
    return status ? et_fail_status("optim_load") : ET_OK;
}
