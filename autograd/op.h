/* For those who write operators: the node, the op table and the helpers that forward
 * and backward rules are made of. Users of operators need autograd.h and ops.h.
 *
 * One op stands in one place: its public function with doc comment, shape rule,
 * forward, backward and gradient-check samples are together in an ops_*.c file, and
 * one line of ops.def registers it. ops.h (prototypes, doc comments and the macros that
 * note the caller's line) is generated from these two by gen_ops.awk; an ops_*.c file
 * defines ET_NO_PLACES before it includes ops.h, so that an op that calls others keeps
 * the place of its own caller. The doc comment stands directly above the definition,
 * whose name is in parentheses:
 *
 *     et_tensor *(et_tanh)(et_tensor *x)
 *
 * and public types that go with an op stand in its source as
 *
 *     #if 0
 *     (begin) typedef enum ... et_reduction; (end)
 *     #endif
 *
 * where (begin) and (end) are lines of their own, the comments "ops.h: begin" and
 * "ops.h: end": what is between them is copied to ops.h, which the source includes.
 *
 * The life of a call: the public function gathers operands and attributes and calls
 * et_apply. That checks the operands' dtypes against `args`, lets `shape` check sizes
 * and declare the outputs, allocates them, runs `fwd`, and, if an operand needs a
 * gradient, records the node on the tape, keeping alive what `saves` names. */
#ifndef ETUDE_AUTOGRAD_OP_H
#define ETUDE_AUTOGRAD_OP_H

#include "autograd/autograd.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "tensor/tensor.h"

enum {
    ET_MAX_OUT = 4,   /* outputs of an op */
    ET_MAX_SAVED = 8, /* extra tensors that fwd saves for bwd */
    ET_MAX_ARGS = 16  /* operands of an op that is not variadic */
};

/* Flags of an op. */
enum {
    ET_OP_VIEW = 1,   /* output 0 shares the storage of operand 0; `fwd` makes the view */
    ET_OP_ONCE = 2,   /* no bwd_graph: can be differentiated once only */
    ET_OP_NODIFF = 4, /* has no gradient (argmax, comparisons): never recorded */
    ET_OP_KINK = 8,   /* not smooth everywhere (relu, max): samples keep away from kinks,
                         second derivatives are zero or not checked */
    ET_OP_OUTSIDE = 16 /* may read more than its operands: et_grad looks inside for what it is asked for */
};

/* What backward reads, for `saves`: of operands of a variadic op the first ET_MAX_ARGS can be named. */
#define ET_SAVE_IN(i) (1u << (i))
#define ET_SAVE_OUT(k) (1u << (ET_MAX_ARGS + (k)))
#define ET_SAVE_NONE 0u

typedef struct et_op et_op;

struct et_node {
    const et_op *op;
    int n_in, n_out, n_saved;
    et_tensor **in;                   /* operands; NULL where an optional one is absent */
    bool *needs;                      /* needs[i]: operand i needs a gradient */
    uint32_t *in_version;             /* of saved operands, when recorded */
    et_tensor *out[ET_MAX_OUT];
    uint32_t out_version[ET_MAX_OUT];
    et_tensor *saved[ET_MAX_SAVED];   /* extras for bwd, see et_save_extra */
    void *attr;                       /* the op's own parameters */
    unsigned saves;                   /* what was kept, a mask of ET_SAVE_* */
    bool recording;                   /* in fwd: a backward may follow, so extras are of use */
    bool mixed;                       /* called between et_mixed_begin and et_mixed_end */
    bool released;                    /* backward has run and given the buffers back */
    bool remade;                      /* `remake` has run */
    int64_t id;                       /* position on the tape */
    const char *file;                 /* where the user called the op, or NULL */
    int line;
    struct et_tape *tape;
    void *scratch;                    /* temporaries of the running rule */
};

/* --- gradient-check samples ---------------------------------------------------- */

