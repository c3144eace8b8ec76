/* The style VAE: published sizes, gradients, the loss's terms, generation, and the task S-VAE. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "datasets/batch.h"
#include "datasets/synthetic.h"
#include "models/style_vae.h"
#include "nn/optim.h"
#include "tensor/parallel.h"
#include "tensor/safetensors.h"
#include "tests/suite.h"

static et_style_vae *model(const et_style_vae_config *c, uint64_t seed)
{
    et_rng rng = et_rng_make(seed, 0);
    et_style_vae *m = et_style_vae_new(NULL, NULL, c, &rng);

    ck_assert_msg(m != NULL, "%s", et_error_message());
    return m;
}

START_TEST(counts)
{
    /* with z_s beside every event:
     * 8 (or 2, the label's) more inputs of four gates of 32 units and 16 hyper units */
    static const int64_t want[] = {10985037, 9290667, 6273869, 111877, 105043, 111877 + 8 * 4 * 48,
                                   105043 + 2 * 4 * 48};
    et_style_vae_config c = _i < 3 ? et_style_vae_paper() : et_style_vae_small();

    c.discrete_label = _i == 1 || _i == 4 || _i == 6;
    c.style_always = _i >= 5;
    c.cell = _i == 2 ? ET_VAE_NORM_LSTM : ET_VAE_HYPER_LSTM;
    et_style_vae *m = model(&c, 1);
    ck_assert_int_eq(et_module_count(&m->module), want[_i]);
    et_module_free(&m->module);
}
END_TEST

/* A few melodies as a batch in the open scope. */
static et_style_batch some(const et_dataset *ds, int64_t n)
{
    static const int32_t index[] = {0, 1, 2, 3, 4, 5, 6, 7};
    et_batch b;

    ck_assert_int_eq(et_batch_gather(ds, index, n, &b), ET_OK);
    return (et_style_batch){b.x, b.lengths, b.y};
}

/* Every parameter gets its gradient, checked by differences, for each cell and for the baseline. */
typedef struct {
    et_style_vae *m;
    et_style_batch b;
} problem;

static et_tensor *total(et_tensor *const *in, int n, void *user)
{
    const problem *p = user;
    et_rng rng = et_rng_make(3, 3);
    et_style_loss loss;

    (void)in;
    (void)n;
    return et_style_vae_loss(p->m, &p->b, 300, &rng, &loss, NULL, NULL) == ET_OK ? loss.total : NULL;
}

START_TEST(gradients)
{
    et_style_vae_config c = {.pitches = 24, .steps = 8, .styles = 2, .pitch_embedding = 3, .units = 4,
                             .hyper_units = 3, .hyper_embedding = 2, .head = 5, .content = 3, .style = 2,
                             .encoder_keep = 1, .decoder_keep = 1, .tau = 0.7, .kl_weight = 0.8, .kl_k = 60,
                             .mu_threshold = 1};
    c.cell = (et_vae_cell)(_i % 3);
    c.discrete_label = _i == 3 || _i == 8;
    c.style_always = _i >= 6;
    c.style_loss_of_sample = _i == 4;
    c.add_style = _i == 5;
    c.style = c.add_style ? c.content : c.style;
    c.mu_variance = _i == 5 ? ET_VARIANCE_HALF_SUM : ET_VARIANCE_MEAN;
    problem p = {.m = model(&c, 5), .b = {NULL, NULL, NULL}};
    et_dataset *ds = et_melodies(4, 1, 0);
    et_tensor *params[160];
    int n = 0;

    ck_assert_int_le(et_module_n_entries(&p.m->module), 160);
    et_rng rng = et_rng_make(9, 9);
    for (int64_t i = 0; i < et_module_n_entries(&p.m->module); i++) { /* nothing at 0, where rules hide */
        params[n] = et_module_entry(&p.m->module, i)->tensor;
        et_fill_normal(params[n++], &rng, 0, 0.4);
    }
    ck_assert_int_eq(et_module_to(&p.m->module, ET_F64), ET_OK);
    et_scope *s = et_scope_open();
    p.b = some(ds, 4);
    et_tensor *loss = total(NULL, 0, &p);
    ck_assert_msg(loss && et_backward(loss) == ET_OK, "%s", et_error_message());
    ck_assert_int_eq(et_module_unreached(&p.m->module, NULL, 0), 0);
    for (int i = 0; i < n; i++) { /* central differences at two elements of each parameter */
        for (int k = 0; k < 2; k++) {
            const int64_t at = k ? params[i]->numel - 1 : params[i]->numel / 3;
            const double h = 1e-5, grad = et_data_f64(params[i]->grad)[at];
            double value[2];
            et_no_grad_begin();
            for (int side = 0; side < 2; side++) {
                double *w = et_data_mut(params[i]);
                w[at] += side ? -2 * h : h;
                et_tensor *l = total(NULL, 0, &p);
                ck_assert_msg(l != NULL, "%s", et_error_message());
                value[side] = et_item(l);
            }
            et_no_grad_end();
            ((double *)et_data_mut(params[i]))[at] += h;
            const double numeric = (value[0] - value[1]) / (2 * h);
            ck_assert_msg(fabs(grad - numeric) <= 1e-7 + 1e-5 * fabs(numeric),
                          "%s[%d]: %.10g, by differences %.10g", et_module_entry(&p.m->module, i)->name,
                          (int)at, grad, numeric);
        }
    }
    et_scope_close(s);
    et_dataset_free(ds);
    et_module_free(&p.m->module);
}
END_TEST

