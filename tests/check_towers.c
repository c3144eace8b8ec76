/* BERT, RoBERTa and AST from files with the names and shapes of public checkpoints, against PyTorch
 * (tests/fixtures/towers, made by tests/oracle/towers.py; TOWERS names another folder of that form, one of
 * the base sizes say); and files that do not fit. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/ast.h"
#include "models/bert_pretrain.h"
#include "tensor/safetensors.h"
#include "tests/suite.h"
#include "tests/values.h"

static et_safetensors *expected;
static char folder[4096];

static const char *in_folder(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%.4000s/%s.safetensors", folder, name);
    return path;
}

static void begin(void)
{
    char path[4200];

    et_error_clear();
    if (getenv("TOWERS"))
        snprintf(folder, sizeof folder, "%s", getenv("TOWERS"));
    else
        suite_file(folder, sizeof folder, "fixtures/towers");
    expected = et_safetensors_open(in_folder(path, sizeof path, "expected"));
    ck_assert_msg(expected != NULL, "%s", et_error_message());
    values_begin();
}

static void end(void)
{
    values_end();
    et_safetensors_close(expected);
}

/* The tensor case/what of the fixture; NULL if there is none. */
static et_tensor *part(const char *name, const char *what)
{
    char full[200];

    snprintf(full, sizeof full, "%s/%s", name, what);
    if (!et_safetensors_find(expected, full))
        return NULL;
    et_tensor *t = et_safetensors_load(expected, full);
    ck_assert_msg(t != NULL, "%s", et_error_message());
    return t;
}

/* |x - y| against the largest |y|. */
static void close_to(const char *name, const char *what, const et_tensor *x)
{
    const et_tensor *y = part(name, what);
    double most = 0, worst = 0;

    ck_assert_msg(x && y, "%s/%s: %s", name, what, et_error_message());
    ck_assert_int_eq(x->numel, y->numel);
    const float *p = et_data_f32(et_contiguous((et_tensor *)x)), *q = et_data_f32(y);
    for (int64_t i = 0; i < y->numel; i++) {
        most = fmax(most, fabs(q[i]));
        worst = fmax(worst, fabs((double)p[i] - q[i]));
        ck_assert_msg(isfinite(p[i]), "%s/%s[%d]", name, what, (int)i);
    }
    if (getenv("TOWERS"))
        printf("%s/%s: %.2g of %.3g\n", name, what, worst / most, most);
    ck_assert_msg(worst < 1e-4 * most, "%s/%s is off by %g, the largest is %g", name, what, worst, most);
}

static void all_hidden(const char *name, et_tensor **hidden, int layers)
{
    char what[40];

    for (int i = 0; i <= layers; i++) {
        snprintf(what, sizeof what, "hidden/%d", i);
        close_to(name, what, hidden[i]);
    }
}

static et_bert_config bert_config(const char *name)
{
    const et_tensor *config = part(name, "config"), *eps = part(name, "eps");
    const int32_t *c = et_data(config);

    return (et_bert_config){.vocabulary = c[0], .width = c[1], .hidden = c[2], .layers = c[3], .heads = c[4],
                            .positions = c[5], .types = c[6], .roberta = c[7], .pad = c[8], .gelu_tanh = c[9],
                            .pooler = c[10], .eps = et_data_f64(eps)[0], .dropout = 0.1,
                            .attention_dropout = 0.1};
}

static et_ast_config ast_config(const char *name)
{
    const et_tensor *config = part(name, "config"), *eps = part(name, "eps");
    const int32_t *c = et_data(config);

    return (et_ast_config){.bands = c[0], .frames = c[1], .patch_bands = c[2], .patch_frames = c[3],
                           .step_bands = c[4], .step_frames = c[5], .width = c[6], .hidden = c[7],
                           .layers = c[8], .heads = c[9], .classes = c[10], .eps = et_data_f64(eps)[0]};
}

static const char *const text_cases[][2] = {{"bert", "bert"}, {"roberta", "roberta"}, {"bert-tanh", "bert"}};

