/* The Vision Transformer: sizes; logits, every gradient and 20 AdamW steps against PyTorch
 * (tests/fixtures/vit.safetensors, made by tests/oracle/vit.py; VIT_FIXTURE names another file of that
 * form, one of the paper's configuration say); images, relevance, wrong use, allocation failures. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/vit.h"
#include "nn/init.h"
#include "nn/optim.h"
#include "tensor/safetensors.h"
#include "tests/module_sweep.h"
#include "tests/suite.h"
#include "tests/values.h"

/* --- sizes -------------------------------------------------------------------------------- */

static int64_t parameters(et_vit_config c)
{
    et_vit *m = et_vit_new(NULL, NULL, &c, NULL);

    ck_assert_msg(m != NULL, "%s", et_error_message());
    int64_t n = et_module_count(&m->module);
    et_module_free(&m->module);
    return n;
}

START_TEST(sizes)
{
    et_vit_config c = et_vit_paper();

    ck_assert_int_eq(parameters(et_vit_small()), 51942);
    ck_assert_int_eq(parameters(c), 21546378);
    c.head_width = 32;
    ck_assert_int_eq(parameters(c), 19964298);
    c = et_vit_paper();
    c.pooling = ET_VIT_MEAN;
    ck_assert_int_eq(parameters(c), 5031306);
}
END_TEST

