/* Wrong use of operators and of backward. First every op of the list in the ways that all
 * have in common: operands that are NULL, released or of another dtype, no scope, memory
 * refused at every request. Then tables of what is particular. */
#include "config.h"

#include "autograd/autograd.h"
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tests/alloc_sweep.h"
#include "tests/misuse.h"
#include "tests/op_samples.h"
#include "tests/suite.h"

/* --- what all ops have in common --------------------------------------------------------- */

/* Calls the sample with operand i replaced. True if it succeeded. */
static bool call_with(const et_sample *s, int i, et_tensor *other)
{
    et_tensor *in[ET_MAX_ARGS] = {NULL}, *out[ET_MAX_OUT] = {NULL};

    ck_assert(sample_operands(s, in));
    in[i] = other;
    et_here(__FILE__, __LINE__);
    return s->call(in, out) >= 0;
}

typedef enum replacement { BY_NULL, BY_RELEASED, BY_OTHER_DTYPE, BY_BF16, BY_F64,
                           N_REPLACEMENTS } replacement;

static et_tensor *replace(const et_arg *arg, replacement how)
{
    et_dtype dtype = sample_dtype(arg), other = dtype == ET_F32 ? ET_I32 : ET_F32;
    et_tensor *x;

    if (how == BY_NULL)
        return NULL;
    if (how == BY_BF16)
        other = ET_BF16;
    else if (how == BY_F64)
        other = ET_F64;
    x = et_zeros(how == BY_RELEASED ? dtype : other, arg->ndim, arg->shape);
    ck_assert_ptr_nonnull(x);
    if (how == BY_RELEASED)
        et_release(x);
    return x;
}

/* An operand that is missing, gone or of a wrong dtype gives the error for that, with the
 * place of the call, and leaves nothing behind. Ops that take any dtype may succeed, and so
 * may those whose operand is optional; ops composed of others do not say what they take. */
START_TEST(wrong_operands)
{
    static const et_status want[N_REPLACEMENTS] = {ET_EINVAL, ET_ESCOPE, ET_EDTYPE, ET_EDTYPE, ET_EDTYPE};
    const et_op *op = et_op_table[_i];
    const et_sample *s = &op->samples[0];
    et_pool_stats before, after;
    bool any_dtype = !op->fwd || strchr(op->args, 'a');
    int reals = 0;

    for (int i = 0; i < s->n_in; i++)
        reals += sample_dtype(&s->in[i]) == ET_F32;

    for (int i = 0; i < s->n_in && op->args && *op->args; i++)
        for (int how = 0; how < N_REPLACEMENTS; how++) {
            et_scope *scope;
            bool ok, may;

            et_pool_get_stats(&before);
            scope = et_scope_open();
            ok = call_with(s, i, replace(&s->in[i], (replacement)how));
            may = (how == BY_NULL && op->args && strchr(op->args, '?')) || (how > BY_RELEASED && any_dtype) ||
                  (how == BY_F64 && reals == 1);
            ck_assert_msg(ok == (et_error_status() == ET_OK), "%s, operand %d, case %d: %s but status %s",
                          op->name, i, how, ok ? "success" : "failure", et_error_message());
            if (!ok) {
                ck_assert_msg(et_error_status() == want[how], "%s, operand %d, case %d: %s %s", op->name,
                              i, how, et_status_name(et_error_status()), et_error_message());
                ck_assert_msg(strstr(et_error_message(), "check_misuse_ops.c:") != NULL,
                              "%s: no place in \"%s\"", op->name, et_error_message());
            } else {
                ck_assert_msg(may, "%s, operand %d, case %d: no error", op->name, i, how);
            }
            et_error_clear();
            ck_assert_int_eq(et_scope_close(scope), ET_OK);
            et_pool_get_stats(&after);
            ck_assert_msg(after.current == before.current, "%s, operand %d, case %d: %zu bytes are left",
                          op->name, i, how, after.current - before.current);
        }
}
END_TEST

START_TEST(no_scope)
{
    const et_op *op = et_op_table[_i];
    const et_sample *s = &op->samples[0];
    et_tensor *in[ET_MAX_ARGS] = {NULL}, *out[ET_MAX_OUT] = {NULL};

    if (op->args && !*op->args)
        return; /* makes a tensor of numbers: the caller owns it then */
    ck_assert(sample_operands(s, in)); /* these belong to the caller */
    ck_assert_msg(s->call(in, out) < 0, "%s works without a scope", op->name);
    ck_assert_msg(et_error_status() == ET_ESCOPE && strstr(et_error_message(), "no scope is open"), "%s: %s",
                  op->name, et_error_message());
    et_error_clear();
    for (int i = 0; i < s->n_in; i++)
        et_free(in[i]);
}
END_TEST

static bool step_in_scope(void *user)
{
    et_scope *scope = et_scope_open();
    bool ok = scope && sample_step(user);

    return (!scope || et_scope_close(scope) == ET_OK) && ok;
}

static bool second_step_in_scope(void *user)
{
    et_scope *scope = et_scope_open();
    bool ok = scope && sample_second_step(user);

    return (!scope || et_scope_close(scope) == ET_OK) && ok;
}

/* True if et_grad refuses to make a graph of it, as ops that can be differentiated once do. */
static bool is_once(const et_sample *s)
{
    bool once = !second_step_in_scope((void *)s) && et_error_status() == ET_EGRAD;

    et_error_clear();
    return once;
}

