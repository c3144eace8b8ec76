/* Recurrent layers: float64 and every instruction set of this machine against their
 * definition, forward and all gradients, over cells, directions, lengths, absent operands and
 * sizes at the edges of vectors, tiles and shards; the same bits for any number of threads;
 * wrong use. */
#include "config.h"

#include "tests/suite.h"

#include <math.h>
#include <string.h>

#include "autograd/ops.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"
#include "tensor/scope.h"
#include "tests/grad_sweep.h"
#include "tests/recurrent_slow.h"

/* Operands in the order of the slow definition's gradients. */
enum { X, H0, C0, W_IH, W_HH, B_IH, B_HH, N_OPERANDS };
enum { Y, H_N, C_N, N_OUT };
static const char *const operand_name[] = {"x", "h0", "c0", "w_ih", "w_hh", "b_ih", "b_hh"};
static const char *const out_name[] = {"y", "h_n", "c_n"};
static const char *const cell_name[] = {"tanh", "relu", "gru", "lstm"};

typedef struct layer {
    int cell, B, T, F, H;
    bool reverse, state, b_ih, b_hh, lengths; /* state: h0 and c0 are given */
    unsigned needs;                           /* mask of the operands that need a gradient */
    unsigned cotangents;                      /* mask of the outputs that have one */
} layer;

/* What a run gave, as numbers and as bits. */
typedef struct result {
    et_tensor *out[N_OUT], *grad[N_OPERANDS];
} result;

/* Numbers in [-1, 1) that float32 holds exactly. */
static double draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / 8388608.0 - 1.0;
}

static double *numbers(int64_t n, double scale, uint32_t seed)
{
    double *p = malloc((size_t)(n + 1) * sizeof *p);

    ck_assert_ptr_nonnull(p);
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)(scale * draw(&seed));
    return p;
}

/* The layer's numbers: the same for every dtype. lengths include 0 and T. */
typedef struct data {
    double *operand[N_OPERANDS], *cotangent[N_OUT], *out[N_OUT], *grad[N_OPERANDS];
    int64_t size[N_OPERANDS], out_size[N_OUT];
    int32_t *lengths;
} data;

static bool present(const layer *l, int i)
{
    return i == H0 ? l->state : i == C0 ? l->state && l->cell == SLOW_LSTM : i == B_IH ? l->b_ih
         : i == B_HH ? l->b_hh : true;
}

static data make_data(const layer *l)
{
    const int64_t G = (int64_t)slow_gates(l->cell) * l->H;
    const int64_t size[] = {(int64_t)l->B * l->T * l->F, (int64_t)l->B * l->H, (int64_t)l->B * l->H,
                            G * l->F, G * l->H, G, G};
    const double weight = 1 / sqrt(l->H);
    data d;

    for (int i = 0; i < N_OPERANDS; i++) {
        d.size[i] = size[i];
        d.operand[i] = numbers(size[i], i == W_IH || i == W_HH ? weight : i >= B_IH ? 0.5 : 1,
                               11 + (uint32_t)i);
        d.grad[i] = numbers(size[i], 0, 1);
    }
    for (int k = 0; k < N_OUT; k++) {
        d.out_size[k] = k == Y ? (int64_t)l->B * l->T * l->H : (int64_t)l->B * l->H;
        d.cotangent[k] = numbers(d.out_size[k], 1, 31 + (uint32_t)k);
        d.out[k] = numbers(d.out_size[k], 0, 1);
    }
    d.lengths = malloc(((size_t)l->B + 1) * sizeof *d.lengths);
    ck_assert_ptr_nonnull(d.lengths);
    for (int b = 0; b < l->B; b++)
        d.lengths[b] = b % 3 == 1 ? l->T : b % 3 == 2 ? (b % 2 ? 0 : 1) * (l->T > 0) : l->T * (b % 7 + 1) / 8;
    return d;
}

static void free_data(data *d)
{
    for (int i = 0; i < N_OPERANDS; i++) {
        free(d->operand[i]);
        free(d->grad[i]);
    }
    for (int k = 0; k < N_OUT; k++) {
        free(d->cotangent[k]);
        free(d->out[k]);
    }
    free(d->lengths);
}