/* --- against another implementation ------------------------------------------------------------ */

/* NAME/what of the fixture, owned by the open scope. */
static et_tensor *value(et_safetensors *f, const char *name, const char *what)
{
    char full[160];

    snprintf(full, sizeof full, "%s/%s", name, what);
    et_tensor *t = et_safetensors_load(f, full);
    ck_assert_msg(t != NULL, "%s: %s", full, et_error_message());
    return t;
}

/* Equal to the file's float64 numbers within `tolerance` of the largest. */
static void same(et_safetensors *f, const char *name, const char *what, et_tensor *got, double tolerance)
{
    const et_tensor *want = value(f, name, what), *flat = et_contiguous(et_to(got, ET_F64));
    double worst = 0, largest = 1e-6;

    ck_assert_msg(flat && flat->numel == want->numel, "%s/%s has another size: %s", name, what,
                  et_error_message());
    for (int64_t i = 0; i < want->numel; i++) {
        worst = fmax(worst, fabs(et_data_f64(flat)[i] - et_data_f64(want)[i]));
        largest = fmax(largest, fabs(et_data_f64(want)[i]));
    }
    ck_assert_msg(worst <= tolerance * largest, "%s/%s differs by %g of %g", name, what, worst, largest);
}

/* Posterior, logits, every term of the loss and every gradient as PyTorch has them (oracle/style_vae.py),
 * in both widths. */
