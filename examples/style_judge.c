/* How well a model does on segments, and what its latent space holds. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/textplot.h"
#include "examples/style_model.h"
#include "nn/schedule.h"
#include "tensor/alloc.h"

enum {
    BATCH = 64,
    MUTUAL_MOST = 1000,
    STREAM_MUTUAL = 2000,
    FULL_STEP = 1 << 30 /* the divergence has all its weight */
};
static const double ACTIVE = 0.01, PI = 3.14159265358979323846;

void style_verdict_free(style_verdict *v)
{
    et_dealloc(v->mean);
    et_dealloc(v->logvar);
    et_dealloc(v->truth);
    et_dealloc(v->heard);
    *v = (style_verdict){0};
}

/* Sums over batches. */
typedef struct sums {
    double events, ce[3], style, right[3], of[3];
} sums;

/* Right answers of each group, where it has one: END has no dt and dur. */
static void count_right(const et_style_vae *m, const et_style_batch *b, const float *y, sums *s)
{
    const int64_t T = b->x->shape[1], P = m->config.pitches, D = m->config.steps + 1, C = P + 1 + 2 * D;
    const int64_t from[4] = {0, P + 1, P + 1 + D, C};
    const float *x = et_data_f32(b->x);
    const int32_t *lengths = et_data_i32(b->lengths);

    for (int64_t i = 0; i < b->x->shape[0]; i++)
        for (int64_t t = 0; t < lengths[i]; t++)
            for (int g = 0; g < 3; g++) {
                const float *l = y + (i * T + t) * C + from[g];
                int64_t best = 0;
                if (g > 0 && x[(i * T + t) * 3] == (float)P)
                    continue;
                for (int64_t c = 1; c < from[g + 1] - from[g]; c++)
                    best = l[c] > l[best] ? c : best;
                s->of[g]++;
                s->right[g] += (float)best == x[(i * T + t) * 3 + g];
            }
}

static et_status judge_batch(const et_style_vae *m, const style_data *d, const int32_t *index, int64_t n,
                             int64_t at, style_verdict *v, sums *s)
{
    et_scope *scope = et_scope_open();
    et_style_batch b;
    et_style_loss loss;
    et_style_posterior q;
    et_tensor *y = NULL, *heard = NULL;
    et_status status = style_batch(d, index, n, 0, &b);

    et_no_grad_begin();
    if (!status)
        status = et_style_vae_loss(m, &b, 0, NULL, &loss, &q, &y);
    if (!status && q.alpha)
        heard = et_argmax(q.alpha, -1, false);
    y = et_contiguous(y);
    et_tensor *mean = status ? NULL : et_contiguous(q.mean),
              *logvar = status ? NULL : et_contiguous(q.logvar);
    et_no_grad_end();
    if (!status && y && mean && logvar && !et_error_status()) {
        double events = 0;
        for (int64_t i = 0; i < n; i++)
            events += et_data_i32(b.lengths)[i];
        s->events += events;
        s->ce[0] += et_item(loss.pitch) * events;
        s->ce[1] += et_item(loss.dt) * events;
        s->ce[2] += et_item(loss.dur) * events;
        s->style += et_item(loss.style) * (double)n;
        count_right(m, &b, et_data(y), s);
        memcpy(v->mean + at * v->width, et_data(mean), (size_t)(n * v->width) * sizeof(float));
        memcpy(v->logvar + at * v->width, et_data(logvar), (size_t)(n * v->width) * sizeof(float));
        memcpy(v->truth + at, et_data(b.labels), (size_t)n * sizeof(int32_t));
        for (int64_t i = 0; i < n; i++)
            v->heard[at + i] = heard ? et_data_i32(heard)[i] : -1;
    }
    et_scope_close(scope);
    return status ? status : et_error_status();
}

/* ln of N(z; mean, exp(logvar)), summed over dimensions. */
static double log_density(int64_t width, const double *z, const float *mean, const float *logvar,
                          const double *precision)
{
    double sum = 0;

    for (int64_t k = 0; k < width; k++) {
        const double d = z[k] - (double)mean[k];
        sum += (double)logvar[k] + d * d * precision[k];
    }
    return -0.5 * (sum + (double)width * log(2 * PI));
}

/* I(x; z_c) = mean KL(q(z|x) || p) - KL(q_agg || p) = mean of ln q(z|x) - ln q_agg(z) over z drawn from
 * q(z|x), one of each segment, q_agg being the mixture of all their posteriors. */
