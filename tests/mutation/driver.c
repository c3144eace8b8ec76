/* Runs the gradient checks of the ops named on the command line; stops at the first that fails.
 * Exit status 0: all pass, 1: one does not, 2: an unknown op. */
#include "config.h"

#include <stdio.h>

#include "autograd/gradcheck.h"
#include "autograd/op.h"

static int check(const et_op *op)
{
    et_gradcheck_report report;

    if (et_gradcheck_op(op, NULL, &report) == ET_OK)
        return 0;
    puts(et_error_message());
    return 1;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const et_op *op = et_op_find(argv[i]);

        if (!op) {
            fprintf(stderr, "no op is called %s\n", argv[i]);
            return 2;
        }
        if (check(op))
            return 1;
    }
    return 0;
}
