/* The training step of the recurrent classifier with attention, for several workloads. */
#ifndef ETUDE_BENCH_RNN_H
#define ETUDE_BENCH_RNN_H

#include "bench/bench.h"
#include "models/rnn_attention.h"
#include "nn/optim.h"

typedef struct bench_model_case {
    const char *name;
    et_rnn_kind cell;
    int64_t steps, features, hidden, attention, classes, batch; /* T, F, H, A, K, B */
    bool brief;
} bench_model_case;

/* A model with its optimiser and one batch. */
typedef struct bench_trainer {
    const bench_model_case *work;
    et_rnn_attention *model;
    et_optim *optim;
    et_tensor *x;      /* [B, T, F] */
    et_tensor *labels; /* int32 [B] */
} bench_trainer;

/** Seeds everything alike. False after an error; bench_trainer_free in any case. */
bool bench_trainer_make(bench_trainer *t, const bench_model_case *work);
void bench_trainer_free(bench_trainer *t);

/** Forward, mean cross entropy, backward, clipping to a global norm of 1, Adam with a rate
 *  of 1e-3. Returns the loss, NaN after an error. The clock's readings before and after
 *  forward, after backward and at the end go to at, where it is not NULL. */
double bench_train_step(bench_trainer *t, int threads, double at[4]);

/** Floating-point operations of the matrix products of a step. */
double bench_step_flop(const bench_model_case *work);

#endif
