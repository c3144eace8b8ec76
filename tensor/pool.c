/* Two-level segregated fit.
 *
 * A region is a run of blocks; every block starts with a 64-byte header (so that
 * payloads stay aligned) that knows its size and the block before it. Free blocks hang
 * in lists by size class: the first level is the power of two, the second cuts it into
 * 16 equal parts. Two bitmaps find a list with a large enough block in constant time.
 *
 * A large block that is given back is kept whole for the next of exactly its size, until its
 * memory is needed otherwise: work of one size is cut between threads in one way, so each finds
 * the lines of its part in its own cache. (Between cores that share none, fetching lines that the
 * other has written takes a training step 6 % longer.) */
#include "config.h"

#include "tensor/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/error.h"
#include "tensor/os.h"

enum {
    UNIT = ET_ALIGN,     /* sizes are multiples of this */
    SL_BITS = 4,         /* second level: 16 classes for each power of two */
    SL = 1 << SL_BITS,
    FL = 44,             /* first level: sizes below UNIT << FL */
    QUICK = 16,          /* blocks of up to this many units are kept whole */
    WHOLE = 512,         /* blocks of this many units and more too, until they are needed otherwise, */
    WHOLE_LISTS = 64,    /* in so many lists, a power of two, */
    WHOLE_MOST = 1024,   /* at most so many of them */
    REGION = 32 << 20,   /* least size of a region */
    REGION_UNIT = 2 << 20
};

typedef struct block {
    size_t size;             /* of the payload, a multiple of UNIT; 0 ends a region */
    struct block *before;    /* the block in front of this one, NULL for the first */
    bool free;
    struct block *next, *prev; /* in its free list */
    struct region *region;
    void *system;            /* what malloc returned, for blocks that come from it */
} block;

_Static_assert(sizeof(block) <= UNIT, "a block's header must fit its alignment");

typedef struct region {
    size_t bytes;
    struct region *next;
} region;

