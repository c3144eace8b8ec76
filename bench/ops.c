/* Ops in the cache (512 K elements) and out of it (8 M), attention, the linear layer and a stack of
 * encoder blocks, forward and backward: rows that bench/compare sets beside PyTorch. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "bench/bench.h"
#include "nn/layer_norm.h"
#include "nn/linear.h"
#include "nn/optim.h"
#include "tensor/os.h"
#include "tensor/rng.h"
#include "tensor/safetensors.h"

typedef enum kind { EXP, TANH, SIGMOID, GELU, SOFTMAX, NORM, CROSS, EMBED, ADAM, LINEAR, ATTENTION, ENCODER,
                    TURN, ENDS, LARGEST, SORT, FLIP } kind;

/* Element-wise: rows x cols. Turn: a copy of the transpose. Ends: [64, rows / 64, cols] summed over the first
 * and the last dimension. Largest, sort, flip: along the rows. Embedding: rows indices into a table of as
 * many rows. Linear: rows of width cols to width out. Attention: rows items of heads heads, T tokens, heads
 * cols wide. */
typedef struct op_case {
    const char *name;
    kind kind;
    int64_t rows, cols, out, heads;
    bool brief;
    int again; /* the attention of so many of an encoder's blocks is computed again in backward */
} op_case;

static const op_case cases[] = {
    {"op/exp-512K", EXP, 4096, 128, 0, 0, true, 0},
    {"op/exp-8M", EXP, 65536, 128, 0, 0, false, 0},
    {"op/tanh-512K", TANH, 4096, 128, 0, 0, true, 0},
    {"op/tanh-8M", TANH, 65536, 128, 0, 0, false, 0},
    {"op/sigmoid-512K", SIGMOID, 4096, 128, 0, 0, false, 0},
    {"op/sigmoid-8M", SIGMOID, 65536, 128, 0, 0, false, 0},
    {"op/gelu-512K", GELU, 4096, 128, 0, 0, true, 0},
    {"op/gelu-8M", GELU, 65536, 128, 0, 0, false, 0},
    {"op/softmax-512K", SOFTMAX, 8192, 64, 0, 0, true, 0},
    {"op/softmax-8M", SOFTMAX, 32768, 256, 0, 0, false, 0},
    {"op/layernorm-512K", NORM, 4096, 128, 0, 0, true, 0},
    {"op/layernorm-8M", NORM, 10923, 768, 0, 0, false, 0},
    {"op/crossentropy-512K", CROSS, 4096, 128, 0, 0, true, 0},
    {"op/crossentropy-8M", CROSS, 8192, 1024, 0, 0, false, 0},
    {"op/embedding-512K", EMBED, 4096, 128, 0, 0, true, 0},
    {"op/embedding-8M", EMBED, 65536, 128, 0, 0, false, 0},
    {"op/adam-512K", ADAM, 4096, 128, 0, 0, true, 0},
    {"op/adam-8M", ADAM, 65536, 128, 0, 0, false, 0},
    {"op/transpose-4M", TURN, 2048, 2048, 0, 0, false, 0},
    {"op/sum-ends-512K", ENDS, 4096, 128, 0, 0, false, 0},
    {"op/max-512K", LARGEST, 512, 1024, 0, 0, false, 0},
    {"op/sort-256K", SORT, 256, 1000, 0, 0, false, 0},
    {"op/flip-512K", FLIP, 512, 1024, 0, 0, false, 0},
    {"op/linear-128-384", LINEAR, 4096, 128, 384, 0, true, 0},
    {"op/linear-512", LINEAR, 4096, 512, 512, 0, false, 0},
    {"attention/64", ATTENTION, 64, 32, 64, 4, true, 0},
    {"attention/256", ATTENTION, 16, 64, 256, 8, false, 0},
    {"attention/1212", ATTENTION, 1, 64, 1212, 12, false, 0},
    {"encoder/8x128", ENCODER, 64, 128, 64, 4, true, 0},
    {"encoder/8x128-half", ENCODER, 64, 128, 64, 4, false, 2},
};
enum { N_CASES = sizeof cases / sizeof cases[0], BLOCKS = 8, CLASSES = 10, MOST_LEAVES = 3 };

