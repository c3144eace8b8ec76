/* What one op costs besides its arithmetic: a chain of ops on 16 elements, recorded and
 * run forward, then backward. */
#include "config.h"

#include "bench/bench.h"

#include <math.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/os.h"

enum { ELEMENTS = 16, CHAIN = 512 };

typedef et_tensor *(*link)(et_tensor *x, et_tensor *w);

static et_tensor *link_add(et_tensor *x, et_tensor *w) { return et_add(x, w); }

static et_tensor *link_mul(et_tensor *x, et_tensor *w) { return et_mul(x, w); }

static et_tensor *link_tanh(et_tensor *x, et_tensor *w)
{
    (void)w;
    return et_tanh(x);
}

static et_tensor *link_relu(et_tensor *x, et_tensor *w)
{
    (void)w;
    return et_relu(x);
}

static et_tensor *link_scale(et_tensor *x, et_tensor *w)
{
    (void)w;
    return et_mul_scalar(x, 0.999);
}

/* One chain; adds ns an op by both clocks. False after an error. */
static bool run_chain(link next, et_tensor *x, et_tensor *w, bench_samples s[4])
{
    et_scope *scope = et_scope_open();
    et_tensor *y = x;

    double wall0 = et_os_seconds(), cpu0 = bench_cpu_seconds();
    for (int i = 0; i < CHAIN; i++)
        y = next(y, w);
    double cpu1 = bench_cpu_seconds(), wall1 = et_os_seconds();
    et_backward_from(y, NULL, 0);
    double cpu2 = bench_cpu_seconds(), wall2 = et_os_seconds();

    bench_add(&s[0], 1e9 * (cpu1 - cpu0) / CHAIN);
    bench_add(&s[1], 1e9 * (cpu2 - cpu1) / CHAIN);
    bench_add(&s[2], 1e9 * (wall1 - wall0) / CHAIN);
    bench_add(&s[3], 1e9 * (wall2 - wall1) / CHAIN);
    et_scope_close(scope);
    return !et_error_status();
}

/* The same without a tape. */
static bool run_plain(link next, et_tensor *x, et_tensor *w, bench_samples *s)
{
    et_scope *scope = et_scope_open();
    et_tensor *y = x;

    et_no_grad_begin();
    double begin = bench_cpu_seconds();
    for (int i = 0; i < CHAIN; i++)
        y = next(y, w);
    bench_add(s, 1e9 * (bench_cpu_seconds() - begin) / CHAIN);
    et_no_grad_end();
    et_scope_close(scope);
    return !et_error_status();
}

bool bench_overhead(bench_report *r, const bench_options *o)
{
    static const struct {
        const char *name;
        link next;
        bool trained; /* the second operand needs a gradient too */
    } rows[] = {
        {"add", link_add, false},
        {"add, both trained", link_add, true},
        {"mul, both trained", link_mul, true},
        {"mul_scalar", link_scale, false},
        {"relu", link_relu, false},
        {"tanh", link_tanh, false},
    };
    enum { N = sizeof rows / sizeof rows[0] };
    static const bench_column columns[] = {{"no tape", 0},      {"forward", 0},      {"forward p90", 0},
                                           {"backward", 0},     {"backward p90", 0}, {"wall forward", 0},
                                           {"wall backward", 0}};
    static bench_samples s[5];
    bool good = true;

    bench_table(r, "overhead",
                "An op on 16 elements, ns by the thread's own clock (limits: forward 250, backward 150)",
                columns, 7);
    for (int i = 0; i < N && good; i++) {
        et_tensor *x = et_full(ET_F32, ET_SHAPE(ELEMENTS), 0.5),
                  *w = et_full(ET_F32, ET_SHAPE(ELEMENTS), 0.999);
        et_set_requires_grad(x, true);
        et_set_requires_grad(w, rows[i].trained);
        for (int k = 0; k < 5; k++)
            s[k].n = 0;
        double end = et_os_seconds() + o->seconds;
        for (int k = 0; good && (k < 20 || et_os_seconds() < end) && k < BENCH_SAMPLES; k++)
            good = run_chain(rows[i].next, x, w, s) && run_plain(rows[i].next, x, w, &s[4]);
        et_free(x);
        et_free(w);
        bench_summary plain = bench_summarise(&s[4]), f = bench_summarise(&s[0]), b = bench_summarise(&s[1]);
        bench_row(r, rows[i].name,
                  (double[]){plain.median, f.median, f.high, b.median, b.high, bench_summarise(&s[2]).median,
                             bench_summarise(&s[3]).median});
    }
    bench_table_end(r);
    return good;
}