static void run_slow(const layer *l, data *d)
{
#define IF(i) (present(l, i) ? d->operand[i] : NULL)
#define GIVEN(k) (l->cotangents >> (k) & 1 ? d->cotangent[k] : NULL)
    slow_layer s = {.cell = l->cell, .B = l->B, .T = l->T, .F = l->F, .H = l->H, .reverse = l->reverse,
                    .x = d->operand[X], .h0 = IF(H0), .c0 = IF(C0), .w_ih = d->operand[W_IH],
                    .w_hh = d->operand[W_HH], .b_ih = IF(B_IH), .b_hh = IF(B_HH),
                    .lengths = l->lengths ? d->lengths : NULL, .y = d->out[Y], .h_n = d->out[H_N],
                    .c_n = d->out[C_N], .dy = GIVEN(Y), .dh_n = GIVEN(H_N),
                    .dc_n = l->cell == SLOW_LSTM ? GIVEN(C_N) : NULL, .dx = d->grad[X],
                    .dh0 = d->grad[H0], .dc0 = d->grad[C0], .dw_ih = d->grad[W_IH],
                    .dw_hh = d->grad[W_HH], .db_ih = d->grad[B_IH], .db_hh = d->grad[B_HH]};

    slow_run(&s);
}

static et_tensor *tensor_of(et_dtype dtype, int ndim, const int64_t *shape, const double *p)
{
    return et_to(et_from(ET_F64, ndim, shape, p), dtype);
}

/* The layer by the library, in the open scope. */
static result run(const layer *l, const data *d, et_dtype dtype)
{
    const int64_t B = l->B, G = (int64_t)slow_gates(l->cell) * l->H;
    const int64_t shape[N_OPERANDS][3] = {{B, l->T, l->F}, {B, l->H}, {B, l->H}, {G, l->F},
                                          {G, l->H},       {G},       {G}};
    const int ndim[N_OPERANDS] = {3, 2, 2, 2, 2, 1, 1};
    const et_rnn_opts opts = {.reverse = l->reverse, .relu = l->cell == SLOW_RELU};
    const int n_out = l->cell == SLOW_LSTM ? 3 : 2;
    et_tensor *in[N_OPERANDS] = {NULL}, *gy[N_OUT] = {NULL}, *wrt[N_OPERANDS], *grads[N_OPERANDS] = {NULL};
    et_tensor *lengths = l->lengths ? et_from(ET_I32, ET_SHAPE(B), d->lengths) : NULL;
    et_tensor *outs[N_OUT], *cotangents[N_OUT];
    int n_wrt = 0, n_given = 0, where[N_OPERANDS];
    result r = {{NULL}, {NULL}};

    for (int i = 0; i < N_OPERANDS; i++)
        if (present(l, i)) {
            in[i] = tensor_of(dtype, ndim[i], shape[i], d->operand[i]);
            if (l->needs >> i & 1) {
                et_set_requires_grad(in[i], true);
                where[n_wrt] = i;
                wrt[n_wrt++] = in[i];
            }
        }
    if (l->cell == SLOW_LSTM)
        r.out[Y] = et_lstm(in[X], in[H0], in[C0], in[W_IH], in[W_HH], in[B_IH], in[B_HH], lengths, &opts,
                           &r.out[H_N], &r.out[C_N]);
    else if (l->cell == SLOW_GRU)
        r.out[Y] = et_gru(in[X], in[H0], in[W_IH], in[W_HH], in[B_IH], in[B_HH], lengths, &opts, &r.out[H_N]);
    else
        r.out[Y] = et_rnn(in[X], in[H0], in[W_IH], in[W_HH], in[B_IH], in[B_HH], lengths, &opts, &r.out[H_N]);
    ck_assert_msg(r.out[Y] && r.out[H_N], "%s: %s", cell_name[l->cell], et_error_message());
    for (int k = 0; k < n_out; k++) {
        et_keep(r.out[k]);
        if (l->cotangents >> k & 1) {
            gy[k] = tensor_of(dtype, k == Y ? 3 : 2, k == Y ? (const int64_t[]){B, l->T, l->H} : shape[H0],
                              d->cotangent[k]);
            outs[n_given] = r.out[k];
            cotangents[n_given++] = gy[k];
        }
    }
    if (n_wrt > 0) {
        et_status status = et_grad(n_given, outs, cotangents, n_wrt, wrt, grads, 0);
        ck_assert_msg(status == ET_OK, "%s: %s", cell_name[l->cell], et_error_message());
    }
    for (int i = 0; i < n_wrt; i++)
        r.grad[where[i]] = grads[i];
    return r;
}

