/* Multi-head attention, positions and the perceptron against their definitions; masks; wrong
 * use; allocation failures. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "nn/mask.h"
#include "nn/mlp.h"
#include "nn/multi_head_attention.h"
#include "nn/positions.h"
#include "tensor/parallel.h"
#include "tensor/rng_words.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static et_tensor *curve(double a, int ndim, const int64_t *shape)
{
    et_tensor *t = et_empty(ET_F64, ndim, shape);

    for (int64_t i = 0; i < t->numel; i++)
        ((double *)et_data_mut(t))[i] = sin(a + 0.7 * (double)i);
    return t;
}

/* Element j of W row + b. */
static double project(const et_linear_layer *l, const double *row, int64_t j)
{
    double y = l->bias ? et_data_f64(l->bias)[j] : 0;
    const int64_t n = l->weight->shape[1];

    for (int64_t i = 0; i < n; i++)
        y += et_data_f64(l->weight)[j * n + i] * row[i];
    return y;
}

enum { B = 2, TQ = 3, TK = 4, D = 6, M = 5, H = 2 };

/* What head h of the layer looks at and makes: weights [TK], values [w] for query row x. */
static void slow_head(const et_mha *m, const double *x, const double *memory, const int32_t valid, int h,
                      double *weights, double *values)
{
    const int64_t w = m->config.head_width, dm = m->config.memory;
    double sum = 0;

    for (int t = 0; t < TK; t++) {
        double s = 0;
        for (int64_t j = 0; j < w; j++)
            s += project(m->q, x, h * w + j) * project(m->k, memory + t * dm, h * w + j);
        sum += weights[t] = t < valid ? exp(s / sqrt((double)w)) : 0;
    }
    for (int64_t j = 0; j < w; j++)
        values[j] = 0;
    for (int t = 0; t < TK; t++) {
        weights[t] /= sum;
        for (int64_t j = 0; j < w; j++)
            values[j] += weights[t] * project(m->v, memory + t * dm, h * w + j);
    }
}