/* Forward and backward of every sample, each request for memory refused in turn. */
START_TEST(without_memory)
{
    const et_op *op = et_op_table[_i];

    for (int i = 0; i < op->n_samples; i++) {
        char what[200];

        snprintf(what, sizeof what, "%s, sample %d (%s)", op->name, i,
                 op->samples[i].name ? op->samples[i].name : "");
        alloc_sweep(what, step_in_scope, (void *)&op->samples[i]);
        if (i < 2 && !is_once(&op->samples[i]))
            alloc_sweep(what, second_step_in_scope, (void *)&op->samples[i]);
    }
}
END_TEST

/* --- ops one by one ------------------------------------------------------------------------ */

#define S(...) ET_SHAPE(__VA_ARGS__)
#define ZEROS(...) et_zeros(ET_F32, ET_SHAPE(__VA_ARGS__))
static const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
static const int order[3] = {0, 1, 2}, twice[2] = {1, 1}, outside[2] = {0, 2}, below[2] = {0, -3};

#define SHAPES(X)                                                                                          \
    X(et_add(f.x, f.y), ET_ESHAPE, "add: shapes do not broadcast: [2, 3] and [4]")                         \
    X(et_sub(f.y, f.x), ET_ESHAPE, "sub: shapes do not broadcast: [4] and [2, 3]")                         \
    X(et_mul(f.x, f.d), ET_EDTYPE, "mul: dtypes differ: float32 and float64")                              \
    X(et_div(f.d, f.x), ET_EDTYPE, "div: dtypes differ: float64 and float32")                              \
    X(et_maximum(f.k, f.k), ET_EDTYPE, "maximum: operand 0 is int32")                                      \
    X(et_minimum(f.x, f.m), ET_EDTYPE, "minimum: operand 1 is uint8")                                      \
    X(et_add(f.b, f.b), ET_EDTYPE, "et_cast")                                                              \
    X(et_add(f.x, NULL), ET_EINVAL, "add: operand 1 is NULL")                                              \
    X(et_add(f.released, f.x), ET_ESCOPE, "add: the elements of operand 0, shape [2, 3], were released")   \
    X(et_tanh(NULL), ET_EINVAL, "check_misuse_ops.c:")                                                     \
    X(et_tanh(f.k), ET_EDTYPE, "tanh: operand 0 is int32, expected float32 or float64")                    \
    X(et_clamp(f.x, 1, 0), ET_EINVAL, "clamp: expected lo <= hi, got 1 and 0")                             \
    X(et_clamp(f.x, NAN, 0), ET_EINVAL, "clamp: expected lo <= hi")                                        \
    X(et_expand(f.x, S(3, 3)), ET_ESHAPE, "expand: [2, 3] does not broadcast to [3, 3]")                   \
    X(et_expand(f.x, S(3)), ET_ESHAPE, "expand: [2, 3] has more dimensions than [3]")                      \
    X(et_expand(f.x, 9, nine), ET_ESHAPE, "expand: expected 0 to 8 dimensions, got 9")                     \
    X(et_expand(f.x, -1, NULL), ET_ESHAPE, "expand: expected 0 to 8")                                      \
    X(et_expand(f.x, 2, NULL), ET_ESHAPE, "expand: ")                                                      \
    X(et_expand(ZEROS(1), S(-5)), ET_ESHAPE, "-5")                                                         \
    X(et_expand(f.x, S(-1, 2, 3)), ET_ESHAPE, "-1")                                                        \
    X(et_sum_to_size(f.x, S(2, 2)), ET_ESHAPE, "sum_to_size: [2, 3] does not come from broadcasting [2, 2]") \
    X(et_sum_to_size(f.x, S(1, 2, 3)), ET_ESHAPE, "sum_to_size")                                           \
    X(et_view(f.x, S(4, 2)), ET_ESHAPE, "view: [2, 3] cannot be made [4, 2]")                              \
    X(et_view(f.none, S(0, INT64_C(1) << 40, 1 << 30)), ET_ESHAPE, "cannot be made [0, 1099511627776,")     \
    X(et_view(f.x, S(-1, -1)), ET_ESHAPE, "view: [2, 3] cannot be made [-1, -1]")                          \
    X(et_view(f.x, S(-1, 4)), ET_ESHAPE, "[-1, 4]")                                                        \
    X(et_view(f.x, S(-2, -3)), ET_ESHAPE, "[-2, -3]")                                                      \
    X(et_view(f.none, S(-1, 0)), ET_ESHAPE, "[0, 3] cannot be made [-1, 0]")                               \
    X(et_view(et_transpose(f.x, 0, 1), S(6)), ET_ESHAPE, "use et_reshape")                                 \
    X(et_view(NULL, S(6)), ET_EINVAL, "NULL")                                                              \
    X(et_view(f.released, S(6)), ET_ESCOPE, "released")                                                    \
    X(et_reshape(f.x, S(7)), ET_ESHAPE, "reshape: [2, 3] cannot be made [7]")                              \
    X(et_reshape(f.x, 9, nine), ET_ESHAPE, "expected 0 to 8 dimensions, got 9")                            \
    X(et_reshape(NULL, S(6)), ET_EINVAL, "NULL")                                                           \
    X(et_permute(f.x, 3, order), ET_EINVAL, "permute: 3 dimensions are named, [2, 3] has 2")               \
    X(et_permute(f.x, 2, twice), ET_EINVAL, "permute: dimension 1 of [2, 3] is named twice")               \
    X(et_permute(f.x, 2, outside), ET_EINVAL, "permute: dimension 2 of [2, 3] is not there")               \
    X(et_permute(f.x, 2, below), ET_EINVAL, "permute: dimension -3")                                       \
    X(et_permute(f.x, 2, NULL), ET_EINVAL, "permute")                                                      \
    X(et_transpose(f.x, 0, 2), ET_EINVAL, "transpose: [2, 3] has no dimension 2")                          \
    X(et_transpose(f.x, -3, 0), ET_EINVAL, "transpose: [2, 3] has no dimension -3")                        \
    X(et_transpose(et_sum_to_size(f.x, 0, NULL), 0, 0), ET_EINVAL, "transpose: [] has no dimension 0")     \
    X(et_unsqueeze(f.x, 3), ET_EINVAL, "unsqueeze: [2, 3] has no dimension 3")                             \
    X(et_unsqueeze(et_zeros(ET_F32, 8, nine), 0), ET_ESHAPE, "unsqueeze: the tensor has 8 dimensions")     \
    X(et_squeeze(f.x, 2), ET_EINVAL, "squeeze: [2, 3] has no dimension 2")                                 \
    X(et_flatten(f.x, 1, 0), ET_EINVAL, "flatten: dimension 0 comes before 1")                             \
    X(et_flatten(f.x, 0, 2), ET_EINVAL, "flatten: [2, 3] has no dimension 2")
