/* Collections of sounds. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/batch.h"
#include "datasets/collection.h"
#include "datasets/split.h"
#include "tensor/alloc.h"
#include "tensor/scope.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

#define ok(call) ck_assert_msg((call) == ET_OK, "%s", et_error_message())

enum { N = 6, L = 3 };

static int released;

/* Item i is i + 1 frames of the value i / 8, of item 5 one that is no number; item 4 is broken. */
static et_status load(const et_collection *c, int64_t i, et_audio *out)
{
    float *v;

    if (i == 4)
        return et_raise(ET_EFORMAT, "%s: truncated", (const char *)c->source);
    out->rate = 8000;
    out->samples = et_empty_owned(ET_F32, ET_SHAPE(1, i + 1));
    v = out->samples ? et_data_mut(out->samples) : NULL;
    for (int64_t k = 0; v && k <= i; k++)
        v[k] = i == 5 && k == 2 ? (float)NAN : (float)i / 8;
    return v ? ET_OK : et_error_status();
}

static void free_source(void *source)
{
    et_dealloc(source);
    released++;
}

static et_tensor *ints(const int32_t *v)
{
    et_tensor *t = et_dataset_tensor(ET_I32, ET_SHAPE(N));
    if (t)
        memcpy(et_data_mut(t), v, N * sizeof *v);
    return t;
}

static et_collection *make(void)
{
    static const int32_t y[N] = {0, 1, 0, 1, 0, 1}, groups[N] = {7, 7, 8, 8, 9, 9};
    static const int32_t split[N] = {0, 0, 0, 0, 1, -1};
    static const uint8_t tags[N * L] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    et_collection *c = et_collection_new("toy");

    if (!c)
        return NULL;
    c->load = load;
    c->source = et_alloc_string("folder");
    c->free_source = free_source;
    c->y = ints(y);
    c->groups = ints(groups);
    c->split = ints(split);
    c->tags = et_dataset_tensor(ET_U8, ET_SHAPE(N, L));
    if (!c->source || !c->y || !c->groups || !c->split || !c->tags)
        goto fail;
    memcpy(et_data_mut(c->tags), tags, sizeof tags);
    for (int i = 0; i < N; i++)
        if (et_names_add(&c->names, names[i]) < 0 || et_names_add(&c->captions, "a caption") < 0)
            goto fail;
    if (et_names_add(&c->classes, "reel") < 0 || et_names_add(&c->classes, "jig") < 0 ||
        et_names_add(&c->splits, "train") < 0 || et_names_add(&c->splits, "valid") < 0 ||
        et_names_add(&c->tag_names, "fast") < 0 || et_names_add(&c->tag_names, "slow") < 0 ||
        et_names_add(&c->tag_names, "piano") < 0)
        goto fail;
    return c;
fail:
    et_collection_free(c);
    return NULL;
}

START_TEST(sounds)
{
    et_collection *c = make();
    et_scope *scope;
    et_audio a;

    ck_assert_ptr_nonnull(c);
    ok(et_collection_check(c));
    ck_assert_int_eq(et_collection_size(c), N);
    scope = et_scope_open();
    ok(et_collection_audio(c, 3, &a));
    ok(et_scope_close(scope));
    ck_assert_int_eq(a.rate, 8000);
    ck_assert_int_eq(a.samples->numel, 4);
    ck_assert(et_data_f32(a.samples)[3] == 0.375f); /* outlives the scope */
    et_free(a.samples);
    fails(et_collection_audio(c, 4, &a), ET_EFORMAT, "e: folder: truncated");
    ck_assert_ptr_null(a.samples);
    fails(et_collection_audio(c, 5, &a), ET_ENONFINITE, "f: 1 sample is infinite or no number");
    ck_assert_ptr_null(a.samples);
    fails(et_collection_audio(c, 6, &a), ET_EINVAL, "toy: no item 6 among 6");
    fails(et_collection_audio(c, -1, &a), ET_EINVAL, "no item -1");
    fails(et_collection_audio(NULL, 0, &a), ET_EINVAL, "NULL");
    fails(et_collection_audio(c, 0, NULL), ET_EINVAL, "NULL");
    c->load = NULL;
    fails(et_collection_audio(c, 0, &a), ET_EINVAL, "no sound");
    released = 0;
    et_collection_free(c);
    ck_assert_int_eq(released, 1);
    et_collection_free(NULL);
    ck_assert_int_eq(et_collection_size(NULL), 0);
    fails_null(et_collection_new(NULL), ET_EINVAL, "name");
}
END_TEST