/* Cross attention over a memory of another width, heads of any width, padded keys. */
START_TEST(cross_by_definition)
{
    const et_mha_config config = {.width = D, .heads = H, .head_width = 4, .memory = M, .no_bias = _i};
    const int32_t lengths[B] = {4, 2};
    et_mha *m = et_mha_new(NULL, NULL, &config, NULL);
    et_tensor *w;

    ck_assert_msg(m != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_module_count(&m->module), 8 * (2 * D + 2 * M) + (_i ? 0 : 3 * 8 + D));
    et_module_to(&m->module, ET_F64);
    et_scope *s = et_scope_open();
    et_tensor *x = curve(0, ET_SHAPE(B, TQ, D)), *memory = curve(1, ET_SHAPE(B, TK, M));
    et_tensor *mask = et_mask_keys(et_from(ET_I32, ET_SHAPE(B), lengths), TK);
    et_tensor *y = et_mha_forward(m, x, memory, &(et_mha_call){.mask = mask, .weights = &w});
    et_tensor *again = et_mha_forward(m, x, memory, &(et_mha_call){.mask = mask});
    ck_assert_msg(y && again, "%s", et_error_message());
    ck_assert(et_allclose(y, again, 0, 1e-14, false));
    for (int b = 0; b < B; b++)
        for (int t = 0; t < TQ; t++) {
            double weights[TK], joined[8];
            for (int h = 0; h < H; h++) {
                slow_head(m, et_data_f64(x) + (b * TQ + t) * D, et_data_f64(memory) + b * TK * M, lengths[b],
                          h, weights, joined + 4 * h);
                for (int k = 0; k < TK; k++)
                    ck_assert_double_eq_tol(et_get(w, (const int64_t[]){b, h, t, k}), weights[k], 1e-12);
            }
            for (int j = 0; j < D; j++)
                ck_assert_double_eq_tol(et_get(y, (const int64_t[]){b, t, j}), project(m->out, joined, j),
                                        1e-12);
        }
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

/* Fused projections with the same weights make the same, gradients included. */
START_TEST(fused_is_separate)
{
    const bool causal = _i % 2, ask = _i / 2;
    et_mha *m[2];
    et_tensor *y[2], *w;

    for (int k = 0; k < 2; k++) {
        m[k] = et_mha_new(NULL, NULL, &(et_mha_config){.width = D, .heads = H, .fused = k}, NULL);
        ck_assert_msg(m[k] != NULL, "%s", et_error_message());
        et_module_to(&m[k]->module, ET_F64);
    }
    const et_linear_layer *parts[3] = {m[0]->q, m[0]->k, m[0]->v};
    for (int p = 0; p < 3; p++) {
        memcpy((double *)et_data_mut(m[1]->qkv->weight) + p * D * D, et_data(parts[p]->weight), D * D * 8);
        memcpy((double *)et_data_mut(m[1]->qkv->bias) + p * D, et_data(parts[p]->bias), D * 8);
    }
    et_copy_into(m[1]->out->weight, m[0]->out->weight);
    et_copy_into(m[1]->out->bias, m[0]->out->bias);
    for (int k = 0; k < 2; k++) {
        et_scope *s = et_scope_open();
        et_tensor *x = curve(0, ET_SHAPE(B, TK, D));
        et_tensor *r = et_mha_forward(m[k], x, NULL,
                                      &(et_mha_call){.causal = causal, .weights = k && ask ? &w : NULL});
        ck_assert_msg(r != NULL, "%s", et_error_message());
        y[k] = et_own(et_clone(r));
        if (k && ask) /* the first query does not see the second key */
            ck_assert_int_eq(et_get(w, (const int64_t[]){0, 0, 0, 1}) == 0, causal);
        ck_assert_int_eq(et_backward(et_sum(et_square(r), 0, NULL, false)), ET_OK);
        et_scope_close(s);
    }
    ck_assert(et_allclose(y[1], y[0], 0, 1e-12, false));
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < D * D; i++)
            ck_assert_double_eq_tol(et_data_f64(m[1]->qkv->weight->grad)[p * D * D + i],
                                    et_data_f64(parts[p]->weight->grad)[i], 1e-11);
    for (int k = 0; k < 2; k++) {
        et_free(y[k]);
        et_module_free(&m[k]->module);
    }
}
END_TEST

/* --- heads as wide as x: keys and values are left out ----------------------------------- */

enum { FB = 4, FT = 3, FD = 5, FH = 2, FW = 7 };

static et_mha *wide_heads(const et_mha_config *more)
{
    et_mha_config c = *more;
    et_rng rng = et_rng_make(3, 0);

    c.width = FD, c.heads = FH, c.head_width = FW;
    et_mha *m = et_mha_new(NULL, NULL, &c, &rng);
    ck_assert_msg(m != NULL, "%s", et_error_message());
    et_module_to(&m->module, ET_F64);
    return m;
}

/* y and the sum of its squares backward: into y's clone and the parameters' gradients. */
static et_tensor *forward_and_back(const et_mha *m, et_tensor *x, bool apart)
{
    et_scope *s = et_scope_open();
    et_tensor *r = et_mha_forward(m, apart ? et_transpose(x, 0, 1) : x, NULL, NULL);

    ck_assert_msg(r != NULL, "%s", et_error_message());
    et_tensor *y = et_own(et_clone(r));
    ck_assert_int_eq(et_backward(et_sum(et_square(r), 0, NULL, false)), ET_OK);
    et_scope_close(s);
    return y;
}

/* The same results and gradients as with keys and values, with and without biases,
 * also of an x that lies apart. */