/* Samples leave out the fields that are zero, which clang's -Wextra warns of. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wmissing-field-initializers"
#endif

typedef enum {
    ET_ARG_REAL,  /* uniform in [lo, hi); checked in several layouts */
    ET_ARG_CONST, /* real, but no gradient is asked for it */
    ET_ARG_INDEX, /* int32, uniform in lo .. hi-1 */
    ET_ARG_MASK,  /* uint8, 1 with probability hi (0.5 when hi is 0) */
    ET_ARG_AWAY,  /* real in [lo, hi), at least 0.1 away from every integer (kinks at
                     integers, such as relu at 0 and clamp at -1, 1) */
    ET_ARG_DISTINCT /* real in [lo, hi), every element at least 0.02 from every other
                       (for max, min, sort) */
} et_arg_kind;

typedef struct et_arg {
    int ndim;
    int64_t shape[ET_MAX_DIMS];
    double lo, hi; /* both 0: [-1, 1) */
    et_arg_kind kind;
} et_arg;

typedef struct et_sample {
    const char *name; /* what is special about it: "dim 1, keepdim" */
    int n_in;
    et_arg in[ET_MAX_ARGS];
    /* Runs the op with this sample's attributes on in[0 .. n_in) and writes its
     * differentiable outputs to out; returns their number, negative on error. Must be
     * a function of its inputs alone (an op that draws random numbers is given its
     * generator here). */
    int (*call)(et_tensor *const *in, et_tensor **out);
    double tol;       /* relative error allowed; 0 means 1e-6 */
} et_sample;

/* Declares the usual `call` of a sample: one output, any expression of in[]. */
#define ET_CALL(fn_name, expr)                                      \
    static int fn_name(et_tensor *const *in, et_tensor **out)       \
    {                                                               \
        out[0] = (expr);                                            \
        return out[0] ? 1 : -1;                                     \
    }

/* The same in a scope of its own, with which results that lie between go. */
#define ET_CALL_SCOPED(fn_name, expr)                               \
    static int fn_name(et_tensor *const *in, et_tensor **out)       \
    {                                                               \
        et_scope *scope = et_scope_open();                          \
        out[0] = et_scope_return(scope, expr);                      \
        if (scope)                                                  \
            et_scope_close(scope);                                  \
        return out[0] ? 1 : -1;                                     \
    }

/* --- the op ---------------------------------------------------------------------- */

struct et_op {
    const char *name;
    /* Operands, one letter each, blanks ignored: r real (all r of one call must agree in
     * dtype), i int32, m uint8 mask, a any dtype; after it ? (may be NULL) or * (this one
     * repeats for all the rest). */
    const char *args;
    int n_out;
    unsigned flags;
    unsigned saves;                           /* mask of ET_SAVE_*; or */
    unsigned (*saves_for)(const et_node *n);  /* computed, when it depends on n->needs */
    /* Checks sizes and attributes and declares each output with et_out. */
    et_status (*shape)(et_node *n);
    et_status (*fwd)(et_node *n);
    /* For a result that costs little beside its room: writes output 0 to y once more, the same bits, from
     * what this node saves: operands, of which remake_reads tells, and extras (without any the output is
     * kept). Such an output goes with its scope; this runs once, before the first backward that reads it. */
    et_status (*remake)(et_node *n, void *y);
    unsigned remake_reads;
    /* Adds to the gradients of the operands (et_gx_*), for those with n->needs[i]. */
    et_status (*bwd)(et_node *n);
    /* The same rule composed of differentiable ops: gy[k] are the outputs' gradients
     * (NULL for zero), gx[i] (preset to NULL) receives a gradient of in[i]'s shape, or
     * one that broadcasting made larger (it is summed back). */
    et_status (*bwd_graph)(et_node *n, et_tensor *const *gy, et_tensor **gx);
    unsigned graph_reads; /* operands that bwd_graph reads and bwd does not: `saves` need not keep them */
    /* For ops made of products: floating-point operations of forward, or of a backward that serves
     * n->needs; two a multiply-add. NULL: not counted. */
    double (*flops)(const et_node *n, bool backward);
    const et_sample *samples;
    int n_samples;
};

