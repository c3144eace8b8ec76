/* The independent judge of style: see style_listener.h. */
#include "config.h"

#include "examples/style_listener.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/progress.h"
#include "nn/optim.h"
#include "nn/train.h"
#include "tensor/alloc.h"
#include "tensor/bytes.h"
#include "tensor/hash.h"
#include "tensor/safetensors.h"

enum {
    WIDEST = 14,
    INTERVALS = 2 * WIDEST + 1,
    TIMES = 33,
    FEATURES = INTERVALS + 2 * TIMES + 1,
    BATCH = 64,
    EPOCHS = 6 /* at least */,
    STEPS = 1000 /* at least */,
    SEED = 1,
    STREAM_WEIGHTS = 7000,
    KEY = 20
};
static const double RATE = 3e-3, KEEP_OUT = 0.2;

et_rnn_attention *style_listener_new(int64_t styles)
{
    const et_rnn_attention_config c = {.features = FEATURES, .hidden = 64, .attention = 32, .classes = styles,
                                       .cell = ET_RNN_GRU, .bidirectional = true, .score = ET_SCORE_ADDITIVE,
                                       .pooling = ET_POOL_ATTENTION, .dropout = KEEP_OUT};
    et_rng rng = et_rng_make(SEED, STREAM_WEIGHTS);

    return et_rnn_attention_new(NULL, NULL, &c, &rng);
}

/* What it hears of events [B, T, 3]: the interval from the note before, dt and duration, one-hot, and the
 * register. END is not heard: *lengths [B] counts notes, at least 1. */
static et_tensor *features(const et_style_batch *b, et_tensor **lengths)
{
    const int64_t B = b->x->shape[0], T = b->x->shape[1];
    et_tensor *f = et_zeros(ET_F32, ET_SHAPE(B, T, FEATURES)), *n = et_clone(b->lengths);
    float *to = f ? et_data_mut(f) : NULL;
    int32_t *len = n ? et_data_mut(n) : NULL;
    const float *x = et_data_f32(b->x);

    *lengths = n;
    if (!to || !len)
        return NULL;
    for (int64_t i = 0; i < B; i++) {
        float last = 0;
        const float *e = x + i * T * 3;
        if (len[i] > 1 && e[3 * (len[i] - 1) + 1] < 0)
            len[i]--;
        for (int64_t t = 0; t < len[i]; t++, e += 3) {
            float *row = to + (i * T + t) * FEATURES;
            int interval = t > 0 ? (int)(e[0] - last) : 0;
            interval = interval > WIDEST ? WIDEST : interval < -WIDEST ? -WIDEST : interval;
            last = e[0];
            row[interval + WIDEST] = 1;
            if (e[1] >= 0 && e[1] < TIMES)
                row[INTERVALS + (int)e[1]] = 1;
            if (e[2] >= 0 && e[2] < TIMES)
                row[INTERVALS + TIMES + (int)e[2]] = 1;
            row[FEATURES - 1] = (e[0] - 44) / 12;
        }
    }
    return f;
}

/* --- training -------------------------------------------------------------------------------------- */

typedef struct lesson {
    et_rnn_attention *net;
    const style_data *d;
    int32_t *order;
    int64_t at, batch, items; /* the next of the epoch, of a batch, heard in all */
    et_style_batch now;
    et_progress progress;
} lesson;

static et_status begin_epoch(void *user, int64_t epoch)
{
    lesson *s = user;

    s->at = 0;
    return style_order(s->d, s->batch, SEED, epoch, s->order);
}

static int64_t next_batch(void *user)
{
    lesson *s = user;

    if (s->at + s->batch > s->d->train.n)
        return 0;
    if (style_batch(s->d, s->order + s->at, s->batch, 0, &s->now))
        return et_error_status();
    s->at += s->batch;
    return s->batch;
}

static et_tensor *batch_loss(void *user)
{
    lesson *s = user;
    et_tensor *lengths, *f = features(&s->now, &lengths);

    return et_cross_entropy(et_rnn_attention_forward(s->net, f, lengths, NULL), s->now.labels);
}

static et_status report(void *user, const et_train_event *e)
{
    lesson *s = user;

    if (!e->epoch_ended)
        et_progress_step(&s->progress, s->items += s->batch, "loss %.3f", e->loss);
    return ET_OK;
}

et_status style_listener_train(et_rnn_attention *l, const style_data *d)
{
    lesson s = {.net = l, .d = d, .batch = d->train.n < BATCH ? d->train.n : BATCH};
    const et_optim_options oo = {.kind = ET_ADAMW, .lr = RATE, .weight_decay = 0.01};
    et_optim *opt = et_optim_new(&l->module, &oo, NULL, 0);
    et_train_result result = {0};
    et_status status = opt ? ET_OK : et_error_status();

    const int64_t steps = d->train.n / s.batch;
    const int64_t epochs = STEPS / steps > EPOCHS ? STEPS / steps : EPOCHS;
    s.order = et_alloc((size_t)d->train.n * sizeof *s.order + 1);
    if (!status && s.order) {
        const et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = RATE, .total = steps * epochs};
        const et_train_task task = {.user = &s, .begin = begin_epoch, .next = next_batch, .loss = batch_loss};
        const et_train_options options = {.epochs = epochs, .clip = 1, .schedule = &cosine, .seed = SEED,
                                          .report = report, .report_user = &s};
        et_progress_begin(&s.progress, stdout, steps * epochs * s.batch, "the judge listens");
        status = et_train_run(&l->module, opt, &task, &options, &result);
        if (!status)
            et_progress_end(&s.progress, "loss %.3f", result.loss);
        else
            et_progress_drop(&s.progress);
    }
    et_optim_free(opt);
    et_dealloc(s.order);
    et_module_eval(&l->module);
    return status ? status : et_error_status();
}

