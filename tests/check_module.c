/* Trees of modules: names, counts, freezing, ties, what is printed; state files, other
 * libraries' names; wrong use; allocation failures. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "nn/linear.h"
#include "tensor/safetensors.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

/* root: block.{inner [2, 3] + bias, scale [3]}, block2.weight [4], mean [2] (buffer), table (constant) */
static et_module *tree(void)
{
    et_module *root = et_module_new(sizeof *root, "Root", NULL, NULL);
    et_module *block = et_module_new(sizeof *block, "Block", root, "block");
    et_module *block2 = et_module_new(sizeof *block2, "Block", root, "block2");

    et_linear_layer_new(block, "inner", 3, 2, true, NULL);
    et_module_param(block, "scale", ET_SHAPE(3));
    et_module_param(block2, "weight", ET_SHAPE(4));
    et_module_buffer(root, "mean", ET_ENTRY_BUFFER, ET_F32, ET_SHAPE(2));
    et_module_buffer(root, "table", ET_ENTRY_CONSTANT, ET_I32, ET_SHAPE(5));
    return et_module_done(root);
}

static void fill(et_module *m, double a)
{
    const et_entry *e;

    for (int64_t i = 0; (e = et_module_entry(m, i)); i++)
        for (int64_t k = 0; k < e->tensor->numel && e->tensor->dtype == ET_F32; k++)
            ((float *)et_data_mut(e->tensor))[k] = (float)sin(a + (double)(i * 31 + k));
}

START_TEST(names)
{
    et_module *m = tree(), *block = et_module_child(m, "block"), *inner = et_module_child(m, "block.inner");
    static const char *const want[] = {
        "block.inner.weight", "block.inner.bias", "block.scale", "block2.weight", "mean", "table"};

    ck_assert_msg(m != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_module_n_entries(m), 6);
    for (int i = 0; i < 6; i++) {
        ck_assert_str_eq(et_module_entry(m, i)->name, want[i]);
        ck_assert_str_eq(et_module_entry(m, i)->tensor->name, want[i]);
        ck_assert_ptr_eq(et_module_find(m, want[i]), et_module_entry(m, i)->tensor);
    }
    ck_assert_ptr_null(et_module_entry(m, 6));
    ck_assert_ptr_null(et_module_find(m, "block"));
    ck_assert_ptr_null(et_module_child(m, "block.scale"));
    ck_assert_ptr_eq(et_module_child(block, "inner"), inner);
    /* Relative names; block2 is no part of block. */
    ck_assert_int_eq(et_module_n_entries(block), 3);
    ck_assert_str_eq(et_module_entry_name(block, et_module_entry(block, 0)), "inner.weight");
    ck_assert_ptr_eq(et_module_find(inner, "weight"), et_module_find(m, "block.inner.weight"));
    ck_assert_int_eq(et_module_count(m), 15);
    ck_assert_int_eq(et_module_count(block), 11);
    et_module_eval(block);
    ck_assert(m->training && !block->training && !inner->training && et_module_child(m, "block2")->training);
    fails(et_module_free(block), ET_EINVAL, "has a parent");
    et_module_free(m);
}
END_TEST

START_TEST(finite)
{
    et_module *m = tree(), *block = et_module_child(m, "block");

    fill(m, 0);
    ck_assert_int_eq(et_module_check_finite(m), ET_OK);
    ((float *)et_data_mut(et_module_find(m, "mean")))[1] = NAN;
    fails(et_module_check_finite(m), ET_ENONFINITE, "mean: element [1] is not finite");
    ck_assert_int_eq(et_module_check_finite(block), ET_OK);
    ((float *)et_data_mut(et_module_find(block, "inner.weight")))[4] = INFINITY;
    fails(et_module_check_finite(m), ET_ENONFINITE, "block.inner.weight: element [1, 1] is not finite");
    ck_assert_int_eq(et_module_check_finite(block), ET_ENONFINITE); /* the name as block sees it */
    ck_assert_str_eq(et_error_message(), "inner.weight: element [1, 1] is not finite");
    et_error_clear();
    et_module_free(m);
}
END_TEST

