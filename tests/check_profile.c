/* Profiles: what they count is what the tape holds; times lie inside each other; the trace is JSON. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "autograd/profile.h"
#include "nn/linear.h"
#include "nn/optim.h"
#include "tensor/json.h"
#include "tensor/rng.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

enum { MAX_ROWS = 64 };

static void setup(void)
{
    et_error_clear();
    make_test_dir();
}

static et_tensor *leaf(int ndim, const int64_t *shape, uint64_t seed)
{
    et_rng rng = et_rng_make(seed, 0);
    et_tensor *t = et_empty(ET_F32, ndim, shape);

    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(et_fill_uniform(t, &rng, -1, 1), ET_OK);
    return et_set_requires_grad(t, true);
}

static const et_profile_row *find(const et_profile_row *rows, int64_t n, const char *name,
                                  et_profile_kind kind)
{
    for (int64_t i = 0; i < n; i++)
        if (rows[i].kind == kind && strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

/* The row, which must be there. */
static et_profile_row row_of(const et_profile *p, const char *name, et_profile_kind kind)
{
    et_profile_row rows[MAX_ROWS];
    int64_t n = et_profile_rows(p, rows, MAX_ROWS);

    ck_assert_int_le(n, MAX_ROWS);
    const et_profile_row *r = find(rows, n, name, kind);
    ck_assert_msg(r != NULL, "no row for %s", name);
    return *r;
}

/* Calls of each op as et_tape_print lists them: "%3 = NAME(". */
static int64_t on_tape(const char *path, const char *name)
{
    FILE *f = fopen(path, "r");
    char line[4096], op[64];
    int64_t n = 0;

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f))
        n += sscanf(line, "%%%*d = %63[a-z_0-9]", op) == 1 && strcmp(op, name) == 0;
    fclose(f);
    return n;
}

/* --- counts ----------------------------------------------------------------------------------- */