typedef struct block {
    et_layer_norm_layer *norm1, *norm2;
    et_linear_layer *qkv, *out, *up, *down;
    int heads;
} block;

/* The encoder, or the one tensor that Adam trains. */
typedef struct net {
    et_module module;
    block blocks[BLOCKS];
    et_layer_norm_layer *norm;
    et_linear_layer *head;
    et_tensor *weight;
} net;

typedef struct work {
    const op_case *c;
    et_tensor *leaf[MOST_LEAVES]; /* operands, NULL where there is none */
    et_tensor *ids;               /* int32, or NULL */
    et_tensor *cotangent;         /* NULL: the result is a loss */
    net *net;
    et_optim *optim;
} work;

/* --- the encoder: pre-norm blocks, mean over the tokens, a classifier ---------------------------------- */

static net *encoder_new(const op_case *c, et_rng *rng)
{
    net *m = et_module_new(sizeof *m, "Encoder", NULL, NULL);
    const int64_t d = c->cols;
    char name[16];

    for (int i = 0; m && i < BLOCKS; i++) {
        block *b = &m->blocks[i];
#define NAMED(what) (snprintf(name, sizeof name, "%s%d", what, i), name)
        b->heads = (int)c->heads;
        b->norm1 = et_layer_norm_layer_new(&m->module, NAMED("norm1_"), d, 1e-5);
        b->qkv = et_linear_layer_new(&m->module, NAMED("qkv_"), d, 3 * d, true, rng);
        b->out = et_linear_layer_new(&m->module, NAMED("out_"), d, d, true, rng);
        b->norm2 = et_layer_norm_layer_new(&m->module, NAMED("norm2_"), d, 1e-5);
        b->up = et_linear_layer_new(&m->module, NAMED("up_"), d, 2 * d, true, rng);
        b->down = et_linear_layer_new(&m->module, NAMED("down_"), 2 * d, d, true, rng);
#undef NAMED
    }
    if (!m)
        return NULL;
    m->norm = et_layer_norm_layer_new(&m->module, "norm", d, 1e-5);
    m->head = et_linear_layer_new(&m->module, "head", d, CLASSES, true, rng);
    return et_module_done(&m->module);
}

/* x + A(x), x = in[0] */
static et_tensor *attend(et_tensor *const *in, int n, void *user)
{
    const et_attention_opts merged = {.merge_heads = true};
    const block *b = user;
    et_scope *scope = et_scope_open();

    (void)n;
    et_tensor *y = et_linear_layer_forward(b->qkv, et_layer_norm_layer_forward(b->norm1, in[0]));
    y = et_attention_qkv(y, b->heads, NULL, &merged);
    y = et_scope_return(scope, et_add(in[0], et_linear_layer_forward(b->out, y)));
    et_scope_close(scope);
    return y;
}

/* x + M(x) */
static et_tensor *transform(const block *b, et_tensor *x)
{
    et_tensor *y = et_layer_norm_layer_forward(b->norm2, x);

    y = et_scope_after(y, et_linear_layer_forward_act(b->up, y, ET_ACT_GELU));
    y = et_scope_after(y, et_linear_layer_forward(b->down, y));
    return et_scope_after(y, et_add(x, y));
}

static et_tensor *encoder_loss(const work *w)
{
    et_tensor *x = w->leaf[0];

    for (int i = 0; i < BLOCKS; i++) {
        block *b = &w->net->blocks[i];
        x = i < w->c->again ? et_checkpoint(attend, &x, 1, b) : attend(&x, 1, b);
        x = transform(b, x);
    }
    x = et_layer_norm_layer_forward(w->net->norm, x);
    x = et_scope_after(x, et_mean(x, 1, (const int[]){1}, false));
    return et_cross_entropy(et_linear_layer_forward(w->net->head, x), w->ids);
}

