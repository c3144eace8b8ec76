/* CLAP and MuLan: published numbers of parameters and names; towers from files with the names of public
 * checkpoints against PyTorch (tests/fixtures/clap, made by tests/oracle/clap.py; CLAP names another folder
 * of that form, one of the papers' sizes say); wrong use, allocation failures. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/csv.h"
#include "models/mulan.h"
#include "models/mulan_compact.h"
#include "tensor/safetensors.h"
#include "tests/alloc_sweep.h"
#include "tests/captioned.h"
#include "tests/little_clap.h"
#include "tests/suite.h"

/* --- sizes and names ---------------------------------------------------------------------------------- */

static int64_t freed(et_module *m)
{
    ck_assert_msg(m != NULL, "%s", et_error_message());
    const int64_t n = et_module_count(m);
    et_module_free(m);
    return n;
}

static int64_t clap_count(et_clap_config c)
{
    et_clap *m = et_clap_new(NULL, NULL, &c, NULL);

    return freed(m ? &m->module : NULL);
}

static int64_t htsat_count(et_htsat_config c, int64_t classes)
{
    c.classes = classes;
    et_htsat *m = et_htsat_new(NULL, NULL, &c, NULL);
    return freed(m ? &m->module : NULL);
}

static int64_t resnet_count(et_resnet_config c)
{
    et_resnet *m = et_resnet_new(NULL, NULL, &c, NULL);

    return freed(m ? &m->module : NULL);
}

START_TEST(small_sizes)
{
    et_mulan_config c = et_mulan_small();
    et_mulan *m = et_mulan_new(NULL, NULL, &c, NULL);

    ck_assert_int_eq(resnet_count(c.resnet), 127608);
    ck_assert_int_eq(freed(m ? &m->module : NULL), 151993);
    ck_assert_int_eq(clap_count(et_clap_small()), 45809);
    ck_assert_int_eq(resnet_count(et_resnet_50(1, 0)), 23501760);
    ck_assert_int_eq(htsat_count(et_htsat_tiny(), 0), 27534488);
}
END_TEST

START_TEST(sizes)
{
    if (suite_skips(1))
        return;
    et_clap_config c = et_clap_tiny();
    et_cnn14_config cnn = et_cnn14_base();
    et_mulan_compact_config compact = et_mulan_compact();

    ck_assert_int_eq(htsat_count(et_htsat_tiny(), 527), 30241687);
    ck_assert_int_eq(htsat_count(et_htsat_base(), 527), 71341079);
    ck_assert_int_eq(resnet_count(et_resnet_50(3, 1000)), 25557032);
    et_cnn14 *m = et_cnn14_new(NULL, NULL, &cnn, NULL);
    ck_assert_int_eq(freed(m ? &m->module : NULL), 80753615);
    ck_assert_int_eq(clap_count(c), 153492890);
    et_clap_complete(&c);
    ck_assert_int_eq(clap_count(c), 157250713);
    c = et_clap_base();
    ck_assert_int_eq(clap_count(c), 193913882);
    et_clap_complete(&c);
    ck_assert_int_eq(clap_count(c), 198481177);
    ck_assert_int_eq(clap_count(et_clap_microsoft()), 195220688);
    et_mulan_compact_model *r = et_mulan_compact_new(NULL, NULL, &compact, NULL);
    ck_assert_int_eq(et_module_count(&r->audio->module), 19029768);
    ck_assert_int_eq(et_module_count(&r->text->module), 44307200);
    ck_assert_int_eq(freed(&r->module), 63468297);
}
END_TEST

/* tests/fixtures/clap/names.csv: name and shape ("96x1x4x4", "scalar")
 * of every tensor of the published CLAP. */