START_TEST(counts_are_those_of_the_tape)
{
    et_tensor *x = leaf(2, (int64_t[]){3, 4}, 1), *w = leaf(2, (int64_t[]){5, 4}, 2),
              *b = leaf(1, (int64_t[]){5}, 3);
    et_profile *p = et_profile_begin(1000);
    et_scope *scope = et_scope_open();
    et_profile_row rows[MAX_ROWS];
    int64_t forward = 0, backward = 0;

    ck_assert_ptr_nonnull(p);
    et_tensor *y = et_linear(x, w, b);
    for (int i = 0; i < 3; i++)
        y = et_tanh(et_mul_scalar(y, 0.5));
    et_tensor *loss = et_mean(et_square(y), 0, NULL, false);
    FILE *f = fopen(in_dir("tape"), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(et_tape_print(f), ET_OK);
    fclose(f);
    const int64_t length = et_tape_length();
    ck_assert_int_eq(et_backward(loss), ET_OK);
    et_profile_end(p);
    et_scope_close(scope);

    const int64_t n = et_profile_rows(p, rows, MAX_ROWS);
    for (int64_t i = 0; i < n; i++) {
        ck_assert_int_eq(rows[i].calls, on_tape(in_dir("tape"), rows[i].name));
        ck_assert(rows[i].seconds >= 0 && rows[i].seconds <= rows[i].total);
        if (i)
            ck_assert(rows[i].seconds <= rows[i - 1].seconds);
        *(rows[i].kind == ET_PROFILE_FORWARD ? &forward : &backward) += rows[i].calls;
    }
    ck_assert_int_eq(forward, length);
    ck_assert_int_eq(backward, length);
    ck_assert_int_eq(et_profile_events(p), 2 * length);
    ck_assert_int_eq(et_profile_dropped(p), 0);
    ck_assert_int_eq(row_of(p, "tanh", ET_PROFILE_BACKWARD).calls, 3);
    et_profile_free(p);
    et_free(x);
    et_free(w);
    et_free(b);
}
END_TEST

/* FLOPs and bytes by hand. */
START_TEST(arithmetic_and_bytes)
{
    enum { B = 2, T = 3, F = 4, H = 5 };
    et_tensor *a = leaf(3, (int64_t[]){2, 3, 4}, 1), *b = leaf(2, (int64_t[]){4, 5}, 2);
    et_tensor *q = leaf(4, (int64_t[]){2, 3, 5, 4}, 3), *k = leaf(4, (int64_t[]){2, 3, 7, 4}, 4);
    et_tensor *v = leaf(4, (int64_t[]){2, 3, 7, 6}, 5), *x = leaf(3, (int64_t[]){B, T, F}, 6);
    et_tensor *w_ih = leaf(2, (int64_t[]){3 * H, F}, 7), *w_hh = leaf(2, (int64_t[]){3 * H, H}, 8);
    et_tensor *w = leaf(2, (int64_t[]){7, F}, 9), *shift = leaf(1, (int64_t[]){7}, 10);
    et_profile *p = et_profile_begin(0);
    et_scope *scope = et_scope_open();

    et_set_requires_grad(a, false);
    et_set_requires_grad(x, false);
    et_backward(et_sum(et_matmul(a, b), 0, NULL, false));
    et_backward(et_sum(et_mul(q, q), 0, NULL, false));
    et_backward(et_sum(et_attention(q, k, v, NULL, NULL), 0, NULL, false));
    et_backward(et_sum(et_gru(x, NULL, w_ih, w_hh, NULL, NULL, NULL, NULL, NULL), 0, NULL, false));
    et_backward(et_sum(et_additive_scores(x, w, shift, shift), 0, NULL, false));
    et_tensor *turned = et_transpose(q, 0, 1);
    ck_assert_ptr_nonnull(turned);
    ck_assert_str_eq(et_error_message(), "");
    et_scope_close(scope);
    et_profile_end(p);

    ck_assert_double_eq(row_of(p, "matmul", ET_PROFILE_FORWARD).flops, 2 * 6 * 5 * 4);
    ck_assert_double_eq(row_of(p, "matmul", ET_PROFILE_BACKWARD).flops, 2 * 6 * 5 * 4); /* b's alone */
    ck_assert_double_eq(row_of(p, "matmul", ET_PROFILE_FORWARD).bytes, 4 * (24 + 20 + 30));
    /* gradient of the output, a as it was saved, gradient of b */
    ck_assert_double_eq(row_of(p, "matmul", ET_PROFILE_BACKWARD).bytes, 4 * (30 + 24 + 20));
    ck_assert_double_eq(row_of(p, "mul", ET_PROFILE_FORWARD).flops, 0);
    ck_assert_double_eq(row_of(p, "mul", ET_PROFILE_FORWARD).bytes, 4 * 3 * 120);
    ck_assert_double_eq(row_of(p, "attention", ET_PROFILE_FORWARD).flops, 2.0 * 6 * 5 * 7 * (4 + 6));
    ck_assert_double_eq(row_of(p, "attention", ET_PROFILE_BACKWARD).flops, 2.0 * 6 * 5 * 7 * (3 * 4 + 2 * 6));
    ck_assert_double_eq(row_of(p, "additive_scores", ET_PROFILE_FORWARD).flops, 2.0 * B * T * 7 * (F + 1));
    ck_assert_double_eq(row_of(p, "additive_scores", ET_PROFILE_BACKWARD).flops, 2.0 * B * T * 7 * (F + 1));
    ck_assert_double_eq(row_of(p, "gru", ET_PROFILE_FORWARD).flops, 2.0 * B * T * 3 * H * (F + H));
    ck_assert_double_eq(row_of(p, "gru", ET_PROFILE_BACKWARD).flops,
                        2.0 * B * T * (3 * H * (F + 2 * H) + H * H));
    ck_assert_double_eq(row_of(p, "permute", ET_PROFILE_FORWARD).bytes, 0);
    et_profile_free(p);

    p = et_profile_begin(0); /* what backward would read is gone where there is none, and does not count */
    scope = et_scope_open();
    et_no_grad_begin();
    ck_assert_ptr_nonnull(et_additive_scores(x, w, shift, shift));
    et_no_grad_end();
    et_scope_close(scope);
    ck_assert_double_eq(row_of(p, "additive_scores", ET_PROFILE_FORWARD).bytes,
                        4 * (B * T * F + 7 * F + 7 + 7 + B * T));
    et_profile_free(p);
    et_tensor *all[] = {a, b, q, k, v, x, w_ih, w_hh, w, shift};
    for (int i = 0; i < 10; i++)
        et_free(all[i]);
}
END_TEST

/* An op with more operands than an int has bits. */
START_TEST(many_operands)
{
    enum { MANY = 40 };
    et_tensor *in[MANY];
    et_profile *p = et_profile_begin(0);
    et_scope *scope = et_scope_open();

    for (int i = 0; i < MANY; i++)
        in[i] = leaf(1, (int64_t[]){3}, (uint64_t)i);
    ck_assert_int_eq(et_backward(et_sum(et_concat(MANY, in, 0), 0, NULL, false)), ET_OK);
    for (int i = 0; i < MANY; i++)
        ck_assert_double_eq(et_get(et_grad_of(in[i]), (int64_t[]){2}), 1);
    et_scope_close(scope);
    et_profile_end(p);
    ck_assert_double_eq(row_of(p, "concat", ET_PROFILE_FORWARD).bytes, 4 * (3 * MANY + 3 * MANY));
    /* gradients of the output and of the operands */
    ck_assert_double_eq(row_of(p, "concat", ET_PROFILE_BACKWARD).bytes, 4 * (3 * MANY + 3 * MANY));
    et_profile_free(p);
}
END_TEST

/* What backward makes again is a call of forward, which reads and writes as many elements. */
START_TEST(made_again)
{
    et_tensor *x = leaf(2, (int64_t[]){3, 4}, 1);
    double bytes[2];

    for (int scoped = 0; scoped < 2; scoped++) {
        et_profile *p = et_profile_begin(0);
        et_scope *scope = et_scope_open(), *inner = scoped ? et_scope_open() : NULL;
        et_tensor *y = et_sum(et_square(et_layer_norm(x, NULL, NULL, 1e-5)), 0, NULL, false);
        if (inner) {
            y = et_scope_return(inner, y);
            et_scope_close(inner);
        }
        ck_assert_int_eq(et_backward(y), ET_OK);
        et_scope_close(scope);
        et_profile_end(p);
        const et_profile_row r = row_of(p, "layer_norm", ET_PROFILE_FORWARD);
        ck_assert(r.calls == 1 + scoped && r.flops == 0 && r.seconds >= 0 && r.seconds < 60);
        ck_assert_int_eq(row_of(p, "layer_norm", ET_PROFILE_BACKWARD).calls, 1);
        bytes[scoped] = r.bytes;
        et_profile_free(p);
    }
    ck_assert_double_eq(bytes[1] - bytes[0], 4 * (12 + 12));
    et_free(x);
}
END_TEST

/* --- time ------------------------------------------------------------------------------------- */

static et_tensor *segment(et_tensor *const *in, int n_in, void *user)
{
    (void)n_in, (void)user;
    return et_tanh(et_matmul(in[0], in[0]));
}

/* Ops inside an op's backward: their time is theirs. */
START_TEST(time_inside_time)
{
    et_tensor *x = leaf(2, (int64_t[]){48, 48}, 1);
    et_profile *p = et_profile_begin(100);
    et_scope *scope = et_scope_open();
    et_profile_row rows[MAX_ROWS];
    double sum = 0;

    et_profile_part_begin("all");
    et_profile_part_begin("first");
    et_tensor *y = et_checkpoint(segment, &x, 1, NULL);
    et_profile_part_end();
    ck_assert_int_eq(et_backward(et_sum(y, 0, NULL, false)), ET_OK);
    et_profile_part_end();
    et_profile_end(p);
    et_scope_close(scope);

    const et_profile_row outer = row_of(p, "all", ET_PROFILE_PART),
                         inner = row_of(p, "first", ET_PROFILE_PART);
    const et_profile_row again = row_of(p, "checkpoint", ET_PROFILE_BACKWARD);
    const et_profile_row tanh_b = row_of(p, "tanh", ET_PROFILE_BACKWARD),
                         mm = row_of(p, "matmul", ET_PROFILE_FORWARD);
    ck_assert_int_eq(mm.calls, 2); /* forward, and once more in backward */
    ck_assert_int_eq(tanh_b.calls, 1);
    ck_assert(again.total >= again.seconds + tanh_b.total);
    ck_assert(outer.total >= inner.total + again.total);
    const int64_t n = et_profile_rows(p, rows, MAX_ROWS);
    for (int64_t i = 0; i < n; i++)
        sum += rows[i].seconds;
    ck_assert_double_eq_tol(sum, outer.total, 1e-9 * (double)n); /* everything ran inside it */
    ck_assert(outer.total <= et_profile_seconds(p));
    et_profile_free(p);
    et_free(x);
}
END_TEST

/* A graph's backward is made of ops; what it does is counted with them. */
START_TEST(recorded_backward)
{
    et_tensor *x = leaf(2, (int64_t[]){4, 4}, 1), *g;
    et_scope *scope = et_scope_open();
    et_tensor *y = et_matmul(x, x);
    et_profile *p = et_profile_begin(0);

    ck_assert_int_eq(et_grad(1, &y, NULL, 1, &x, &g, ET_CREATE_GRAPH), ET_OK);
    et_profile_end(p);
    ck_assert_double_eq(row_of(p, "matmul", ET_PROFILE_BACKWARD).flops, 0);
    ck_assert_double_eq(row_of(p, "matmul", ET_PROFILE_FORWARD).flops, 2 * 2 * 64);
    et_scope_close(scope);
    et_profile_free(p);
    et_free(x);
}
END_TEST

START_TEST(parts_that_do_not_match)
{
    et_tensor *x = leaf(1, (int64_t[]){3}, 1);

    et_profile_part_begin("no profile"); /* nothing is on: nothing happens */
    et_profile_part_end();
    et_profile *p = et_profile_begin(10);
    et_profile_part_end(); /* none is open */
    et_profile_part_begin(NULL);
    et_profile_part_end();
    et_profile_part_begin("a name of more than forty-seven bytes, which is cut there");
    et_profile_part_end();
    et_profile_part_begin("never ended");
    et_scope *scope = et_scope_open();
    ck_assert_ptr_nonnull(et_neg(x));
    et_scope_close(scope);
    et_profile_end(p);
    et_profile_part_end();
    ck_assert_int_eq(et_profile_rows(p, NULL, 0), 3);
    ck_assert_int_eq(row_of(p, "", ET_PROFILE_PART).calls, 1);
    ck_assert_int_eq(row_of(p, "a name of more than forty-seven bytes, which is", ET_PROFILE_PART).calls, 1);
    const double seconds = et_profile_seconds(p);
    et_profile_end(p); /* once more */
    ck_assert_double_eq(et_profile_seconds(p), seconds);
    et_profile_free(p);
    et_free(x);
}
END_TEST

/* A step computes the same bits, watched or not. */
START_TEST(changes_nothing)
{
    et_tensor *x = leaf(2, (int64_t[]){7, 9}, 1);
    float gradient[2][63];

    for (int watched = 0; watched < 2; watched++) {
        et_profile *p = watched ? et_profile_begin(3) : NULL;
        et_scope *scope = et_scope_open();
        ck_assert_int_eq(et_backward(et_sum(et_softmax(et_matmul(x, et_transpose(x, 0, 1)), 1), 0, NULL,
                                            false)), ET_OK);
        memcpy(gradient[watched], et_data(et_grad_of(x)), sizeof gradient[0]);
        et_scope_close(scope);
        et_zero_grad_of(x);
        if (p) {
            ck_assert_int_eq(et_profile_events(p), 3);
            ck_assert_int_eq(et_profile_dropped(p), 5); /* four ops, forward and backward */
        }
        et_profile_free(p);
    }
    ck_assert_mem_eq(gradient[0], gradient[1], sizeof gradient[0]);
    et_free(x);
}
END_TEST

/* --- files ------------------------------------------------------------------------------------- */

START_TEST(trace)
{
    et_tensor *x = leaf(2, (int64_t[]){6, 8}, 1), *w = leaf(2, (int64_t[]){5, 8}, 2);
    et_profile *p = et_profile_begin(1000);
    et_scope *scope = et_scope_open();

    et_profile_part_begin("forward \"quoted\"");
    et_tensor *y = et_relu(et_linear(x, w, NULL));
    et_profile_part_end();
    ck_assert_int_eq(et_backward(et_sum(y, 0, NULL, false)), ET_OK);
    et_scope_close(scope);
    et_profile_end(p);
    ck_assert_int_eq(et_profile_write(p, in_dir("trace.json")), ET_OK);

    et_json *json = et_json_read(in_dir("trace.json"), 1 << 20);
    ck_assert_msg(json != NULL, "%s", et_error_message());
    const et_json_value *events = et_json_get(et_json_root(json), "traceEvents");
    ck_assert_ptr_nonnull(events);
    ck_assert_int_eq((int)events->type, ET_JSON_ARRAY);
    int64_t spans = 0, counters = 0;
    double part_end = -1, last_end = 0, flops = 0;
    for (const et_json_value *e = events->first; e; e = e->next) {
        const char *phase = et_json_get_string(e, "ph", ""), *name = et_json_get_string(e, "name", "");
        const double start = et_json_get_number(e, "ts", NAN), length = et_json_get_number(e, "dur", NAN);
        const et_json_value *args = et_json_get(e, "args"), *shape = et_json_get(args, "shape");

        ck_assert(start >= 0);
        ck_assert_int_eq(et_json_get_int(e, "pid", -1), 1);
        ck_assert_int_eq(et_json_get_int(e, "tid", -1), 1);
        if (strcmp(phase, "C") == 0) {
            ck_assert(et_json_get_number(args, "bytes", -1) > 0);
            counters++;
            continue;
        }
        ck_assert_str_eq(phase, "X");
        ck_assert(length >= 0);
        ck_assert(start + length + 0.002 >= last_end); /* in the order in which they ended */
        last_end = start + length;
        spans++;
        if (strcmp(name, "forward \"quoted\"") == 0) {
            ck_assert_str_eq(et_json_get_string(e, "cat", ""), "part");
            part_end = start + length;
        } else if (strcmp(name, "linear") == 0 && part_end < 0) {
            ck_assert_str_eq(et_json_get_string(e, "cat", ""), "forward");
            ck_assert_uint_eq(shape->count, 2);
            ck_assert_int_eq(shape->first->integer, 6);
            ck_assert_int_eq(shape->first->next->integer, 5);
            ck_assert_ptr_nonnull(strstr(et_json_get_string(args, "place", ""), "check_profile.c:"));
            flops += et_json_get_number(args, "flops", NAN);
        } else if (strcmp(name, "linear") == 0) {
            ck_assert_str_eq(et_json_get_string(e, "cat", ""), "backward");
            ck_assert(start + 0.002 >= part_end);
        }
    }
    ck_assert_int_eq(spans, et_profile_events(p));
    ck_assert_int_eq(counters, spans);
    ck_assert_int_eq(spans, 7);
    ck_assert_double_eq(flops, 2 * 6 * 5 * 8);
    ck_assert_int_eq(et_json_get_int(et_json_get(et_json_root(json), "otherData"), "dropped", -1), 0);
    et_json_free(json);
    et_profile_free(p);
    et_free(x);
    et_free(w);
}
END_TEST

START_TEST(table)
{
    et_tensor *x = leaf(2, (int64_t[]){30, 30}, 1);
    et_profile *p = et_profile_begin(0);
    et_scope *scope = et_scope_open();
    char line[256], name[64];
    int lines = 0;

    et_matmul(et_neg(x), x);
    et_scope_close(scope);
    et_profile_end(p);
    FILE *f = fopen(in_dir("table"), "w+");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(et_profile_print(p, f), ET_OK);
    rewind(f);
    while (fgets(line, sizeof line, f)) {
        long long calls;
        double ms, share, each, rate, bytes;

        lines++;
        if (sscanf(line, "%63s forward %lld %lf %lf %lf %lf %lf", name, &calls, &ms, &share, &each, &rate,
                   &bytes) == 7) {
            ck_assert_str_eq(name, "matmul");
            ck_assert_int_eq(calls, 1);
            ck_assert_double_eq_tol(rate, 2e-9 * 30 * 30 * 30 / row_of(p, "matmul",
                                                                       ET_PROFILE_FORWARD).seconds, 0.06);
        }
    }
    ck_assert_int_eq(lines, 5); /* titles, two ops, everything else, all */
    ck_assert_str_eq(name, "all");
    fclose(f);
    f = fopen(in_dir("table"), "r");
    fails(et_profile_print(p, f), ET_EIO, "cannot write");
    fclose(f);
    et_profile_free(p);
    et_free(x);
}
END_TEST

START_TEST(wrong_use)
{
    et_profile *p = et_profile_begin(1);

    fails_null(et_profile_begin(1), ET_EINVAL, "one is on already");
    fails(et_profile_write(p, in_dir("no/such/folder.json")), ET_EIO, "folder.json");
    fails(et_profile_write(p, NULL), ET_EINVAL, "path");
    fails(et_profile_write(NULL, "x"), ET_EINVAL, "NULL");
    fails(et_profile_print(NULL, stdout), ET_EINVAL, "NULL");
    et_profile_free(p);
    fails_null(et_profile_begin(-1), ET_EINVAL, "negative");
    fails_null(et_profile_begin(INT64_MAX), ET_ENOMEM, "events");
    ck_assert_int_eq(et_profile_rows(NULL, NULL, 0), 0);
    ck_assert_double_eq(et_profile_seconds(NULL), 0);
    et_profile_end(NULL);
    et_profile_free(NULL);
}
END_TEST

/* The optimiser and the training loop name their parts. */
START_TEST(parts_of_a_step)
{
    et_rng rng = et_rng_make(1, 0);
    et_linear_layer *m = et_linear_layer_new(NULL, NULL, 3, 2, true, &rng);
    et_optim *o = et_optim_new(&m->module, &(et_optim_options){.kind = ET_ADAM, .lr = 0.1}, NULL, 0);
    et_profile *p = et_profile_begin(0);

    ck_assert_ptr_nonnull(o);
    ck_assert_int_eq(et_optim_step(o), ET_OK);
    ck_assert_int_eq(et_optim_step_zero(o, 1, NULL), ET_OK);
    fails(et_optim_step_zero(o, -1, NULL), ET_EINVAL, "clipping");
    ck_assert_int_eq(row_of(p, "optimiser", ET_PROFILE_PART).calls, 3);
    et_profile_free(p);
    et_optim_free(o);
    et_module_free(&m->module);
}
END_TEST

static bool profile_body(void *user)
{
    et_tensor *x = user;
    et_profile *p = et_profile_begin(4);
    et_scope *scope = p ? et_scope_open() : NULL;
    bool good = scope != NULL;

    et_profile_part_begin("part");
    if (good)
        good = et_neg(x) != NULL;
    et_profile_part_end();
    et_scope_close(scope);
    et_profile_end(p);
    good = good && et_profile_write(p, in_dir("sweep.json")) == ET_OK;
    et_profile_free(p);
    return good;
}

START_TEST(memory)
{
    et_tensor *x = leaf(1, (int64_t[]){3}, 1);

    ck_assert_int_gt(alloc_sweep("profile", profile_body, x), 5);
    et_free(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile");
    TCase *tc = tcase_create("profile");

    tcase_add_checked_fixture(tc, setup, remove_test_dir);
    tcase_add_test(tc, counts_are_those_of_the_tape);
    tcase_add_test(tc, arithmetic_and_bytes);
    tcase_add_test(tc, many_operands);
    tcase_add_test(tc, made_again);
    tcase_add_test(tc, time_inside_time);
    tcase_add_test(tc, recorded_backward);
    tcase_add_test(tc, parts_that_do_not_match);
    tcase_add_test(tc, changes_nothing);
    tcase_add_test(tc, trace);
    tcase_add_test(tc, table);
    tcase_add_test(tc, wrong_use);
    tcase_add_test(tc, parts_of_a_step);
    tcase_add_test(tc, memory);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
