/* Broadcasting undone, in the one place that does it. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#include "tensor/ints.h"
#include "tensor/iter.h"
#include "tensor/pool.h"

typedef struct {
    et_iter it;    /* dst (stride 0 where summed), src; a row is the last dimension, or the last two */
    et_iter kept;  /* what is around the rows: dimensions that dst has, */
    et_iter added; /* and those that it has not; as many of src's rows go to one place of dst */
    const et_kernels *k;
    char *dst;
    const char *src, *times; /* what src is multiplied with, or NULL */
    size_t size;
    int acc;
} sum_job;

static void put(const sum_job *j, int64_t at, double v)
{
    if (j->size == sizeof(double))
        ((double *)j->dst)[at] = v + (j->acc ? ((double *)j->dst)[at] : 0);
    else
        ((float *)j->dst)[at] = (float)(v + (j->acc ? (double)((float *)j->dst)[at] : 0));
}

/* The dimensions before `n` parted in those that dst has and those that are summed; both walks have a last
 * dimension of one element, so that their rows are all there is. */
static void part_dims(sum_job *j, int n)
{
    j->kept = j->added = (et_iter){.n_ops = 2, .n = 1, .rows = 1};
    for (int d = 0; d < n; d++) {
        et_iter *of = j->it.strides[0][d] ? &j->kept : &j->added;
        of->shape[of->ndim] = j->it.shape[d];
        of->strides[0][of->ndim] = j->it.strides[0][d];
        of->strides[1][of->ndim++] = j->it.strides[1][d];
        of->rows *= j->it.shape[d];
    }
    j->kept.shape[j->kept.ndim++] = 1;
    j->added.shape[j->added.ndim++] = 1;
}

/* --- the last dimension is summed --- */

/* The sums of n rows, each with what it is multiplied with. */
static void row_dots(const sum_job *j, int64_t n, int64_t from, int64_t step, double *sums)
{
    for (int64_t i = 0; i < n; i++, from += step)
        sums[i] = j->k->dot(j->it.n, j->src + (size_t)from * j->size, j->times + (size_t)from * j->size);
}

/* Index: the place in dst. */
static void sum_rows(int64_t lo, int64_t hi, void *user)
{
    enum { SOME = 64 };
    const sum_job *j = user;
    const int d = j->kept.ndim > 1 ? j->kept.ndim - 2 : 0; /* places along it lie evenly apart */
    double sum[SOME], more[SOME];

    for (int64_t r = lo, n; r < hi; r += n) {
        const et_iter_row to = et_iter_seek(&j->kept, r);
        et_iter_row from = {{0}, {0}};
        n = min64(min64(SOME, hi - r), j->kept.shape[d] - to.index[d]);
        for (int64_t q = 0; q < j->added.rows; q++, et_iter_next(&j->added, &from)) {
            const int64_t at = to.at[1] + from.at[1], step = j->kept.strides[1][d];
            if (j->times)
                row_dots(j, n, at, step, q ? more : sum);
            else
                j->k->row_sums(n, j->it.n, j->src + (size_t)at * j->size, step, q ? more : sum);
            for (int64_t i = 0; q && i < n; i++)
                sum[i] += more[i];
        }
        for (int64_t i = 0; i < n; i++)
            put(j, to.at[0] + i, sum[i]);
    }
}

/* --- the last dimension stays --- */

enum { SHARDS = 16 };

/* How rows of src become one of dst. */
typedef struct {
    const sum_job *j;
    char *part;
    int64_t run, ld;       /* rows of src after each other, elements from one to the next; */
    int64_t shards, shard; /* how they are cut */
} part_job;

/* Index: (row of dst, what is summed around the rows, shard). */
static void sum_parts(int64_t lo, int64_t hi, void *user)
{
    const part_job *p = user;
    const sum_job *j = p->j;

    for (int64_t i = lo; i < hi; i++) {
        const int64_t shard = i % p->shards * p->shard, around = i / p->shards;
        const et_iter_row to = et_iter_seek(&j->kept, around / j->added.rows),
                          from = et_iter_seek(&j->added, around % j->added.rows);
        j->k->col_sum(min64(p->shard, p->run - shard), j->it.n,
                      j->src + (size_t)(to.at[1] + from.at[1] + shard * p->ld) * j->size, p->ld,
                      p->part + (size_t)(i * j->it.n) * j->size, 0);
    }
}

/* Index: the row of dst. */
static void join_parts(int64_t lo, int64_t hi, void *user)
{
    const part_job *p = user;
    const sum_job *j = p->j;
    const int64_t parts = j->added.rows * p->shards;

    for (int64_t r = lo; r < hi; r++)
        j->k->col_sum(parts, j->it.n, p->part + (size_t)(r * parts * j->it.n) * j->size, j->it.n,
                      j->dst + (size_t)et_iter_seek(&j->kept, r).at[0] * j->size, j->acc);
}

