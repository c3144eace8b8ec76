/* Two towers: sizes of all published configurations, freezing, bases, extra layers, recomputation, the task
 * S-XM, wrong use, allocation failures. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/two_tower.h"
#include "tests/captioned.h"
#include "tests/module_sweep.h"
#include "tests/suite.h"
#include "tests/values.h"

static et_two_tower *make(const et_two_tower_config *c)
{
    et_two_tower *m = et_two_tower_new(NULL, NULL, c, NULL);

    ck_assert_msg(m != NULL, "%s", et_error_message());
    return m;
}

/* --- sizes ----------------------------------------------------------------------------------- */

START_TEST(small_size)
{
    et_two_tower_config c = et_two_tower_small();
    et_two_tower *m = make(&c);

    ck_assert_int_eq(et_module_count(&m->text->module), 19744);
    ck_assert_int_eq(et_module_count(&m->audio->module), 20128);
    ck_assert_int_eq(et_module_count(&m->module), 40928);
    ck_assert_int_eq(et_module_count_trainable(&m->module), 40928 - 32 * 33);
    et_module_free(&m->module);
}
END_TEST

/* Parameters of a layer of width d, of both towers without layers, of heads to 128. */
static int64_t layer_size(int64_t d) { return 12 * d * d + 13 * d; }
static int64_t head_size(int64_t d) { return 2 * (128 * d + 128); }

static int64_t rest_size(int64_t d)
{
    return (30522 + 512 + 2 + 2) * d + d * d + d /* BERT */ + (256 + 1 + 2 + 1214 + 2) * d /* AST */;
}

/* Every row with twelve layers of width 12, and by the same sums at full size: 195 866 368 parameters and
 * what is added, of which as many are trained as the row says. */
START_TEST(published_sizes)
{
    const et_two_tower_row *row = et_two_tower_row_at(_i);
    et_two_tower_config c = et_two_tower_base();

    ck_assert_int_eq(et_two_tower_named(row->name, &c), ET_OK);
    ck_assert_int_eq(rest_size(768) + 24 * layer_size(768) + head_size(768), 195866368);
    for (int64_t d = 12; d <= 768; d += 756) {
        const int extras = row->extra_text + row->extra_audio;
        const int64_t total = rest_size(d) + (24 + extras) * layer_size(d) + head_size(d) +
                              (row->extra_audio ? 2 * d : 0);
        const int64_t trained = (row->train_text + row->train_audio + extras) * layer_size(d) + head_size(d) +
                                (row->extra_audio ? 2 * d : 0) + (row->train_audio ? 2 * d : 0);
        if (d == 768) {
            ck_assert_int_eq(trained, row->trainable);
            break;
        }
        c.text.width = c.audio.width = d;
        c.text.hidden = c.audio.hidden = 4 * d;
        et_two_tower *m = make(&c);
        ck_assert_int_eq(et_module_count(&m->module), total);
        ck_assert_int_eq(et_module_count_trainable(&m->module), trained);
        et_module_free(&m->module);
    }
}
END_TEST

START_TEST(rows)
{
    et_two_tower_config c = et_two_tower_base();

    ck_assert_int_eq(et_two_tower_named("model-9", &c), ET_OK);
    ck_assert(c.tau == 1 && c.train_text == 3 && c.train_audio == 0 && c.extra_text == 3 &&
              c.extra_audio == 3);
    ck_assert_int_eq(et_two_tower_named("zero-shot", &c), ET_OK);
    ck_assert(c.tau == 1.2 && c.train_text == 5 && c.extra_text == 0);
    c = et_two_tower_small(); /* smaller towers have fewer layers to train */
    ck_assert_int_eq(et_two_tower_named("model-5", &c), ET_OK);
    ck_assert(c.train_text == 2 && c.train_audio == 2);
    FAILS_STATUS(et_two_tower_named("model-11", &c), ET_EINVAL, "model-1 .. model-10 and zero-shot");
    ck_assert_ptr_null(et_two_tower_row_at(11));
    ck_assert_ptr_null(et_two_tower_row_at(-1));
}
END_TEST