MISUSE_TABLE(shapes, SHAPES)

#define LAYERS(X)                                                                                          \
    X(et_matmul(f.x, f.x), ET_ESHAPE, "matmul: inner sizes differ: [2, 3] x [2, 3]")                       \
    X(et_matmul(f.x, f.y), ET_ESHAPE, "matmul: inner sizes differ: [2, 3] x [4]")                          \
    X(et_matmul(ZEROS(2, 3, 4), ZEROS(3, 4, 5)), ET_ESHAPE, "matmul: batch sizes differ")                  \
    X(et_matmul(et_sum_to_size(f.x, 0, NULL), f.x), ET_ESHAPE, "matmul: operands need at least one")       \
    X(et_matmul(f.x, f.d), ET_EDTYPE, "matmul: dtypes differ")                                             \
    X(et_matmul(f.x, NULL), ET_EINVAL, "matmul: operand 1 is NULL")                                        \
    X(et_matmul_t(f.y, f.x, true, false), ET_ESHAPE, "a vector cannot be transposed")                      \
    X(et_matmul_t(f.x, f.x, true, true), ET_ESHAPE, "inner sizes differ")                                  \
    X(et_linear(f.x, f.y, NULL), ET_ESHAPE, "linear: the weight must be [out, in], it is [4]")             \
    X(et_linear(f.x, ZEROS(5, 4), NULL), ET_ESHAPE, "linear: x is [2, 3], its last size")                  \
    X(et_linear(f.x, ZEROS(5, 3), f.y), ET_ESHAPE, "the bias must be [5] for a weight [5, 3], it is [4]")  \
    X(et_linear(et_sum_to_size(f.x, 0, NULL), ZEROS(5, 3), NULL), ET_ESHAPE, "linear: x is []")            \
    X(et_linear(f.x, NULL, NULL), ET_EINVAL, "linear: operand 1 is NULL")                                  \
    X(et_linear(f.x, f.x, f.d), ET_EDTYPE, "linear")                                                       \
    X(et_linear_act(f.x, ZEROS(5, 3), NULL, (et_act)77), ET_EINVAL, "unknown activation 77")               \
    X(et_additive_scores(f.x, f.y, NULL, f.y), ET_ESHAPE, "w must be [A, H], it is [4]")                   \
    X(et_additive_scores(f.x, ZEROS(5, 4), NULL, f.y), ET_ESHAPE, "u is [2, 3], its last size must be")    \
    X(et_additive_scores(f.x, ZEROS(5, 3), f.y, f.y), ET_ESHAPE, "b must be [5] for w [5, 3], it is [4]")  \
    X(et_additive_scores(f.x, ZEROS(5, 3), NULL, f.y), ET_ESHAPE, "v must be [5] or [1, 5] for w [5, 3]")  \
    X(et_additive_scores(f.x, ZEROS(5, 3), NULL, NULL), ET_EINVAL, "additive_scores: operand 3 is NULL")   \
    X(et_attention(f.x, f.x, f.x, NULL, NULL), ET_ESHAPE, "attention: q, k and v must be [B, H, T, d]")    \
    X(et_attention(ZEROS(1, 2, 3, 4), ZEROS(1, 2, 3, 5), ZEROS(1, 2, 3, 4), NULL, NULL), ET_ESHAPE,        \
      "widths of q and k differ")                                                                          \
    X(et_attention(ZEROS(1, 2, 3, 4), ZEROS(1, 2, 3, 4), ZEROS(1, 2, 5, 4), NULL, NULL), ET_ESHAPE,        \
      "lengths of k and v differ")                                                                         \
    X(et_attention(ZEROS(1, 2, 3, 4), ZEROS(2, 2, 3, 4), ZEROS(2, 2, 3, 4), NULL, NULL), ET_ESHAPE,        \
      "batch and heads")                                                                                   \
    X(et_attention(ZEROS(1, 2, 3, 4), ZEROS(1, 2, 3, 4), ZEROS(1, 2, 3, 4), ZEROS(5, 5), NULL), ET_ESHAPE, \
      "the mask [5, 5] does not broadcast")                                                                \
    X(et_attention(ZEROS(1, 2, 3, 4), ZEROS(1, 2, 3, 4), ZEROS(1, 2, 3, 4), f.k, NULL), ET_EDTYPE, "int32") \
    X(et_attention_qkv(ZEROS(1, 3, 10), 2, NULL, NULL), ET_ESHAPE, "expected qkv [B, T, 3 * 2 * d]")       \
    X(et_attention_qkv(ZEROS(1, 3, 12), 0, NULL, NULL), ET_EINVAL, "at least one head")                    \
    X(et_gru(f.x, NULL, f.x, f.x, NULL, NULL, NULL, NULL, NULL), ET_ESHAPE, "gru: x must be [B, T, F]")    \
    X(et_gru(ZEROS(1, 2, 3), NULL, ZEROS(6, 3), ZEROS(6, 3), NULL, NULL, NULL, NULL, NULL), ET_ESHAPE,     \
      "w_hh must be [3H, H]")                                                                              \
    X(et_gru(ZEROS(1, 2, 3), NULL, ZEROS(6, 4), ZEROS(6, 2), NULL, NULL, NULL, NULL, NULL), ET_ESHAPE,     \
      "w_ih must be")                                                                                      \
    X(et_gru(ZEROS(1, 2, 3), NULL, ZEROS(6, 3), ZEROS(6, 2), f.y, NULL, NULL, NULL, NULL), ET_ESHAPE,      \
      "b_ih must be")                                                                                      \
    X(et_gru(ZEROS(1, 2, 3), f.x, ZEROS(6, 3), ZEROS(6, 2), NULL, NULL, NULL, NULL, NULL), ET_ESHAPE,      \
      "h0 must be [B, H], here [1, 2]")                                                                    \
    X(et_gru(ZEROS(1, 2, 3), NULL, ZEROS(6, 3), ZEROS(6, 2), NULL, NULL, et_full(ET_I32, S(1), 3), NULL,   \
             NULL), ET_EINVAL, "lengths[0] is 3, but must be in 0 .. T = 2")                               \
    X(et_gru(ZEROS(1, 2, 3), NULL, ZEROS(6, 3), ZEROS(6, 2), NULL, NULL, et_full(ET_I32, S(1), -1), NULL,  \
             NULL), ET_EINVAL, "lengths[0] is -1")                                                         \
    X(et_gru(ZEROS(1, 2, 3), NULL, ZEROS(6, 3), ZEROS(6, 2), NULL, NULL, f.y, NULL, NULL), ET_EDTYPE, \
      "int32") \
    X(et_rnn(ZEROS(1, 2, 3), NULL, ZEROS(2, 3), NULL, NULL, NULL, NULL, NULL, NULL), ET_EINVAL, "NULL")    \
    X(et_lstm(ZEROS(1, 2, 3), NULL, f.x, ZEROS(8, 3), ZEROS(8, 2), NULL, NULL, NULL, NULL, NULL, NULL),    \
      ET_ESHAPE, "c0 must be [B, H], here [1, 2]")
