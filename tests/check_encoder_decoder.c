/* The Transformer: published sizes, PyTorch's logits and gradients
 * (tests/fixtures/encoder_decoder.safetensors, made by tests/oracle/encoder_decoder.py), decoding with
 * remembered keys against decoding anew, beams, and the task S-REV. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "models/transformer.h"
#include "nn/optim.h"
#include "nn/schedule.h"
#include "tensor/parallel.h"
#include "tensor/safetensors.h"
#include "tests/alloc_sweep.h"
#include "tests/suite.h"

static et_encoder_decoder *model(et_encoder_decoder_config c, uint64_t seed)
{
    et_rng rng = et_rng_make(seed, 0);
    et_encoder_decoder *m = et_encoder_decoder_new(NULL, NULL, &c, &rng);

    ck_assert_msg(m != NULL, "%s", et_error_message());
    return m;
}

START_TEST(sizes)
{
    et_encoder_decoder_config c = et_encoder_decoder_base(10);
    et_encoder_decoder *m = model(c, 1);

    ck_assert_int_eq(et_module_count(&m->module) - 10 * 512, 44140544);
    ck_assert_int_eq(et_module_count(et_module_child(&m->module, "encoder.layers.3")), 3152384);
    ck_assert_int_eq(et_module_count(et_module_child(&m->module, "decoder.layers.5")), 4204032);
    et_module_free(&m->module);
    m = model(et_encoder_decoder_small(12), 1);
    ck_assert_int_eq(et_module_count(&m->module), 43264);
    et_module_free(&m->module);
}
END_TEST

/* --- PyTorch ------------------------------------------------------------------------------------- */

static et_tensor *load(et_safetensors *f, const char *name, const char *what)
{
    char full[160];

    snprintf(full, sizeof full, "%s/%s", name, what);
    et_tensor *t = et_safetensors_load(f, full);
    ck_assert_msg(t != NULL, "%s: %s", full, et_error_message());
    return t;
}

static void close_to(const char *what, const et_tensor *got, const et_tensor *want)
{
    double difference = 0, norm = 0;

    ck_assert_msg(got && got->numel == want->numel, "%s: %s", what, et_error_message());
    for (int64_t i = 0; i < want->numel; i++) {
        const double g = et_data_f64(got)[i], w = et_data_f64(want)[i];
        difference += (g - w) * (g - w);
        norm += w * w;
    }
    ck_assert_msg(sqrt(difference) <= 1e-10 * sqrt(norm) + 1e-15, "%s: relative error %.3g", what,
                  sqrt(difference / norm));
}

START_TEST(parity)
{
    const char *name = _i ? "pre" : "post";
    char path[4096], grad[160];
    et_safetensors *f = et_safetensors_open(suite_file(path, sizeof path,
                                                       "fixtures/encoder_decoder.safetensors"));
    et_encoder_decoder *m = model((et_encoder_decoder_config){.vocabulary = 7, .width = 8, .hidden = 12,
                                                              .heads = 2, .encoder_layers = 2,
                                                              .decoder_layers = 2, .max_length = 9,
                                                              .pre_norm = _i}, 1);

    ck_assert_msg(f != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_module_to(&m->module, ET_F64), ET_OK);
    et_scope *s = et_scope_open();
    for (int64_t i = 0; i < et_module_n_entries(&m->module); i++) {
        const et_entry *e = et_module_entry(&m->module, i);
        if (e->kind == ET_ENTRY_PARAMETER)
            ck_assert_int_eq(et_copy_into(e->tensor, load(f, name, e->name)), ET_OK);
    }
    /* the table of positions in float64 too */
    ck_assert_int_eq(et_copy_into(m->positions->table, et_sinusoidal_positions(ET_F64, 9, 8, 0)), ET_OK);
    et_tensor *source = load(f, name, "source"), *target = load(f, name, "target"),
              *lengths = load(f, name, "lengths");
    et_tensor *given = et_contiguous(et_slice(target, 1, 0, 4, 1));
    et_tensor *memory = et_encoder_decoder_encode(m, source, lengths);
    close_to("logits", et_encoder_decoder_decode(m, memory, lengths, given), load(f, name, "logits"));
    et_tensor *loss = et_encoder_decoder_loss(m, source, lengths, target, 0, 0.1);
    close_to("loss", loss, load(f, name, "loss"));
    ck_assert_msg(et_backward(loss) == ET_OK, "%s", et_error_message());
    for (int64_t i = 0; i < et_module_n_entries(&m->module); i++) {
        const et_entry *e = et_module_entry(&m->module, i);
        if (e->kind != ET_ENTRY_PARAMETER)
            continue;
        snprintf(grad, sizeof grad, "grad/%s", e->name);
        close_to(e->name, e->tensor->grad, load(f, name, grad));
    }
    et_scope_close(s);
    et_safetensors_close(f);
    et_module_free(&m->module);
}
END_TEST

