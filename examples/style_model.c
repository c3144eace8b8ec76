/* The model of style-vae: see style_model.h. */
#include "config.h"

#include "examples/style_model.h"

#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "examples/common/run_model.h"
#include "tensor/alloc.h"

enum { STREAM_WEIGHTS = 1 };

/* --- options --------------------------------------------------------------------------------------- */

static et_style_vae_config sizes(const et_cli *cli)
{
    const char *name = et_cli_text(cli, "config");
    et_style_vae_config c = et_style_vae_medium();

    if (strcmp(name, "paper") == 0)
        return et_style_vae_paper();
    if (strcmp(name, "medium") == 0)
        return c;
    c.units = 64;
    c.hyper_units = 16;
    c.hyper_embedding = 8;
    c.head = 64;
    c.content = 24;
    c.style = 16;
    c.tau = 0.1;
    c.kl_k = 60;
    c.style_always = false;
    return c;
}

/* Options of other cells, of a style that is drawn, of a temperature that falls, of mu-forcing, where the
 * model has none. */
static et_status refuse(const et_cli *cli)
{
    const char *cell = et_cli_text(cli, "cell");

    if (strcmp(cell, "hyper_lstm") != 0 &&
        et_cli_refuse(cli, "hyper-units hyper-embedding", "with --cell %s", cell))
        return et_error_status();
    if (strcmp(cell, "gru") == 0 && et_cli_refuse(cli, "encoder-keep decoder-keep", "with --cell gru"))
        return et_error_status();
    if (et_cli_flag(cli, "labels") &&
        et_cli_refuse(cli, "style-width combine style-loss tau tau-start tau-decay", "with --labels"))
        return et_error_status();
    if (et_cli_real(cli, "tau-decay") == 0 && et_cli_refuse(cli, "tau-start", "without --tau-decay"))
        return et_error_status();
    return strcmp(et_cli_text(cli, "mu-forcing"), "none") == 0
               ? et_cli_refuse(cli, "mu-threshold", "with --mu-forcing none")
               : ET_OK;
}

et_status style_model_defaults(et_cli *cli)
{
    static const char *const cells[] = {"hyper_lstm", "lstm", "gru"};
    const et_style_vae_config c = sizes(cli);

    if (et_cli_default(cli, "cell", cells[c.cell]) || refuse(cli))
        return et_error_status();
    et_cli_default_int(cli, "units", c.units);
    et_cli_default_int(cli, "hyper-units", c.hyper_units);
    et_cli_default_int(cli, "hyper-embedding", c.hyper_embedding);
    et_cli_default_int(cli, "head", c.head);
    et_cli_default_int(cli, "content", c.content);
    const bool sum = strcmp(et_cli_text(cli, "combine"), "add") == 0;
    et_cli_default_int(cli, "style-width", sum ? et_cli_int(cli, "content") : c.style);
    et_cli_default(cli, "style-at", c.style_always && !sum ? "every-event" : "start");
    et_cli_default_real(cli, "encoder-keep", c.encoder_keep);
    et_cli_default_real(cli, "decoder-keep", c.decoder_keep);
    et_cli_default_real(cli, "tau", c.tau);
    et_cli_default_real(cli, "kl-weight", c.kl_weight);
    et_cli_default_real(cli, "kl-k", c.kl_k);
    /* equally strong for both readings of the variance */
    const bool half = strcmp(et_cli_text(cli, "mu-forcing"), "half-sum") == 0;
    et_cli_default_real(cli, "mu-threshold", c.mu_threshold * (half ? (double)et_cli_int(cli, "content") / 2
                                                                    : 1));
    return et_error_status();
}