START_TEST(other_implementation)
{
    static const struct {
        const char *name;
        et_vae_cell cell;
        bool label, add, always, half;
        double threshold;
    } models[] = {{"hyper", ET_VAE_HYPER_LSTM, false, false, false, false, 1.3},
                  {"hyper_always", ET_VAE_HYPER_LSTM, false, false, true, true, 3},
                  {"lstm", ET_VAE_NORM_LSTM, false, true, false, false, 1.3},
                  {"gru", ET_VAE_GRU, false, false, true, false, 1.3},
                  {"gru_label", ET_VAE_GRU, true, false, false, false, 0}};
    const char *name = models[_i / 2].name;
    const et_dtype dtype = _i % 2 ? ET_F32 : ET_F64;
    const double tolerance = dtype == ET_F64 ? 1e-9 : 2e-5;
    const et_style_vae_config c = {
        .pitches = 6, .steps = 3, .styles = 3, .pitch_embedding = 2, .cell = models[_i / 2].cell, .units = 4,
        .hyper_units = 3, .hyper_embedding = 2, .head = 5, .content = 3, .style = models[_i / 2].add ? 3 : 2,
        .discrete_label = models[_i / 2].label, .add_style = models[_i / 2].add,
        .style_always = models[_i / 2].always, .encoder_keep = 0.5, .decoder_keep = 0.8, .tau = 0.1,
        .kl_weight = 0.8, .kl_k = 30, .mu_threshold = models[_i / 2].threshold,
        .mu_variance = models[_i / 2].half ? ET_VARIANCE_HALF_SUM : ET_VARIANCE_MEAN};
    et_style_vae *m = model(&c, 1);
    char path[256], text[160];
    et_load_report report;

    suite_file(path, sizeof path, "fixtures/style_vae.safetensors");
    snprintf(text, sizeof text, "%s/module.", name);
    ck_assert_msg(et_module_load(&m->module, path, &(et_load_options){.partial = true, .prefix = text},
                                 &report) == ET_OK, "%s",
                  et_error_message());
    ck_assert_msg(report.missing.n == 0 && report.misshaped.n == 0, "%s: %d missing", name,
                  (int)report.missing.n);
    et_load_report_free(&report);
    ck_assert_int_eq(et_module_to(&m->module, dtype), ET_OK);
    et_module_eval(&m->module);
    et_safetensors *f = et_safetensors_open(path);
    ck_assert_msg(f != NULL, "%s", et_error_message());
    et_scope *s = et_scope_open();
    const et_style_batch b = {value(f, name, "x"), value(f, name, "lengths"), value(f, name, "labels")};
    et_style_loss loss;
    et_style_posterior q;
    et_tensor *logits, *y = NULL;
    ck_assert_msg(et_style_vae_loss(m, &b, 90, NULL, &loss, &q, &logits) == ET_OK, "%s", et_error_message());
    same(f, name, "mean", q.mean, tolerance);
    same(f, name, "logvar", q.logvar, tolerance);
    ck_assert(c.discrete_label == !q.alpha);
    if (q.alpha)
        same(f, name, "alpha", q.alpha, tolerance);
    y = et_clone(logits);
    for (int64_t i = 0; i < 4; i++) { /* nothing is said of what stands behind a row's end */
        const int64_t n = et_data_i32(b.lengths)[i];
        if (n < y->shape[1])
            et_fill(et_slice(et_select(y, 0, i), 0, n, y->shape[1], 1), 0);
    }
    same(f, name, "logits", y, tolerance);
    et_tensor *const terms[] = {loss.total, loss.pitch, loss.dt, loss.dur, loss.kl, loss.style, loss.mu};
    et_tensor *all = et_zeros(ET_F64, ET_SHAPE(7));
    for (int64_t i = 0; i < 7; i++)
        et_set(all, &i, et_item(terms[i]));
    same(f, name, "terms", all, tolerance);
    ck_assert_int_eq(et_backward(loss.total), ET_OK);
    for (int64_t i = 0; i < et_module_n_entries(&m->module); i++) {
        const et_entry *e = et_module_entry(&m->module, i);
        snprintf(text, sizeof text, "grad.%s", e->name);
        same(f, name, text, e->tensor->grad, tolerance);
    }
    et_scope_close(s);
    et_safetensors_close(f);
    et_module_free(&m->module);
}
END_TEST

/* What stands behind the ends, and END's dt and dur, change nothing. */
START_TEST(padding)
{
    const et_style_vae_config c = et_style_vae_small();
    et_style_vae *m = model(&c, 2);
    et_dataset *ds = et_melodies(6, 1, 0);
    double want = 0;

    et_module_eval(&m->module);
    for (int k = 0; k < 2; k++) {
        et_scope *s = et_scope_open();
        et_style_batch b = some(ds, 6);
        et_style_loss loss;
        if (k)
            for (int64_t i = 0; i < 6; i++)
                for (int64_t t = ((const int32_t *)et_data(b.lengths))[i] - 1; t < 15; t++)
                    for (int64_t g = t == ((const int32_t *)et_data(b.lengths))[i] - 1; g < 3; g++)
                        et_set(b.x, (const int64_t[]){i, t, g}, 77);
        ck_assert_msg(et_style_vae_loss(m, &b, 10, NULL, &loss, NULL, NULL) == ET_OK, "%s",
                      et_error_message());
        if (!k)
            want = et_item(loss.total);
        ck_assert_double_eq(et_item(loss.total), want);
        /* the terms add up */
        ck_assert_double_eq_tol(3 * et_item(loss.pitch) + et_item(loss.dt) + et_item(loss.dur) +
                                    0.8 * loss.beta * et_item(loss.kl) + et_item(loss.style) +
                                    et_item(loss.mu),
                                want, 1e-5 * want);
        et_scope_close(s);
    }
    et_dataset_free(ds);
    et_module_free(&m->module);
}
END_TEST

