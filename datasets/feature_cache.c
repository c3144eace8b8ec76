/* The file of features.
 *
 *   "ETFEAT" 0 1                                   8 bytes
 *   features of all items, one after the other     float32, little-endian
 *   index: signature, key, name of the collection; u64 items, u64 bins;
 *          for each item its name, u64 size, u64 seconds and u64 nanoseconds of the source's date,
 *          u64 frames, what is wrong with it       (texts: u32 length, bytes)
 *          size 2^64 - 1: a source that could not be read, for no fault of its own perhaps
 *   u64 index offset, u64 checksum of the features, u64 checksum of the index, "ETFEAT" 0 1
 */
#include "config.h"

#include "datasets/feature_cache.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/ordered.h"
#include "tensor/alloc.h"
#include "tensor/bytes.h"
#include "tensor/file.h"
#include "tensor/hash.h"
#include "tensor/strbuf.h"
#include "tensor/wire.h"

enum { MAGIC = 8, NAME = 6, FOOTER = 32, BLOCK = 1 << 16 };
static const unsigned char magic[MAGIC] = {'E', 'T', 'F', 'E', 'A', 'T', 0, 1}; /* NAME bytes, the version */

/* In place of the size of a source that could not be read for a reason outside of it. */
#define UNREAD UINT64_MAX

/* Where an item's features are, and what they were made of. */
typedef struct entry {
    uint64_t size, seconds, nanoseconds; /* of the source */
    int64_t frames;
    uint64_t offset; /* in the file */
    char *problem;   /* or NULL */
} entry;

struct et_feature_cache {
    et_reader *file;
    entry *entries;
    int64_t n, bins, broken;
    uint64_t sum; /* of the features, as the file tells it */
    bool made;
    const char *why;
};

/* As et_hash, over words of four bytes (n is a multiple of 4). */
static uint64_t sum_words(uint64_t h, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i + 4 <= n; i += 4)
        h = (h ^ et_load_u32le(p + i)) * ET_HASH_PRIME;
    return h;
}

/* --- one item -------------------------------------------------------------------------------- */

et_status et_item_features(const et_collection *c, int64_t i, const et_front_end *fe, float **rows,
                           int64_t *frames)
{
    et_audio a;
    int64_t n, bins;
    const float *samples;

    if (!c || !fe || !rows || !frames)
        return et_raise(ET_EINVAL, "features: NULL");
    *rows = NULL;
    *frames = 0;
    if (et_collection_audio(c, i, &a) < 0)
        return et_error_status();
    if (et_audio_to_mono(&a) < 0 || et_audio_to_rate(&a, et_front_end_rate(fe)) < 0)
        goto fail;
    bins = et_front_end_bins(fe);
    n = et_front_end_frames(fe, a.samples->numel);
    if (n < 1) {
        et_raise(ET_ESHAPE, "%" PRId64 " samples are too short for %s", a.samples->numel,
                 et_front_end_name(fe));
        goto fail;
    }
    if (!(*rows = et_alloc_zero((size_t)n, (size_t)bins * sizeof **rows)))
        goto fail;
    samples = et_data_f32(a.samples);
    if (!samples || et_front_end_run(fe, samples, a.samples->numel, *rows) < 0)
        goto fail;
    et_audio_free(&a);
    *frames = n;
    return ET_OK;
fail:
    et_audio_free(&a);
    et_dealloc(*rows);
    *rows = NULL;
    return et_fail_status(c->names.items[i]);
}

/* Size and date of an item's file; zeros where there is none. */
static void look_at_source(const et_collection *c, int64_t i, entry *e)
{
    struct stat st;

    e->size = e->seconds = e->nanoseconds = 0;
    if (c->files.n == 0 || stat(c->files.items[i], &st) != 0)
        return;
    e->size = (uint64_t)st.st_size;
    e->seconds = (uint64_t)st.st_mtim.tv_sec;
    e->nanoseconds = (uint64_t)st.st_mtim.tv_nsec;
}

/* --- making the file ---------------------------------------------------------------------------- */

static void put_u32(et_strbuf *b, uint32_t v)
{
    unsigned char bytes[4];
    et_store_u32le(bytes, v);
    et_strbuf_add(b, bytes, sizeof bytes);
}

