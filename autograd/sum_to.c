/* Broadcasting undone, in the one place that does it. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#include "tensor/ints.h"
#include "tensor/iter.h"
#include "tensor/pool.h"

typedef struct {
    et_iter it; /* dst (stride 0 where summed), src */
    const et_kernels *k;
    char *dst;
    const char *src;
    size_t size;
    int acc;
    int64_t run; /* rows that go to one place of dst */
} sum_job;

static void put(const sum_job *j, int64_t at, double v)
{
    if (j->size == sizeof(double))
        ((double *)j->dst)[at] = v + (j->acc ? ((double *)j->dst)[at] : 0);
    else
        ((float *)j->dst)[at] = (float)(v + (j->acc ? (double)((float *)j->dst)[at] : 0));
}

/* Each row has one sum. */
static void sum_rows(int64_t lo, int64_t hi, void *user)
{
    const sum_job *j = user;

    for (int64_t r = lo; r < hi; r++)
        put(j, et_iter_offset(&j->it, 0, r),
            j->k->sum(j->it.n, j->src + (size_t)et_iter_offset(&j->it, 1, r) * j->size));
}

/* `run` rows after each other add up to one row of dst. Index: the row of dst. */
static void sum_columns(int64_t lo, int64_t hi, void *user)
{
    const sum_job *j = user;
    int d = j->it.ndim - 2;

    for (int64_t r = lo; r < hi; r++)
        j->k->col_sum(j->run, j->it.n, j->src + (size_t)et_iter_offset(&j->it, 1, r * j->run) * j->size,
                      j->it.strides[1][d], j->dst + (size_t)et_iter_offset(&j->it, 0, r * j->run) * j->size,
                      j->acc);
}

enum { SHARDS = 16 };

typedef struct {
    const sum_job *j;
    char *part;
    int64_t shard; /* rows of one */
} shard_job;

static void sum_shard(int64_t lo, int64_t hi, void *user)
{
    const shard_job *s = user;
    const sum_job *j = s->j;

    for (int64_t i = lo; i < hi; i++) {
        int64_t from = i * s->shard, to = from + s->shard < j->run ? from + s->shard : j->run;
        j->k->col_sum(to - from, j->it.n, j->src + (size_t)(from * j->it.strides[1][0]) * j->size,
                      j->it.strides[1][0], s->part + (size_t)(i * j->it.n) * j->size, 0);
    }
}

/* Many rows to one: in a fixed number of shards, added in their order. */
static et_status sum_to_row(sum_job *j)
{
    shard_job s = {.j = j, .shard = ceil_div(j->run, SHARDS)};
    int64_t shards = ceil_div(j->run, s.shard);

    s.part = et_pool_alloc((size_t)(shards * j->it.n) * j->size);
    if (!s.part)
        return et_error_status();
    et_parallel_for(shards, et_row_grain(shards, s.shard * j->it.n), sum_shard, &s);
    j->k->col_sum(shards, j->it.n, s.part, j->it.n, j->dst, j->acc);
    et_pool_free(s.part);
    return ET_OK;
}

/* Any pattern: element by element into double sums. */
static et_status sum_any(const sum_job *j, int64_t numel)
{
    double *sum = et_pool_alloc((size_t)numel * sizeof *sum);
    int last = j->it.ndim - 1;

    if (!sum)
        return et_error_status();
    memset(sum, 0, (size_t)numel * sizeof *sum);
    for (int64_t r = 0; r < j->it.rows; r++) {
        int64_t d = et_iter_offset(&j->it, 0, r), s = et_iter_offset(&j->it, 1, r);
        for (int64_t i = 0; i < j->it.n; i++) {
            int64_t at = s + i * j->it.strides[1][last];
            sum[d + i * j->it.strides[0][last]] +=
                j->size == sizeof(double) ? ((const double *)j->src)[at]
                                          : (double)((const float *)j->src)[at];
        }
    }
    for (int64_t i = 0; i < numel; i++)
        put(j, i, sum[i]);
    et_pool_free(sum);
    return ET_OK;
}

