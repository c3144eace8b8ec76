/* CLAP reads checkpoints under LAION's own names. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/little_clap.h"
#include "tests/suite.h"

static const char *fixture(char *path, size_t size, const char *name)
{
    char within[256];

    snprintf(within, sizeof within, "fixtures/clap/%s.safetensors", name);
    return suite_file(path, size, within);
}

static et_clap *little_clap(const char *name, bool complete)
{
    et_clap_config c = clap_config(name, false);

    c.transforms = complete;
    c.htsat.classes = c.cnn14.classes = complete ? 3 : 0;
    et_clap *m = et_clap_new(NULL, NULL, &c, NULL);
    ck_assert_msg(m != NULL, "%s", et_error_message());
    return m;
}

/* The same bits arrive under either system's names; what the model has no use for is passed over: three
 * matrices of spectrograms, position_ids, eight tensors of transforms; with HTS-AT an index for each of four
 * blocks, a mask for each of two, four tensors of classifiers; with CNN14 two of its classifier. */
START_TEST(laion_names)
{
    static const char *const models[] = {"clap-fusion", "clap-cnn14"};
    static const int passed[] = {3 + 1 + 8 + 4 + 2 + 4, 3 + 1 + 8 + 2};
    char path[4200], other[200];
    const char *name = models[_i];
    et_load_report r;

    snprintf(other, sizeof other, "%s-laion", name);
    for (int complete = 0; complete < 2; complete++) {
        et_clap *a = little_clap(name, complete), *b = little_clap(name, complete);
        const et_status first = et_clap_load(a, fixture(path, sizeof path, name), &r);
        ck_assert_msg(first == (complete ? ET_EINVAL : ET_OK), "%s", et_error_message());
        ck_assert_int_eq(r.missing.n, complete ? _i == 0 ? 12 : 10 : 0);
        et_load_report_free(&r);
        et_error_clear();
        ck_assert_msg(et_clap_load(b, fixture(path, sizeof path, other), &r) == ET_OK, "%s",
                      et_error_message());
        ck_assert(r.missing.n == 0 && r.unexpected.n == 0 && r.misshaped.n == 0);
        if (!complete)
            ck_assert_int_eq(r.passed_over, passed[_i]);
        et_load_report_free(&r);
        int compared = 0;
        for (int64_t i = 0; !complete && i < et_module_n_entries(&a->module); i++) {
            const et_entry *e = et_module_entry(&a->module, i);
            if (e->kind == ET_ENTRY_CONSTANT || strstr(e->name, "num_batches_tracked"))
                continue;
            ck_assert_msg(et_allclose(e->tensor, et_module_entry(&b->module, i)->tensor, 0, 0, false), "%s",
                          e->name);
            compared++;
        }
        ck_assert(complete || compared > 60);
        et_module_free(&a->module);
        et_module_free(&b->module);
    }
}
END_TEST

/* What does not belong together is reported by name and nothing is read. */
START_TEST(laion_misfits)
{
    char path[4200];
    et_load_report r;
    et_clap *m = little_clap("clap-htsat", false);
    et_tensor *before = et_clone(m->text->word->weight);

    /* fusion: a convolution of chunks, two branches of two convolutions and two norms */
    ck_assert_int_eq(et_clap_load(m, fixture(path, sizeof path, "clap-fusion-laion"), &r), ET_EINVAL);
    ck_assert_msg(strstr(et_error_message(),
                         "26 unexpected (module.audio_branch.patch_embed.mel_conv2d.weight"), "%s",
                  et_error_message());
    et_error_clear();
    ck_assert(r.unexpected.n == 26 && r.missing.n == 0 && r.misshaped.n == 0);
    et_load_report_free(&r);
    ck_assert(et_allclose(before, m->text->word->weight, 0, 0, false));
    /* another tower: two blocks of two convolutions and norms, and fc1;
     * the norm of bands and a head have other sizes */
    ck_assert_int_eq(et_clap_load(m, fixture(path, sizeof path, "clap-cnn14-laion"), &r), ET_ESHAPE);
    et_error_clear();
    ck_assert_msg(r.missing.n > 50 && r.unexpected.n == 22 && r.misshaped.n == 5,
                  "%d missing, %d unexpected, %d misshaped", (int)r.missing.n, (int)r.unexpected.n,
                  (int)r.misshaped.n);
    et_load_report_free(&r);
    ck_assert_int_eq(et_clap_load(m, "no such file", NULL), ET_EIO);
    et_error_clear();
    ck_assert_int_eq(et_clap_load(NULL, path, NULL), ET_EINVAL);
    et_error_clear();
    et_free(before);
    et_module_free(&m->module);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clap_laion");
    TCase *tc = tcase_create("names");

    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_loop_test(tc, laion_names, 0, 2);
    tcase_add_test(tc, laion_misfits);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
