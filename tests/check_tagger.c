/* Music taggers: sizes and names, values and gradients against an independent implementation, contribution
 * maps against their definition, the synthetic tasks, wrong use. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "datasets/batch.h"
#include "datasets/synthetic.h"
#include "models/tagger.h"
#include "nn/metrics.h"
#include "nn/optim.h"
#include "tensor/safetensors.h"
#include "tests/alloc_sweep.h"
#include "tests/misuse.h"
#include "tests/suite.h"

static et_tagger *fresh(const et_tagger_config *c)
{
    et_rng rng = et_rng_make(7, 0);

    return et_tagger_new(NULL, NULL, c, &rng);
}

START_TEST(parameters)
{
    const struct {
        et_tagger_config config;
        int64_t count;
    } models[] = {
        {et_tagger_paper(ET_FRONT_SPEC, ET_BACK_ATT), 6882452},
        {et_tagger_paper(ET_FRONT_SPEC, ET_BACK_CNN_P), 5926424},
        {et_tagger_paper(ET_FRONT_SPEC, ET_BACK_CNN_L), 2274196},
        {et_tagger_paper(ET_FRONT_RAW, ET_BACK_ATT), 8056242},
        {et_tagger_paper(ET_FRONT_RAW, ET_BACK_CNN_P), 5674806},
        {et_tagger_paper(ET_FRONT_RAW, ET_BACK_CNN_L), 2608306},
        {et_tagger_sample_cnn(), 1869874},
        {et_tagger_small(ET_FRONT_SPEC, ET_BACK_ATT), 33498},
        {et_tagger_small(ET_FRONT_SPEC, ET_BACK_CNN_P), 48378},
        {et_tagger_small(ET_FRONT_SPEC, ET_BACK_CNN_L), 14762},
        {et_tagger_small(ET_FRONT_RAW, ET_BACK_ATT), 31038},
        {et_tagger_small(ET_FRONT_RAW, ET_BACK_CNN_P), 23582},
        {et_tagger_small(ET_FRONT_RAW, ET_BACK_CNN_L), 10798},
    };

    et_tagger *m = fresh(&models[_i].config);
    ck_assert_msg(m, "%s", et_error_message());
    ck_assert_int_eq(et_module_count(&m->module), models[_i].count);
    et_module_free(&m->module);
}
END_TEST

/* The public layout of Spec + Att: 118 tensors of the file's names and shapes. */
START_TEST(public_names)
{
    const et_tagger_config c = et_tagger_paper(ET_FRONT_SPEC, ET_BACK_ATT);
    static const struct {
        const char *name;
        int64_t shape[4];
        int ndim;
    } some[] = {
        {"front_end.input_bn.running_var", {1}, 1},
        {"front_end.layers.0.conv.weight", {16, 1, 86, 7}, 4},
        {"front_end.layers.5.conv.weight", {64, 1, 38, 1}, 4},
        {"front_end.layers.5.bn.running_mean", {64}, 1},
        {"front_end.layers.6.conv.weight", {16, 1, 165}, 3},
        {"front_end.layers.9.conv.weight", {128, 1, 33}, 3},
        {"front_end.layers.9.bn.num_batches_tracked", {0}, 0},
        {"front_end.conv1x1.weight", {512, 464, 1}, 3},
        {"front_end.bn.weight", {512}, 1},
        {"back_end.encoder.layer.0.attention.self.query.weight", {512, 512}, 2},
        {"back_end.encoder.layer.1.attention.output.LayerNorm.weight", {512}, 1},
        {"back_end.encoder.layer.1.intermediate.dense.weight", {2048, 512}, 2},
        {"back_end.encoder.layer.1.output.dense.bias", {512}, 1},
        {"back_end.encoder.layer.1.output.LayerNorm.bias", {512}, 1},
        {"back_end.pooler.dense.weight", {512, 512}, 2},
        {"classifier.bias", {50}, 1},
    };
    et_tagger *m = fresh(&c);
    int64_t stored = 0;

    ck_assert_ptr_nonnull(m);
    for (int64_t i = 0; i < et_module_n_entries(&m->module); i++)
        stored += et_module_entry(&m->module, i)->kind != ET_ENTRY_CONSTANT;
    ck_assert_int_eq(stored, 118);
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        const et_tensor *t = et_module_find(&m->module, some[i].name);
        ck_assert_msg(t && t->ndim == some[i].ndim && !memcmp(t->shape, some[i].shape,
                                                              (size_t)t->ndim * sizeof(int64_t)),
                      "%s is missing or misshaped", some[i].name);
    }
    const float cls[] = {0.5488135f, 0.71518937f, 0.60276338f, 0.54488318f, 0.4236548f};
    for (int i = 0; i < 5; i++)
        ck_assert(fabsf(et_data_f32(m->cls)[i] - cls[i]) <= 1e-7f);
    ck_assert(fabsf(et_data_f32(m->cls)[255] - 0.08342244f) <= 1e-7f);
    ck_assert(fabsf(et_data_f32(m->cls)[511] - 0.34847599f) <= 1e-7f);
    et_module_free(&m->module);
}
END_TEST

