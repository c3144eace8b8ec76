/* Data sets, splits and batches. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/augment.h"
#include "datasets/batch.h"
#include "datasets/split.h"
#include "datasets/standardize.h"
#include "datasets/synthetic.h"
#include "tensor/alloc.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"
#include "tensor/scope.h"
#include "tests/alloc_sweep.h"
#include "tests/small_set.h"

/* --- the set ------------------------------------------------------------------------ */

START_TEST(set_subset)
{
    const int32_t pick[3] = {11, 0, 11}, outside[1] = {12};
    et_dataset *ds = small_set(), *sub;
    int64_t counts[3];

    ck_assert_int_eq(et_dataset_size(ds), N);
    ck_assert_int_eq(et_dataset_classes(ds), 3);
    ok(et_dataset_count(ds, counts));
    ck_assert(counts[0] == 4 && counts[1] == 4 && counts[2] == 4);
    sub = et_dataset_subset(ds, pick, 3);
    ck_assert_msg(sub != NULL, "%s", et_error_message());
    ok(et_dataset_check(sub));
    ck_assert_int_eq(et_dataset_size(sub), 3);
    near(et_data_f32(sub->x)[4], 1111, 0);
    near(et_data_f32(sub->x)[T * F + 4], 11, 0);
    ck_assert_int_eq(et_data_i32(sub->y)[0], 2);
    ck_assert_int_eq(et_data_i32(sub->lengths)[1], 2);
    ck_assert_int_eq(et_data_i32(sub->groups)[2], 5);
    ck_assert_int_eq(et_data_i32(sub->split)[0], -1);
    ck_assert_str_eq(sub->names.items[2], "item 11");
    ck_assert_str_eq(sub->classes.items[1], "b");
    ck_assert_int_eq(et_names_find(&sub->splits, "valid"), 1);
    et_dataset_free(sub);
    sub = et_dataset_subset(ds, NULL, 0);
    ck_assert_int_eq(et_dataset_size(sub), 0);
    ok(et_dataset_check(sub));
    et_dataset_free(sub);
    fails_null(et_dataset_subset(ds, outside, 1), ET_EINVAL, "index 12 at 0");
    fails_null(et_dataset_subset(ds, NULL, 1), ET_EINVAL, "no index");
    fails_null(et_dataset_subset(NULL, pick, 1), ET_EINVAL, "NULL");
    et_dataset_free(ds);
    et_dataset_free(NULL);
}
END_TEST

START_TEST(set_survives_scopes)
{
    et_scope *s = et_scope_open();
    et_dataset *ds = small_set();
    ok(et_scope_close(s));
    near(et_data_f32(ds->x)[T * F], 100, 0);
    et_dataset_free(ds);
}
END_TEST