MISUSE_TABLE(layers, LAYERS)

#define NO_DTYPE ((et_dtype)99)
static const int rows[1] = {2}, same[2] = {1, -1};
static const et_cross_entropy_opts too_smooth = {.label_smoothing = 1.5},
                                   nan_smooth = {.label_smoothing = NAN};
#define SCALAR et_sum_to_size(f.x, 0, NULL)
#define LABELS(n, value) et_full(ET_I32, ET_SHAPE(n), (value))

#define REDUCTIONS(X)                                                                                      \
    X(et_sum(f.x, 1, rows, false), ET_EINVAL, "sum: dimension 2 of a tensor with 2")                       \
    X(et_mean(f.x, 2, same, false), ET_EINVAL, "mean: dimension 1 is named twice")                         \
    X(et_sum(f.x, 9, order, false), ET_EINVAL, "sum: expected 0 to 8 dimensions, got 9")                   \
    X(et_sum(f.x, -1, NULL, false), ET_EINVAL, "sum: expected 0 to 8 dimensions")                          \
    X(et_sum(f.x, 2, NULL, false), ET_EINVAL, "sum: ")                                                     \
    X(et_sum(f.k, 0, NULL, false), ET_EDTYPE, "sum: operand 0 is int32")                                   \
    X(et_var(f.x, 1, rows, true, false), ET_EINVAL, "mean: dimension 2")                                    \
    X(et_max(f.x, 2, false, NULL), ET_EINVAL, "max: dimension 2 of a tensor with 2")                       \
    X(et_max(SCALAR, 0, false, NULL), ET_EINVAL, "max: dimension 0 of a tensor with 0")                    \
    X(et_max(f.none, 0, false, NULL), ET_ESHAPE, "max: dimension 0 of [0, 3] has no extremum")             \
    X(et_min(f.x, -3, false, NULL), ET_EINVAL, "min: dimension -3")                                        \
    X(et_softmax(f.x, 2), ET_EINVAL, "softmax: dimension 2 of a tensor with 2")                            \
    X(et_softmax(SCALAR, -1), ET_ESHAPE, "softmax: a scalar has no dimension")                             \
    X(et_softmax(f.m, 0), ET_EDTYPE, "softmax: operand 0 is uint8")                                        \
    X(et_softmax_masked(f.x, NULL, -1), ET_EINVAL, "softmax_masked: the mask is NULL")                     \
    X(et_softmax_masked(f.x, f.y, -1), ET_ESHAPE, "the mask [4] does not broadcast to [2, 3]")             \
    X(et_log_softmax(f.x, -3), ET_EINVAL, "log_softmax: dimension -3")                                     \
    X(et_logsumexp(f.x, 2, true), ET_EINVAL, "logsumexp: dimension 2")                                     \
    X(et_layer_norm(f.x, f.y, NULL, 1e-5), ET_ESHAPE, "layer_norm: gamma is [4], expected [3] for x [2, 3]") \
    X(et_layer_norm(f.x, NULL, f.y, 1e-5), ET_ESHAPE, "layer_norm: beta is [4], expected [3]")             \
    X(et_layer_norm(f.x, NULL, NULL, 0), ET_EINVAL, "layer_norm: eps is 0, expected a positive number")    \
    X(et_layer_norm(f.x, NULL, NULL, NAN), ET_EINVAL, "layer_norm: eps is nan")                            \
    X(et_layer_norm(SCALAR, NULL, NULL, 1e-5), ET_ESHAPE, "layer_norm: a scalar")                          \
    X(et_l2_normalize(f.x, -1), ET_EINVAL, "l2_normalize: eps is -1")                                      \
    X(et_bce_with_logits(ZEROS(3, 1), ZEROS(3), ET_REDUCE_MEAN), ET_ESHAPE, "shapes differ, [3, 1] and [3]") \
    X(et_mse(ZEROS(3, 1), ZEROS(3), ET_REDUCE_MEAN), ET_ESHAPE, "mse: shapes differ, [3, 1] and [3]")      \
    X(et_drop_path(f.x, 1, true, NULL), ET_EINVAL, "drop_path: the probability is 1, expected 0 <= p < 1") \
    X(et_dropout(f.x, 1, true, NULL), ET_EINVAL, "dropout: the probability is 1, expected 0 <= p < 1")     \
    X(et_dropout(f.x, -0.1, true, NULL), ET_EINVAL, "dropout: the probability is -0.1")                    \
    X(et_dropout(f.x, NAN, false, NULL), ET_EINVAL, "dropout: the probability is nan")                     \
    X(et_cross_entropy(f.x, LABELS(3, 0)), ET_ESHAPE, "need labels of their shape without the last")       \
    X(et_cross_entropy(f.x, LABELS(2, 3)), ET_EINVAL, "label 3 of item 0 is outside 0 .. 2")               \
    X(et_cross_entropy(f.x, LABELS(2, -1)), ET_EINVAL, "label -1 of item 0")                               \
    X(et_cross_entropy(f.x, f.y), ET_EDTYPE, "cross_entropy: operand 1 is float32, expected int32")        \
    X(et_cross_entropy(f.x, NULL), ET_EINVAL, "cross_entropy: operand 1 is NULL")                          \
    X(et_cross_entropy(ZEROS(2, 0), LABELS(2, 0)), ET_ESHAPE, "have no classes")                           \
    X(et_cross_entropy_with(f.x, LABELS(2, 0), &too_smooth), ET_EINVAL, "label smoothing is 1.5")          \
    X(et_cross_entropy_with(f.x, LABELS(2, 0), &nan_smooth), ET_EINVAL, "label smoothing is nan")          \
    X(et_cross_entropy_soft(f.x, f.y, ET_REDUCE_MEAN), ET_ESHAPE, "[4]")                                   \
    X(et_clip_loss(f.x), ET_ESHAPE, "clip_loss: logits are [2, 3], expected a square matrix")