/* Dotted names make the modules on the way once; what is held in evaluation stays there. */
START_TEST(dotted_names)
{
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_linear_layer *a = et_linear_layer_new(m, "x.y.a", 2, 3, true, NULL),
                    *b = et_linear_layer_new(m, "x.y.b", 2, 3, true, NULL);
    et_module *x = et_module_child(m, "x");

    ck_assert_msg(a && b && x, "%s", et_error_message());
    ck_assert_str_eq(a->module.path, "x.y.a");
    ck_assert_ptr_eq(a->module.parent, b->module.parent);
    ck_assert_ptr_eq(a->module.parent->parent, x);
    ck_assert_ptr_eq(et_module_find(x, "y.b.weight"), b->weight);
    et_module_hold_eval(&a->module, true);
    ck_assert(!a->module.training && b->module.training);
    et_module_eval(m);
    et_module_train(m);
    ck_assert(!a->module.training && b->module.training && m->training);
    et_module_hold_eval(x, false);
    ck_assert(a->module.training && b->module.training);
    et_module_eval(m);
    ck_assert(!m->training && !a->module.training && !b->module.training);
    et_module_train(m);
    et_module_hold_eval(m, true);
    et_module_train(m);
    ck_assert(!m->training && !a->module.training && !b->module.training); /* b is the last */
    et_module_free(m);
}
END_TEST

START_TEST(wrong_names)
{
    et_module *m = tree();

    fails_null(et_module_param(m, "mean", ET_SHAPE(1)), ET_EINVAL, "\"mean\" is taken");
    fails_null(et_module_param(m, "block", ET_SHAPE(1)), ET_EINVAL, "taken");
    fails_null(et_module_param(m, "table", ET_SHAPE(1)), ET_EINVAL, "taken"); /* the last tensor */
    fails_null(et_module_param(et_module_child(m, "block.inner"), "weight", ET_SHAPE(1)), ET_EINVAL,
               "taken"); /* the first one */
    fails_null(et_module_param(et_module_child(m, "block"), "inner", ET_SHAPE(1)), ET_EINVAL,
               "taken"); /* the last module */
    fails_null(et_module_param(m, "a.b", ET_SHAPE(1)), ET_EINVAL, "no name");
    fails_null(et_module_param(m, "", ET_SHAPE(1)), ET_EINVAL, "no name");
    fails_null(et_module_param(NULL, "w", ET_SHAPE(1)), ET_EINVAL, "NULL module");
    fails_null(et_module_new(sizeof *m, "M", m, "mean"), ET_EINVAL, "taken");
    fails_null(et_module_new(sizeof *m, "M", m, NULL), ET_EINVAL, "no name");
    fails_null(et_module_new(sizeof *m, "M", m, ".x"), ET_EINVAL, "no name");
    fails_null(et_module_new(sizeof *m, "M", m, "x."), ET_EINVAL, "no name");
    fails_null(et_module_new(sizeof *m, "M", m, "x..y"), ET_EINVAL, "no name");
    fails_null(et_module_new(sizeof *m, "M", m, "mean.y"), ET_EINVAL, "taken");
    fails_null(et_module_new(sizeof *m, "M", NULL, "x"), ET_EINVAL, "no parent");
    fails_null(et_module_new(1, "M", NULL, NULL), ET_EINVAL, "size");
    fails_null(et_module_param(m, "w", ET_SHAPE(-1)), ET_ESHAPE, "");
    ck_assert_int_eq(et_module_n_entries(m), 6);
    /* A child that failed leaves no trace; nothing is made while an error is pending. */
    ck_assert_ptr_null(et_linear_layer_new(m, "bad", 0, 2, true, NULL));
    ck_assert_ptr_null(et_module_new(sizeof *m, "M", m, "later"));
    et_error_clear();
    ck_assert_int_eq(et_module_n_entries(m), 6);
    ck_assert_ptr_null(et_module_child(m, "bad"));
    ck_assert_ptr_nonnull(et_linear_layer_new(m, "bad", 1, 2, true, NULL));
    et_module_free(m);
}
END_TEST

static int released;

static void count_release(et_module *m)
{
    (void)m;
    released++;
}

