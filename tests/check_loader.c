/* Background jobs and the loader. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "datasets/batch.h"
#include "datasets/feature_cache.h"
#include "datasets/loader.h"
#include "tensor/alloc.h"
#include "tensor/pool.h"
#include "tensor/scope.h"
#include "tests/alloc_sweep.h"
#include "tests/chirps.h"

static uint64_t mix(uint64_t h, const et_tensor *t)
{
    const unsigned char *p = t ? et_data(t) : NULL;
    for (size_t k = 0; t && k < (size_t)t->numel * et_dtype_size(t->dtype); k++)
        h = (h ^ p[k]) * 0x100000001b3u;
    return h;
}

/* A sum over every number of an epoch, in order; *entries: how many there were. */
static uint64_t epoch_sum(et_loader *l, int64_t epoch, int64_t *entries)
{
    uint64_t h = 0xcbf29ce484222325u;

    *entries = 0;
    ok(et_loader_start(l, epoch));
    for (;;) {
        et_scope *s = et_scope_open();
        et_loader_batch b;
        ok(et_loader_next(l, &b));
        h = (h ^ (uint64_t)b.n) * 0x100000001b3u;
        h = mix(mix(mix(mix(mix(mix(h, b.x), b.lengths), b.y), b.tags), b.item), b.chunk);
        *entries += b.n;
        ok(et_scope_close(s));
        if (b.n == 0)
            break;
    }
    return h;
}

/* --- the loader ---------------------------------------------------------------------------- */

START_TEST(same_for_all_threads)
{
    et_collection *c = make_collection();
    et_front_end *fe = et_front_end_new("rnn64");
    et_feature_cache_options co = {.path = in_dir("cache"), .key = "1", .threads = 2};
    et_feature_cache *cache;
    uint64_t want[2] = {0, 0};
    int64_t n;
    static const int threads[] = {0, 1, 2, 5};

    made(fe);
    made(cache = et_feature_cache_open(c, fe, &co));
    for (int crop = ET_CROP_FIRST; crop <= ET_CROP_SPREAD; crop++) {
        for (int t = 0; t < 8; t++) {
            et_loader_options o = {.front_end = fe, .cache = t < 4 ? NULL : cache, .rows = 9,
                                   .crop = (et_crop)crop, .chunks = 3, .size = 3, .shuffle = true, .seed = 4,
                                   .threads = threads[t % 4], .ahead = t % 3};
            et_loader *l = et_loader_new(c, NULL, 0, &o);
            made(l);
            for (int64_t e = 1; e >= 0; e--) { /* epochs in any order */
                uint64_t h = epoch_sum(l, e, &n);
                if (crop < ET_CROP_CHUNKS)
                    ck_assert_int_eq(n, N - 2);
                if (t == 0)
                    want[e] = h;
                ck_assert_msg(h == want[e], "crop %d, %d threads, epoch %" PRId64, crop, threads[t % 4], e);
            }
            ck_assert_int_eq(et_loader_broken(l)->n, 2);
            et_loader_free(l);
        }
        ck_assert(want[0] != want[1]);
    }
    et_feature_cache_free(cache);
    et_front_end_free(fe);
    et_collection_free(c);
}
END_TEST

