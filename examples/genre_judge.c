/* Judging of genre models: see genre_judge.h. Items are asked in batches; figures come from all probabilities
 * together. */
#include "config.h"

#include "examples/genre_judge.h"

#include <math.h>
#include <string.h>

#include "autograd/ops.h"
#include "datasets/batch.h"
#include "nn/metrics.h"
#include "tensor/alloc.h"

enum { BATCH = 64, EVENT_TAIL = 4 };

void genre_verdict_free(genre_verdict *v)
{
    et_dealloc(v->counts);
    et_dealloc(v->probabilities);
    et_dealloc(v->alpha);
    et_dealloc(v->predicted);
    *v = (genre_verdict){0};
}

/* Mean of the rows' values; NaN ones (rows without an event) are left out. */
static double mean_of(const double *v, int64_t n)
{
    double sum = 0;
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++)
        if (!isnan(v[i])) {
            sum += v[i];
            count++;
        }
    return count ? sum / (double)count : (double)NAN;
}

/* One batch: probabilities and weights to their places. */
static et_status judge_batch(const genre_model *m, const et_dataset *ds, genre_inputs inputs,
                             const int32_t *index, int64_t n, float *probabilities, float *alpha)
{
    et_scope *scope = et_scope_open();
    et_batch b;
    et_tensor *weights = NULL, *p = NULL;
    const bool look = m->network->attends;
    et_status status = et_batch_gather(ds, index, n, &b);

    if (!status && inputs.read && !(b.x = inputs.read(inputs.user, index, n)))
        status = et_error_status();
    if (!status) {
        et_no_grad_begin();
        p = et_contiguous(genre_model_ask(m, b.x, b.lengths, look ? &weights : NULL));
        weights = look ? et_contiguous(weights) : NULL;
        et_no_grad_end();
        status = p && (weights || !look) ? ET_OK : et_error_status();
    }
    if (!status) {
        memcpy(probabilities, et_data(p), (size_t)p->numel * sizeof(float));
        if (look)
            memcpy(alpha, et_data(weights), (size_t)weights->numel * sizeof(float));
    }
    if (scope)
        et_scope_close(scope);
    return status;
}

/* What is known of the items, in their order. */
typedef struct facts {
    int32_t *truth;            /* [n] */
    int32_t *events, *lengths; /* [n][2], [n]; NULL where the data have none */
} facts;

static void facts_free(facts *f)
{
    et_dealloc(f->truth);
    et_dealloc(f->events);
    et_dealloc(f->lengths);
}

static et_status facts_of(const et_dataset *ds, const et_indices *items, facts *f)
{
    const size_t n = (size_t)items->n;

    f->truth = et_alloc_zero(n, sizeof *f->truth);
    f->events = ds->events ? et_alloc_zero(n, 2 * sizeof *f->events) : NULL;
    f->lengths = ds->lengths ? et_alloc_zero(n, sizeof *f->lengths) : NULL;
    if (!f->truth || (ds->events && !f->events) || (ds->lengths && !f->lengths))
        return et_error_status();
    for (int64_t i = 0; i < items->n; i++) {
        const int32_t at = items->items[i];
        f->truth[i] = et_data_i32(ds->y)[at];
        if (f->events)
            memcpy(f->events + 2 * i, et_data_i32(ds->events) + 2 * at, 2 * sizeof *f->events);
        if (f->lengths)
            f->lengths[i] = et_data_i32(ds->lengths)[at];
    }
    return ET_OK;
}

/* Figures of v->probabilities. */
static et_status judge_classes(genre_verdict *v, const facts *f)
{
    et_class_report report;
    et_status status = et_metric_argmax(v->n, v->classes, v->probabilities, v->predicted);

    if (!status)
        status = et_metric_confusion(v->n, v->classes, v->predicted, f->truth, v->counts);
    if (!status)
        status = et_metric_report(v->classes, v->counts, &report, NULL);
    if (!status)
        status = et_metric_log_loss(v->n, v->classes, v->probabilities, f->truth, &v->loss);
    if (!status) {
        v->accuracy = report.accuracy;
        v->f1_macro = report.f1_macro;
    }
    return status;
}

/* Figures of v->alpha, NaN where there is no attention, or no event that it could find. row: [n]. */
static et_status judge_attention(genre_verdict *v, const facts *f, bool attends, double *row)
{
    et_status status = ET_OK;

    v->attention_entropy = v->attention_mass = (double)NAN;
    if (attends && !(status = et_metric_attention_entropy(v->n, v->T, v->alpha, f->lengths, row)))
        v->attention_entropy = mean_of(row, v->n);
    if (!status && f->events &&
        !(status = et_metric_attention_mass(v->n, v->T, v->alpha, f->events, EVENT_TAIL, row)))
        v->attention_mass = mean_of(row, v->n);
    return status;
}

et_status genre_judge(const genre_model *m, const et_dataset *ds, genre_inputs inputs,
                      const et_indices *items, genre_verdict *v)
{
    int64_t n = items->n, K = et_dataset_classes(ds), T = ds->x->shape[1];
    facts f = {NULL, NULL, NULL};

    genre_verdict_free(v);
    v->n = n;
    v->classes = K;
    v->T = T;
    v->counts = et_alloc_zero((size_t)K, (size_t)K * sizeof *v->counts);
    v->probabilities = et_alloc_zero((size_t)n, (size_t)K * sizeof *v->probabilities);
    v->alpha = et_alloc_zero((size_t)n, (size_t)T * sizeof *v->alpha);
    v->predicted = et_alloc_zero((size_t)n, sizeof *v->predicted);
    double *row = et_alloc_zero((size_t)n, sizeof *row);
    const bool room = v->counts && v->probabilities && v->alpha && v->predicted && row;
    et_status status = room ? facts_of(ds, items, &f) : et_error_status();
    for (int64_t i = 0; !status && i < n; i += BATCH)
        status = judge_batch(m, ds, inputs, items->items + i, n - i < BATCH ? n - i : BATCH,
                             v->probabilities + i * K, v->alpha + i * T);
    if (!status)
        status = judge_classes(v, &f);
    if (!status)
        status = judge_attention(v, &f, m->network->attends, row);
    facts_free(&f);
    et_dealloc(row);
    return status;
}

int genre_figures(const genre_verdict *v, bool log, et_figure out[GENRE_FIGURES])
{
    int n = 0;

    out[n++] = (et_figure){log ? "valid_loss" : "loss", v->loss};
    out[n++] = (et_figure){log ? "valid_accuracy" : "accuracy", v->accuracy};
    out[n++] = (et_figure){log ? "valid_f1_macro" : "f1_macro", v->f1_macro};
    if (!isnan(v->attention_entropy))
        out[n++] = (et_figure){log ? "valid_attention_entropy" : "attention_entropy", v->attention_entropy};
    if (!isnan(v->attention_mass))
        out[n++] = (et_figure){log ? "valid_attention_mass" : "attention_mass", v->attention_mass};
    if (!log)
        out[n++] = (et_figure){"n", (double)v->n};
    return n;
}

int genre_strongest(const float *alpha, int64_t T, int count, int64_t *at)
{
    int n = 0;

    for (; n < count && n < T; n++) {
        int64_t best = -1;
        for (int64_t t = 0; t < T; t++) {
            bool taken = false;
            for (int k = 0; k < n; k++)
                taken = taken || at[k] == t;
            if (!taken && (best < 0 || alpha[t] > alpha[best]))
                best = t;
        }
        at[n] = best;
    }
    return n;
}