START_TEST(set_broken)
{
    et_dataset *ds = small_set();
    int32_t *y = et_data_mut(ds->y), *len = et_data_mut(ds->lengths), *split = et_data_mut(ds->split);
    et_tensor *old;

    y[5] = 3;
    fails(et_dataset_check(ds), ET_EINVAL, "labels: 3 at 5");
    y[5] = -1;
    fails(et_dataset_check(ds), ET_EINVAL, "labels: -1");
    y[5] = 2;
    len[0] = 0;
    fails(et_dataset_check(ds), ET_EINVAL, "lengths: 0 at 0");
    len[0] = 5;
    fails(et_dataset_check(ds), ET_EINVAL, "lengths: 5");
    len[0] = 2;
    split[1] = 2;
    fails(et_dataset_check(ds), ET_EINVAL, "splits: 2");
    split[1] = 0;
    old = ds->groups;
    ds->groups = et_dataset_tensor(ET_I32, ET_SHAPE(N - 1));
    fails(et_dataset_check(ds), ET_ESHAPE, "groups are [11] for 12 items");
    et_free(ds->groups);
    ds->groups = et_dataset_tensor(ET_F32, ET_SHAPE(N));
    fails(et_dataset_check(ds), ET_EDTYPE, "groups are float32");
    et_free(ds->groups);
    ds->groups = old;
    old = ds->x;
    ds->x = NULL;
    fails(et_dataset_check(ds), ET_EINVAL, "missing");
    ds->x = et_dataset_tensor(ET_F64, ET_SHAPE(N, T, F));
    fails(et_dataset_check(ds), ET_EDTYPE, "x is float64");
    et_free(ds->x);
    ds->x = et_dataset_tensor(ET_F32, ET_SHAPE(N));
    fails(et_dataset_check(ds), ET_ESHAPE, "further dimension");
    et_free(ds->x);
    ds->x = et_dataset_tensor(ET_F32, ET_SHAPE(N, T));
    fails(et_dataset_check(ds), ET_ESHAPE, "lengths need x [N, T, F]");
    et_free(ds->x);
    ds->x = old;
    ok(et_dataset_check(ds));
    ok(et_names_add(&ds->names, "one too many"));
    fails(et_dataset_check(ds), ET_ESHAPE, "13 names");
    et_dataset_free(ds);
    fails(et_dataset_check(NULL), ET_EINVAL, "NULL");
}
END_TEST

/* --- splits --------------------------------------------------------------------------- */

START_TEST(split_by_name)
{
    et_dataset *ds = small_set();
    et_indices a;

    ok(et_split_named(ds, "valid", &a));
    ck_assert_int_eq(a.n, 3);
    ck_assert(a.items[0] == 8 && a.items[1] == 9 && a.items[2] == 10);
    et_indices_free(&a);
    ok(et_split_named(ds, "test", &a));
    ck_assert_int_eq(a.n, 0);
    et_indices_free(&a);
    ok(et_split_all(ds, &a));
    ck_assert_int_eq(a.n, N);
    et_indices_free(&a);
    fails(et_split_named(ds, NULL, &a), ET_EINVAL, "NULL");
    et_dataset_free(ds);
}
END_TEST

/* 300 items of 3 classes in groups of 1 .. 7, class mostly one per group. */
static et_dataset *grouped_set(void)
{
    et_dataset *ds = et_dataset_new();
    et_rng r = et_rng_make(5, 0);
    int32_t *y, *g, left = 0, group = -1, class = 0;

    ds->x = et_dataset_tensor(ET_F32, ET_SHAPE(300, 1));
    ds->y = et_dataset_tensor(ET_I32, ET_SHAPE(300));
    ds->groups = et_dataset_tensor(ET_I32, ET_SHAPE(300));
    ok(et_fill(ds->x, 0));
    y = et_data_mut(ds->y);
    g = et_data_mut(ds->groups);
    for (int i = 0; i < 300; i++, left--) {
        if (left == 0) {
            left = (int32_t)et_rng_below(&r, 7) + 1;
            class = (int32_t)et_rng_below(&r, 3);
            group++;
        }
        g[i] = (group * 37) % 101 - 50; /* numbers in no order, some negative */
        y[i] = et_rng_below(&r, 10) == 0 ? (int32_t)et_rng_below(&r, 3) : class;
    }
    for (int k = 0; k < 3; k++)
        ok(et_names_add(&ds->classes, "xyz"));
    return ds;
}