MISUSE_TABLE(reductions, REDUCTIONS)

static et_tensor *gather_at(misuse_set *f, int32_t id, int dim)
{
    return et_gather(f->x, dim, et_full(ET_I32, ET_SHAPE(2, 1), id));
}

static et_tensor *concat_of(misuse_set *f, et_tensor *other, int dim)
{
    return et_concat(2, (et_tensor *const[]){f->x, other}, dim);
}

static et_status split_of(et_tensor *x, int64_t size, int dim)
{
    et_tensor *parts[4];

    return (et_status)et_split(x, dim, size, 2, parts);
}

static et_status chunk_of(et_tensor *x, int count, int dim)
{
    et_tensor *parts[4];

    return et_chunk(x, dim, count, parts);
}

static const int64_t one_time[1] = {2}, minus_times[2] = {1, -1}, vast_times[2] = {1, INT64_MAX},
                     long_times[3] = {30, INT64_C(1) << 61, 2};
static const int64_t minus_width[2] = {-1, 0}, width3[2] = {3, 0}, vast_width[2] = {INT64_MAX, 1};

#define INDEXING(X)                                                                                        \
    X(et_slice(f.x, 2, 0, 1, 1), ET_EINVAL, "slice: dimension 2 of a tensor with 2")                       \
    X(et_slice(f.x, 0, 0, 1, 0), ET_EINVAL, "slice: the step is 0, expected at least 1")                   \
    X(et_slice(f.x, 0, 1, 0, -1), ET_EINVAL, "slice: the step is -1")                                      \
    X(et_slice(NULL, 0, 0, 1, 1), ET_EINVAL, "slice: operand 0 is NULL")                                   \
    X(et_select(f.x, 0, 2), ET_EINVAL, "select: index 2 of dimension 0 of [2, 3]")                         \
    X(et_select(f.x, 0, -3), ET_EINVAL, "select: index -3")                                                \
    X(et_select(f.x, 5, 0), ET_EINVAL, "dimension 5")                                                      \
    X(split_of(f.x, 1, 1), ET_EINVAL, "split: [2, 3] cut to pieces of 1 along dimension 1")                \
    X(split_of(f.x, 0, 1), ET_EINVAL, "pieces of 0")                                                       \
    X(split_of(NULL, 1, 1), ET_EINVAL, "split: operand 0 is NULL")                                         \
    X(chunk_of(f.x, 2, 1), ET_ESHAPE, "chunk: dimension 1 of [2, 3] does not divide into 2")               \
    X(chunk_of(f.x, 0, 1), ET_ESHAPE, "divide into 0")                                                     \
    X(chunk_of(NULL, 1, 1), ET_EINVAL, "chunk: operand 0 is NULL")                                         \
    X(et_concat(0, NULL, 0), ET_EINVAL, "concat: nothing to put together")                                 \
    X(et_concat(-1, NULL, 0), ET_EINVAL, "concat: nothing")                                                \
    X(concat_of(&f, f.y, 0), ET_ESHAPE, "concat: shapes differ outside dimension 0: operand 0 is [2, 3]")  \
    X(concat_of(&f, f.d, 0), ET_EDTYPE, "concat: dtypes differ: float32 and float64")                      \
    X(concat_of(&f, f.x, 2), ET_EINVAL, "concat: dimension 2")                                             \
    X(concat_of(&f, NULL, 0), ET_EINVAL, "concat: operand 1 is NULL")                                      \
    X(concat_of(&f, f.released, 0), ET_ESCOPE, "concat: the elements of operand 1")                        \
    X(et_stack(0, NULL, 0), ET_EINVAL, "stack: 0 tensors, expected 1 to 256")                              \
    X(et_stack(257, NULL, 0), ET_EINVAL, "stack: 257 tensors")                                             \
    X(et_stack(1, &f.x, 4), ET_EINVAL, "4")                                                                \
    X(gather_at(&f, 3, 1), ET_EINVAL, "gather: index 3 is outside 0 .. 2")                                 \
    X(gather_at(&f, -1, 1), ET_EINVAL, "gather: index -1")                                                 \
    X(gather_at(&f, 0, 2), ET_EINVAL, "gather: dimension 2")                                               \
    X(et_gather(f.x, 0, LABELS(2, 0)), ET_ESHAPE, "gather: index [2] does not fit [2, 3]")                 \
    X(et_gather(f.x, 0, f.x), ET_EDTYPE, "gather: operand 1 is float32, expected int32")                   \
    X(et_scatter_add(f.x, 1, f.k, f.y), ET_ESHAPE, "scatter_add: index is [2, 3], the source [4]")         \
    X(et_index_select(f.x, 0, LABELS(1, 2)), ET_EINVAL, "index 2 is outside 0 .. 1")                       \
    X(et_index_select(f.x, 0, f.k), ET_ESHAPE, "index_select: index is [2, 3], expected one dimension")    \
    X(et_index_select(f.x, 3, LABELS(1, 0)), ET_EINVAL, "dimension 3")                                     \
    X(et_embedding(f.x, LABELS(1, 2), -1), ET_EINVAL, "embedding: index 2 is outside 0 .. 1")              \
    X(et_embedding(f.x, LABELS(1, -1), -1), ET_EINVAL, "embedding: index -1")                              \
    X(et_embedding(f.y, LABELS(1, 0), -1), ET_ESHAPE, \
      "embedding: the table is [4], expected [words, width]") \
    X(et_embedding(f.x, f.x, -1), ET_EDTYPE, "expected int32")                                             \
    X(et_one_hot(LABELS(2, 3), 3, ET_F32), ET_EINVAL, "one_hot: index 3 is outside 0 .. 2")                \
    X(et_one_hot(LABELS(2, 0), -1, ET_F32), ET_EINVAL, "one_hot: -1 classes")                              \
    X(et_one_hot(LABELS(2, 0), 3, ET_U8), ET_EDTYPE, "one_hot: cannot make uint8")                         \
    X(et_where(f.x, f.x, f.x), ET_EDTYPE, "where: operand 0 is float32, expected a uint8 mask")            \
    X(et_where(f.m, f.x, f.y), ET_ESHAPE, "where: shapes do not broadcast: mask [2, 3], [2, 3] and [4]")   \
    X(et_where(f.m, f.x, f.d), ET_EDTYPE, "where: dtypes differ")                                          \
    X(et_masked_fill(f.x, NULL, 0), ET_EINVAL, "where: operand 0 is NULL")                                 \
    X(et_cast(f.leaf, ET_I32), ET_EGRAD, "cast: a gradient is required and cannot pass through int32")     \
    X(et_cast(f.x, NO_DTYPE), ET_EDTYPE, "dtype 99")                                                       \
    X(et_sort(f.x, 2, false, NULL), ET_EINVAL, "sort: dimension 2")                                        \
    X(et_topk(f.x, 4, 1, NULL), ET_EINVAL, "topk: 4 of dimension 1 of [2, 3]")                             \
    X(et_topk(f.x, -1, 1, NULL), ET_EINVAL, "topk: -1")                                                    \
    X(et_topk(f.x, 1, 7, NULL), ET_EINVAL, "dimension 7")                                                  \
    X(et_argmax(f.none, 0, false), ET_ESHAPE, "[0, 3]")                                                    \
    X(et_argmax(f.x, 2, false), ET_EINVAL, "dimension 2")                                                  \
    X(et_flip(f.x, 2), ET_EINVAL, "flip: dimension 2 of [2, 3]")                                           \
    X(et_flip(NULL, 0), ET_EINVAL, "flip: operand 0 is NULL")                                              \
    X(et_roll(f.x, 1, -3), ET_EINVAL, "roll: dimension -3")                                                \
    X(et_repeat(f.x, 1, one_time), ET_EINVAL, "repeat: expected at least as many counts as [2, 3]")        \
    X(et_repeat(f.x, 2, minus_times), ET_EINVAL, "repeat: -1 times along dimension 1")                     \
    X(et_repeat(f.x, 2, vast_times), ET_EINVAL, "times along dimension 1")                                 \
    X(et_repeat(f.y, 3, long_times), ET_ESHAPE, "too many elements")                                       \
    X(et_pad(f.x, 3, minus_width, ET_PAD_CONSTANT, 0), ET_EINVAL, "pad: widths for 3 dimensions")          \
    X(et_pad(f.x, 1, NULL, ET_PAD_CONSTANT, 0), ET_EINVAL, "pad: widths")                                  \
    X(et_pad(f.x, 1, minus_width, ET_PAD_CONSTANT, 0), ET_EINVAL, "pad: negative widths")                  \
    X(et_pad(f.x, 1, vast_width, ET_PAD_CONSTANT, 0), ET_ESHAPE, "too many")                               \
    X(et_pad(f.x, 1, width3, ET_PAD_REFLECT, 0), ET_ESHAPE, "pad: 3 and 0 elements around dimension 1")    \
    X(et_pad(ZEROS(2, 0), 1, width3, ET_PAD_REPLICATE, 0), ET_ESHAPE, "cannot be mirrored")                \
    X(et_sinusoidal_positions(ET_F32, 4, 3, 0), ET_EINVAL, "4 positions of width 3")                       \
    X(et_sinusoidal_positions(ET_I32, 4, 4, 0), ET_EINVAL, "in int32")
