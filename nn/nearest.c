/* The nearest of many vectors. */
#include "config.h"

#include <inttypes.h>
#include <math.h>

#include "nn/nearest.h"
#include "tensor/alloc.h"
#include "tensor/gemm.h"

enum { BLOCK = 8192 }; /* rows whose products are at hand at a time */

/* The best so far: a heap with the worst of them on top. */
typedef struct heap {
    int64_t n, k;
    int32_t *index;
    float *score;
} heap;

/* True if entry a comes behind b. */
static bool behind(const heap *h, int64_t a, int64_t b)
{
    return h->score[a] < h->score[b] || (h->score[a] == h->score[b] && h->index[a] > h->index[b]);
}

static void swap(heap *h, int64_t a, int64_t b)
{
    const int32_t index = h->index[a];
    const float score = h->score[a];

    h->index[a] = h->index[b];
    h->score[a] = h->score[b];
    h->index[b] = index;
    h->score[b] = score;
}

/* Lets the entry on top sink to its place among the first n. */
static void sink(heap *h, int64_t n)
{
    for (int64_t at = 0, child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && behind(h, child + 1, child))
            child++;
        if (!behind(h, child, at))
            return;
        swap(h, at, child);
    }
}

static void rise(heap *h, int64_t at)
{
    for (int64_t up; at > 0 && behind(h, at, up = (at - 1) / 2); at = up)
        swap(h, at, up);
}

/* Rows come in the order of their numbers: one that equals the worst stands behind it. */
static void offer(heap *h, int64_t row, float score)
{
    if (h->n < h->k) {
        h->index[h->n] = (int32_t)row;
        h->score[h->n] = score;
        rise(h, h->n++);
    } else if (score > h->score[0]) {
        h->index[0] = (int32_t)row;
        h->score[0] = score;
        sink(h, h->n);
    }
}

/* From a heap to the order from the best to the worst. */
static void sort(heap *h)
{
    for (int64_t n = h->n - 1; n > 0; n--) {
        swap(h, 0, n);
        sink(h, n);
    }
}

int64_t et_nearest(int64_t n, int64_t d, const float *vectors, const float *query, int64_t k, int32_t *index,
                   float *score)
{
    heap h = {.k = k < n ? k : n, .index = index, .score = score};
    et_status status = ET_OK;

    if (n < 0 || n > INT32_MAX || d < 1 || k < 1 || !query || !index || !score || (n > 0 && !vectors))
        return et_raise(ET_EINVAL, "nearest: %" PRId64 " of %" PRId64 " vectors of %" PRId64 ", or NULL",
                        k, n, d);
    float *product = et_alloc(BLOCK * sizeof *product);
    if (!product)
        return et_error_status();
    for (int64_t from = 0; status == ET_OK && from < n; from += BLOCK) {
        const int64_t rows = n - from < BLOCK ? n - from : BLOCK;
        status = et_gemm(ET_F32, &(et_gemm_args){.m = rows, .n = 1, .k = d, .a = vectors + from * d, .rsa = d,
                                                 .csa = 1, .b = query, .rsb = 1, .csb = 1, .c = product,
                                                 .ldc = 1, .alpha = 1});
        for (int64_t i = 0; status == ET_OK && i < rows; i++)
            if (isnan(product[i]))
                status = et_raise(ET_ENONFINITE, "nearest: the product with vector %" PRId64 " is NaN",
                                  from + i);
            else
                offer(&h, from + i, product[i]);
    }
    et_dealloc(product);
    if (status)
        return status;
    sort(&h);
    return h.n;
}

void et_unit_rows(int64_t n, int64_t d, float *vectors)
{
    for (int64_t i = 0; i < n; i++) {
        float *v = vectors + i * d;
        double sum = 0;
        for (int64_t j = 0; j < d; j++)
            sum += (double)v[j] * (double)v[j];
        const double length = fmax(sqrt(sum), 1e-12);
        for (int64_t j = 0; j < d; j++)
            v[j] = (float)((double)v[j] / length);
    }
}