START_TEST(text)
{
    const char *name = text_cases[_i][0];
    et_tensor *hidden[13];
    char path[4200];
    et_load_report r;

    if (!part(name, "config"))
        return; /* a case of the tiny models alone */
    et_bert_config c = bert_config(name);
    et_bert *m = et_bert_new(NULL, NULL, &c, NULL);
    ck_assert_msg(m != NULL, "%s", et_error_message());
    ck_assert_msg(et_bert_load(m, in_folder(path, sizeof path, text_cases[_i][1]), &r) == ET_OK, "%s",
                  et_error_message());
    ck_assert_int_eq(r.loaded, 7 + 16 * c.layers);
    ck_assert_int_eq(r.passed_over, c.roberta ? 0 : 8);
    et_load_report_free(&r);
    et_module_eval(&m->module);
    et_no_grad_begin();
    et_tensor *mask = part(name, "mask");
    et_tensor *y = et_bert_forward(m, part(name, "ids"), part(name, "types"), mask, hidden);
    all_hidden(name, hidden, c.layers);
    close_to(name, "pooled", et_bert_pool(m, y, mask, ET_BERT_POOLER));
    et_no_grad_end();
    et_module_free(&m->module);
}
END_TEST

/* Losses of pre-training, and every gradient where the fixture has them. */
START_TEST(pretraining)
{
    char path[4200], name[200];
    et_load_report r;
    et_bert_config c = bert_config("bert");
    et_bert_pretrain *m = et_bert_pretrain_new(NULL, NULL, &c, NULL);
    int seen = 0;

    ck_assert_msg(m != NULL, "%s", et_error_message());
    ck_assert_msg(et_bert_pretrain_load(m, in_folder(path, sizeof path, "bert"), &r) == ET_OK, "%s",
                  et_error_message());
    ck_assert_int_eq(r.loaded, 14 + 16 * c.layers);
    ck_assert_int_eq(r.passed_over, 0);
    et_load_report_free(&r);
    if (getenv("TOWERS"))
        ck_assert_int_eq(et_module_count(&m->module), 110106428);
    et_module_eval(&m->module);
    et_tensor *targets = part("bert", "targets"), *labels = part("bert", "labels");
    et_tensor *ids = part("bert", "ids"), *types = part("bert", "types"), *mask = part("bert", "mask");
    et_tensor *x = et_bert_forward(m->bert, ids, types, mask, NULL);
    close_to("bert", "masked_loss", et_bert_masked_loss(m, x, targets));
    close_to("bert", "next_loss", et_bert_next_loss(m, x, labels));
    if (!getenv("TOWERS")) {
        ck_assert_int_eq(et_backward(et_bert_pretrain_loss(m, ids, types, mask, targets, labels)), ET_OK);
        for (int64_t i = 0; i < et_module_n_entries(&m->module); i++) {
            const et_entry *e = et_module_entry(&m->module, i);
            const int64_t n = (int64_t)strlen(e->name);
            const bool norm = n > 17 && strncmp(e->name + n - 16, "LayerNorm.", 10) == 0;
            const bool shift = n > 15 && strncmp(e->name + n - 14, "LayerNorm.", 10) == 0;
            if (e->tied)
                continue;
            snprintf(name, sizeof name, "grad/%.*s%s", (int)(norm ? n - 6 : shift ? n - 4 : n), e->name,
                     norm ? "gamma" : shift ? "beta" : "");
            /* scores shifted by the same in all keys: no gradient but what rounding leaves */
            if (strstr(e->name, "key.bias"))
                continue;
            close_to("bert", name, et_grad_of(e->tensor));
            seen++;
        }
        ck_assert_int_eq(seen, 14 + 16 * c.layers - c.layers);
    }
    et_module_free(&m->module);
}
END_TEST

static const char *const sound_cases[][2] = {
    {"ast", "ast"}, {"ast-original", "ast-original"}, {"ast-short", "ast"}, {"ast-long", "ast"}};

START_TEST(sound)
{
    const char *name = sound_cases[_i][0];
    et_tensor *hidden[13];
    char path[4200];
    et_load_report r;

    if (!part(name, "config"))
        return;
    et_ast_config c = ast_config(name);
    et_ast *m = et_ast_new(NULL, NULL, &c, NULL);
    ck_assert_msg(m != NULL, "%s", et_error_message());
    ck_assert_msg(et_ast_load(m, in_folder(path, sizeof path, sound_cases[_i][1]), &r) == ET_OK, "%s",
                  et_error_message());
    ck_assert_int_eq(r.loaded + r.kept, 11 + 16 * c.layers);
    ck_assert_int_eq(r.kept, _i >= 2);
    ck_assert_int_eq(r.passed_over, _i == 1 ? 4 : _i >= 2);
    et_load_report_free(&r);
    et_module_eval(&m->module);
    et_no_grad_begin();
    et_tensor *y = et_ast_forward(m, part(name, "x"), hidden), *pooled = et_ast_pool(m, y);
    all_hidden(name, hidden, c.layers);
    close_to(name, "last", y);
    close_to(name, "pooled", pooled);
    close_to(name, "logits", et_ast_classify(m, pooled));
    et_no_grad_end();
    et_module_free(&m->module);
}
END_TEST