/* An encoder that is run again in backward: the same loss and gradients, recurrent dropout and draws as they
 * were, and nothing of it on the tape. */
START_TEST(computed_again)
{
    et_style_vae_config c = et_style_vae_small();
    et_dataset *ds = et_melodies(8, 3, 0);
    static const int least[] = {[ET_VAE_HYPER_LSTM] = 40, [ET_VAE_NORM_LSTM] = 10, [ET_VAE_GRU] = 2};
    et_tensor *grads[160] = {NULL}; /* least: ops of the encoder, more than those of one direction */
    double loss[2];
    int64_t nodes[2];

    c.cell = (et_vae_cell)_i;
    for (int k = 0; k < 2; k++) {
        c.recompute = k == 1;
        et_style_vae *m = model(&c, 8);
        et_scope *s = et_scope_open();
        et_style_batch b = some(ds, 8);
        et_style_loss l;
        et_seed(12);
        ck_assert_msg(et_style_vae_loss(m, &b, 50, NULL, &l, NULL, NULL) == ET_OK, "%s", et_error_message());
        nodes[k] = et_tape_length();
        loss[k] = et_item(l.total);
        ck_assert_msg(et_backward(l.total) == ET_OK, "%s", et_error_message());
        for (int64_t i = 0; i < et_module_n_entries(&m->module); i++) {
            const et_entry *e = et_module_entry(&m->module, i);
            double differ = 0, largest = 1e-6;
            ck_assert_msg(e->tensor->grad != NULL, "%s has no gradient", e->name);
            for (int64_t j = 0; k == 1 && j < e->tensor->numel; j++) {
                differ = fmax(differ,
                              fabs((double)et_data_f32(e->tensor->grad)[j] -
                                   (double)et_data_f32(grads[i])[j]));
                largest = fmax(largest, fabs((double)et_data_f32(grads[i])[j]));
            }
            ck_assert_msg(differ <= 1e-5 * largest, "%s: gradients differ by %g of %g", e->name, differ,
                          largest);
            if (k == 0) {
                grads[i] = et_dataset_tensor(ET_F32, e->tensor->ndim, e->tensor->shape);
                memcpy(et_data_mut(grads[i]), et_data_f32(e->tensor->grad),
                       (size_t)e->tensor->numel * sizeof(float));
            }
        }
        et_scope_close(s);
        et_module_free(&m->module);
    }
    ck_assert_double_eq(loss[0], loss[1]);
    ck_assert_msg(nodes[0] - nodes[1] >= least[c.cell],
                  "%d ops, %d without those of the encoder", (int)nodes[0], (int)nodes[1]);
    for (int i = 0; i < 160; i++)
        et_free(grads[i]);
    et_dataset_free(ds);
}
END_TEST

/* A piece that was written greedily is what the decoder finds likeliest when it is fed with it as a whole:
 * steps and sequences agree, and with style_always the style reaches both; a beam's first event is the
 * likeliest one, too. */