/* --- any of them ----------------------------------------------------------------------------------- */

static et_tensor *forward(const work *w)
{
    et_tensor *x = w->leaf[0];

    switch (w->c->kind) {
    case EXP: return et_exp(x);
    case TANH: return et_tanh(x);
    case SIGMOID: return et_sigmoid(x);
    case GELU: return et_gelu(x);
    case SOFTMAX: return et_softmax(x, -1);
    case NORM: return et_layer_norm(x, w->leaf[1], w->leaf[2], 1e-5);
    case CROSS: return et_cross_entropy(x, w->ids);
    case EMBED: return et_embedding(x, w->ids, -1);
    case LINEAR: return et_linear(x, w->leaf[1], w->leaf[2]);
    case ATTENTION: return et_attention(x, w->leaf[1], w->leaf[2], NULL, NULL);
    case ENCODER: return encoder_loss(w);
    case TURN: return et_contiguous(et_transpose(x, 0, 1));
    case ENDS: return et_sum(et_reshape(x, ET_SHAPE(64, w->c->rows / 64, w->c->cols)), ET_DIMS(0, 2), false);
    case LARGEST: return et_max(x, 1, false, NULL);
    case SORT: return et_sort(x, 1, false, NULL);
    case FLIP: return et_flip(x, 1);
    default: return NULL;
    }
}

static et_tensor *filled(et_rng *rng, double deviation, int ndim, const int64_t *shape)
{
    et_tensor *t = et_empty(ET_F32, ndim, shape);

    if (t)
        et_fill_normal(t, rng, 0, deviation);
    return t;
}

static et_tensor *draw_ids(et_rng *rng, int64_t n, int64_t below)
{
    et_tensor *t = et_empty(ET_I32, 1, &n);
    int32_t *p = t ? et_data_mut(t) : NULL;

    for (int64_t i = 0; p && i < n; i++)
        p[i] = (int32_t)et_rng_below(rng, below);
    return t;
}

static void make_leaves(work *w, et_rng *rng)
{
    const op_case *c = w->c;
    const int64_t matrix[] = {c->rows, c->cols}, heads[] = {c->rows, c->heads, c->out, c->cols};
    const int64_t weight[] = {c->out, c->cols}, tokens[] = {c->rows, c->out, c->cols};

    switch (c->kind) {
    case ENCODER:
        w->leaf[0] = filled(rng, 1, 3, tokens);
        w->ids = draw_ids(rng, c->rows, CLASSES);
        w->net = encoder_new(c, rng);
        w->optim = w->net ? et_adam_new(&w->net->module, 1e-3) : NULL;
        return; /* the input gets no gradient */
    case ADAM:
        w->net = et_module_new(sizeof *w->net, "One", NULL, NULL);
        w->net->weight = et_module_param(&w->net->module, "weight", 2, matrix);
        et_fill_normal(w->net->weight, rng, 0, 1);
        w->leaf[0] = filled(rng, 1, 2, matrix); /* its gradient */
        w->optim = et_adam_new(&w->net->module, 1e-3);
        return;
    case ATTENTION:
        for (int i = 0; i < 3; i++)
            w->leaf[i] = filled(rng, 1, 4, heads);
        break;
    case LINEAR:
        w->leaf[0] = filled(rng, 1, 2, matrix);
        w->leaf[1] = filled(rng, 0.05, 2, weight);
        w->leaf[2] = filled(rng, 1, 1, weight);
        break;
    default:
        w->leaf[0] = filled(rng, 1, 2, matrix);
        if (c->kind == NORM)
            for (int i = 1; i < 3; i++)
                w->leaf[i] = filled(rng, 1, 1, &c->cols);
        if (c->kind == CROSS || c->kind == EMBED)
            w->ids = draw_ids(rng, c->rows, c->kind == CROSS ? c->cols : c->rows);
    }
    for (int i = 0; i < MOST_LEAVES; i++)
        if (w->leaf[i])
            et_set_requires_grad(w->leaf[i], true);
}