START_TEST(folded_is_plain)
{
    et_mha *m[2] = {wide_heads(&(et_mha_config){.no_bias = _i == 1}),
                    wide_heads(&(et_mha_config){.no_bias = _i == 1, .no_folding = true})};
    et_tensor *x[2], *y[2];

    for (int k = 0; k < 2; k++) {
        x[k] = curve(0, ET_SHAPE(FB, FT, FD));
        et_set_requires_grad(x[k], true);
        y[k] = forward_and_back(m[k], x[k], _i == 2);
    }
    ck_assert(!et_allclose(y[0], y[1], 0, 0, false)); /* not the same way */
    ck_assert(et_allclose(y[0], y[1], 1e-12, 1e-12, false));
    ck_assert(et_allclose(x[0]->grad, x[1]->grad, 1e-11, 1e-11, false));
    for (int64_t i = 0; i < et_module_n_entries(&m[0]->module); i++) {
        const et_entry *a = et_module_entry(&m[0]->module, i), *b = et_module_entry(&m[1]->module, i);
        const bool key_bias = strcmp(a->name, "k.bias") == 0; /* softmax does not see it */
        for (int64_t j = 0; key_bias && b->tensor->grad && j < FH * FW; j++)
            ck_assert_double_le(fabs(et_data_f64(b->tensor->grad)[j]), 1e-13);
        if (!key_bias)
            ck_assert_msg(et_allclose(a->tensor->grad, b->tensor->grad, 1e-11, 1e-11, false), "%s", a->name);
    }
    for (int k = 0; k < 2; k++) {
        et_free(x[k]);
        et_free(y[k]);
        et_module_free(&m[k]->module);
    }
}
END_TEST

/* A call with nothing set is folded like none, and a bias of keys then gets no gradient. */
START_TEST(folded_without_key_bias)
{
    et_mha *m[2] = {wide_heads(&(et_mha_config){0}), wide_heads(&(et_mha_config){.no_folding = true})};
    et_scope *s = et_scope_open();
    et_tensor *x = curve(0, ET_SHAPE(FB, FT, FD));
    const char *unreached[4];

    ck_assert(et_allclose(et_mha_forward(m[0], x, NULL, &(et_mha_call){0}),
                          et_mha_forward(m[0], x, NULL, NULL), 0, 0, false));
    for (int k = 0; k < 2; k++) {
        et_tensor *y = et_mha_forward(m[k], x, NULL, &(et_mha_call){0});
        ck_assert_int_eq(et_backward(et_sum(et_square(y), 0, NULL, false)), ET_OK);
    }
    ck_assert_int_eq(et_module_unreached(&m[0]->module, unreached, 4), 1);
    ck_assert_str_eq(unreached[0], "k.bias");
    ck_assert_int_eq(et_module_unreached(&m[1]->module, unreached, 4), 0);
    et_scope_close(s);
    for (int k = 0; k < 2; k++)
        et_module_free(&m[k]->module);
}
END_TEST

/* Dropout by its definition: of the weights of query t of head h, word ((b T + t) H + h) T + s of the
 * generator decides on that of key s, and what is kept of v includes v's bias. */
START_TEST(folded_dropout)
{
    const double p = 0.4;
    et_mha *m = wide_heads(&(et_mha_config){.dropout = p});
    et_rng rng = et_rng_make(9, 4), same = rng;
    double weights[FT], joined[FH * FW];
    uint32_t words[FB * FT * FH * FT];
    int dropped = 0;

    m->rng = &rng;
    et_rng_words(&same, 0, FB * FT * FH * FT, words);
    et_scope *scope = et_scope_open();
    et_tensor *x = curve(0, ET_SHAPE(FB, FT, FD)), *y = et_mha_forward(m, x, NULL, NULL);
    ck_assert_msg(y != NULL, "%s", et_error_message());
    ck_assert_uint_eq(rng.counter, FB * FT * FH * FT);
    for (int b = 0; b < FB; b++)
        for (int t = 0; t < FT; t++) {
            const double *item = et_data_f64(x) + b * FT * FD;
            for (int h = 0; h < FH; h++) {
                double sum = 0;
                for (int s = 0; s < FT; s++) {
                    double score = 0;
                    for (int j = 0; j < FW; j++)
                        score += project(m->q, item + t * FD, h * FW + j) * project(m->k, item + s * FD,
                                                                                    h * FW + j);
                    sum += weights[s] = exp(score / sqrt((double)FW));
                }
                for (int j = 0; j < FW; j++)
                    joined[h * FW + j] = 0;
                for (int s = 0; s < FT; s++) {
                    if (words[((b * FT + t) * FH + h) * FT + s] < p * 4294967296.0) {
                        dropped++;
                        continue;
                    }
                    for (int j = 0; j < FW; j++)
                        joined[h * FW + j] += weights[s] / sum / (1 - p) * project(m->v, item + s * FD,
                                                                                   h * FW + j);
                }
            }
            for (int j = 0; j < FD; j++)
                ck_assert_double_eq_tol(et_get(y, (const int64_t[]){b, t, j}), project(m->out, joined, j),
                                        1e-12);
        }
    ck_assert_int_gt(dropped, 10);
    et_scope_close(scope);
    et_module_free(&m->module);
}
END_TEST