static struct {
    pthread_mutex_t lock;
    uint64_t fl_map;
    uint32_t sl_map[FL];
    block *list[FL][SL];
    block *quick[QUICK + 1]; /* small blocks given back, by size in units: see et_pool_free */
    block *whole[WHOLE_LISTS]; /* large ones, by a hash of their size */
    int n_whole;
    region *regions;
    et_pool_stats stats;
    int mode; /* 0: not yet decided, 1: regions, 2: every block from malloc */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

#if defined(__SANITIZE_ADDRESS__)
#define ALWAYS_SYSTEM 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define ALWAYS_SYSTEM 1
#endif
#endif
#ifndef ALWAYS_SYSTEM
#define ALWAYS_SYSTEM 0
#endif

static int highest_bit(uint64_t x)
{
    int n = 0;
    for (int s = 32; s; s >>= 1)
        if (x >> s) {
            x >>= s;
            n += s;
        }
    return n;
}

static int lowest_bit(uint64_t x) { return highest_bit(x & (~x + 1)); }

static void *payload(block *b) { return (char *)b + UNIT; }
static block *block_of(void *p) { return (block *)((char *)p - UNIT); }
static block *after(block *b) { return (block *)((char *)b + UNIT + b->size); }

/* Size class of a block of n bytes: units below SL have a class each. */
static void class_of(size_t n, int *fl, int *sl)
{
    size_t units = n / UNIT;

    if (units < SL) {
        *fl = 0;
        *sl = (int)units;
    } else {
        int top = highest_bit(units);
        *fl = top - SL_BITS + 1;
        *sl = (int)(units >> (top - SL_BITS)) - SL;
    }
}

static void insert(block *b)
{
    int fl, sl;

    class_of(b->size, &fl, &sl);
    b->free = true;
    b->prev = NULL;
    b->next = pool.list[fl][sl];
    if (b->next)
        b->next->prev = b;
    pool.list[fl][sl] = b;
    pool.fl_map |= (uint64_t)1 << fl;
    pool.sl_map[fl] |= 1u << sl;
}

static void remove_free(block *b)
{
    int fl, sl;

    class_of(b->size, &fl, &sl);
    if (b->next)
        b->next->prev = b->prev;
    if (b->prev)
        b->prev->next = b->next;
    else if (!(pool.list[fl][sl] = b->next)) {
        pool.sl_map[fl] &= ~(1u << sl);
        if (!pool.sl_map[fl])
            pool.fl_map &= ~((uint64_t)1 << fl);
    }
    b->free = false;
}

/* A free block of at least n bytes among those of n's own class, which hold smaller ones too. */
static block *find_near(size_t n)
{
    int fl, sl;

    class_of(n, &fl, &sl);
    for (block *b = fl < FL ? pool.list[fl][sl] : NULL; b; b = b->next)
        if (b->size >= n) {
            remove_free(b);
            return b;
        }
    return NULL;
}

/* A free block of at least n bytes among those of larger classes; NULL if there is none. */
static block *find_larger(size_t n)
{
    int fl, sl;
    size_t units = n / UNIT;

    /* Round up to the next class, so that any block found there is large enough. */
    if (units >= SL)
        n += ((size_t)1 << (highest_bit(units) - SL_BITS)) * UNIT - UNIT;
    class_of(n, &fl, &sl);
    if (fl >= FL)
        return NULL;
    uint32_t in_row = pool.sl_map[fl] & (~0u << sl);
    if (!in_row) {
        uint64_t rows = pool.fl_map & (~(uint64_t)0 << (fl + 1));
        if (!rows)
            return NULL;
        fl = lowest_bit(rows);
        in_row = pool.sl_map[fl];
    }
    block *b = pool.list[fl][lowest_bit(in_row)];
    remove_free(b);
    return b;
}

/* A free block of at least n bytes, out of its list; NULL if there is none. */
static block *find_free(size_t n)
{
    block *b = find_larger(n);

    return b ? b : find_near(n);
}

/* Cuts what is more than n bytes off b, and makes it a free block. */
static void split(block *b, size_t n)
{
    if (b->size < n + 2 * UNIT)
        return;
    block *rest = (block *)((char *)b + UNIT + n);
    *rest = (block){.size = b->size - n - UNIT, .before = b, .region = b->region};
    b->size = n;
    after(rest)->before = rest;
    insert(rest);
}

/* Joins b with its free neighbours and makes it a free block. */
static void join(block *b)
{
    block *next = after(b);

    if (next->free) {
        remove_free(next);
        b->size += UNIT + next->size;
        after(b)->before = b;
    }
    if (b->before && b->before->free) {
        block *before = b->before;
        remove_free(before);
        before->size += UNIT + b->size;
        b = before;
        after(b)->before = b;
    }
    insert(b);
}

/* By multiplicative hashing: 2^32 over the golden ratio (Knuth, volume 3, 6.4). */
static block **whole_list(size_t n)
{
    return &pool.whole[(n / UNIT * 0x9E3779B9u >> 16) % WHOLE_LISTS];
}

/* A block that was kept whole, of exactly n bytes; NULL if there is none. */
static block *find_whole(size_t n)
{
    for (block **link = whole_list(n); *link; link = &(*link)->next)
        if ((*link)->size == n) {
            block *b = *link;
            *link = b->next;
            pool.n_whole--;
            return b;
        }
    return NULL;
}

/* Makes free blocks of all that were kept whole; false if there were none. */
static bool join_whole(void)
{
    if (!pool.n_whole)
        return false;
    for (int i = 0; i < WHOLE_LISTS; i++)
        while (pool.whole[i]) {
            block *b = pool.whole[i];
            pool.whole[i] = b->next;
            join(b);
        }
    pool.n_whole = 0;
    return true;
}

static void keep_whole(block *b)
{
    if (pool.n_whole == WHOLE_MOST)
        join_whole();
    block **list = whole_list(b->size);
    b->next = *list;
    *list = b;
    pool.n_whole++;
}

/* Takes a region from the system that can hold a block of n bytes. */
static block *grow(size_t n)
{
    size_t bytes = n + 3 * UNIT; /* region header, block header, end mark */

    if (bytes < n || bytes > SIZE_MAX - REGION_UNIT)
        return NULL;
    if (bytes < REGION)
        bytes = REGION;
    bytes = (bytes + REGION_UNIT - 1) / REGION_UNIT * REGION_UNIT;
    region *r = et_os_region(bytes);
    if (!r)
        return NULL;
    *r = (region){.bytes = bytes, .next = pool.regions};
    pool.regions = r;
    pool.stats.reserved += bytes;
    pool.stats.system_allocs++;
    block *b = (block *)((char *)r + UNIT);
    *b = (block){.size = bytes - 3 * UNIT, .region = r};
    *after(b) = (block){.size = 0, .before = b, .region = r};
    return b;
}

/* A block of n bytes or little more; NULL if there is none to be had. *hit: without asking the system. */
static block *take(size_t n, bool *hit)
{
    block *b = n / UNIT <= QUICK ? pool.quick[n / UNIT] : NULL;

    *hit = true;
    if (b) {
        pool.quick[n / UNIT] = b->next;
        return b;
    }
    if (n / UNIT >= WHOLE && (b = find_whole(n)))
        return b;
    b = find_free(n);
    if (!b && join_whole())
        b = find_free(n);
    *hit = b != NULL;
    if (!b)
        b = grow(n);
    if (b)
        split(b, n);
    return b;
}

static void count_in(size_t bytes, bool hit)
{
    pool.stats.requests++;
    pool.stats.hits += hit;
    pool.stats.current += bytes;
    if (pool.stats.current > pool.stats.peak)
        pool.stats.peak = pool.stats.current;
}

/* A block straight from malloc, for tools that want to see its edges. */
static void *system_block(size_t bytes, size_t n)
{
    char *p = malloc(bytes + 2 * UNIT);

    if (!p)
        return NULL;
    char *start = p + (UNIT - (uintptr_t)p % UNIT) % UNIT;
    *(block *)start = (block){.size = n, .system = p};
    pool.stats.system_allocs++;
    pool.stats.reserved += n;
    return start + UNIT;
}

void *et_pool_alloc(size_t bytes)
{
    void *p = NULL;
    size_t n = bytes < UNIT ? UNIT : (bytes + UNIT - 1) / UNIT * UNIT;

    if (n < bytes || n > SIZE_MAX / 2 || !et_alloc_allowed(bytes)) {
        et_raise(ET_ENOMEM, "out of memory (%zu bytes)", bytes);
        return NULL;
    }
    pthread_mutex_lock(&pool.lock);
    if (!pool.mode) {
        const char *env = getenv("ETUDE_POOL");
        pool.mode = ALWAYS_SYSTEM || (env && strcmp(env, "system") == 0) ? 2 : 1;
    }
    if (pool.mode == 2) {
        p = system_block(bytes, n);
        if (p)
            count_in(n, false);
    } else {
        bool hit;
        block *b = take(n, &hit);
        if (b) {
            count_in(b->size, hit);
            p = payload(b);
        }
    }
    pthread_mutex_unlock(&pool.lock);
    if (!p)
        et_raise(ET_ENOMEM, "out of memory (%zu bytes)", bytes);
    return p;
}

/* Small blocks, which handles and nodes are, come and go all the time in the same few
 * sizes: they wait in lists of their own, neither cut nor joined. Large ones wait as well. */
void et_pool_free(void *p)
{
    if (!p)
        return;
    block *b = block_of(p);
    pthread_mutex_lock(&pool.lock);
    pool.stats.current -= b->size;
    if (b->system) {
        pool.stats.reserved -= b->size;
        free(b->system);
    } else if (b->size / UNIT <= QUICK) {
        b->next = pool.quick[b->size / UNIT];
        pool.quick[b->size / UNIT] = b;
    } else if (b->size / UNIT >= WHOLE) {
        keep_whole(b);
    } else {
        join(b);
    }
    pthread_mutex_unlock(&pool.lock);
}

void et_pool_get_stats(et_pool_stats *out)
{
    pthread_mutex_lock(&pool.lock);
    *out = pool.stats;
    pthread_mutex_unlock(&pool.lock);
}

void et_pool_reset_peak(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.stats.peak = pool.stats.current;
    pthread_mutex_unlock(&pool.lock);
}

void et_pool_trim(void)
{
    pthread_mutex_lock(&pool.lock);
    for (int units = 1; units <= QUICK; units++)
        while (pool.quick[units]) {
            block *b = pool.quick[units];
            pool.quick[units] = b->next;
            join(b);
        }
    join_whole();
    for (region **link = &pool.regions; *link;) {
        region *r = *link;
        block *b = (block *)((char *)r + UNIT);
        if (b->free && after(b)->size == 0) {
            remove_free(b);
            *link = r->next;
            pool.stats.reserved -= r->bytes;
            et_os_region_free(r, r->bytes);
        } else {
            link = &r->next;
        }
    }
    pthread_mutex_unlock(&pool.lock);
}
