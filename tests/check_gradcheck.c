/* The gradient checks themselves: right rules pass, and every kind of wrong one is caught. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/gradcheck.h"
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tests/alloc_sweep.h"
#include "tests/suite.h"

/* --- an op with many backward rules: y[i][j] = x[i][j] w[j]^2, only one of them right ---------- */

typedef enum fault {
    RIGHT, WRONG_SIGN, LOST_FACTOR, ASSIGNS, ADDS, SWAPPED, NO_SUM, MEAN_FOR_SUM, NOT_A_NUMBER, IGNORES_X,
    IGNORES_W, NEEDS_INVERTED, EMPTY, OFF_BY_ONE, LEAVES_GARBAGE,
    /* right backward, wrong elsewhere */
    GRAPH_SIGN, GRAPH_LOST_HISTORY, GRAPH_IGNORES_W, UNSTEADY, FLOAT32_OFF, BACKWARD_FAILS,
    N_FAULTS,
    /* shown by the layouts of et_gradcheck_op, and by its cutting into pieces */
    IGNORES_STRIDES = N_FAULTS, LATER_PIECES, SHARED_SUM, ALL_FAULTS
} fault;

static const char *const fault_name[ALL_FAULTS] = {
    "right", "wrong sign", "lost factor", "= for +=", "+= for =", "swapped operands", "no broadcast sum",
    "mean for sum", "NaN", "ignores x", "ignores w", "needs inverted", "empty", "off by one",
    "garbage in one element", "sign in bwd_graph", "bwd_graph without history", "bwd_graph ignores w",
    "values that change", "float32 differs", "backward fails", "ignores strides",
    "wrong from the second piece on", "pieces that add to one sum"};

static fault the_fault;
static int calls;

static et_status scale_shape(et_node *n)
{
    if (n->in[0]->ndim != 2 || n->in[1]->ndim != 1 || n->in[1]->shape[0] != n->in[0]->shape[1])
        return et_op_raise(n, ET_ESHAPE, "x is %s, w is %s", et_shape_str(n->in[0]), et_shape_str(n->in[1]));
    return et_out_like(n, 0, 0);
}

static et_status scale_fwd(et_node *n)
{
    int64_t rows = n->in[0]->shape[0], cols = n->in[0]->shape[1];
    const void *x = et_contig(n, n->in[0]), *w = et_contig(n, n->in[1]);
    void *y = et_out_data(n, 0);

    if (!x || !w || !y)
        return ET_ENOMEM;
    if (the_fault == IGNORES_STRIDES && n->in[0]->strides[0] > 0) /* stays within the storage */
        x = et_data(n->in[0]);
    calls++;
    for (int64_t i = 0; i < rows * cols; i++) {
        if (n->in[0]->dtype == ET_F64) {
            double v = ((const double *)w)[i % cols];
            ((double *)y)[i] = ((const double *)x)[i] * v * v * (the_fault == UNSTEADY
                                                                 ? 1 + 1e-15 * calls : 1);
        } else {
            float v = ((const float *)w)[i % cols];
            ((float *)y)[i] = ((const float *)x)[i] * v * v * (the_fault == FLOAT32_OFF ? 1.0001f : 1);
        }
    }
    return ET_OK;
}

static double load(const void *p, et_dtype t, int64_t i)
{
    return t == ET_F64 ? ((const double *)p)[i] : ((const float *)p)[i];
}

static void store(void *p, et_dtype t, int64_t i, double v, int acc)
{
    if (t == ET_F64)
        ((double *)p)[i] = (acc ? ((double *)p)[i] : 0) + v;
    else
        ((float *)p)[i] = (float)((acc ? ((float *)p)[i] : 0) + v);
}

static bool wants(et_node *n, int i)
{
    if (the_fault == NEEDS_INVERTED && i == 1)
        return !et_needs(n, i);
    return et_needs(n, i);
}

/* Gradient memory is undefined, which some faults read. Under valgrind, for which every block comes
 * from malloc, it is given values, so that the report stays clean. */
static void define(void *p, int64_t n, et_dtype t, int acc)
{
    if (!acc && getenv("ETUDE_POOL"))
        memset(p, 0xff, (size_t)n * et_dtype_size(t));
}

static int wrong_acc(int acc) { return the_fault == ASSIGNS ? 0 : the_fault == ADDS ? 1 : acc; }