START_TEST(names)
{
    char path[4096], shape[80];

    if (suite_skips(2))
        return;
    et_csv *table = et_csv_read(suite_file(path, sizeof path, "fixtures/clap/names.csv"), NULL);
    ck_assert_msg(table != NULL, "%s", et_error_message());
    et_clap_config c = et_clap_tiny();
    et_clap *m = et_clap_new(NULL, NULL, &c, NULL);
    int64_t held = 0;
    ck_assert_msg(m != NULL, "%s", et_error_message());
    for (int64_t i = 0; i < et_csv_rows(table); i++) {
        const et_tensor *t = et_module_find(&m->module, et_csv_text(table, i, 0));
        ck_assert_msg(t != NULL, "there is no %s", et_csv_text(table, i, 0));
        snprintf(shape, sizeof shape, "scalar");
        for (int d = 0, at = 0; d < t->ndim; d++)
            at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%lld", d ? "x" : "",
                           (long long)t->shape[d]);
        ck_assert_str_eq(shape, et_csv_text(table, i, 1));
    }
    for (int64_t i = 0; i < et_module_n_entries(&m->module); i++)
        held += et_module_entry(&m->module, i)->kind != ET_ENTRY_CONSTANT;
    ck_assert_int_eq(held, et_csv_rows(table));
    et_csv_free(table);
    et_module_free(&m->module);
}
END_TEST

/* --- PyTorch ------------------------------------------------------------------------------------------ */

typedef struct pair_model {
    et_module *module;
    et_clap *clap;
    et_mulan *mulan;
    et_mulan_compact_model *compact;
} pair_model;

typedef struct test_case {
    const char *name, *weights;
    bool base;
} test_case;

static const test_case cases[] = {
    {"clap-htsat", "clap-htsat", true},     {"clap-fusion", "clap-fusion", true},
    {"clap-cnn14", "clap-cnn14", true},     {"clap-cnn14-train", "clap-cnn14", false},
    {"clap-microsoft", "clap-microsoft", true}, {"mulan-resnet", "mulan-resnet", true},
    {"mulan-resnet-train", "mulan-resnet", false}, {"mulan-ast", "mulan-ast", true},
    {"mulan-compact", "mulan-compact", true}, {"clap-htsat-base", "clap-htsat-base", true},
};

static et_mulan_config mulan_config(const char *name, bool base)
{
    et_mulan_config c = strcmp(name, "mulan-ast") == 0 ? et_mulan_ast() : et_mulan_resnet50();

    if (!base) {
        c.text = little_text(false);
        c.resnet = (et_resnet_config){.channels = 1, .width = 2, .blocks = {1, 2, 1, 1}};
        c.ast = (et_ast_config){.bands = 11, .frames = 14, .patch_bands = 4, .patch_frames = 4,
                                .step_bands = 3, .step_frames = 3, .width = 8, .hidden = 12, .layers = 2,
                                .heads = 2, .eps = 1e-12};
        c.latent = 5;
    }
    c.text.dropout = c.text.attention_dropout = c.ast.dropout = c.ast.attention_dropout = 0;
    return c;
}

static pair_model make(const char *name, bool base)
{
    pair_model m = {0};

    if (strncmp(name, "clap", 4) == 0) {
        et_clap_config c = clap_config(name, base);
        m.clap = et_clap_new(NULL, NULL, &c, NULL);
        m.module = m.clap ? &m.clap->module : NULL;
    } else if (strcmp(name, "mulan-compact") == 0) {
        et_mulan_compact_config c = et_mulan_compact();
        if (!base)
            c = (et_mulan_compact_config){.width = 8, .layers = 2, .heads = 2, .head_width = 4, .hidden = 6,
                                          .patch = 4, .offsets = 5, .vocabulary = 12, .positions = 9,
                                          .latent = 6, .loss = ET_CONTRASTIVE_DECOUPLED};
        m.compact = et_mulan_compact_new(NULL, NULL, &c, NULL);
        m.module = m.compact ? &m.compact->module : NULL;
    } else {
        et_mulan_config c = mulan_config(name, base);
        m.mulan = et_mulan_new(NULL, NULL, &c, NULL);
        m.module = m.mulan ? &m.mulan->module : NULL;
    }
    ck_assert_msg(m.module != NULL, "%s", et_error_message());
    return m;
}