/* --- S-REV ------------------------------------------------------------------------------------------- */

enum { PAD, BEGIN, END, SYMBOL, VOCABULARY = 12, SYMBOLS = 8, STEPS = 800, BATCH = 64 };

/* Sequences of 8 symbols, and the same reversed between BEGIN and END. */
static void reversals(int64_t n, et_rng *rng, et_tensor **source, et_tensor **target)
{
    *source = et_empty(ET_I32, ET_SHAPE(n, SYMBOLS));
    *target = et_empty(ET_I32, ET_SHAPE(n, SYMBOLS + 2));
    int32_t *s = et_data_mut(*source), *t = et_data_mut(*target);

    for (int64_t b = 0; b < n; b++, s += SYMBOLS, t += SYMBOLS + 2) {
        t[0] = BEGIN;
        t[SYMBOLS + 1] = END;
        for (int i = 0; i < SYMBOLS; i++)
            s[i] = t[SYMBOLS - i] = (int32_t)(SYMBOL + et_rng_below(rng, VOCABULARY - SYMBOL));
    }
}

static et_encoder_decoder *trained(int64_t steps)
{
    et_encoder_decoder *m = model(et_encoder_decoder_small(VOCABULARY), 3);
    const et_schedule noam = {.kind = ET_SCHEDULE_NOAM, .lr = 0.5, .warmup = 200, .width = 32};
    et_optim *o = et_optim_new(&m->module, &(et_optim_options){.kind = ET_ADAM, .lr = 1e-3, .beta1 = 0.9,
                                                               .beta2 = 0.98, .eps = 1e-9}, NULL, 0);
    et_rng rng = et_rng_make(8, 1);

    ck_assert_msg(o != NULL, "%s", et_error_message());
    for (int64_t step = 0; step < steps; step++) {
        et_tensor *source, *target;
        et_scope *s = et_scope_open();
        reversals(BATCH, &rng, &source, &target);
        et_tensor *loss = et_encoder_decoder_loss(m, source, NULL, target, PAD, 0.1);
        ck_assert_msg(loss && et_backward(loss) == ET_OK, "%s", et_error_message());
        et_optim_set_lr(o, et_schedule_lr(&noam, step));
        ck_assert_int_eq(et_optim_step_zero(o, 0, NULL), ET_OK);
        et_scope_close(s);
    }
    et_optim_free(o);
    et_module_eval(&m->module);
    return m;
}

