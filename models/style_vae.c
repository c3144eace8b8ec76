/* Style-conditioned variational autoencoder: see style_vae.h; generation is in style_vae_sample.c.
 *
 * Shapes: events [B, T, 3], features [B, T, E + 2 (D + 1)] with E the pitch embedding, states [B, ..],
 * z' [B, ..], logits [B, T, P + 1 + 2 (D + 1)]. T counts END.
 *
 * Differs from the text: the divergence is added (its bound is minimised), z_c = mu + sigma eps, the style's
 * cross entropy is that of the logits, not of the noisy draw (style_loss_of_sample: of the draw), mu-forcing
 * bounds the mean variance of the dimensions, as the published code does (mu_variance: half their sum). */
#include "config.h"

#include <inttypes.h>
#include <math.h>

#include "models/style_vae.h"
#include "models/style_vae_internal.h"
#include "nn/init.h"
#include "nn/schedule.h"
#include "tensor/alloc.h"

et_style_vae_config et_style_vae_paper(void)
{
    return (et_style_vae_config){
        .pitches = 88, .steps = 32, .styles = 2, .pitch_embedding = 32, .cell = ET_VAE_HYPER_LSTM,
        .units = 512, .hyper_units = 256, .hyper_embedding = 32, .head = 512, .content = 120, .style = 80,
        .encoder_keep = 0.5, .decoder_keep = 0.8, .tau = 0.02, .kl_weight = 0.8, .kl_k = 1800,
        .mu_threshold = 1.3};
}

et_style_vae_config et_style_vae_medium(void)
{
    et_style_vae_config c = et_style_vae_paper();

    c.cell = ET_VAE_GRU;
    c.units = 256;
    c.hyper_units = 32;
    c.hyper_embedding = 8;
    c.head = 128;
    c.content = 8;
    c.style = 32;
    c.kl_weight = 1.2;
    c.kl_k = 60;
    c.mu_threshold = 0.8;
    c.style_always = true;
    return c;
}

et_style_vae_config et_style_vae_small(void)
{
    return (et_style_vae_config){
        .pitches = 24, .steps = 8, .styles = 2, .pitch_embedding = 8, .cell = ET_VAE_HYPER_LSTM, .units = 32,
        .hyper_units = 16, .hyper_embedding = 32, .head = 32, .content = 16, .style = 8, .encoder_keep = 0.5,
        .decoder_keep = 0.8, .tau = 0.1, .kl_weight = 0.8, .kl_k = 60, .mu_threshold = 1};
}

int64_t et_style_vae_classes(const et_style_vae *m)
{
    return m->config.pitches + 1 + 2 * (m->config.steps + 1);
}

static int64_t state_width(const et_style_vae_config *c)
{
    switch (c->cell) {
    case ET_VAE_HYPER_LSTM: return 2 * (c->units + c->hyper_units);
    case ET_VAE_NORM_LSTM: return 2 * c->units;
    default: return c->units;
    }
}

/* Of z_s, or the label. */
static int64_t style_width(const et_style_vae_config *c) { return c->discrete_label ? c->styles : c->style; }

static int64_t latent_width(const et_style_vae_config *c)
{
    return c->content + (c->add_style && !c->discrete_label ? 0 : style_width(c));
}

/* --- making one --------------------------------------------------------------------------------- */

static et_vae_net cell_new(et_style_vae *m, const char *name, int64_t in, double keep, et_rng *rng)
{
    const et_style_vae_config *c = &m->config;
    et_vae_net net = {NULL};

    if (c->cell == ET_VAE_HYPER_LSTM)
        net.hyper = et_hyper_lstm_new(
            &m->module, name,
            &(et_hyper_lstm_config){in, c->units, c->hyper_units, c->hyper_embedding, keep}, rng);
    else if (c->cell == ET_VAE_NORM_LSTM)
        net.norm = et_norm_lstm_new(&m->module, name, in, c->units, keep, rng);
    else
        net.gru = et_rnn_layer_new(&m->module, name,
                                   &(et_rnn_config){.kind = ET_RNN_GRU, .in = in, .hidden = c->units}, rng);
    return net;
}

