/* SWATS: when Adam gives way to SGD (Keskar and Socher 2017, algorithm 1; in the notation of optim.h). */
#include "config.h"

#include <math.h>

#include "nn/optim_internal.h"

/* The same in both dtypes: sums are double. */
#define PRODUCTS(real)                                                                         \
    do {                                                                                       \
        const real *W = w, *G = g, *M = m, *V = v;                                             \
        for (int64_t i = 0; i < n; i++) {                                                      \
            const double p = -lr * ((double)M[i] / bc1) / (sqrt((double)V[i] / bc2) + c->eps); \
            const double at = scale * (double)G[i] + decay * ((double)W[i] - p);               \
            pp += p * p;                                                                       \
            pg += p * at;                                                                      \
        }                                                                                      \
    } while (0)

void et_swats_products(et_dtype dtype, int64_t n, const void *w, const void *g, const void *m, const void *v,
                       const et_optim_options *c, double lr, double decay, double scale, double bc1,
                       double bc2, double out[2])
{
    double pp = 0, pg = 0;

    if (dtype == ET_F32)
        PRODUCTS(float);
    else
        PRODUCTS(double);
    out[0] += pp;
    out[1] += pg;
}

void et_swats_judge(et_optim *o, double pp, double pg)
{
    const et_optim_options *c = &o->options;
    et_swats *s = &o->swats;

    if (pg == 0 || !isfinite(pp) || !isfinite(pg))
        return;
    /* gamma = p.p / (-p.g): p is what SGD's step -gamma g, projected onto p, would be */
    const double gamma = pp / -pg;
    /* lambda = b2 lambda + (1 - b2) gamma;  L = lambda / (1 - b2^t) */
    s->lambda = c->beta2 * s->lambda + (1 - c->beta2) * gamma;
    const double estimate = s->lambda / (1 - pow(c->beta2, (double)o->steps));
    if (o->steps > 1 && fabs(estimate - gamma) < c->switch_eps && estimate > 0) {
        s->at = o->steps;
        s->rate = estimate;
        s->rate_lr = estimate / c->lr;
        for (int i = 0; i < o->n_blocks; i++) /* SGD's momentum begins at zero */
            et_fill(o->blocks[i].m, 0);
    }
}

int64_t et_optim_switched(const et_optim *o, double *rate)
{
    const bool done = o && o->options.kind == ET_SWATS && o->swats.at > 0;

    if (rate)
        *rate = done ? o->swats.rate : (double)NAN;
    return done ? o->swats.at : 0;
}