static et_module *counted(et_module *parent, const char *name)
{
    et_module *m = et_module_new(sizeof *m, "M", parent, name);

    m->release = count_release;
    return m;
}

/* A part that fails is taken out of the tree, with what is below it and with the names that others gave its
 * tensors. Everything is released once. */
START_TEST(failed_parts)
{
    et_module *m = counted(NULL, NULL), *part = counted(m, "part"), *keep = counted(m, "keep");
    et_tensor *w = et_module_param(part, "w", ET_SHAPE(2)), *own = et_module_param(keep, "own", ET_SHAPE(3));

    counted(part, "below");
    counted(part, "last");
    et_module_tie(keep, "again", own);
    ck_assert_ptr_eq(et_module_tie(keep, "shared", w), w);
    released = 0;
    ck_assert_ptr_null(et_module_param(part, "", ET_SHAPE(1)));
    ck_assert_ptr_null(et_module_done(part));
    et_error_clear();
    ck_assert_int_eq(released, 3);
    ck_assert_int_eq(et_module_n_entries(m), 2);
    ck_assert_str_eq(et_module_entry(m, 0)->name, "keep.own");
    ck_assert_str_eq(et_module_entry(m, 1)->name, "keep.again");
    ck_assert_ptr_eq(et_module_child(m, "keep"), keep);
    ck_assert_ptr_null(et_module_child(m, "part"));
    ck_assert_ptr_null(et_module_child(m, "part.below"));
    ck_assert_ptr_null(et_module_child(m, "part.last"));
    et_module_free(m);
    ck_assert_int_eq(released, 5);
}
END_TEST