START_TEST(split_by_group)
{
    et_dataset *ds = grouped_set();
    const int32_t *y = et_data_i32(ds->y), *g = et_data_i32(ds->groups);
    int32_t fold[300], again[300], other[300], place[101];
    int64_t total[3] = {0}, in[5][3] = {{0}}, held_of[3] = {0};
    et_indices rest, held;

    ok(et_split_folds(ds, 5, 7, fold));
    ok(et_split_folds(ds, 5, 7, again));
    ok(et_split_folds(ds, 5, 8, other));
    ck_assert(memcmp(fold, again, sizeof fold) == 0);
    ck_assert(memcmp(fold, other, sizeof fold) != 0);
    for (int i = 0; i < 101; i++)
        place[i] = -1;
    for (int i = 0; i < 300; i++) {
        ck_assert(fold[i] >= 0 && fold[i] < 5);
        if (place[g[i] + 50] < 0)
            place[g[i] + 50] = fold[i];
        ck_assert_int_eq(place[g[i] + 50], fold[i]);
        in[fold[i]][y[i]]++;
        total[y[i]]++;
    }
    for (int f = 0; f < 5; f++)
        for (int k = 0; k < 3; k++)
            ck_assert_msg(fabs((double)in[f][k] - (double)total[k] / 5) <= 4, "fold %d has %d of class %d", f,
                          (int)in[f][k], k);

    ok(et_split_fold(ds, fold, 2, &rest, &held));
    ck_assert_int_eq(rest.n + held.n, 300);
    for (int64_t i = 0; i < held.n; i++)
        ck_assert_int_eq(fold[held.items[i]], 2);
    et_indices_free(&rest);
    et_indices_free(&held);

    ok(et_split_random(ds, 0.3, 7, &rest, &held));
    for (int64_t i = 0; i < held.n; i++)
        held_of[y[held.items[i]]]++;
    for (int k = 0; k < 3; k++)
        near((double)held_of[k], 0.3 * (double)total[k], 4);
    for (int64_t i = 0; i < held.n; i++)
        for (int64_t j = 0; j < rest.n; j++)
            ck_assert_int_ne(g[held.items[i]], g[rest.items[j]]);
    et_indices_free(&rest);
    et_indices_free(&held);
    ok(et_split_random(ds, 0, 7, &rest, &held));
    ck_assert(held.n == 0 && rest.n == 300);
    et_indices_free(&rest);
    et_indices_free(&held);
    ok(et_split_random(ds, 1, 7, &rest, &held));
    ck_assert(held.n == 300 && rest.n == 0);
    et_indices_free(&rest);
    et_indices_free(&held);

    fails(et_split_folds(ds, 1, 7, fold), ET_EINVAL, "1 folds");
    fails(et_split_random(ds, NAN, 7, &rest, &held), ET_EINVAL, "fraction");
    fails(et_split_random(ds, -0.1, 7, &rest, &held), ET_EINVAL, "fraction");
    fails(et_split_fold(ds, NULL, 0, &rest, &held), ET_EINVAL, "NULL");
    et_dataset_free(ds);
}
END_TEST

/* Without groups every class is cut exactly. */
START_TEST(split_stratified)
{
    et_dataset *ds = small_set();
    et_indices rest, held;
    int64_t counts[3] = {0};

    et_free(ds->groups);
    ds->groups = NULL;
    ok(et_split_random(ds, 0.25, 3, &rest, &held));
    ck_assert_int_eq(held.n, 3);
    for (int i = 0; i < 3; i++)
        counts[et_data_i32(ds->y)[held.items[i]]]++;
    ck_assert(counts[0] == 1 && counts[1] == 1 && counts[2] == 1);
    et_indices_free(&rest);
    et_indices_free(&held);
    et_dataset_free(ds);
}
END_TEST

/* --- batches ---------------------------------------------------------------------------- */

/* The items of an epoch in order; checks the gathered tensors on the way. */
static int64_t run_epoch(et_batches *b, const et_dataset *ds, int64_t epoch, int32_t *order)
{
    int64_t n = 0;

    ok(et_batches_start(b, epoch));
    while (et_batches_more(b)) {
        et_scope *s = et_scope_open();
        et_batch batch;
        ok(et_batches_next(b, &batch));
        ck_assert_int_eq(batch.x->shape[0], batch.n);
        ck_assert(batch.x->shape[1] == T && batch.x->shape[2] == F);
        for (int64_t i = 0; i < batch.n; i++) {
            int32_t item = batch.index[i];
            ck_assert(
                memcmp(et_data_f32(batch.x) + i * T * F, et_data_f32(ds->x) + item * T * F, T * F * 4) == 0);
            ck_assert_int_eq(et_data_i32(batch.y)[i], et_data_i32(ds->y)[item]);
            ck_assert_int_eq(et_data_i32(batch.lengths)[i], et_data_i32(ds->lengths)[item]);
            order[n++] = item;
        }
        ok(et_scope_close(s));
    }
    return n;
}

