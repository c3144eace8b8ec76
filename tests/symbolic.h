/* The pieces of the data folder's symbolic/ (README there), unpacked into a folder of the test. */
#ifndef ETUDE_TESTS_SYMBOLIC_H
#define ETUDE_TESTS_SYMBOLIC_H

#include <stdlib.h>
#include <string.h>

#include "tests/files.h"
#include "tests/suite.h"

/* Unpacks style.tar.gz (every one for NULL) into the test's folder, with manifest.csv beside it. False, and a
 * line that says so, where the data or tar are missing. */
static inline int unpack_symbolic(const char *style)
{
    char manifest[600], command[2000];

    if (!suite_data(manifest, sizeof manifest, "symbolic/manifest.csv"))
        return 0;
    *strrchr(manifest, '/') = '\0';
    if (style)
        snprintf(command, sizeof command, "gzip -dc '%s/%s.tar.gz' | tar -xf - -C '%s'", manifest, style,
                 test_dir);
    else
        snprintf(command, sizeof command,
                 "for f in '%s'/*.tar.gz; do gzip -dc \"$f\" | tar -xf - -C '%s' || exit 1; done", manifest,
                 test_dir);
    if (system("command -v tar > /dev/null 2>&1 && command -v gzip > /dev/null 2>&1") != 0 ||
        system(command) != 0) {
        printf("# tar or gzip is missing: skipped\n");
        return 0;
    }
    snprintf(command, sizeof command, "cp '%s/manifest.csv' '%s'", manifest, test_dir);
    return system(command) == 0;
}

/* Removes what unpack_symbolic made. */
static inline void remove_symbolic(void)
{
    char command[600];

    snprintf(command, sizeof command, "rm -rf '%s'", test_dir);
    if (system(command) != 0)
        printf("# %s is left\n", test_dir);
}

#endif