/* ||a - b|| / ||b||. */
static double distance(const et_tensor *a, const double *b, int64_t n)
{
    double error = 0, norm = 0;

    ck_assert(a->numel == n && et_is_contiguous(a));
    for (int64_t i = 0; i < n; i++) {
        const double v = a->dtype == ET_F64 ? et_data_f64(a)[i] : (double)et_data_f32(a)[i];
        error += (v - b[i]) * (v - b[i]);
        norm += b[i] * b[i];
    }
    return sqrt(norm > 0 ? error / norm : error);
}

static void compare(const layer *l, et_dtype dtype, double tol)
{
    data d = make_data(l);
    et_scope *scope = et_scope_open();
    result r = run(l, &d, dtype);

    run_slow(l, &d);
    for (int i = 0; i < N_OUT + N_OPERANDS; i++) {
        const int k = i - N_OUT;
        const et_tensor *t = i < N_OUT ? r.out[i] : r.grad[k];
        double e;
        if (!t)
            continue;
        e = i < N_OUT ? distance(t, d.out[i], d.out_size[i]) : distance(t, d.grad[k], d.size[k]);
        ck_assert_msg(e <= tol, "%s (%s) B %d T %d F %d H %d%s%s%s%s%s cotangents %x: %s%s is off by %.3g",
                      cell_name[l->cell], dtype == ET_F64 ? "float64" : et_isa(), l->B, l->T, l->F, l->H,
                      l->reverse ? " reverse" : "", l->state ? " state" : "", l->b_ih ? " b_ih" : "",
                      l->b_hh ? " b_hh" : "", l->lengths ? " lengths" : "", l->cotangents,
                      i < N_OUT ? "" : "d", i < N_OUT ? out_name[i] : operand_name[k], e);
    }
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
    free_data(&d);
}

/* Sizes at the edges of vectors (H), panels, tiles of rows and shards (B), chunks of steps (T). */
static const int sizes[][4] = {
    {1, 1, 1, 1}, {1, 1, 3, 5}, {1, 7, 4, 16}, {3, 5, 7, 17}, {8, 6, 5, 48}, {9, 4, 16, 15}, {12, 9, 3, 31},
    {32, 5, 8, 64}, {33, 3, 1, 33}, {5, 13, 20, 80}, {2, 0, 3, 4}, {0, 3, 2, 4}, {20, 70, 64, 33}
};
enum { N_SIZES = sizeof sizes / sizeof *sizes, ALL = (1 << N_OPERANDS) - 1 };

/* Every cell, size and a choice of options that meets each pair of them. */
static void compare_all(et_dtype dtype, int cell, double tol)
{
    for (int k = 0; k < N_SIZES; k++)
        for (int v = 0; v < 8; v++) {
            const layer l = {cell, sizes[k][0], sizes[k][1], sizes[k][2], sizes[k][3],
                             .reverse = v & 1, .state = v & 2, .b_ih = v != 1 && v != 6, .b_hh = v < 6,
                             .lengths = (v & 4) || v == 0, .needs = ALL,
                             .cotangents = v == 2 ? 6 : v == 5 ? 1 : 7};
            if (l.B > 9 && v % 3 != k % 3)
                continue;
            compare(&l, dtype, tol);
        }
}

START_TEST(float64_is_the_definition)
{
    compare_all(ET_F64, _i, 1e-12);
}
END_TEST

START_TEST(float32_is_near_the_definition)
{
    const et_kernels *tables[8];
    const int n = et_kernels_available(tables, 8);

    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(et_set_isa(tables[i]->name), ET_OK);
        compare_all(ET_F32, _i, _i == SLOW_RELU ? 1e-5 : 3e-6);
    }
}
END_TEST