MISUSE_TABLE(indexing, INDEXING)

/* --- backward -------------------------------------------------------------------------------- */

static et_status backward_twice(misuse_set *f)
{
    et_status status = et_backward(f->loss);

    return status ? status : et_backward(f->loss);
}

static et_status backward_after_change(misuse_set *f)
{
    et_tensor *y = et_square(f->leaf), *s = et_sum_to_size(y, 0, NULL);

    et_fill(f->leaf, 3);
    return et_backward(s);
}

static et_status backward_after_result_changed(misuse_set *f)
{
    et_tensor *y = et_exp(f->leaf), *s = et_sum_to_size(y, 0, NULL);

    et_fill(y, 3);
    return et_backward(s);
}

static et_status backward_without_grad(misuse_set *f)
{
    et_tensor *y;

    et_no_grad_begin();
    y = et_sum_to_size(et_square(f->leaf), 0, NULL);
    et_no_grad_end();
    return et_backward(y);
}

static et_tensor *use_after_backward(misuse_set *f)
{
    et_tensor *y = et_square(f->leaf);

    if (et_backward(et_sum_to_size(et_exp(y), 0, NULL)) != ET_OK)
        return f->x;
    return et_neg(y);
}

static et_status grad_of(misuse_set *f, et_tensor *out, et_tensor *in, int flags)
{
    et_tensor *g = NULL;

    (void)f;
    return et_grad(1, &out, NULL, 1, &in, &g, flags);
}

