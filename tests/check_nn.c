/* Modules and layers: names, state files, freezing, ties; layers against cells, golden
 * values, slow definitions; masks; wrong use; allocation failures. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "nn/additive_attention.h"
#include "nn/cells.h"
#include "nn/dropout.h"
#include "nn/embedding.h"
#include "nn/init.h"
#include "nn/layer_norm.h"
#include "nn/mask.h"
#include "tensor/safetensors.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

/* --- the classifier of the golden values: GRU 3 -> 4, attention 3, two classes ------------ */

typedef struct classifier {
    et_module module;
    et_rnn_layer *rnn;
    et_additive_attention *attention;
    et_linear_layer *out;
} classifier;

static classifier *classifier_new(et_module *parent, const char *name, et_rnn_kind kind, bool both,
                                  et_rng *rng)
{
    classifier *m = et_module_new(sizeof *m, "Classifier", parent, name);

    if (!m)
        return NULL;
    m->rnn = et_rnn_layer_new(
        &m->module, "rnn", &(et_rnn_config){.kind = kind, .in = 3, .hidden = 4, .bidirectional = both}, rng);
    m->attention = et_additive_attention_new(&m->module, "attention", ET_SCORE_ADDITIVE, both ? 8 : 4, 3,
                                             false, rng);
    m->out = et_linear_layer_new(&m->module, "classifier", both ? 8 : 4, 2, true, rng);
    return et_module_done(&m->module);
}

static et_tensor *classifier_forward(classifier *m, et_tensor *x, et_tensor *lengths, et_tensor **alpha)
{
    et_tensor *h = et_rnn_layer_forward(m->rnn, x, lengths, NULL);

    return et_linear_layer_forward(m->out, et_additive_attention_forward(m->attention, h, lengths, alpha));
}

/* Row-major element n becomes f(n). */
static void fill(et_tensor *t, double (*f)(int64_t n, double a), double a)
{
    for (int64_t n = 0; n < t->numel; n++) {
        if (t->dtype == ET_F64)
            ((double *)et_data_mut(t))[n] = f(n, a);
        else
            ((float *)et_data_mut(t))[n] = (float)f(n, a);
    }
}

static double golden_weight(int64_t n, double t) { return 0.2 * sin(1 + 0.37 * (double)n + 1.7 * t); }
static double golden_input(int64_t n, double a) { return cos(0.5 * (double)n + a); }

static void same(const et_tensor *got, const double *want, int64_t n, const char *what)
{
    ck_assert_msg(got && got->numel >= n, "%s: %s", what, et_error_message());
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs(et_data_f64(got)[i] - want[i]) <= 1e-9, "%s[%d]: %.12f, expected %.12f", what,
                      (int)i, et_data_f64(got)[i], want[i]);
}

START_TEST(golden_classifier)
{
    static const double logits[] = {0.2372590196, 0.1961652643, 0.2387856201, 0.2131493766};
    static const double alpha[] = {0.2013983930, 0.1995789655, 0.1981370312, 0.1996063625, 0.2012792479,
                                   0.1998720635, 0.1983283520, 0.1994499032, 0.2015003515, 0.2008493298};
    static const double grad_W[] = {-0.0000645682, -0.0000665018, -0.0000365645, -0.0000128457,
                                    -0.0000544712, -0.0000559996, -0.0000310891, -0.0000116162,
                                    -0.0000370108, -0.0000383865, -0.0000205698, -0.0000060717};
    static const double grad_hh[] = {-0.0000490359, -0.0000562547, -0.0000182257, 0.0000318266};
    const double loss = 0.6894294137;
    classifier *m = classifier_new(NULL, NULL, ET_RNN_GRU, false, NULL);
    const et_entry *e;
    et_tensor *a;

    ck_assert_msg(m != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_module_to(&m->module, ET_F64), ET_OK);
    for (int64_t t = 0; (e = et_module_entry(&m->module, t)); t++)
        fill(e->tensor, golden_weight, (double)t);
    et_scope *s = et_scope_open();
    et_tensor *x = et_zeros(ET_F64, ET_SHAPE(2, 5, 3));
    fill(x, golden_input, 0.1);
    et_tensor *y = classifier_forward(m, x, NULL, &a);
    same(y, logits, 4, "logits");
    same(a, alpha, 10, "alpha");
    et_tensor *l = et_cross_entropy(y, et_from(ET_I32, ET_SHAPE(2), (const int32_t[]){0, 1}));
    same(l, &loss, 1, "loss");
    ck_assert_int_eq(et_backward(l), ET_OK);
    same(et_module_find(&m->module, "attention.W.weight")->grad, grad_W, 12, "grad W");
    same(et_module_find(&m->module, "rnn.weight_hh_l0")->grad, grad_hh, 4, "grad weight_hh");
    ck_assert_int_eq(et_module_unreached(&m->module, NULL, 0), 0);
    ck_assert_int_eq(et_scope_close(s), ET_OK);
    et_module_free(&m->module);
}
END_TEST