/* Tokens' means and deviations reach the last layer; both by their definitions. */
START_TEST(statistics)
{
    et_vit_config c = et_vit_small();

    c.pooling = ET_VIT_STATISTICS;
    memset(c.head, 0, sizeof c.head);
    et_vit *m = et_vit_new(NULL, NULL, &c, NULL);
    ck_assert_msg(m != NULL, "%s", et_error_message());
    ck_assert_int_eq(m->out->weight->shape[1], 2 * c.d);
    et_module_to(&m->module, ET_F64);
    et_module_eval(&m->module);
    et_scope *s = et_scope_open();
    et_tensor *x = et_empty(ET_F64, ET_SHAPE(2, c.frames, c.bins));
    et_rng rng = et_rng_make(2, 0);
    et_fill_normal(x, &rng, 0, 1);
    et_tensor *logits = et_vit_forward(m, x, NULL);
    et_tensor *z = et_patches(et_vit_image(m, x), c.patch_h, c.patch_w, c.patch_h, c.patch_w);
    z = et_add(et_linear_layer_forward(m->proj, z), m->pos);
    z = et_layer_norm_layer_forward(m->ln, et_transformer_forward(m->blocks, z, NULL, NULL));
    ck_assert_msg(logits && z, "%s", et_error_message());
    const int64_t N = z->shape[1];
    for (int64_t b = 0; b < 2; b++)
        for (int64_t k = 0; k < c.classes; k++) {
            double y = et_data_f64(m->out->bias)[k];
            for (int64_t j = 0; j < c.d; j++) {
                double mean = 0, square = 0;
                for (int64_t n = 0; n < N; n++)
                    mean += et_get(z, (const int64_t[]){b, n, j}) / (double)N;
                for (int64_t n = 0; n < N; n++)
                    square += pow(et_get(z, (const int64_t[]){b, n, j}) - mean, 2) / (double)N;
                y += et_get(m->out->weight, (const int64_t[]){k, j}) * mean +
                     et_get(m->out->weight, (const int64_t[]){k, c.d + j}) * sqrt(square + 1e-6);
            }
            ck_assert_double_eq_tol(et_get(logits, (const int64_t[]){b, k}), y, 1e-12);
        }
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

/* --- parity -------------------------------------------------------------------------------- */

static et_safetensors *fixture;
static bool other_fixture;

static void open_fixture(void)
{
    char path[4096];
    const char *other = getenv("VIT_FIXTURE");

    et_error_clear();
    other_fixture = other != NULL;
    fixture = et_safetensors_open(other ? other : suite_file(path, sizeof path, "fixtures/vit.safetensors"));
    ck_assert_msg(fixture != NULL, "%s", et_error_message());
}

static void close_fixture(void) { et_safetensors_close(fixture); }

static et_tensor *load(const char *name, const char *what)
{
    char full[160];

    snprintf(full, sizeof full, "%s/%s", name, what);
    et_tensor *t = et_safetensors_load(fixture, full);
    ck_assert_msg(t != NULL, "%s: %s", full, et_error_message());
    return t;
}

/* Element n of the hash that the fixture was made with. */
static double hashed(int t, int64_t n)
{
    uint32_t h = (uint32_t)n * 2654435761u + (uint32_t)(t + 1) * 2246822519u;

    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    return (double)h / 4294967296.0 - 0.5;
}

static et_vit_config config_of(const char *name)
{
    et_tensor *values = load(name, "config");
    const int32_t *v = et_data_i32(values);

    ck_assert_int_eq(values->numel, 20);
    return (et_vit_config){.frames = v[0], .bins = v[1], .channels = v[2], .height = v[3], .width = v[4],
                           .transpose = v[5], .patch_h = v[6], .patch_w = v[7], .step_h = v[8],
                           .step_w = v[9], .d = v[10], .layers = v[11], .heads = v[12], .head_width = v[13],
                           .hidden = v[14], .act_once = v[15], .pooling = (et_vit_pooling)v[16],
                           .head = {v[17], v[18]}, .classes = v[19], .dropout = 0.1, .head_dropout = 0.5,
                           .drop_path = 0.2};
}

/* Calls f for each parameter of the case: its name, number and tensor. */
static int each(et_vit *m, const char *name, void (*f)(const char *name, const char *parameter, int t,
                                                       et_tensor *p))
{
    size_t prefix = strlen(name);
    int t = 0;

    for (int64_t i = 0; i < et_safetensors_count(fixture); i++) {
        const char *entry = et_safetensors_at(fixture, i)->name;
        if (strncmp(entry, name, prefix) != 0 || strncmp(entry + prefix, "/probe/", 7) != 0)
            continue;
        et_tensor *p = et_module_find(&m->module, entry + prefix + 7);
        ck_assert_msg(p != NULL, "the model has no %s", entry);
        f(name, entry + prefix + 7, t++, p);
    }
    return t;
}

static void fill(const char *name, const char *parameter, int t, et_tensor *p)
{
    bool norm = strstr(parameter, "ln") && strstr(parameter, "weight");
    double scale = p->ndim == 2 && !strstr(parameter,
                                           "pos") ? sqrt(24.0 / (double)(p->shape[0] + p->shape[1])) : 0.2;
    et_tensor *values = et_empty(ET_F64, p->ndim, p->shape);

    (void)name;
    for (int64_t n = 0; n < p->numel; n++)
        ((double *)et_data_mut(values))[n] = norm ? 1 + 0.2 * hashed(t, n) : scale * hashed(t, n);
    ck_assert_int_eq(et_copy_into(p, values), ET_OK);
}

static double bound; /* of relative errors */

static void close_to(const char *what, const char *parameter, double got, double expected, double size)
{
    ck_assert_msg(fabs(got - expected) <= bound * size, "%s of %s: %.12g, expected %.12g", what, parameter,
                  got, expected);
}

static void compare(const char *name, const char *parameter, int t, et_tensor *p)
{
    char full[160];
    et_tensor *g = et_grad_of(p), *probe;
    double sum = 0, product = 0;

    ck_assert_msg(g != NULL, "%s has no gradient", parameter);
    g = et_to(g, ET_F64);
    snprintf(full, sizeof full, "probe/%s", parameter);
    probe = load(name, full);
    for (int64_t n = 0; n < g->numel; n++) {
        sum += et_data_f64(g)[n] * et_data_f64(g)[n];
        product += et_data_f64(g)[n] * hashed(2000 + t, n);
    }
    /* A key's bias has no effect; its gradient is rounding. */
    double norm = et_data_f64(probe)[0], size = norm > 1e-10 ? norm : 0.1;
    close_to("norm", parameter, sqrt(sum), norm, size);
    close_to("product", parameter, product, et_data_f64(probe)[1], size);
    snprintf(full, sizeof full, "%s/grad/%s", name, parameter);
    if (norm > 1e-10 && et_safetensors_find(fixture, full)) {
        double error = et_relative_error(g, et_to(et_safetensors_load(fixture, full), ET_F64));
        double limit = bound > 1e-6 ? bound : 1e-6; /* the file has these in float32 */
        ck_assert_msg(error <= limit, "%s: relative error %g", full, error);
    }
}

static void parity(const char *name, et_dtype dtype)
{
    et_scope *making = et_scope_open();
    et_vit_config c = config_of(name);
    et_vit *m = et_vit_new(NULL, NULL, &c, NULL);
    int64_t B = 4;
    int32_t labels[4];

    ck_assert_msg(m != NULL, "%s", et_error_message());
    et_module_to(&m->module, dtype);
    et_module_eval(&m->module); /* no dropout */
    int n = each(m, name, fill);
    et_scope_close(making);
    int64_t in_module = 0;
    for (int64_t i = 0; i < et_module_n_entries(&m->module); i++)
        in_module += et_module_entry(&m->module, i)->kind == ET_ENTRY_PARAMETER;
    ck_assert_int_eq(n, in_module);
    et_tensor *x = et_empty_owned(dtype, ET_SHAPE(B, c.frames, c.channels * c.bins));
    et_tensor *losses = et_own(load(name, "loss"));
    for (int64_t i = 0; i < x->numel; i++)
        if (dtype == ET_F64)
            ((double *)et_data_mut(x))[i] = 2 * hashed(1000, i);
        else
            ((float *)et_data_mut(x))[i] = (float)(2 * hashed(1000, i));
    for (int i = 0; i < B; i++)
        labels[i] = (int32_t)(i % c.classes);

    et_optim *opt = et_adamw_new(&m->module, 1e-3, 1e-4);
    /* A model of eight blocks and 21 million parameters rounds more often than one of two. */
    bound = dtype == ET_F64 ? 1e-9 : other_fixture ? 3e-5 : 1e-5;
    for (int step = 0; step < losses->numel; step++) {
        et_scope *s = et_scope_open();
        et_tensor *logits = et_vit_forward(m, x, NULL);
        et_tensor *loss = et_cross_entropy(logits, et_from(ET_I32, ET_SHAPE(B), labels));
        ck_assert_msg(loss != NULL, "%s", et_error_message());
        /* Adam divides by the gradient's size: rounding grows from step to step. */
        double expected = et_data_f64(losses)[step],
               tolerance = (other_fixture ? 10 : 1) * bound * et_data_f64(losses)[0];
        /* The paper's sizes learn in leaps at this rate, and float32 takes them elsewhere. */
        if (other_fixture && dtype == ET_F32 && step > 0)
            tolerance = INFINITY;
        ck_assert_msg(fabs(et_item(loss) - expected) <= tolerance, "%s, step %d: loss %.12g, expected %.12g",
                      name, step, et_item(loss), expected);
        if (step == 0)
            ck_assert_double_le(et_relative_error(et_to(logits, ET_F64), load(name, "logits")), bound);
        ck_assert_int_eq(et_backward(loss), ET_OK);
        if (step == 0)
            each(m, name, compare);
        ck_assert_int_eq(et_optim_step_zero(opt, 0, NULL), ET_OK);
        et_scope_close(s);
    }
    et_optim_free(opt);
    et_free(x);
    et_free(losses);
    et_module_free(&m->module);
}

static const char *const cases[] = {"small", "class", "mean", "resized", "transposed", "wide", "statistics"};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(as_in_pytorch)
{
    if (!other_fixture)
        parity(cases[_i % CASES], _i < CASES ? ET_F64 : ET_F32);
    else if (_i % CASES == 0)
        parity("paper", _i < CASES ? ET_F64 : ET_F32);
}
END_TEST

/* --- parts ----------------------------------------------------------------------------------- */

/* Resizing 512 x 129 to a quarter takes means of two neighbours where the centre lies between them. */
START_TEST(image)
{
    et_vit_config c = et_vit_paper();
    et_vit *m = et_vit_new(NULL, NULL, &c, NULL);
    et_scope *s = et_scope_open();
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(1, 512, 129));

    for (int64_t t = 0; t < 512; t++)
        for (int64_t f = 0; f < 129; f++)
            et_set(x, (const int64_t[]){0, t, f}, (double)(t * t) + 1000.0 * (double)f);
    et_tensor *image = et_vit_image(m, x);
    ck_assert_msg(image != NULL, "%s", et_error_message());
    for (int64_t i = 0; i < 128; i += 17)
        for (int64_t j = 0; j < 32; j += 5) {
            double t = 4 * (double)i + 1.5, f = ((double)j + 0.5) * 129 / 32 - 0.5;
            double rows = ((t - 0.5) * (t - 0.5) + (t + 0.5) * (t + 0.5)) / 2;
            ck_assert_double_eq_tol(et_get(image, (const int64_t[]){0, 0, i, j}), rows + 1000 * f, 0.05);
        }
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

/* Blocks that are computed again in backward: the same bits, dropout included, with less memory. */
START_TEST(recomputed)
{
    enum { B = 32 };
    et_vit_config c = et_vit_small();
    et_tensor *first = NULL;
    int64_t peak[2];

    c.layers = 3;
    for (int again = 0; again < 2; again++) {
        et_rng rng = et_rng_make(3, 0);
        et_pool_stats stats;
        c.recomputed = again ? 2 : 0;
        et_vit *m = et_vit_new(NULL, NULL, &c, &rng);
        ck_assert_msg(m != NULL, "%s", et_error_message());
        et_tensor *x = et_empty(ET_F32, ET_SHAPE(B, c.frames, c.bins));
        et_fill_normal(x, &rng, 0, 1);
        *et_rng_default() = et_rng_make(4, 0);
        et_scope *s = et_scope_open();
        et_pool_reset_peak();
        et_tensor *y = et_vit_forward(m, x, NULL);
        ck_assert_int_eq(et_backward(et_mean(et_square(y), 0, NULL, false)), ET_OK);
        et_pool_get_stats(&stats);
        peak[again] = (int64_t)stats.peak;
        et_scope_close(s);
        et_tensor *g = et_grad_of(et_module_find(&m->module, "patch.proj.weight"));
        if (again)
            ck_assert_mem_eq(et_data(g), et_data(first), (size_t)g->numel * sizeof(float));
        else
            first = et_clone(g);
        et_free(x);
        et_module_free(&m->module);
    }
    ck_assert_int_lt(peak[1], peak[0]);
    et_free(first);
    c.recomputed = 4;
    ck_assert_ptr_null(et_vit_new(NULL, NULL, &c, NULL));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "computed again"));
    et_error_clear();
}
END_TEST

