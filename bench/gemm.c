/* Matrix products: the shapes that the models have. */
#include "config.h"

#include "bench/bench.h"

#include "tensor/gemm.h"
#include "tensor/kernels.h"
#include "tensor/os.h"
#include "tensor/rng.h"
#include "tensor/scope.h"

typedef struct shape {
    const char *name;
    int m, n, k;
    char a, b; /* 'n' as it is stored, 't' transposed */
    int batch;
    bool brief; /* in the short table too */
} shape;

static const shape shapes[] = {
    {"64", 64, 64, 64, 'n', 'n', 1, false},
    {"128", 128, 128, 128, 'n', 'n', 1, true},
    {"128 NT", 128, 128, 128, 'n', 't', 1, false},
    {"128 TN", 128, 128, 128, 't', 'n', 1, false},
    {"128 TT", 128, 128, 128, 't', 't', 1, false},
    {"256", 256, 256, 256, 'n', 'n', 1, false},
    {"256 NT", 256, 256, 256, 'n', 't', 1, false},
    {"256 TN", 256, 256, 256, 't', 'n', 1, false},
    {"256 TT", 256, 256, 256, 't', 't', 1, false},
    {"512", 512, 512, 512, 'n', 'n', 1, true},
    {"512 NT", 512, 512, 512, 'n', 't', 1, false},
    {"512 TN", 512, 512, 512, 't', 'n', 1, false},
    {"512 TT", 512, 512, 512, 't', 't', 1, false},
    {"1024", 1024, 1024, 1024, 'n', 'n', 1, false},
    {"1024 NT", 1024, 1024, 1024, 'n', 't', 1, false},
    {"1024 TN", 1024, 1024, 1024, 't', 'n', 1, false},
    {"1024 TT", 1024, 1024, 1024, 't', 't', 1, false},
    {"ViT qkv", 2048, 384, 128, 'n', 't', 1, true},
    {"ViT mlp, to x", 2048, 128, 512, 'n', 'n', 1, false},
    {"ViT mlp, to W", 512, 128, 2048, 't', 'n', 1, true},
    {"attention scores", 64, 64, 32, 'n', 't', 128, true},
    {"attention values", 64, 32, 64, 'n', 'n', 128, true},
    {"BERT mlp", 512, 3072, 768, 'n', 't', 1, false},
    {"GRU input", 1824, 384, 128, 'n', 't', 1, true},
    {"GRU step", 32, 384, 128, 'n', 't', 1, true},
    {"GRU input, to W", 384, 128, 1824, 't', 'n', 1, true},
};

static void run_product(void *user) { et_gemm(ET_F32, user); }
static void run_bf16(void *user) { et_gemm_bf16(ET_F32, user); }

/* A step's product as the recurrent layers make it: the weights were packed once a call. */
typedef struct packed {
    const et_kernels *kr;
    const void *state, *weights;
    void *out;
    int64_t rows, units;
} packed;

static void run_packed(void *user)
{
    const packed *p = user;

    p->kr->rec_product(3, p->units, p->rows, p->units, p->state, p->units, p->weights, NULL, p->out);
}

static bool packed_row(bench_report *r, const bench_options *options, const char *name, int64_t rows,
                       int64_t units)
{
    const et_kernels *kr = et_kernels_for(ET_F32);
    const int64_t w_shape[] = {3 * units, units}, h_shape[] = {rows, units};
    const int64_t room[] = {kr->rec_packed(3, units, units), kr->rec_packed(3, units, rows)};
    et_rng rng = et_rng_make(2, 0);
    et_scope *scope = et_scope_open();
    et_tensor *w = et_empty(ET_F32, 2, w_shape), *h = et_empty(ET_F32, 2, h_shape);
    et_tensor *to = et_zeros(ET_F32, 1, &room[0]), *out = et_zeros(ET_F32, 1, &room[1]);
    bench_options one = *options; /* kernels run on one thread */
    bool good;

    one.threads = 1;
    et_fill_normal(w, &rng, 0, 1e-3);
    et_fill_normal(h, &rng, 0, 1e-3);
    good = !et_error_status();
    if (good) {
        packed p = {kr, et_data(h), et_data(to), et_data_mut(out), rows, units};
        kr->rec_pack(3, units, units, et_data(w), units, 1, et_data_mut(to));
        const bench_summary t = bench_measure(&one, run_packed, &p);
        const double flop = 6e-9 * (double)(rows * units * units);
        bench_row(r, name,
                  (double[]){(double)rows, 3.0 * (double)units, (double)units, 1, flop / t.median,
                             flop / t.high, 100 * flop / t.median / bench_peak(1)});
    }
    et_scope_close(scope);
    return good;
}

bool bench_gemm(bench_report *r, const bench_options *o)
{
    enum { N = sizeof shapes / sizeof shapes[0] };
    static const bench_column columns[] = {{"m", 0},        {"n", 0},         {"k", 0},    {"batch", 0},
                                           {"GFLOP/s", 1},
                                           {"slow p90", 1}, {"% of peak", 1}, {"bf16", 1}, {"ratio", 2}};
    et_rng rng = et_rng_make(1, 0);
    bool good = true;

    bench_table(r, "gemm",
                et_bf16_native()
                ? "Matrix products, float32, packing included; with bfloat16 by the CPU's instruction"
                                 : "Matrix products, float32, packing included; with bfloat16, widened",
                columns, 9);
    for (int i = 0; i < N && good; i++) {
        const shape *p = &shapes[i];
        if (o->brief && !p->brief)
            continue;
        et_scope *scope = et_scope_open();
        et_tensor *a = et_empty(ET_F32, ET_SHAPE(p->batch, p->m, p->k));
        et_tensor *b = et_empty(ET_F32, ET_SHAPE(p->batch, p->k, p->n));
        et_tensor *c = et_zeros(ET_F32, ET_SHAPE(p->batch, p->m, p->n));
        et_fill_normal(a, &rng, 0, 1);
        et_fill_normal(b, &rng, 0, 1);
        good = !et_error_status();
        if (good) {
            et_gemm_args args = {
                .m = p->m,
                .n = p->n,
                .k = p->k,
                .alpha = 1,
                .beta = 0,
                .ldc = p->n,
                .rsa = p->a == 'n' ? p->k : 1,
                .csa = p->a == 'n' ? 1 : p->m,
                .rsb = p->b == 'n' ? p->n : 1,
                .csb = p->b == 'n' ? 1 : p->k,
                .batch = p->batch,
                .sa = (int64_t)p->m * p->k,
                .sb = (int64_t)p->k * p->n,
                .sc = (int64_t)p->m * p->n,
                .a = et_data(a),
                .b = et_data(b),
                .c = et_data_mut(c),
            };
            bench_summary t = bench_measure(o, run_product, &args), half = bench_measure(o, run_bf16, &args);
            double flop = 2e-9 * p->m * p->n * p->k * p->batch;
            good = !et_error_status();
            bench_row(r, p->name,
                      (double[]){p->m, p->n, p->k, p->batch, flop / t.median, flop / t.high,
                                 100 * flop / t.median / bench_peak(o->threads), flop / half.median,
                                 t.median / half.median});
        }
        et_scope_close(scope);
    }
    good = good && packed_row(r, o, "GRU step, W packed", 32, 128) &&
           packed_row(r, o, "the same, 512 units", 32, 512);
    bench_table_end(r);
    return good;
}
