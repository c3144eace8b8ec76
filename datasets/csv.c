/* A reader of comma-separated values. The text is kept in one block; fields are cut out
 * of it in place (a quoted field only gets shorter) and end in NUL. */
#include "config.h"

#include "datasets/csv.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "datasets/grow.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/number.h"

struct et_csv {
    char *name;
    char *text;     /* the file, fields ended by NUL */
    size_t *fields; /* [(rows + 1) columns] offsets into text; the header comes first */
    int64_t *lines; /* [rows + 1] line in which each row begins */
    int64_t rows;   /* without the header */
    int columns;
};

/* Where the parser stands. */
typedef struct cursor {
    et_csv *t;
    size_t at, size;
    int64_t line;
    et_csv_limits max;
    int64_t field_room, line_room, n_fields;
} cursor;

static et_status bad(const cursor *c, int64_t column, const char *what)
{
    return et_raise(ET_EFORMAT, "%s:%" PRId64 ": field %" PRId64 ": %s", c->t->name, c->line, column + 1,
                    what);
}

/* Reads a field in quotes, at the first of which c stands, and writes its text from out on (which is not
 * ahead of what is read); *stop: behind the text. */
static et_status read_quoted(cursor *c, int64_t column, size_t out, size_t *stop)
{
    char *s = c->t->text;
    const int64_t opened = c->line;

    for (c->at++;; c->at++) {
        if (c->at >= c->size)
            return et_raise(ET_EFORMAT,
                            "%s:%" PRId64 ": field %" PRId64 ": quote is not closed before the file ends",
                            c->t->name, opened, column + 1);
        if (s[c->at] == '"') {
            if (c->at + 1 >= c->size || s[c->at + 1] != '"')
                break;
            c->at++; /* "" stands for one quote */
        }
        if (s[c->at] == '\0')
            return bad(c, column, "NUL byte");
        if (s[c->at] == '\n')
            c->line++;
        s[out++] = s[c->at];
    }
    c->at++;
    *stop = out;
    if (c->at < c->size && s[c->at] != c->max.separator && s[c->at] != '\n' && s[c->at] != '\r')
        return bad(c, column, "text behind the closing quote");
    return ET_OK;
}

/* Reads one field. *end becomes what stood behind it: the separator, '\n' or 0 at the end of the
 * file (for the reader the end of the last line). */
static et_status read_field(cursor *c, int64_t column, int *end)
{
    char *s = c->t->text;
    size_t start = c->at, out = c->at;
    size_t *fields;

    if (column >= c->max.columns)
        return bad(c, column, "too many columns");
    fields = et_grow(c->t->fields, &c->field_room, c->n_fields, sizeof *fields);
    if (!fields)
        return et_fail_status("csv");
    c->t->fields = fields;

    if (c->at < c->size && s[c->at] == '"') {
        if (read_quoted(c, column, out, &out) < 0)
            return et_error_status();
    } else {
        for (; c->at < c->size && s[c->at] != c->max.separator && s[c->at] != '\n' && s[c->at] != '\r';
             c->at++) {
            if (s[c->at] == '"')
                return bad(c, column, "quote inside a field that is not quoted");
            if (s[c->at] == '\0')
                return bad(c, column, "NUL byte");
        }
        out = c->at;
    }
    *end = c->at < c->size ? (unsigned char)s[c->at] : 0;
    if (*end == '\r') {
        if (c->at + 1 < c->size && s[c->at + 1] != '\n')
            return bad(c, column, "carriage return without line feed");
        *end = ++c->at < c->size ? '\n' : 0;
    }
    if (c->at < c->size)
        c->at++;
    s[out] = '\0'; /* text has one byte more than the file, and what stood here was read */
    c->t->fields[c->n_fields++] = start;
    return ET_OK;
}

