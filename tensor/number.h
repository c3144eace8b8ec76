/* Numbers as text, whatever the locale: strtod and printf take the decimal point from
 * the locale that the program has set, file formats do not. */
#ifndef ETUDE_TENSOR_NUMBER_H
#define ETUDE_TENSOR_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The double nearest to a decimal number (ties to even), for all `len` bytes of text:
 *  sign, digits with an optional point, optional exponent; also "nan", "inf" and
 *  "infinity" in any case. No white space. A number too large gives an infinity, one too
 *  small a zero, as with strtod. Returns false, with *out untouched, for anything else. */
bool et_parse_double(const char *text, size_t len, double *out);

/** A decimal integer with an optional sign, all `len` bytes; false for anything else and
 *  for one that does not fit. */
bool et_parse_i64(const char *text, size_t len, int64_t *out);
/** The same without a sign. */
bool et_parse_u64(const char *text, size_t len, uint64_t *out);

/** Makes a '.' of what printf, in whatever locale, has put between the digits of a finite number. Returns the
 *  length of the text. */
int et_number_point(char *text);

/** Writes the shortest of %.15g, %.16g and %.17g that reads back as the same double, with
 *  a point whatever the locale, and "nan", "inf", "-inf". Returns buf. */
enum { ET_NUMBER_TEXT = 32 };
char *et_format_double(char buf[ET_NUMBER_TEXT], double value);

#ifdef __cplusplus
}
#endif
#endif