START_TEST(batch_orders)
{
    et_dataset *ds = small_set();
    const et_batch_options shuffled = {.size = 5, .shuffle = true, .seed = 3}, plain = {.size = 5},
                           dropped = {.size = 5, .drop_last = true};
    const int32_t some[3] = {7, 2, 9};
    et_batches *b = et_batches_new(ds, NULL, 0, &shuffled), *c = et_batches_new(ds, NULL, 0, &shuffled);
    int32_t a[4][N], again[N], seen[N] = {0};
    et_batch batch;

    ck_assert(b && c);
    ck_assert_int_eq(et_batches_count(b), 3);
    ck_assert_int_eq(et_batches_items(b), N);
    for (int e = 0; e < 4; e++)
        ck_assert_int_eq(run_epoch(b, ds, e, a[e]), N);
    for (int i = 0; i < N; i++)
        seen[a[0][i]]++;
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(seen[i], 1);
    ck_assert(memcmp(a[0], a[1], sizeof a[0]) != 0 && memcmp(a[1], a[2], sizeof a[0]) != 0);
    /* Straight to epoch 2, with other numbers of threads. */
    for (int threads = 1; threads <= 3; threads++) {
        ok(et_set_num_threads(threads));
        run_epoch(c, ds, 2, again);
        ck_assert(memcmp(again, a[2], sizeof again) == 0);
    }
    et_batches_free(b);
    et_batches_free(c);

    b = et_batches_new(ds, some, 3, &plain);
    ck_assert_int_eq(run_epoch(b, ds, 0, again), 3);
    ck_assert(memcmp(again, some, sizeof some) == 0);
    fails(et_batches_next(b, &batch), ET_EINVAL, "epoch is over");
    ok(et_batches_start(b, 1));
    fails(et_batches_next(b, &batch), ET_ESCOPE, "no scope");
    ck_assert(et_batches_more(b));
    fails(et_batches_start(b, -1), ET_EINVAL, "epoch -1");
    et_batches_free(b);
    b = et_batches_new(ds, NULL, 0, &dropped);
    ck_assert_int_eq(et_batches_count(b), 2);
    ck_assert_int_eq(run_epoch(b, ds, 0, again), 10);
    et_batches_free(b);
    fails_null(et_batches_new(ds, NULL, 0, &(et_batch_options){.size = 0}), ET_EINVAL, "size of at least 1");
    fails_null(et_batches_new(ds, &(int32_t){12}, 1, &plain), ET_EINVAL, "index 12");
    fails_null(et_batches_new(NULL, NULL, 0, &plain), ET_EINVAL, "NULL");
    et_dataset_free(ds);
}
END_TEST

START_TEST(batch_asks_nothing_of_the_system)
{
    et_dataset *ds = small_set();
    et_batches *b = et_batches_new(ds, NULL, 0, &(et_batch_options){.size = 5, .shuffle = true});
    et_pool_stats before, after;
    int32_t order[N];

    /* With a sanitizer every block comes from malloc: then there is nothing to see. */
    run_epoch(b, ds, 0, order);
    et_pool_get_stats(&before);
    if (before.hits > 0) {
        for (int e = 1; e < 20; e++)
            run_epoch(b, ds, e, order);
        et_pool_get_stats(&after);
        ck_assert_int_eq(after.system_allocs, before.system_allocs);
    }
    et_batches_free(b);
    et_dataset_free(ds);
}
END_TEST