/* The rule in pieces. */
typedef struct pieces {
    et_dtype t;
    int64_t cols;
    const void *x, *w, *dy;
    void *dx, *dw;
} pieces;

static void x_piece(int64_t lo, int64_t hi, void *user)
{
    const pieces *p = user;

    for (int64_t i = lo; i < hi; i++) {
        double v = load(p->w, p->t, i % p->cols);
        store(p->dx, p->t, the_fault == LATER_PIECES ? i - lo : i, v * v * load(p->dy, p->t, i), 1);
    }
}

static void w_piece(int64_t lo, int64_t hi, void *user)
{
    const pieces *p = user;

    for (int64_t i = lo * p->cols; i < hi * p->cols; i++)
        store(p->dw, p->t, i % p->cols,
              2 * load(p->w, p->t, i % p->cols) * load(p->x, p->t, i) * load(p->dy, p->t, i), 1);
}

static et_status in_pieces(et_node *n, const void *x, const void *w, const void *dy)
{
    const int64_t rows = n->in[0]->shape[0], cols = n->in[0]->shape[1];
    pieces p = {n->in[0]->dtype, cols, x, w, dy, NULL, NULL};

    if (et_needs(n, 0) && !(p.dx = et_gx_add(n, 0)))
        return ET_ENOMEM;
    if (et_needs(n, 1) && !(p.dw = et_gx_add(n, 1)))
        return ET_ENOMEM;
    if (p.dx)
        et_parallel_for(rows * cols, et_row_grain(rows * cols, 1), x_piece, &p);
    if (p.dw)
        et_parallel_for(rows, the_fault == SHARED_SUM ? et_cut(rows, 1) : rows, w_piece, &p);
    return ET_OK;
}

static et_status scale_bwd(et_node *n)
{
    et_dtype t = n->in[0]->dtype;
    int64_t rows = n->in[0]->shape[0], cols = n->in[0]->shape[1];
    const void *x = et_contig(n, n->in[0]), *w = et_contig(n, n->in[1]), *dy = et_gy_data(n, 0);
    int acc;

    if (!x || !w || !dy)
        return ET_ENOMEM;
    if (the_fault == BACKWARD_FAILS)
        return et_op_raise(n, ET_EINVAL, "this rule fails");
    if (the_fault == EMPTY)
        return ET_OK;
    if (the_fault == LATER_PIECES || the_fault == SHARED_SUM)
        return in_pieces(n, x, w, dy);
    if (wants(n, 0) && the_fault != IGNORES_X) {
        void *dx = et_gx(n, 0, &acc);
        if (!dx)
            return ET_ENOMEM;
        define(dx, rows * cols, t, acc);
        for (int64_t i = 0; i < rows * cols - (the_fault == OFF_BY_ONE); i++) {
            double v = load(w, t, i % cols), d = load(dy, t, i);
            double g = the_fault == WRONG_SIGN ? -v * v * d : the_fault == SWAPPED ? v * load(x, t, i) * d
                     : the_fault == NOT_A_NUMBER && i == 3 ? NAN : v * v * d;
            if (!(the_fault == LEAVES_GARBAGE && i == 4))
                store(dx, t, i, g, wrong_acc(acc));
        }
    }
    if (wants(n, 1) && the_fault != IGNORES_W) {
        void *dw = et_gx(n, 1, &acc);
        if (!dw)
            return ET_ENOMEM;
        define(dw, cols, t, acc);
        for (int64_t j = 0; j < cols; j++) {
            double sum = 0;
            for (int64_t i = the_fault == NO_SUM ? rows - 1 : 0; i < rows; i++)
                sum += load(x, t, i * cols + j) * load(dy, t, i * cols + j);
            sum *= load(w, t, j) * (the_fault == LOST_FACTOR ? 1 : 2);
            store(dw, t, j, the_fault == MEAN_FOR_SUM ? sum / (double)rows : sum, wrong_acc(acc));
        }
    }
    return ET_OK;
}