static et_status read_row(cursor *c, int64_t row)
{
    et_csv *t = c->t;
    int64_t column = 0, line = c->line;
    int64_t *lines;
    int end = 0;

    if (row > c->max.rows)
        return et_raise(ET_EFORMAT, "%s:%" PRId64 ": more than %" PRId64 " rows", t->name, c->line,
                        c->max.rows);
    lines = et_grow(t->lines, &c->line_room, row, sizeof *lines);
    if (!lines)
        return et_fail_status("csv");
    t->lines = lines;
    t->lines[row] = line;
    do {
        if (read_field(c, column, &end) < 0)
            return et_error_status();
        column++;
    } while (end == c->max.separator);
    if (end == '\n')
        c->line++;
    if (row == 0)
        t->columns = (int)column;
    if (column != t->columns)
        return et_raise(ET_EFORMAT, "%s:%" PRId64 ": %" PRId64 " fields in a table of %d columns", t->name,
                        line, column, t->columns);
    return ET_OK;
}

static et_status check_header(const et_csv *t)
{
    for (int i = 0; i < t->columns; i++) {
        const char *name = t->text + t->fields[i];
        if (name[0] == '\0')
            return et_raise(ET_EFORMAT, "%s:1: column %d has no name", t->name, i + 1);
        for (int j = 0; j < i; j++)
            if (strcmp(name, t->text + t->fields[j]) == 0)
                return et_raise(ET_EFORMAT, "%s:1: two columns are named '%s'", t->name, name);
    }
    return ET_OK;
}

/* Takes over t->text, of `size` bytes and one more. */
static et_status parse(et_csv *t, size_t size, const et_csv_limits *limits)
{
    cursor c = {.t = t, .size = size, .line = 1};
    int64_t row = 0;

    if (limits)
        c.max = *limits;
    if (c.max.rows <= 0)
        c.max.rows = 20 * 1000 * 1000;
    if (c.max.columns <= 0)
        c.max.columns = 16384;
    if (c.max.separator == '\0')
        c.max.separator = ',';
    if (c.max.columns > INT32_MAX)
        c.max.columns = INT32_MAX;
    if (size >= 3 && memcmp(t->text, "\xEF\xBB\xBF", 3) == 0)
        c.at = 3;
    if (c.at == size)
        return et_raise(ET_EFORMAT, "%s: the file is empty", t->name);
    for (; c.at < c.size; row++) {
        if (read_row(&c, row) < 0)
            return et_error_status();
        if (row == 0 && check_header(t) < 0)
            return et_error_status();
    }
    t->rows = row - 1;
    return ET_OK;
}

static size_t byte_limit(const et_csv_limits *limits)
{
    return limits && limits->bytes > 0 ? limits->bytes : (size_t)1 << 30;
}

static et_csv *make(const char *name)
{
    et_csv *t = et_alloc_zero(1, sizeof *t);
    if (t && !(t->name = et_alloc_string(name))) {
        et_dealloc(t);
        return NULL;
    }
    return t;
}

et_csv *et_csv_parse(const char *text, size_t size, const char *name, const et_csv_limits *limits)
{
    et_csv *t;

    if (!text || !name) {
        et_raise(ET_EINVAL, "csv: text or name is NULL");
        return NULL;
    }
    if (size > byte_limit(limits) || size == SIZE_MAX) {
        et_raise(ET_EFORMAT, "%s: larger than the limit of %zu bytes", name, byte_limit(limits));
        return NULL;
    }
    if (!(t = make(name)))
        return NULL;
    t->text = et_alloc(size + 1);
    if (!t->text) {
        et_csv_free(t);
        return NULL;
    }
    if (size > 0)
        memcpy(t->text, text, size);
    t->text[size] = '\0';
    if (parse(t, size, limits) < 0) {
        et_csv_free(t);
        return NULL;
    }
    return t;
}

et_csv *et_csv_read(const char *path, const et_csv_limits *limits)
{
    et_csv *t;
    unsigned char *text;
    size_t size;

    if (!path) {
        et_raise(ET_EINVAL, "csv: path is NULL");
        return NULL;
    }
    if (!(t = make(path)))
        return NULL;
    if (et_file_read(path, byte_limit(limits), &text, &size) < 0) {
        et_csv_free(t);
        return NULL;
    }
    t->text = (char *)text;
    if (parse(t, size, limits) < 0) {
        et_csv_free(t);
        return NULL;
    }
    return t;
}

