/* The state of optimisers: moments and step number, to and from files. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "nn/optim_internal.h"
#include "tensor/strbuf.h"

void et_optim_set_steps(et_optim *o, int64_t steps) { o->steps = steps; }

const char *et_optim_kind_name(const et_optim *o)
{
    return o->options.kind == ET_SGD ? "sgd" : o->options.kind == ET_ADAM ? "adam" : "adamw";
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

bool et_read_u64(const char *s, uint64_t *out)
{
    uint64_t x = 0;

    if (!s || !*s)
        return false;
    for (; *s; s++) {
        const unsigned digit = (unsigned)(*s - '0');
        if (*s < '0' || *s > '9' || x > (UINT64_MAX - digit) / 10)
            return false;
        x = x * 10 + digit;
    }
    *out = x;
    return true;
}

et_status et_optim_save(const et_optim *o, const char *path)
{
    et_state s = {NULL, 0, 0};
    char steps[32];
    et_status status;

    if (et_error_status())
        return et_fail_status("optim_save");
    if (!o || !path)
        return et_raise(ET_EINVAL, "optim_save: %s is NULL", o ? "the path" : "the optimiser");
    snprintf(steps, sizeof steps, "%" PRId64, o->steps);
    status = et_optim_add_state(o, "", &s);
    if (!status)
        status = et_state_write(&s, path,
                                (const et_metadata[]){{"kind", et_optim_kind_name(o)}, {"steps", steps}}, 2);
    et_state_free(&s);
    return status ? et_fail_status("optim_save") : ET_OK;
}

et_status et_optim_load(et_optim *o, const char *path)
{
    et_state s = {NULL, 0, 0};
    et_safetensors *file;
    const char *kind;
    uint64_t steps = 0;
    et_status status;

    if (et_error_status())
        return et_fail_status("optim_load");
    if (!o || !path)
        return et_raise(ET_EINVAL, "optim_load: %s is NULL", o ? "the path" : "the optimiser");
    status = et_optim_refresh(o);
    file = status ? NULL : et_safetensors_open(path);
    if (!file)
        return et_fail_status("optim_load");
    kind = et_safetensors_meta(file, "kind");
    if (!kind || strcmp(kind, et_optim_kind_name(o)) != 0)
        status = et_raise(ET_EINVAL, "%s holds the state of %s, not of %s", path,
                          kind ? kind : "no optimiser", et_optim_kind_name(o));
    else if (!et_read_u64(et_safetensors_meta(file, "steps"), &steps) || steps > INT64_MAX)
        status = et_raise(ET_EFORMAT, "%s has no valid number of steps", path);
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
        o->steps = (int64_t)steps;
    et_safetensors_close(file);
    et_state_free(&s);
    return status ? et_fail_status("optim_load") : ET_OK;
}
