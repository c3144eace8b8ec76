/* Tables of comma-separated values (RFC 4180): quoted fields with commas, quotes and
 * line breaks inside, LF or CRLF at the end of a line, a UTF-8 byte-order mark, and a
 * header line that names the columns. The file is read whole. Every error names the
 * file, the line and the column; rows and columns count from 0, lines from 1. */
#ifndef ETUDE_DATASETS_CSV_H
#define ETUDE_DATASETS_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_csv et_csv;

/* What a file may be at most, and what stands between its fields; a 0 stands for the default. */
typedef struct et_csv_limits {
    size_t bytes;    /* of the file: 1 GiB */
    int64_t rows;    /* 20 million */
    int64_t columns; /* 16384 */
    char separator;  /* ',' */
} et_csv_limits;

/** Reads a file. `limits` may be NULL. The caller owns the result.
 *  Errors: EIO (the file cannot be read), ENOMEM, and EFORMAT for an empty file, a row
 *  with another number of fields than the header, a quote that is not closed or stands
 *  inside a plain field, text behind a closing quote, a NUL byte, a lone carriage
 *  return, a column name that is empty or used twice, a limit passed. */
et_csv *et_csv_read(const char *path, const et_csv_limits *limits);

/** The same for `size` bytes in memory, which are copied;
 *  `name` stands for the file in messages. */
et_csv *et_csv_parse(const char *text, size_t size, const char *name, const et_csv_limits *limits);

/** Releases the table; NULL is allowed. */
void et_csv_free(et_csv *table);

/** Number of rows below the header, of columns, and the file's name. */
int64_t et_csv_rows(const et_csv *table);
int et_csv_columns(const et_csv *table);
const char *et_csv_name(const et_csv *table);

/** Name of a column; NULL and EINVAL outside. */
const char *et_csv_header(const et_csv *table, int column);

/** Column of that name, or -1: without an error in et_csv_find, with EFORMAT in
 *  et_csv_column. */
int et_csv_find(const et_csv *table, const char *name);
int et_csv_column(const et_csv *table, const char *name);

/** Line of the file in which a row begins; 0 outside. */
int64_t et_csv_line(const et_csv *table, int64_t row);

/** A field's text, quotes removed; NULL and EINVAL outside. Owned by the table. */
const char *et_csv_text(const et_csv *table, int64_t row, int column);

/** A field as a number (et_parse_double, blanks around it allowed). EFORMAT if it is
 *  empty or something else, nan and inf too and what is too large for a double. */
et_status et_csv_double(const et_csv *table, int64_t row, int column, double *out);

/** A field as an integer between lo and hi; EFORMAT otherwise. */
et_status et_csv_int(const et_csv *table, int64_t row, int column, int64_t lo, int64_t hi, int64_t *out);

/** Raises `status` with "FILE:LINE: column 'NAME': TEXT" and returns it: for what a
 *  caller finds wrong with a field. A negative column leaves its part out. */
et_status et_csv_raise(const et_csv *table, int64_t row, int column, et_status status, const char *fmt, ...)
    ET_PRINTF(5, 6);

#ifdef __cplusplus
}
#endif
#endif