/* --- against another implementation --- */

static et_tagger_config tiny(et_tagger_front front, et_tagger_back back)
{
    return (et_tagger_config){.front = front, .back = back, .tags = 3, .bands = 12, .channels = 1,
                              .tall = {10, 4}, .temporal = {9, 7, 5, 3}, .first = 3, .first_pad = 1,
                              .raw_blocks = 2, .raw_widths = {3, 4}, .wide = 6, .dense = 5, .long_blocks = 2,
                              .long_widths = {5, 6}, .width = 8, .hidden = 12, .heads = 2, .layers = 2};
}

static et_safetensors *reference;

static et_tensor *value(const char *model, const char *name)
{
    char full[160];
    et_tensor *t;

    snprintf(full, sizeof full, "%s/%s", model, name);
    t = et_safetensors_load(reference, full);
    ck_assert_msg(t, "%s: %s", full, et_error_message());
    return t;
}

/* The norm of the input has sums over everything that cancel for the most part. */
static void same(const char *model, const char *name, const et_tensor *got)
{
    const double tolerance = strstr(name, "input_bn") ? 2e-4 : 5e-5;
    const et_tensor *want = value(model, name);
    double worst = 0, largest = 1e-6;

    ck_assert_msg(got && got->numel == want->numel, "%s: %s has another size: %s", model, name,
                  et_error_message());
    const et_tensor *flat = et_contiguous((et_tensor *)(uintptr_t)got);
    for (int64_t i = 0; i < want->numel; i++) {
        const double w = want->dtype == ET_F64 ? et_data_f64(want)[i] : (double)et_data_f32(want)[i];
        worst = fmax(worst, fabs((double)et_data_f32(flat)[i] - w));
        largest = fmax(largest, fabs(w));
    }
    ck_assert_msg(worst <= tolerance * largest, "%s: %s differs by %g of %g", model, name, worst, largest);
}