static et_status check(const et_style_vae_config *c)
{
    const bool hyper = c->cell == ET_VAE_HYPER_LSTM;

    if (c->pitches < 1 || c->steps < 1 || c->styles < 1 || c->pitch_embedding < 1 || c->units < 1 ||
        c->head < 1 || c->content < 1 || (!c->discrete_label && c->style < 1) ||
        (hyper && (c->hyper_units < 1 || c->hyper_embedding < 1)))
        return et_raise(ET_EINVAL, "style_vae: a size is below 1");
    if (c->cell < ET_VAE_HYPER_LSTM || c->cell > ET_VAE_GRU)
        return et_raise(ET_EINVAL, "style_vae: no cell has the number %d", (int)c->cell);
    if (c->add_style && !c->discrete_label && c->style != c->content)
        return et_raise(ET_EINVAL, "style_vae: z_c and z_s of widths %" PRId64 " and %" PRId64
                        " cannot be added", c->content, c->style);
    if (c->add_style && c->style_always && !c->discrete_label)
        return et_raise(ET_EINVAL, "style_vae: of z_c + z_s the style cannot be read beside every event");
    if (!(c->tau > 0) || !(c->encoder_keep > 0 && c->encoder_keep <= 1) ||
        !(c->decoder_keep > 0 && c->decoder_keep <= 1) || !(c->kl_weight >= 0) || !(c->kl_k > 0) ||
        !(c->mu_threshold >= 0) || !(c->tau_decay >= 0 && c->tau_decay <= 1))
        return et_raise(ET_EINVAL,
                        "style_vae: tau %g, keep %g and %g, kl_weight %g, kl_k %g, mu_threshold %g or "
                        "tau_decay %g is out of range",
                        c->tau, c->encoder_keep, c->decoder_keep, c->kl_weight, c->kl_k, c->mu_threshold,
                        c->tau_decay);
    return ET_OK;
}