/* Rollout of two layers with hand-made attention, and the last layer alone. */
START_TEST(relevance)
{
    et_vit_config c = et_vit_small();

    c.frames = c.height = 16; /* 2 x 4 patches */
    c.pooling = _i ? ET_VIT_CLASS : ET_VIT_FLATTEN;
    et_vit *m = et_vit_new(NULL, NULL, &c, NULL);
    et_scope *s = et_scope_open();
    enum { MAX = 9 };
    const int N = _i ? 9 : 8;
    double a[2][MAX][MAX], joint[MAX][MAX];
    et_tensor *attention[2];
    for (int l = 0; l < 2; l++) {
        attention[l] = et_empty(ET_F32, ET_SHAPE(1, 2, N, N));
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int k = 0; k < N; k++)
                sum += a[l][i][k] = 1 + hashed(l, 20 * i + k);
            for (int k = 0; k < N; k++) { /* the heads' mean is a */
                a[l][i][k] /= sum;
                et_set(attention[l], (const int64_t[]){0, 0, i, k}, 1.5 * a[l][i][k]);
                et_set(attention[l], (const int64_t[]){0, 1, i, k}, 0.5 * a[l][i][k]);
            }
        }
    }
    for (int rollout = 0; rollout < 2; rollout++) {
        et_tensor *r = et_vit_relevance(m, attention, rollout);
        double expected[MAX] = {0}, total = 0;
        ck_assert_msg(r != NULL, "%s", et_error_message());
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++) {
                joint[i][k] = a[1][i][k];
                for (int j = 0; rollout && j < N; j++)
                    joint[i][k] = (j ? joint[i][k]
                                     : 0) + (a[1][i][j] + (i == j)) / 2 * (a[0][j][k] + (j == k)) / 2;
            }
        for (int k = _i; k < N; k++) {
            for (int i = 0; i < N; i++)
                expected[k - _i] += _i ? (i == 0 ? joint[i][k] : 0) : joint[i][k] / N;
            total += expected[k - _i];
        }
        ck_assert_int_eq(r->shape[1], 8);
        for (int64_t k = 0; k < 8; k++)
            ck_assert_double_eq_tol(et_get(r, (const int64_t[]){0, k}), expected[k] / (_i ? total : 1), 1e-6);
    }
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