START_TEST(other_implementation)
{
    static const char *const names[] = {"spec_cnn_p", "spec_cnn_l", "spec_att", "raw_cnn_p", "raw_cnn_l",
                                        "raw_att"};
    const char *name = names[_i];
    const et_tagger_config c = tiny((et_tagger_front)(_i / 3), (et_tagger_back)(_i % 3));
    char path[256], prefix[64];
    et_tagger *m = fresh(&c);
    et_load_report report;

    ck_assert_msg(m, "%s", et_error_message());
    suite_file(path, sizeof path, "fixtures/tagger.safetensors");
    snprintf(prefix, sizeof prefix, "%s/module.", name);
    ck_assert_msg(et_module_load(&m->module, path, &(et_load_options){.partial = true, .prefix = prefix},
                                 &report) == ET_OK,
                  "%s", et_error_message());
    ck_assert_msg(report.missing.n == 0 && report.misshaped.n == 0, "%s: %d missing, the first %s", name,
                  (int)report.missing.n, report.missing.n ? report.missing.items[0] : "");
    et_load_report_free(&report);
    reference = et_safetensors_open(path);
    ck_assert_ptr_nonnull(reference);

    et_scope *s = et_scope_open();
    et_tensor *x = value(name, "x"), *y = value(name, "y"), *weights[2];
    et_tensor *logits = et_tagger_forward(m, x, NULL);
    same(name, "logits", logits);
    et_tensor *loss = et_bce_with_logits(logits, y, ET_REDUCE_MEAN);
    same(name, "loss", loss);
    ck_assert_int_eq(et_backward(loss), ET_OK);
    for (int64_t i = 0; i < et_safetensors_count(reference); i++) {
        char what[160];
        const char *full = et_safetensors_at(reference, i)->name;
        if (strncmp(full, name, strlen(name)))
            continue;
        const char *rest = full + strlen(name) + 1;
        const et_tensor *t = strchr(rest, '.') ? et_module_find(&m->module, strchr(rest, '.') + 1) : NULL;
        snprintf(what, sizeof what, "%s", rest);
        if (!strncmp(rest, "grad.", 5))
            same(name, what, et_grad_of(t));
        else if (!strncmp(rest, "after.", 6))
            same(name, what, t);
    }
    et_scope_close(s);

    s = et_scope_open();
    et_module_eval(&m->module);
    x = value(name, "x");
    const bool att = c.back == ET_BACK_ATT;
    same(name, "eval", et_tagger_forward(m, x, att ? weights : NULL));
    if (att) {
        same(name, "weights0", weights[0]);
        same(name, "weights1", weights[1]);
        same(name, "contributions", et_tagger_contributions(m, et_slice(x, 0, 0, 1, 1)));
    }
    et_scope_close(s);
    et_safetensors_close(reference);
    et_module_free(&m->module);
}
END_TEST

/* --- the synthetic tasks --- */

/* Macro ROC-AUC on 200 items after 300 steps of 16. */
static double learn(et_tagger *m, const et_dataset *train, const et_dataset *test, double rate)
{
    enum { STEPS = 300, BATCH = 16 };
    et_batches *b = et_batches_new(train, NULL, et_dataset_size(train),
                                   &(et_batch_options){.size = BATCH, .shuffle = true, .drop_last = true,
                                                       .seed = 3});
    et_optim *optim = et_adam_new(&m->module, rate);
    const int64_t tags = test->tags->shape[1], n = et_dataset_size(test);
    et_tag_report report;

    ck_assert(b && optim);
    for (int64_t step = 0, epoch = 0; step < STEPS; epoch++)
        for (et_batches_start(b, epoch); et_batches_more(b) && step < STEPS; step++) {
            et_batch batch;
            et_scope *s = et_scope_open();
            ck_assert_int_eq(et_batches_next(b, &batch), ET_OK);
            et_tensor *loss = et_bce_with_logits(et_tagger_forward(m, batch.x, NULL),
                                                 et_cast(batch.tags, ET_F32), ET_REDUCE_MEAN);
            ck_assert_msg(et_backward(loss) == ET_OK, "%s", et_error_message());
            ck_assert_int_eq(et_optim_step_zero(optim, 0, NULL), ET_OK);
            et_scope_close(s);
        }
    et_scope *s = et_scope_open();
    et_module_eval(&m->module);
    et_no_grad_begin();
    const et_tensor *scores = et_tagger_forward(m, test->x, NULL);
    et_no_grad_end();
    ck_assert_msg(scores, "%s", et_error_message());
    ck_assert_int_eq(et_metric_tags(n, tags, et_data_f32(scores), et_data(test->tags), &report, NULL, NULL),
                     ET_OK);
    ck_assert_int_eq(report.used, tags);
    et_scope_close(s);
    et_optim_free(optim);
    et_batches_free(b);
    return report.roc_auc;
}

