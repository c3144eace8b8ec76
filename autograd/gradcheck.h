/* Gradient checks: are the derivatives that backward computes those of the function?
 *
 * A function of float64 tensors is differentiated numerically, by five-point central
 * differences at two step sizes, whose disagreement is the error estimate, and the result
 * is compared with what et_grad and et_backward_from say. Outputs are weighted with random
 * cotangents (a plain sum hides errors that cancel in it).
 *
 *     static int model(et_tensor *const *in, int n_in, et_tensor **out, void *user)
 *     {
 *         out[0] = et_tanh(et_linear(in[0], in[1], NULL));
 *         return out[0] ? 1 : -1;
 *     }
 *     ...
 *     et_gradcheck_report r;
 *     if (et_gradcheck(model, NULL, 2, inputs, NULL, &r))
 *         fputs(et_gradcheck_text(&r, text, sizeof text), stderr);
 *
 * What counts as equal. For element e of one input let n be the numeric and a the analytic
 * derivative, s the root mean square of the numeric derivatives of that input, and r a bound
 * of the rounding error of the differences (3 eps / h times the weighted outputs that the
 * element moves). The element passes when
 *
 *     |a - n| <= tol max(|n|, s) + 16 r.
 *
 * A wrong rule is off by a share of n or of s in some element; rounding is smaller by
 * orders of magnitude, and an element that is small by cancellation is measured against
 * its neighbours. The error estimate does not widen the tolerance: it only tells a wrong
 * derivative from a function that is not smooth at this point (both fail). */
#ifndef ETUDE_AUTOGRAD_GRADCHECK_H
#define ETUDE_AUTOGRAD_GRADCHECK_H

#include "autograd/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_GRADCHECK_MAX = 32 }; /* inputs, and outputs, of a function that is checked */

/** The function: reads in[0 .. n_in), writes its real outputs to out, returns their number,
 *  negative on error. It must depend on its inputs alone: one that draws random numbers
 *  starts its generator afresh in every call. */
typedef int (*et_gradcheck_fn)(et_tensor *const *in, int n_in, et_tensor **out, void *user);

/* Checks beyond first derivatives. For these the function must read its inputs through
 * `in` and must take their dtype as it comes. */
enum {
    ET_GRADCHECK_ALIAS = 1,  /* one tensor given for two inputs, for every two of equal shape */
    ET_GRADCHECK_SECOND = 2, /* gradients recorded with ET_CREATE_GRAPH are the plain ones to 1e-12,
                                and their own derivatives are right */
    ET_GRADCHECK_F32 = 4     /* outputs and gradients in float32 are those in float64 to 1e-5 */
};

/* All zero gives the defaults. */
typedef struct et_gradcheck_options {
    double tol;       /* relative error allowed; 0: 1e-6 */
    double step;      /* of the differences, times |x| / 1024 where that is above 1; 0: 2^-10 */
    int max_elements; /* elements of an input that are differentiated one by one; where it has more,
                         so many are chosen at random (an eighth of that where it or the outputs have
                         more than 4096), and all of them are differentiated together along a random
                         direction; 0: 64 */
    unsigned checks;  /* ET_GRADCHECK_* */
    uint64_t fixed;   /* bit i: input i is real but no gradient is asked for it */
    uint64_t seed;    /* of cotangents and choices */
} et_gradcheck_options;

typedef enum et_gradcheck_verdict {
    ET_GRADCHECK_PASSED,
    ET_GRADCHECK_WRONG,   /* analytic differs from numeric */
    ET_GRADCHECK_ROUGH,   /* differs, but the numeric one is uncertain: no smooth function here */
    ET_GRADCHECK_DIFFERS, /* two ways to the same values disagree: numeric is what was expected */
    ET_GRADCHECK_FAILED   /* a call failed, or succeeded where it must fail; see message */
} et_gradcheck_verdict;

/* The first thing that is wrong. */
typedef struct et_gradcheck_report {
    et_gradcheck_verdict verdict;
    char check[192];   /* what was being checked */
    int input, output; /* which input's gradient or which output is wrong; -1: none */
    int64_t element;   /* its row-major index; -1: the tensor's norm, or a direction */
    double numeric, analytic, tolerance;
    double estimate;   /* error of `numeric`, from the two step sizes */
    double worst;      /* largest error, as a share of its tolerance, among those that passed */
    int64_t compared;  /* derivatives compared so far */
    char message[256];
} et_gradcheck_report;

/**
 * Checks the derivatives of fn at the point `inputs`.
 *
 * Always: first derivatives with all inputs, each alone, and all but one needing gradients;
 * each output alone; the function used twice in one graph (gradients add); backward run
 * twice (gradients double); et_backward_from agrees with et_grad; two runs are bitwise equal.
 *
 * inputs   [n_in]  leaves that no scope owns. float64 ones are differentiated, unless in
 *                  options->fixed; others (indices, masks) are passed on. They may be the
 *                  parameters of a module that fn knows through `user`. Elements are moved
 *                  in place and put back; gradients are left zero.
 * options          NULL for the defaults
 * report           filled in; may be NULL
 * return           ET_OK, or an error, with the report's text as its message: EGRAD when
 *                  something is wrong; EINVAL (arguments), ESCOPE (a scope is open), ENOMEM.
 */
et_status et_gradcheck(et_gradcheck_fn fn, void *user, int n_in, et_tensor *const *inputs,
                       const et_gradcheck_options *options, et_gradcheck_report *report);

/** The report as text of a few lines, cut to `size` bytes. Returns buf. */
char *et_gradcheck_text(const et_gradcheck_report *report, char *buf, size_t size);

struct et_op;

/**
 * Checks an op (op.h) on all its samples: everything that et_gradcheck knows, with inputs
 * contiguous, transposed, cut out of a larger tensor and expanded; with work cut into pieces of a
 * few elements (et_set_cutting), in both orders; float32 with every instruction set of this
 * machine. An op flagged ONCE must refuse ET_CREATE_GRAPH by name;
 * of one flagged NODIFF only the values are checked. options->fixed is not used.
 *
 * Errors: as et_gradcheck; EGRAD for an op without samples.
 */
et_status et_gradcheck_op(const struct et_op *op, const et_gradcheck_options *options,
                          et_gradcheck_report *report);

#ifdef __cplusplus
}
#endif
#endif
