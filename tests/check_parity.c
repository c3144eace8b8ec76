/* The ops against PyTorch: values and gradients of tests/fixtures/ops.safetensors, which
 * tests/oracle/ops.py made. float64 agrees to 1e-10 and float32 to 1e-5, relative to the norm of
 * each tensor. parity_cases.h says how each case is computed; every op has one. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/safetensors.h"
#include "tests/suite.h"

enum { MAX_IN = 24, MAX_OUT = 8 };

/* Options that several cases share. */
static const et_attention_opts causal = {.causal = true},
                               causal_merged = {.causal = true, .merge_heads = true};
static const et_rnn_opts back = {.reverse = true};
#define IGNORE(smoothing) \
    &(et_cross_entropy_opts){.ignore = true, .ignore_index = -100, .label_smoothing = (smoothing)}
#define WEIGHTED(w, smoothing) \
    &(et_cross_entropy_opts){.ignore = true, .ignore_index = -100, .label_smoothing = (smoothing), \
                             .weight = (w)}

/* [B, T, 8] -> [B, 2, T, 4] */
static et_tensor *two_heads(et_tensor *x)
{
    return x ? et_permute(et_reshape(x, ET_SHAPE(x->shape[0], x->shape[1], 2, 4)), ET_DIMS(0, 2, 1, 3))
             : NULL;
}

/* Projection number i of three in one weight and bias. */
static et_tensor *projected(et_tensor *x, et_tensor *weight, et_tensor *bias, int i)
{
    return two_heads(et_linear(x, et_slice(weight, 0, 8 * i, 8 * i + 8, 1),
                               et_slice(bias, 0, 8 * i, 8 * i + 8, 1)));
}

/* in: queries, keys and values, weight and bias of the projections in, and of the one out. */
static et_tensor *multi_head(et_tensor **in, et_tensor **weights)
{
    const et_attention_opts merge = {.merge_heads = true};
    et_tensor *q = projected(in[0], in[2], in[3], 0), *k = projected(in[1], in[2], in[3], 1);

    return et_linear(et_attention_weights(q, k, projected(in[1], in[2], in[3], 2), NULL, &merge, weights),
                     in[4], in[5]);
}

/* in: h [B, T, H], W, b, v, valid [B, T]:
 * softmax over the valid frames of v . tanh(W h + b), and the mean of h with these weights. */
static et_tensor *additive(et_tensor **in, et_tensor **weights)
{
    et_tensor *score = et_matmul(et_tanh(et_linear(in[0], in[1], in[2])), in[3]);

    *weights = et_softmax(et_where(in[4], score, et_full(in[0]->dtype, 0, NULL, -INFINITY)), -1);
    return et_squeeze(et_matmul(et_unsqueeze(*weights, 1), in[0]), 1);
}

/* in: x, weight, bias; out: running statistics that begin with 0 and 1. */
static et_tensor *running_norm(et_tensor **in, et_tensor **out)
{
    out[1] = et_zeros(in[0]->dtype, ET_SHAPE(3));
    out[2] = et_full(in[0]->dtype, ET_SHAPE(3), 1);
    return et_batch_norm(in[0], out[1], out[2], in[1], in[2], true, 0.1, 1e-5);
}

#define GLUE_(a, b) a##b
#define GLUE(a, b) GLUE_(a, b)

/* The functions, each named after its line, and then the table of them. */
#define NO_CASE(op, reason)
#define CASE(name, expr)                                                    \
    static int GLUE(case_, __LINE__)(et_tensor * *in, et_tensor * *out)     \
    {                                                                       \
        (void)in;                                                           \
        out[0] = (expr);                                                    \
        return 1;                                                           \
    }
#define CASES(name, n, statement)                                           \
    static int GLUE(case_, __LINE__)(et_tensor * *in, et_tensor * *out)     \
    {                                                                       \
        (void)in;                                                           \
        statement;                                                          \
        return n;                                                           \
    }
#include "tests/parity_cases.h"
#undef CASE
#undef CASES

typedef struct parity_case {
    const char *name;
    int (*call)(et_tensor **in, et_tensor **out);
} parity_case;

static const parity_case cases[] = {
#define CASE(name, expr) {name, GLUE(case_, __LINE__)},
#define CASES(name, n, statement) {name, GLUE(case_, __LINE__)},
#include "tests/parity_cases.h"
#undef CASE
#undef CASES
};
enum { N_CASES = sizeof cases / sizeof *cases };

static et_safetensors *fixtures;

static void setup(void)
{
    char path[4096];

    fixtures = et_safetensors_open(suite_file(path, sizeof path, "fixtures/ops.safetensors"));
    ck_assert_msg(fixtures != NULL, "%s", et_error_message());
}

static void teardown(void) { et_safetensors_close(fixtures); }

/* Tensor CASE/KIND<i> of the file as dtype (reals only), NULL if there is none. */
static et_tensor *load(const char *name, const char *kind, int i, et_dtype dtype)
{
    char full[128];

    snprintf(full, sizeof full, "%s/%s%d", name, kind, i);
    if (!et_safetensors_find(fixtures, full))
        return NULL;
    et_tensor *x = et_safetensors_load(fixtures, full);
    ck_assert_msg(x != NULL, "%s", et_error_message());
    return et_dtype_is_real(x->dtype) ? et_to(x, dtype) : x;
}