START_TEST(order_and_labels)
{
    et_collection *c = make_collection();
    int32_t index[8] = {0, 1, 2, 3, 5, 8, 9, 10}, order[8];
    et_loader_options o = {.rate = 8000, .rows = 1700, .crop = ET_CROP_FIRST, .size = 3, .shuffle = true,
                           .seed = 9, .threads = 2};
    et_loader *l = et_loader_new(c, index, 8, &o);
    et_loader_batch b;
    int64_t at = 0;

    made(l);
    ck_assert_int_eq(et_loader_entries(l), 8);
    ck_assert_int_eq(et_loader_count(l), 3);
    et_batch_order(index, 8, true, 9, 2, order); /* the order of et_batches */
    ok(et_loader_start(l, 2));
    for (;;) {
        et_scope *s = et_scope_open();
        ok(et_loader_next(l, &b));
        for (int64_t k = 0; k < b.n; k++, at++) {
            int32_t i;
            if (order[at] == BROKEN)
                at++;
            i = order[at];
            ck_assert_int_eq(et_data_i32(b.item)[k], i);
            ck_assert_int_eq(et_data_i32(b.y)[k], i % 3);
            ck_assert_int_eq(((const uint8_t *)et_data(b.tags))[k * L + 1], i > 6);
            ck_assert_int_eq(b.x->ndim, 2);
            if (i % 2) { /* no resampling: the sound itself, its two channels averaged, and zeros */
                int64_t n = (int64_t)((0.2 + 0.05 * i) * 8000), kept = n < 1700 ? n : 1700;
                const float *x = et_data_f32(b.x) + k * 1700;
                ck_assert_int_eq(et_data_i32(b.lengths)[k], kept);
                for (int64_t f = 0; f < 1700; f++) {
                    double a = sin(0.01 * (i + 1) * (double)f), b2 = sin(0.01 * (i + 1) * (double)(f + n));
                    double want = f < kept ? (a + b2) / 2 : 0;
                    ck_assert_msg(fabs(x[f] - want) < 1e-6, "item %d, sample %" PRId64, (int)i, f);
                }
            }
        }
        ok(et_scope_close(s));
        if (b.n == 0)
            break;
    }
    if (at < 8 && order[at] == BROKEN)
        at++;
    ck_assert_int_eq(at, 8);
    ck_assert_int_eq(et_loader_broken(l)->n, 1);
    ck_assert_str_eq(et_loader_broken(l)->items[0], "item5: item5.wav: truncated");
    et_loader_free(l);
    et_collection_free(c);
}
END_TEST

/* Crops of item 11 (0.75 s, 6000 samples at 8000 Hz). */
START_TEST(crops)
{
    et_collection *c = make_collection();
    const int32_t only[1] = {11};
    et_loader_options o = {.rate = 8000, .rows = 2500, .crop = ET_CROP_CHUNKS, .chunks = 4, .size = 8,
                           .threads = 1};
    et_loader *l = et_loader_new(c, only, 1, &o);
    et_scope *s = et_scope_open();
    et_loader_batch b, first;
    bool seen[30] = {false};
    int places = 0;

    made(l);
    ok(et_loader_start(l, 0));
    ok(et_loader_next(l, &b));
    ck_assert_int_eq(b.n, 3); /* the fourth is behind the end */
    ck_assert_int_eq(et_data_i32(b.lengths)[0], 2500);
    ck_assert_int_eq(et_data_i32(b.lengths)[2], 1000);
    ck_assert_int_eq(et_data_i32(b.chunk)[2], 2);
    ck_assert(et_data_f32(b.x)[2 * 2500 + 999] != 0 && et_data_f32(b.x)[2 * 2500 + 1000] == 0);
    et_loader_free(l);
    o.crop = ET_CROP_SPREAD; /* at 0, 875, 1750, 2625 */
    made(l = et_loader_new(c, only, 1, &o));
    ok(et_loader_start(l, 0));
    ok(et_loader_next(l, &first));
    ck_assert_int_eq(first.n, 4);
    for (int64_t k = 0; k < 4; k++) {
        ck_assert_int_eq(et_data_i32(first.lengths)[k], 2500);
        ck_assert_int_eq(et_data_i32(first.chunk)[k], k);
        for (int64_t f = 875 * k; f < 875 * k + 2500 && f < 5000; f++)
            ck_assert(et_data_f32(first.x)[k * 2500 + f - 875 * k] == et_data_f32(b.x)[f]);
    }
    et_loader_free(l);
    o.rows = 6001; /* longer than the sound: once */
    made(l = et_loader_new(c, only, 1, &o));
    ok(et_loader_start(l, 0));
    ok(et_loader_next(l, &first));
    ck_assert_int_eq(first.n, 1);
    ck_assert_int_eq(et_data_i32(first.lengths)[0], 6000);
    et_loader_free(l);
    o.crop = ET_CROP_FIRST;
    o.rows = 6000;
    made(l = et_loader_new(c, only, 1, &o));
    ok(et_loader_start(l, 0));
    ok(et_loader_next(l, &first));
    et_loader_free(l);
    o.crop = ET_CROP_CENTRE;
    o.rows = 100;
    made(l = et_loader_new(c, only, 1, &o));
    ok(et_loader_start(l, 0));
    ok(et_loader_next(l, &b));
    ck_assert(memcmp(et_data_f32(b.x), et_data_f32(first.x) + 2950, 400) == 0);
    et_loader_free(l);
    o.crop = ET_CROP_RANDOM;
    o.rows = 5999 - 27; /* 29 places */
    made(l = et_loader_new(c, only, 1, &o));
    for (int64_t e = 0; e < 300; e++) {
        int found = -1;
        et_scope *inner = et_scope_open();
        ok(et_loader_start(l, e));
        ok(et_loader_next(l, &b));
        for (int p = 0; p < 29 && found < 0; p++)
            if (memcmp(et_data_f32(b.x), et_data_f32(first.x) + p, (size_t)o.rows * 4) == 0)
                found = p;
        ck_assert_int_ge(found, 0);
        places += !seen[found];
        seen[found] = true;
        ok(et_scope_close(inner));
    }
    ck_assert_int_eq(places, 29);
    et_loader_free(l);
    ok(et_scope_close(s));
    et_collection_free(c);
}
END_TEST

