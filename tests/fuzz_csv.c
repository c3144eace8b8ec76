/* libFuzzer entry: clang -fsanitize=fuzzer,address,undefined. Any bytes must be read or
 * refused, and every field of what is read be reachable. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const et_csv_limits limits = {.rows = 1000, .columns = 100};
    et_csv *t;
    size_t total = 0;

    et_error_clear();
    t = et_csv_parse((const char *)data, size, "fuzz", &limits);
    if ((t == NULL) == (et_error_status() == ET_OK))
        abort();
    for (int64_t r = 0; r < et_csv_rows(t); r++)
        for (int c = 0; c < et_csv_columns(t); c++) {
            double v;
            int64_t i;
            total += strlen(et_csv_text(t, r, c));
            et_error_clear();
            et_csv_double(t, r, c, &v);
            et_csv_int(t, r, c, -10, 10, &i);
        }
    if (total > size)
        abort();
    et_csv_free(t);
    return 0;
}