/* What asks for more than plain self-attention is computed as ever: bit for bit et_mha_attend's. */
START_TEST(not_folded)
{
    et_mha *m = wide_heads(&(et_mha_config){0});
    et_scope *scope = et_scope_open();
    et_tensor *x = curve(0, ET_SHAPE(FB, FT, FD)), *memory = curve(1, ET_SHAPE(FB, FT, FD)), *w;
    const int32_t lengths[FB] = {3, 2, 3, 1};
    et_tensor *mask = et_mask_keys(et_from(ET_I32, ET_SHAPE(FB), lengths), FT);
    const et_mha_call calls[] = {{0}, {.mask = mask}, {.causal = true}, {.weights = &w}};

    for (int i = 0; i < 4; i++) {
        et_tensor *other = i == 0 ? memory : NULL;
        et_tensor *y = et_mha_forward(m, x, other, &calls[i]), *a = et_mha_attend(m, x, other, &calls[i]);
        ck_assert(et_allclose(y, et_linear_layer_forward(m->out, a), 0, 0, false));
    }
    et_tensor *more = curve(0, ET_SHAPE(1, FW, FD)); /* as many rows as a head is wide: folded */
    ck_assert(!et_allclose(et_mha_forward(m, more, NULL, NULL),
                           et_linear_layer_forward(m->out, et_mha_attend(m, more, NULL, NULL)), 0, 0, false));
    et_tensor *few = et_slice(x, 0, 0, 1, 1); /* three rows: less than a head is wide */
    ck_assert(et_allclose(et_mha_forward(m, few, NULL, NULL),
                          et_linear_layer_forward(m->out, et_mha_attend(m, few, NULL, NULL)), 0, 0, false));
    et_scope_close(scope);
    et_module_free(&m->module);
}
END_TEST

static bool use_folded(void *user)
{
    et_scope *s = et_scope_open();
    et_tensor *x = s ? et_ones(ET_F64, ET_SHAPE(FB, FT, FD)) : NULL;
    et_tensor *y = et_mha_forward(user, x, NULL, NULL);
    const bool good = et_backward(et_sum(y, 0, NULL, false)) == ET_OK;

    et_scope_close(s);
    return good;
}

START_TEST(folded_allocations)
{
    et_mha *m = wide_heads(&(et_mha_config){.dropout = 0.2});

    ck_assert(use_folded(m)); /* gradients of parameters stay */
    ck_assert_int_gt(alloc_sweep("folded attention", use_folded, m), 20);
    et_module_free(&m->module);
}
END_TEST

/* Results and gradients, dropout included, have the same bits for any number of threads, in float32 and with
 * products of bfloat16; of self-attention, and of few queries. */
START_TEST(folded_threads)
{
    static const int threads[] = {1, 2, 3};
    const et_mha_config config = {.width = 32, .heads = 4, .head_width = 48, .dropout = 0.1};
    et_rng rng = et_rng_make(3, 0);
    et_mha *m = et_mha_new(NULL, NULL, &config, &rng);
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(24, 64, 32)), *first[10];

    ck_assert_msg(m && x, "%s", et_error_message());
    et_fill_normal(x, &rng, 0, 1);
    et_set_requires_grad(x, true);
    for (int k = 0; k < 3; k++) {
        et_set_num_threads(threads[k]);
        *et_rng_default() = et_rng_make(4, 0);
        et_zero_grad_of(x);
        et_zero_grad(&m->module);
        et_scope *s = et_scope_open();
        if (_i & 1)
            et_mixed_begin();
        et_tensor *y = _i & 2 ? et_mha_forward(m, et_slice(x, 1, 0, 2, 1), x, NULL)
                              : et_mha_forward(m, x, NULL, NULL);
        if (_i & 1)
            et_mixed_end();
        ck_assert_int_eq(et_backward(et_mean(et_square(y), 0, NULL, false)), ET_OK);
        et_tensor *got[10] = {y, et_grad_of(x)};
        const int64_t n = et_module_n_entries(&m->module);
        ck_assert_int_eq(n, 8);
        for (int64_t i = 0; i < n; i++)
            got[2 + i] = et_grad_of(et_module_entry(&m->module, i)->tensor);
        for (int i = 0; i < 10; i++) {
            if (k == 0) /* a key's bias has no gradient */
                first[i] = got[i] ? et_own(et_clone(got[i])) : NULL;
            else if (first[i])
                ck_assert_msg(
                    memcmp(et_data(got[i]), et_data(first[i]), (size_t)got[i]->numel * sizeof(float)) == 0,
                    "%d threads: result %d differs", threads[k], i);
            if (k == 2)
                et_free(first[i]);
        }
        et_scope_close(s);
    }
    et_free(x);
    et_module_free(&m->module);
}
END_TEST