static et_status grad_once(misuse_set *f)
{
    et_tensor *q = et_set_requires_grad(ZEROS(1, 1, 2, 4), true);
    et_tensor *y = et_sum_to_size(et_attention(q, q, q, NULL, NULL), 0, NULL);

    return grad_of(f, y, q, ET_CREATE_GRAPH);
}

static et_status grad_no_grad(misuse_set *f)
{
    et_status status;

    et_no_grad_begin();
    status = grad_of(f, f->loss, f->leaf, ET_CREATE_GRAPH);
    et_no_grad_end();
    return status;
}

static et_tensor *give_null(et_tensor *const *in, int n_in, void *user)
{
    (void)in, (void)n_in, (void)user;
    return NULL;
}

static et_tensor *give_operand(et_tensor *const *in, int n_in, void *user)
{
    (void)n_in, (void)user;
    return in[0];
}

static et_tensor *give_integers(et_tensor *const *in, int n_in, void *user)
{
    (void)in, (void)n_in, (void)user;
    return et_zeros(ET_I32, S(2));
}

static et_tensor *anomaly(misuse_set *f)
{
    et_tensor *y;

    et_set_anomaly(true);
    y = et_log(et_neg(f->x));
    et_set_anomaly(false);
    return y;
}

#define BACKWARD(X)                                                                                        \
    X(et_backward(NULL), ET_EINVAL, "backward: tensor is NULL")                                            \
    X(et_backward(f.computed), ET_EINVAL, "backward: the loss has shape [2, 3], expected one element")     \
    X(et_backward(et_zeros(ET_I32, 0, NULL)), ET_EDTYPE, "backward: a int32 tensor has no gradient")       \
    X(et_backward(et_sum_to_size(f.x, 0, NULL)), ET_EGRAD, "requires a gradient")                          \
    X(backward_without_grad(&f), ET_EGRAD, "requires a gradient")                                          \
    X(backward_twice(&f), ET_ESCOPE, "backward")                                                           \
    X(backward_after_change(&f), ET_EVERSION, "square: backward: operand 0")                               \
    X(backward_after_result_changed(&f), ET_EVERSION, "exp: backward: the result was changed")             \
    X(use_after_backward(&f), ET_ESCOPE, "neg: the elements of operand 0, shape [2, 3], were released")    \
    X(et_backward_from(f.computed, f.y, 0), ET_ESHAPE, \
      "the gradient is float32 [4], the tensor float32 [2, 3]") \
    X(et_backward_from(f.computed, f.d, 0), ET_ESHAPE, "float64 [2, 3]")                                   \
    X(et_backward_from(f.computed, NULL, ET_CREATE_GRAPH), ET_EINVAL, "use et_grad")                       \
    X(et_backward_from(f.computed, NULL, 77), ET_EINVAL, "ET_RETAIN_GRAPH")                                \
    X(et_backward_from(f.computed, f.released, 0), ET_ESCOPE, "released")                                  \
    X(grad_of(&f, f.loss, NULL, 0), ET_EINVAL, "grad: input 0 is NULL")                                    \
    X(grad_of(&f, NULL, f.leaf, 0), ET_EINVAL, "NULL")                                                     \
    X(grad_of(&f, f.loss, f.x, 0), ET_EGRAD, "grad: input 0 does not require a gradient")                  \
    X(grad_once(&f), ET_EGRAD, "attention: can be differentiated once only")                               \
    X(grad_no_grad(&f), ET_EGRAD, "inside et_no_grad_begin")                                               \
    X(et_checkpoint(NULL, &f.leaf, 1, NULL), ET_EINVAL, "checkpoint: expected a segment")                  \
    X(et_checkpoint(give_null, &f.leaf, -1, NULL), ET_EINVAL, "checkpoint: expected")                      \
    X(et_checkpoint(give_null, &f.leaf, ET_MAX_ARGS + 1, NULL), ET_EINVAL, "at most 16")                   \
    X(et_checkpoint(give_null, &f.leaf, 1, NULL), ET_EINVAL, "the segment returned NULL")                  \
    X(et_checkpoint(give_operand, &f.leaf, 1, NULL), ET_EINVAL, "the segment returned its operand 0")      \
    X(et_checkpoint(give_integers, &f.leaf, 1, NULL), ET_EDTYPE, "the segment returned a int32 tensor")    \
    X(anomaly(&f), ET_ENONFINITE, "log: made a NaN or infinity")                                           \
    X(et_tape_print(NULL), ET_EINVAL, "NULL")                                                              \
    X(et_tape_dot(NULL), ET_EINVAL, "NULL")