START_TEST(wrong_use)
{
    et_vit_config bad[7];

    for (int i = 0; i < 7; i++)
        bad[i] = et_vit_small();
    bad[0].frames = 0;
    bad[1].patch_h = 33; /* taller than the image */
    bad[2].classes = 0;
    bad[3].head_dropout = 1;
    bad[4].layers = 0;
    bad[5].heads = 3;
    bad[5].head_width = 0;
    bad[6].dropout = -1;
    for (int i = 0; i < 7; i++) {
        ck_assert_ptr_null(et_vit_new(NULL, NULL, &bad[i], NULL));
        ck_assert_msg(et_error_status() == ET_EINVAL, "%d: %s", i, et_error_message());
        et_error_clear();
    }
    ck_assert_ptr_null(et_vit_new(NULL, NULL, NULL, NULL));
    et_error_clear();
    et_vit_config c = et_vit_small();
    et_vit *m = et_vit_new(NULL, NULL, &c, NULL);
    et_scope *s = et_scope_open();
    ck_assert_ptr_null(et_vit_forward(m, et_zeros(ET_F32, ET_SHAPE(2, 32, 17)), NULL));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "[2, 32, 17], expected [B, 32, 16]"));
    et_error_clear();
    ck_assert_ptr_null(et_vit_forward(m, NULL, NULL));
    et_error_clear();
    ck_assert_ptr_null(et_vit_relevance(m, NULL, true));
    et_error_clear();
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