/* --- few queries: keys and values are left out ------------------------------------------- */

enum { QB = 3, QT = 2, KT = 40, QD = 6, QM = 5, QH = 2, QW = 4 };

static et_mha *for_few(const et_mha_config *more)
{
    et_mha_config c = *more;
    et_rng rng = et_rng_make(3, 0);

    c.width = QD, c.memory = QM, c.heads = QH, c.head_width = QW;
    et_mha *m = et_mha_new(NULL, NULL, &c, &rng);
    ck_assert_msg(m != NULL, "%s", et_error_message());
    et_module_to(&m->module, ET_F64);
    return m;
}

/* The same results and gradients as with keys and values: with and without biases, with padded keys (of one
 * item all), and with a real mask that is the same for all. */
START_TEST(few_is_plain)
{
    const int32_t lengths[QB] = {KT, 7, 0};
    et_mha *m[2] = {for_few(&(et_mha_config){.no_bias = _i == 1}),
                    for_few(&(et_mha_config){.no_bias = _i == 1, .no_folding = true})};
    et_tensor *x[2], *memory[2], *y[2];

    for (int k = 0; k < 2; k++) {
        x[k] = curve(0, ET_SHAPE(QB, QT, QD)), memory[k] = curve(1, ET_SHAPE(QB, KT, QM));
        et_set_requires_grad(x[k], true);
        et_set_requires_grad(memory[k], true);
        et_scope *s = et_scope_open();
        et_tensor *mask = _i == 2   ? et_mask_keys(et_from(ET_I32, ET_SHAPE(QB), lengths), KT)
                          : _i == 3 ? curve(2, ET_SHAPE(KT))
                                    : NULL;
        et_tensor *r = et_mha_forward(m[k], x[k], memory[k], &(et_mha_call){.mask = mask});
        ck_assert_msg(r != NULL, "%s", et_error_message());
        y[k] = et_own(et_clone(r));
        ck_assert_int_eq(et_backward(et_sum(et_square(r), 0, NULL, false)), ET_OK);
        et_scope_close(s);
    }
    ck_assert(!et_allclose(y[0], y[1], 0, 0, false)); /* not the same way */
    ck_assert(et_allclose(y[0], y[1], 1e-12, 1e-12, false));
    ck_assert(et_allclose(x[0]->grad, x[1]->grad, 1e-11, 1e-11, false));
    ck_assert(et_allclose(memory[0]->grad, memory[1]->grad, 1e-11, 1e-11, false));
    for (int64_t i = 0; i < et_module_n_entries(&m[0]->module); i++) {
        const et_entry *a = et_module_entry(&m[0]->module, i), *b = et_module_entry(&m[1]->module, i);
        if (strcmp(a->name, "k.bias") == 0)
            ck_assert_ptr_null(a->tensor->grad);
        else
            ck_assert_msg(et_allclose(a->tensor->grad, b->tensor->grad, 1e-11, 1e-11, false), "%s", a->name);
    }
    for (int k = 0; k < 2; k++) {
        et_free(x[k]);
        et_free(memory[k]);
        et_free(y[k]);
        et_module_free(&m[k]->module);
    }
}
END_TEST