MISUSE_TABLE(backward, BACKWARD)

/* With an error pending, backward and ops given NULL refuse and keep the first message. */
START_TEST(pending_error)
{
    misuse_set f = misuse_begin();

    et_raise(ET_EFORMAT, "the first");
    ck_assert_int_eq(et_backward(f.loss), ET_EFORMAT);
    ck_assert_ptr_null(et_grad_of(f.leaf));
    ck_assert_ptr_null(et_linear(f.x, f.x, et_neg(NULL))); /* a NULL bias is no "none" now */
    ck_assert_str_eq(et_error_message(), "the first");
    misuse_end(&f);
}
END_TEST

/* Extreme numbers that are right. */
START_TEST(far_but_right)
{
    misuse_set f = misuse_begin();
    et_tensor *part[1], *y;

    ck_assert_int_eq(et_split(f.x, 0, INT64_MAX, 1, part), 1);
    ck_assert(et_equal(part[0], f.x));
    y = et_slice(f.x, 0, INT64_MIN, INT64_MAX, INT64_MAX);
    ck_assert(y && y->shape[0] == 1);
    y = et_roll(f.x, INT64_MIN, 1);
    ck_assert_ptr_nonnull(y);
    ck_assert_ptr_nonnull(et_roll(f.x, INT64_MAX, 0));
    y = et_max_pool1d(et_view(f.x, ET_SHAPE(1, 1, 6)), 5, INT64_MAX, 2);
    ck_assert(y && y->numel == 1);
    y = et_conv1d(et_view(f.x, ET_SHAPE(1, 1, 6)), et_ones(ET_F32, ET_SHAPE(1, 1, 3)), NULL, INT64_MAX, 2);
    ck_assert(y && y->numel == 1 && et_item(y) == 1);
    if (sizeof(size_t) > 4) { /* else no shape has such a size */
        y = et_resize(ZEROS(0, 3), 1, INT64_C(1) << 58, ET_RESIZE_LINEAR, false);
        ck_assert(y && y->shape[1] == INT64_C(1) << 58);
    }
    misuse_end(&f);
}
END_TEST

START_TEST(endless_scratch)
{
    et_node n = {0};

    ck_assert_ptr_null(et_scratch(&n, SIZE_MAX));
    ck_assert_int_eq(et_error_status(), ET_ENOMEM);
    et_error_clear();
}
END_TEST

START_TEST(grad_of_nothing)
{
    et_scope *scope = et_scope_open();
    et_tensor *leaf = et_set_requires_grad(ZEROS(2), true), *g = leaf;

    ck_assert_int_eq(et_grad(0, NULL, NULL, 1, &leaf, &g, 0), et_error_status());
    ck_assert_ptr_null(g);
    et_error_clear();
    et_scope_close(scope);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("misuse_ops");
    TCase *tc = tcase_create("every op");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, wrong_operands, 0, et_op_count);
    tcase_add_loop_test(tc, no_scope, 0, et_op_count);
    tcase_add_loop_test(tc, without_memory, 0, et_op_count);
    suite_add_tcase(s, tc);
    tc = tcase_create("tables");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, shapes_misuses, 0, N_shapes_misuses);
    tcase_add_loop_test(tc, layers_misuses, 0, N_layers_misuses);
    tcase_add_loop_test(tc, reductions_misuses, 0, N_reductions_misuses);
    tcase_add_loop_test(tc, indexing_misuses, 0, N_indexing_misuses);
    tcase_add_loop_test(tc, backward_misuses, 0, N_backward_misuses);
    tcase_add_test(tc, pending_error);
    tcase_add_test(tc, far_but_right);
    tcase_add_test(tc, endless_scratch);
    tcase_add_test(tc, grad_of_nothing);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
