/* Maps of attention and of contributions: see tagger_maps.h. */
#include "config.h"

#include "examples/tagger_maps.h"

#include <math.h>
#include <string.h>

#include "autograd/ops.h"
#include "tensor/alloc.h"

void tagger_maps_free(tagger_maps *maps)
{
    et_dealloc(maps->first);
    et_dealloc(maps->attention);
    et_dealloc(maps->by_head);
    et_dealloc(maps->contributions);
    et_dealloc(maps->probabilities);
    *maps = (tagger_maps){0};
}

/* From the weights [1, heads, T + 1, T + 1] of the first and the last layer. */
static void sum_attention(tagger_maps *o, const float *first, const float *last)
{
    const int64_t L = o->steps + 1;

    for (int h = 0; h < o->heads; h++)
        for (int64_t t = 1; t < L; t++) {
            const float seen = last[h * L * L + t];
            double all = 0;
            for (int64_t q = 0; q < L; q++)
                all += (double)first[(h * L + q) * L + t];
            o->first[t - 1] += (float)(all / (double)L);
            o->by_head[h * o->steps + t - 1] = seen;
            o->attention[t - 1] += seen;
        }
}

static et_status fill(const et_tagger *m, et_tensor *x, tagger_maps *o)
{
    et_tensor *weights[ET_TAGGER_LAYERS];
    const int last = m->config.layers - 1;
    et_tensor *answer = et_contiguous(et_sigmoid(et_tagger_forward(m, x, weights)));
    et_tensor *alone = et_contiguous(et_tagger_contributions(m, x));
    et_tensor *first = et_contiguous(weights[0]), *final = et_contiguous(weights[last]);

    if (!answer || !alone || !first || !final)
        return et_error_status();
    o->heads = m->config.heads;
    o->tags = m->config.tags;
    o->steps = alone->shape[0] - 1;
    o->rows_per_step = m->config.front == ET_FRONT_SPEC ? 1 : pow(3, m->config.raw_blocks + 1);
    const size_t steps = (size_t)o->steps;
    o->first = et_alloc_zero(steps, sizeof *o->first);
    o->attention = et_alloc_zero(steps, sizeof *o->attention);
    o->by_head = et_alloc_zero(steps, (size_t)o->heads * sizeof *o->by_head);
    o->contributions = et_alloc_zero(steps, (size_t)o->tags * sizeof *o->contributions);
    o->probabilities = et_alloc_zero((size_t)o->tags, sizeof *o->probabilities);
    if (et_error_status())
        return et_error_status();
    sum_attention(o, et_data_f32(first), et_data_f32(final));
    for (int64_t t = 0; t < o->steps; t++)
        for (int64_t k = 0; k < o->tags; k++)
            o->contributions[k * o->steps + t] = et_data_f32(alone)[(t + 1) * o->tags + k];
    memcpy(o->probabilities, et_data_f32(answer), (size_t)o->tags * sizeof *o->probabilities);
    return ET_OK;
}

et_status tagger_maps_make(const et_tagger *m, et_tensor *x, tagger_maps *out)
{
    *out = (tagger_maps){0};
    if (!x)
        return et_fail_status("maps");
    if (m->config.back != ET_BACK_ATT)
        return et_raise(ET_EINVAL, "maps are those of the attention, which this model's back end has not: "
                                   "--model spec-att and raw-att have it");
    et_scope *scope = et_scope_open();
    et_no_grad_begin();
    et_status status = fill(m, x, out);
    et_no_grad_end();
    if (scope)
        et_scope_close(scope);
    if (status)
        tagger_maps_free(out);
    return status;
}

et_tensor *tagger_item_input(const tagger_data *d, int64_t item, int64_t rows)
{
    int32_t index = (int32_t)item;
    const tagger_batch_options o = {.size = 1, .rows = rows, .chunks = 1};
    tagger_batches *b = tagger_batches_new(d, &(et_indices){&index, 1}, &o);
    tagger_batch batch = {.n = 0};

    if (b && !tagger_batches_start(b, 0) && !tagger_batches_next(b, &batch) && batch.n == 0) {
        const et_names *broken = tagger_batches_broken(b);
        et_raise(ET_EFORMAT, "%s", broken && broken->n ? broken->items[0] : "an item without rows");
    }
    tagger_batches_free(b);
    return et_error_status() ? NULL : batch.x;
}

double tagger_pointing(const float *values, int64_t steps, double rows_per_step, int64_t from, int64_t to,
                       double *chance)
{
    int64_t most = 0, touching = 0;
    double hit = 0;

    for (int64_t t = 1; t < steps; t++)
        if (values[t] > values[most])
            most = t;
    for (int64_t t = 0; t < steps; t++)
        if ((double)(t + 1) * rows_per_step > (double)from && (double)t * rows_per_step < (double)to) {
            touching++;
            hit += t == most;
        }
    *chance = (double)touching / (double)steps;
    return hit;
}

/* The first tag of an item that is on, -1 for none. */
static int64_t first_tag(const tagger_data *d, int64_t item)
{
    const int64_t L = tagger_data_tags(d);
    const uint8_t *tags = (const uint8_t *)et_data(d->ds->tags) + item * L;

    for (int64_t k = 0; k < L; k++)
        if (tags[k])
            return k;
    return -1;
}

et_status tagger_localisation(const et_tagger *m, const tagger_data *d, const et_indices *items, int64_t rows,
                              int64_t most, double *out)
{
    const int32_t *events = d->ds->events ? et_data_i32(d->ds->events) : NULL;
    double sum = 0, chance;
    int64_t n = 0;
    et_status status = ET_OK;

    *out = (double)NAN;
    if (!events || m->config.back != ET_BACK_ATT)
        return ET_OK;
    for (int64_t i = 0; !status && i < items->n && n < most; i++) {
        const int32_t *event = events + 2 * items->items[i];
        const int64_t tag = first_tag(d, items->items[i]);
        tagger_maps maps;
        if (event[1] <= event[0] || tag < 0)
            continue;
        et_scope *scope = et_scope_open();
        status = tagger_maps_make(m, tagger_item_input(d, items->items[i], rows), &maps);
        if (scope)
            et_scope_close(scope);
        if (status)
            break;
        sum += tagger_pointing(maps.contributions + tag * maps.steps, maps.steps, maps.rows_per_step,
                               event[0], event[1], &chance);
        n++;
        tagger_maps_free(&maps);
    }
    if (!status && n)
        *out = sum / (double)n;
    return status;
}
