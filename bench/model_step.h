/* The training step of any model: forward, backward, optimiser;
 * its figures, and what a peer needs to do the same. */
#ifndef ETUDE_BENCH_MODEL_STEP_H
#define ETUDE_BENCH_MODEL_STEP_H

#include "bench/bench.h"
#include "nn/optim.h"
#include "tensor/safetensors.h"

/* A model with its optimiser, and a batch that `user` holds. */
typedef struct bench_model {
    et_module *module;
    et_optim *optim;
    double clip; /* global norm of the gradients; 0: not clipped */
    /* The loss of the batch; *logits, where not NULL, receives what the model answers. */
    et_tensor *(*loss)(void *user, et_tensor **logits);
    void *user;
    int threads;
} bench_model;

/** Forward, backward, optimiser. The clock's readings before and after forward, after backward and at the end
 *  go to at, where it is not NULL. The loss, NaN after an error. */
double bench_model_step(const bench_model *m, double at[4]);

/** Writes the weights, the batch (n tensors of `more`), and what a peer must reach in evaluation mode:
 *  "logits", and the "losses" of three steps. The weights are trained on. */
bool bench_model_save(const bench_model *m, const char *path, const et_named_tensor *more, int n);

/** Train steps as standard input says. */
bool bench_model_serve(const bench_model *m);

/* Columns of a table of such models. */
enum { BENCH_MODEL_COLUMNS = 9 };
extern const bench_column bench_model_columns[BENCH_MODEL_COLUMNS];
/** Measures steps and adds a row; `items` of a batch, floating-point operations of the products of a step. */
bool bench_model_measure(bench_report *r, const bench_options *o, const bench_model *m, const char *name,
                         double items, double flop);

#endif
