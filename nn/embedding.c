/* Embedding. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "nn/embedding.h"
#include "nn/init.h"

et_embedding_layer *et_embedding_layer_new(et_module *parent, const char *name, int64_t n, int64_t d,
                                           int64_t padding, et_rng *rng)
{
    et_embedding_layer *l = et_module_new(sizeof *l, "Embedding", parent, name);

    if (!l)
        return NULL;
    if (n < 1 || d < 1 || padding < -1 || padding >= n)
        et_raise(ET_EINVAL, "embedding %s: %" PRId64 " rows of %" PRId64 ", padding %" PRId64, l->module.path,
                 n, d, padding);
    l->padding = padding;
    et_module_note(&l->module, "%" PRId64 " x %" PRId64, n, d);
    l->weight = et_module_param(&l->module, "weight", ET_SHAPE(n, d));
    if (l->weight && !et_init_normal(l->weight, 1, rng) && padding >= 0)
        memset((float *)et_data_mut(l->weight) + padding * d, 0, (size_t)d * sizeof(float));
    return et_module_done(&l->module);
}

et_tensor *et_embedding_layer_forward(const et_embedding_layer *l, et_tensor *ids)
{
    return l ? et_embedding(l->weight, ids, l->padding) : et_fail("embedding");
}