static void put_u64(et_strbuf *b, uint64_t v)
{
    unsigned char bytes[8];
    et_store_u64le(bytes, v);
    et_strbuf_add(b, bytes, sizeof bytes);
}

static void put_text(et_strbuf *b, const char *s)
{
    put_u32(b, (uint32_t)strlen(s));
    et_strbuf_add(b, s, strlen(s));
}

/* The beginning of the index, which must be the same for a file to be used. */
static void put_head(et_strbuf *b, const et_collection *c, const et_front_end *fe, const char *key)
{
    put_text(b, et_front_end_signature(fe));
    put_text(b, key ? key : "");
    put_text(b, c->name);
    put_u64(b, (uint64_t)c->names.n);
    put_u64(b, (uint64_t)et_front_end_bins(fe));
}

typedef struct job {
    const et_collection *c;
    const et_front_end *fe;
} job;

typedef struct made {
    entry e;
    float *rows;
} made;

static et_status make_item(void *user, int64_t i, void *result)
{
    const job *k = user;
    made *m = result;

    look_at_source(k->c, i, &m->e);
    return et_item_features(k->c, i, k->fe, &m->rows, &m->e.frames);
}

static void drop_item(void *result) { et_dealloc(((made *)result)->rows); }

/* Appends an item's features; *sum goes on. The rows are turned into the file's bytes in place. */
static et_status write_item(et_writer *w, const made *m, int64_t bins, uint64_t *sum)
{
    size_t n = (size_t)(m->e.frames * bins);

    et_wire_encode(ET_F32, (int64_t)n, m->rows);
    *sum = sum_words(*sum, (const unsigned char *)m->rows, 4 * n);
    return et_writer_put(w, m->rows, 4 * n);
}

/* Takes the next item, number i, and writes its line of the index. One that cannot be read has no rows there,
 * but what is wrong with it. */
static et_status take_item(et_ordered *work, const et_collection *c, int64_t i, made *m, et_strbuf *index)
{
    char problem[1024] = "";
    et_status status = et_ordered_take(work, m);

    if (status < 0 && status != ET_ENOMEM) {
        strncpy(problem, et_error_message(), sizeof problem - 1);
        et_error_clear();
        m->e.frames = 0;
        look_at_source(c, i, &m->e);
        if (status == ET_EIO)
            m->e.size = UNREAD;
        status = ET_OK;
    }
    put_text(index, c->names.items[i]);
    put_u64(index, m->e.size);
    put_u64(index, m->e.seconds);
    put_u64(index, m->e.nanoseconds);
    put_u64(index, (uint64_t)m->e.frames);
    put_text(index, problem);
    return status;
}

/* The end of the file: the index, where it begins, and hashes of rows and index. */
static et_status write_end(et_writer *w, const et_strbuf *index, uint64_t offset, uint64_t sum)
{
    unsigned char footer[FOOTER];

    et_store_u64le(footer, offset);
    et_store_u64le(footer + 8, sum);
    et_store_u64le(footer + 16, et_hash(ET_HASH_START, index->data, index->size));
    memcpy(footer + 24, magic, MAGIC);
    et_writer_put(w, index->data, index->size);
    et_writer_put(w, footer, FOOTER);
    return et_writer_commit(w);
}