static et_status scale_bwd_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    et_tensor *x = n->in[0], *w = n->in[1];

    if (et_needs(n, 0)) {
        gx[0] = et_mul(gy[0], et_mul(w, w));
        if (the_fault == GRAPH_LOST_HISTORY)
            gx[0] = et_detach(gx[0]);
        if (!gx[0])
            return et_error_status();
    }
    if (et_needs(n, 1) && the_fault != GRAPH_IGNORES_W) {
        et_tensor *twice = et_mul(gy[0], et_mul(x, w));
        et_tensor *back = et_full(x->dtype, 0, NULL, the_fault == GRAPH_SIGN ? -2 : 2);

        gx[1] = et_mul(twice, back);
        if (!gx[1])
            return et_error_status();
    }
    return ET_OK;
}

static const et_op scale_op;

ET_CALL(call_scale_sample, et_apply1(&scale_op, 2, in, NULL, 0))

static const et_sample scale_samples[] = {
    {.name = "3 x 4", .n_in = 2, .in = {{2, {3, 4}, 0, 0, ET_ARG_REAL}, {1, {4}, 0.5, 1.5, ET_ARG_REAL}},
     .call = call_scale_sample},
    {.name = "empty", .n_in = 2, .in = {{2, {0, 4}, 0, 0, ET_ARG_REAL}, {1, {4}, 0.5, 1.5, ET_ARG_REAL}},
     .call = call_scale_sample}};

static const et_op scale_op = {.name = "scale", .args = "rr", .n_out = 1,
                               .saves = ET_SAVE_IN(0) | ET_SAVE_IN(1), .shape = scale_shape, .fwd = scale_fwd,
                               .bwd = scale_bwd, .bwd_graph = scale_bwd_graph, ET_SAMPLES(scale_samples)};

static int call_scale(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    (void)n_in;
    (void)user;
    out[0] = et_apply1(&scale_op, 2, in, NULL, 0);
    return out[0] ? 1 : -1;
}

/* --- inputs ---------------------------------------------------------------------------------------- */

static et_tensor *filled(int ndim, const int64_t *shape, double lo, double hi)
{
    static uint64_t stream;
    et_rng r = et_rng_make(7, stream++);
    et_tensor *x = et_empty(ET_F64, ndim, shape);

    ck_assert_ptr_nonnull(x);
    ck_assert_int_eq(et_fill_uniform(x, &r, lo, hi), ET_OK);
    return x;
}

static void assert_passes(et_status status, const et_gradcheck_report *r)
{
    char text[640];

    ck_assert_msg(status == ET_OK, "%s", et_gradcheck_text(r, text, sizeof text));
    ck_assert_int_eq(r->verdict, ET_GRADCHECK_PASSED);
    ck_assert_int_gt(r->compared, 0);
    ck_assert(r->worst < 0.1);
}

/* --- right and wrong rules ---------------------------------------------------------------------------- */

START_TEST(faults)
{
    et_tensor *in[2] = {filled(ET_SHAPE(3, 4), -1, 1), filled(ET_SHAPE(4), 0.5, 1.5)};
    et_gradcheck_options options = {.checks = ET_GRADCHECK_SECOND | ET_GRADCHECK_F32};
    et_gradcheck_report r;

    the_fault = (fault)_i;
    et_status status = et_gradcheck(call_scale, NULL, 2, in, &options, &r);
    if (the_fault == RIGHT) {
        assert_passes(status, &r);
    } else {
        ck_assert_msg(status == ET_EGRAD, "%s was not caught", fault_name[_i]);
        ck_assert_int_ne(r.verdict, ET_GRADCHECK_PASSED);
        ck_assert_int_ne(r.verdict, ET_GRADCHECK_ROUGH);
        ck_assert_ptr_nonnull(strstr(et_error_message(), "gradcheck: "));
    }
    et_free(in[0]);
    et_free(in[1]);
}
END_TEST

START_TEST(faults_of_an_op)
{
    et_gradcheck_report r;

    ck_assert_int_eq(et_set_num_threads(1), ET_OK); /* SHARED_SUM would be a race */
    the_fault = (fault)_i;
    et_status status = et_gradcheck_op(&scale_op, NULL, &r);
    if (the_fault == RIGHT) {
        assert_passes(status, &r);
    } else {
        ck_assert_msg(status == ET_EGRAD, "%s was not caught", fault_name[_i]);
        ck_assert_ptr_nonnull(strstr(et_error_message(), "scale, sample 0 (3 x 4)"));
        if (the_fault == LATER_PIECES)
            ck_assert_ptr_nonnull(strstr(r.check, "work cut finely"));
        if (the_fault == SHARED_SUM)
            ck_assert_ptr_nonnull(strstr(r.check, "from the last to the first"));
    }
}
END_TEST