START_TEST(fed_back)
{
    enum { N = 3, MOST = 9 };
    et_style_vae_config c = et_style_vae_small();
    et_rng rng = et_rng_make(31, (uint64_t)_i);
    const int group[4] = {0, 25, 34, 43};

    c.cell = (et_vae_cell)(_i % 3);
    c.style_always = _i > 0;
    c.discrete_label = _i == 4;
    et_style_vae *m = model(&c, 6);
    for (int64_t i = 0; i < et_module_n_entries(&m->module); i++) /* far from where all styles are alike */
        et_fill_normal(et_module_entry(&m->module, i)->tensor, &rng, 0, 0.5);
    et_module_eval(&m->module);
    et_scope *s = et_scope_open();
    et_tensor *z_c = et_zeros(ET_F32, ET_SHAPE(N, 16)),
              *cat = et_one_hot(et_from(ET_I32, ET_SHAPE(N), (int32_t[]){0, 1, 1}), 2, ET_F32);
    et_fill_normal(z_c, &rng, 0, 1);
    et_tensor *z = et_style_vae_latent(m, z_c, cat), *n;
    et_tensor *e = et_style_vae_generate(m, z, &(et_style_sampling){.max_events = MOST}, &rng, &n);
    ck_assert_msg(e != NULL, "%s", et_error_message());
    const et_style_batch b = {et_to(e, ET_F32), n, et_zeros(ET_I32, ET_SHAPE(N))};
    et_tensor *y = et_style_vae_decode(m, z, &b);
    ck_assert_msg(y != NULL, "%s", et_error_message());
    for (int64_t i = 0; i < N; i++)
        for (int64_t t = 0; t < et_data_i32(n)[i]; t++)
            for (int g = 0; g < 3; g++) {
                const int32_t chosen = et_data_i32(e)[(i * MOST + t) * 3 + g];
                const double at = chosen < 0 ? 0 : et_get(y, (const int64_t[]){i, t, group[g] + chosen});
                for (int64_t k = group[g]; chosen >= 0 && k < group[g + 1]; k++)
                    ck_assert_msg(et_get(y, (const int64_t[]){i, t, k}) <= at + 1e-4,
                                  "row %d, event %d, group %d", (int)i, (int)t, g);
            }
    et_tensor *one = et_style_vae_generate(m, z, &(et_style_sampling){.max_events = 1, .beam = 2}, &rng, &n);
    ck_assert_msg(one != NULL, "%s", et_error_message());
    for (int64_t i = 0; i < N; i++)
        ck_assert(et_data_i32(one)[3 * i] == et_data_i32(e)[3 * i * MOST] || et_data_i32(one)[3 * i] == 24);
    /* the other style beside the same events: other logits, if it is read there */
    et_tensor *flipped = et_style_vae_latent(m, z_c, et_flip(cat, 1));
    et_tensor *w = m->dec_init->weight;
    et_fill(et_slice(w, 1, 16, w->shape[1], 1), 0); /* not by way of the first state */
    et_tensor *y0 = et_style_vae_decode(m, z, &b), *y1 = et_style_vae_decode(m, flipped, &b);
    ck_assert_msg(y1 != NULL, "%s", et_error_message());
    double differ = 0;
    for (int64_t i = 0; i < 43; i++)
        differ = fmax(differ,
                      fabs(et_get(y0, (const int64_t[]){0, 0, i}) - et_get(y1, (const int64_t[]){0, 0, i})));
    ck_assert_msg(c.style_always ? differ > 1e-3 : differ == 0, "logits differ by %g", differ);
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

/* Rows mixed by weights, with gradients for both; what does not fit is refused. */
START_TEST(codebook)
{
    static const double rows[] = {1, 2, 3, 10, 20, 30}, weights[] = {1, 0, 0.25, 0.75};
    static const double want[] = {1, 2, 3, 7.75, 15.5, 23.25};
    et_rng rng = et_rng_make(1, 1);
    et_module *owner = et_module_new(sizeof *owner, "Owner", NULL, NULL);
    et_tensor *book = et_style_codebook_new(owner, "styles", 2, 3, &rng);

    ck_assert_msg(book != NULL && et_module_find(owner, "styles") == book, "%s", et_error_message());
    ck_assert_int_eq(et_module_count(owner), 6);
    for (int64_t i = 0; i < 6; i++)
        ck_assert(fabs(et_data_f32(book)[i]) < 1 && et_data_f32(book)[i] != 0);
    ck_assert_int_eq(et_module_to(owner, ET_F64), ET_OK);
    memcpy(et_data_mut(book), rows, sizeof rows);
    et_scope *s = et_scope_open();
    et_tensor *w = et_set_requires_grad(et_from(ET_F64, ET_SHAPE(2, 2), weights), true);
    et_tensor *z = et_style_codebook(book, w);
    for (int64_t i = 0; i < 6; i++)
        ck_assert_double_eq_tol(et_data_f64(z)[i], want[i], 1e-12);
    ck_assert_int_eq(et_backward(et_sum(z, 0, NULL, false)), ET_OK);
    const double of_rows[] = {1.25, 1.25, 1.25, 0.75, 0.75, 0.75}, of_weights[] = {6, 60, 6, 60};
    for (int64_t i = 0; i < 6; i++)
        ck_assert_double_eq_tol(et_data_f64(book->grad)[i], of_rows[i], 1e-12);
    for (int64_t i = 0; i < 4; i++)
        ck_assert_double_eq_tol(et_data_f64(w->grad)[i], of_weights[i], 1e-12);
    ck_assert_ptr_null(et_style_codebook(book, et_zeros(ET_F64, ET_SHAPE(2, 3))));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "[2, 3]"));
    et_error_clear();
    ck_assert_ptr_null(et_style_codebook(book, NULL));
    et_error_clear();
    ck_assert_ptr_null(et_style_codebook_new(owner, "none", 0, 3, &rng));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    et_scope_close(s);
    et_module_free(owner);
}
END_TEST

