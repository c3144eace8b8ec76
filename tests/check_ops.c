/* Every op of ops.def, on its samples: see et_gradcheck_op. */
#include "config.h"

#include <stdlib.h>

#include "autograd/gradcheck.h"
#include "autograd/op.h"
#include "tensor/parallel.h"
#include "tests/suite.h"

START_TEST(op_gradient)
{
    const et_op *op = et_op_table[_i];
    et_gradcheck_report report;
    char text[640];

    ck_assert_int_eq(et_set_num_threads(1), ET_OK); /* results do not depend on it, time does */
    ck_assert_msg(et_gradcheck_op(op, NULL, &report) == ET_OK, "%s",
                  et_gradcheck_text(&report, text, sizeof text));
    ck_assert_int_gt(report.compared, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ops");
    TCase *tc = tcase_create("gradients");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, op_gradient, 0, et_op_count);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