static et_tensor *embed_text(const pair_model *m, et_tensor *ids, et_tensor *mask)
{
    return m->clap ? et_clap_text(m->clap, ids, mask) : m->mulan ? et_mulan_text(m->mulan, ids, mask)
                                                                 : et_mulan_compact_text(m->compact, ids);
}

static et_tensor *embed_audio(const pair_model *m, et_tensor *x, et_tensor *longer)
{
    return m->clap ? et_clap_audio(m->clap, x, longer) : m->mulan ? et_mulan_audio(m->mulan, x)
                                                                  : et_mulan_compact_audio(m->compact, x);
}

static et_tensor *pair_loss(const pair_model *m, et_tensor *f, et_tensor *g)
{
    return m->clap ? et_clap_pair_loss(m->clap, f, g) : m->mulan ? et_mulan_pair_loss(m->mulan, f, g)
                                                                 : et_mulan_compact_loss(m->compact, f, g);
}

/* Tensor case/what of the fixture, in float64 where it is real; NULL if there is none. */
static et_tensor *part(et_safetensors *f, const char *name, const char *what, et_dtype dtype)
{
    char full[240];

    snprintf(full, sizeof full, "%s/%s", name, what);
    if (!et_safetensors_find(f, full))
        return NULL;
    et_tensor *t = et_safetensors_load(f, full);
    ck_assert_msg(t != NULL, "%s", et_error_message());
    return t->dtype == ET_F32 || t->dtype == ET_F64 ? et_to(t, dtype) : t;
}

/* |got - want| relative to |want|. */
static void close_to(const char *name, const char *what, const et_tensor *got, const et_tensor *want,
                     double tol)
{
    double difference = 0, norm = 0;

    ck_assert_msg(got && want && got->numel == want->numel, "%s/%s: %s", name, what, et_error_message());
    for (int64_t i = 0; i < want->numel; i++) {
        const double g = got->dtype == ET_F64 ? et_data_f64(got)[i] : (double)et_data_f32(got)[i];
        const double w = want->dtype == ET_F64 ? et_data_f64(want)[i] : (double)et_data_f32(want)[i];
        difference += (g - w) * (g - w);
        norm += w * w;
    }
    if (getenv("CLAP"))
        printf("%s/%s: %.2g\n", name, what, sqrt(difference / norm));
    ck_assert_msg(sqrt(difference) <= tol * sqrt(norm) + 1e-9, "%s/%s: relative error %.3g", name, what,
                  sqrt(difference / norm));
}

