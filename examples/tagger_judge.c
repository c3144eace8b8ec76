/* Judging of taggers: see tagger_judge.h. */
#include "config.h"

#include "examples/tagger_judge.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "autograd/ops.h"
#include "nn/metrics.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/number.h"

void tagger_verdict_free(tagger_verdict *v)
{
    et_dealloc(v->item);
    et_dealloc(v->probabilities);
    et_dealloc(v->truth);
    et_dealloc(v->tag_auc);
    et_dealloc(v->tag_ap);
    et_dealloc(v->positives);
    *v = (tagger_verdict){0};
}

/* Adds the probabilities of all chunks to sums [N, L] and counts chunks [N]. */
static et_status ask(const et_tagger *m, tagger_batches *b, float *sums, int32_t *chunks, int64_t L)
{
    et_status status = tagger_batches_start(b, 0);
    tagger_batch batch = {.n = 1};

    while (!status && batch.n > 0) {
        et_scope *scope = et_scope_open();
        status = tagger_batches_next(b, &batch);
        if (!status && batch.n > 0) {
            et_no_grad_begin();
            et_tensor *p = et_contiguous(et_sigmoid(et_tagger_forward(m, batch.x, NULL)));
            et_no_grad_end();
            const float *from = p ? et_data_f32(p) : NULL;
            for (int64_t i = 0; from && i < batch.n; i++, from += L) {
                for (int64_t k = 0; k < L; k++)
                    sums[batch.item[i] * L + k] += from[k];
                chunks[batch.item[i]]++;
            }
            status = et_error_status();
        }
        if (scope)
            et_scope_close(scope);
    }
    return status;
}

/* Which tag each class is, by name; false if one is none. */
static bool classes_are_tags(const et_dataset *ds, int64_t *tag)
{
    for (int64_t c = 0; c < ds->classes.n; c++)
        if ((tag[c] = et_names_find(&ds->tag_names, ds->classes.items[c])) < 0)
            return false;
    return ds->classes.n > 1;
}

static et_status class_accuracy(const et_dataset *ds, tagger_verdict *v)
{
    int64_t *tag = et_alloc_zero((size_t)ds->classes.n + 1, sizeof *tag), right = 0;

    v->accuracy = (double)NAN;
    if (!tag)
        return et_error_status();
    if (classes_are_tags(ds, tag)) {
        for (int64_t i = 0; i < v->n; i++) {
            const float *p = v->probabilities + i * v->tags;
            int64_t best = 0;
            for (int64_t c = 1; c < ds->classes.n; c++)
                if (p[tag[c]] > p[tag[best]])
                    best = c;
            right += best == et_data_i32(ds->y)[v->item[i]];
        }
        v->accuracy = (double)right / (double)v->n;
    }
    et_dealloc(tag);
    return ET_OK;
}

/* Means over chunks, row after row, of the items that were heard. */
static void gather(const tagger_data *d, tagger_verdict *v, const float *sums, const int32_t *chunks)
{
    const int64_t L = v->tags;
    const uint8_t *tags = et_data(d->ds->tags);
    double loss = 0;

    for (int64_t i = 0; i < et_dataset_size(d->ds); i++) {
        if (chunks[i] == 0)
            continue;
        for (int64_t k = 0; k < L; k++) {
            const double p = (double)sums[i * L + k] / chunks[i];
            const bool on = tags[i * L + k];
            v->probabilities[v->n * L + k] = (float)p;
            v->truth[v->n * L + k] = on;
            v->positives[k] += on;
            loss -= log(fmax(on ? p : 1 - p, 1e-12));
        }
        v->item[v->n++] = (int32_t)i;
    }
    v->loss = v->n ? loss / (double)(v->n * L) : (double)NAN;
}