/* Flags that the op does not keep. */
START_TEST(flags_of_an_op)
{
    et_op op = scale_op;
    et_gradcheck_report r;

    the_fault = RIGHT;
    op.bwd_graph = NULL;
    ck_assert_int_eq(et_gradcheck_op(&op, NULL, &r), ET_EGRAD);
    ck_assert_ptr_nonnull(strstr(r.message, "not flagged ET_OP_ONCE"));
    op.bwd_graph = scale_bwd_graph;
    op.flags = ET_OP_ONCE; /* the sample runs scale_op, which is not */
    ck_assert_int_eq(et_gradcheck_op(&op, NULL, &r), ET_EGRAD);
    ck_assert_ptr_nonnull(strstr(r.message, "accepted"));
}
END_TEST

START_TEST(report_is_exact)
{
    et_tensor *in[2] = {filled(ET_SHAPE(3, 4), -1, 1), filled(ET_SHAPE(4), 0.5, 1.5)};
    et_gradcheck_report r;
    char text[640], small[20];

    the_fault = WRONG_SIGN;
    ck_assert_int_eq(et_gradcheck(call_scale, NULL, 2, in, NULL, &r), ET_EGRAD);
    ck_assert_int_eq(r.verdict, ET_GRADCHECK_WRONG);
    ck_assert_int_eq(r.input, 0);
    ck_assert_int_eq(r.element, 0);
    ck_assert_double_eq_tol(r.numeric, -r.analytic, 1e-9);
    ck_assert(r.estimate < 1e-9);
    ck_assert_ptr_nonnull(strstr(et_gradcheck_text(&r, text, sizeof text),
                                 "input 0, element 0: wrong gradient"));
    ck_assert_uint_eq(strlen(et_gradcheck_text(&r, small, sizeof small)), sizeof small - 1);

    the_fault = NOT_A_NUMBER;
    ck_assert_int_eq(et_gradcheck(call_scale, NULL, 2, in, NULL, &r), ET_EGRAD);
    ck_assert_int_eq(r.element, 3);

    the_fault = LOST_FACTOR;
    ck_assert_int_eq(et_gradcheck(call_scale, NULL, 2, in, NULL, &r), ET_EGRAD);
    ck_assert_int_eq(r.input, 1);
    ck_assert_double_eq_tol(r.numeric, 2 * r.analytic, 1e-9);

    the_fault = BACKWARD_FAILS;
    ck_assert_int_eq(et_gradcheck(call_scale, NULL, 2, in, NULL, &r), ET_EGRAD);
    ck_assert_int_eq(r.verdict, ET_GRADCHECK_FAILED);
    ck_assert_ptr_nonnull(strstr(r.message, "this rule fails"));
    et_free(in[0]);
    et_free(in[1]);
}
END_TEST

/* A large input is sampled; the random direction finds the one wrong element among the rest. */
START_TEST(large_input)
{
    et_tensor *in[2] = {filled(ET_SHAPE(40, 50), -1, 1), filled(ET_SHAPE(50), 0.5, 1.5)};
    et_gradcheck_report r;

    the_fault = RIGHT;
    assert_passes(et_gradcheck(call_scale, NULL, 2, in, NULL, &r), &r);
    the_fault = OFF_BY_ONE;
    ck_assert_int_eq(et_gradcheck(call_scale, NULL, 2, in, NULL, &r), ET_EGRAD);
    et_free(in[0]);
    et_free(in[1]);
}
END_TEST

/* --- compositions ----------------------------------------------------------------------------------- */

static int call_product(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    (void)n_in;
    (void)user;
    out[0] = et_mul(in[0], in[1]);
    out[1] = et_tanh(in[0]);
    return out[0] && out[1] ? 2 : -1;
}

START_TEST(composition)
{
    et_tensor *in[2] = {filled(ET_SHAPE(2, 3), -1, 1), filled(ET_SHAPE(2, 3), -1, 1)};
    et_tensor *before = et_clone(in[0]);
    et_gradcheck_options options = {.checks = ET_GRADCHECK_ALIAS | ET_GRADCHECK_SECOND | ET_GRADCHECK_F32};
    et_gradcheck_report r;

    et_set_requires_grad(in[0], true);
    assert_passes(et_gradcheck(call_product, NULL, 2, in, &options, &r), &r);
    ck_assert(et_equal(in[0], before));
    ck_assert(in[0]->requires_grad);
    ck_assert(!in[1]->requires_grad);
    options.fixed = 1;
    assert_passes(et_gradcheck(call_product, NULL, 2, in, &options, &r), &r);
    et_free(before);
    et_free(in[0]);
    et_free(in[1]);
}
END_TEST