/* The parameter counts of the reference model, F 64, H 128, A 64, K 10. */
START_TEST(parameter_counts)
{
    static const int64_t want[4][2] = {{34442, 68746}, {34442, 68746}, {84106, 168074}, {108938, 217738}};
    et_module *m = et_module_new(sizeof *m, "Model", NULL, NULL);
    const bool both = _i % 2;

    et_rnn_layer_new(
        m, "rnn",
        &(et_rnn_config){.kind = (et_rnn_kind)(_i / 2), .in = 64, .hidden = 128, .bidirectional = both},
        NULL);
    et_additive_attention_new(m, "attention", ET_SCORE_ADDITIVE, both ? 256 : 128, 64, false, NULL);
    et_linear_layer_new(m, "classifier", both ? 256 : 128, 10, true, NULL);
    ck_assert_msg(et_error_status() == ET_OK, "%s", et_error_message());
    ck_assert_int_eq(et_module_count(m), want[_i / 2][both]);
    et_module_freeze(m, "rnn");
    ck_assert_int_eq(et_module_count_trainable(m),
                     want[_i / 2][both] - et_module_count(et_module_child(m, "rnn")));
    et_module_free(m);
}
END_TEST

/* --- recurrent layers ------------------------------------------------------------------------ */

/* A layer steps as its cell does, in each direction, over rows of different lengths. */
START_TEST(layers_are_cells)
{
    const et_rnn_kind kind = (et_rnn_kind[]){ET_RNN_TANH, ET_RNN_GRU, ET_RNN_LSTM}[_i];
    enum { B = 3, T = 5, F = 2, H = 4 };
    static const int32_t lengths[B] = {5, 2, 0};
    et_rng rng = et_rng_make(5, 0);
    et_rnn_layer *l = et_rnn_layer_new(
        NULL, NULL, &(et_rnn_config){.kind = kind, .in = F, .hidden = H, .layers = 2, .bidirectional = true},
        &rng);
    et_tensor *h_n;

    ck_assert_msg(l != NULL, "%s", et_error_message());
    ck_assert_ptr_nonnull(et_module_find(&l->module, "weight_hh_l1_reverse"));
    ck_assert_int_eq(et_module_to(&l->module, ET_F64), ET_OK);
    et_scope *s = et_scope_open();
    et_tensor *x = et_zeros(ET_F64, ET_SHAPE(B, T, F)), *n = et_from(ET_I32, ET_SHAPE(B), lengths);
    fill(x, golden_input, 0.3);
    et_tensor *y = et_rnn_layer_forward(l, x, n, &h_n);
    ck_assert_msg(y != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_rnn_layer_width(l), 2 * H);
    for (int b = 0; b < B; b++) {
        et_tensor *in[T], *out[T];
        for (int t = 0; t < lengths[b]; t++)
            in[t] = et_select(et_slice(x, 0, b, b + 1, 1), 1, t);
        for (int layer = 0; layer < 2; layer++) {
            et_tensor *both[2][T];
            for (int d = 0; d < 2; d++) {
                const et_rnn_weights *w = &l->weights[2 * layer + d];
                et_tensor *h = et_zeros(ET_F64, ET_SHAPE(1, H)), *c = h;
                for (int k = 0; k < lengths[b]; k++) {
                    const int t = d ? lengths[b] - 1 - k : k;
                    h = kind == ET_RNN_TANH  ? et_rnn_cell_step(w, in[t], h)
                        : kind == ET_RNN_GRU ? et_gru_cell_step(w, in[t], h)
                                             : et_lstm_cell_step(w, in[t], h, &c);
                    both[d][t] = h;
                }
                if (layer)
                    ck_assert(et_allclose(et_slice(et_select(h_n, 0, b), 0, d * H, (d + 1) * H, 1),
                                          et_select(h, 0, 0), 0, 1e-12, false));
            }
            for (int t = 0; t < lengths[b]; t++)
                out[t] = et_concat(2, (et_tensor *const[]){both[0][t], both[1][t]}, -1);
            memcpy(in, out, sizeof in);
        }
        for (int t = 0; t < T; t++) {
            et_tensor *want = t < lengths[b] ? in[t] : et_zeros(ET_F64, ET_SHAPE(1, 2 * H));
            ck_assert_msg(et_allclose(et_select(et_slice(y, 0, b, b + 1, 1), 1, t), want, 0, 1e-12, false),
                          "row %d, frame %d: %s", b, t, et_error_message());
        }
    }
    ck_assert_int_eq(et_scope_close(s), ET_OK);
    et_module_free(&l->module);
}
END_TEST