et_style_vae *style_model_new(const et_cli *cli, int64_t styles)
{
    const char *cell = et_cli_text(cli, "cell"), *forcing = et_cli_text(cli, "mu-forcing");
    et_rng rng = et_rng_make((uint64_t)et_cli_int(cli, "seed"), STREAM_WEIGHTS);
    const et_event_options events = style_events(false);
    et_style_vae_config c = et_style_vae_paper();

    c.pitches = events.pitches;
    c.steps = events.steps;
    c.styles = styles;
    c.cell = strcmp(cell, "gru") == 0 ? ET_VAE_GRU : strcmp(cell, "lstm") == 0 ? ET_VAE_NORM_LSTM
                                                                               : ET_VAE_HYPER_LSTM;
    c.units = et_cli_int(cli, "units");
    c.hyper_units = et_cli_int(cli, "hyper-units");
    c.hyper_embedding = et_cli_int(cli, "hyper-embedding");
    c.head = et_cli_int(cli, "head");
    c.content = et_cli_int(cli, "content");
    c.style = et_cli_int(cli, "style-width");
    c.discrete_label = et_cli_flag(cli, "labels");
    c.add_style = strcmp(et_cli_text(cli, "combine"), "add") == 0;
    c.style_always = strcmp(et_cli_text(cli, "style-at"), "every-event") == 0;
    c.encoder_keep = et_cli_real(cli, "encoder-keep");
    c.decoder_keep = et_cli_real(cli, "decoder-keep");
    c.tau = et_cli_real(cli, "tau");
    c.tau_start = et_cli_real(cli, "tau-start");
    c.tau_decay = et_cli_real(cli, "tau-decay");
    c.kl_weight = et_cli_real(cli, "kl-weight");
    c.kl_k = et_cli_real(cli, "kl-k");
    c.mu_threshold = strcmp(forcing, "none") == 0 ? 0 : et_cli_real(cli, "mu-threshold");
    c.mu_variance = strcmp(forcing, "half-sum") == 0 ? ET_VARIANCE_HALF_SUM : ET_VARIANCE_MEAN;
    c.style_loss_of_sample = strcmp(et_cli_text(cli, "style-loss"), "sample") == 0;
    c.recompute = et_cli_flag(cli, "recompute");
    return et_style_vae_new(NULL, NULL, &c, &rng);
}

/* --- runs ------------------------------------------------------------------------------------------ */

et_style_vae *style_model_load(et_cli *cli, et_run *run, et_names *styles)
{
    et_style_vae *m = NULL;

    if (!et_run_read_names(run, "styles", styles) && styles->n == 0)
        et_raise(ET_EFORMAT, "%s: has no list of styles", et_run_path(run, ET_RUN_CONFIG));
    if (!et_error_status() && !style_model_defaults(cli))
        m = style_model_new(cli, styles->n);
    if (m && et_run_load_weights(&m->module, et_run_path(run, ET_RUN_BEST))) {
        et_module_free(&m->module);
        return NULL;
    }
    if (!m)
        return NULL;
    et_module_eval(&m->module);
    return m;
}

/* --- what it writes -------------------------------------------------------------------------------- */

et_tensor *style_content(const et_style_vae *m, const et_style_batch *b, et_tensor **heard)
{
    et_style_posterior q;

    *heard = NULL;
    et_no_grad_begin();
    const et_status status = et_style_vae_encode(m, b, &q);
    if (!status && q.alpha)
        *heard = et_argmax(q.alpha, -1, false);
    et_no_grad_end();
    return status ? NULL : q.mean;
}

et_status style_write_events(const et_style_vae *m, et_tensor *z_c, et_tensor *styles,
                             const et_style_sampling *how, et_rng *rng, et_segments *out)
{
    return style_write_mixed(m, z_c, et_one_hot(styles, m->config.styles, ET_F32), how, rng, out);
}

/* score[i] = ln of the style head's probability of styles[i] in piece i. */
static et_status hear(const et_style_vae *m, const et_segments *pieces, const int32_t *styles, double *score)
{
    et_scope *s = et_scope_open();
    et_style_batch b;
    et_style_posterior q;

    et_no_grad_begin();
    et_status status = style_piece_batch(pieces, 0, &b);
    if (!status)
        status = et_style_vae_encode(m, &b, &q);
    et_tensor *log_p = status ? NULL : et_contiguous(et_log_softmax(q.alpha, -1));
    for (int64_t i = 0; log_p && i < pieces->n; i++)
        score[i] = (double)et_data_f32(log_p)[i * m->config.styles + styles[i]];
    et_no_grad_end();
    et_scope_close(s);
    return status ? status : et_error_status();
}