START_TEST(synthetic_tasks)
{
    /* CNN_P, CNN_L, Att; of Spec, of Raw */
    static const double threshold[] = {0.97, 0.90, 0.93, 0.97, 0.93, 0.97};
    const et_tagger_config c = et_tagger_small((et_tagger_front)(_i / 3), (et_tagger_back)(_i % 3));
    const bool spec = c.front == ET_FRONT_SPEC;
    et_tagged_options patterns = et_tagged_defaults();
    et_tones_options tones = et_tones_defaults();
    et_tagger *m = fresh(&c);
    et_dataset *train = spec ? et_tagged_patterns(4800, &patterns) : et_tagged_tones(4800, &tones);

    patterns.part = tones.part = 1;
    et_dataset *test = spec ? et_tagged_patterns(400, &patterns) : et_tagged_tones(400, &tones);
    ck_assert_msg(m && train && test, "%s", et_error_message());
    ck_assert_int_eq(et_dataset_check(train), ET_OK);
    const double auc = learn(m, train, test, spec ? 1e-3 : 2e-3);
    ck_assert_msg(auc >= threshold[_i], "macro ROC-AUC %.4f, expected %.2f", auc, threshold[_i]);
    et_dataset_free(train);
    et_dataset_free(test);
    et_module_free(&m->module);
}
END_TEST

/* An item depends on (seed, part, number) alone, a tag is on as often as it should be. */
START_TEST(tasks_are_functions_of_their_seed)
{
    et_dataset *a = et_tagged_patterns(50, NULL), *b = et_tagged_patterns(1000, NULL);
    et_tones_options o = et_tones_defaults();
    et_dataset *c = et_tagged_tones(20, &o), *d;
    double on = 0;

    ck_assert(a && b && c);
    ck_assert_int_eq(memcmp(et_data(a->x), et_data(b->x), (size_t)a->x->numel * 4), 0);
    ck_assert_int_eq(memcmp(et_data(a->tags), et_data(b->tags), (size_t)a->tags->numel), 0);
    for (int64_t i = 0; i < b->tags->numel; i++)
        on += ((const uint8_t *)et_data(b->tags))[i];
    ck_assert(fabs(on / (double)b->tags->numel - 0.25) < 0.02);
    o.part = 1;
    d = et_tagged_tones(20, &o);
    ck_assert(d && memcmp(et_data(c->x), et_data(d->x), (size_t)c->x->numel * 4) != 0);
    et_dataset_free(a), et_dataset_free(b), et_dataset_free(c), et_dataset_free(d);
    o.envelope = 3000;
    ck_assert_ptr_null(et_tagged_tones(20, &o));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    ck_assert_ptr_null(et_tagged_patterns(-1, NULL));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
}
END_TEST

/* --- wrong use --- */

static et_tagger_config wrong(int which)
{
    et_tagger_config c = tiny(which == 4 ? ET_FRONT_RAW : ET_FRONT_SPEC,
                              which == 3 ? ET_BACK_CNN_L : ET_BACK_ATT);

    if (which == 0)
        c.tall[0] = 13;
    else if (which == 1)
        c.temporal[2] = 4;
    else if (which == 2)
        c.heads = 3;
    else if (which == 3)
        c.long_blocks = 9;
    else
        c.raw_blocks = 9;
    return c;
}

START_TEST(wrong_sizes)
{
    const et_tagger_config c = wrong(_i);

    ck_assert_ptr_null(fresh(&c));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
}
END_TEST

