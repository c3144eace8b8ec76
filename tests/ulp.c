/* ulp: measures the errors of the float32 kernels, in units in the last place.
 *
 *   ulp [--all] [--isa NAME] [FUNCTION...]
 *
 * Without --all every 1021st float is tried, with it each of the 2^32 (minutes for one
 * function). Without --isa every table that this machine can run. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/accuracy.h"

static int usage(void)
{
    fputs("usage: ulp [--all] [--isa NAME] [FUNCTION...]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    enum { MAX = 8 };
    const et_kernels *tables[MAX];
    const char *isa = NULL;
    int n_tables = et_kernels_available(tables, MAX), names = argc, found = 0, failed = 0;
    uint64_t step = 1021;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0) {
            step = 1;
        } else if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc) {
            isa = argv[++i];
        } else if (argv[i][0] == '-') {
            return usage();
        } else {
            names = i;
            break;
        }
    }
    printf("%-8s %-12s %10s %8s  %s\n", "isa", "function", "worst ulp", "bound", "at");
    for (int t = 0; t < n_tables; t++) {
        if (isa && strcmp(isa, tables[t]->name) != 0)
            continue;
        for (int f = 0; f < ACCURACY_FNS; f++) {
            const accuracy_fn *fn = &accuracy_fns[f];
            accuracy_result r;
            int wanted = names == argc;

            for (int i = names; i < argc; i++)
                wanted |= strcmp(argv[i], fn->name) == 0;
            if (!wanted)
                continue;
            found = 1;
            r = accuracy_sweep(tables[t], fn, 0, UINT64_C(1) << 32, step);
            printf("%-8s %-12s %10.3f %8.3g  %a (%.9g) -> %.9g\n", tables[t]->name, fn->name, r.worst,
                   fn->bound, (double)r.at, (double)r.at, (double)r.got);
            fflush(stdout);
            failed |= !(r.worst <= fn->bound);
        }
    }
    if (!found)
        return usage();
    return failed;
}