/* ||got - expected|| <= tol ||expected||; one that is zero up to rounding is compared with 1. */
static void compare(const char *name, const char *kind, int i, const et_tensor *expected,
                    const et_tensor *got, double tol)
{
    char a[ET_SHAPE_TEXT], b[ET_SHAPE_TEXT];
    double sum = 0, norm = 0;

    ck_assert_msg(got != NULL, "%s: no %s %d: %s", name, kind, i, et_error_message());
    ck_assert_msg(et_same_shape(expected, got), "%s: %s %d is %s, expected %s", name, kind, i,
                  et_shape_text(a, got->ndim, got->shape), et_shape_text(b, expected->ndim, expected->shape));
    et_tensor *x = et_to(expected, ET_F64), *y = et_to(got, ET_F64);
    ck_assert(x && y);
    const double *p = et_data(x), *q = et_data(y);
    for (int64_t e = 0; e < x->numel; e++) {
        sum += p[e] == q[e] ? 0 : (q[e] - p[e]) * (q[e] - p[e]);
        norm += p[e] * p[e];
    }
    norm = norm > 1e-18 ? sqrt(norm) : 1;
    ck_assert_msg(sqrt(sum) <= tol * norm, "%s in %s: %s %d is off by %.2e, relative to its norm %.4g", name,
                  et_dtype_name(got->dtype), kind, i, sqrt(sum) / norm, norm);
}

static void run(const parity_case *pc, et_dtype dtype, double tol)
{
    et_tensor *in[MAX_IN] = {NULL}, *out[MAX_OUT] = {NULL}, *x[MAX_IN], *gx[MAX_IN], *g[MAX_IN];
    et_tensor *y[MAX_OUT], *c[MAX_OUT];
    int n_in = 0, n_x = 0, n_y = 0;
    et_scope *scope = et_scope_open();

    while (n_in < MAX_IN && (in[n_in] = load(pc->name, "in", n_in, dtype)))
        n_in++;
    ck_assert_msg(n_in > 0, "%s: not in the fixtures", pc->name);
    for (int i = 0; i < n_in; i++) {
        g[n_x] = load(pc->name, "g", i, ET_F64);
        if (!g[n_x])
            continue;
        et_set_requires_grad(in[i], true);
        x[n_x++] = in[i];
    }
    int n_out = pc->call(in, out);
    for (int k = 0; k < n_out; k++) {
        et_tensor *expected = load(pc->name, "out", k, ET_F64);

        ck_assert_msg(expected != NULL, "%s: output %d is not in the fixtures", pc->name, k);
        compare(pc->name, "output", k, expected, out[k], tol);
        c[n_y] = load(pc->name, "c", k, dtype);
        if (c[n_y])
            y[n_y++] = out[k];
    }
    ck_assert_msg(!load(pc->name, "out", n_out, ET_F64), "%s: has more outputs in the fixtures", pc->name);
    if (n_x && n_y) {
        ck_assert_msg(et_grad(n_y, y, c, n_x, x, gx, 0) == ET_OK, "%s: %s", pc->name, et_error_message());
        for (int i = 0; i < n_x; i++)
            compare(pc->name, "gradient", i, g[i], gx[i] ? gx[i] : et_zeros_like(x[i]), tol);
    }
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
}

START_TEST(float64)
{
    run(&cases[_i], ET_F64, 1e-10);
}
END_TEST

START_TEST(float32)
{
    const et_kernels *kernels[16];
    int n = et_kernels_available(kernels, 16);

    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(et_set_isa(kernels[i]->name), ET_OK);
        run(&cases[_i], ET_F32, 1e-5);
    }
}
END_TEST

/* Ops that PyTorch has no counterpart of, or that cannot be compared number by number. */
static const struct { const char *op, *reason; } without_case[] = {
#undef NO_CASE
#define NO_CASE(op, reason) {op, reason},
#define CASE(name, expr)
#define CASES(name, n, statement)
#include "tests/parity_cases.h"
#undef CASE
#undef CASES
    {NULL, NULL}};

START_TEST(every_op)
{
    const char *op = et_op_table[_i]->name;
    const size_t length = strlen(op);
    int n = 0, reasons = 0;

    for (int i = 0; i < N_CASES; i++)
        n += strncmp(cases[i].name, op, length) == 0 && cases[i].name[length] == '/';
    for (int i = 0; without_case[i].op; i++)
        reasons += strcmp(without_case[i].op, op) == 0;
    ck_assert_msg(n || reasons, "op %s has no case in tests/parity_cases.h and no reason there why not", op);
    ck_assert_msg(!n || !reasons, "op %s has cases in tests/parity_cases.h and a reason why it has none", op);
}
END_TEST

/* A case is listed once, and a reason is given for an op that exists. */
START_TEST(lists)
{
    for (int i = 0; i < N_CASES; i++)
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(cases[i].name, cases[j].name);
    for (int i = 0; without_case[i].op; i++)
        ck_assert_msg(et_op_find(without_case[i].op), "there is no op %s", without_case[i].op);
}
END_TEST

/* Nothing in the fixtures goes unused. */
START_TEST(every_fixture)
{
    for (int64_t t = 0; t < et_safetensors_count(fixtures); t++) {
        const char *name = et_safetensors_at(fixtures, t)->name, *slash = strrchr(name, '/');
        int i = 0;

        ck_assert_ptr_nonnull(slash);
        while (i < N_CASES && !(strlen(cases[i].name) == (size_t)(slash - name) &&
                                strncmp(cases[i].name, name, (size_t)(slash - name)) == 0))
            i++;
        ck_assert_msg(i < N_CASES, "%s belongs to no case", name);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("parity");
    TCase *tc = tcase_create("parity");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, float64, 0, N_CASES);
    tcase_add_loop_test(tc, float32, 0, N_CASES);
    tcase_add_loop_test(tc, every_op, 0, et_op_count);
    tcase_add_test(tc, lists);
    tcase_add_test(tc, every_fixture);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