static void same_bits(const et_tensor *a, const et_tensor *b, const char *what, const char *name)
{
    ck_assert_msg(!a == !b && (!a || et_equal(a, b)), "%s: %s differs", what, name);
}

START_TEST(threads_do_not_change_bits)
{
    for (int k = 0; k < 3; k++) {
        const int B[] = {33, 100, 5}, T[] = {200, 40, 40}; /* several chunks; several shards; one of each */
        const layer l = {_i, B[k], T[k], 20, 36, .reverse = k == 1, .state = true, .b_ih = true, .b_hh = true,
                         .lengths = k > 0, .needs = ALL, .cotangents = 7};
        data d = make_data(&l);
        for (int dtype = ET_F32; dtype <= ET_F64; dtype++) {
            const int threads[] = {1, 2, 3, 8};
            et_scope *scope = et_scope_open();
            result one = {{NULL}, {NULL}};
            for (int t = 0; t < 4; t++) {
                result r;
                ck_assert_int_eq(et_set_num_threads(threads[t]), ET_OK);
                r = run(&l, &d, (et_dtype)dtype);
                if (t == 0)
                    one = r;
                for (int i = 0; i < N_OUT; i++)
                    same_bits(r.out[i], one.out[i], "threads", out_name[i]);
                for (int i = 0; i < N_OPERANDS; i++)
                    same_bits(r.grad[i], one.grad[i], "threads", operand_name[i]);
            }
            ck_assert_int_eq(et_scope_close(scope), ET_OK);
        }
        free_data(&d);
    }
}
END_TEST

/* A gradient does not depend on which others are asked for, nor the output on any being. */
START_TEST(each_gradient_by_itself)
{
    layer l = {_i, 9, 6, 5, 18, .reverse = true, .state = true, .b_ih = true, .b_hh = true, .lengths = true,
               .needs = ALL, .cotangents = 7};
    data d = make_data(&l);
    et_scope *scope = et_scope_open();
    const result all = run(&l, &d, ET_F32);

    for (int i = 0; i <= N_OPERANDS; i++) {
        result r;
        l.needs = i < N_OPERANDS ? 1u << i : 0;
        r = run(&l, &d, ET_F32);
        if (i < N_OPERANDS)
            same_bits(r.grad[i], present(&l, i) ? all.grad[i] : NULL, "alone", operand_name[i]);
        same_bits(r.out[Y], all.out[Y], "alone", "y");
    }
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
    free_data(&d);
}
END_TEST

static et_tensor *plain_layer(int cell, et_tensor *x, et_tensor *w_ih, et_tensor *w_hh, et_tensor *b)
{
    const et_rnn_opts opts = {.relu = cell == SLOW_RELU};

    if (cell == SLOW_LSTM)
        return et_lstm(x, NULL, NULL, w_ih, w_hh, b, b, NULL, &opts, NULL, NULL);
    return cell == SLOW_GRU ? et_gru(x, NULL, w_ih, w_hh, b, b, NULL, &opts, NULL)
                            : et_rnn(x, NULL, w_ih, w_hh, b, b, NULL, &opts, NULL);
}

typedef struct plain {
    et_tensor *x, *w_ih, *w_hh, *b;
} plain;

static plain make_plain(int cell, int64_t B, int64_t T, int64_t F, int64_t H)
{
    const int64_t G = slow_gates(cell) * H;
    et_rng rng = et_rng_make(7, 1);
    plain p = {et_empty(ET_F32, ET_SHAPE(B, T, F)), et_empty(ET_F32, ET_SHAPE(G, F)),
               et_empty(ET_F32, ET_SHAPE(G, H)), et_empty(ET_F32, ET_SHAPE(G))};
    et_tensor *const all[] = {p.x, p.w_ih, p.w_hh, p.b};

    for (int i = 0; i < 4; i++) {
        ck_assert_ptr_nonnull(all[i]);
        ck_assert_int_eq(et_fill_uniform(all[i], &rng, i ? -0.2 : -1, i ? 0.2 : 1), ET_OK);
        if (i)
            et_set_requires_grad(all[i], true);
    }
    return p;
}

/* Backward writes over what it has read for the last time, but not where it is to be read again: the saved
 * gates of a retained graph, the gradient of a tensor that is kept. */