void et_csv_free(et_csv *t)
{
    if (!t)
        return;
    et_dealloc(t->name);
    et_dealloc(t->text);
    et_dealloc(t->fields);
    et_dealloc(t->lines);
    et_dealloc(t);
}

int64_t et_csv_rows(const et_csv *t) { return t ? t->rows : 0; }
int et_csv_columns(const et_csv *t) { return t ? t->columns : 0; }
const char *et_csv_name(const et_csv *t) { return t ? t->name : ""; }

const char *et_csv_header(const et_csv *t, int column)
{
    if (!t || column < 0 || column >= t->columns) {
        et_raise(ET_EINVAL, "%s: no column %d", et_csv_name(t), column);
        return NULL;
    }
    return t->text + t->fields[column];
}

int et_csv_find(const et_csv *t, const char *name)
{
    if (!t || !name)
        return -1;
    for (int i = 0; i < t->columns; i++)
        if (strcmp(t->text + t->fields[i], name) == 0)
            return i;
    return -1;
}

int et_csv_column(const et_csv *t, const char *name)
{
    int column = et_csv_find(t, name);
    if (column < 0)
        et_raise(ET_EFORMAT, "%s: no column named '%s'", et_csv_name(t), name ? name : "(null)");
    return column;
}

int64_t et_csv_line(const et_csv *t, int64_t row)
{
    return t && row >= 0 && row < t->rows ? t->lines[row + 1] : 0;
}

const char *et_csv_text(const et_csv *t, int64_t row, int column)
{
    if (!t || row < 0 || row >= t->rows || column < 0 || column >= t->columns) {
        et_raise(ET_EINVAL, "%s: no row %" PRId64 " or no column %d", et_csv_name(t), row, column);
        return NULL;
    }
    return t->text + t->fields[(size_t)(row + 1) * (size_t)t->columns + (size_t)column];
}

et_status et_csv_raise(const et_csv *t, int64_t row, int column, et_status status, const char *fmt, ...)
{
    char text[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!t || column < 0 || column >= t->columns)
        return et_raise(status, "%s:%" PRId64 ": %s", et_csv_name(t), et_csv_line(t, row), text);
    return et_raise(status, "%s:%" PRId64 ": column '%s': %s", t->name, et_csv_line(t, row),
                    t->text + t->fields[column], text);
}

/* A field without the blanks around it. */
static const char *trimmed(const et_csv *t, int64_t row, int column, size_t *len)
{
    const char *s = et_csv_text(t, row, column);
    if (!s)
        return NULL;
    while (*s == ' ' || *s == '\t')
        s++;
    *len = strlen(s);
    while (*len > 0 && (s[*len - 1] == ' ' || s[*len - 1] == '\t'))
        --*len;
    return s;
}

et_status et_csv_double(const et_csv *t, int64_t row, int column, double *out)
{
    size_t len;
    const char *s = trimmed(t, row, column, &len);
    double v;

    if (!s)
        return et_error_status();
    if (len == 0)
        return et_csv_raise(t, row, column, ET_EFORMAT, "empty, a number is needed");
    if (!et_parse_double(s, len, &v))
        return et_csv_raise(t, row, column, ET_EFORMAT, "'%.40s' is not a number", s);
    if (!isfinite(v))
        return et_csv_raise(t, row, column, ET_EFORMAT, "'%.40s' is not a finite number", s);
    *out = v;
    return ET_OK;
}

et_status et_csv_int(const et_csv *t, int64_t row, int column, int64_t lo, int64_t hi, int64_t *out)
{
    size_t len;
    const char *s = trimmed(t, row, column, &len);
    int64_t v;

    if (!s)
        return et_error_status();
    if (!et_parse_i64(s, len, &v))
        return et_csv_raise(t, row, column, ET_EFORMAT, "'%.40s' is not an integer", s);
    if (v < lo || v > hi)
        return et_csv_raise(t, row, column, ET_EFORMAT, "%" PRId64 " is not in %" PRId64 " .. %" PRId64, v,
                            lo, hi);
    *out = v;
    return ET_OK;
}
