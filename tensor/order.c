/* Numbers are sorted as items of 64 bits: above a key, whose order as an unsigned integer is that of the
 * numbers, below the place. Few by counting how many come before each, many by their keys' bytes, from the
 * lowest up (radix sort); both are stable. */
#include "config.h"

#include <string.h>

#include "tensor/order.h"

enum { FEW = 48, BYTES = 4 };

static uint32_t key_of(uint64_t item) { return (uint32_t)(item >> 32); }

static uint32_t key_f32(float x, bool descending)
{
    uint32_t u;

    x += 0.0f; /* -0 becomes 0 */
    memcpy(&u, &x, sizeof u);
    u = (u & 0x7fffffff) > 0x7f800000 ? UINT32_MAX : u & 0x80000000 ? ~u : u | 0x80000000;
    return descending ? ~u : u;
}

static uint64_t key_f64(double x, bool descending)
{
    const uint64_t sign = UINT64_C(1) << 63;
    uint64_t u;

    x += 0.0;
    memcpy(&u, &x, sizeof u);
    u = (u & ~sign) > UINT64_C(0x7ff) << 52 ? UINT64_MAX : u & sign ? ~u : u | sign;
    return descending ? ~u : u;
}

static void sort_few(uint64_t *v, uint64_t *tmp, int64_t n)
{
    int32_t rank[FEW];

    for (int64_t j = 0; j < n; j++) {
        const uint32_t key = key_of(v[j]);
        int32_t before = 0;
        for (int64_t i = 0; i < j; i++) {
            const int32_t later = key_of(v[i]) > key;
            rank[i] += later;
            before += !later;
        }
        rank[j] = before;
    }
    memcpy(tmp, v, (size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; i++)
        v[rank[i]] = tmp[i];
}

static void sort_many(uint64_t *v, uint64_t *tmp, int64_t n)
{
    int32_t counts[BYTES][256] = {{0}};
    uint64_t *from = v, *to = tmp;

    for (int64_t i = 0; i < n; i++)
        for (int b = 0; b < BYTES; b++)
            counts[b][v[i] >> (32 + 8 * b) & 255]++;
    for (int b = 0; b < BYTES; b++) {
        int32_t *next = counts[b], at = 0;
        if (next[v[0] >> (32 + 8 * b) & 255] == n)
            continue; /* the same in all */
        for (int i = 0; i < 256; i++) {
            const int32_t count = next[i];
            next[i] = at;
            at += count;
        }
        for (int64_t i = 0; i < n; i++)
            to[next[from[i] >> (32 + 8 * b) & 255]++] = from[i];
        uint64_t *t = from;
        from = to;
        to = t;
    }
    if (from != v)
        memcpy(v, from, (size_t)n * sizeof *v);
}

/* Sorts v by the keys; tmp has room for n. */
static void sort_items(uint64_t *v, uint64_t *tmp, int64_t n)
{
    if (n <= FEW)
        sort_few(v, tmp, n);
    else
        sort_many(v, tmp, n);
}

/* The first k in order to v. A number that comes before the k-th so far goes to its place, where k is small;
 * else such are gathered behind, and now and then the worst dropped. */
static void pick_f32(const float *x, int64_t step, int64_t n, bool descending, int64_t k, int64_t room,
                     uint64_t *v, uint64_t *tmp)
{
    uint32_t limit = UINT32_MAX;
    float worst = 0;
    const bool few = k <= FEW;
    bool full = false; /* k are known */
    int64_t m = 0;

    for (int64_t i = 0; i < n; i++) {
        if (full && descending)
            while (i < n && x[i * step] <= worst)
                i++;
        else if (full)
            while (i < n && x[i * step] >= worst)
                i++;
        if (i == n)
            break;
        const uint32_t key = key_f32(x[i * step], descending);
        if (full && key >= limit)
            continue;
        const uint64_t item = (uint64_t)key << 32 | (uint64_t)i;
        if (few) {
            int64_t to = m < k ? m++ : k - 1;
            for (; to > 0 && key_of(v[to - 1]) > key; to--)
                v[to] = v[to - 1];
            v[to] = item;
            full = m == k;
        } else {
            v[m++] = item;
            if (m == room) {
                sort_items(v, tmp, m);
                m = k;
                full = true;
            }
        }
        if (full && m == k) {
            limit = key_of(v[k - 1]);
            worst = x[(int64_t)(uint32_t)v[k - 1] * step];
        }
    }
    if (!few)
        sort_items(v, tmp, m);
}

size_t et_order_bytes(int64_t n) { return (size_t)n * 20; }

const int32_t *et_order(et_dtype dtype, int64_t n, const void *x, int64_t step, bool descending, int64_t k,
                        void *scratch)
{
    uint64_t *v = scratch, *tmp = v + n;
    int32_t *at = (int32_t *)(void *)(tmp + n);
    const int64_t room = 2 * k; /* for those that may be among the first */

    if (dtype == ET_F32 && 2 * room <= n && n > FEW) {
        pick_f32(x, step, n, descending, k, room, v, tmp);
    } else if (dtype == ET_F32) {
        for (int64_t i = 0; i < n; i++)
            v[i] = (uint64_t)key_f32(((const float *)x)[i * step], descending) << 32 | (uint64_t)i;
        sort_items(v, tmp, n);
    } else { /* by the lower half of the key, then by the upper one */
        for (int64_t i = 0; i < n; i++)
            v[i] = key_f64(((const double *)x)[i * step], descending) << 32 | (uint64_t)i;
        sort_items(v, tmp, n);
        for (int64_t i = 0; i < n; i++) {
            const uint64_t place = v[i] & UINT32_MAX;
            v[i] = key_f64(((const double *)x)[(int64_t)place * step], descending) >> 32 << 32 | place;
        }
        sort_items(v, tmp, n);
    }
    for (int64_t i = 0; i < k; i++)
        at[i] = (int32_t)(uint32_t)v[i];
    return at;
}