START_TEST(wrong_recurrent)
{
    et_rnn_config c = {.kind = ET_RNN_GRU, .in = 2, .hidden = 3};

    c.hidden = 0;
    fails_null(et_rnn_layer_new(NULL, NULL, &c, NULL), ET_EINVAL, "out of range");
    c.hidden = 3, c.dropout = 1;
    fails_null(et_rnn_layer_new(NULL, NULL, &c, NULL), ET_EINVAL, "out of range");
    c.dropout = 0, c.kind = (et_rnn_kind)9;
    fails_null(et_rnn_layer_new(NULL, NULL, &c, NULL), ET_EINVAL, "out of range");
    fails_null(et_rnn_layer_new(NULL, NULL, NULL, NULL), ET_EINVAL, "no configuration");
    fails_null(et_linear_layer_new(NULL, NULL, 3, 0, true, NULL), ET_EINVAL, "0 outputs");
    fails_null(et_dropout_layer_new(NULL, NULL, 1), ET_EINVAL, "probability of 1");
    fails_null(et_embedding_layer_new(NULL, NULL, 4, 2, 4, NULL), ET_EINVAL, "padding 4");
    fails_null(et_layer_norm_layer_new(NULL, NULL, 4, 0), ET_EINVAL, "eps 0");
}
END_TEST

/* --- attention --------------------------------------------------------------------------------- */

/* alpha and c by their definition, for each kind of score. */
START_TEST(attention_by_definition)
{
    const et_score_kind kind = (et_score_kind[]){ET_SCORE_ADDITIVE, ET_SCORE_ADDITIVE, ET_SCORE_DOT,
                                                 ET_SCORE_GENERAL}[_i];
    enum { B = 2, T = 4, H = 3, A = 2 };
    static const int32_t lengths[B] = {3, 0};
    et_rng rng = et_rng_make(1, 2);
    et_additive_attention *a = et_additive_attention_new(NULL, NULL, kind, H, A, _i == 1, &rng);
    et_tensor *alpha;

    ck_assert_msg(a != NULL, "%s", et_error_message());
    et_module_to(&a->module, ET_F64);
    et_scope *s = et_scope_open();
    et_tensor *u = et_zeros(ET_F64, ET_SHAPE(B, T, H));
    fill(u, golden_input, 0.7);
    et_tensor *c = et_additive_attention_forward(a, u, et_from(ET_I32, ET_SHAPE(B), lengths), &alpha);
    ck_assert_msg(c != NULL, "%s", et_error_message());
    double e[3], sum = 0;
    const double *x = et_data_f64(u), *W = a->W ? et_data_f64(a->W->weight) : NULL;
    const double *sv = a->s ? et_data_f64(a->s) : NULL, *U = a->U ? et_data_f64(a->U->weight) : NULL;
    for (int t = 0; t < 3; t++) {
        e[t] = 0;
        for (int k = 0; k < (kind == ET_SCORE_DOT ? H : A); k++) {
            double z = kind == ET_SCORE_ADDITIVE ? et_data_f64(a->W->bias)[k] : 0;
            for (int j = 0; W && j < H; j++)
                z += W[k * H + j] * x[t * H + j];
            for (int j = 0; U && j < A; j++)
                z += U[k * A + j] * sv[j];
            e[t] += kind == ET_SCORE_ADDITIVE ? et_data_f64(a->v->weight)[k] * tanh(z)
                    : kind == ET_SCORE_DOT    ? sv[k] * x[t * H + k]
                                              : sv[k] * z;
        }
        sum += exp(e[t]);
    }
    for (int t = 0; t < T; t++)
        ck_assert_double_eq_tol(et_data_f64(alpha)[t], t < 3 ? exp(e[t]) / sum : 0, 1e-12);
    for (int j = 0; j < H; j++) {
        double want = 0;
        for (int t = 0; t < 3; t++)
            want += exp(e[t]) / sum * x[t * H + j];
        ck_assert_double_eq_tol(et_data_f64(c)[j], want, 1e-12);
        ck_assert_double_eq(et_data_f64(c)[H + j], 0); /* a row of no frames */
    }
    fails_null(
        et_additive_attention_forward(a, u, et_from(ET_I32, ET_SHAPE(2), (const int32_t[]){5, 1}), NULL),
        ET_EINVAL, "length 5 of row 0");
    fails_null(
        et_additive_attention_forward(a, u, et_from(ET_I32, ET_SHAPE(3), (const int32_t[]){1, 1, 1}), NULL),
        ET_ESHAPE, "3 lengths for 2 rows");
    fails_null(et_additive_attention_forward(a, et_select(u, 0, 0), NULL, NULL), ET_ESHAPE, "2 dimensions");
    ck_assert_int_eq(et_scope_close(s), ET_OK);
    et_module_free(&a->module);
    fails_null(et_additive_attention_new(NULL, NULL, ET_SCORE_DOT, 3, 2, true, NULL), ET_EINVAL, "context");
}
END_TEST

