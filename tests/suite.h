/* What every test program shares: running its suite, and finding files.
 *
 * Check's environment variables work as usual: CK_RUN_CASE, CK_RUN_SUITE, CK_FORK=no
 * (for a debugger), CK_TIMEOUT_MULTIPLIER, CK_VERBOSITY. */
#ifndef ETUDE_TESTS_SUITE_H
#define ETUDE_TESTS_SUITE_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Check tells its parent of every assertion that holds, with a write to a file: of millions in a loop, that
 * takes far longer than the loop. Here a line is told that is none of those told last. */
static inline void suite_mark(const char *file, int line)
{
    static _Thread_local int told[4];
    static _Thread_local unsigned next;

    for (int i = 0; i < 4; i++)
        if (told[i] == line)
            return;
    _mark_point(file, line);
    told[next++ % 4] = line;
}
#define _mark_point(file, line) suite_mark(file, line)

/* Runs the suite, and frees it; the exit status of main. The totals that Check prints are what
 * tests/totals.sh adds up. */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Whether to try a part of many alike cases: set by "make check-valgrind", where all would take
 * hours, and where sanitizers watch. Case number i is one of the part. */
static inline bool suite_skips(int64_t i)
{
    return getenv("ETUDE_BRIEF") && i % 7 != 0;
}

/* Whether each test has a process of its own, which it may end. */
static inline bool suite_forks(void)
{
    const char *fork = getenv("CK_FORK");

    return !fork || strcmp(fork, "no") != 0;
}

/* Path of a file that comes with the tests: suite_file(buf, sizeof buf, "fixtures/x.csv").
 * make sets srcdir. Returns buf. */
static inline const char *suite_file(char *buf, size_t size, const char *name)
{
    const char *top = getenv("srcdir");

    snprintf(buf, size, "%s/tests/%s", top ? top : ".", name);
    return buf;
}

/* Path of a file or folder of real data, which lives outside of the sources: in $ETUDE_DATA, or
 * in ../shared/data beside their top. NULL, and a line that says so, where it is not there. */
static inline const char *suite_data(char *buf, size_t size, const char *name)
{
    const char *data = getenv("ETUDE_DATA"), *top = getenv("srcdir");
    FILE *f;

    if (data)
        snprintf(buf, size, "%s/%s", data, name);
    else
        snprintf(buf, size, "%s/../shared/data/%s", top ? top : ".", name);
    f = fopen(buf, "rb");
    if (!f) {
        printf("# no %s: skipped\n", buf);
        return NULL;
    }
    fclose(f);
    return buf;
}

#endif