/* Dropout by its definition: word ((b QT + t) QH + h) KT + s of the generator decides on what query t of head
 * h takes of key s, and what is kept of v includes v's bias. */
START_TEST(few_dropout)
{
    enum { WORDS = QB * QT * QH * KT };
    const double p = 0.4;
    et_mha *m = for_few(&(et_mha_config){.dropout = p});
    et_rng rng = et_rng_make(9, 4), same = rng;
    uint32_t words[WORDS];

    m->rng = &rng;
    et_rng_words(&same, 0, WORDS, words);
    et_scope *scope = et_scope_open();
    et_tensor *x = curve(0, ET_SHAPE(QB, QT, QD)), *memory = curve(1, ET_SHAPE(QB, KT, QM));
    et_tensor *found = et_mha_attend(m, x, memory, NULL);
    ck_assert_msg(found != NULL, "%s", et_error_message());
    ck_assert_uint_eq(rng.counter, WORDS);
    for (int row = 0; row < QB * QT; row++)
        for (int h = 0; h < QH; h++) {
            const double *item = et_data_f64(memory) + row / QT * KT * QM;
            double sum = 0, weights[KT], values[QW] = {0};
            for (int s = 0; s < KT; s++) {
                double score = 0;
                for (int j = h * QW; j < (h + 1) * QW; j++)
                    score += project(m->q, et_data_f64(x) + row * QD, j) * project(m->k, item + s * QM, j);
                sum += weights[s] = exp(score / sqrt((double)QW));
            }
            for (int s = 0; s < KT; s++)
                for (int j = 0; j < QW && words[(row * QH + h) * KT + s] >= p * 4294967296.0; j++)
                    values[j] += weights[s] / sum / (1 - p) * project(m->v, item + s * QM, h * QW + j);
            for (int j = 0; j < QW; j++)
                ck_assert_double_eq_tol(et_data_f64(found)[(row * QH + h) * QW + j], values[j], 1e-12);
        }
    et_scope_close(scope);
    et_module_free(&m->module);
}
END_TEST

/* What cannot be folded, or would not be cheaper, is computed as ever. */
START_TEST(not_few)
{
    et_mha *m[2] = {for_few(&(et_mha_config){0}), for_few(&(et_mha_config){.no_folding = true})};
    et_scope *scope = et_scope_open();
    et_tensor *x = curve(0, ET_SHAPE(QB, QT, QD)), *memory = curve(1, ET_SHAPE(QB, KT, QM)), *w;
    const struct { et_mha_call call; int64_t keys; } cases[] = {
        {{.causal = true}, KT}, {{.weights = &w}, KT}, {{0}, 3}, /* few keys */
        {{.mask = curve(2, ET_SHAPE(QT, KT))}, KT}, {{.mask = curve(2, ET_SHAPE(QH, 1, KT))}, KT}};

    for (int i = 0; i < 5; i++) {
        et_tensor *y[2];
        for (int k = 0; k < 2; k++)
            y[k] = et_mha_forward(m[k], x, et_slice(memory, 1, 0, cases[i].keys, 1), &cases[i].call);
        ck_assert_msg(et_allclose(y[0], y[1], 0, 0, false), "case %d", i);
    }
    fails_null(et_mha_forward(m[0], x, curve(0, ET_SHAPE(QB, KT, QM + 1)), NULL), ET_ESHAPE, "linear");
    fails_null(et_mha_forward(m[0], x, curve(0, ET_SHAPE(QB + 1, KT, QM)), NULL), ET_ESHAPE, "attention");
    const et_mha_call misfit = {.mask = curve(2, ET_SHAPE(KT - 1))};
    fails_null(et_mha_forward(m[0], x, memory, &misfit), ET_ESHAPE, "= [3, 2, 2, 40]"); /* [B, H, Tq, Tk] */
    et_scope_close(scope);
    for (int k = 0; k < 2; k++)
        et_module_free(&m[k]->module);
}
END_TEST