static et_status make_file(const et_collection *c, const et_front_end *fe, const et_feature_cache_options *o)
{
    job k = {c, fe};
    et_ordered_jobs jobs = {.n = c->names.n, .threads = o->threads, .ahead = 2 * o->threads + 1,
                            .size = sizeof(made), .work = make_item, .drop = drop_item, .user = &k};
    et_strbuf index = ET_STRBUF_INIT;
    int64_t bins = et_front_end_bins(fe);
    uint64_t sum = ET_HASH_START, offset = MAGIC;
    et_writer *w = et_writer_open(o->path);
    et_ordered *work = w ? et_ordered_start(&jobs) : NULL;
    et_status status = work ? et_writer_put(w, magic, MAGIC) : et_error_status();

    put_head(&index, c, fe, o->key);
    for (int64_t i = 0; status == ET_OK && i < c->names.n; i++) {
        made m = {.rows = NULL};

        status = take_item(work, c, i, &m, &index);
        offset += (uint64_t)(m.e.frames * bins) * 4;
        if (status == ET_OK && m.e.frames > 0)
            status = write_item(w, &m, bins, &sum);
        et_dealloc(m.rows);
        if (status == ET_OK && index.failed)
            status = et_fail_status("feature cache");
        if (status == ET_OK && o->progress && !o->progress(i + 1, c->names.n, o->user))
            status = et_raise(ET_EINVAL, "feature cache: given up at item %" PRId64 " of %" PRId64, i + 1,
                              c->names.n);
    }
    et_ordered_stop(work);
    if (status == ET_OK && index.failed)
        status = et_fail_status("feature cache");
    if (status == ET_OK)
        status = write_end(w, &index, offset, sum);
    else
        et_writer_discard(w);
    et_strbuf_free(&index);
    return status;
}

/* --- reading the file ----------------------------------------------------------------------------- */

/* The index in memory; `at` runs over it. */
typedef struct cursor {
    const unsigned char *p;
    size_t size, at;
    bool bad; /* it ended early */
} cursor;

static uint64_t take_u64(cursor *k)
{
    if (k->bad || k->size - k->at < 8) {
        k->bad = true;
        return 0;
    }
    k->at += 8;
    return et_load_u64le(k->p + k->at - 8);
}

/* A text in place: its bytes, not ended by NUL. */
static const char *take_text(cursor *k, size_t *n)
{
    *n = 0;
    if (k->bad || k->size - k->at < 4 || et_load_u32le(k->p + k->at) > k->size - k->at - 4) {
        k->bad = true;
        return "";
    }
    *n = et_load_u32le(k->p + k->at);
    k->at += 4 + *n;
    return (const char *)k->p + k->at - *n;
}

/* Whether the source that entry e tells of is another now: one that could not be read is tried again, as it
 * may have been closed to this user, or the program that decodes it not been there. */
static et_status compare_source(const et_collection *c, int64_t i, const et_front_end *fe, const entry *e,
                                const char **why)
{
    float *rows = NULL;
    int64_t frames;
    entry now;

    if (e->size == UNREAD) {
        et_status status = et_item_features(c, i, fe, &rows, &frames);
        et_dealloc(rows);
        if (status == ET_ENOMEM)
            return status;
        if (status != ET_EIO)
            *why = "a source can be read now";
        et_error_clear();
        return ET_OK;
    }
    look_at_source(c, i, &now);
    if (now.size != e->size || now.seconds != e->seconds || now.nanoseconds != e->nanoseconds)
        *why = "a source has changed";
    return ET_OK;
}

/* Reads the entries and compares them with the collection.
 * *why says what differs; it stays NULL if nothing does. */
static et_status read_entries(et_feature_cache *cache, cursor *k, const et_collection *c,
                              const et_front_end *fe, uint64_t data_end, const char **why)
{
    uint64_t offset = MAGIC;

    for (int64_t i = 0; i < c->names.n; i++) {
        size_t n, np;
        const char *name = take_text(k, &n), *problem;
        entry *e = &cache->entries[i];
        uint64_t frames;

        e->size = take_u64(k);
        e->seconds = take_u64(k);
        e->nanoseconds = take_u64(k);
        frames = take_u64(k);
        problem = take_text(k, &np);
        if (k->bad || frames > (data_end - offset) / 4 / (uint64_t)cache->bins) {
            *why = "damaged";
            return ET_OK;
        }
        if (n != strlen(c->names.items[i]) || memcmp(name, c->names.items[i], n) != 0) {
            *why = "other items";
            return ET_OK;
        }
        if (compare_source(c, i, fe, e, why) < 0 || *why)
            return et_error_status();
        e->frames = (int64_t)frames;
        e->offset = offset;
        offset += frames * (uint64_t)cache->bins * 4;
        if (np > 0 || frames == 0) {
            if (!(e->problem = et_alloc(np + 1)))
                return et_error_status();
            memcpy(e->problem, problem, np);
            e->problem[np] = '\0';
            cache->broken++;
        }
    }
    if (k->at != k->size || offset != data_end)
        *why = "damaged";
    return ET_OK;
}