#define ET_SAMPLES(array) .samples = (array), .n_samples = (int)(sizeof(array) / sizeof((array)[0]))

/** Every op of ops.def, in its order. */
extern const et_op *const et_op_table[];
extern const int et_op_count;
/** The op of that name, or NULL. */
const et_op *et_op_find(const char *name);

/** Runs op on its operands. attr (attr_size bytes, may be NULL) is copied. Writes
 *  op->n_out handles to out and returns ET_OK, or returns the error's status. */
et_status et_apply(const et_op *op, int n_in, et_tensor *const *in, const void *attr, size_t attr_size,
                   et_tensor **out);
/** For ops with one output: the output, or NULL. */
et_tensor *et_apply1(const et_op *op, int n_in, et_tensor *const *in, const void *attr, size_t attr_size);

/* --- in `shape` -------------------------------------------------------------------- */

/** Declares output k. ENOMEM on failure. */
et_status et_out(et_node *n, int k, et_dtype dtype, int ndim, const int64_t *shape);
/** Declares output k shaped and typed as operand i. */
et_status et_out_like(et_node *n, int k, int i);
/** For public functions that make tensors before they call another op: true if a scope
 *  is open to own them; else raises ESCOPE, as et_apply does. */
bool et_op_scope(const char *op);
/** Raises an error that names the op and the caller's place:
 *  "genre.c:87: matmul: inner sizes differ: ...". Returns status. */
et_status et_op_raise(const et_node *n, et_status status, const char *fmt, ...) ET_PRINTF(3, 4);
/** Turns a dimension given from the end into one from the start; EINVAL outside. */
et_status et_op_dim(const et_node *n, int ndim, int dim, int *out);
/** Shape of t as text in one of a few rotating per-thread buffers, for messages. */
const char *et_shape_str(const et_tensor *t);

/* --- in `fwd` ------------------------------------------------------------------------ */

/** Kernels for the dtype of the op's real operands. */
const et_kernels *et_k(const et_node *n);
/** Start of t's elements as a contiguous array: t's own data, or a copy that lives until
 *  the rule returns. NULL on failure. */
const void *et_contig(et_node *n, const et_tensor *t);
/** Start of output k's elements, for writing. */
void *et_out_data(et_node *n, int k);
/** Uninitialised memory that lives until the rule returns. NULL on failure. */
void *et_scratch(et_node *n, size_t bytes);
/** A tensor that fwd fills and bwd reads as n->saved[slot] (slot < ET_MAX_SAVED); of
 *  use only when n->recording: otherwise it goes away when the rule returns. NULL on
 *  failure. */
et_tensor *et_save_extra(et_node *n, int slot, et_dtype dtype, int ndim, const int64_t *shape);
/** For ET_OP_VIEW: makes output 0 a view of operand 0. */
et_status et_out_view(et_node *n, int ndim, const int64_t *shape, const int64_t *strides, int64_t offset);
/** The attributes, as *type. */
#define ET_ATTR(n, type) ((const type *)(n)->attr)

/** Element i of an array p of t's real dtype; the same set, and added to (in double, rounded once).
 *  For loops that are not worth a kernel. */