/* With a class token the last block computes that token alone, unless its attention is asked for. */
START_TEST(class_token)
{
    et_vit_config c = et_vit_small();

    c.pooling = ET_VIT_CLASS;
    et_vit *m = et_vit_new(NULL, NULL, &c, NULL);
    ck_assert_msg(m != NULL, "%s", et_error_message());
    et_module_to(&m->module, ET_F64);
    et_module_eval(&m->module);
    et_scope *s = et_scope_open();
    et_tensor *x = et_empty(ET_F64, ET_SHAPE(3, c.frames, c.bins)), *attention[2];
    et_rng rng = et_rng_make(2, 0);
    et_fill_normal(x, &rng, 0, 1);
    et_tensor *y = et_vit_forward(m, x, NULL), *whole = et_vit_forward(m, x, attention);
    ck_assert_msg(y && whole, "%s", et_error_message());
    ck_assert(et_allclose(y, whole, 1e-12, 1e-12, false));
    ck_assert_int_eq(attention[1]->shape[2], m->rows * m->cols + 1);
    ck_assert_int_eq(et_backward(et_sum(y, 0, NULL, false)), ET_OK);
    ck_assert_ptr_nonnull(et_grad_of(m->blocks->blocks[0]->attn->k->bias));
    ck_assert_ptr_null(et_grad_of(m->blocks->blocks[1]->attn->k->bias)); /* no keys, where so few look */
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

static bool build_and_run(et_module **out)
{
    et_vit_config c = et_vit_small();
    et_tensor *attention[2];

    c.frames = 20;
    c.pooling = ET_VIT_CLASS;
    et_vit *m = et_vit_new(NULL, NULL, &c, NULL);
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(1, 20, 16));
    *out = m ? &m->module : NULL;
    return m && et_vit_forward(m, x, NULL) && et_vit_forward(m, x, attention) &&
           et_vit_relevance(m, attention, true);
}

START_TEST(allocations) { module_sweep(build_and_run, 100); }
END_TEST

int main(void)
{
    Suite *s = suite_create("vit");
    TCase *tc = tcase_create("model"), *oracle = tcase_create("parity");

    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, sizes);
    tcase_add_test(tc, statistics);
    tcase_add_test(tc, class_token);
    tcase_add_test(tc, image);
    tcase_add_test(tc, recomputed);
    tcase_add_loop_test(tc, relevance, 0, 2);
    tcase_add_test(tc, wrong_use);
    tcase_add_test(tc, allocations);
    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(oracle, open_fixture, close_fixture);
    tcase_set_timeout(oracle, 600);
    tcase_add_loop_test(oracle, as_in_pytorch, 0, 2 * CASES);
    suite_add_tcase(s, oracle);
    return suite_run(s);
}