START_TEST(twice_through_one_graph)
{
    enum { B = 40, T = 60, F = 20, H = 36, TURNS = 6 }; /* several shards */
    static const int threads[TURNS] = {2, 1, 1, 2, 3, 8};
    et_scope *scope = et_scope_open();
    const plain p = make_plain(_i, B, T, F, H);
    et_tensor *const weights[] = {p.w_ih, p.w_hh, p.b};
    et_tensor *once[3], *y = NULL, *z = NULL, *factor = et_empty(ET_F32, ET_SHAPE(B, T, H));
    et_rng rng = et_rng_make(8, 1);

    ck_assert_int_eq(et_fill_uniform(factor, &rng, -1, 1), ET_OK);
    for (int turn = 0; turn < TURNS; turn++) {
        ck_assert_int_eq(et_set_num_threads(threads[turn]), ET_OK);
        if (turn != 1)
            z = et_mul(y = plain_layer(_i, p.x, p.w_ih, p.w_hh, p.b), factor);
        if (turn == 0)
            et_keep(y);
        ck_assert_int_eq(et_backward_from(z, NULL, turn == 0 ? ET_RETAIN_GRAPH : 0), ET_OK);
        if (turn < 2)
            same_bits(et_grad_of(y), factor, cell_name[_i], "the gradient of y");
        for (int i = 0; i < 3; i++) {
            if (turn == 0)
                once[i] = et_clone(et_grad_of(weights[i]));
            same_bits(et_grad_of(weights[i]), once[i], cell_name[_i], operand_name[W_IH + i]);
            et_zero_grad_of(weights[i]);
        }
    }
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
}
END_TEST

/* Kept are the output and three gates of a GRU, four of an LSTM; backward works in a thread's memory, which
 * does not grow with the batch. */
START_TEST(memory)
{
    enum { B = 64, T = 256, F = 8, H = 64 };
    const size_t unit = (size_t)B * T * H * sizeof(float);
    const size_t kept[] = {1, 1, 4, 5};
    et_scope *scope = et_scope_open();
    const plain p = make_plain(_i, B, T, F, H);
    et_pool_stats before, forward, after;

    ck_assert_int_eq(et_set_num_threads(1), ET_OK);
    for (int turn = 0; turn < 2; turn++) { /* the first makes the weights' gradients */
        et_scope *inner = et_scope_open();
        et_pool_get_stats(&before);
        et_tensor *y = plain_layer(_i, p.x, p.w_ih, p.w_hh, p.b), *gy = et_ones(ET_F32, ET_SHAPE(B, T, H));
        et_pool_get_stats(&forward);
        et_pool_reset_peak();
        ck_assert_int_eq(et_backward_from(y, gy, 0), ET_OK);
        et_pool_get_stats(&after);
        ck_assert_int_eq(et_scope_close(inner), ET_OK);
    }
    ck_assert_uint_lt(forward.current - before.current, (kept[_i] + 1) * unit + unit / 2);
    ck_assert_uint_lt(after.peak - forward.current, unit / 3);
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
}
END_TEST

/* Backward has dy, packed weights, and a chunk of steps for each thread; for each but the first, a sum for
 * the weights' gradients. */
START_TEST(memory_of_threads)
{
    enum { B = 64, T = 64, F = 128, H = 128, CHUNK = 1 << 18, MOST = 8 }; /* eight shards */
    const size_t square = H * H * sizeof(float), gates = (size_t)slow_gates(_i);
    const size_t dy = (size_t)B * T * H * sizeof(float);
    const size_t packed = (gates + (gates == 3)) * square, sums = 2 * gates * square;
    et_scope *scope = et_scope_open();
    const plain p = make_plain(_i, B, T, F, H);
    et_tensor *factor = et_ones(ET_F32, ET_SHAPE(B, T, H));
    et_pool_stats forward, after;

    for (int threads = 1; threads <= MOST; threads *= 2) {
        ck_assert_int_eq(et_set_num_threads(threads), ET_OK);
        for (int turn = 0; turn < 2; turn++) { /* the first makes the weights' gradients */
            et_scope *inner = et_scope_open();
            et_tensor *z = et_mul(plain_layer(_i, p.x, p.w_ih, p.w_hh, p.b), factor);
            et_tensor *gz = et_ones(ET_F32, ET_SHAPE(B, T, H));
            et_pool_get_stats(&forward);
            et_pool_reset_peak();
            ck_assert_int_eq(et_backward_from(z, gz, 0), ET_OK);
            et_pool_get_stats(&after);
            ck_assert_int_eq(et_scope_close(inner), ET_OK);
        }
        ck_assert_uint_lt(after.peak - forward.current,
                          dy + packed + (size_t)threads * CHUNK + (size_t)(threads - 1) * sums);
    }
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
}
END_TEST