START_TEST(masks)
{
    et_scope *s = et_scope_open();
    et_tensor *n = et_from(ET_I32, ET_SHAPE(2), (const int32_t[]){2, 0});
    const uint8_t *m = et_data(et_mask_lengths(n, 3));
    const et_tensor *keys = et_mask_keys(n, 3);
    const float *add = et_data(et_mask_additive(n, 3, ET_F32));

    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(m[i], i < 2);
        ck_assert(i < 2 ? add[i] == 0 : add[i] == -INFINITY);
    }
    ck_assert(keys->ndim == 4 && keys->shape[0] == 2 && keys->shape[1] == 1 && keys->shape[3] == 3);
    fails_null(et_mask_lengths(n, 1), ET_EINVAL, "length 2 of row 0");
    fails_null(et_mask_lengths(et_zeros(ET_F32, ET_SHAPE(2)), 1), ET_EDTYPE, "float32");
    fails_null(et_mask_additive(n, 3, ET_I32), ET_EDTYPE, "int32");
    et_scope_close(s);
}
END_TEST

/* --- small layers --------------------------------------------------------------------------------- */

START_TEST(small_layers)
{
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_dropout_layer *drop = et_dropout_layer_new(m, "drop", 0.5);
    et_embedding_layer *table = et_embedding_layer_new(m, "table", 5, 3, 2, NULL);
    et_layer_norm_layer *norm = et_layer_norm_layer_new(m, "norm", 3, 1e-5);
    et_scope *s = et_scope_open();
    et_tensor *rows = et_embedding_layer_forward(table,
                                                 et_from(ET_I32, ET_SHAPE(2), (const int32_t[]){4, 2}));

    for (int i = 0; i < 3; i++) {
        ck_assert_float_eq(et_data_f32(rows)[i], et_data_f32(table->weight)[12 + i]);
        ck_assert_float_eq(et_data_f32(rows)[3 + i], 0);
    }
    et_tensor *y = et_layer_norm_layer_forward(norm, rows);
    ck_assert_float_eq_tol(et_data_f32(y)[0] + et_data_f32(y)[1] + et_data_f32(y)[2], 0, 1e-5);
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(1000)), *d = et_dropout_layer_forward(drop, x);
    int zeros = 0;
    for (int i = 0; i < 1000; i++) {
        ck_assert(et_data_f32(d)[i] == 0 || et_data_f32(d)[i] == 2);
        zeros += et_data_f32(d)[i] == 0;
    }
    ck_assert(zeros > 400 && zeros < 600);
    et_module_eval(m);
    ck_assert_ptr_eq(et_dropout_layer_forward(drop, x), x);
    et_module_train(m);
    ck_assert_ptr_ne(et_dropout_layer_forward(drop, x), x);
    et_scope_close(s);
    et_module_free(m);
}
END_TEST

/* --- initialisers ------------------------------------------------------------------------------------ */