static et_status mutual_information(style_verdict *v)
{
    const int64_t n = v->n < MUTUAL_MOST ? v->n : MUTUAL_MOST, w = v->width;
    double *z = et_alloc((size_t)w * sizeof *z + 1), *log_q = et_alloc((size_t)n * sizeof *log_q + 1),
           sum = 0;
    double *precision = et_alloc_zero((size_t)n, (size_t)w * sizeof *precision);
    et_rng rng = et_rng_make(1, STREAM_MUTUAL);

    if (z && log_q && precision) {
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < w; k++)
                precision[j * w + k] = exp(-(double)v->logvar[(j * v->n / n) * w + k]);
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = (i * v->n / n) * w;
            double most = -INFINITY, mixture = 0;
            for (int64_t k = 0; k < w; k++)
                z[k] = (double)v->mean[at + k] + exp(0.5 * (double)v->logvar[at + k]) * et_rng_normal(&rng);
            for (int64_t j = 0; j < n; j++) {
                const int64_t from = (j * v->n / n) * w;
                log_q[j] = log_density(w, z, v->mean + from, v->logvar + from, precision + j * w);
                most = log_q[j] > most ? log_q[j] : most;
            }
            for (int64_t j = 0; j < n; j++)
                mixture += exp(log_q[j] - most);
            sum += log_q[i] - most - log(mixture / (double)n);
        }
        v->mutual = sum / (double)n;
    }
    et_dealloc(z);
    et_dealloc(log_q);
    et_dealloc(precision);
    return et_error_status();
}

/* What the means and variances say: divergence, active units, the hinge of mu-forcing. */
static void latent_figures(const et_style_vae *m, style_verdict *v)
{
    const et_style_vae_config *c = &m->config;
    const int64_t n = v->n, w = v->width;
    double spread = 0;

    v->kl_nats = 0;
    v->active = 0;
    for (int64_t k = 0; k < w; k++) {
        double mean = 0, var = 0;
        for (int64_t i = 0; i < n; i++) {
            const double mu = (double)v->mean[i * w + k], l = (double)v->logvar[i * w + k];
            mean += mu / (double)n;
            v->kl_nats += 0.5 * (exp(l) + mu * mu - 1 - l) / (double)n;
        }
        for (int64_t i = 0; i < n; i++) {
            const double d = (double)v->mean[i * w + k] - mean;
            var += d * d / (double)n;
        }
        spread += var;
        v->active += var > ACTIVE;
    }
    v->kl = v->kl_nats / (double)w;
    spread = c->mu_variance == ET_VARIANCE_HALF_SUM ? spread / 2 : spread / (double)w;
    v->mu = c->mu_threshold > spread ? c->mu_threshold - spread : 0;
}

et_status style_judge(const et_style_vae *m, const style_data *d, const et_indices *items, style_verdict *v)
{
    const int64_t n = items->n, w = m->config.content;
    et_status status = ET_OK;
    sums s = {0};

    style_verdict_free(v);
    v->n = n;
    v->width = w;
    v->styles = m->config.styles;
    v->mean = et_alloc_zero((size_t)n, (size_t)w * sizeof *v->mean);
    v->logvar = et_alloc_zero((size_t)n, (size_t)w * sizeof *v->logvar);
    v->truth = et_alloc((size_t)n * sizeof *v->truth + 1);
    v->heard = et_alloc((size_t)n * sizeof *v->heard + 1);
    if (!v->mean || !v->logvar || !v->truth || !v->heard)
        return et_error_status();
    for (int64_t i = 0; !status && i < n; i += BATCH)
        status = judge_batch(m, d, items->items + i, n - i < BATCH ? n - i : BATCH, i, v, &s);
    if (status)
        return status;
    v->pitch = s.ce[0] / s.events;
    v->dt = s.ce[1] / s.events;
    v->dur = s.ce[2] / s.events;
    v->style = s.style / (double)n;
    for (int g = 0; g < 3; g++)
        v->accuracy[g] = s.of[g] > 0 ? s.right[g] / s.of[g] : (double)NAN;
    double right = 0;
    for (int64_t i = 0; i < n; i++)
        right += v->heard[i] == v->truth[i];
    v->style_accuracy = m->config.discrete_label ? (double)NAN : right / (double)n;
    latent_figures(m, v);
    v->loss = 3 * v->pitch + v->dt + v->dur +
              m->config.kl_weight * et_kl_weight(m->config.kl_k, FULL_STEP) * v->kl + v->style + v->mu;
    return mutual_information(v);
}