/* What lies past a row's length is not looked at. */
START_TEST(padding_may_be_anything)
{
    const layer l = {_i, 9, 6, 5, 18, .reverse = false, .state = true, .b_ih = true, .b_hh = true,
                     .lengths = true, .needs = ALL, .cotangents = 7};
    data d = make_data(&l);
    et_scope *scope = et_scope_open();
    const result zeros = run(&l, &d, ET_F64);
    result r;

    for (int b = 0; b < l.B; b++)
        for (int i = d.lengths[b] * l.F; i < l.T * l.F; i++)
            d.operand[X][b * l.T * l.F + i] = NAN;
    for (int b = 0; b < l.B; b++)
        for (int i = d.lengths[b] * l.H; i < l.T * l.H; i++)
            d.cotangent[Y][b * l.T * l.H + i] = NAN;
    r = run(&l, &d, ET_F64);
    for (int i = 0; i < N_OUT; i++)
        same_bits(r.out[i], zeros.out[i], "padding", out_name[i]);
    for (int i = 0; i < N_OPERANDS; i++)
        same_bits(r.grad[i], zeros.grad[i], "padding", operand_name[i]);
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
    free_data(&d);
}
END_TEST

/* Reversing is walking the mirrored sequence forward. */
START_TEST(reverse_mirrors)
{
    layer l = {_i, 10, 7, 5, 20, .b_ih = true, .b_hh = true, .cotangents = 7};
    data d = make_data(&l), m = make_data(&l);
    et_scope *scope = et_scope_open();
    result forward, reverse;

    for (int b = 0; b < l.B; b++)
        for (int t = 0; t < l.T; t++)
            memcpy(m.operand[X] + (b * l.T + t) * l.F, d.operand[X] + (b * l.T + l.T - 1 - t) * l.F,
                   (size_t)l.F * sizeof(double));
    forward = run(&l, &d, ET_F32);
    l.reverse = true;
    reverse = run(&l, &m, ET_F32);
    same_bits(reverse.out[H_N], forward.out[H_N], "mirror", "h_n");
    for (int b = 0; b < l.B; b++)
        for (int t = 0; t < l.T; t++)
            ck_assert_mem_eq(et_data_f32(forward.out[Y]) + (b * l.T + t) * l.H,
                             et_data_f32(reverse.out[Y]) + (b * l.T + l.T - 1 - t) * l.H,
                             (size_t)l.H * sizeof(float));
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
    free_data(&d);
    free_data(&m);
}
END_TEST

/* Views with any strides give what their contiguous copies give. */
START_TEST(strided_operands)
{
    et_scope *scope = et_scope_open();
    et_rng rng = et_rng_make(3, 0);
    et_tensor *wide = et_empty(ET_F32, ET_SHAPE(4, 5, 3)), *w_ih = et_empty(ET_F32, ET_SHAPE(9, 4));
    et_tensor *w_hh = et_empty(ET_F32, ET_SHAPE(9, 3)), *x, *w, *a, *b;

    et_fill_normal(wide, &rng, 0, 1);
    et_fill_normal(w_ih, &rng, 0, 1);
    et_fill_normal(w_hh, &rng, 0, 1);
    x = et_raw_view(wide, ET_SHAPE(3, 5, 4), (const int64_t[]){1, 3, 15}, 0);
    w = et_raw_view(w_hh, ET_SHAPE(9, 3), (const int64_t[]){1, 9}, 0);
    a = et_gru(x, NULL, w_ih, w, NULL, NULL, NULL, NULL, NULL);
    b = et_gru(et_clone(x), NULL, w_ih, et_clone(w), NULL, NULL, NULL, NULL, NULL);
    same_bits(a, b, "strides", "y");
    ck_assert_ptr_nonnull(a);
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
}
END_TEST