static void sum_columns(int64_t lo, int64_t hi, void *user)
{
    const part_job *p = user;
    const sum_job *j = p->j;

    for (int64_t r = lo; r < hi; r++) {
        const et_iter_row to = et_iter_seek(&j->kept, r);
        j->k->col_sum(p->run, j->it.n, j->src + (size_t)to.at[1] * j->size, p->ld,
                      j->dst + (size_t)to.at[0] * j->size, j->acc);
    }
}

/* Rows of dst, each the sum of rows of src. Many to one: in a fixed number of shards, added in order. */
static et_status sum_to_rows(sum_job *j)
{
    const int last = j->it.ndim - 1;
    const bool runs = last > 0 && j->it.strides[0][last - 1] == 0;
    part_job p = {.j = j, .run = 1};

    if (runs) {
        p.run = j->it.shape[last - 1];
        p.ld = j->it.strides[1][last - 1];
    }
    part_dims(j, runs ? last - 1 : last);
    const int64_t rows = j->kept.rows;
    p.shard = rows == 1 ? ceil_div(p.run, SHARDS) : p.run;
    p.shards = ceil_div(p.run, p.shard);
    const int64_t parts = j->added.rows * p.shards;
    if (parts == 1) {
        et_parallel_for(rows, et_row_grain(rows, p.run * j->it.n), sum_columns, &p);
        return ET_OK;
    }
    if (!(p.part = et_pool_alloc((size_t)(rows * parts * j->it.n) * j->size)))
        return et_error_status();
    et_parallel_for(rows * parts, et_row_grain(rows * parts, p.shard * j->it.n), sum_parts, &p);
    et_parallel_for(rows, et_row_grain(rows, parts * j->it.n), join_parts, &p);
    et_pool_free(p.part);
    return ET_OK;
}

/* --- nothing is summed --- */

/* Rows of j->src, each to the place of its own in j->dst. */
static void add_rows(int64_t lo, int64_t hi, void *user)
{
    const sum_job *j = user;
    const int last = j->it.ndim - 1;
    const int64_t sd = j->it.strides[0][last], ss = j->it.strides[1][last];
    et_iter_row row = et_iter_seek(&j->it, lo);

    for (int64_t r = lo; r < hi; r++, et_iter_next(&j->it, &row)) {
        char *d = j->dst + (size_t)row.at[0] * j->size;
        const char *s = j->src + (size_t)row.at[1] * j->size;
        if (sd == 1 && ss == 1)
            j->k->axpby(j->it.n, 1, s, 1, d);
        else if (sd == 1 && ss == 0)
            j->k->binary[ET_B_ADD](j->it.n, d, 1, s, 0, d);
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

/* From a copy of src that has no gaps. */
static et_status sum_copy(et_tensor *dst, const et_tensor *src, int acc)
{
    et_tensor *from = et_empty_owned(src->dtype, src->ndim, src->shape);
    et_status status = from ? et_copy_into(from, src) : et_error_status();

    if (!status)
        status = et_sum_to(dst, from, acc);
    et_free(from);
    return status;
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
    if (dst->numel == src->numel) {
        if (!acc) { /* leading dimensions of size one are all that src may have more */
            et_tensor same = *src;
            const int more = src->ndim > dst->ndim ? src->ndim - dst->ndim : 0;
            same.ndim -= more;
            memmove(same.shape, same.shape + more, (size_t)same.ndim * sizeof *same.shape);
            memmove(same.strides, same.strides + more, (size_t)same.ndim * sizeof *same.strides);
            return et_copy_into(dst, &same);
        }
        add(&j);
        return ET_OK;
    }
    const int last = j.it.ndim - 1;
    if (j.it.strides[1][last] != 1) /* rows with gaps */
        return sum_copy(dst, src, acc);
    if (j.it.strides[0][last] == 1)
        return sum_to_rows(&j);
    part_dims(&j, last);
    et_parallel_for(j.kept.rows, et_row_grain(j.kept.rows, j.added.rows * j.it.n), sum_rows, &j);
    return ET_OK;
}

et_status et_sum_product_to(et_tensor *dst, const et_tensor *a, const et_tensor *b, int acc)
{
    sum_job j = {.k = et_kernels_for(dst->dtype), .size = et_dtype_size(dst->dtype), .acc = acc};

    if (!a->numel)
        return et_sum_to(dst, a, acc);
    et_iter_init(&j.it, a->ndim, a->shape, 2, (const et_tensor *const[]){dst, a});
    j.dst = et_data_mut(dst);
    j.src = et_data(a);
    j.times = et_data(b);
    if (!j.dst || !j.src || !j.times)
        return et_error_status();
    part_dims(&j, j.it.ndim - 1);
    et_parallel_for(j.kept.rows, et_row_grain(j.kept.rows, j.added.rows * j.it.n), sum_rows, &j);
    return ET_OK;
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
