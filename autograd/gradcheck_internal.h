/* The engine of the gradient checks: a function at a point, its numeric derivatives, and
 * runs of it in different ways that must all give the same gradients. */
#ifndef ETUDE_AUTOGRAD_GRADCHECK_INTERNAL_H
#define ETUDE_AUTOGRAD_GRADCHECK_INTERNAL_H

#include "autograd/gradcheck.h"
#include "tensor/parallel.h"

/* One partial derivative, or (element -1) one along the input's direction. */
typedef struct et_gc_probe {
    int input;
    int64_t element;
} et_gc_probe;

typedef struct et_gc {
    et_gradcheck_fn fn;
    void *user;
    const char *label;                    /* of what is checked, for the report */
    et_gradcheck_options opt;             /* defaults filled in */
    et_gradcheck_report *report;
    int n_in, n_out;
    et_tensor *in[ET_GRADCHECK_MAX];
    bool required[ET_GRADCHECK_MAX];      /* in[i]->requires_grad as it was */
    bool leaf_output;                     /* an output is one of the inputs itself */
    uint64_t active;                      /* bit i: input i is differentiated */
    int64_t in_off[ET_GRADCHECK_MAX + 1]; /* where an input's elements start in flat arrays */
    int64_t out_off[ET_GRADCHECK_MAX + 1];
    int out_ndim[ET_GRADCHECK_MAX];
    int64_t out_shape[ET_GRADCHECK_MAX][ET_MAX_DIMS];
    double *value;                        /* outputs at the point */
    double *cot, *cot2;                   /* two sets of cotangents */
    double *start;                        /* what gradients may start from, see et_gc_way */
    double *points;                       /* outputs at the six points of a difference */
    double *direction;                    /* as the inputs */
    int64_t n_probe;
    et_gc_probe *probe;
    double *deriv, *estimate, *rounding;  /* [n_probe][n_out] */
} et_gc;

/* How a gradient is computed. Zeros: et_grad on the point itself, nothing needs gradients. */
typedef struct et_gc_way {
    et_tensor *const *in;  /* to be used in place of gc->in, same shapes; NULL: gc->in */
    uint64_t needs;        /* inputs that need a gradient */
    uint64_t outs;         /* outputs with a cotangent */
    const double *cot;     /* NULL: gc->cot */
    int flags;             /* of et_grad */
    int backward;          /* > 0: et_backward_from, this many times */
    et_cutting cutting;    /* of work into pieces */
    bool twice;            /* call fn twice, the second time with cot2 */
    bool started;          /* the inputs count as outputs too, with cotangents gc->start: their
                              gradients are there before any rule adds to them */
} et_gc_way;

static inline bool et_gc_bit(uint64_t mask, int i) { return mask >> i & 1; }

/* Fills gc (zeroed or not) and runs fn once to learn its outputs. On success et_gc_end must
 * follow. The outputs need not be real. */
et_status et_gc_begin(et_gc *gc, const char *label, et_gradcheck_fn fn, void *user, int n_in,
                      et_tensor *const *in, uint64_t active, const et_gradcheck_options *opt,
                      et_gradcheck_report *report);
void et_gc_end(et_gc *gc);

/* Outputs at the point, without gradients -> y, flat. */
et_status et_gc_values(et_gc *gc, double *y, const char *what);

/* Numeric derivatives of all active inputs. */
et_status et_gc_numeric(et_gc *gc);

/* Values of the outputs -> y (NULL: not wanted), gradients of the inputs -> g (zeros where
 * not asked for), both flat. */
et_status et_gc_run(et_gc *gc, const et_gc_way *way, double *y, double *g);

/* Compares g with the numeric derivatives of the inputs in `needs`. */
et_status et_gc_compare(et_gc *gc, const char *what, const et_gc_way *way, const double *g);

/* Compares flat arrays, tensor by tensor: ||got - expected|| <= rel max(||expected||, small
 * share of the largest norm); rel 0 asks for equal bits. of_inputs: gradients, else outputs. */
et_status et_gc_agree(et_gc *gc, const char *what, bool of_inputs, const double *expected, const double *got,
                      double rel);

/* Files where something is wrong; input, output and element are left at -1. */
void et_gc_file(et_gc *gc, et_gradcheck_verdict verdict, const char *what);
/* Files a failure: verdict FAILED with the pending error's message, or with `message`. */
et_status et_gc_failed(et_gc *gc, const char *what, const char *message);

/* Memory for one flat array of outputs or gradients. */
double *et_gc_new_values(const et_gc *gc);
double *et_gc_new_grads(const et_gc *gc);

/* The checks made of these, each one complete; `gc` is begun and has its numeric part. */
et_status et_gc_first_order(et_gc *gc);
et_status et_gc_alias(et_gc *gc, int i, int j);
et_status et_gc_second_order(et_gc *gc);
/* Values and gradients with `in` in place of gc->in; rel is the error allowed against gc->in. */
et_status et_gc_same_at(et_gc *gc, const char *what, et_tensor *const *in, double rel);
/* Gradients recorded for second derivatives with `in` in place of gc->in. */
et_status et_gc_recorded_at(et_gc *gc, const char *what, et_tensor *const *in);
/* Values and gradients in place, with work cut finely: every loop in many pieces, in any order. */
et_status et_gc_finely(et_gc *gc);
/* The same with the real inputs in float32, work cut as usual and finely. */
et_status et_gc_float32(et_gc *gc, const char *what);

/* Begins a public call: a report in which nothing is wrong yet. */
void et_gc_clear_report(et_gradcheck_report *report);
/* Ends one: raises the report's text unless the status is ET_OK. */
et_status et_gc_finish(et_status status, const et_gradcheck_report *report);

#endif