/* Piece i of from[which[i]], for all n. */
static et_status choose(int64_t n, const et_segments *from, const int64_t *which, et_segments *out)
{
    *out = (et_segments){.n = n, .begin = et_alloc_zero((size_t)n + 1, sizeof *out->begin)};
    for (int64_t i = 0; out->begin && i < n; i++)
        out->begin[i + 1] = out->begin[i] + from[which[i]].begin[i + 1] - from[which[i]].begin[i];
    out->n_events = out->begin ? out->begin[n] : 0;
    out->events = out->begin ? et_alloc((size_t)out->n_events * sizeof *out->events + 1) : NULL;
    if (!out->events) {
        et_segments_free(out);
        return et_error_status();
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(out->events + out->begin[i], from[which[i]].events + from[which[i]].begin[i],
               (size_t)(out->begin[i + 1] - out->begin[i]) * sizeof *out->events);
    return ET_OK;
}

int64_t style_tries(const et_cli *cli, const et_style_vae *m, const et_style_sampling *how)
{
    enum { TRIES = 4 };
    const bool drawn = how->temperature > 0 && how->beam <= 1;

    if (et_cli_given(cli, "tries"))
        return et_cli_int(cli, "tries");
    return drawn && !m->config.discrete_label ? TRIES : 1;
}

et_status style_write_chosen(const et_style_vae *m, et_tensor *z_c, et_tensor *styles,
                             const et_style_sampling *how, int64_t tries, et_rng *rng, et_segments *out)
{
    if (tries == 1)
        return style_write_events(m, z_c, styles, how, rng, out);
    if (m->config.discrete_label)
        return et_raise(ET_EINVAL, "--tries: a model that is given the label does not hear styles");
    const int64_t n = z_c ? z_c->shape[0] : 0;
    const et_tensor *flat = et_contiguous(styles);
    et_segments *all = et_alloc_zero((size_t)tries, sizeof *all);
    double *best = et_alloc((size_t)n * sizeof *best + 1), *score = et_alloc((size_t)n * sizeof *score + 1);
    int64_t *which = et_alloc_zero((size_t)n + 1, sizeof *which);
    et_status status = flat && all && best && score && which ? ET_OK : et_error_status();

    *out = (et_segments){0};
    for (int64_t k = 0; !status && k < tries; k++) {
        status = style_write_events(m, z_c, styles, how, rng, &all[k]);
        if (!status)
            status = hear(m, &all[k], et_data_i32(flat), score);
        for (int64_t i = 0; !status && i < n; i++)
            if (k == 0 || score[i] > best[i]) {
                best[i] = score[i];
                which[i] = k;
            }
    }
    if (!status)
        status = choose(n, all, which, out);
    for (int64_t k = 0; all && k < tries; k++)
        et_segments_free(&all[k]);
    et_dealloc(all);
    et_dealloc(best);
    et_dealloc(score);
    et_dealloc(which);
    return status;
}

et_status style_write_mixed(const et_style_vae *m, et_tensor *z_c, et_tensor *weights,
                            const et_style_sampling *how, et_rng *rng, et_segments *out)
{
    et_tensor *lengths = NULL;

    *out = (et_segments){0};
    et_no_grad_begin();
    et_tensor *all = et_style_vae_generate(m, et_style_vae_latent(m, z_c, weights), how, rng, &lengths);
    et_no_grad_end();
    if (!all)
        return et_error_status();
    const int32_t *e = et_data(all), *n = et_data(lengths);
    const int64_t most = all->shape[1];
    out->n = all->shape[0];
    out->begin = et_alloc_zero((size_t)out->n + 1, sizeof *out->begin);
    for (int64_t i = 0; out->begin && i < out->n; i++)
        out->begin[i + 1] = out->begin[i] + n[i];
    out->n_events = out->begin ? out->begin[out->n] : 0;
    out->events = out->begin ? et_alloc((size_t)out->n_events * sizeof *out->events + 1) : NULL;
    if (!out->events) {
        et_segments_free(out);
        return et_error_status();
    }
    for (int64_t i = 0; i < out->n; i++)
        for (int64_t t = 0; t < n[i]; t++) {
            const int32_t *from = e + 3 * (i * most + t);
            out->events[out->begin[i] + t] = (et_event){(int16_t)from[0], (int16_t)from[1], (int16_t)from[2]};
        }
    return ET_OK;
}