/* The function reads its parameter through `user`. */
static int call_with_parameter(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    (void)n_in;
    out[0] = et_tanh(et_mul(in[0], user));
    return out[0] ? 1 : -1;
}

START_TEST(parameter)
{
    et_tensor *in[2] = {filled(ET_SHAPE(5), -1, 1), filled(ET_SHAPE(5), -1, 1)};
    et_gradcheck_options options = {.checks = ET_GRADCHECK_SECOND};
    et_gradcheck_report r;

    assert_passes(et_gradcheck(call_with_parameter, in[1], 2, in, &options, &r), &r);
    et_free(in[0]);
    et_free(in[1]);
}
END_TEST

/* |x - 0.3| by hand, right but for the kink; the point is closer to it than the step. */
static et_status kink_shape(et_node *n) { return et_out_like(n, 0, 0); }

static et_status kink_fwd(et_node *n)
{
    const double *x = et_contig(n, n->in[0]);
    double *y = et_out_data(n, 0);

    for (int64_t i = 0; i < n->in[0]->numel; i++)
        y[i] = fabs(x[i] - 0.3);
    return ET_OK;
}

static et_status kink_bwd(et_node *n)
{
    const double *x = et_contig(n, n->in[0]), *dy = et_gy_data(n, 0);
    double *dx = et_gx_add(n, 0);

    for (int64_t i = 0; i < n->in[0]->numel; i++)
        dx[i] += x[i] < 0.3 ? -dy[i] : dy[i];
    return ET_OK;
}

static const et_op kink_op = {.name = "kink", .args = "r", .n_out = 1, .flags = ET_OP_ONCE | ET_OP_KINK,
                              .saves = ET_SAVE_IN(0), .shape = kink_shape, .fwd = kink_fwd, .bwd = kink_bwd};

static int call_kink(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    (void)n_in;
    (void)user;
    out[0] = et_apply1(&kink_op, 1, in, NULL, 0);
    return out[0] ? 1 : -1;
}

START_TEST(kink)
{
    et_tensor *x = et_from(ET_F64, ET_SHAPE(2), (const double[]){0.5, -0.7});
    et_gradcheck_report r;

    assert_passes(et_gradcheck(call_kink, NULL, 1, &x, NULL, &r), &r);
    ck_assert_int_eq(et_set(x, (const int64_t[]){1}, 0.3 + 1e-6), ET_OK);
    ck_assert_int_eq(et_gradcheck(call_kink, NULL, 1, &x, NULL, &r), ET_EGRAD);
    ck_assert_int_eq(r.verdict, ET_GRADCHECK_ROUGH);
    ck_assert_int_eq(r.element, 1);
    et_free(x);
}
END_TEST

START_TEST(empty_and_scalar)
{
    et_tensor *in[2] = {filled(ET_SHAPE(0, 3), -1, 1), filled(ET_SHAPE(0, 3), -1, 1)};
    et_tensor *one[2] = {filled(0, NULL, -1, 1), filled(0, NULL, -1, 1)};
    et_gradcheck_options options = {.checks = ET_GRADCHECK_ALIAS | ET_GRADCHECK_SECOND | ET_GRADCHECK_F32};
    et_gradcheck_report r;

    assert_passes(et_gradcheck(call_product, NULL, 2, in, &options, &r), &r);
    assert_passes(et_gradcheck(call_product, NULL, 2, one, &options, &r), &r);
    for (int i = 0; i < 2; i++) {
        et_free(in[i]);
        et_free(one[i]);
    }
}
END_TEST

/* --- wrong use ------------------------------------------------------------------------------------------ */

static int call_nothing(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    (void)in, (void)n_in, (void)out, (void)user;
    return 0;
}

static int call_failing(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    (void)in, (void)n_in, (void)out, (void)user;
    et_raise(ET_ESHAPE, "these do not fit");
    return -1;
}