et_status tagger_judge(const et_tagger *m, const tagger_data *d, tagger_batches *b, tagger_verdict *v)
{
    const int64_t N = et_dataset_size(d->ds), L = tagger_data_tags(d);
    float *sums = et_alloc_zero((size_t)N, (size_t)L * sizeof *sums);
    int32_t *chunks = et_alloc_zero((size_t)N, sizeof *chunks);
    et_tag_report report;

    tagger_verdict_free(v);
    v->tags = L;
    v->localisation = (double)NAN;
    v->item = et_alloc_zero((size_t)N, sizeof *v->item);
    v->probabilities = et_alloc_zero((size_t)N, (size_t)L * sizeof *v->probabilities);
    v->truth = et_alloc_zero((size_t)N, (size_t)L);
    v->tag_auc = et_alloc_zero((size_t)L, sizeof *v->tag_auc);
    v->tag_ap = et_alloc_zero((size_t)L, sizeof *v->tag_ap);
    v->positives = et_alloc_zero((size_t)L, sizeof *v->positives);
    et_status status = et_error_status();
    if (!status)
        status = ask(m, b, sums, chunks, L);
    if (!status)
        gather(d, v, sums, chunks);
    if (!status && v->n == 0) {
        const et_names *broken = tagger_batches_broken(b);
        status = et_raise(ET_EFORMAT, "none of the sounds can be read; the first: %s",
                          broken && broken->n ? broken->items[0] : "(none)");
    }
    if (!status)
        status = et_metric_tags(v->n, L, v->probabilities, v->truth, &report, v->tag_auc, v->tag_ap);
    if (!status) {
        v->roc_auc = report.roc_auc;
        v->pr_auc = report.pr_auc;
        v->used = report.used;
        v->skipped = report.skipped;
        status = class_accuracy(d->ds, v);
    }
    et_dealloc(sums);
    et_dealloc(chunks);
    return status;
}

int tagger_figures(const tagger_verdict *v, bool log, et_figure out[TAGGER_FIGURES])
{
    int n = 0;

    out[n++] = (et_figure){log ? "valid_loss" : "loss", v->loss};
    out[n++] = (et_figure){log ? "valid_roc_auc" : "roc_auc", v->roc_auc};
    out[n++] = (et_figure){log ? "valid_pr_auc" : "pr_auc", v->pr_auc};
    if (!isnan(v->accuracy))
        out[n++] = (et_figure){log ? "valid_accuracy" : "accuracy", v->accuracy};
    if (!isnan(v->localisation))
        out[n++] = (et_figure){log ? "valid_localisation" : "localisation", v->localisation};
    if (!log) {
        out[n++] = (et_figure){"n", (double)v->n};
        out[n++] = (et_figure){"tags", (double)v->used};
        out[n++] = (et_figure){"tags_skipped", (double)v->skipped};
    }
    return n;
}

/* A number of tags.csv; empty where there is none. */
static void put_number(et_strbuf *s, double x)
{
    char text[ET_NUMBER_TEXT];

    et_strbuf_printf(s, ",%s", isnan(x) ? "" : et_format_double(text, x));
}

et_status tagger_write_tags(et_run *run, const tagger_data *d, const tagger_verdict *v)
{
    et_strbuf s = ET_STRBUF_INIT;
    const char *path = et_run_path(run, "tags.csv");

    et_strbuf_puts(&s, "tag,positives,roc_auc,pr_auc\n");
    for (int64_t k = 0; k < v->tags; k++) {
        et_strbuf_putc(&s, '"');
        for (const char *c = d->ds->tag_names.items[k]; *c; c++)
            et_strbuf_printf(&s, *c == '"' ? "\"\"" : "%c", *c);
        et_strbuf_printf(&s, "\",%" PRId64, v->positives[k]);
        put_number(&s, v->tag_auc[k]);
        put_number(&s, v->tag_ap[k]);
        et_strbuf_putc(&s, '\n');
    }
    et_status status = path && !s.failed ? et_file_write(path, s.data, s.size) : ET_ENOMEM;
    et_strbuf_free(&s);
    return status;
}