START_TEST(labels)
{
    et_collection *c = make();
    et_dataset *ds = et_collection_labels(c);
    et_indices train, rest, held;
    et_scope *scope;
    et_batch b;
    const int32_t pick[2] = {3, 5};

    ck_assert_msg(ds != NULL, "%s", et_error_message());
    ck_assert_ptr_null(ds->x);
    et_collection_free(c); /* what was copied does not need it */
    ds->x = et_dataset_tensor(ET_F32, ET_SHAPE(N, 2));
    ok(et_fill(ds->x, 1));
    ok(et_dataset_check(ds));
    ck_assert_str_eq(ds->classes.items[1], "jig");
    ck_assert_str_eq(ds->names.items[5], "f");
    ck_assert_str_eq(ds->tag_names.items[2], "piano");
    ok(et_split_named(ds, "train", &train));
    ck_assert_int_eq(train.n, 4);
    ok(et_split_random(ds, 0.34, 1, &rest, &held));
    ck_assert_int_eq(rest.n + held.n, N);
    for (int64_t i = 0; i < held.n; i++) /* groups are pairs */
        ck_assert_int_eq(held.items[i ^ 1] ^ 1, held.items[i]);
    scope = et_scope_open();
    ok(et_batch_gather(ds, pick, 2, &b));
    ck_assert_int_eq(b.tags->shape[0], 2);
    ck_assert_int_eq(b.tags->shape[1], L);
    ck_assert(memcmp(et_data(b.tags), "\1\1\0\1\1\1", 6) == 0);
    ok(et_scope_close(scope));
    et_indices_free(&train);
    et_indices_free(&rest);
    et_indices_free(&held);
    et_dataset_free(ds);
}
END_TEST

START_TEST(without_classes)
{
    et_collection *c = make();
    et_dataset *ds;

    et_free(c->y);
    c->y = NULL;
    et_names_free(&c->classes);
    ds = et_collection_labels(c);
    ck_assert_msg(ds != NULL, "%s", et_error_message());
    ck_assert_int_eq(ds->classes.n, 1);
    ck_assert_str_eq(ds->classes.items[0], "toy");
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(et_data_i32(ds->y)[i], 0);
    et_dataset_free(ds);
    et_collection_free(c);
}
END_TEST

/* Each row spoils one field of a good collection. */
enum {
    BAD_LABEL, BAD_SPLIT, BAD_TAG, TAG_DTYPE, TAG_SHAPE, NO_TAGS, TWICE, EMPTY_NAME, CLASS_TWICE,
    FEW_CAPTIONS, FEW_FILES, FEW_LABELS, LABEL_DTYPE, NO_LABELS, NO_CLASSES, N_BAD
};

static const struct {
    et_status status;
    const char *words;
} wanted[N_BAD] = {
    [BAD_LABEL] = {ET_EINVAL, "labels: 2 of 'c' is not in 0 .. 1"},
    [BAD_SPLIT] = {ET_EINVAL, "splits: -2 of 'a' is not in -1 .. 1"},
    [BAD_TAG] = {ET_EINVAL, "tag 'slow' of 'b' is 2"},
    [TAG_DTYPE] = {ET_EDTYPE, "tags are int32"},
    [TAG_SHAPE] = {ET_ESHAPE, "tags are [6, 2] for 6 items and 3 tag names"},
    [NO_TAGS] = {ET_ESHAPE, "3 tag names, but no tags"},
    [TWICE] = {ET_EINVAL, "the item 'f' is there twice"},
    [EMPTY_NAME] = {ET_EINVAL, "item without a name"},
    [CLASS_TWICE] = {ET_EINVAL, "the class 'jig' is there twice"},
    [FEW_CAPTIONS] = {ET_ESHAPE, "1 captions for 6 items"},
    [FEW_FILES] = {ET_ESHAPE, "1 files for 6 items"},
    [FEW_LABELS] = {ET_ESHAPE, "labels are [2] for 6 items"},
    [LABEL_DTYPE] = {ET_EDTYPE, "labels are uint8"},
    [NO_LABELS] = {ET_ESHAPE, "classes, but no labels"},
    [NO_CLASSES] = {ET_ESHAPE, "labels, but no classes"},
};

static void replace(et_tensor **t, et_tensor *by)
{
    et_free(*t);
    *t = by;
}