START_TEST(wrong_calls)
{
    const et_tagger_config c = tiny(ET_FRONT_SPEC, ET_BACK_ATT);
    et_tagger *m = fresh(&c);
    et_scope *s = et_scope_open();

    ck_assert_ptr_null(et_tagger_forward(m, et_ones(ET_F32, ET_SHAPE(2, 11, 20)), NULL));
    ck_assert(et_error_status() == ET_ESHAPE && strstr(et_error_message(), "x must be [B, 12, frames]"));
    et_error_clear();
    ck_assert_ptr_null(et_tagger_forward(NULL, et_ones(ET_F32, ET_SHAPE(2, 12, 20)), NULL));
    et_error_clear();
    ck_assert_ptr_null(et_tagger_contributions(m, et_ones(ET_F32, ET_SHAPE(1, 12, 20))));
    ck_assert(et_error_status() == ET_EINVAL && strstr(et_error_message(), "in evaluation"));
    et_error_clear();
    et_module_eval(&m->module);
    ck_assert_ptr_null(et_tagger_contributions(m, et_ones(ET_F32, ET_SHAPE(2, 12, 20))));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    et_scope_close(s);
    et_module_free(&m->module);
}
END_TEST

static bool make_model(void *user)
{
    et_tagger *m = fresh(user);

    if (m)
        et_module_free(&m->module);
    return m != NULL;
}

/* The answers with and without attention asked for:
 * the last layer is computed whole only for its attention. */
START_TEST(last_layer)
{
    et_tagger_config c = et_tagger_small(ET_FRONT_SPEC, ET_BACK_ATT);
    et_tensor *logits[2], *grads[2];

    for (int whole = 0; whole < 2; whole++) {
        et_rng rng = et_rng_make(3, 0);
        et_tagger *m = et_tagger_new(NULL, NULL, &c, &rng);
        et_tensor *weights[ET_TAGGER_LAYERS], *x = et_empty(ET_F32, ET_SHAPE(3, c.bands, 64));
        et_fill_normal(x, &rng, 0, 1);
        et_scope *s = et_scope_open();
        et_tensor *y = et_tagger_forward(m, x, whole ? weights : NULL);
        ck_assert_msg(y != NULL, "%d: %s", whole, et_error_message());
        et_keep(y);
        ck_assert_int_eq(et_backward(et_mean(et_square(y), 0, NULL, false)), ET_OK);
        logits[whole] = et_scope_return(s, y);
        et_scope_close(s);
        grads[whole] = et_clone(
            et_grad_of(et_module_find(&m->module, "back_end.encoder.layer.1.attention.self.key.weight")));
        if (whole)
            ck_assert_int_eq(weights[1] ? 1 : 0, 1);
        et_free(x);
        et_module_free(&m->module);
    }
    for (int64_t i = 0; i < logits[0]->numel; i++)
        ck_assert_double_eq_tol((double)et_data_f32(logits[0])[i], (double)et_data_f32(logits[1])[i], 2e-6);
    for (int64_t i = 0; i < grads[0]->numel; i++)
        ck_assert_double_eq_tol((double)et_data_f32(grads[0])[i], (double)et_data_f32(grads[1])[i], 2e-7);
    for (int k = 0; k < 2; k++)
        et_free(logits[k]), et_free(grads[k]);
}
END_TEST

START_TEST(memory)
{
    et_tagger_config c = tiny((et_tagger_front)(_i / 3), (et_tagger_back)(_i % 3));

    ck_assert_int_gt(alloc_sweep("tagger", make_model, &c), 50);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tagger");
    TCase *t = tcase_create("tagger");

    tcase_add_checked_fixture(t, et_error_clear, et_error_clear);
    tcase_add_loop_test(t, parameters, 0, 13);
    tcase_add_test(t, public_names);
    tcase_add_loop_test(t, other_implementation, 0, 6);
    tcase_add_test(t, tasks_are_functions_of_their_seed);
    tcase_add_loop_test(t, wrong_sizes, 0, 5);
    tcase_add_test(t, wrong_calls);
    tcase_add_test(t, last_layer);
    tcase_add_loop_test(t, memory, 0, 6);
    suite_add_tcase(s, t);
    t = tcase_create("learning");
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, et_error_clear, et_error_clear);
    if (!suite_skips(1)) /* learning is the same code, thousands of times */
        tcase_add_loop_test(t, synthetic_tasks, 0, 6);
    suite_add_tcase(s, t);
    return suite_run(s);
}