/* Small models in float64, with gradients; large ones as they are used, in float32. */
START_TEST(parity)
{
    const test_case *t = &cases[_i];
    const bool base = getenv("CLAP") != NULL;
    const et_dtype dtype = base ? ET_F32 : ET_F64;
    char folder[4096], path[4200], what[200];

    if (base)
        snprintf(folder, sizeof folder, "%s", getenv("CLAP"));
    else
        suite_file(folder, sizeof folder, "fixtures/clap");
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    et_safetensors *f = et_safetensors_open(path);
    ck_assert_msg(f != NULL, "%s", et_error_message());
    et_scope *s = et_scope_open();
    et_tensor *x = part(f, t->name, "x", dtype);
    if (!x) { /* a case of the other sizes */
        ck_assert(base || _i == sizeof cases / sizeof *cases - 1);
        et_scope_close(s);
        et_safetensors_close(f);
        return;
    }
    pair_model m = make(t->name, base);
    const et_load_options options = {.rewrite = true};
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, t->weights);
    ck_assert_msg(et_module_load(m.module, path, &options, NULL) == ET_OK, "%s", et_error_message());
    ck_assert_int_eq(et_module_to(m.module, dtype), ET_OK);
    if (strstr(t->name, "-train"))
        et_module_train(m.module);
    else
        et_module_eval(m.module);
    if (base)
        et_no_grad_begin();
    et_tensor *text = embed_text(&m, part(f, t->name, "ids", dtype), part(f, t->name, "mask", dtype));
    close_to(t->name, "text", text, part(f, t->name, "text", dtype), base ? 1e-4 : 1e-9);
    et_tensor *audio = embed_audio(&m, x, part(f, t->name, "longer", dtype));
    close_to(t->name, "audio", audio, part(f, t->name, "audio", dtype), base ? 1e-4 : 1e-9);
    et_tensor *loss = pair_loss(&m, text, audio);
    close_to(t->name, "loss", loss, part(f, t->name, "loss", dtype), base ? 1e-4 : 1e-9);
    int checked = 0;
    ck_assert(base || et_backward(loss) == ET_OK);
    for (int64_t i = 0; !base && i < et_module_n_entries(m.module); i++) {
        const et_entry *e = et_module_entry(m.module, i);
        snprintf(what, sizeof what, "grad/%s", e->name);
        et_tensor *g = e->kind == ET_ENTRY_PARAMETER ? part(f, t->name, what, dtype) : NULL;
        if (g && !et_grad_of(e->tensor)) { /* softmax does not see the bias of keys */
            ck_assert_msg(strstr(e->name, "key.bias"), "%s/%s: no gradient", t->name, e->name);
            close_to(t->name, e->name, et_zeros(dtype, g->ndim, g->shape), g, 1e-6);
        } else if (g) {
            close_to(t->name, e->name, et_grad_of(e->tensor), g, 1e-6);
            checked++;
        }
    }
    ck_assert(base || !part(f, t->name, "grad/text_projection.bias", dtype) || checked > 40);
    if (base)
        et_no_grad_end();
    et_scope_close(s);
    et_safetensors_close(f);
    et_module_free(m.module);
}
END_TEST

/* --- S-XM ------------------------------------------------------------------------------------------ */

static et_module *make_clap(int32_t vocabulary, et_rng *rng)
{
    et_clap_config c = et_clap_small();

    c.text.vocabulary = vocabulary;
    et_clap *m = et_clap_new(NULL, NULL, &c, rng);
    return m ? &m->module : NULL;
}

static et_module *make_mulan(int32_t vocabulary, et_rng *rng)
{
    et_mulan_config c = et_mulan_small();

    c.text.vocabulary = vocabulary;
    et_mulan *m = et_mulan_new(NULL, NULL, &c, rng);
    return m ? &m->module : NULL;
}

static et_tensor *clap_text(const et_module *m, et_tensor *ids, et_tensor *mask)
{
    return et_clap_text((const et_clap *)m, ids, mask);
}

static et_tensor *clap_audio(const et_module *m, et_tensor *x)
{
    return et_clap_audio((const et_clap *)m, x, NULL);
}

static et_tensor *clap_loss(const et_module *m, et_tensor *f, et_tensor *g)
{
    return et_clap_pair_loss((const et_clap *)m, f, g);
}

static et_tensor *mulan_text(const et_module *m, et_tensor *ids, et_tensor *mask)
{
    return et_mulan_text((const et_mulan *)m, ids, mask);
}

static et_tensor *mulan_audio(const et_module *m, et_tensor *x)
{
    return et_mulan_audio((const et_mulan *)m, x);
}

static et_tensor *mulan_loss(const et_module *m, et_tensor *f, et_tensor *g)
{
    return et_mulan_pair_loss((const et_mulan *)m, f, g);
}

/* 300 steps. One reference run each gave R@10 0.66 (CLAP) and 1.00 (MuLan); seeds differ. */
START_TEST(learns_s_xm)
{
    static const captioned_model models[] = {{make_clap, clap_text, clap_audio, clap_loss, 14},
                                             {make_mulan, mulan_text, mulan_audio, mulan_loss, 14}};
    static const double least[] = {0.60, 0.90};

    if (suite_skips(1))
        return;
    const et_retrieval_report r = captioned_learn(&models[_i], 300, getenv("S_XM_SEED")
                                                  ? (uint64_t)atoi(getenv("S_XM_SEED")) : 1);
    ck_assert_double_ge(r.r_at_10, least[_i]);
}
END_TEST