START_TEST(reversing)
{
    ck_assert_int_eq(et_set_num_threads(1), ET_OK); /* results do not depend on it */
    et_encoder_decoder *m = trained(STEPS);
    et_rng rng = et_rng_make(8, 2);

    for (int beam = 0; beam <= 4; beam += 4) {
        const int64_t n = beam ? 40 : 500;
        const et_translate_options o = {.begin = BEGIN, .end = END, .max_length = 12, .beam = beam,
                                        .length_penalty = 0.6};
        et_tensor *source, *target;
        int64_t exact = 0;
        et_scope *s = et_scope_open();
        reversals(n, &rng, &source, &target);
        et_tensor *y = et_encoder_decoder_translate(m, source, NULL, &o);
        ck_assert_msg(y != NULL, "%s", et_error_message());
        for (int64_t b = 0; b < n; b++)
            exact += memcmp((const int32_t *)et_data(y) + 12 * b,
                            (const int32_t *)et_data(target) + 10 * b + 1, 9 * sizeof(int32_t)) == 0;
        ck_assert_msg(exact >= 0.95 * (double)n, "beam %d: %d of %d reversed", beam, (int)exact, (int)n);
        et_scope_close(s);
    }
    et_module_free(&m->module);
}
END_TEST

/* --- decoding ------------------------------------------------------------------------------------------- */

/* Log probability of the tokens after BEGIN up to and with the first END. */
static double log_likelihood(const et_encoder_decoder *m, et_tensor *source, et_tensor *lengths,
                             const int32_t *words, int64_t n, int64_t *length)
{
    int32_t given[32];
    double sum = 0;

    given[0] = BEGIN;
    for (*length = 1; *length < n && words[*length - 1] != END; (*length)++)
        given[*length] = words[*length - 1];
    et_tensor *memory = et_encoder_decoder_encode(m, source, lengths);
    et_tensor *y = et_log_softmax(et_encoder_decoder_decode(m, memory, lengths,
                                                            et_from(ET_I32, ET_SHAPE(1, *length), given)),
                                                            -1);
    for (int64_t t = 0; t < *length; t++)
        sum += et_get(y, (const int64_t[]){0, t, words[t]});
    return sum;
}

/* Greedy decoding takes the likeliest token after those before it, computed anew; a beam's result is at least
 * as likely (with no penalty, as the beam compares likelihoods). Hardly trained, pre- and post-norm,
 * padded. */
