/* Runs gradient checks of ops; stops at the first that fails.
 *
 *     driver OP...         of these
 *     driver --like WORD   of all, those whose name is in WORD first
 *
 * Exit status 0: all pass, 1: one does not, 2: an unknown op. */
#include "config.h"

#include <stdio.h>
#include <string.h>

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
    if (argc == 3 && strcmp(argv[1], "--like") == 0) {
        for (int likely = 1; likely >= 0; likely--)
            for (int i = 0; i < et_op_count; i++)
                if ((strstr(argv[2], et_op_table[i]->name) != NULL) == likely && check(et_op_table[i]))
                    return 1;
        return 0;
    }
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
