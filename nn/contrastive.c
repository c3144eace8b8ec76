/* Losses of two towers. */
#include "config.h"

#include <math.h>

#include "nn/contrastive.h"

et_tensor *et_similarity(et_tensor *f, et_tensor *g) { return et_matmul_t(f, g, false, true); }

et_tensor *et_contrastive_loss(et_contrastive_form form, et_tensor *logits)
{
    switch (form) {
    case ET_CONTRASTIVE_CLIP:
        return et_clip_loss(logits);
    case ET_CONTRASTIVE_MULAN:
        return et_mulan_loss(logits);
    case ET_CONTRASTIVE_DECOUPLED:
        return et_decoupled_loss(logits);
    case ET_CONTRASTIVE_SIGMOID:
        return et_sigmoid_pair_loss(logits);
    }
    et_raise(ET_EINVAL, "contrastive loss: there is no form %d", (int)form);
    return NULL;
}

et_tensor *et_contrastive_loss_at(et_contrastive_form form, et_scale_mode mode, double t, et_tensor *f,
                                  et_tensor *g)
{
    const double factor = mode == ET_SCALE_EXP ? exp(t) : 1 / t;

    if (!isfinite(t) || !isfinite(factor)) {
        et_raise(ET_EINVAL, "contrastive loss: a scale of %g is not possible", t);
        return NULL;
    }
    return et_contrastive_loss(form, et_mul_scalar(et_similarity(f, g), factor));
}

et_tensor *et_contrastive_loss_learned(et_contrastive_form form, et_tensor *t, double limit, et_tensor *f,
                                       et_tensor *g)
{
    return et_contrastive_loss(form, et_scale_logits(et_similarity(f, g), t, ET_SCALE_EXP, limit));
}
