/* One network or several that are asked together: see genre_model.h. */
#include "config.h"

#include "examples/genre_model.h"

#include <math.h>
#include <stdio.h>

#include "autograd/ops.h"
#include "datasets/standardize.h"
#include "examples/common/run_model.h"
#include "tensor/alloc.h"

genre_model *genre_model_new(const genre_network *network, const void *config, int members, uint64_t seed)
{
    et_rng rng = et_rng_make(seed, 1);
    genre_model *m = et_alloc_zero(1, sizeof *m);
    char name[16];

    if (!m)
        return NULL;
    m->network = network;
    m->n = members;
    if (members > 1)
        m->root = et_module_new(sizeof(et_module), "Ensemble", NULL, NULL);
    for (int i = 0; i < members; i++) {
        snprintf(name, sizeof name, "%d", i);
        m->members[i] = network->make(config, m->root, m->root ? name : NULL, &rng);
        if (!m->root)
            m->root = m->members[i];
        if (!m->members[i]) {
            genre_model_free(m);
            return NULL;
        }
    }
    return m;
}

void genre_model_free(genre_model *m)
{
    if (m)
        et_module_free(m->root);
    et_dealloc(m);
}

et_status genre_model_inputs(genre_model *m, int64_t n)
{
    return et_module_buffer(m->root, "input_mean", ET_ENTRY_BUFFER, ET_F32, 1, &n) &&
                   et_module_buffer(m->root, "input_std", ET_ENTRY_BUFFER, ET_F32, 1, &n)
               ? ET_OK
               : et_error_status();
}

et_status genre_model_fit(genre_model *m, const et_dataset *ds, const et_indices *items)
{
    et_standardizer s = {0};
    et_status status = et_standardizer_fit(&s, ds, items->items, items->n, ET_STANDARDIZE_FEATURE);

    if (!status)
        status = et_copy_into(et_module_find(m->root, "input_mean"), s.mean);
    if (!status)
        status = et_copy_into(et_module_find(m->root, "input_std"), s.std);
    et_standardizer_free(&s);
    return status;
}

et_status genre_model_standardize(const genre_model *m, double clip, et_dataset *ds)
{
    et_standardizer s = {0};
    et_status status =
        et_standardizer_set(&s, et_module_find(m->root, "input_mean"), et_module_find(m->root, "input_std"));

    s.clip = clip;
    if (!status)
        status = et_standardizer_apply(&s, ds);
    et_standardizer_free(&s);
    return status;
}

/* Rows of a and b [B, K] whose greatest elements are at the same place. */
static int64_t agreements(et_tensor *a, et_tensor *b)
{
    int64_t n = 0;

    et_no_grad_begin();
    et_tensor *i = et_argmax(a, 1, false), *k = et_argmax(b, 1, false);
    et_no_grad_end();
    for (int64_t r = 0; i && k && r < i->numel; r++)
        n += et_data_i32(i)[r] == et_data_i32(k)[r];
    return n;
}

et_tensor *genre_model_loss(const genre_model *m, et_tensor *x, et_tensor *lengths, et_tensor *targets,
                            int64_t *right)
{
    et_tensor *sum = NULL, *all = NULL;

    for (int i = 0; i < m->n; i++) {
        et_tensor *logits = m->network->forward(m->members[i], x, lengths, NULL);
        et_tensor *loss = et_cross_entropy_soft(logits, targets, ET_REDUCE_MEAN);
        sum = i ? et_add(sum, loss) : loss;
        if (right) {
            et_no_grad_begin();
            all = i ? et_add(all, logits) : logits;
            et_no_grad_end();
        }
    }
    if (right)
        *right = agreements(all, targets);
    return m->n > 1 ? et_mul_scalar(sum, 1.0 / m->n) : sum;
}

et_tensor *genre_model_ask(const genre_model *m, et_tensor *x, et_tensor *lengths, et_tensor **attention)
{
    et_tensor *p = NULL, *a = NULL, *weights = NULL;

    for (int i = 0; i < m->n; i++) {
        et_tensor *q = et_softmax(m->network->forward(m->members[i], x, lengths, attention ? &weights : NULL),
                                  -1);
        p = i ? et_add(p, q) : q;
        if (attention)
            a = i ? et_add(a, weights) : weights;
    }
    if (attention)
        *attention = m->n > 1 ? et_mul_scalar(a, 1.0 / m->n) : a;
    return m->n > 1 ? et_mul_scalar(p, 1.0 / m->n) : p;
}

double genre_model_clip(const genre_model *m, double norm) { return norm / sqrt(m->n); }

et_status genre_model_load(genre_model *m, const char *path) { return et_run_load_weights(m->root, path); }