int style_figures(const style_verdict *v, const char *prefix, char names[STYLE_FIGURES][32],
                  et_figure out[STYLE_FIGURES])
{
    const struct {
        const char *name;
        double value;
    } all[] = {{"loss", v->loss}, {"pitch_loss", v->pitch}, {"dt_loss", v->dt}, {"dur_loss", v->dur},
               {"kl_loss", v->kl}, {"style_loss", v->style}, {"mu_loss", v->mu},
               {"pitch_accuracy", v->accuracy[0]},
               {"dt_accuracy", v->accuracy[1]}, {"dur_accuracy", v->accuracy[2]}, {"kl", v->kl_nats},
               {"active_units", (double)v->active}, {"mutual_information", v->mutual},
               {"style_accuracy", v->style_accuracy}, {"n", (double)v->n}};
    int count = 0;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (isnan(all[i].value))
            continue;
        snprintf(names[count], 32, "%s%s", prefix, all[i].name);
        out[count] = (et_figure){names[count], all[i].value};
        count++;
    }
    return count;
}

void style_verdict_print(const style_verdict *v, const char *what)
{
    printf("%s: %" PRId64 " segment%s, accuracy pitch %.3f, dt %.3f, duration %.3f, KL %.1f nats, %" PRId64
           " active unit%s, mutual information %.2f nats", what, v->n, et_plural(v->n), v->accuracy[0],
           v->accuracy[1], v->accuracy[2], v->kl_nats, v->active, et_plural(v->active), v->mutual);
    if (!isnan(v->style_accuracy))
        printf(", style head %.3f", v->style_accuracy);
    putchar('\n');
}

/* --- two dimensions -------------------------------------------------------------------------------- */

/* The direction in which covariance C [w, w] is largest, by power iteration; returns that variance. */
static double strongest(int64_t w, const double *C, double *axis, double *work)
{
    double length = 0;

    for (int64_t k = 0; k < w; k++)
        axis[k] = 1 + 0.01 * (double)(k % 7); /* not across it by accident */
    for (int turn = 0; turn < 300; turn++) {
        length = 0;
        for (int64_t i = 0; i < w; i++) {
            work[i] = 0;
            for (int64_t j = 0; j < w; j++)
                work[i] += C[i * w + j] * axis[j];
            length += work[i] * work[i];
        }
        length = sqrt(length);
        for (int64_t i = 0; i < w && length > 0; i++)
            axis[i] = work[i] / length;
        if (!(length > 0))
            break;
    }
    return length;
}

et_status style_plane(int64_t n, int64_t width, const float *x, double *xy, double share[2])
{
    const int64_t w = width;
    double *mean = et_alloc_zero((size_t)w + 1, sizeof *mean),
           *C = et_alloc_zero((size_t)w, (size_t)w * sizeof *C);
    double *axis = et_alloc_zero((size_t)w + 1, sizeof *axis),
           *work = et_alloc_zero((size_t)w + 1, sizeof *work), all = 0;

    if (mean && C && axis && work) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < w; k++)
                mean[k] += (double)x[i * w + k] / (double)n;
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < w; k++)
                for (int64_t l = 0; l < w; l++)
                    C[k * w + l] += ((double)x[i * w + k] - mean[k]) * ((double)x[i * w + l] - mean[l]) /
                                    (double)n;
        for (int64_t k = 0; k < w; k++)
            all += C[k * w + k];
        for (int a = 0; a < 2; a++) {
            const double variance = strongest(w, C, axis, work);
            share[a] = all > 0 ? variance / all : 0;
            for (int64_t i = 0; i < n; i++) {
                xy[a * n + i] = 0;
                for (int64_t k = 0; k < w; k++)
                    xy[a * n + i] += ((double)x[i * w + k] - mean[k]) * axis[k];
            }
            for (int64_t k = 0; k < w; k++)
                for (int64_t l = 0; l < w; l++)
                    C[k * w + l] -= variance * axis[k] * axis[l];
        }
    }
    et_dealloc(mean);
    et_dealloc(C);
    et_dealloc(axis);
    et_dealloc(work);
    return et_error_status();
}