/* Files for other sizes are refused, say what does not fit, and change nothing. */
START_TEST(misfits)
{
    char path[4200];
    et_load_report r;

    if (getenv("TOWERS"))
        return;
    et_bert_config c = bert_config("bert");
    c.vocabulary = 21;
    c.layers = 3;
    et_bert *m = et_bert_new(NULL, NULL, &c, NULL);
    et_tensor *before = et_clone(m->word->weight), *norm = et_clone(m->norm->weight);
    ck_assert_int_eq(et_bert_load(m, in_folder(path, sizeof path, "bert"), &r), ET_ESHAPE);
    ck_assert_msg(strstr(et_error_message(),
                         "16 missing (encoder.layer.2.attention.self.query.weight, ...), 1 of another "
                         "shape (bert.embeddings.word_embeddings.weight: F32 [20, 8] in the file, expected "
                         "float32 [21, 8])"),
                  "%s", et_error_message());
    et_error_clear();
    ck_assert(r.missing.n == 16 && r.misshaped.n == 1 && r.unexpected.n == 0);
    et_load_report_free(&r);
    ck_assert(et_allclose(before, m->word->weight, 0, 0, false) &&
              et_allclose(norm, m->norm->weight, 0, 0, false));
    ck_assert_int_eq(et_bert_load(m, in_folder(path, sizeof path, "ast"), NULL), ET_EINVAL);
    et_error_clear();
    ck_assert_int_eq(et_bert_load(m, "no such file", NULL), ET_EIO);
    et_error_clear();
    ck_assert_int_eq(et_bert_load(NULL, path, NULL), ET_EINVAL);
    et_error_clear();
    et_module_free(&m->module);
    /* fewer layers than the file has: its others are unexpected */
    c = bert_config("bert");
    c.layers = 1;
    c.pooler = false;
    m = et_bert_new(NULL, NULL, &c, NULL);
    ck_assert_int_eq(et_bert_load(m, in_folder(path, sizeof path, "bert"), &r), ET_EINVAL);
    et_error_clear();
    ck_assert(r.unexpected.n == 16 && r.passed_over == 10);
    et_load_report_free(&r);
    et_module_free(&m->module);

    et_ast_config a = ast_config("ast");
    a.width = 16;
    et_ast *s = et_ast_new(NULL, NULL, &a, NULL);
    ck_assert_int_eq(et_ast_load(s, in_folder(path, sizeof path, "ast"), NULL), ET_ESHAPE);
    et_error_clear();
    ck_assert_int_eq(et_ast_load(s, "no such file", NULL), ET_EIO);
    et_error_clear();
    ck_assert_int_eq(et_ast_load(NULL, path, NULL), ET_EINVAL);
    et_error_clear();
    et_module_free(&s->module);
    /* a grid with other rows than the file's has no place in its table,
     * a model without a classifier passes it over */
    a = ast_config("ast");
    a.bands = 20;
    s = et_ast_new(NULL, NULL, &a, NULL);
    ck_assert_int_eq(et_ast_load(s, in_folder(path, sizeof path, "ast"), &r), ET_ESHAPE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "position_embeddings: F32 [1, 41, 8]"));
    et_error_clear();
    et_load_report_free(&r);
    et_module_free(&s->module);
    a = ast_config("ast");
    a.classes = 0;
    s = et_ast_new(NULL, NULL, &a, NULL);
    ck_assert_int_eq(et_ast_load(s, in_folder(path, sizeof path, "ast"), &r), ET_OK);
    ck_assert(r.passed_over == 4 && r.missing.n == 0);
    et_load_report_free(&r);
    ck_assert_int_eq(et_ast_load(s, in_folder(path, sizeof path, "bert"), NULL), ET_EINVAL);
    et_error_clear();
    et_module_free(&s->module);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("towers");
    TCase *tc = tcase_create("values");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, text, 0, 3);
    tcase_add_test(tc, pretraining);
    tcase_add_loop_test(tc, sound, 0, 4);
    tcase_add_test(tc, misfits);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