/* --- wrong use ------------------------------------------------------------------------------- */

typedef struct misuse {
    const char *what;
    int64_t x[3], w_ih[2], w_hh[2], b_hh, h0[2], lengths;
    int32_t length;       /* of the first row */
    et_status status;
    const char *says;
} misuse;

static const misuse misuses[] = {
    {"fits", {2, 3, 4}, {15, 4}, {15, 5}, 15, {2, 5}, 2, 3, ET_OK, ""},
    {"gates", {2, 3, 4}, {15, 4}, {14, 5}, 15, {2, 5}, 2, 3, ET_ESHAPE,
     "w_hh must be [3H, H] with H > 0, not [14, 5]"},
    {"no units", {2, 3, 4}, {0, 4}, {0, 0}, 0, {2, 0}, 2, 3, ET_ESHAPE, "w_hh must be [3H, H] with H > 0"},
    {"features", {2, 3, 4}, {15, 3}, {15, 5}, 15, {2, 5}, 2, 3, ET_ESHAPE,
     "w_ih must be [gates H, F], here [15, 4]"},
    {"bias", {2, 3, 4}, {15, 4}, {15, 5}, 14, {2, 5}, 2, 3, ET_ESHAPE,
     "b_hh must be [gates H], here [15], not [14]"},
    {"state", {2, 3, 4}, {15, 4}, {15, 5}, 15, {3, 5}, 2, 3, ET_ESHAPE,
     "h0 must be [B, H], here [2, 5], not [3, 5]"},
    {"lengths", {2, 3, 4}, {15, 4}, {15, 5}, 15, {2, 5}, 3, 3, ET_ESHAPE,
     "lengths must be [B], here [2], not [3]"},
    {"too long", {2, 3, 4}, {15, 4}, {15, 5}, 15, {2, 5}, 2, 4, ET_EINVAL,
     "lengths[0] is 4, but must be in 0 .. T = 3"},
    {"negative", {2, 3, 4}, {15, 4}, {15, 5}, 15, {2, 5}, 2, -1, ET_EINVAL, "lengths[0] is -1"},
};

START_TEST(wrong_use)
{
    const misuse *m = &misuses[_i];
    et_scope *scope = et_scope_open();
    et_tensor *lengths = et_zeros(ET_I32, ET_SHAPE(m->lengths)), *h_n = (et_tensor *)scope, *y;

    et_set(lengths, (const int64_t[]){0}, m->length);
    y = et_gru(et_zeros(ET_F32, 3, m->x), et_zeros(ET_F32, 2, m->h0), et_zeros(ET_F32, 2, m->w_ih),
               et_zeros(ET_F32, 2, m->w_hh), NULL, et_zeros(ET_F32, ET_SHAPE(m->b_hh)), lengths, NULL, &h_n);
    ck_assert_msg(et_error_status() == m->status, "%s: %s", m->what, et_error_message());
    ck_assert_msg(strstr(et_error_message(), m->says), "%s: \"%s\"", m->what, et_error_message());
    ck_assert(m->status == ET_OK ? y && h_n : !y && !h_n);
    et_scope_close(scope);
}
END_TEST

START_TEST(wrong_kinds)
{
    et_scope *scope = et_scope_open();
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(2, 3, 4)), *w = et_zeros(ET_F32, ET_SHAPE(4, 4));
    et_tensor *wd = et_zeros(ET_F64, ET_SHAPE(4, 4)), *flat = et_zeros(ET_F32, ET_SHAPE(2, 4));

    ck_assert_ptr_null(et_rnn(flat, NULL, w, w, NULL, NULL, NULL, NULL, NULL));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "x must be [B, T, F], not [2, 4]"));
    et_error_clear();
    ck_assert_ptr_null(et_rnn(x, NULL, w, wd, NULL, NULL, NULL, NULL, NULL));
    ck_assert_int_eq(et_error_status(), ET_EDTYPE);
    et_error_clear();
    ck_assert_ptr_null(et_rnn(x, NULL, w, w, NULL, NULL, et_zeros(ET_F32, ET_SHAPE(2)), NULL, NULL));
    ck_assert_int_eq(et_error_status(), ET_EDTYPE);
    et_error_clear();
    ck_assert_ptr_null(et_rnn(NULL, NULL, w, w, NULL, NULL, NULL, NULL, NULL));
    ck_assert_int_ne(et_error_status(), ET_OK);
    et_error_clear();
    et_scope_close(scope);
}
END_TEST