/* Attention alone and its norm: 4 (d^2 + d) + 2 d, at 768 2 363 904. */
START_TEST(attention_only_size)
{
    et_two_tower_config c = et_two_tower_small();
    int64_t n[2];

    for (int k = 0; k < 2; k++) {
        c.extra_text = k;
        c.attention_only = true;
        et_two_tower *m = make(&c);
        n[k] = et_module_count(&m->module);
        et_module_free(&m->module);
    }
    ck_assert_int_eq(n[1] - n[0], 4 * 32 * 33 + 64);
    ck_assert_int_eq(4 * 768 * 769 + 2 * 768, 2363904);
}
END_TEST

/* --- running ----------------------------------------------------------------------------------- */

enum { B = 3, T = 6 };

static et_tensor *ids(void)
{
    static const int32_t v[B * T] = {2, 7, 9, 3, 0, 0, 2, 8, 3, 0, 0, 0, 2, 5, 6, 11, 4, 3};
    return et_from(ET_I32, ET_SHAPE(B, T), v);
}

static et_tensor *mask(void)
{
    static const uint8_t v[B * T] = {1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1};
    return et_from(ET_U8, ET_SHAPE(B, T), v);
}

static et_tensor *sounds(void)
{
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(B, 64, 16));

    for (int64_t i = 0; i < x->numel; i++)
        ((float *)et_data_mut(x))[i] = (float)sin(0.37 * (double)(i % 1000) + 0.01 * (double)i);
    return x;
}

/* The five kinds of towers that behave differently. */
static et_two_tower_config variant(int i)
{
    et_two_tower_config c = et_two_tower_small();

    if (i >= 1)
        c.train_text = c.train_audio = i == 1 ? 0 : 1;
    if (i == 3 || i == 4)
        c.extra_text = c.extra_audio = 2;
    c.attention_only = i == 4;
    if (i == 5) {
        c.train_text = c.train_audio = 0;
        c.extra_text = c.extra_audio = 1;
    }
    return c;
}
enum { VARIANTS = 6 };

static double length(et_tensor *f, int64_t i)
{
    double sum = 0;

    for (int64_t j = 0; j < f->shape[1]; j++)
        sum += pow(et_get(f, (const int64_t[]){i, j}), 2);
    return sqrt(sum);
}

