/* Layers that walk through time cut the batch into shards, each of which runs its whole sequence by itself;
 * scores and the rows of a linear layer, which have no time, are cut in the same way. Here: the cut, who
 * walks which shard, and the gradients of weights as sums over the shards. */
#ifndef ETUDE_AUTOGRAD_SHARDS_H
#define ETUDE_AUTOGRAD_SHARDS_H

#include "autograd/op.h"

/* Rows of a shard of a batch of B (the last may have fewer): whole tiles of eight, work enough for a thread
 * in T steps with `weights` numbers, at most eight shards and fewer when their copies of the weights'
 * gradients would grow beyond 4 M reals. Fixed by shapes, so that the same rows are walked by the same thread
 * forward and backward and sums over shards have one order. */
int64_t et_shard_rows(int64_t B, int64_t T, double weights);

/* Operand i, int32 [B], holds 0 .. T: ESHAPE or EINVAL if not. Absent: ET_OK. */
et_status et_check_lengths(const et_node *n, int i, int64_t B, int64_t T);

/* How shards are shared out. A lane is walked by one thread, shard after shard, with the same memory. */
typedef struct et_lanes {
    int64_t shards, count;
    char *spent; /* [shards][spent_bytes] that nobody reads once the shard is walked, or NULL */
    int64_t spent_bytes, spent_taken; /* taken: of each shard's, by sums over the next one */
} et_lanes;

/* As many lanes as threads may run at once, at most one a shard; the shards of a lane follow each other. */
et_lanes et_lanes_for(int64_t n_shards);

/* A weight's gradient: where it goes, and sums over single shards. Those of lane 0 are added to it one by
 * one, those of others wait for their turn: the order is that of the shards. A lane's sums but the first
 * lie in what the shard before has spent, if there is room, else in memory of their own. */
typedef struct et_shard_grad {
    void *to;      /* NULL: not needed */
    int acc;       /* there is something in it, to be added to */
    void **part;   /* [shards]: the sums, the first of which is `to` itself */
    int64_t count;
    void *shared;  /* the tensor's gradient where it is several operands, else NULL: `to` is then memory of */
    int shared_acc; /* its own, added (0: assigned) to it in the end */
} et_shard_grad;

/* Calls body(user, shard, lane) for every shard. The first that failed is raised as this op's by the thread
 * that called. ENOMEM besides. */
et_status et_shards_run(et_node *n, const et_lanes *lanes,
                        et_status (*body)(const void *user, int64_t shard, int64_t lane), const void *user);

/* Asks for the memory of the gradient of operand i, after operands whose gradients are written row by row. */
et_status et_shard_grad_open(et_node *n, int i, et_lanes *lanes, int64_t count, et_shard_grad *g);

/* The memory of the sums beside g->to, which the caller has set. ENOMEM. */
et_status et_shard_parts_open(et_node *n, et_lanes *lanes, size_t size, et_shard_grad *g);

/* Before and after the walk through a shard: sets its sum to zero; adds it up if it need not wait. Nothing
 * where g->to is NULL. */
void et_shard_begin(const et_kernels *k, const et_shard_grad *g, int64_t shard);
void et_shard_end(const et_kernels *k, const et_lanes *lanes, const et_shard_grad *g, int64_t shard);

/* After all shards, in the order in which gradients were opened: adds up the sums that waited. */
void et_shard_grad_sum(const et_kernels *k, const et_lanes *lanes, const et_shard_grad *g);

#endif