/* Whether the features still have their sum. */
static et_status check_features(et_reader *r, uint64_t end, uint64_t want, const char **why)
{
    unsigned char *block = et_alloc(BLOCK);
    uint64_t sum = ET_HASH_START;
    et_status status = block ? ET_OK : et_error_status();

    for (uint64_t at = MAGIC; status == ET_OK && at < end;) {
        size_t n = end - at < BLOCK ? (size_t)(end - at) : BLOCK;
        status = et_reader_at(r, at, block, n);
        if (status == ET_OK)
            sum = sum_words(sum, block, n);
        at += n;
    }
    et_dealloc(block);
    if (status == ET_OK && sum != want)
        *why = "damaged";
    return status;
}

/* A file that neither begins nor ends as files of features do, whatever their version, is somebody else's and
 * not written over. An empty one is as good as none. */
static et_status check_ours(et_reader *r)
{
    uint64_t size = et_reader_size(r);
    size_t n = size < NAME ? (size_t)size : NAME;
    unsigned char head[NAME], end[MAGIC] = {0};

    if (et_reader_at(r, 0, head, n) < 0 || (size >= MAGIC && et_reader_at(r, size - MAGIC, end, MAGIC) < 0))
        return et_error_status();
    if (memcmp(head, magic, n) == 0 || memcmp(end, magic, NAME) == 0)
        return ET_OK;
    return et_raise(ET_EINVAL, "%s: no file of features, and is not written over", et_reader_name(r));
}

/* Reads what the file says of itself into the cache; *why is NULL if it can be used. */
static et_status examine(et_feature_cache *cache, const et_collection *c, const et_front_end *fe,
                         const char *key, const char **why)
{
    unsigned char footer[FOOTER], head[MAGIC], *index = NULL;
    uint64_t size = et_reader_size(cache->file), at;
    et_strbuf want = ET_STRBUF_INIT;
    et_status status = ET_OK;
    cursor k;

    *why = "damaged";
    if (check_ours(cache->file) < 0)
        return et_error_status();
    if (size < MAGIC + FOOTER)
        return ET_OK;
    if (et_reader_at(cache->file, 0, head, MAGIC) < 0 ||
        et_reader_at(cache->file, size - FOOTER, footer, FOOTER) < 0)
        return et_error_status();
    at = et_load_u64le(footer);
    if (memcmp(head, magic, MAGIC) != 0 || memcmp(footer + 24, magic, MAGIC) != 0 || at < MAGIC ||
        at > size - FOOTER || (at - MAGIC) % 4 != 0)
        return ET_OK;
    k = (cursor){.size = (size_t)(size - FOOTER - at)};
    if (!(index = et_alloc(k.size)) || et_reader_at(cache->file, at, index, k.size) < 0) {
        status = et_error_status();
        goto end;
    }
    k.p = index;
    if (et_hash(ET_HASH_START, index, k.size) != et_load_u64le(footer + 16))
        goto end;
    put_head(&want, c, fe, key);
    if (want.failed) {
        status = et_fail_status("feature cache");
        goto end;
    }
    if (k.size < want.size || memcmp(index, want.data, want.size) != 0) {
        *why = "made of other things (front end, key or collection)";
        goto end;
    }
    k.at = want.size;
    *why = NULL;
    status = read_entries(cache, &k, c, fe, at, why);
    cache->sum = et_load_u64le(footer + 8);
    if (status == ET_OK && !*why)
        status = check_features(cache->file, at, cache->sum, why);
end:
    et_strbuf_free(&want);
    et_dealloc(index);
    return status;
}

/* --- opening --------------------------------------------------------------------------------------- */

static void forget_entries(et_feature_cache *cache)
{
    for (int64_t i = 0; i < cache->n; i++) {
        et_dealloc(cache->entries[i].problem);
        cache->entries[i] = (entry){.problem = NULL};
    }
    cache->broken = 0;
    et_reader_close(cache->file);
    cache->file = NULL;
}