static bool use_few(void *user)
{
    et_scope *s = et_scope_open();
    et_tensor *x = s ? et_ones(ET_F64, ET_SHAPE(QB, QT, QD)) : NULL;
    et_tensor *y = et_mha_forward(user, x, et_ones(ET_F64, ET_SHAPE(QB, KT, QM)), NULL);
    const bool good = et_backward(et_sum(y, 0, NULL, false)) == ET_OK;

    et_scope_close(s);
    return good;
}

START_TEST(few_allocations)
{
    et_mha *m = for_few(&(et_mha_config){.dropout = 0.2});

    ck_assert(use_few(m)); /* gradients of parameters stay */
    ck_assert_int_gt(alloc_sweep("few queries", use_few, m), 20);
    et_module_free(&m->module);
}
END_TEST

START_TEST(names)
{
    const et_mha_config bert = {.width = 4, .heads = 2, .names = {"query", "key", "value", "dense"}};
    et_mha *m = et_mha_new(NULL, NULL, &bert, NULL);

    ck_assert_ptr_nonnull(et_module_find(&m->module, "query.weight"));
    ck_assert_ptr_nonnull(et_module_find(&m->module, "dense.bias"));
    ck_assert_ptr_null(et_module_find(&m->module, "q.weight"));
    for (int i = 0; i < 4; i++) /* the caller's strings are not kept */
        ck_assert_ptr_null(m->config.names[i]);
    et_module_free(&m->module);
    const et_mha_config packed = {.width = 4, .heads = 2, .fused = true,
                                  .names = {"in_proj", [3] = "out_proj"}};
    m = et_mha_new(NULL, NULL, &packed, NULL);
    ck_assert_ptr_nonnull(et_module_find(&m->module, "in_proj.weight"));
    ck_assert_ptr_nonnull(et_module_find(&m->module, "out_proj.weight"));
    et_module_free(&m->module);
}
END_TEST

START_TEST(wrong_use)
{
    fails_null(et_mha_new(NULL, NULL, &(et_mha_config){.width = 5, .heads = 2}, NULL), ET_EINVAL,
               "do not divide");
    fails_null(et_mha_new(NULL, NULL, &(et_mha_config){.width = 4}, NULL), ET_EINVAL, "out of range");
    fails_null(
        et_mha_new(NULL, NULL, &(et_mha_config){.width = 4, .heads = 2, .fused = true, .memory = 3}, NULL),
        ET_EINVAL, "fused");
    fails_null(et_mha_new(NULL, NULL, NULL, NULL), ET_EINVAL, "no configuration");
    et_mha *m = et_mha_new(NULL, NULL, &(et_mha_config){.width = 4, .heads = 2, .fused = true}, NULL);
    et_scope *s = et_scope_open();
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(1, 2, 4)), *other = et_zeros(ET_F32, ET_SHAPE(1, 2, 4));
    fails_null(et_mha_forward(m, x, other, NULL), ET_EINVAL, "take no memory");
    fails_null(et_mha_forward(m, et_zeros(ET_F32, ET_SHAPE(2, 4)), NULL, NULL), ET_ESHAPE, "[B, T, d]");
    fails_null(et_mha_forward(m, et_zeros(ET_F32, ET_SHAPE(1, 2, 5)), NULL, NULL), ET_ESHAPE, "linear");
    fails_null(et_mha_heads(other, 3), ET_ESHAPE, "3 heads do not divide the operand");
    fails_null(et_mha_heads(et_zeros(ET_F32, ET_SHAPE(2, 4)), 2), ET_ESHAPE, "2 heads do not divide");
    et_scope_close(s);
    et_module_free(&m->module);
    fails_null(et_mlp_new(NULL, NULL, &(et_mlp_config){.widths = (const int64_t[]){3}, .n_widths = 1}, NULL),
               ET_EINVAL, "fewer than two");
    fails_null(et_positions_sinusoidal_new(NULL, NULL, 0, 4), ET_EINVAL, "0 steps");
    fails_null(et_positions_sinusoidal_new(NULL, NULL, 3, 5), ET_EINVAL, "");
}
END_TEST

