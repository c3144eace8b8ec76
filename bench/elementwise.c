/* Element-wise kernels, softmax, layer norm and Adam on one thread, in the second-level cache. */
#include "config.h"

#include "bench/bench.h"

#include <math.h>

#include "tensor/kernels.h"
#include "tensor/rng.h"
#include "tensor/scope.h"

enum { N = 32 * 1024, WIDTH = 128 };

typedef struct arrays {
    const et_kernels *k;
    void *x, *y, *d, *e; /* [N] */
    et_unary which;
    int64_t width;
} arrays;

static void run_unary(void *user)
{
    arrays *a = user;

    a->k->unary[a->which](N, a->x, a->y);
}

static void run_unary_back(void *user)
{
    arrays *a = user;

    a->k->unary_bwd[a->which](N, a->x, a->d, a->e, 1);
}

static void run_unary_both(void *user)
{
    arrays *a = user;

    a->k->unary_d[a->which](N, a->x, a->y, a->d);
}

static void run_multiply_back(void *user)
{
    arrays *a = user;

    a->k->mul_acc(N, a->x, 1, a->d, 1, a->e, 1);
}

static void run_add(void *user)
{
    arrays *a = user;

    a->k->binary[ET_B_ADD](N, a->x, 1, a->d, 1, a->y);
}

static void run_softmax(void *user)
{
    arrays *a = user;

    a->k->softmax(N / a->width, a->width, a->x, NULL, 0, a->y);
}

static void run_softmax_back(void *user)
{
    arrays *a = user;

    a->k->softmax_bwd(N / a->width, a->width, a->y, a->d, a->e, 1);
}

static void run_norm(void *user)
{
    arrays *a = user;

    a->k->layer_norm(N / WIDTH, WIDTH, a->x, NULL, NULL, 1e-5, a->y, a->d, a->e);
}

static void run_sum(void *user)
{
    arrays *a = user;

    *(volatile float *)a->y = (float)a->k->sum(N, a->x);
}

static void run_adam(void *user)
{
    arrays *a = user;

    a->k->adam(N, a->y, a->x, a->d, a->e, 1e-6, 0.9, 0.999, 1e-8, 0, 0, 0.1, 0.001, 1);
}

/* ns an element, or NaN where there is no kernel. */
static bench_summary measure(const bench_options *o, void (*body)(void *), arrays *a)
{
    bench_summary t = bench_measure(o, body, a);

    return (bench_summary){1e9 * t.median / N, 1e9 * t.low / N, 1e9 * t.high / N, 1e9 * t.min / N, t.n};
}

static void row(bench_report *r, const bench_options *o, const char *name, void (*forward)(void *),
                void (*backward)(void *), arrays *a)
{
    bench_summary f = measure(o, forward, a);
    bench_summary b = backward ? measure(o, backward, a) : (bench_summary){NAN, NAN, NAN, NAN, 0};

    bench_row(r, name, (double[]){f.median, f.high, b.median, b.high});
}

bool bench_elementwise(bench_report *r, const bench_options *options)
{
    static const struct {
        const char *name;
        et_unary which;
        bool brief;
    } unary[] = {
        {"exp", ET_U_EXP, true},
        {"log", ET_U_LOG, false},
        {"tanh", ET_U_TANH, true},
        {"sigmoid", ET_U_SIGMOID, true},
        {"erf", ET_U_ERF, false},
        {"relu", ET_U_RELU, true},
        {"softplus", ET_U_SOFTPLUS, false},
        {"gelu", ET_U_GELU, true},
        {"silu", ET_U_SILU, false},
    };
    enum { N_UNARY = sizeof unary / sizeof unary[0] };
    static const bench_column columns[] = {
        {"forward", 3}, {"forward p90", 3}, {"backward", 3}, {"backward p90", 3}};
    bench_options one = *options; /* kernels run on one thread */
    one.threads = 1;
    et_rng rng = et_rng_make(2, 0);
    et_scope *scope = et_scope_open();
    et_tensor *t[4];

    for (int i = 0; i < 4; i++) {
        t[i] = et_empty(ET_F32, ET_SHAPE(N));
        et_fill_uniform(t[i], &rng, 0.1, 1.9);
    }
    arrays a = {.k = et_kernels_for(ET_F32),
                .x = et_data_mut(t[0]),
                .y = et_data_mut(t[1]),
                .d = et_data_mut(t[2]),
                .e = et_data_mut(t[3])};
    bool good = !et_error_status();
    bench_table(r, "elementwise", "Element-wise kernels on one thread, ns an element, 32 K of them", columns,
                4);
    for (int i = 0; i < N_UNARY && good; i++) {
        if (options->brief && !unary[i].brief)
            continue;
        a.which = unary[i].which;
        if (a.k->unary_d[a.which]) /* training takes the value and the derivative at once */
            row(r, &one, unary[i].name, run_unary_both, run_multiply_back, &a);
        else
            row(r, &one, unary[i].name, run_unary, run_unary_back, &a);
        et_fill(t[3], 0);
    }
    if (good) {
        row(r, &one, "add", run_add, NULL, &a);
        row(r, &one, "sum", run_sum, NULL, &a);
        a.width = 64;
        row(r, &one, "softmax, rows of 64", run_softmax, run_softmax_back, &a);
        et_fill(t[3], 0);
        a.width = 256;
        row(r, &one, "softmax, rows of 256", run_softmax, run_softmax_back, &a);
        row(r, &one, "layer norm, 128", run_norm, NULL, &a);
        et_fill(t[2], 0);
        et_fill(t[3], 0);
        row(r, &one, "Adam", run_adam, NULL, &a);
    }
    bench_table_end(r);
    et_scope_close(scope);
    return good && !et_error_status();
}
