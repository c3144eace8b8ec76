/* Judging of translations: see translate_judge.h. */
#include "config.h"

#include "examples/translate_judge.h"

#include <math.h>
#include <string.h>

#include "autograd/ops.h"
#include "nn/metrics.h"
#include "tensor/alloc.h"

enum { BATCH = 64 };

et_status translate_gather(const translate_data *d, const int32_t *index, int64_t n, translate_batch *out)
{
    int64_t S = 1, T = 2;
    bool equal = true;

    *out = (translate_batch){0};
    for (int64_t i = 0; i < n; i++) {
        S = S > d->lengths[index[i]] ? S : d->lengths[index[i]];
        T = T > d->wanted[index[i]] ? T : d->wanted[index[i]];
        equal = equal && d->lengths[index[i]] == d->lengths[index[0]];
        out->tokens += d->wanted[index[i]] - 1;
    }
    out->source = et_empty(ET_I32, ET_SHAPE(n, S));
    out->target = et_empty(ET_I32, ET_SHAPE(n, T));
    out->lengths = equal ? NULL : et_empty(ET_I32, ET_SHAPE(n));
    if (!out->source || !out->target || (!out->lengths && !equal))
        return et_error_status();
    for (int64_t i = 0; i < n; i++) {
        memcpy((int32_t *)et_data_mut(out->source) + i * S, d->source + index[i] * d->S,
               (size_t)S * sizeof(int32_t));
        memcpy((int32_t *)et_data_mut(out->target) + i * T, d->target + index[i] * d->T,
               (size_t)T * sizeof(int32_t));
        if (!equal)
            ((int32_t *)et_data_mut(out->lengths))[i] = d->lengths[index[i]];
    }
    return ET_OK;
}

/* The loss of a batch and, for the first `most` of it, what the model makes of the sources. */
static et_status judge_batch(const et_encoder_decoder *m, const translate_data *d, const int32_t *index,
                             int64_t n, int64_t most, const et_translate_options *how, double *loss,
                             int64_t *tokens, int32_t *results)
{
    et_scope *scope = et_scope_open();
    translate_batch b;
    et_status status = translate_gather(d, index, n, &b);

    et_no_grad_begin();
    if (status == ET_OK) {
        et_tensor *l = et_encoder_decoder_loss(m, b.source, b.lengths, b.target, d->marks.pad, 0);
        *loss += l ? et_item(l) * (double)b.tokens : 0;
        *tokens += b.tokens;
    }
    if (most > 0 && status == ET_OK && (status = translate_gather(d, index, most, &b)) == ET_OK) {
        et_tensor *y = et_encoder_decoder_translate(m, b.source, b.lengths, how);
        if (y)
            memcpy(results, et_data(y), (size_t)y->numel * sizeof(int32_t));
    }
    et_no_grad_end();
    if (scope)
        et_scope_close(scope);
    return et_error_status();
}

et_status translate_judge(const et_encoder_decoder *m, const translate_data *d, const et_indices *items,
                          int64_t most, const et_translate_options *how, translate_verdict *v,
                          int32_t *results)
{
    const int64_t T = d->T - 1;
    et_translate_options o = *how;
    int64_t tokens = 0, exact = 0;
    double loss = 0;

    most = most < items->n ? most : items->n;
    int32_t *made = et_alloc_zero((size_t)most, 2 * (size_t)T * sizeof *made),
            *truth = made ? made + most * T : NULL;
    if (!made)
        return et_error_status();
    o.max_length = T;
    et_status status = ET_OK;
    for (int64_t i = 0; status == ET_OK && i < items->n; i += BATCH) {
        const int64_t n = items->n - i < BATCH ? items->n - i : BATCH;
        status = judge_batch(m, d, items->items + i, n, most - i < n ? most - i : n, &o, &loss, &tokens,
                             made + i * T);
    }
    *v = (translate_verdict){.loss = loss / (double)tokens, .exact = NAN, .bleu = NAN, .n = most};
    for (int64_t i = 0; status == ET_OK && i < most; i++) {
        const int32_t *wanted = d->target + items->items[i] * d->T + 1;
        const int64_t length = d->wanted[items->items[i]] - 1;
        memcpy(truth + i * T, wanted, (size_t)T * sizeof *truth);
        exact += memcmp(made + i * T, wanted, (size_t)length * sizeof *made) == 0;
    }
    if (status == ET_OK && most > 0) {
        v->exact = (double)exact / (double)most;
        status = et_metric_bleu(most, T, made, truth, d->marks.end, &v->bleu);
    }
    if (status == ET_OK && results)
        memcpy(results, made, (size_t)(most * T) * sizeof *made);
    et_dealloc(made);
    return status;
}