static int call_leaving(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    (void)n_in, (void)user;
    out[0] = et_square(in[0]);
    return et_scope_open() ? 1 : -1;
}

static void assert_refused(et_status status, et_status expected, const char *words)
{
    ck_assert_int_eq(status, expected);
    ck_assert_msg(strstr(et_error_message(), words) != NULL, "message: %s", et_error_message());
    et_error_clear();
}

START_TEST(wrong_use)
{
    et_tensor *x = filled(ET_SHAPE(2, 3), -1, 1), *y = filled(ET_SHAPE(2, 3), -1, 1);
    et_tensor *wide = et_raw_view(x, 2, (const int64_t[]){4, 3}, (const int64_t[]){0, 1}, 0);
    et_tensor *twice[2] = {x, x}, *missing[2] = {x, NULL}, *both[2] = {x, y};

    the_fault = RIGHT;
    assert_refused(et_gradcheck(NULL, NULL, 2, both, NULL, NULL), ET_EINVAL, "fn is NULL");
    assert_refused(et_gradcheck(call_product, NULL, 2, NULL, NULL, NULL), ET_EINVAL, "inputs is NULL");
    assert_refused(et_gradcheck(call_product, NULL, 0, both, NULL, NULL), ET_EINVAL, "0 inputs");
    assert_refused(et_gradcheck(call_product, NULL, 1000, both, NULL, NULL), ET_EINVAL, "1000 inputs");
    assert_refused(et_gradcheck(call_product, NULL, 2, twice, NULL, NULL), ET_EINVAL,
                   "input 1 is given twice");
    assert_refused(et_gradcheck(call_product, NULL, 2, missing, NULL, NULL), ET_EINVAL, "input 1 is NULL");
    assert_refused(et_gradcheck(call_product, NULL, 1, &wide, NULL, NULL), ET_EINVAL, "input 0 is expanded");
    assert_refused(et_gradcheck(call_nothing, NULL, 2, both, NULL, NULL), ET_EGRAD, "returned 0 outputs");
    assert_refused(et_gradcheck(call_failing, NULL, 2, both, NULL, NULL), ET_EGRAD, "these do not fit");
    assert_refused(et_gradcheck(call_leaving, NULL, 1, both, NULL, NULL), ET_EGRAD,
                   "1 scope of its own open");
    ck_assert_int_eq(et_scope_depth(), 0);
    assert_refused(et_gradcheck_op(NULL, NULL, NULL), ET_EINVAL, "NULL");

    et_op bare = scale_op;
    bare.samples = NULL;
    bare.n_samples = 0;
    assert_refused(et_gradcheck_op(&bare, NULL, NULL), ET_EGRAD, "scale: the op has no samples");

    et_scope *scope = et_scope_open();
    ck_assert_int_eq(et_gradcheck(call_product, NULL, 2, both, NULL, NULL), ET_ESCOPE);
    et_error_clear();
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
    et_free(wide);
    et_free(x);
    et_free(y);
}
END_TEST

static bool sweep_body(void *user)
{
    et_gradcheck_options options = {.checks = ET_GRADCHECK_ALIAS | ET_GRADCHECK_SECOND | ET_GRADCHECK_F32};
    et_tensor *in[2] = {et_full(ET_F64, 0, NULL, 0.5), et_full(ET_F64, 0, NULL, 0.25)};
    bool ok = in[0] && in[1] && et_gradcheck(call_product, user, 2, in, &options, NULL) == ET_OK;

    et_free(in[0]);
    et_free(in[1]);
    return ok;
}

START_TEST(without_memory)
{
    sweep_body(NULL); /* what is made once stays */
    ck_assert_int_gt(alloc_sweep("gradcheck", sweep_body, NULL), 100);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gradcheck");
    TCase *tc = tcase_create("gradcheck");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, faults, 0, N_FAULTS);
    tcase_add_loop_test(tc, faults_of_an_op, 0, ALL_FAULTS);
    tcase_add_test(tc, flags_of_an_op);
    tcase_add_test(tc, report_is_exact);
    tcase_add_test(tc, large_input);
    tcase_add_test(tc, composition);
    tcase_add_test(tc, parameter);
    tcase_add_test(tc, kink);
    tcase_add_test(tc, empty_and_scalar);
    tcase_add_test(tc, wrong_use);
    tcase_add_test(tc, without_memory);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