START_TEST(unit_vectors)
{
    et_two_tower_config c = variant(_i);
    et_two_tower *m = make(&c);
    et_scope *s = et_scope_open();

    et_module_eval(&m->module);
    et_tensor *f = et_two_tower_text(m, ids(), mask()), *g = et_two_tower_audio(m, sounds());
    ck_assert_msg(f && g, "%s", et_error_message());
    ck_assert(f->ndim == 2 && f->shape[0] == B && f->shape[1] == 16 && g->shape[0] == B && g->shape[1] == 16);
    for (int i = 0; i < B; i++) {
        ck_assert_double_eq_tol(length(f, i), 1, 1e-5);
        ck_assert_double_eq_tol(length(g, i), 1, 1e-5);
    }
    /* What is behind a text's end has no influence. */
    int32_t other[B * T];
    memcpy(other, et_data(ids()), sizeof other);
    other[4] = 17;
    other[10] = 30;
    et_tensor *same = et_two_tower_text(m, et_from(ET_I32, ET_SHAPE(B, T), other), mask());
    ck_assert_double_lt(et_relative_error(f, same), 1e-6);
    /* The loss is that of nn/contrastive.h at exp(2). */
    double loss = et_item(et_two_tower_loss(m, f, g));
    double expected = et_item(et_clip_loss(et_mul_scalar(et_matmul_t(f, g, false, true), exp(2))));
    ck_assert_double_eq_tol(loss, expected, 1e-6);
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

/* Both towers by their definition: every token of every layer, then pooled, for every pooling. */
START_TEST(by_definition)
{
    et_two_tower_config c = variant(_i);

    for (int how = ET_BERT_CLS; how <= ET_BERT_MAX; how++) {
        c.pooling = (et_bert_pooling)how;
        et_two_tower *m = make(&c);
        et_module_eval(&m->module);
        et_scope *s = et_scope_open();
        et_tensor *keys = et_reshape(mask(), ET_SHAPE(B, 1, 1, T));
        et_tensor *x = et_bert_forward(m->text, ids(), NULL, mask(), NULL),
                  *y = et_ast_forward(m->audio, sounds(), NULL);
        if (m->text_extra) {
            x = et_transformer_forward(m->text_extra, x, keys, NULL);
            y = et_transformer_forward(m->audio_extra, y, NULL, NULL);
        }
        for (int i = 0; i < c.extra_text && c.attention_only; i++) {
            et_tensor *a = et_mha_forward(m->text_attn[i], x, NULL, &(et_mha_call){.mask = keys});
            x = et_layer_norm_layer_forward(m->text_attn_norm[i], et_add(x, a));
            a = et_layer_norm_layer_forward(m->audio_attn_norm[i], y);
            y = et_add(y, et_mha_forward(m->audio_attn[i], a, NULL, NULL));
        }
        x = et_projection_forward(m->text_head, et_bert_pool(m->text, x, mask(), c.pooling));
        y = et_ast_pool(m->audio, m->audio_norm ? et_layer_norm_layer_forward(m->audio_norm, y) : y);
        y = et_projection_forward(m->audio_head, y);
        et_tensor *f = et_two_tower_text(m, ids(), mask()), *g = et_two_tower_audio(m, sounds());
        ck_assert_msg(x && y && f && g, "%s", et_error_message());
        ck_assert_double_lt(et_relative_error(f, et_l2_normalize(x, 1e-12)), 1e-5);
        ck_assert_double_lt(et_relative_error(g, et_l2_normalize(y, 1e-12)), 1e-5);
        et_scope_close(s);
        et_module_free(&m->module);
    }
}
END_TEST

/* Base and rest are the whole; gradients reach what is trained, all of it, and nothing else. */
START_TEST(bases)
{
    et_two_tower_config c = variant(_i);
    et_two_tower *m = make(&c);
    const char *unreached[64];
    et_scope *s = et_scope_open();

    ck_assert_int_eq(et_two_tower_text_frozen(m), _i > 0);
    ck_assert_int_eq(et_two_tower_audio_frozen(m), _i > 0);
    et_tensor *a = et_two_tower_text_base(m, ids(), mask()), *b = et_two_tower_audio_base(m, sounds());
    ck_assert_msg(a && b, "%s", et_error_message());
    ck_assert_int_eq(a->ndim, _i == 1 ? 2 : 3);
    ck_assert_int_eq(b->ndim, _i == 1 ? 2 : 3);
    ck_assert_int_eq(a->requires_grad, _i == 0);
    ck_assert_int_eq(b->requires_grad, _i == 0);
    et_tensor *f = et_two_tower_text_rest(m, a, mask()), *g = et_two_tower_audio_rest(m, b);
    ck_assert_double_lt(et_relative_error(f, et_two_tower_text(m, ids(), mask())), 1e-6);
    ck_assert_double_lt(et_relative_error(g, et_two_tower_audio(m, sounds())), 1e-6);
    WORKS(et_backward(et_two_tower_loss(m, f, g)));
    int64_t n = et_module_unreached(&m->module, unreached, 64);
    ck_assert_int_eq(n, _i == 1 ? 0 : 2); /* the last trained layers, read in front, make no keys */
    for (int64_t i = 0; i < n; i++) /* no result depends on the bias of keys */
        ck_assert_msg(strstr(unreached[i], "key.bias") || strstr(unreached[i], "attn.k.bias"),
                      "no gradient for %s", unreached[i]);
    for (int64_t i = 0; i < et_module_n_entries(&m->module); i++) {
        const et_entry *e = et_module_entry(&m->module, i);
        const bool trained = strstr(e->name, "head") || strstr(e->name, "extra") ||
                             strstr(e->name, "audio_norm") || (_i == 0 && !strstr(e->name, "pooler")) ||
                             (_i >= 2 && _i <= 4 && ((strstr(e->name, "encoder.layer.1.")) ||
                                                     !strncmp(e->name, "audio.layernorm", 15)));
        ck_assert_msg(e->tensor->requires_grad == trained, "%s is %strained", e->name, trained ? "not " : "");
    }
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

/* Frozen layers stay in evaluation mode: the base is the same in training, dropout or not. */
START_TEST(frozen_bases_stay)
{
    et_two_tower_config c = variant(2);
    c.text.dropout = c.text.attention_dropout = 0.5;
    et_two_tower *m = make(&c);
    et_scope *s = et_scope_open();

    et_module_train(&m->module);
    et_tensor *a = et_two_tower_text_base(m, ids(), mask()), *b = et_two_tower_text_base(m, ids(), mask());
    ck_assert_double_eq(et_relative_error(a, b), 0);
    a = et_two_tower_text_rest(m, a, mask());
    b = et_two_tower_text_rest(m, b, mask());
    ck_assert_double_gt(et_relative_error(a, b), 1e-3); /* the trained layer drops */
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

/* Recomputed layers give the same loss and gradients. */
START_TEST(checkpointed)
{
    et_two_tower_config c = variant(3);
    c.train_audio = ET_TWO_TOWER_ALL;
    c.checkpoint = true;
    et_two_tower *m = make(&c);
    double loss[2];
    et_transformer *trained[] = {m->text->encoder, m->audio->encoder, m->text_extra, m->audio_extra};
    et_tensor *gradient[2];
    et_scope *all = et_scope_open_root();

    for (int k = 0; k < 2; k++) {
        et_scope *s = et_scope_open_root();
        for (int i = 0; i < 4; i++) {
            ck_assert(trained[i]->checkpoint);
            trained[i]->checkpoint = k == 0;
        }
        et_zero_grad(&m->module);
        et_tensor *l = et_two_tower_loss(m, et_two_tower_text(m, ids(), mask()),
                                         et_two_tower_audio(m, sounds()));
        loss[k] = et_item(l);
        WORKS(et_backward(l));
        gradient[k] = et_own(et_clone(et_grad_of(et_module_find(&m->module, "audio.embeddings.cls_token"))));
        et_scope_close(s);
        for (int i = 0; i < 4; i++)
            trained[i]->checkpoint = true;
    }
    ck_assert_double_eq(loss[0], loss[1]);
    ck_assert_double_lt(et_relative_error(gradient[0], gradient[1]), 1e-5);
    et_free(gradient[0]);
    et_free(gradient[1]);
    et_scope_close(all);
    et_module_free(&m->module);
}
END_TEST

START_TEST(wrong_use)
{
    et_two_tower_config bad[7];

    for (int i = 0; i < 7; i++)
        bad[i] = et_two_tower_small();
    bad[0].train_text = 3;
    bad[1].train_audio = -2;
    bad[2].extra_text = ET_TWO_TOWER_EXTRA + 1;
    bad[3].embedding = 0;
    bad[4].tau = NAN;
    bad[5].text.layers = 0;
    bad[6].audio.heads = 3;
    for (int i = 0; i < 7; i++)
        FAILS(et_two_tower_new(NULL, NULL, &bad[i], NULL), ET_EINVAL, "");
    FAILS(et_two_tower_new(NULL, NULL, NULL, NULL), ET_EINVAL, "no configuration");
    et_two_tower_config c = et_two_tower_small();
    et_two_tower *m = make(&c);
    et_scope *s = et_scope_open();
    et_tensor *ids = et_zeros(ET_I32, ET_SHAPE(2, 6));
    FAILS(et_two_tower_audio(m, et_zeros(ET_F32, ET_SHAPE(2, 64, 15))), ET_ESHAPE, "spectrograms are");
    FAILS(et_two_tower_text(m, et_zeros(ET_I32, ET_SHAPE(2, 15)), NULL), ET_ESHAPE, "ids are [2, 15]");
    FAILS(et_two_tower_text(m, ids, et_ones(ET_U8, ET_SHAPE(2, 5))), ET_ESHAPE, "mask must be [B, T], as");
    FAILS(et_two_tower_text(m, ids, et_ones(ET_U8, ET_SHAPE(2, 6, 1))), ET_ESHAPE, "mask must be [B, T], as");
    FAILS(et_two_tower_text(NULL, NULL, NULL), ET_EINVAL, "two towers, texts: an argument is NULL");
    FAILS(et_two_tower_audio(m, NULL), ET_EINVAL, "an argument is NULL");
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

static bool build_and_run(et_module **out)
{
    et_two_tower_config c = variant(3);

    c.text.layers = c.audio.layers = 1;
    c.extra_text = c.extra_audio = 1;
    et_two_tower *m = et_two_tower_new(NULL, NULL, &c, NULL);
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(2, 64, 16)), *t = et_zeros(ET_I32, ET_SHAPE(2, 3));
    et_tensor *loss = m ? et_two_tower_loss(m, et_two_tower_text(m, t, NULL), et_two_tower_audio(m, x))
                        : NULL;
    *out = m ? &m->module : NULL;
    return loss && !et_backward(loss);
}

START_TEST(refused_memory) { module_sweep(build_and_run, 100); }
END_TEST

/* --- S-XM ------------------------------------------------------------------------------------------ */

static et_module *make_small(int32_t vocabulary, et_rng *rng)
{
    et_two_tower_config c = et_two_tower_small();

    c.text.vocabulary = vocabulary;
    et_two_tower *m = et_two_tower_new(NULL, NULL, &c, rng);
    return m ? &m->module : NULL;
}

static et_tensor *text_of(const et_module *m, et_tensor *ids, et_tensor *mask)
{
    return et_two_tower_text((const et_two_tower *)m, ids, mask);
}

static et_tensor *audio_of(const et_module *m, et_tensor *x)
{
    return et_two_tower_audio((const et_two_tower *)m, x);
}

static et_tensor *loss_of(const et_module *m, et_tensor *f, et_tensor *g)
{
    return et_two_tower_loss((const et_two_tower *)m, f, g);
}

/* 400 steps of 32; at least R@10 of 0.80 among 128. */
START_TEST(learns_s_xm)
{
    const captioned_model m = {make_small, text_of, audio_of, loss_of, 14};

    ck_assert_double_ge(captioned_learn(&m, 400, 1).r_at_10, 0.8);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("two_tower");
    TCase *sizes = tcase_create("sizes"), *runs = tcase_create("runs"), *learning = tcase_create("learning");

    tcase_add_checked_fixture(sizes, et_error_clear, NULL);
    tcase_add_test(sizes, small_size);
    tcase_add_loop_test(sizes, published_sizes, 0, 11);
    tcase_add_test(sizes, rows);
    tcase_add_test(sizes, attention_only_size);
    suite_add_tcase(s, sizes);
    tcase_add_checked_fixture(runs, et_error_clear, NULL);
    tcase_add_loop_test(runs, unit_vectors, 0, VARIANTS);
    tcase_add_loop_test(runs, by_definition, 0, VARIANTS);
    tcase_add_loop_test(runs, bases, 0, VARIANTS);
    tcase_add_test(runs, frozen_bases_stay);
    tcase_add_test(runs, checkpointed);
    tcase_add_test(runs, wrong_use);
    tcase_add_test(runs, refused_memory);
    suite_add_tcase(s, runs);
    tcase_add_checked_fixture(learning, et_error_clear, NULL);
    tcase_set_timeout(learning, 240);
    if (!getenv("ETUDE_BRIEF"))
        tcase_add_test(learning, learns_s_xm);
    suite_add_tcase(s, learning);
    return suite_run(s);
}