START_TEST(position_tables)
{
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_positions *fixed = et_positions_sinusoidal_new(m, "fixed", 9, 6);
    et_positions *learned = et_positions_learned_new(m, "learned", 9, 6, 0.02, NULL);
    et_scope *s = et_scope_open();
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(2, 5, 6)), *y = et_positions_forward(fixed, x);

    ck_assert_msg(y != NULL, "%s", et_error_message());
    for (int t = 0; t < 5; t++)
        for (int j = 0; j < 6; j++) {
            const double angle = t / pow(10000, (double)(j / 2 * 2) / 6);
            ck_assert_double_eq_tol(et_get(y, (const int64_t[]){1, t, j}),
                                    1 + (j % 2 ? cos(angle) : sin(angle)), 1e-6);
        }
    y = et_positions_forward(learned, x);
    for (int i = 0; i < 30; i++)
        ck_assert_float_eq(et_data_f32(y)[30 + i], 1 + et_data_f32(learned->table)[i]);
    ck_assert_int_eq(et_backward(et_sum(y, 0, NULL, false)), ET_OK);
    ck_assert_float_eq(et_data_f32(learned->table->grad)[0], 2); /* once a row of the batch */
    ck_assert_float_eq(et_data_f32(learned->table->grad)[30], 0);
    ck_assert_int_eq(et_module_count(m), 54); /* the fixed table is no parameter */
    fails_null(et_positions_forward(fixed, et_ones(ET_F32, ET_SHAPE(1, 10, 6))), ET_ESHAPE, "up to 9");
    et_scope_close(s);
    et_module_free(m);
}
END_TEST

START_TEST(perceptron)
{
    const int64_t widths[] = {3, 4, 2};
    et_mlp *m = et_mlp_new(NULL, NULL, &(et_mlp_config){.widths = widths, .n_widths = 3, .act = ET_ACT_TANH},
                           NULL);

    ck_assert_msg(m != NULL, "%s", et_error_message());
    ck_assert_ptr_nonnull(et_module_find(&m->module, "fc2.weight"));
    et_module_to(&m->module, ET_F64);
    et_scope *s = et_scope_open();
    et_tensor *x = curve(2, ET_SHAPE(2, 3)), *y = et_mlp_forward(m, x);
    for (int b = 0; b < 2; b++) {
        double h[4];
        for (int j = 0; j < 4; j++)
            h[j] = tanh(project(m->layers[0], et_data_f64(x) + 3 * b, j));
        for (int j = 0; j < 2; j++)
            ck_assert_double_eq_tol(et_data_f64(y)[2 * b + j], project(m->layers[1], h, j), 1e-13);
    }
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

static bool build(void *user)
{
    const int64_t widths[] = {3, 4, 2};
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);

    (void)user;
    et_mha_new(m, "attention", &(et_mha_config){.width = 4, .heads = 2}, NULL);
    et_positions_sinusoidal_new(m, "fixed", 9, 6);
    et_positions_learned_new(m, "learned", 9, 6, 0.02, NULL);
    et_mlp_new(m, "mlp", &(et_mlp_config){.widths = widths, .n_widths = 3}, NULL);
    m = et_module_done(m);
    et_module_free(m);
    return m != NULL;
}

START_TEST(allocations) { ck_assert_int_gt(alloc_sweep("build", build, NULL), 40); }
END_TEST

int main(void)
{
    Suite *s = suite_create("nn_attention");
    TCase *tc = tcase_create("nn_attention");

    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_loop_test(tc, cross_by_definition, 0, 2);
    tcase_add_loop_test(tc, fused_is_separate, 0, 4);
    tcase_add_loop_test(tc, folded_is_plain, 0, 3);
    tcase_add_test(tc, folded_without_key_bias);
    tcase_add_test(tc, folded_dropout);
    tcase_add_test(tc, not_folded);
    tcase_add_loop_test(tc, folded_threads, 0, 4);
    tcase_add_test(tc, folded_allocations);
    tcase_add_loop_test(tc, few_is_plain, 0, 4);
    tcase_add_test(tc, few_dropout);
    tcase_add_test(tc, not_few);
    tcase_add_test(tc, few_allocations);
    tcase_add_test(tc, names);
    tcase_add_test(tc, wrong_use);
    tcase_add_test(tc, position_tables);
    tcase_add_test(tc, perceptron);
    tcase_add_test(tc, allocations);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
