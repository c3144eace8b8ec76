/* Convolutions, max pooling and batch norm: forward and backward as ops. */
#include "config.h"

#include "bench/bench.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/os.h"
#include "tensor/pool.h"
#include "tensor/rng.h"
#include "tensor/safetensors.h"

typedef enum kind { CONV, POOL, NORM } kind;

/* x [batch, in, h, w]; one axis where h is 0. Max pooling: kernel kh x kw, stride sh x sw. */
typedef struct conv_case {
    const char *name;
    kind kind;
    int64_t batch, in, h, w, out, kh, kw, sh, sw, ph, pw;
    bool first; /* a network's first layer: x gets no gradient */
    bool brief;
} conv_case;

static const conv_case cases[] = {
    {"conv/1d-128", CONV, 8, 128, 0, 2187, 128, 0, 3, 1, 1, 0, 1, false, true},
    {"conv/1d-256", CONV, 8, 256, 0, 729, 256, 0, 3, 1, 1, 0, 1, false, false},
    {"conv/1d-512-k7", CONV, 4, 512, 0, 256, 512, 0, 7, 1, 1, 0, 3, false, false},
    {"conv/2d-32", CONV, 8, 32, 48, 128, 32, 3, 3, 1, 1, 1, 1, false, false},
    {"conv/2d-64", CONV, 8, 64, 32, 64, 64, 3, 3, 1, 1, 1, 1, false, true},
    {"conv/2d-128", CONV, 8, 128, 28, 28, 128, 3, 3, 1, 1, 1, 1, false, false},
    {"conv/2d-256", CONV, 8, 256, 14, 14, 256, 3, 3, 1, 1, 1, 1, false, false},
    {"conv/2d-256-small", CONV, 8, 256, 7, 7, 256, 3, 3, 1, 1, 1, 1, false, false},
    {"conv/2d-256-half", CONV, 8, 128, 28, 28, 256, 3, 3, 2, 2, 1, 1, false, false},
    {"conv/tall-86x7", CONV, 16, 1, 96, 256, 16, 86, 7, 1, 1, 0, 3, true, true},
    {"conv/tall-86x7-dx", CONV, 16, 1, 96, 256, 16, 86, 7, 1, 1, 0, 3, false, false},
    {"conv/tall-38x3", CONV, 16, 1, 96, 256, 32, 38, 3, 1, 1, 0, 1, true, false},
    {"conv/first-3x3", CONV, 8, 1, 96, 256, 32, 3, 3, 1, 1, 1, 1, true, true},
    {"conv/first-3x3-dx", CONV, 8, 1, 96, 256, 32, 3, 3, 1, 1, 1, 1, false, false},
    {"conv/first-1d-third", CONV, 8, 1, 0, 65610, 128, 0, 3, 1, 3, 0, 1, true, false},
    {"conv/first-1d-80", CONV, 8, 1, 0, 16000, 64, 0, 80, 1, 4, 0, 0, true, false},
    {"conv/first-patches", CONV, 8, 1, 128, 512, 96, 16, 16, 10, 10, 0, 0, true, false},
    {"pool/1d-3", POOL, 8, 128, 0, 21870, 0, 0, 3, 1, 3, 0, 0, false, true},
    {"pool/1d-3-512K", POOL, 8, 64, 0, 1026, 0, 0, 3, 1, 3, 0, 0, false, false},
    {"pool/2d-2", POOL, 8, 64, 96, 128, 0, 2, 2, 2, 2, 0, 0, false, false},
    {"pool/2d-3-half", POOL, 8, 64, 56, 56, 0, 3, 3, 2, 2, 1, 1, false, false},
    {"norm/1d-128", NORM, 8, 128, 0, 19683, 0, 0, 0, 0, 0, 0, 0, false, true},
    {"norm/1d-512K", NORM, 8, 64, 0, 1024, 0, 0, 0, 0, 0, 0, 0, false, false},
    {"norm/2d-64", NORM, 8, 64, 56, 56, 0, 0, 0, 0, 0, 0, 0, false, false},
    {"norm/vectors-500", NORM, 64, 500, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, false},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

typedef struct layer {
    const conv_case *c;
    et_tensor *x, *weight, *bias, *cotangent;
} layer;

static et_tensor *forward(const layer *l)
{
    const conv_case *c = l->c;

    switch (c->kind) {
    case CONV:
        return c->h ? et_conv2d(l->x, l->weight, l->bias, c->sh, c->sw, c->ph, c->pw)
                    : et_conv1d(l->x, l->weight, l->bias, c->sw, c->pw);
    case POOL:
        return c->h ? et_max_pool2d(l->x, c->kh, c->kw, c->sh, c->sw, c->ph, c->pw)
                    : et_max_pool1d(l->x, c->kw, c->sw, c->pw);
    default:
        return et_batch_norm(l->x, NULL, NULL, l->weight, l->bias, true, 0.1, 1e-5);
    }
}

static et_tensor *filled(int ndim, const int64_t *shape, et_rng *rng, double deviation)
{
    et_tensor *t = et_empty(ET_F32, ndim, shape);

    if (t)
        et_fill_normal(t, rng, 0, deviation);
    return t;
}

static bool layer_make(layer *l, const conv_case *c)
{
    et_rng rng = et_rng_make(1, 0);
    const int64_t x[] = {c->batch, c->in, c->h ? c->h : c->w, c->w};
    const int64_t w[] = {c->out, c->in, c->h ? c->kh : c->kw, c->kw};
    const int ndim = c->h ? 4 : c->w ? 3 : 2;

    *l = (layer){.c = c, .x = filled(ndim, x, &rng, 1)};
    if (c->kind == CONV) {
        l->weight = filled(ndim, w, &rng, 1 / sqrt((double)(c->in * (c->h ? c->kh : 1) * c->kw)));
        l->bias = filled(1, &c->out, &rng, 1);
    } else if (c->kind == NORM) {
        l->weight = filled(1, &c->in, &rng, 1);
        l->bias = filled(1, &c->in, &rng, 1);
    }
    if (et_error_status())
        return false;
    et_set_requires_grad(l->x, !c->first);
    if (l->weight) {
        et_set_requires_grad(l->weight, true);
        et_set_requires_grad(l->bias, true);
    }
    et_scope *scope = et_scope_open();
    et_tensor *y = forward(l);
    et_tensor *shape = y ? et_clone(y) : NULL; /* gone with the scope: only its sizes matter */
    const int n = shape ? shape->ndim : 0;
    int64_t sizes[ET_MAX_DIMS];
    for (int d = 0; d < n; d++)
        sizes[d] = shape->shape[d];
    et_scope_close(scope);
    l->cotangent = n ? filled(n, sizes, &rng, 1) : NULL;
    return l->cotangent != NULL;
}

static void layer_free(layer *l)
{
    et_free(l->x);
    et_free(l->weight);
    et_free(l->bias);
    et_free(l->cotangent);
}

/* Forward and backward; times of both. Gradients begin anew. */
static bool step(layer *l, int threads, double at[3])
{
    et_tensor *leaves[] = {l->x, l->weight, l->bias};

    at[0] = bench_clock(threads);
    et_scope *scope = et_scope_open();
    et_tensor *y = forward(l);
    at[1] = bench_clock(threads);
    for (int i = 0; i < 3; i++)
        if (leaves[i])
            et_zero_grad_of(leaves[i]);
    et_backward_from(y, l->cotangent, 0);
    et_scope_close(scope);
    at[2] = bench_clock(threads);
    return !et_error_status();
}

/* Operands, result and gradients, and in "call" what the peer has to do with them. */
static bool save(layer *l, const char *path)
{
    const conv_case *c = l->c;
    const int32_t call[] = {(int32_t)c->kind, (int32_t)(c->h ? c->kh : 0), (int32_t)c->kw,
                            (int32_t)(c->h ? c->sh : 0), (int32_t)c->sw, (int32_t)c->ph, (int32_t)c->pw,
                            c->first};
    et_scope *scope = et_scope_open();
    et_tensor *y = forward(l);
    et_named_tensor out[10];
    int n = 0;

    if (y)
        et_keep(y);
    et_backward_from(y, l->cotangent, 0);
    out[n++] = (et_named_tensor){"call", et_from(ET_I32, ET_SHAPE(8), call)};
    out[n++] = (et_named_tensor){"x", l->x};
    out[n++] = (et_named_tensor){"y", y};
    out[n++] = (et_named_tensor){"cotangent", l->cotangent};
    if (!c->first)
        out[n++] = (et_named_tensor){"x.grad", et_grad_of(l->x)};
    if (l->weight) {
        out[n++] = (et_named_tensor){"weight", l->weight};
        out[n++] = (et_named_tensor){"bias", l->bias};
        out[n++] = (et_named_tensor){"weight.grad", et_grad_of(l->weight)};
        out[n++] = (et_named_tensor){"bias.grad", et_grad_of(l->bias)};
    }
    if (!et_error_status())
        et_safetensors_write(path, out, n, NULL, 0);
    et_scope_close(scope);
    return !et_error_status();
}

static const conv_case *find(const char *name)
{
    for (int i = 0; name && i < N_CASES; i++)
        if (!strcmp(cases[i].name, name))
            return &cases[i];
    return NULL;
}

bool bench_conv_has(const char *model) { return find(model) != NULL; }

typedef struct served {
    layer *layer;
    int threads;
} served;

static bool serve_step(void *user)
{
    const served *s = user;
    double at[3];

    return step(s->layer, s->threads, at);
}

bool bench_conv_serve(const bench_options *o)
{
    layer l = {0};
    bool good = layer_make(&l, find(o->model)) && (!o->save || save(&l, o->save)) &&
                bench_serve(serve_step, &(served){&l, o->threads}, NULL);

    layer_free(&l);
    return good;
}

static bool measure(bench_report *r, const bench_options *o, const conv_case *c)
{
    static bench_samples s[2];
    layer l = {0};
    double at[3];
    bool good = layer_make(&l, c);

    for (int i = 0; i < 3 && good; i++)
        good = step(&l, o->threads, at);
    s[0].n = s[1].n = 0;
    for (double end = et_os_seconds() + o->seconds; good && (s[0].n < 5 || et_os_seconds() < end) &&
                                                    s[0].n < BENCH_SAMPLES;) {
        good = step(&l, o->threads, at);
        bench_add(&s[0], at[1] - at[0]);
        bench_add(&s[1], at[2] - at[1]);
    }
    if (good) {
        const bench_summary f = bench_summarise(&s[0]), b = bench_summarise(&s[1]);
        const double size = (double)l.x->numel;
        double flop = NAN;
        if (c->kind == CONV)
            flop = 2e-9 * (double)l.cotangent->numel * (double)(c->in * (c->h ? c->kh : 1) * c->kw);
        const double back = c->first ? 1 : 2;
        bench_row(r, c->name,
                  (double[]){1e3 * f.median, 1e3 * f.high, 1e3 * b.median, 1e3 * b.high, flop / f.median,
                             back * flop / b.median,
                             100 * (1 + back) * flop / (f.median + b.median) / bench_peak(o->threads),
                             1e9 * f.median / size, 1e9 * b.median / size});
    }
    layer_free(&l);
    return good;
}

bool bench_conv(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {{"forward ms", 3}, {"p90", 3},     {"backward ms", 3},
                                           {"p90", 3},        {"GFLOP/s", 1}, {"backward", 1},
                                           {"% of peak", 1},  {"ns / x", 3},  {"backward", 3}};
    bool good = true;

    bench_table(r, "conv", "Convolution, max pooling, batch norm: forward, backward, and both", columns, 9);
    for (int i = 0; i < N_CASES && good; i++)
        if (bench_conv_has(o->model) ? !strcmp(o->model, cases[i].name) : !o->brief || cases[i].brief)
            good = measure(r, o, &cases[i]);
    bench_table_end(r);
    return good;
}