START_TEST(misuse)
{
    et_style_vae_config c = et_style_vae_small();
    et_style_vae *m = model(&c, 2);
    et_dataset *ds = et_melodies(2, 1, 0);
    et_style_loss loss;
    et_tensor *lengths;

    c.tau = 0;
    ck_assert_ptr_null(et_style_vae_new(NULL, NULL, &c, NULL));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "tau"));
    et_error_clear();
    c = et_style_vae_small();
    c.add_style = true;
    ck_assert_ptr_null(et_style_vae_new(NULL, NULL, &c, NULL));
    et_error_clear();
    c.style = c.content;
    c.style_always = true; /* there is no z_s in a sum */
    ck_assert_ptr_null(et_style_vae_new(NULL, NULL, &c, NULL));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "beside every event"));
    et_error_clear();
    et_scope *s = et_scope_open();
    et_style_batch b = some(ds, 2);
    et_set(b.x, (const int64_t[]){1, 2, 1}, 9);
    ck_assert_int_eq(et_style_vae_loss(m, &b, 0, NULL, &loss, NULL, NULL), ET_EINVAL);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "event 2 of row 1 has dt 9"));
    et_error_clear();
    b = some(ds, 2);
    et_set(b.lengths, (const int64_t[]){0}, 0);
    ck_assert_int_eq(et_style_vae_loss(m, &b, 0, NULL, &loss, NULL, NULL), ET_EINVAL);
    et_error_clear();
    const et_style_sampling cold = {.temperature = -1};
    ck_assert_ptr_null(et_style_vae_generate(m, et_zeros(ET_F32, ET_SHAPE(1, 24)), &cold, NULL, &lengths));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    et_scope_close(s);
    et_dataset_free(ds);
    et_module_free(&m->module);
}
END_TEST

/* --- learning ---------------------------------------------------------------------------------- */

enum { STEPS = 500, BATCH = 32, PIECES = 100 };

static et_style_vae *trained(bool baseline, double *loss_end)
{
    et_style_vae_config c = et_style_vae_small();
    c.discrete_label = baseline;
    et_style_vae *m = model(&c, 11);
    et_optim *o = et_adam_new(&m->module, 3e-3);
    et_dataset *ds = et_melodies(STEPS * BATCH, 4, 0);
    et_batches *batches = et_batches_new(ds, NULL, 0, &(et_batch_options){.size = BATCH});

    ck_assert_msg(o && batches, "%s", et_error_message());
    et_seed(4);
    for (int64_t step = 0; step < STEPS; step++) {
        et_style_loss loss;
        et_batch b;
        et_scope *s = et_scope_open();
        ck_assert_int_eq(et_batches_next(batches, &b), ET_OK);
        const et_style_batch sb = {b.x, b.lengths, b.y};
        ck_assert_msg(et_style_vae_loss(m, &sb, step, NULL, &loss, NULL, NULL) == ET_OK, "%s",
                      et_error_message());
        ck_assert_msg(et_backward(loss.total) == ET_OK, "%s", et_error_message());
        *loss_end = et_item(loss.total);
        ck_assert_int_eq(et_optim_step_zero(o, 1, NULL), ET_OK);
        et_scope_close(s);
    }
    et_batches_free(batches);
    et_dataset_free(ds);
    et_optim_free(o);
    et_module_eval(&m->module);
    return m;
}