static bool step_body(void *user)
{
    const int cell = *(const int *)user;
    const et_rnn_opts opts = {.relu = cell == SLOW_RELU};
    const int64_t G = slow_gates(cell) * 6;
    et_scope *scope = et_scope_open();
    et_tensor *w_ih = et_set_requires_grad(et_ones(ET_F32, ET_SHAPE(G, 4)), true);
    et_tensor *w_hh = et_set_requires_grad(et_ones(ET_F32, ET_SHAPE(G, 6)), true);
    et_tensor *b = et_set_requires_grad(et_ones(ET_F32, ET_SHAPE(G)), true);
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(40, 50, 4));
    et_tensor *lengths = et_full(ET_I32, ET_SHAPE(40), 49), *y;
    bool ok;

    if (cell == SLOW_LSTM)
        y = et_lstm(x, NULL, NULL, w_ih, w_hh, b, b, lengths, &opts, NULL, NULL);
    else if (cell == SLOW_GRU)
        y = et_gru(x, NULL, w_ih, w_hh, b, b, lengths, &opts, NULL);
    else
        y = et_rnn(x, NULL, w_ih, w_hh, b, b, lengths, &opts, NULL);
    ok = y && et_backward_from(y, NULL, 0) == ET_OK;
    if (scope)
        et_scope_close(scope);
    return ok;
}

START_TEST(any_request_for_memory_may_fail)
{
    int cell = _i;

    et_set_num_threads(1);
    alloc_sweep(cell_name[cell], step_body, &cell);
}
END_TEST

/* What a layer is made of, for a sweep. */
typedef struct layer_of {
    int cell;
    plain p;
} layer_of;

static et_tensor *make_layer(void *user)
{
    const layer_of *l = user;

    return plain_layer(l->cell, l->p.x, l->p.w_ih, l->p.w_hh, l->p.b);
}

/* Whatever the call that failed has written over. */
START_TEST(again_after_an_error)
{
    et_scope *scope = et_scope_open();
    layer_of l = {_i, make_plain(_i, 40, 9, 5, 12)};
    et_tensor *const weights[] = {l.p.w_ih, l.p.w_hh, l.p.b};

    et_set_num_threads(1);
    ck_assert_int_gt(grad_sweep(cell_name[_i], make_layer, &l, 3, weights), 0);
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recurrent");
    TCase *values = tcase_create("values"), *use = tcase_create("wrong use");

    tcase_set_timeout(values, 120);
    tcase_add_loop_test(values, float64_is_the_definition, 0, 4);
    tcase_add_loop_test(values, float32_is_near_the_definition, 0, 4);
    tcase_add_loop_test(values, threads_do_not_change_bits, 0, 4);
    tcase_add_loop_test(values, each_gradient_by_itself, 0, 4);
    tcase_add_loop_test(values, twice_through_one_graph, 0, 4);
    tcase_add_loop_test(values, memory, 0, 4);
    tcase_add_loop_test(values, memory_of_threads, 0, 4);
    tcase_add_loop_test(values, padding_may_be_anything, 0, 4);
    tcase_add_loop_test(values, reverse_mirrors, 0, 4);
    tcase_add_test(values, strided_operands);
    suite_add_tcase(suite, values);
    tcase_add_loop_test(use, wrong_use, 0, (int)(sizeof misuses / sizeof *misuses));
    tcase_add_test(use, wrong_kinds);
    tcase_add_loop_test(use, any_request_for_memory_may_fail, 0, 4);
    tcase_add_loop_test(use, again_after_an_error, 0, 4);
    suite_add_tcase(suite, use);
    return suite_run(suite);
}