/* --- wrong use ------------------------------------------------------------------------------------- */

static void refused(const void *result, et_status status, const char *words)
{
    ck_assert_ptr_null(result);
    ck_assert_msg(et_error_status() == status && strstr(et_error_message(), words), "%s", et_error_message());
    et_error_clear();
}

START_TEST(misuse)
{
    pair_model m = make("clap-fusion", false), r = make("mulan-resnet", false),
               k = make("mulan-compact", false);
    et_htsat_config h = m.clap->config.htsat;
    et_clap_config c = m.clap->config;
    et_mulan_config mu = r.mulan->config;
    et_mulan_compact_config kc = k.compact->config;
    et_cnn14_config cnn = {.bands = 4, .blocks = 9, .embedding = 2};
    et_resnet_config rc = {.channels = 1, .width = 2, .blocks = {1, 1, 1, 0}};

    et_module_eval(m.module);
    et_scope *s = et_scope_open();
    et_tensor *flags = et_zeros(ET_U8, ET_SHAPE(2));
    refused(et_htsat_forward(m.clap->htsat, et_zeros(ET_F32, ET_SHAPE(2, 64, 16)), NULL), ET_ESHAPE,
            "expected [B, 4, at most 64, 16]");
    refused(et_htsat_forward(m.clap->htsat, et_zeros(ET_F32, ET_SHAPE(2, 4, 65, 16)), NULL), ET_ESHAPE,
            "at most 64");
    refused(et_htsat_forward(m.clap->htsat, et_zeros(ET_F32, ET_SHAPE(3, 4, 64, 16)), flags), ET_EINVAL,
            "uint8 [B]");
    ck_assert_ptr_nonnull(et_htsat_forward(m.clap->htsat, et_zeros(ET_F32, ET_SHAPE(2, 4, 50, 16)), flags));
    refused(et_clap_text(m.clap, et_zeros(ET_I32, ET_SHAPE(1, 10)), NULL), ET_ESHAPE, "bert");
    refused(et_clap_audio(m.clap, NULL, NULL), ET_EINVAL, "clap");
    refused(et_mulan_audio(r.mulan, et_zeros(ET_F32, ET_SHAPE(2, 3))), ET_ESHAPE, "");
    refused(et_mulan_compact_audio(k.compact, et_zeros(ET_F32, ET_SHAPE(2, 3, 9))), ET_ESHAPE,
            "at least 4 each");
    refused(et_mulan_compact_text(k.compact, et_zeros(ET_I32, ET_SHAPE(1, 10))), ET_ESHAPE, "at most 9");
    refused(et_mulan_compact_text(k.compact, et_zeros(ET_F32, ET_SHAPE(1, 4))), ET_EDTYPE, "int32");
    refused(et_mulan_pair_loss(r.mulan, et_zeros(ET_F32, ET_SHAPE(2, 5)), et_zeros(ET_F32, ET_SHAPE(3, 5))),
            ET_ESHAPE, "square");
    et_scope_close(s);

    h.window = 3;
    refused(et_htsat_new(NULL, NULL, &h, NULL), ET_EINVAL, "sizes do not fit");
    h.window = 4;
    h.bands = 12;
    refused(et_htsat_new(NULL, NULL, &h, NULL), ET_EINVAL, "sizes do not fit");
    h.bands = 16;
    h.heads[0] = 3;
    refused(et_htsat_new(NULL, NULL, &h, NULL), ET_EINVAL, "3");
    refused(et_htsat_new(NULL, NULL, NULL, NULL), ET_EINVAL, "no configuration");
    refused(et_cnn14_new(NULL, NULL, &cnn, NULL), ET_EINVAL, "out of range");
    refused(et_resnet_new(NULL, NULL, &rc, NULL), ET_EINVAL, "below 1");
    c.text.pooler = false;
    refused(et_clap_new(NULL, NULL, &c, NULL), ET_EINVAL, "pooler");
    mu.temperature = 0;
    refused(et_mulan_new(NULL, NULL, &mu, NULL), ET_EINVAL, "temperature");
    kc.width = 6;
    refused(et_mulan_compact_new(NULL, NULL, &kc, NULL), ET_EINVAL, "out of range");
    et_module_free(m.module);
    et_module_free(r.module);
    et_module_free(k.module);
}
END_TEST