/* Ended at any moment: nothing hangs, nothing is lost. */
START_TEST(ends_at_any_moment)
{
    et_collection *c = make_collection();
    et_pool_stats before, after;
    et_loader_options o = {.rate = 8000, .rows = 500, .crop = ET_CROP_RANDOM, .size = 2, .shuffle = true,
                           .threads = 3, .ahead = 3};

    et_pool_get_stats(&before);
    for (int taken = 0; taken < 6; taken++) {
        et_loader *l = et_loader_new(c, NULL, 0, &o);
        made(l);
        for (int64_t e = 0; e < 2; e++) {
            ok(et_loader_start(l, e));
            for (int k = 0; k < taken; k++) {
                et_scope *s = et_scope_open();
                et_loader_batch b;
                ok(et_loader_next(l, &b));
                ok(et_scope_close(s));
            }
        }
        et_loader_free(l);
    }
    et_pool_get_stats(&after);
    ck_assert_uint_eq(before.current, after.current);
    et_loader_free(NULL);
    et_collection_free(c);
}
END_TEST

START_TEST(loader_refuses)
{
    et_collection *c = make_collection();
    et_front_end *fe = et_front_end_new("rnn64");
    et_loader_options good = {.rate = 8000, .rows = 10, .size = 2}, o;
    const int32_t outside[1] = {N};
    et_loader_batch b;
    et_loader *l;

    fails_null(et_loader_new(NULL, NULL, 0, &good), ET_EINVAL, "NULL");
    fails_null(et_loader_new(c, outside, 1, &good), ET_EINVAL, "index 12 is outside 12");
    o = good, o.rows = 0;
    fails_null(et_loader_new(c, NULL, 0, &o), ET_EINVAL, "at least 1");
    o = good, o.size = 0;
    fails_null(et_loader_new(c, NULL, 0, &o), ET_EINVAL, "at least 1");
    o = good, o.threads = 257;
    fails_null(et_loader_new(c, NULL, 0, &o), ET_EINVAL, "threads 0 .. 256");
    o = good, o.rate = 0;
    fails_null(et_loader_new(c, NULL, 0, &o), ET_EINVAL, "there must be a rate");
    o = good, o.crop = ET_CROP_CHUNKS;
    fails_null(et_loader_new(c, NULL, 0, &o), ET_EINVAL, "less than one chunk");
    o = good, o.crop = ET_CROP_SPREAD;
    fails_null(et_loader_new(c, NULL, 0, &o), ET_EINVAL, "less than one chunk");
    made(l = et_loader_new(c, NULL, 0, &good));
    fails(et_loader_start(l, -1), ET_EINVAL, "epoch -1");
    {
        et_scope *s = et_scope_open();
        fails(et_loader_next(l, &b), ET_EINVAL, "no epoch");
        ok(et_scope_close(s));
    }
    ok(et_loader_start(l, 0));
    fails(et_loader_next(l, &b), ET_ESCOPE, "no scope");
    et_loader_free(l);
    et_front_end_free(fe);
    et_collection_free(c);
}
END_TEST