static inline double et_real_at(const et_tensor *t, const void *p, int64_t i)
{
    return t->dtype == ET_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static inline void et_set_real(const et_tensor *t, void *p, int64_t i, double v)
{
    if (t->dtype == ET_F64)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}

static inline void et_add_real(const et_tensor *t, void *p, int64_t i, double v)
{
    et_set_real(t, p, i, et_real_at(t, p, i) + v);
}

/* --- in `bwd` ---------------------------------------------------------------------- */

/** True if operand i is there and needs a gradient. */
static inline bool et_needs(const et_node *n, int i) { return n->in[i] && n->needs[i]; }
/** Gradient of output k, contiguous, of its shape; NULL if nothing depends on it
 *  (never for the only output). */
const et_tensor *et_gy(et_node *n, int k);
/** The same as a pointer to its elements. */
const void *et_gy_data(et_node *n, int k);
/** Memory for the gradient of operand i, contiguous, of its shape. *acc is 1 when the
 *  rule must add to what is there and 0 when it must overwrite it (contents undefined).
 *  NULL on failure. */
void *et_gx(et_node *n, int i, int *acc);
/** As et_gx, but always to be added to (filled with zeros first where needed). */
void *et_gx_add(et_node *n, int i);
/** The gradient of operand i itself, contiguous; *acc as of et_gx. With acc NULL it is filled with zeros
 *  where it was not begun, for rules that add to parts of it. NULL on failure. */
et_tensor *et_gx_tensor(et_node *n, int i, int *acc);
/** Adds g to the gradient of operand i, summing over what broadcasting expanded. */
et_status et_gx_sum(et_node *n, int i, const et_tensor *g);
/** Adds alpha g, broadcast to the shape of operand i, to that operand's gradient. */
et_status et_gx_expand(et_node *n, int i, const et_tensor *g, double alpha);
/** Adds the gradient of output 0, in the same order of elements, to that of operand i
 *  (views, sums); the memory itself is handed on where possible, so call it last. */
et_status et_gx_pass(et_node *n, int i);
/** As et_gx_sum of the gradient of output 0; where the shapes are the same both may have the same elements
 *  until one of them is written. */
et_status et_gx_share(et_node *n, int i);
/** As et_gx, where the rule computes dx from dy element by element (same shape): may
 *  return the memory of et_gy(n, 0) itself, which is not needed afterwards. Call it for
 *  the last gradient that reads gy. */
void *et_gx_inplace(et_node *n, int i, int *acc);
/** As et_gx, for a rule that will not read operand i any more: may return the operand's own memory, where
 *  this is the last backward to read it. */
void *et_gx_over(et_node *n, int i, int *acc);
/** The gradient of output 0 as memory that the rule may overwrite, or NULL where others are to see it or
 *  have it too. */
void *et_gy_over(et_node *n);
/** What et_save_extra made for that slot as memory that the rule may overwrite, or NULL where the graph is
 *  retained. Backward does not run through this node again, not even if the rule fails. */
void *et_saved_over(et_node *n, int slot);
/** A real tensor of n's dtype that lives until the rule returns. */
et_tensor *et_temp(et_node *n, int ndim, const int64_t *shape);

/** et_gemm, of bfloat16 in a mixed call (et_mixed_begin):
 *  what forward and backward of a product multiply with. */
et_status et_product(const et_node *n, et_dtype dtype, const et_gemm_args *args);

/* --- shared rules ---------------------------------------------------------------- */

/** dst = src summed over the dimensions in which dst is 1 or absent (acc 0), or
 *  dst += that (acc 1). dst contiguous, src any strides, same real dtype. */
et_status et_sum_to(et_tensor *dst, const et_tensor *src, int acc);
/** The same of a b, element by element; both contiguous, of one shape, whose last dimension of more than one
 *  element is summed: dot products, without memory for what is summed. */
et_status et_sum_product_to(et_tensor *dst, const et_tensor *a, const et_tensor *b, int acc);

/** dst += src, which is broadcast to the shape of dst; one real dtype, any strides;
 *  no two elements of dst may be the same one. */
et_status et_add_into(et_tensor *dst, const et_tensor *src);

/** index [n], int32, as an int32 view of `shape` that varies along dim alone: what
 *  et_gather and et_scatter_add take. Has no history. */
et_tensor *et_index_along(const et_tensor *index, int dim, int ndim, const int64_t *shape);

#endif
