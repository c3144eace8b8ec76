/* The signal of tests/oracle/spectra.py, and its table of values. */
#ifndef ETUDE_TESTS_SPECTRA_SIGNAL_H
#define ETUDE_TESTS_SPECTRA_SIGNAL_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/csv.h"
#include "tensor/kernels.h"
#include "tests/suite.h"

/* Number of float32 kernel tables of this machine, and the name of one. */
static inline int spectra_isas(void)
{
    const et_kernels *tables[8];

    return et_kernels_available(tables, 8);
}

static inline const char *spectra_isa(int i)
{
    const et_kernels *tables[8];

    ck_assert_int_lt(i, et_kernels_available(tables, 8));
    return tables[i]->name;
}

/* n samples: noise within a quarter of full scale and a sine of half of it. The caller frees them. */
static inline float *spectra_signal(int64_t n)
{
    float *x = malloc((size_t)(n > 0 ? n : 1) * sizeof *x);
    uint32_t state = 12345;

    ck_assert_ptr_nonnull(x);
    for (int64_t j = 0; j < n; j++) {
        state = state * 1664525u + 1013904223u;
        x[j] = (float)(0.25 * ((double)(state >> 8) / 8388608.0 - 1) + 0.5 * sin(0.05 * (double)j));
    }
    return x;
}

/* Calls look(row, column, value, user) for the rows of a table of values named `what`; their number. */
static inline int spectra_values(const char *table, const char *what,
                                 void (*look)(int64_t row, int64_t column, double value, void *user),
                                 void *user)
{
    char path[1024];
    et_csv *t = et_csv_read(suite_file(path, sizeof path, table), NULL);
    int count = 0;

    ck_assert_msg(t != NULL, "%s", et_error_message());
    for (int64_t i = 0; i < et_csv_rows(t); i++) {
        int64_t row, column;
        double value;
        if (strcmp(et_csv_text(t, i, 0), what) != 0)
            continue;
        ck_assert(et_csv_int(t, i, 1, 0, INT32_MAX, &row) == ET_OK &&
                  et_csv_int(t, i, 2, 0, INT32_MAX, &column) == ET_OK &&
                  et_csv_double(t, i, 3, &value) == ET_OK);
        look(row, column, value, user);
        count++;
    }
    et_csv_free(t);
    ck_assert_msg(count > 0, "no rows of %s in %s", what, table);
    return count;
}

/* A matrix that values are looked up in. */
typedef struct spectra_matrix {
    const char *what;
    const float *values;
    int64_t columns;
    double tolerance;
    double worst;
} spectra_matrix;

static inline void spectra_look(int64_t row, int64_t column, double value, void *user)
{
    spectra_matrix *m = user;
    const double got = (double)m->values[row * m->columns + column], error = fabs(got - value);

    ck_assert_msg(error <= m->tolerance, "%s[%d][%d]: %.9g, expected %.9g within %g", m->what, (int)row,
                  (int)column, got, value, m->tolerance);
    m->worst = error > m->worst ? error : m->worst;
}

#endif