/* --- files ----------------------------------------------------------------------------------------- */

/* A hash of the segments of the training part and their styles. */
static void key_of(const style_data *d, char out[KEY])
{
    const int64_t T = d->ds->x->shape[1];
    const int32_t *y = et_data_i32(d->ds->y), *lengths = et_data_i32(d->ds->lengths);
    uint64_t h = ET_HASH_START;

    for (int64_t i = 0; i < d->train.n; i++) {
        const int32_t at = d->train.items[i];
        const float *x = et_data_f32(d->ds->x) + at * T * 3;
        for (int64_t k = -2; k < 3 * (int64_t)lengths[at]; k++) {
            unsigned char word[4];
            et_store_u32le(word, (uint32_t)(k == -2 ? y[at] : k == -1 ? lengths[at] : (int32_t)x[k]));
            h = et_hash(h, word, sizeof word);
        }
    }
    snprintf(out, KEY, "%.16" PRIx64, h);
}

/* "leap, up": in the order of their numbers. */
static et_status styles_of(const style_data *d, et_strbuf *out)
{
    for (int64_t k = 0; k < d->ds->classes.n; k++)
        et_strbuf_printf(out, "%s%s", k ? ", " : "", d->ds->classes.items[k]);
    return out->failed ? ET_ENOMEM : ET_OK;
}

et_status style_listener_write(const et_rnn_attention *l, const style_data *d, const char *path)
{
    et_strbuf styles = ET_STRBUF_INIT;
    char key[KEY];
    et_status status = styles_of(d, &styles);

    key_of(d, key);
    if (!status)
        status = et_module_save(&l->module, path,
                                (const char *const[]){"styles", styles.data, "segments", key}, 2);
    et_strbuf_free(&styles);
    return status;
}

int style_listener_is_of(const char *path, const style_data *d, et_strbuf *why)
{
    et_strbuf styles = ET_STRBUF_INIT;
    char key[KEY];
    et_safetensors *file = et_safetensors_open(path);
    const char *names = file ? et_safetensors_meta(file, "styles") : NULL;
    const char *learned = file ? et_safetensors_meta(file, "segments") : NULL;
    et_status status = file ? styles_of(d, &styles) : et_error_status();
    bool is = false;

    key_of(d, key);
    if (!status && (!names || !learned))
        et_strbuf_printf(why, "it does not say what its judge learned from");
    else if (!status && strcmp(names, styles.data) != 0)
        et_strbuf_printf(why, "its judge learned the styles %s, not %s", names, styles.data);
    else if (!status && strcmp(learned, key) != 0)
        et_strbuf_printf(why, "its judge learned from other segments");
    else
        is = true;
    et_safetensors_close(file);
    et_strbuf_free(&styles);
    return status ? (int)status : why->failed ? (int)ET_ENOMEM : is;
}

/* --- judging --------------------------------------------------------------------------------------- */

static et_status hear(const et_rnn_attention *l, const et_style_batch *b, int32_t *heard)
{
    et_tensor *lengths, *f = features(b, &lengths);

    et_no_grad_begin();
    et_tensor *best = et_argmax(et_rnn_attention_forward(l, f, lengths, NULL), -1, false);
    et_no_grad_end();
    for (int64_t i = 0; best && i < best->numel; i++)
        heard[i] = et_data_i32(best)[i];
    return et_error_status();
}

et_status style_listen_items(const et_rnn_attention *l, const style_data *d, const et_indices *items,
                             int32_t *heard)
{
    et_status status = ET_OK;

    for (int64_t i = 0; !status && i < items->n; i += BATCH) {
        et_scope *s = et_scope_open();
        et_style_batch b;
        status = style_batch(d, items->items + i, items->n - i < BATCH ? items->n - i : BATCH, 0, &b);
        if (!status)
            status = hear(l, &b, heard + i);
        et_scope_close(s);
    }
    return status;
}

et_status style_listen(const et_rnn_attention *l, const et_segments *pieces, int32_t *heard)
{
    et_scope *s = et_scope_open();
    et_style_batch b;
    et_status status = style_piece_batch(pieces, 0, &b);

    if (!status)
        status = hear(l, &b, heard);
    for (int64_t i = 0; !status && i < pieces->n; i++) /* END alone */
        if (pieces->events[pieces->begin[i]].dt < 0)
            heard[i] = -1;
    et_scope_close(s);
    return status;
}
