/* Attention of one learned question over a sequence. */
#include "config.h"

#include <inttypes.h>

#include "nn/additive_attention.h"
#include "nn/init.h"
#include "nn/mask.h"

et_additive_attention *et_additive_attention_new(et_module *parent, const char *name, et_score_kind kind,
                                                 int64_t hidden, int64_t width, bool context, et_rng *rng)
{
    static const char *const kinds[] = {"additive", "dot", "general"};
    et_additive_attention *a = et_module_new(sizeof *a, "Attention", parent, name);
    et_module *m = a ? &a->module : NULL;

    if (!a)
        return NULL;
    if (kind < ET_SCORE_ADDITIVE || kind > ET_SCORE_GENERAL || hidden < 1 ||
        (kind != ET_SCORE_DOT && width < 1) || (context && kind != ET_SCORE_ADDITIVE)) {
        et_raise(ET_EINVAL,
                 "attention %s: the kind of score or a size is out of range, or context without additive",
                 m->path);
        return et_module_done(m);
    }
    a->kind = kind;
    et_module_note(m, "%s, %" PRId64 " wide", kinds[kind], hidden);
    if (kind != ET_SCORE_DOT)
        a->W = et_linear_layer_new(m, "W", hidden, width, kind == ET_SCORE_ADDITIVE, rng);
    if (kind == ET_SCORE_ADDITIVE)
        a->v = et_linear_layer_new(m, "v", width, 1, false, rng);
    if (context)
        a->U = et_linear_layer_new(m, "U", width, width, false, rng);
    if (context || kind != ET_SCORE_ADDITIVE) {
        const int64_t n = kind == ET_SCORE_DOT ? hidden : width;
        a->s = et_module_param(m, "s", ET_SHAPE(n));
        if (a->s)
            et_init_fan(a->s, n, rng);
    }
    return et_module_done(m);
}

/* [B, T] */
static et_tensor *scores(const et_additive_attention *a, et_tensor *u)
{
    const int64_t shape[] = {u->shape[0], u->shape[1]};
    et_tensor *b;

    switch (a->kind) {
    case ET_SCORE_DOT: /* e_t = u_t . s */
        return et_view(et_linear(u, et_view(a->s, ET_SHAPE(1, -1)), NULL), 2, shape);
    case ET_SCORE_GENERAL: /* e_t = s . (W u_t) */
        return et_view(et_linear(et_linear_layer_forward(a->W, u), et_view(a->s, ET_SHAPE(1, -1)), NULL), 2,
                       shape);
    default: /* e_t = v . tanh(W u_t + b), or v . tanh(W u_t + U s + b) */
        b = a->U ? et_add(et_linear_layer_forward(a->U, a->s), a->W->bias) : a->W->bias;
        return et_additive_scores(u, a->W->weight, b, a->v->weight);
    }
}

et_tensor *et_additive_attention_forward(const et_additive_attention *a, et_tensor *u, et_tensor *lengths,
                                         et_tensor **alpha)
{
    et_tensor *e, *w, *c, *mask = NULL;

    if (alpha)
        *alpha = NULL;
    if (!a || !u)
        return et_fail("attention");
    if (u->ndim != 3) {
        et_raise(ET_ESHAPE, "attention %s: the states have %d dimensions, expected [B, T, H]", a->module.path,
                 (int)u->ndim);
        return NULL;
    }
    const int64_t B = u->shape[0], T = u->shape[1], H = u->shape[2];
    if (lengths && lengths->ndim == 1 && lengths->shape[0] != B) {
        et_raise(ET_ESHAPE, "attention %s: %" PRId64 " lengths for %" PRId64 " rows", a->module.path,
                 lengths->shape[0], B);
        return NULL;
    }
    if (lengths && !(mask = et_mask_additive(lengths, T, u->dtype)))
        return et_fail(a->module.path);
    e = scores(a, u);
    /* alpha = softmax(e) over the valid steps;  c = sum_t alpha_t u_t */
    w = mask ? et_softmax_masked(e, mask, -1) : et_softmax(e, -1);
    c = et_view(et_matmul(et_view(w, ET_SHAPE(B, 1, T)), u), ET_SHAPE(B, H));
    if (alpha && c)
        *alpha = w;
    return c ? c : et_fail(a->module.path);
}
