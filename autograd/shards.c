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

/* --- lanes ------------------------------------------------------------------------------- */

et_lanes et_lanes_for(int64_t n_shards)
{
    const int64_t threads = et_threads_for((double)n_shards * (double)et_cut(ET_GRAIN_FLOPS, ET_FINE_FLOPS));
    const int64_t count = threads < n_shards ? threads : n_shards;

    return (et_lanes){.shards = n_shards, .count = count};
}

/* The first shard of a lane; of lane `count`: their number. */
static int64_t lane_start(const et_lanes *lanes, int64_t lane)
{
    return lane * (lanes->shards / lanes->count) + min64(lane, lanes->shards % lanes->count);
}

typedef struct running {
    const et_lanes *lanes;
    et_status (*body)(const void *user, int64_t shard, int64_t lane);
    const void *user;
    et_status *status; /* [lanes] */
} running;

static void run_lanes(int64_t lo, int64_t hi, void *user)
{
    const running *r = user;

    for (int64_t lane = lo; lane < hi; lane++) {
        const int64_t to = lane_start(r->lanes, lane + 1);
        r->status[lane] = ET_OK;
        for (int64_t shard = lane_start(r->lanes, lane); shard < to && !r->status[lane]; shard++)
            if ((r->status[lane] = r->body(r->user, shard, lane)))
                et_error_clear(); /* raised again by the thread that called */
    }
}

et_status et_shards_run(et_node *n, const et_lanes *lanes,
                        et_status (*body)(const void *user, int64_t shard, int64_t lane), const void *user)
{
    running r = {lanes, body, user, et_scratch(n, (size_t)lanes->count * sizeof *r.status)};

    if (!r.status)
        return et_error_status();
    et_parallel_for(lanes->count, 1, run_lanes, &r);
    for (int64_t i = 0; i < lanes->count; i++)
        if (r.status[i])
            return et_op_raise(n, r.status[i], "a product failed");
    return ET_OK;
}

/* --- gradients of weights ---------------------------------------------------------------- */

et_status et_shard_parts_open(et_node *n, et_lanes *lanes, size_t size, et_shard_grad *g)
{
    const int64_t bytes = round_up(g->count * (int64_t)size, 64), first = lane_start(lanes, 1);
    const bool fits = lanes->spent && lanes->spent_taken + bytes <= lanes->spent_bytes;
    const int64_t own = fits ? lanes->count - 1 : lanes->shards - first + (first > 1);
    char *next = own > 0 ? et_scratch(n, (size_t)(own * bytes)) : NULL;

    g->part = et_scratch(n, (size_t)lanes->shards * sizeof *g->part);
    if (!g->part || (own > 0 && !next))
        return et_error_status();
    for (int64_t lane = 0; lane < lanes->count; lane++)
        for (int64_t from = lane_start(lanes, lane), s = from; s < lane_start(lanes, lane + 1); s++)
            if (s == 0) {
                g->part[s] = g->to;
            } else if (fits && s > from) {
                g->part[s] = lanes->spent + (s - 1) * lanes->spent_bytes + lanes->spent_taken;
            } else {
                g->part[s] = next;
                next += s < first - 1 ? 0 : bytes; /* lane 0 has one at a time */
            }
    lanes->spent_taken += fits ? bytes : 0;
    return ET_OK;
}

et_status et_shard_grad_open(et_node *n, int i, et_lanes *lanes, int64_t count, et_shard_grad *g)
{
    const size_t size = et_dtype_size(n->in[i] ? n->in[i]->dtype : ET_F32);

    g->count = count;
    if (!et_needs(n, i))
        return ET_OK;
    g->to = et_gx(n, i, &g->acc);
    for (int j = 0; g->to && j < n->n_in; j++)
        if (j != i && n->in[j] == n->in[i] && !g->shared) { /* others write there while shards run */
            g->shared = g->to;
            g->shared_acc = g->acc;
            g->acc = 0;
            g->to = et_scratch(n, (size_t)count * size);
        }
    return g->to ? et_shard_parts_open(n, lanes, size, g) : et_error_status();
}

void et_shard_begin(const et_kernels *k, const et_shard_grad *g, int64_t shard)
{
    if (g->to && (shard > 0 || !g->acc))
        k->fill(g->count, 0, g->part[shard]);
}

void et_shard_end(const et_kernels *k, const et_lanes *lanes, const et_shard_grad *g, int64_t shard)
{
    if (g->to && shard > 0 && shard < lane_start(lanes, 1))
        k->axpby(g->count, 1, g->part[shard], 1, g->to);
}

typedef struct summing {
    const et_kernels *k;
    const et_lanes *lanes;
    const et_shard_grad *g;
} summing;

static void sum_parts(int64_t lo, int64_t hi, void *user)
{
    const summing *s = user;
    const size_t from = (size_t)lo * et_dtype_size(s->k->dtype);

    for (int64_t i = lane_start(s->lanes, 1); i < s->lanes->shards; i++)
        s->k->axpby(hi - lo, 1, (char *)s->g->part[i] + from, 1, (char *)s->g->to + from);
}

void et_shard_grad_sum(const et_kernels *k, const et_lanes *lanes, const et_shard_grad *g)
{
    summing s = {k, lanes, g};

    if (g->to && lanes->count > 1)
        et_parallel_for(g->count, et_elem_grain(), sum_parts, &s);
    if (g->shared)
        k->axpby(g->count, 1, g->to, g->shared_acc, g->shared);
}