/* --- out of memory ---------------------------------------------------------------------------- */

static bool cache_and_load(void *user)
{
    et_front_end *fe = user;
    et_collection *c = make_collection();
    et_feature_cache_options co = {.path = in_dir("cache"), .key = "k"};
    et_feature_cache *cache = NULL;
    et_loader *l = NULL;
    et_scope *s = NULL;
    bool good = false;

    unlink(co.path);
    if (!c || !(cache = et_feature_cache_open(c, fe, &co)))
        goto end;
    {
        et_loader_options o = {.front_end = fe, .cache = cache, .rows = 9, .size = 7, .shuffle = true};
        et_loader_batch b;
        if (!(s = et_scope_open()) || !(l = et_loader_new(c, NULL, 0, &o)) || et_loader_start(l, 0) < 0)
            goto end;
        do {
            if (et_loader_next(l, &b) < 0)
                goto end;
        } while (b.n > 0);
    }
    good = true;
end:
    if (s)
        et_scope_close(s);
    et_loader_free(l);
    et_feature_cache_free(cache);
    et_collection_free(c);
    return good;
}

START_TEST(out_of_memory)
{
    et_front_end *fe = et_front_end_new("rnn64");
    ck_assert_int_gt(alloc_sweep("cache and loader", cache_and_load, fe), 100);
    et_front_end_free(fe);
}
END_TEST

/* Refusals that come while threads work: an error, or a batch, and never a hang or a leak. */
static atomic_int let_through;

static bool refuse_later(size_t bytes, void *user)
{
    (void)bytes;
    (void)user;
    return atomic_fetch_sub(&let_through, 1) > 0;
}

START_TEST(out_of_memory_in_threads)
{
    et_collection *c = make_collection();
    et_loader_options o = {.rate = 16000, .rows = 900, .crop = ET_CROP_RANDOM, .size = 2, .threads = 3};
    et_pool_stats before, after;
    int failed = 0, batches = 0;

    et_pool_get_stats(&before);
    for (int k = 0; k < 120; k++) {
        et_loader *l = et_loader_new(c, NULL, 0, &o);
        made(l);
        atomic_store(&let_through, k);
        et_set_alloc_hook(refuse_later, NULL);
        if (et_loader_start(l, 0) == ET_OK)
            for (bool more = true; more;) {
                et_scope *s = et_scope_open();
                et_loader_batch b = {.n = 0};
                if (!s || et_loader_next(l, &b) < 0)
                    failed++;
                batches += b.n > 0;
                more = s && b.n > 0;
                if (s)
                    et_scope_close(s);
            }
        else
            failed++;
        ck_assert(et_error_status() == ET_OK || et_error_status() == ET_ENOMEM);
        et_error_clear();
        et_loader_free(l);
        et_set_alloc_hook(NULL, NULL);
    }
    ck_assert_int_gt(failed, 10);
    ck_assert_int_gt(batches, 10);
    et_pool_get_stats(&after);
    ck_assert_uint_eq(before.current, after.current);
    et_collection_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loader");
    TCase *t = tcase_create("loader");

    tcase_add_checked_fixture(t, et_error_clear, NULL);
    tcase_add_checked_fixture(t, make_test_dir, remove_test_dir);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, same_for_all_threads);
    tcase_add_test(t, order_and_labels);
    tcase_add_test(t, crops);
    tcase_add_test(t, ends_at_any_moment);
    tcase_add_test(t, loader_refuses);
    tcase_add_test(t, out_of_memory);
    tcase_add_test(t, out_of_memory_in_threads);
    suite_add_tcase(s, t);
    return suite_run(s);
}