START_TEST(spoilt)
{
    et_collection *c = make();
    int32_t *y = et_data_mut(c->y), *split = et_data_mut(c->split);
    uint8_t *tags = et_data_mut(c->tags);

    switch (_i) {
    case BAD_LABEL: y[2] = 2; break;
    case BAD_SPLIT: split[0] = -2; break;
    case BAD_TAG: tags[4] = 2; break;
    case TAG_DTYPE: replace(&c->tags, et_zeros(ET_I32, ET_SHAPE(N, L))); break;
    case TAG_SHAPE: replace(&c->tags, et_zeros(ET_U8, ET_SHAPE(N, 2))); break;
    case NO_TAGS: replace(&c->tags, NULL); break;
    case TWICE: strcpy(c->names.items[1], "f"); break;
    case EMPTY_NAME: c->names.items[3][0] = '\0'; break;
    case CLASS_TWICE: strcpy(c->classes.items[0], "jig"); break;
    case FEW_CAPTIONS:
        et_names_free(&c->captions);
        ok(et_names_add(&c->captions, "one"));
        break;
    case FEW_FILES: ok(et_names_add(&c->files, "one.wav")); break;
    case FEW_LABELS: replace(&c->y, et_zeros(ET_I32, ET_SHAPE(2))); break;
    case LABEL_DTYPE: replace(&c->y, et_zeros(ET_U8, ET_SHAPE(N))); break;
    case NO_LABELS: replace(&c->y, NULL); break;
    case NO_CLASSES: et_names_free(&c->classes); break;
    }
    fails(et_collection_check(c), wanted[_i].status, wanted[_i].words);
    fails_null(et_collection_labels(c), wanted[_i].status, wanted[_i].words);
    et_collection_free(c);
}
END_TEST

static bool make_labels(void *user)
{
    et_collection *c = make();
    et_dataset *ds = et_collection_labels(c);

    (void)user;
    if (ds)
        et_dataset_free(ds);
    et_collection_free(c);
    return ds != NULL;
}

START_TEST(out_of_memory)
{
    ck_assert_int_gt(alloc_sweep("labels of a collection", make_labels, NULL), 50);
}
END_TEST

START_TEST(dataset_tags)
{
    et_dataset *ds = et_dataset_new(), *sub;
    const int32_t pick[2] = {2, 0};

    ds->x = et_zeros(ET_F32, ET_SHAPE(3, 1));
    ds->y = et_zeros(ET_I32, ET_SHAPE(3));
    ds->tags = et_zeros(ET_U8, ET_SHAPE(3, 2));
    ((uint8_t *)et_data_mut(ds->tags))[5] = 1;
    ok(et_names_add(&ds->classes, "all"));
    ok(et_names_add(&ds->tag_names, "x"));
    fails(et_dataset_check(ds), ET_ESHAPE, "tags are [3, 2] for 3 items and 1 tag names");
    ok(et_names_add(&ds->tag_names, "y"));
    ok(et_dataset_check(ds));
    sub = et_dataset_subset(ds, pick, 2);
    ck_assert_msg(sub != NULL, "%s", et_error_message());
    ok(et_dataset_check(sub));
    ck_assert(memcmp(et_data(sub->tags), "\0\1\0\0", 4) == 0);
    ck_assert_str_eq(sub->tag_names.items[1], "y");
    et_dataset_free(sub);
    ((uint8_t *)et_data_mut(ds->tags))[3] = 7;
    fails(et_dataset_check(ds), ET_EINVAL, "tag 'y' of item 1 is 7");
    replace(&ds->tags, et_zeros(ET_F32, ET_SHAPE(3, 2)));
    fails(et_dataset_check(ds), ET_EDTYPE, "tags are float32");
    replace(&ds->tags, NULL);
    fails(et_dataset_check(ds), ET_ESHAPE, "2 tag names, but no tags");
    et_dataset_free(ds);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("collection");
    TCase *t = tcase_create("collection");

    tcase_add_checked_fixture(t, et_error_clear, NULL);
    tcase_add_test(t, sounds);
    tcase_add_test(t, labels);
    tcase_add_test(t, without_classes);
    tcase_add_loop_test(t, spoilt, 0, N_BAD);
    tcase_add_test(t, out_of_memory);
    tcase_add_test(t, dataset_tags);
    suite_add_tcase(s, t);
    return suite_run(s);
}