/* Without noise a wave repeats after its period along one axis and is constant along the other. */
START_TEST(waves_in_noise)
{
    et_waves_options o = et_waves_defaults();
    int64_t counts[6];

    o.noise = 0;
    et_dataset *ds = et_waves(200, &o), *again = et_waves(10, &o);
    ck_assert_ptr_nonnull(ds);
    ok(et_dataset_check(ds));
    ok(et_dataset_count(ds, counts));
    for (int64_t i = 0; i < 200; i++) {
        int k = et_data_i32(ds->y)[i], period = 4 << k % 3;
        const float *x = et_data_f32(ds->x) + i * 32 * 16;
        double squares = 0;
        for (int t = 0; t < 16; t++)
            for (int f = 0; f < 16; f++) {
                near(x[t * 16 + f], k < 3 ? x[(t + period) * 16 + f] : x[t * 16 + (f + period) % 16], 1e-5);
                near(x[t * 16 + f], k < 3 ? x[t * 16] : x[f], 1e-6);
                squares += (double)x[t * 16 + f] * x[t * 16 + f];
            }
        near(squares / 256, 0.5, 1e-5);
        ck_assert_int_gt(counts[k], 10);
    }
    ck_assert(memcmp(et_data(ds->x), et_data(again->x), 10 * 32 * 16 * 4) == 0);
    et_dataset_free(again);
    et_dataset_free(ds);
    o.noise = -1;
    fails(et_waves(1, &o) ? ET_OK : et_error_status(), ET_EINVAL, "waves");
}
END_TEST

/* --- out of memory -------------------------------------------------------------------------- */

static bool everything(void *user)
{
    et_dataset *ds = et_planted(6, NULL), *sub = NULL;
    et_standardizer s = {0};
    et_batches *b = NULL;
    et_indices rest = {0}, held = {0};
    et_scope *scope = NULL;
    et_batch batch;
    bool done = false;

    (void)user;
    if (!ds || !(sub = et_dataset_subset(ds, (const int32_t[]){1, 2, 3, 4}, 4)))
        goto out;
    if (et_split_random(sub, 0.5, 1, &rest, &held) < 0)
        goto out;
    if (et_standardizer_fit(&s, sub, NULL, 0, ET_STANDARDIZE_FEATURE) < 0 ||
        et_standardizer_apply(&s, sub) < 0)
        goto out;
    if (!(b = et_batches_new(sub, NULL, 0, &(et_batch_options){.size = 2, .shuffle = true})))
        goto out;
    if (!(scope = et_scope_open()) || et_batches_next(b, &batch) < 0)
        goto out;
    et_tensor *p = et_augment_one_hot(batch.y, 6, 0.1);
    et_rng r = et_rng_make(1, 1);
    if (!p || et_augment_mixup(batch.x, p, NULL, 0.4, &r) < 0 || !et_augment_crop(batch.x, NULL, 9, &r))
        goto out;
    done = true;
out:
    if (scope)
        et_scope_close(scope);
    et_batches_free(b);
    et_standardizer_free(&s);
    et_indices_free(&rest);
    et_indices_free(&held);
    et_dataset_free(sub);
    et_dataset_free(ds);
    return done;
}

START_TEST(out_of_memory) { ck_assert_int_gt(alloc_sweep("datasets", everything, NULL), 20); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("datasets");
    TCase *tc = tcase_create("datasets");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_test(tc, set_subset);
    tcase_add_test(tc, set_survives_scopes);
    tcase_add_test(tc, set_broken);
    tcase_add_test(tc, split_by_name);
    tcase_add_test(tc, split_by_group);
    tcase_add_test(tc, split_stratified);
    tcase_add_test(tc, batch_orders);
    tcase_add_test(tc, batch_asks_nothing_of_the_system);
    tcase_add_test(tc, waves_in_noise);
    tcase_add_test(tc, out_of_memory);
    suite_add_tcase(suite, tc);

    return suite_run(suite);
}