/* What is asked of all is asked of the first and of the last. */
START_TEST(all_of_two)
{
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_tensor *of[] = {et_module_param(m, "a", ET_SHAPE(2)), et_module_param(m, "b", ET_SHAPE(2))};
    const char *unreached[2];

    ck_assert_int_eq(et_module_freeze(m, NULL), ET_OK);
    ck_assert_int_eq(et_module_count_trainable(m), 0);
    ck_assert_int_eq(et_module_unfreeze(m, NULL), ET_OK);
    ck_assert_int_eq(et_module_count_trainable(m), 4);
    ck_assert_int_eq(et_module_unreached(m, unreached, 2), 2);
    ck_assert_str_eq(unreached[0], "a");
    ck_assert_str_eq(unreached[1], "b");
    et_scope *s = et_scope_open();
    ck_assert_int_eq(et_backward(et_sum(et_add(of[0], of[1]), 0, NULL, false)), ET_OK);
    et_scope_close(s);
    ck_assert_int_eq(et_module_unreached(m, NULL, 0), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_float_eq(et_data_f32(et_grad_of(of[i]))[1], 1);
    et_zero_grad(m);
    ck_assert_int_eq(et_module_unreached(m, NULL, 0), 2);
    for (int i = 0; i < 2; i++)
        ck_assert(!et_grad_of(of[i]) || et_data_f32(et_grad_of(of[i]))[1] == 0);
    ck_assert_int_eq(et_module_to(m, ET_F64), ET_OK);
    ck_assert(of[0]->dtype == ET_F64 && of[1]->dtype == ET_F64);
    et_module_free(m);
}
END_TEST

START_TEST(freezing)
{
    et_module *m = tree();
    const char *unreached[4] = {0};

    ck_assert_int_eq(et_module_freeze(m, "block"), ET_OK);
    ck_assert_int_eq(et_module_count_trainable(m), 4); /* block2 stays */
    ck_assert_int_eq(et_module_unfreeze(et_module_child(m, "block"), "scale"), ET_OK);
    ck_assert_int_eq(et_module_count_trainable(m), 7);
    ck_assert(!et_module_find(m, "mean")->requires_grad);
    fails(et_module_freeze(m, "bloc"), ET_EINVAL, "\"bloc\"");
    fails(et_module_freeze(m, "mean"), ET_EINVAL, "no parameter");
    /* Backward reaches block.scale alone. */
    et_scope *s = et_scope_open();
    ck_assert_int_eq(et_backward(et_sum(et_square(et_module_find(m, "block.scale")), 0, NULL, false)), ET_OK);
    et_scope_close(s);
    ck_assert_int_eq(et_module_unreached(m, unreached, 4), 1);
    ck_assert_str_eq(unreached[0], "block2.weight");
    et_zero_grad(m);
    ck_assert_int_eq(et_module_unreached(m, NULL, 0), 2);
    et_module_free(m);
}
END_TEST

START_TEST(dtypes)
{
    et_pool_stats first, last;

    et_pool_get_stats(&first);
    et_module *m = tree();
    et_tensor *w = et_module_find(m, "block.inner.weight");
    fill(m, 1);
    et_scope *s = et_scope_open();
    ck_assert_int_eq(et_backward(et_sum(w, 0, NULL, false)), ET_OK);
    et_scope_close(s);
    const float before = et_data_f32(w)[4];
    ck_assert_int_eq(et_module_to(m, ET_F64), ET_OK);
    ck_assert(w->dtype == ET_F64 && et_data_f64(w)[4] == before && w->requires_grad);
    ck_assert(!w->grad && et_module_unreached(m, NULL, 0) == 4);
    ck_assert_int_eq(et_module_find(m, "table")->dtype, ET_I32);
    ck_assert_int_eq(et_module_to(m, ET_F32), ET_OK);
    ck_assert(et_data_f32(w)[4] == before);
    fails(et_module_to(m, ET_BF16), ET_EDTYPE, "bfloat16");
    et_module_free(m);
    et_pool_get_stats(&last);
    ck_assert_uint_eq(last.current, first.current);
}
END_TEST

/* What stands in a file, which is closed; good until the next call. */
static const char *text_of(FILE *f)
{
    static char text[4096];

    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

/* What is printed of m. */
static const char *printed(const et_module *m)
{
    FILE *out = fopen(in_dir("summary"), "w+");

    ck_assert_int_eq(et_module_print(m, out), ET_OK);
    return text_of(out);
}

/* Parts stand below what they are parts of, in whatever order they were added. */
START_TEST(printing)
{
    et_module *m = tree();

    et_module_freeze(m, "block2");
    et_module_tie(m, "too", et_module_find(m, "block.inner.weight")); /* the first one */
    ck_assert_str_eq(printed(m),
                     "Root\n"
                     "  mean                               [2]                         -  not trained\n"
                     "  table                              [5]                         -  not trained\n"
                     "  too                                [2, 3]                      -  is "
                     "block.inner.weight\n"
                     "  block: Block\n"
                     "    scale                            [3]                         3\n"
                     "    inner: Linear  3 -> 2\n"
                     "      weight                         [2, 3]                      6\n"
                     "      bias                           [2]                         2\n"
                     "  block2: Block\n"
                     "    weight                           [4]                         4  frozen\n"
                     "15 parameters, 11 of them trained\n");
    ck_assert_str_eq(printed(et_module_child(m, "block.inner")),
                     "Linear  3 -> 2\n"
                     "  weight                             [2, 3]                      6\n"
                     "  bias                               [2]                         2\n"
                     "8 parameters, 8 of them trained\n");
    FILE *out = fopen(in_dir("summary"), "r");
    fails(et_module_print(m, out), ET_EIO, "cannot be written");
    fclose(out);
    fails(et_module_print(NULL, stdout), ET_EINVAL, "the module is NULL");
    fails(et_module_print(m, NULL), ET_EINVAL, "the file is NULL");
    et_module_free(m);
}
END_TEST

/* However deep a tensor lies, its name has a place. */
START_TEST(printing_deep)
{
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL),
              *low = et_module_new(sizeof *m, "L", m, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r");

    et_module_param(low, "w", ET_SHAPE(1500));
    const char *line = strstr(printed(m), "r: L\n");
    ck_assert_msg(line != NULL, "%s", et_error_message());
    ck_assert_str_eq(line, "r: L\n                                      w [1500]                  1 500\n"
                           "1 500 parameters, 1 500 of them trained\n");
    et_module_free(m);
}
END_TEST

/* --- files -------------------------------------------------------------------------------------- */

START_TEST(round_trip)
{
    et_module *m[2] = {tree(), tree()};
    const char *path = in_dir("m.safetensors");
    const char *const meta[] = {"epoch", "3"};

    fill(m[0], 1);
    fill(m[1], 2);
    ck_assert_int_eq(et_module_save(m[0], path, meta, 1), ET_OK);
    et_safetensors *f = et_safetensors_open(path);
    ck_assert_int_eq(et_safetensors_count(f), 5); /* constants are not written */
    ck_assert_str_eq(et_safetensors_meta(f, "epoch"), "3");
    et_safetensors_close(f);
    et_load_report r;
    ck_assert_msg(et_module_load(m[1], path, NULL, &r) == ET_OK, "%s", et_error_message());
    ck_assert(r.loaded == 5 && !r.missing.n && !r.unexpected.n && !r.misshaped.n);
    et_load_report_free(&r);
    for (int i = 0; i < 5; i++)
        ck_assert(et_equal(et_module_entry(m[0], i)->tensor, et_module_entry(m[1], i)->tensor));
    /* A part of the tree is a module of its own; reals are converted. */
    ck_assert_int_eq(et_module_save(et_module_child(m[0], "block"), path, NULL, 0), ET_OK);
    et_module_to(m[1], ET_F64);
    et_fill(et_module_find(m[1], "block.scale"), 0);
    ck_assert_int_eq(et_module_load(et_module_child(m[1], "block"), path, NULL, NULL), ET_OK);
    et_tensor *scale = et_to(et_module_find(m[0], "block.scale"), ET_F64);
    ck_assert(et_equal(et_module_find(m[1], "block.scale"), scale));
    et_free(scale);
    fails(et_module_load(m[1], in_dir("none"), NULL, NULL), ET_EIO, "none");
    et_module_free(m[0]);
    et_module_free(m[1]);
}
END_TEST

/* What a report says when it is printed. */
static const char *report_text(const et_load_report *r)
{
    FILE *out = fopen(in_dir("report"), "w+");

    ck_assert_int_eq(et_load_report_print(r, out), ET_OK);
    return text_of(out);
}

/* Writes float32 tensors of ones times k, named and shaped. */
static void put(const char *path, int n, const char *const *names, const int64_t (*shapes)[2])
{
    et_named_tensor list[8] = {{NULL, NULL}};
    et_tensor *t[8];

    for (int i = 0; i < n; i++) {
        t[i] = et_full(ET_F32, shapes[i][1] ? 2 : 1, shapes[i], i + 1);
        for (int64_t k = 0; k < t[i]->numel; k++)
            ((float *)et_data_mut(t[i]))[k] += 0.01f * (float)k;
        list[i] = (et_named_tensor){names[i], t[i]};
    }
    ck_assert_msg(et_safetensors_write(path, list, n, NULL, 0) == ET_OK, "%s", et_error_message());
    for (int i = 0; i < n; i++)
        et_free(t[i]);
}

START_TEST(reports)
{
    static const char *const names[] = {"block.inner.weight", "block.inner.bias", "block.scale", "extra",
                                        "other"};
    static const int64_t shapes[][2] = {{2, 3}, {2, 0}, {4, 0}, {1, 0}, {1, 0}};
    const char *path = in_dir("m.safetensors");
    et_module *m = tree();
    et_load_report r;

    fill(m, 1);
    const float was = et_data_f32(et_module_find(m, "block.inner.bias"))[0];
    put(path, 5, names, shapes);
    ck_assert_int_eq(et_module_load(m, path, NULL, &r), ET_ESHAPE);
    ck_assert_msg(strstr(et_error_message(), "2 missing (block2.weight, ...), 2 unexpected (extra, ...), "
                                             "1 of another shape (block.scale: F32 [4] in the file, expected "
                                             "float32 [3])"),
                  "%s", et_error_message());
    et_error_clear();
    ck_assert(r.missing.n == 2 && r.unexpected.n == 2 && r.misshaped.n == 1);
    ck_assert_str_eq(r.missing.items[1], "mean");
    ck_assert_str_eq(r.unexpected.items[1], "other");
    ck_assert_str_eq(r.misshaped.items[0], "block.scale");
    ck_assert_str_eq(report_text(&r), "2 tensors loaded, 0 of the file passed over, 0 of the model kept\n"
                                      "missing: block2.weight\nmissing: mean\n"
                                      "unexpected: extra\nunexpected: other\n"
                                      "of another shape: block.scale: F32 [4] in the file, expected float32 "
                                      "[3]\n");
    et_load_report_free(&r);
    ck_assert(!r.loaded && !r.missing.items && !r.unexpected.items && !r.misshaped.items && !r.shapes.items);
    et_load_report_free(&r); /* once more does no harm */
    ck_assert(et_data_f32(et_module_find(m, "block.inner.bias"))[0] == was); /* nothing has changed */
    ck_assert_int_eq(et_module_load(m, path, &(et_load_options){.partial = true}, &r), ET_OK);
    ck_assert(r.loaded == 2 && r.missing.n == 2);
    ck_assert(et_data_f32(et_module_find(m, "block.inner.bias"))[0] == 2);
    et_load_report_free(&r);
    put(path, 1, names + 1, shapes + 1); /* all but the second of the module's */
    ck_assert_int_eq(et_module_load(m, path, &(et_load_options){.partial = true}, &r), ET_OK);
    ck_assert(r.loaded == 1 && r.missing.n == 4);
    ck_assert_str_eq(r.missing.items[0], "block.inner.weight");
    et_load_report_free(&r);
    et_module_free(m);
}
END_TEST

/* A tied tensor is written once and read under either name. */
START_TEST(ties)
{
    static const char *const names[] = {"head.weight"}, *const both[] = {"head.weight", "embed.weight"};
    static const int64_t shapes[][2] = {{3, 2}, {3, 2}};
    const char *path = in_dir("m.safetensors");
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_module *embed = et_module_new(sizeof *m, "E", m, "embed"),
              *head = et_module_new(sizeof *m, "H", m, "head");
    et_tensor *w = et_module_param(embed, "weight", ET_SHAPE(3, 2));

    ck_assert_ptr_eq(et_module_tie(head, "weight", w), w);
    ck_assert_ptr_eq(et_module_entry(head, 0)->tensor, w);
    ck_assert_int_eq(et_module_count(m), 6);
    ck_assert_ptr_eq(et_module_find(m, "head.weight"), w);
    ck_assert_int_eq(et_module_save(m, path, NULL, 0), ET_OK);
    et_safetensors *f = et_safetensors_open(path);
    ck_assert_int_eq(et_safetensors_count(f), 1);
    ck_assert_ptr_nonnull(et_safetensors_find(f, "embed.weight"));
    et_safetensors_close(f);
    ck_assert_int_eq(et_module_load(m, path, NULL, NULL), ET_OK);
    put(path, 1, names, shapes);
    ck_assert_msg(et_module_load(m, path, NULL, NULL) == ET_OK, "%s", et_error_message());
    ck_assert_float_eq(et_data_f32(w)[0], 1);
    put(path, 2, both, shapes);
    ck_assert_int_eq(et_module_load(m, path, NULL, NULL), ET_OK);
    /* Neither name there: one tensor is missing. */
    put(path, 1, (const char *const[]){"x"}, shapes);
    et_load_report r;
    ck_assert_int_eq(et_module_load(m, path, &(et_load_options){.partial = true}, &r), ET_OK);
    ck_assert_int_eq(r.missing.n, 1);
    et_load_report_free(&r);
    et_tensor *loose = et_zeros(ET_F32, ET_SHAPE(1));
    fails_null(et_module_tie(m, "loose", loose), ET_EINVAL, "not in the same tree");
    fails_null(et_module_tie(m, "loose", NULL), ET_EINVAL, "the tensor is NULL");
    fails_null(et_module_tie(NULL, "loose", loose), ET_EINVAL, "the module is NULL");
    et_free(loose);
    et_module_free(m);
}
END_TEST

/* Three layers of which files hold the weights as one, under the names that modules have for them. */
static const char *const three[][3] = {
    {"query", "key", "value"}, {"q", "k", "v"}, {"q_proj", "k_proj", "v_proj"}};

START_TEST(other_names)
{
    static const char *const names[] = {"module.bert.att.qkv.weight",   "module.bert.att.qkv.bias",
                                        "bert.LayerNorm.gamma",         "bert.LayerNorm.beta",
                                        "bert.embeddings.position_ids", "bert.norm.num_batches_tracked",
                                        "bert.relative_position_index", "bert.attn_mask"};
    static const int64_t shapes[][2] = {{6, 2}, {6, 0}, {4, 0}, {4, 0}, {3, 0}, {1, 0}, {2, 2}, {5, 0}};
    const char *path = in_dir("m.safetensors");
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_module *att = et_module_new(sizeof *m, "A", m, "att"),
              *norm = et_module_new(sizeof *m, "N", m, "LayerNorm");
    et_linear_layer *layer[3];
    et_load_report r;

    for (int p = 0; p < 3; p++)
        layer[p] = et_linear_layer_new(att, three[_i][p], 2, 2, true, NULL);
    et_module_param(norm, "weight", ET_SHAPE(4));
    et_module_param(norm, "bias", ET_SHAPE(4));
    put(path, 8, names, shapes);
    fails(et_module_load(m, path, NULL, NULL), ET_EINVAL, "unexpected");
    fails(et_module_load(m, path, &(et_load_options){.rewrite = true}, NULL), ET_EINVAL, "missing");
    ck_assert_msg(et_module_load(m, path, &(et_load_options){.rewrite = true, .prefix = "bert."}, &r) ==
                      ET_OK,
                  "%s", et_error_message());
    ck_assert(r.loaded == 8 && r.passed_over == 4);
    et_load_report_free(&r);
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < 4; i++)
            ck_assert_float_eq_tol(et_data_f32(layer[p]->weight)[i], 1 + 0.01 * (4 * p + i), 1e-6);
    ck_assert_float_eq_tol(et_data_f32(layer[2]->bias)[1], 2.05, 1e-6);
    ck_assert_float_eq(et_data_f32(et_module_find(m, "LayerNorm.weight"))[0], 3);
    ck_assert_float_eq(et_data_f32(et_module_find(m, "LayerNorm.bias"))[0], 4);
    et_module_free(m);
}
END_TEST

/* Of what is cut into three, the whole is told, once. */
START_TEST(packed_misshaped)
{
    const char *path = in_dir("m.safetensors");
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_load_report r;

    for (int p = 0; p < 3; p++)
        et_linear_layer_new(m, three[0][p], 2, 2, false, NULL);
    put(path, 1, (const char *const[]){"qkv.weight"}, (const int64_t[][2]){{7, 2}});
    fails(et_module_load(m, path, &(et_load_options){.rewrite = true}, &r), ET_ESHAPE, "1 of another shape");
    ck_assert_str_eq(report_text(&r), "0 tensors loaded, 0 of the file passed over, 0 of the model kept\n"
                                      "of another shape: qkv.weight: F32 [7, 2] in the file, expected "
                                      "float32 [6, 2]\n");
    et_load_report_free(&r);
    et_module_free(m);
}
END_TEST

/* Renames, what may be missing, too many or left alone, and a comparison that changes nothing. */
START_TEST(renames)
{
    static const char *const names[] = {"module.v.blocks.0.mlp.fc1", "v.blocks.0.mlp.fc10", "v.head.weight",
                                        "v.norm1", "v.pos"};
    static const int64_t shapes[][2] = {{2, 0}, {3, 0}, {4, 4}, {1, 0}, {5, 0}};
    static const et_rename to[] = {{"v.blocks", "layer"}, {"mlp.fc1", "inner"}, {"v.norm", "wrong"},
                                   {"v", ""}, {NULL, NULL}};
    const char *path = in_dir("m.safetensors");
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL),
              *layer = et_module_new(sizeof *m, "L", m, "layer.0");
    et_load_report r;
    et_load_options o = {.rewrite = true, .renames = to, .compare = true};

    et_tensor *inner = et_module_param(layer, "inner", ET_SHAPE(2)),
              *pooler = et_module_param(layer, "pooler", ET_SHAPE(2));
    et_tensor *pos = et_module_param(m, "pos", ET_SHAPE(3));
    put(path, 5, names, shapes);
    ck_assert_msg(et_module_load(m, path, &o, &r) == ET_OK, "%s", et_error_message());
    ck_assert(r.loaded == 1 && r.missing.n == 2 && r.unexpected.n == 4 && r.passed_over == 0);
    et_load_report_free(&r);
    ck_assert_float_eq(et_data_f32(inner)[0], 0);

    static const et_rename better[] = {{"v.blocks", "layer"}, {"mlp.fc1", "inner"}, {"mlp.fc10", "inner10"},
                                       {"v.pos", "pos"}, {NULL, NULL}};
    o = (et_load_options){.rewrite = true, .renames = better,
                          .pass_over = (const char *const[]){"v", "layer.0.inner10", NULL},
                          .optional = (const char *const[]){"layer.0.pool", "layer.0.pooler", NULL}};
    ck_assert_int_eq(et_module_load(m, path, &o, &r), ET_ESHAPE);
    et_error_clear();
    ck_assert(r.misshaped.n == 1 && r.shapes.n == 1 && r.missing.n == 0 && r.unexpected.n == 0 &&
              r.kept == 1);
    ck_assert_str_eq(r.shapes.items[0], "F32 [5] in the file, expected float32 [3]");
    ck_assert_str_eq(report_text(&r), "1 tensors loaded, 3 of the file passed over, 1 of the model kept\n"
                                      "of another shape: v.pos: F32 [5] in the file, expected float32 [3]\n");
    FILE *out = fopen(in_dir("report"), "r");
    fails(et_load_report_print(&r, out), ET_EIO, "report");
    fclose(out);
    et_load_report_free(&r);

    et_fill(pos, 7);
    et_fill(pooler, 8);
    o.keep = (const char *const[]){"pos", NULL};
    ck_assert_msg(et_module_load(m, path, &o, &r) == ET_OK, "%s", et_error_message());
    ck_assert(r.loaded == 1 && r.passed_over == 4 && r.kept == 2);
    et_load_report_free(&r);
    ck_assert(et_data_f32(inner)[0] == 1 && et_data_f32(pos)[0] == 7 && et_data_f32(pooler)[0] == 8);
    et_module_free(m);
}
END_TEST