START_TEST(orthogonal)
{
    static const int64_t sizes[3][2] = {{6, 6}, {4, 7}, {7, 4}};
    const int64_t m = sizes[_i][0], n = sizes[_i][1];
    et_tensor *w = et_zeros(ET_F64, ET_SHAPE(m, n));
    et_rng rng = et_rng_make(3, 0);

    ck_assert_int_eq(et_init_orthogonal(w, 2, &rng), ET_OK);
    const double *a = et_data_f64(w);
    const int64_t k = m < n ? m : n, len = m < n ? n : m;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            double dot = 0;
            for (int64_t c = 0; c < len; c++)
                dot += m < n ? a[i * n + c] * a[j * n + c] : a[c * n + i] * a[c * n + j];
            ck_assert_double_eq_tol(dot, i == j ? 4 : 0, 1e-12);
        }
    et_free(w);
}
END_TEST

/* Bounds and spread of each rule, for a weight [40, 30, 2]: fans 60 and 80. */
START_TEST(init_rules)
{
    static const struct {
        et_status (*uniform)(et_tensor *, double, et_rng *), (*normal)(et_tensor *, double, et_rng *);
        double variance;
    } rules[] = {{et_init_xavier_uniform, et_init_xavier_normal, 2.0 / 140},
                 {et_init_he_uniform, et_init_he_normal, 1.0 / 60}};
    et_tensor *w = et_zeros(ET_F64, ET_SHAPE(40, 30, 2));
    et_rng rng = et_rng_make(3, 0);

    for (int k = 0; k < 4; k++) {
        const double gain = 1.5, var = gain * gain * rules[k / 2].variance;
        double sum = 0, sq = 0, max = 0;
        ck_assert_int_eq((k % 2 ? rules[k / 2].normal : rules[k / 2].uniform)(w, gain, &rng), ET_OK);
        for (int i = 0; i < 2400; i++) {
            const double x = et_data_f64(w)[i];
            sum += x, sq += x * x, max = fabs(x) > max ? fabs(x) : max;
        }
        ck_assert_double_eq_tol(sum / 2400, 0, 4 * sqrt(var / 2400));
        ck_assert_double_eq_tol(sq / 2400 / var, 1, 0.15);
        ck_assert(k % 2 ? max > sqrt(3 * var) : max <= sqrt(3 * var) && max > 0.99 * sqrt(3 * var));
    }
    et_free(w);
    w = et_zeros(ET_F32, ET_SHAPE(3));
    fails(et_init_xavier_uniform(w, 1, NULL), ET_ESHAPE, "no fan");
    fails(et_init_fan(w, 0, NULL), ET_EINVAL, "fan of 0");
    fails(et_init_orthogonal(w, 1, NULL), ET_ESHAPE, "dimensions");
    et_free(w);
}
END_TEST

static bool build(void *user)
{
    et_rng rng = et_rng_make(1, 0);
    classifier *m = classifier_new(NULL, NULL, ET_RNN_LSTM, true, &rng);

    (void)user;
    et_module_free(m ? &m->module : NULL);
    return m != NULL;
}

static bool forward(void *user)
{
    classifier *m = user;
    et_scope *s = et_scope_open();
    bool ok = false;

    if (s) {
        et_tensor *x = et_ones(ET_F32, ET_SHAPE(2, 5, 3)),
                  *n = et_from(ET_I32, ET_SHAPE(2), (const int32_t[]){5, 2});
        et_tensor *y = x && n ? classifier_forward(m, x, n, NULL) : NULL;
        et_tensor *l = y ? et_cross_entropy(y, et_from(ET_I32, ET_SHAPE(2), (const int32_t[]){0, 1})) : NULL;
        ok = l && !et_backward(l);
        et_scope_close(s);
    }
    return ok;
}

START_TEST(allocations)
{
    et_rng rng = et_rng_make(1, 0);

    ck_assert_int_gt(alloc_sweep("build", build, NULL), 20);
    classifier *m = classifier_new(NULL, NULL, ET_RNN_GRU, true, &rng);
    forward(m); /* gradients are there from now on */
    alloc_sweep("forward", forward, m);
    et_module_free(&m->module);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nn");
    TCase *tc = tcase_create("layers");

    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_test(tc, golden_classifier);
    tcase_add_loop_test(tc, parameter_counts, 0, 8);
    tcase_add_loop_test(tc, layers_are_cells, 0, 3);
    tcase_add_test(tc, wrong_recurrent);
    tcase_add_loop_test(tc, attention_by_definition, 0, 4);
    tcase_add_test(tc, masks);
    tcase_add_test(tc, small_layers);
    tcase_add_loop_test(tc, orthogonal, 0, 3);
    tcase_add_test(tc, init_rules);
    tcase_add_test(tc, allocations);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
