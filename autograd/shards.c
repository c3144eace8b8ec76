/* Shards of a batch: see shards.h. */
#include "config.h"

#include "autograd/shards.h"
#include "tensor/ints.h"

enum { TOGETHER = 8, FINE_TOGETHER = 2 }; /* rows of a shard: a multiple */

int64_t et_shard_rows(int64_t B, int64_t T, double weights)
{
    const double row = 2.0 * weights * (double)T, copies = 4e6 / weights;
    const double least = (double)et_cut(ET_GRAIN_FLOPS, ET_FINE_FLOPS);
    const int64_t most = copies >= 8 ? 8 : copies <= 2 ? 2 : (int64_t)copies;
    int64_t rows = ceil_div(B, most);

    if (row * (double)rows < least)
        rows = row * (double)B <= least ? B : (int64_t)(least / row) + 1;
    rows = round_up(rows, et_cut(TOGETHER, FINE_TOGETHER));
    return rows < B ? rows : B;
}

et_status et_check_lengths(const et_node *n, int i, int64_t B, int64_t T)
{
    const et_tensor *t = n->in[i];

    if (!t)
        return ET_OK;
    if (t->ndim != 1 || t->shape[0] != B)
        return et_op_raise(n, ET_ESHAPE, "lengths must be [B], here [%lld], not %s", (long long)B,
                           et_shape_str(t));
    const int32_t *p = et_data_i32(t);
    if (!p)
        return et_error_status();
    for (int64_t b = 0; b < B; b++) {
        const int32_t length = p[b * t->strides[0]];
        if (length < 0 || length > T)
            return et_op_raise(n, ET_EINVAL, "lengths[%lld] is %d, but must be in 0 .. T = %lld",
                               (long long)b, (int)length, (long long)T);
    }
    return ET_OK;
}

typedef struct running {
    et_status (*body)(const void *user, int64_t shard);
    const void *user;
    et_status *status; /* [n_shards] */
} running;

static void run_shards(int64_t lo, int64_t hi, void *user)
{
    const running *r = user;

    for (; lo < hi; lo++)
        if ((r->status[lo] = r->body(r->user, lo)))
            et_error_clear(); /* raised again by the thread that called */
}

et_status et_shards_run(et_node *n, int64_t n_shards, et_status (*body)(const void *user, int64_t shard),
                        const void *user)
{
    running r = {body, user, et_scratch(n, (size_t)n_shards * sizeof *r.status)};

    if (!r.status)
        return et_error_status();
    et_parallel_for(n_shards, 1, run_shards, &r);
    for (int64_t i = 0; i < n_shards; i++)
        if (r.status[i])
            return et_op_raise(n, r.status[i], "a product failed");
    return ET_OK;
}

typedef struct summing {
    const et_kernels *k;
    int64_t n_shards;
    const et_shard_grad *g;
} summing;

static void sum_parts(int64_t lo, int64_t hi, void *user)
{
    const summing *s = user;
    const size_t size = et_dtype_size(s->k->dtype);
    char *to = (char *)s->g->to + (size_t)lo * size;

    for (int64_t i = 0; i < s->n_shards; i++)
        s->k->axpby(hi - lo, 1, (char *)s->g->parts + (size_t)(i * s->g->count + lo) * size,
                    i > 0 || s->g->acc, to);
}

void et_shard_grad_sum(const et_kernels *k, int64_t n_shards, const et_shard_grad *g)
{
    summing s = {k, n_shards, g};

    if (g->to && g->parts != g->to)
        et_parallel_for(g->count, et_elem_grain(), sum_parts, &s);
}

et_status et_shard_grad_open(et_node *n, int i, int64_t n_shards, int64_t count, et_shard_grad *g)
{
    g->count = count;
    if (!et_needs(n, i))
        return ET_OK;
    g->to = et_gx(n, i, &g->acc);
    g->parts =
        n_shards == 1 ? g->to : et_scratch(n, (size_t)(n_shards * count) * et_dtype_size(n->in[i]->dtype));
    return g->to && g->parts ? ET_OK : et_error_status();
}