static bool save_and_load(void *user)
{
    et_module *m = user;
    const char *const meta[] = {"a", "b"};
    et_load_report r = {0};
    bool ok = !et_module_save(m, in_dir("sweep"), meta, 1) &&
              !et_module_load(m, in_dir("sweep"), &(et_load_options){.rewrite = true}, &r);

    et_load_report_free(&r);
    return ok;
}

static bool report(void *user)
{
    et_load_report r = {0};
    bool ok = !et_module_load(user, in_dir("foreign"), &(et_load_options){.partial = true, .rewrite = true},
                              &r);

    et_load_report_free(&r);
    return ok;
}

static bool convert(void *user)
{
    et_module *m = tree();
    bool ok = m && !et_module_to(m, ET_F64);

    (void)user;
    et_module_free(m);
    return ok;
}

START_TEST(allocations)
{
    static const char *const names[] = {"block.inner.weight", "other.qkv.weight"};
    static const int64_t shapes[][2] = {{5, 3}, {6, 2}};
    et_module *m = tree();

    put(in_dir("foreign"), 2, names, shapes);
    alloc_sweep("save and load", save_and_load, m);
    alloc_sweep("report", report, m);
    alloc_sweep("convert", convert, NULL);
    et_module_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("module");
    TCase *tc = tcase_create("module");

    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_test(tc, names);
    tcase_add_test(tc, finite);
    tcase_add_test(tc, dotted_names);
    tcase_add_test(tc, wrong_names);
    tcase_add_test(tc, failed_parts);
    tcase_add_test(tc, all_of_two);
    tcase_add_test(tc, freezing);
    tcase_add_test(tc, dtypes);
    tcase_add_test(tc, printing);
    tcase_add_test(tc, printing_deep);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, reports);
    tcase_add_test(tc, ties);
    tcase_add_loop_test(tc, other_names, 0, 3);
    tcase_add_test(tc, packed_misshaped);
    tcase_add_test(tc, renames);
    tcase_add_test(tc, allocations);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