static bool work_make(work *w, const op_case *c)
{
    et_rng rng = et_rng_make(1, 0);
    int64_t shape[ET_MAX_DIMS];
    int ndim = 0;

    *w = (work){.c = c};
    make_leaves(w, &rng);
    if (et_error_status() || c->kind == ADAM || c->kind == ENCODER || c->kind == CROSS)
        return !et_error_status();
    et_scope *scope = et_scope_open();
    const et_tensor *y = forward(w);
    if (y) {
        ndim = y->ndim;
        memcpy(shape, y->shape, sizeof shape);
    }
    et_scope_close(scope);
    w->cotangent = ndim ? filled(&rng, 1, ndim, shape) : NULL;
    return w->cotangent != NULL;
}

static void work_free(work *w)
{
    et_optim_free(w->optim);
    if (w->net)
        et_module_free(&w->net->module);
    for (int i = 0; i < MOST_LEAVES; i++)
        et_free(w->leaf[i]);
    et_free(w->ids);
    et_free(w->cotangent);
}

/* Forward, and backward with what belongs to it; the clock before, between and after. */
static bool step(work *w, int threads, double at[3])
{
    at[0] = bench_clock(threads);
    if (w->c->kind == ADAM) {
        et_optim_step(w->optim);
        at[1] = at[2] = bench_clock(threads);
        return !et_error_status();
    }
    et_scope *scope = et_scope_open();
    et_tensor *y = forward(w);
    at[1] = bench_clock(threads);
    for (int i = 0; i < MOST_LEAVES; i++)
        if (w->leaf[i])
            et_zero_grad_of(w->leaf[i]);
    et_backward_from(y, w->cotangent, 0);
    if (w->optim)
        et_optim_step_zero(w->optim, 1, NULL);
    et_scope_close(scope);
    at[2] = bench_clock(threads);
    return !et_error_status();
}

/* Adam starts from a gradient of its own. */
static void give_gradient(const work *w)
{
    et_copy_into(et_grad_of(w->net->weight), w->leaf[0]);
}

/* Operands, and the results that the peer has to reach. */
static bool save(work *w, const char *path)
{
    enum { ENTRIES = 160, STEPS = 3 };
    static const char *const names[] = {"a", "b", "c"}, *const grads[] = {"a.grad", "b.grad", "c.grad"};
    const int32_t call[] = {(int32_t)w->c->kind, (int32_t)w->c->heads};
    et_named_tensor *out = calloc(ENTRIES, sizeof *out);
    et_scope *scope = et_scope_open();
    const et_entry *e;
    int n = 0;
    double losses[STEPS], at[3];

    if (!out)
        return false;
    out[n++] = (et_named_tensor){"call", et_from(ET_I32, ET_SHAPE(2), call)};
    for (int i = 0; i < MOST_LEAVES; i++)
        if (w->leaf[i])
            out[n++] = (et_named_tensor){names[i], w->leaf[i]};
    if (w->ids)
        out[n++] = (et_named_tensor){"ids", w->ids};
    if (w->cotangent)
        out[n++] = (et_named_tensor){"cotangent", w->cotangent};
    for (int64_t i = 0; w->net && (e = et_module_entry(&w->net->module, i)) && n < ENTRIES - 4; i++)
        out[n++] = (et_named_tensor){e->name, et_clone(e->tensor)};
    if (w->c->kind == ADAM) {
        give_gradient(w);
        for (int i = 0; i < STEPS; i++)
            step(w, 1, at);
        out[n++] = (et_named_tensor){"y", w->net->weight};
    } else if (w->c->kind == ENCODER) {
        for (int i = 0; i < STEPS; i++) {
            et_scope *inner = et_scope_open_root();
            et_tensor *loss = forward(w);
            losses[i] = loss ? et_item(loss) : NAN;
            et_backward(loss);
            et_optim_step_zero(w->optim, 1, NULL);
            et_scope_close(inner);
        }
        out[n++] = (et_named_tensor){"y", et_from(ET_F64, ET_SHAPE(STEPS), losses)};
    } else {
        et_tensor *y = forward(w);
        if (y)
            et_keep(y);
        et_backward_from(y, w->cotangent, 0);
        out[n++] = (et_named_tensor){"y", y};
        for (int i = 0; i < MOST_LEAVES; i++)
            if (w->leaf[i])
                out[n++] = (et_named_tensor){grads[i], et_grad_of(w->leaf[i])};
    }
    if (!et_error_status())
        et_safetensors_write(path, out, n, NULL, 0);
    et_scope_close(scope);
    free(out);
    return !et_error_status();
}

