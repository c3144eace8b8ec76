/* What the ops of batch norm share: sizes, statistics, and what backward makes of sums. */
#ifndef ETUDE_AUTOGRAD_BATCH_NORM_H
#define ETUDE_AUTOGRAD_BATCH_NORM_H

#include "autograd/op.h"

typedef struct et_bn_attr {
    int axis;
    bool training, relu;
    double momentum, eps;
    int64_t kh, kw; /* windows of batch_norm_relu_max_pool */
} et_bn_attr;

/* Operands. */
enum { ET_BN_X, ET_BN_MEAN, ET_BN_VAR, ET_BN_GAMMA, ET_BN_BETA };

/* x is [outer, channels, inner]. Rows are the runs of one channel: element (o, c, i) at o ldo + c ldc + i.
 * Where inner is small (flat), rows are columns of x as a matrix [outer, channels inner]:
 * column c inner + i is row i of channel c. */
typedef struct et_bn_job {
    const et_kernels *k;
    int64_t outer, channels, inner, size;
    int64_t rows, n, ldo, ldc; /* rows a channel and elements a row */
    bool flat;
    const char *x, *gy;
    char *y;
    double *first, *second; /* [rows, channels] partial sums; flat: [channels, rows] */
    double *stats;          /* [channels, 2] mean, 1 / standard deviation */
    et_norm *norms;         /* [channels] */
    char *columns[6];       /* flat: [channels rows] reals each: mean, scale, shift; a, b, c of cols_bwd */
    double *coeffs;         /* [channels, 3] of norm_bwd */
    int64_t c0, some;       /* the group of channels in hand */
    int acc;
} et_bn_job;

/* Row r of the group is that of channel c0 + r % some; where it begins, in bytes. */
static inline int64_t et_bn_channel(const et_bn_job *j, int64_t r) { return j->c0 + r % j->some; }

static inline int64_t et_bn_row(const et_bn_job *j, int64_t r)
{
    return (r / j->some * j->ldo + et_bn_channel(j, r) * j->ldc) * j->size;
}

/* Where the sums of row r of channel c are; the same for row r of the group. */
static inline int64_t et_bn_sum_of(const et_bn_job *j, int64_t r, int64_t c)
{
    return j->flat ? c * j->rows + r : r * j->channels + c;
}

static inline int64_t et_bn_sum(const et_bn_job *j, int64_t r)
{
    return et_bn_sum_of(j, r / j->some, et_bn_channel(j, r));
}

/* Column lo of the group in an array that begins at p. */
static inline const char *et_bn_column(const et_bn_job *j, const char *p, int64_t lo)
{
    return p + (j->c0 * j->rows + lo) * j->size;
}

/* Operands and attributes; the axis becomes one from the front. */
et_status et_bn_check(et_node *n);
/* Sizes and memory of a call; flat: rows may be columns. */
et_status et_bn_start(et_node *n, et_bn_job *j, bool flat);
/* Channels of a group, each with `tensors` arrays. Depends on sizes alone; the bits do not depend on it. */
int64_t et_bn_group(const et_bn_job *j, int64_t tensors);
/* Rows of the group go to `piece`, or where they are columns, to `flat`. */
void et_bn_over(et_bn_job *j, int64_t cost, void (*piece)(int64_t lo, int64_t hi, void *user),
                void (*flat)(int64_t lo, int64_t hi, void *user));
/* Weight and bias, NULL where there is none. */
et_status et_bn_affine(et_node *n, const void **gamma, const void **beta);
/* The running statistics: to be written in training, else read. */
et_status et_bn_running(et_node *n, void **mean, void **var);
/* Mean and 1 / deviation of the group's channels:
 * in training the batch's, which the running statistics follow. */
void et_bn_stats(et_node *n, et_bn_job *j, void *mean, void *var);
/* Scale and shift of the group's channels. */
void et_bn_set_norms(const et_node *n, et_bn_job *j, const void *gamma, const void *beta);
/* Sums over the rows of each channel, in order, into the first row's place; and what they make of
 * dx = scale (g - mean(g) - (x - mean) rstd^2 mean(g (x - mean))), in evaluation scale g. */
void et_bn_join(const et_node *n, const et_bn_job *j);
/* Gradients of weight and bias from the joined sums. */
et_status et_bn_give(et_node *n, const et_bn_job *j);
/* The same without elements: zero. */
et_status et_bn_give_nothing(et_node *n);
unsigned et_bn_saves(const et_node *n);

#endif