START_TEST(decoding)
{
    enum { N = 16, MOST = 10 };
    static const int32_t len[N] = {8, 3, 5, 8, 1, 6, 7, 2, 4, 8, 8, 5, 3, 6, 7, 2};
    et_encoder_decoder_config c = et_encoder_decoder_small(VOCABULARY);
    c.pre_norm = _i;
    et_encoder_decoder *m = model(c, 4);
    et_rng rng = et_rng_make(8, 3);
    int better = 0;

    for (int64_t i = 0; i < et_module_n_entries(&m->module); i++)
        if (et_module_entry(&m->module, i)->kind == ET_ENTRY_PARAMETER) {
            et_tensor *p = et_module_entry(&m->module, i)->tensor;
            if (p->ndim == 2) /* norms and biases stay 1 and 0: what a token says must matter */
                et_fill_normal(p, &rng, 0, 0.4);
        }
    et_module_eval(&m->module);
    et_scope *s = et_scope_open();
    et_no_grad_begin();
    et_tensor *source, *target, *lengths = et_from(ET_I32, ET_SHAPE(N), len);
    reversals(N, &rng, &source, &target);
    et_translate_options o = {.begin = BEGIN, .end = END, .max_length = MOST};
    et_tensor *greedy = et_encoder_decoder_translate(m, source, lengths, &o);
    o.beam = 5;
    et_tensor *beam = et_encoder_decoder_translate(m, source, lengths, &o);
    ck_assert_msg(greedy && beam, "%s", et_error_message());
    for (int64_t b = 0; b < N; b++) {
        const int32_t *g = (const int32_t *)et_data(greedy) + b * MOST,
                      *w = (const int32_t *)et_data(beam) + b * MOST;
        et_tensor *one = et_contiguous(et_slice(source, 0, b, b + 1, 1)),
                  *l = et_contiguous(et_slice(lengths, 0, b, b + 1, 1));
        et_tensor *memory = et_encoder_decoder_encode(m, one, l);
        int32_t given[MOST + 1] = {BEGIN};
        bool ended = false;
        for (int64_t t = 0; t < MOST; t++) {
            et_tensor *y = et_encoder_decoder_decode(m, memory, l,
                                                     et_from(ET_I32, ET_SHAPE(1, t + 1), given));
            et_tensor *best = et_argmax(et_select(y, 1, t), -1, false);
            ck_assert_int_eq(g[t], ended ? END : (int32_t)et_item(best));
            ended = ended || g[t] == END;
            given[t + 1] = g[t];
        }
        int64_t n_greedy, n_beam;
        const double p_greedy = log_likelihood(m, one, l, g, MOST, &n_greedy);
        const double p_beam = log_likelihood(m, one, l, w, MOST, &n_beam);
        better += p_beam > p_greedy + 1e-6;
        ck_assert_msg(p_beam >= p_greedy - 1e-4, "row %d: beam %.6f, greedy %.6f", (int)b, p_beam, p_greedy);
    }
    ck_assert_int_gt(better, 0); /* else the beam would show nothing */
    et_no_grad_end();
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

static bool translate_once(void *user)
{
    et_scope *s = et_scope_open();
    const et_translate_options o = {.begin = BEGIN, .end = END, .max_length = 3, .beam = 2};
    et_tensor *source = et_full(ET_I32, ET_SHAPE(1, 2), SYMBOL);
    et_tensor *y = et_encoder_decoder_translate(user, source, NULL, &o);

    et_scope_close(s);
    return y != NULL;
}

START_TEST(misuse)
{
    et_encoder_decoder_config c = et_encoder_decoder_small(VOCABULARY);
    et_encoder_decoder *m = model(c, 1);
    const et_translate_options far = {.begin = BEGIN, .end = VOCABULARY},
                               wide = {.begin = BEGIN, .end = END, .beam = 65};

    ck_assert_int_gt(alloc_sweep("translate", translate_once, m), 0);
    et_scope *s = et_scope_open();
    et_tensor *source = et_full(ET_I32, ET_SHAPE(1, 2), SYMBOL),
              *alien = et_full(ET_I32, ET_SHAPE(1, 2), VOCABULARY);
    ck_assert_ptr_null(et_encoder_decoder_translate(m, source, NULL, &far));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    ck_assert_ptr_null(et_encoder_decoder_translate(m, source, NULL, &wide));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    ck_assert_ptr_null(et_encoder_decoder_encode(m, alien, NULL));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    ck_assert_ptr_null(et_encoder_decoder_encode(m, et_full(ET_I32, ET_SHAPE(1, 65), SYMBOL), NULL));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    et_error_clear();
    et_tensor *flat = et_full(ET_I32, ET_SHAPE(2), SYMBOL);
    ck_assert_ptr_null(et_encoder_decoder_loss(m, source, NULL, flat, PAD, 0));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "targets must be [B, T], they have 1 dimension"));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    et_error_clear();
    ck_assert_ptr_null(et_encoder_decoder_loss(m, source, NULL, NULL, PAD, 0));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "an argument is NULL"));
    et_error_clear();
    et_scope_close(s);
    et_module_free(&m->module);
    c.heads = 5;
    ck_assert_ptr_null(et_encoder_decoder_new(NULL, NULL, &c, NULL));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "5 heads do not divide"));
    et_error_clear();
    c.width = 15;
    ck_assert_ptr_null(et_encoder_decoder_new(NULL, NULL, &c, NULL));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "a width of 15 is odd"));
    et_error_clear();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("encoder-decoder");
    TCase *tc = tcase_create("model"), *slow = tcase_create("task");

    tcase_add_test(tc, sizes);
    tcase_add_loop_test(tc, parity, 0, 2);
    tcase_add_loop_test(tc, decoding, 0, 2);
    tcase_add_test(tc, misuse);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    tcase_set_timeout(slow, 300);
    if (!suite_skips(1)) /* learning is the same code, thousands of times */
        tcase_add_test(slow, reversing);
    suite_add_tcase(suite, slow);
    return suite_run(suite);
}