et_feature_cache *et_feature_cache_open(const et_collection *c, const et_front_end *fe,
                                        const et_feature_cache_options *options)
{
    et_feature_cache *cache;
    struct stat st;
    const char *why = "no file yet";
    et_status status;

    if (!c || !fe || !options || !options->path || options->threads < 0) {
        et_raise(ET_EINVAL, "feature cache: NULL");
        return NULL;
    }
    if (et_collection_check(c) < 0)
        return NULL;
    if (c->files.n == 0 && !options->key) {
        et_raise(ET_EINVAL, "feature cache: %s has no files: a key must say what its sounds depend on",
                 c->name);
        return NULL;
    }
    if (!(cache = et_alloc_zero(1, sizeof *cache)))
        return NULL;
    cache->n = c->names.n;
    cache->bins = et_front_end_bins(fe);
    cache->entries = et_alloc_zero((size_t)cache->n, sizeof *cache->entries);
    status = cache->entries ? ET_OK : et_error_status();
    if (status == ET_OK && stat(options->path, &st) == 0) {
        cache->file = et_reader_open(options->path);
        status = cache->file ? examine(cache, c, fe, options->key, &why) : et_error_status();
    }
    if (status == ET_OK && why) {
        forget_entries(cache);
        cache->made = true;
        cache->why = why;
        status = make_file(c, fe, options);
        if (status == ET_OK && !(cache->file = et_reader_open(options->path)))
            status = et_error_status();
        if (status == ET_OK)
            status = examine(cache, c, fe, options->key, &why);
        if (status == ET_OK && why)
            status = et_raise(ET_EIO, "%s: just made, but %s", options->path, why);
    }
    if (status < 0) {
        et_feature_cache_free(cache);
        return NULL;
    }
    return cache;
}

void et_feature_cache_free(et_feature_cache *cache)
{
    if (!cache)
        return;
    if (cache->entries)
        forget_entries(cache);
    et_reader_close(cache->file);
    et_dealloc(cache->entries);
    et_dealloc(cache);
}

bool et_feature_cache_was_made(const et_feature_cache *cache, const char **why)
{
    if (why)
        *why = cache && cache->why ? cache->why : "";
    return cache && cache->made;
}

int64_t et_feature_cache_size(const et_feature_cache *cache) { return cache ? cache->n : 0; }
int64_t et_feature_cache_broken(const et_feature_cache *cache) { return cache ? cache->broken : 0; }
int64_t et_feature_cache_bins(const et_feature_cache *cache) { return cache ? cache->bins : 0; }

uint64_t et_feature_cache_sum(const et_feature_cache *cache)
{
    unsigned char bytes[8];
    uint64_t h = cache ? cache->sum : 0;

    for (int64_t i = 0; cache && i < cache->n; i++) {
        et_store_u64le(bytes, (uint64_t)cache->entries[i].frames);
        h = sum_words(h, bytes, sizeof bytes);
    }
    return h;
}

int64_t et_feature_cache_frames(const et_feature_cache *cache, int64_t i)
{
    return cache && i >= 0 && i < cache->n ? cache->entries[i].frames : 0;
}

const char *et_feature_cache_problem(const et_feature_cache *cache, int64_t i)
{
    return cache && i >= 0 && i < cache->n ? cache->entries[i].problem : NULL;
}

et_status et_feature_cache_read(const et_feature_cache *cache, int64_t i, int64_t from, int64_t n, float *out)
{
    size_t bytes;

    if (!cache || !out || i < 0 || i >= cache->n || from < 0 || n < 0 || n > cache->entries[i].frames - from)
        return et_raise(ET_EINVAL, "feature cache: no frames %" PRId64 " .. %" PRId64 " of item %" PRId64,
                        from, from + n, i);
    bytes = (size_t)(n * cache->bins) * 4;
    if (et_reader_at(cache->file, cache->entries[i].offset + (uint64_t)(from * cache->bins) * 4, out,
                     bytes) < 0)
        return et_error_status();
    if (!et_wire_is_memory(ET_WIRE_F32, false))
        et_wire_decode(ET_WIRE_F32, false, (const unsigned char *)out, n * cache->bins, out);
    return ET_OK;
}
