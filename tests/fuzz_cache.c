/* libFuzzer entry: clang -fsanitize=fuzzer,address,undefined. A file with any bytes is used, made anew or
 * left alone, memory is asked for no more than the file justifies, and what is used can be read to its last
 * frame.
 *
 * The first byte of an input says what the file is: even, the bytes that follow as they are; odd, a file
 * whose sums are right, so that what stands behind them is reached: the second byte counts the features,
 * which come next, then the index; 3 in place of 1 (modulo 4) puts the beginning that the program expects
 * before it. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/feature_cache.h"
#include "tensor/alloc.h"
#include "tensor/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ITEMS = 3, MOST = 1 << 16, BLOCK = 1 << 17 };
static const unsigned char magic[8] = {'E', 'T', 'F', 'E', 'A', 'T', 0, 1};

static et_status no_sound(const et_collection *c, int64_t i, et_audio *out)
{
    (void)c;
    (void)out;
    return et_raise(ET_EFORMAT, "item %d has no sound", (int)i);
}

static bool give_up(int64_t done, int64_t total, void *user)
{
    (void)done;
    (void)total;
    (void)user;
    return false;
}

/* The index, an entry for each item, and the blocks of the file's reader and writer. */
static bool within_reason(size_t bytes, void *user)
{
    const size_t *size = user;

    if (bytes > *size + BLOCK)
        abort();
    return true;
}

static uint64_t sum(const unsigned char *p, size_t n, bool words)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i += words ? 4 : 1)
        h = (h ^ (words ? et_load_u32le(p + i) : p[i])) * 0x100000001b3u;
    return h;
}

static size_t put_text(unsigned char *p, const char *s)
{
    size_t n = strlen(s);

    et_store_u32le(p, (uint32_t)n);
    memcpy(p + 4, s, n);
    return 4 + n;
}

/* What an index of this front end and these items, under the key "k", begins with. */
static size_t put_head(unsigned char *p, const et_collection *c, const et_front_end *fe)
{
    size_t n = put_text(p, et_front_end_signature(fe));

    n += put_text(p + n, "k");
    n += put_text(p + n, c->name);
    et_store_u64le(p + n, ITEMS);
    et_store_u64le(p + n + 8, (uint64_t)et_front_end_bins(fe));
    return n + 16;
}

static size_t make_file(const uint8_t *data, size_t size, const et_collection *c, const et_front_end *fe,
                        unsigned char *file)
{
    size_t n = sizeof magic, features, index;

    if (size < 2 || size > MOST || data[0] % 2 == 0) {
        n = size < 1 ? 0 : (size > MOST ? MOST : size) - 1;
        memcpy(file, data + 1, n);
        return n;
    }
    memcpy(file, magic, n);
    features = 4 * (size_t)data[1] < size - 2 ? 4 * (size_t)data[1] : (size - 2) / 4 * 4;
    memcpy(file + n, data + 2, features);
    n += features;
    index = n;
    if (data[0] % 4 == 3)
        n += put_head(file + n, c, fe);
    memcpy(file + n, data + 2 + features, size - 2 - features);
    n += size - 2 - features;
    et_store_u64le(file + n, index);
    et_store_u64le(file + n + 8, sum(file + sizeof magic, features, true));
    et_store_u64le(file + n + 16, sum(file + index, n - index, false));
    memcpy(file + n + 24, magic, sizeof magic);
    return n + 32;
}

static void read_all(const et_feature_cache *cache)
{
    static float rows[MOST];
    int64_t bins = et_feature_cache_bins(cache), broken = 0;

    for (int64_t i = 0; i < et_feature_cache_size(cache); i++) {
        int64_t frames = et_feature_cache_frames(cache, i);
        const char *problem = et_feature_cache_problem(cache, i);

        if (frames * bins > MOST || (frames == 0 && !problem))
            abort();
        broken += problem && strlen(problem) < MOST;
        if (et_feature_cache_read(cache, i, 0, frames, rows) != ET_OK ||
            et_feature_cache_read(cache, i, frames, 1, rows) != ET_EINVAL)
            abort();
        et_error_clear();
    }
    if (broken != et_feature_cache_broken(cache))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char file[MOST + 4096];
    static et_front_end *fe; /* made once, and kept: it has large tables */
    et_collection *c = et_collection_new("fuzz");
    char path[64];
    et_feature_cache_options options = {.path = path, .key = "k", .progress = give_up};
    et_feature_cache *cache;
    size_t n;
    FILE *f;

    et_error_clear();
    snprintf(path, sizeof path, "fuzz-cache-%ld.tmp", (long)getpid());
    if (!fe)
        fe = et_front_end_new("rnn64");
    if (!c || !fe || et_names_add(&c->names, "a") < 0 || et_names_add(&c->names, "bb") < 0 ||
        et_names_add(&c->names, "c") < 0)
        abort();
    c->load = no_sound;
    n = make_file(data, size, c, fe, file);
    if (!(f = fopen(path, "wb")) || fwrite(file, 1, n, f) != n || fclose(f) != 0)
        abort();
    et_set_alloc_hook(within_reason, &n);
    cache = et_feature_cache_open(c, fe, &options);
    et_set_alloc_hook(NULL, NULL);
    if (!cache && !strstr(et_error_message(), "given up") &&
        !strstr(et_error_message(), "no file of features"))
        abort();
    if (cache)
        read_all(cache);
    et_feature_cache_free(cache);
    et_error_clear();
    unlink(path);
    et_collection_free(c);
    return 0;
}
