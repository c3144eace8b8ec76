/* Layers that walk through time cut the batch into shards, each of which runs its whole sequence by itself:
 * the cut, and the gradients of weights as sums over the shards. */
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

/* A weight's gradient: where it goes, and the sums of the shards. */
typedef struct et_shard_grad {
    void *to;      /* NULL: not needed */
    int acc;
    void *parts;   /* [n_shards][count]; with one shard `to` itself */
    int64_t count;
} et_shard_grad;

/* Calls body(user, shard) for every shard, each on one thread. The first that failed is raised as this
 * op's by the thread that called. ENOMEM besides. */
et_status et_shards_run(et_node *n, int64_t n_shards, et_status (*body)(const void *user, int64_t shard),
                        const void *user);

/* Asks for the memory of the gradient of operand i. */
et_status et_shard_grad_open(et_node *n, int i, int64_t n_shards, int64_t count, et_shard_grad *g);

/* to (+)= the sum of the parts; nothing with one shard. */
void et_shard_grad_sum(const et_kernels *k, int64_t n_shards, const et_shard_grad *g);

#endif