/* Training drops a quarter of the patches and nothing breaks; evaluation is the same each time. */
START_TEST(patch_dropout)
{
    et_mulan_compact_config c = {.width = 8, .layers = 1, .heads = 2, .head_width = 4, .hidden = 6,
                                 .patch = 2, .offsets = 5, .vocabulary = 12, .positions = 9, .latent = 6,
                                 .patch_dropout = 0.25};
    et_rng rng = et_rng_make(3, 0);
    et_mulan_compact_model *m = et_mulan_compact_new(NULL, NULL, &c, &rng);
    et_scope *s = et_scope_open();
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(2, 6, 8));

    ck_assert_msg(m != NULL, "%s", et_error_message());
    m->rng = &rng;
    et_fill_normal(x, &rng, 0, 1);
    et_tensor *a = et_mulan_compact_audio(m, x), *b = et_mulan_compact_audio(m, x);
    ck_assert_msg(a && b, "%s", et_error_message());
    ck_assert(!et_allclose(a, b, 1e-4, 1e-4, false));
    ck_assert_int_eq(et_backward(et_sum(et_mul(a, b), 0, NULL, false)), ET_OK);
    et_module_eval(&m->module);
    a = et_mulan_compact_audio(m, x);
    ck_assert(et_allclose(a, et_mulan_compact_audio(m, x), 0, 0, false));
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

static bool build_and_run(void *user)
{
    const char *name = user;
    const bool clap = strncmp(name, "clap", 4) == 0;
    et_scope *s = et_scope_open();
    pair_model m = {0};
    et_clap_config c = clap_config(name, false);
    et_mulan_config mu = mulan_config(name, false);
    bool ok;

    if (clap) {
        m.clap = et_clap_new(NULL, NULL, &c, NULL);
        m.module = m.clap ? &m.clap->module : NULL;
    } else {
        m.mulan = et_mulan_new(NULL, NULL, &mu, NULL);
        m.module = m.mulan ? &m.mulan->module : NULL;
    }
    if (m.module)
        et_module_eval(m.module);
    et_tensor *x = clap ? et_ones(ET_F32, ET_SHAPE(1, 4, 40, 16)) : et_ones(ET_F32, ET_SHAPE(1, 30, 20));
    ok = m.module && embed_audio(&m, x, clap ? et_ones(ET_U8, ET_SHAPE(1)) : NULL);
    if (s)
        et_scope_close(s);
    if (m.module)
        et_module_free(m.module);
    return ok;
}

START_TEST(allocations)
{
    static const char *const names_of[] = {"clap-fusion", "mulan-resnet"};

    ck_assert_int_gt(alloc_sweep(names_of[_i], build_and_run, (void *)names_of[_i]), 60);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clap");
    TCase *tc = tcase_create("models"), *towers = tcase_create("towers");

    tcase_set_timeout(tc, 600);
    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_test(tc, small_sizes);
    tcase_add_test(tc, sizes);
    tcase_add_test(tc, names);
    tcase_add_checked_fixture(towers, et_error_clear, NULL);
    tcase_set_timeout(towers, 600);
    tcase_add_loop_test(towers, parity, 0, sizeof cases / sizeof *cases);
    tcase_add_loop_test(tc, learns_s_xm, 0, 2);
    tcase_add_test(tc, misuse);
    tcase_add_test(tc, patch_dropout);
    tcase_add_loop_test(tc, allocations, 0, 2);
    suite_add_tcase(suite, towers);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