bool bench_ops_has(const char *model)
{
    for (int i = 0; model && i < N_CASES; i++)
        if (!strcmp(cases[i].name, model))
            return true;
    return false;
}

typedef struct served {
    work *w;
    int threads;
} served;

static bool serve_step(void *user)
{
    const served *s = user;
    double at[3];

    return step(s->w, s->threads, at);
}

bool bench_ops_serve(const bench_options *o)
{
    work w = {0};
    bool good = false;

    for (int i = 0; i < N_CASES; i++)
        if (!strcmp(cases[i].name, o->model))
            good = work_make(&w, &cases[i]) && (!o->save || save(&w, o->save));
    good = good && bench_serve(serve_step, &(served){&w, o->threads}, w.c->kind == ADAM ? NULL : w.optim);
    work_free(&w);
    return good;
}

/* Floating-point operations of forward, in 1e9; NaN for what is no product. */
static double flop(const op_case *c)
{
    const double tokens = (double)(c->rows * c->out), d = (double)c->cols;

    if (c->kind == LINEAR)
        return 2e-9 * (double)c->rows * d * (double)c->out;
    if (c->kind == ATTENTION)
        return 4e-9 * tokens * (double)(c->heads * c->out) * d;
    if (c->kind == ENCODER)
        return 1e-9 * BLOCKS * (tokens * 2 * (8 * d * d) + 4 * tokens * (double)c->out * d);
    return NAN;
}

static bool measure(bench_report *r, const bench_options *o, const op_case *c)
{
    static bench_samples s[2];
    work w = {0};
    double at[3];
    bool good = work_make(&w, c);

    for (int i = 0; i < 3 && good; i++)
        good = step(&w, o->threads, at);
    s[0].n = s[1].n = 0;
    for (double end = et_os_seconds() + o->seconds; good && (s[0].n < 5 || et_os_seconds() < end) &&
                                                    s[0].n < BENCH_SAMPLES;) {
        good = step(&w, o->threads, at);
        bench_add(&s[0], at[1] - at[0]);
        bench_add(&s[1], at[2] - at[1]);
    }
    if (good) {
        const bench_summary f = bench_summarise(&s[0]), b = bench_summarise(&s[1]);
        const double elements = (double)(c->rows * c->cols) * (double)(c->heads ? c->heads * c->out : 1);
        const bool back = c->kind != ADAM;
        bench_row(r, c->name,
                  (double[]){1e3 * f.median, back ? 1e3 * b.median : NAN, back ? b.median / f.median : NAN,
                             1e9 * f.median / elements, back ? 1e9 * b.median / elements : NAN,
                             flop(c) / f.median, 100 * flop(c) / f.median / bench_peak(o->threads)});
    }
    work_free(&w);
    return good;
}

bool bench_ops(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {{"forward ms", 3},   {"backward ms", 3}, {"back/forw", 2},
                                           {"ns / element", 3}, {"backward", 3},    {"GFLOP/s", 1},
                                           {"% of peak", 1}};
    bool good = true;

    bench_table(r, "ops", "Ops, attention, encoder (its backward with Adam): forward and backward",
                columns, 7);
    for (int i = 0; i < N_CASES && good; i++)
        if (bench_ops_has(o->model) ? !strcmp(o->model, cases[i].name) : !o->brief || cases[i].brief)
            good = measure(r, o, &cases[i]);
    bench_table_end(r);
    return good;
}