/* Rows of j->src, each to the place of its own in j->dst. */
static void add_rows(int64_t lo, int64_t hi, void *user)
{
    const sum_job *j = user;
    const int last = j->it.ndim - 1;
    const int64_t sd = j->it.strides[0][last], ss = j->it.strides[1][last];

    for (int64_t r = lo; r < hi; r++) {
        char *d = j->dst + (size_t)et_iter_offset(&j->it, 0, r) * j->size;
        const char *s = j->src + (size_t)et_iter_offset(&j->it, 1, r) * j->size;
        if (sd == 1 && ss == 1)
            j->k->axpby(j->it.n, 1, s, 1, d);
        else if (j->size == sizeof(double))
            for (int64_t i = 0; i < j->it.n; i++)
                ((double *)d)[i * sd] += ((const double *)s)[i * ss];
        else
            for (int64_t i = 0; i < j->it.n; i++)
                ((float *)d)[i * sd] += ((const float *)s)[i * ss];
    }
}

/* Elements lo .. hi - 1 of rows that are one, without gaps. */
static void add_part(int64_t lo, int64_t hi, void *user)
{
    const sum_job *j = user;

    j->k->axpby(hi - lo, 1, j->src + (size_t)lo * j->size, 1, j->dst + (size_t)lo * j->size);
}

/* dst += src, every element to a place of its own. */
static void add(sum_job *j)
{
    const et_iter *it = &j->it;

    if (it->ndim == 1 && it->strides[0][0] == 1 && it->strides[1][0] == 1)
        et_parallel_for(it->n, et_row_grain(it->n, 1), add_part, j);
    else
        et_parallel_for(it->rows, et_row_grain(it->rows, it->n), add_rows, j);
}

et_status et_sum_to(et_tensor *dst, const et_tensor *src, int acc)
{
    sum_job j = {.k = et_kernels_for(dst->dtype), .size = et_dtype_size(dst->dtype), .acc = acc};

    if (!src->numel)
        return acc ? ET_OK : et_fill(dst, 0);
    et_iter_init(&j.it, src->ndim, src->shape, 2, (const et_tensor *const[]){dst, src});
    j.dst = et_data_mut(dst);
    j.src = et_data(src);
    if (!j.dst || !j.src)
        return et_error_status();
    const et_iter *it = &j.it;
    int last = it->ndim - 1;
    int64_t sd = it->strides[0][last], ss = it->strides[1][last];
    bool kept_outside = true; /* no summed dimension but the last one or two */
    for (int d = 0; d < last - 1; d++)
        kept_outside = kept_outside && it->strides[0][d] != 0;
    bool before_kept = last == 0 || it->strides[0][last - 1] != 0;
    if (dst->numel == src->numel) {
        if (!acc) { /* leading dimensions of size one are all that src may have more */
            const int more = src->ndim - dst->ndim;
            if (more <= 0)
                return et_copy_into(dst, src);
            et_tensor *same = et_raw_view(src, dst->ndim, dst->shape, src->strides + more, src->offset);
            et_status status = same ? et_copy_into(dst, same) : et_error_status();
            et_scope_let_go(same);
            return status;
        }
        add(&j);
        return ET_OK;
    } else if (sd == 0 && ss == 1 && kept_outside && before_kept) {
        et_parallel_for(it->rows, et_row_grain(it->rows, it->n), sum_rows, &j);
        return ET_OK;
    } else if (sd == 1 && ss == 1 && last >= 1 && kept_outside && !before_kept &&
               it->strides[1][last - 1] > 0) {
        j.run = it->shape[last - 1];
        int64_t rows = it->rows / j.run;
        if (rows == 1)
            return sum_to_row(&j);
        et_parallel_for(rows, et_row_grain(rows, j.run * it->n), sum_columns, &j);
        return ET_OK;
    }
    return sum_any(&j, dst->numel);
}

et_status et_add_into(et_tensor *dst, const et_tensor *src)
{
    sum_job j = {.k = et_kernels_for(dst->dtype), .size = et_dtype_size(dst->dtype)};

    if (!dst->numel)
        return ET_OK;
    et_iter_init(&j.it, dst->ndim, dst->shape, 2, (const et_tensor *const[]){dst, src});
    j.dst = et_data_mut(dst);
    j.src = et_data(src);
    if (!j.dst || !j.src)
        return et_error_status();
    add(&j);
    return ET_OK;
}