/* The style that a generated melody is in, by its durations alone: 4 and 8, or 1 and 2. */
static int judged(const int32_t *e, int64_t n)
{
    int votes = 0;

    for (int64_t i = 0; i < n; i++)
        if (e[3 * i + 2] >= 0)
            votes += e[3 * i + 2] >= 3 ? -1 : 1;
    return votes > 0;
}

START_TEST(task)
{
    double loss;
    ck_assert_int_eq(et_set_num_threads(1), ET_OK); /* results do not depend on it */
    et_style_vae *m = trained(_i == 1, &loss);
    const et_style_sampling how[] = {{.temperature = 0.5}, {.temperature = 0.5, .top_k = 3},
                                     {.temperature = 0}, {.beam = 3}};
    int hits = 0, all = 0;

    for (int k = 0; k < 4; k++)
        for (int style = 0; style < 2; style++) {
            const int64_t n = k == 3 ? 8 : PIECES;
            et_rng rng = et_rng_make(21, (uint64_t)style);
            et_scope *s = et_scope_open();
            et_tensor *z_c = et_zeros(ET_F32, ET_SHAPE(n, 16)), *lengths;
            et_fill_normal(z_c, &rng, 0, 1);
            et_tensor *cat = et_one_hot(et_full(ET_I32, ET_SHAPE(n), style), 2, ET_F32);
            et_tensor *e = et_style_vae_generate(m, et_style_vae_latent(m, z_c, cat), &how[k], &rng,
                                                 &lengths);
            ck_assert_msg(e != NULL, "%s", et_error_message());
            int right = 0;
            for (int64_t b = 0; b < n; b++) {
                const int32_t *row = (const int32_t *)et_data(e) + b * e->shape[1] * 3;
                const int64_t len = ((const int32_t *)et_data(lengths))[b];
                ck_assert_int_ge(len, 1);
                for (int64_t i = 0; i < len; i++) { /* classes of their groups; END at the end alone */
                    ck_assert_int_ge(row[3 * i], 0);
                    ck_assert_int_le(row[3 * i], 24);
                    ck_assert_int_eq(row[3 * i] == 24, row[3 * i + 1] < 0);
                    ck_assert(row[3 * i] != 24 || i == len - 1);
                }
                right += judged(row, len) == style;
            }
            if (k == 0) {
                hits += right;
                all += (int)n;
            }
            ck_assert_msg(right >= n * 8 / 10, "way %d, style %d: %d of %d in it", k, style, right, (int)n);
            et_scope_close(s);
        }
    ck_assert_msg(hits >= 0.9 * all, "%d of %d pieces in the wanted style", hits, all);
    et_module_free(&m->module);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("style VAE");
    TCase *tc = tcase_create("model"), *slow = tcase_create("task");

    tcase_add_loop_test(tc, counts, 0, 7);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, gradients, 0, 9);
    tcase_add_loop_test(tc, other_implementation, 0, 10);
    tcase_add_loop_test(tc, fed_back, 0, 5);
    tcase_add_loop_test(tc, computed_again, 0, 3);
    tcase_add_test(tc, codebook);
    tcase_add_test(tc, padding);
    tcase_add_test(tc, misuse);
    suite_add_tcase(suite, tc);
    tcase_set_timeout(slow, 300);
    if (!suite_skips(1)) /* learning is the same code, thousands of times */
        tcase_add_loop_test(slow, task, 0, 2);
    suite_add_tcase(suite, slow);
    return suite_run(suite);
}