et_style_vae *et_style_vae_new(et_module *parent, const char *name, const et_style_vae_config *config,
                               et_rng *rng)
{
    const et_style_vae_config *c = config;

    if (check(c) != ET_OK)
        return NULL;
    et_style_vae *m = et_module_new(sizeof *m, "StyleVae", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    et_module *self = &m->module;
    const int64_t features = c->pitch_embedding + 2 * (c->steps + 1), state = state_width(c);

    m->pitch_embedding = et_module_param(&m->module, "pitch_embedding",
                                         ET_SHAPE(c->pitches + 1, c->pitch_embedding));
    if (m->pitch_embedding)
        et_init_uniform(m->pitch_embedding, 1, rng);
    if (!c->discrete_label)
        m->style_codebook = et_style_codebook_new(&m->module, "style_codebook", c->styles, c->style, rng);
    m->enc_fw = cell_new(m, "enc_fw", features, c->encoder_keep, rng);
    m->enc_bw = cell_new(m, "enc_bw", features, c->encoder_keep, rng);
    for (int i = 0; i < 2; i++)
        m->readers[i] = (et_style_reader){m, i == 1};
    m->cont_head = et_linear_layer_xavier_new(self, "cont_head", 2 * state, c->head, rng);
    m->z_mean = et_linear_layer_xavier_new(self, "z_mean", c->head, c->content, rng);
    m->z_logvar = et_linear_layer_xavier_new(self, "z_logvar", c->head, c->content, rng);
    if (!c->discrete_label) {
        m->cat_head = et_linear_layer_xavier_new(self, "cat_head", 2 * state, c->head, rng);
        m->z_cat = et_linear_layer_xavier_new(self, "z_cat", c->head, c->styles, rng);
    }
    m->dec_init = et_linear_layer_xavier_new(self, "dec_init", latent_width(c), state, rng);
    m->dec = cell_new(m, "dec", features + (c->style_always ? style_width(c) : 0), c->decoder_keep, rng);
    m->logits = et_linear_layer_xavier_new(self, "logits", c->units, et_style_vae_classes(m), rng);
    return et_module_done(&m->module);
}

/* --- events ---------------------------------------------------------------------------------------- */

/* The batch's classes as int32 [B, T], `none` where an event has none: behind the end, and for END's dt
 * and dur. False after an error. */
static bool classes(const et_style_vae *m, const et_style_batch *b, int32_t none, et_tensor *out[3],
                    int64_t *events)
{
    const et_style_vae_config *c = &m->config;
    const et_tensor *x = b->x, *n = b->lengths;
    char text[ET_SHAPE_TEXT];

    if (et_error_status())
        return false;
    if (!x || !n || x->ndim != 3 || x->shape[2] != 3 || x->dtype != ET_F32 || n->dtype != ET_I32 ||
        n->ndim != 1 || n->shape[0] != x->shape[0]) {
        et_raise(ET_ESHAPE, "style_vae: events are %s, expected float32 [B, T, 3] and lengths int32 [B]",
                 x ? et_shape_text(text, x->ndim, x->shape) : "missing");
        return false;
    }
    const int64_t B = x->shape[0], T = x->shape[1];
    et_tensor *flat = et_contiguous(b->x), *lengths = et_contiguous(b->lengths);
    int32_t *to[3];
    for (int g = 0; g < 3; g++) {
        out[g] = et_full(ET_I32, ET_SHAPE(B, T), none);
        to[g] = out[g] ? et_data_mut(out[g]) : NULL;
    }
    if (!flat || !lengths || !to[0] || !to[1] || !to[2])
        return false;
    const float *from = et_data(flat);
    const int32_t *len = et_data(lengths);
    *events = 0;
    for (int64_t i = 0; i < B; i++) {
        if (len[i] < 1 || len[i] > T) {
            et_raise(ET_EINVAL, "style_vae: length %d of row %" PRId64 " is outside 1 .. %" PRId64,
                     (int)len[i], i, T);
            return false;
        }
        *events += len[i];
        for (int64_t t = 0; t < len[i]; t++) {
            const float *e = from + 3 * (i * T + t);
            const bool end = e[0] == (float)c->pitches;
            for (int g = 0; g < (end ? 1 : 3); g++) {
                if (!(e[g] >= 0 && e[g] <= (float)(g ? c->steps : c->pitches))) {
                    et_raise(ET_EINVAL, "style_vae: event %" PRId64 " of row %" PRId64
                             " has %s %g, expected 0 .. %" PRId64, t, i,
                             (const char *[]){"pitch", "dt", "dur"}[g], (double)e[g],
                             g ? c->steps : c->pitches);
                    return false;
                }
                to[g][i * T + t] = (int32_t)e[g];
            }
        }
    }
    return true;
}

/* [B, T, E + 2 (D + 1)]: the pitch's embedding, dt and dur one-hot. */
et_tensor *et_style_vae_features(const et_style_vae *m, et_tensor *pitch, et_tensor *dt, et_tensor *dur)
{
    const et_dtype dtype = m->pitch_embedding->dtype;

    return et_concat(3, (et_tensor *const[]){et_embedding(m->pitch_embedding, pitch, -1),
                                             et_one_hot(dt, m->config.steps + 1, dtype),
                                             et_one_hot(dur, m->config.steps + 1, dtype)}, -1);
}

et_tensor *et_style_vae_start(const et_style_vae *m, int64_t rows)
{
    const et_dtype dtype = m->pitch_embedding->dtype;
    et_tensor *first = et_unsqueeze(et_slice(m->pitch_embedding, 0, 0, 1, 1), 0); /* [1, 1, E] */
    et_tensor *none = et_zeros(dtype, ET_SHAPE(rows, 1, 2 * (m->config.steps + 1)));

    return et_concat(2, (et_tensor *const[]){et_expand(first, ET_SHAPE(rows, 1, m->config.pitch_embedding)),
                                             none}, -1);
}

et_tensor *et_style_vae_inputs(const et_style_vae *m, et_tensor *z, et_tensor *x)
{
    const int64_t from = m->config.content, to = from + style_width(&m->config);

    if (!m->config.style_always || !x || !z)
        return x;
    et_tensor *z_s = et_unsqueeze(et_slice(z, 1, from, to, 1), 1); /* [B, 1, ..] */
    return et_concat(2, (et_tensor *const[]){x, et_expand(z_s, ET_SHAPE(x->shape[0], x->shape[1],
                                                                        to - from))}, -1);
}

/* --- cells ------------------------------------------------------------------------------------------ */

et_tensor *et_style_vae_run(const et_style_vae *m, et_vae_net net, et_tensor *x, et_tensor *lengths,
                            bool reverse, et_norm_lstm_state *state)
{
    if (m->config.cell == ET_VAE_HYPER_LSTM)
        return et_hyper_lstm_forward(net.hyper, x, lengths, reverse, state);
    if (m->config.cell == ET_VAE_NORM_LSTM)
        return et_norm_lstm_forward(net.norm, x, lengths, reverse, state);
    const et_rnn_weights *w = net.gru->weights;
    return et_gru(x, state->h, w->w_ih, w->w_hh, w->b_ih, w->b_hh, lengths,
                  &(et_rnn_opts){.reverse = reverse}, &state->h);
}

/* [h, h_hyper, c, c_hyper], as many of them as the cell has. */
static et_tensor *full_state(const et_norm_lstm_state *s)
{
    et_tensor *all[4], *const parts[4] = {s->h, s->hyper_h, s->c, s->hyper_c};
    int n = 0;

    for (int i = 0; i < 4; i++)
        if (parts[i])
            all[n++] = parts[i];
    return n ? et_concat(n, all, -1) : NULL;
}

/* s_0 = ELU(W z' + b), or tanh for the other cells. */
et_status et_style_vae_first_state(const et_style_vae *m, et_tensor *z, et_norm_lstm_state *s)
{
    const et_style_vae_config *c = &m->config;
    const int64_t n = c->units, k = c->hyper_units;
    et_tensor *all = et_linear_layer_forward(m->dec_init, z);

    *s = (et_norm_lstm_state){NULL, NULL, NULL, NULL};
    if (c->cell == ET_VAE_HYPER_LSTM) {
        all = et_elu(all);
        s->h = et_slice(all, 1, 0, n, 1);
        s->hyper_h = et_slice(all, 1, n, n + k, 1);
        s->c = et_slice(all, 1, n + k, 2 * n + k, 1);
        s->hyper_c = et_slice(all, 1, 2 * n + k, 2 * (n + k), 1);
    } else if (c->cell == ET_VAE_NORM_LSTM) {
        all = et_tanh(all);
        s->h = et_slice(all, 1, 0, n, 1);
        s->c = et_slice(all, 1, n, 2 * n, 1);
    } else {
        s->h = et_tanh(all);
    }
    return et_error_status();
}

/* The lengths less one: the encoder does not read END. */
static et_tensor *without_end(et_tensor *lengths)
{
    et_tensor *out = et_clone(lengths);
    int32_t *n = out ? et_data_mut(out) : NULL;

    for (int64_t i = 0; n && i < out->numel; i++)
        n[i]--;
    return out;
}

/* The last state of one direction over events in[0] [B, T, ..], of which the first in[1] [B] of each row
 * count (a real tensor, as et_checkpoint has it). */
static et_tensor *read_events(et_tensor *const *in, int n, void *reader)
{
    const et_style_reader *r = reader;
    et_norm_lstm_state s = {NULL, NULL, NULL, NULL};

    (void)n;
    et_style_vae_run(r->model, r->reverse ? r->model->enc_bw : r->model->enc_fw, in[0], et_to(in[1], ET_I32),
                     r->reverse, &s);
    return full_state(&s);
}

/* --- forward ------------------------------------------------------------------------------------------ */

et_status et_style_vae_encode(const et_style_vae *m, const et_style_batch *b, et_style_posterior *out)
{
    et_tensor *ids[3], *last[2];
    int64_t events;

    *out = (et_style_posterior){NULL, NULL, NULL};
    if (!classes(m, b, 0, ids, &events))
        return et_fail_status("style_vae");
    et_tensor *x = et_style_vae_features(m, ids[0], ids[1], ids[2]);
    et_tensor *const in[2] = {x, et_to(without_end(b->lengths), m->pitch_embedding->dtype)};
    for (int i = 0; i < 2; i++) {
        void *reader = (void *)(uintptr_t)&m->readers[i];
        last[i] = m->config.recompute && m->module.training ? et_checkpoint(read_events, in, 2, reader)
                                                            : read_events(in, 2, reader);
    }
    et_tensor *s = et_concat(2, last, -1); /* s = [last state forward, last state backward] */

    /* content: q(z_c | x) = N(mu, sigma^2), mu and ln sigma^2 linear in relu(W s + b) */
    et_tensor *content = et_linear_layer_forward_act(m->cont_head, s, ET_ACT_RELU);
    out->mean = et_linear_layer_forward(m->z_mean, content);
    out->logvar = et_linear_layer_forward(m->z_logvar, content);
    /* style: its logits alpha, linear in relu(W' s + b') */
    if (m->cat_head)
        out->alpha = et_linear_layer_forward(m->z_cat,
                                             et_linear_layer_forward_act(m->cat_head, s, ET_ACT_RELU));
    return et_error_status() ? et_fail_status("style_vae") : ET_OK;
}

et_tensor *et_style_vae_latent(const et_style_vae *m, et_tensor *z_c, et_tensor *z_cat)
{
    /* z_s = sum over styles of z_cat[style] codebook[style];  z' = [z_c, z_s] */
    et_tensor *z_s = m->style_codebook ? et_style_codebook(m->style_codebook, z_cat) : z_cat;

    if (m->style_codebook && m->config.add_style)
        return et_add(z_c, z_s);
    return et_concat(2, (et_tensor *const[]){z_c, z_s}, -1);
}

et_tensor *et_style_vae_decode(const et_style_vae *m, et_tensor *z, const et_style_batch *b)
{
    et_norm_lstm_state s;
    et_tensor *ids[3];
    int64_t events;

    if (!classes(m, b, 0, ids, &events) || et_style_vae_first_state(m, z, &s) != ET_OK)
        return et_fail("style_vae");
    /* the input at t is event t - 1, teacher forced */
    et_tensor *x = et_style_vae_features(m, ids[0], ids[1], ids[2]);
    et_tensor *before = et_slice(x, 1, 0, b->x->shape[1] - 1, 1);
    et_tensor *in = et_concat(2, (et_tensor *const[]){et_style_vae_start(m, b->x->shape[0]), before}, 1);
    et_tensor *h = et_style_vae_run(m, m->dec, et_style_vae_inputs(m, z, in), b->lengths, false, &s);
    et_tensor *y = et_linear_layer_forward(m->logits, h);
    return y ? y : et_fail("style_vae");
}

/* Sum of the cross entropies of the events that have a class, over the number of all events. */
static et_tensor *group_loss(et_tensor *logits, int64_t from, int64_t to, et_tensor *target, int64_t events)
{
    const et_cross_entropy_opts o = {.reduction = ET_REDUCE_SUM, .ignore = true, .ignore_index = -1};

    return et_mul_scalar(et_cross_entropy_with(et_slice(logits, -1, from, to, 1), target, &o),
                         1 / (double)events);
}

/* The mean of -ln z_cat[style], z_cat and style (one-hot) [B, S]. */
static et_tensor *sample_loss(et_tensor *z_cat, et_tensor *style)
{
    et_tensor *p = et_sum(et_mul(z_cat, style), ET_DIMS(-1), false);

    return et_neg(et_mean(et_log(et_add_scalar(p, 1e-10)), 0, NULL, false)); /* 1e-10: a draw may be 0 */
}

double et_style_vae_tau(const et_style_vae_config *c, int64_t step)
{
    const double tau = c->tau_decay > 0 ? c->tau_start * pow(c->tau_decay, (double)step) : 0;

    return tau > c->tau ? tau : c->tau;
}

et_status et_style_vae_loss(const et_style_vae *m, const et_style_batch *b, int64_t step, et_rng *rng,
                            et_style_loss *out, et_style_posterior *posterior, et_tensor **logits)
{
    const et_style_vae_config *c = &m->config;
    const int64_t p = c->pitches + 1, d = c->steps + 1;
    et_style_posterior q;
    et_tensor *target[3], *z_c, *z_cat;
    int64_t events;

    *out = (et_style_loss){.beta = et_kl_weight(c->kl_k, step)};
    if (et_style_vae_encode(m, b, &q) != ET_OK || !classes(m, b, -1, target, &events))
        return et_fail_status("style_vae");
    const et_dtype dtype = q.mean->dtype;

    if (m->module.training) {
        z_c = et_reparameterize(q.mean, q.logvar, rng);                              /* mu + sigma eps */
        z_cat = q.alpha ? et_gumbel_softmax(q.alpha, et_style_vae_tau(c, step), false, rng) : NULL;
    } else {
        z_c = q.mean;
        z_cat = q.alpha ? et_one_hot(et_argmax(q.alpha, -1, false), c->styles, dtype) : NULL;
    }
    if (!z_cat)
        z_cat = et_one_hot(b->labels, c->styles, dtype);
    et_tensor *y = et_style_vae_decode(m, et_style_vae_latent(m, z_c, z_cat), b);

    /* L_r = 3 CE_pitch + CE_dt + CE_dur */
    out->pitch = group_loss(y, 0, p, target[0], events);
    out->dt = group_loss(y, p, p + d, target[1], events);
    out->dur = group_loss(y, p + d, p + 2 * d, target[2], events);
    /* KL(q(z_c | x) || N(0, 1)) / dim z_c,  KL = -1/2 sum_d (1 + ln sigma_d^2 - mu_d^2 - sigma_d^2) */
    out->kl = et_mean(et_gaussian_kl(q.mean, q.logvar), 0, NULL, false);
    /* L_s = cross entropy of alpha, or of the draw, with the style */
    if (!q.alpha)
        out->style = et_zeros(dtype, 0, NULL);
    else if (c->style_loss_of_sample)
        out->style = sample_loss(z_cat, et_one_hot(b->labels, c->styles, dtype));
    else
        out->style = et_cross_entropy(q.alpha, b->labels);
    /* L_mu = max(0, beta_mu - V),  V the variance of mu over the batch, mean over its dimensions */
    out->mu = c->mu_threshold > 0 ? et_mu_forcing(q.mean, c->mu_threshold, c->mu_variance)
                                  : et_zeros(dtype, 0, NULL);

    /* L = L_r + kl_weight beta(step) KL + L_s + L_mu,  beta rising from 0 to 1 (et_kl_weight) */
    et_tensor *reconstruction = et_add(et_mul_scalar(out->pitch, 3), et_add(out->dt, out->dur));
    et_tensor *penalties = et_add(out->style, out->mu);
    out->total = et_add(et_add(reconstruction, et_mul_scalar(out->kl, c->kl_weight * out->beta)), penalties);
    if (posterior)
        *posterior = q;
    if (logits)
        *logits = y;
    return out->total ? ET_OK : et_fail_status("style_vae");
}
