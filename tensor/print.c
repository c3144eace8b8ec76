/* Tensors as text, in the form that NumPy's print gives an array with precision 4:
 * all numbers of a tensor in one width, as 1.2345 or, where their sizes lie far apart,
 * as 1.2345e+00; lines of at most 75 characters; above 1000 elements the first and last
 * three along each dimension. A zero-dimensional tensor prints all digits that tell its
 * value from its neighbours'. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/number.h"
#include "tensor/strbuf.h"
#include "tensor/tensor.h"

enum { PRECISION = 4, THRESHOLD = 1000, EDGE = 3, LINE = 75, TEXT = 64 };

typedef struct printer {
    const et_tensor *x;
    const char *data;
    et_strbuf out;
    bool summary; /* show the edges only */
    /* Measured over what is shown: */
    bool sci;        /* with exponents */
    int left, right; /* characters before and after the point */
    int decimals;    /* with exponents: digits after the point */
    int exp_digits;
    int64_t finite, others;
    bool minus_inf;
    double min, max; /* of the finite absolute values that are not zero; 0 if there are none */
} printer;

static bool is_integer(et_dtype dtype) { return dtype == ET_I32 || dtype == ET_U8; }

static double element(const printer *p, int64_t offset)
{
    switch (p->x->dtype) {
    case ET_F32: return (double)((const float *)(const void *)p->data)[offset];
    case ET_F64: return ((const double *)(const void *)p->data)[offset];
    case ET_I32: return ((const int32_t *)(const void *)p->data)[offset];
    case ET_U8: return ((const uint8_t *)p->data)[offset];
    case ET_BF16: return (double)et_bf16_to_f32(((const uint16_t *)(const void *)p->data)[offset]);
    }
    return 0;
}

/* --- one number -------------------------------------------------------------------- */

/* True if libc reads the text back as v, a float32 where the tensor holds no doubles. */
static bool reads_back(const printer *p, const char *text, double v)
{
    return p->x->dtype == ET_F64 ? strtod(text, NULL) == v : strtof(text, NULL) == (float)v;
}

/* v with at most `most` decimals, fewer if they tell v apart, by "%.*f" or "%.*e";
 * without zeros at the end of the decimals but always with a point. */
static void shortest(const printer *p, char text[TEXT], const char *format, double v, int most)
{
    char *e, *end;
    int d;

    for (d = 0; d <= most; d++) {
        snprintf(text, TEXT, format, d, v);
        if (reads_back(p, text, v))
            break;
    }
    et_number_point(text);
    e = strchr(text, 'e');
    end = e ? e : text + strlen(text);
    if (strchr(text, '.')) {
        char *last = end;

        while (last[-1] == '0')
            last--;
        memmove(last, end, strlen(end) + 1);
    } else {
        memmove(end + 1, end, strlen(end) + 1);
        *end = '.';
    }
}

static void fixed_text(const printer *p, char text[TEXT], double v)
{
    shortest(p, text, "%.*f", v, PRECISION);
}

/* v as 1.2345e+00 with the measured number of decimals and digits of the exponent. */
static void sci_text(const printer *p, char text[TEXT], double v)
{
    char mantissa[TEXT], *e;

    snprintf(mantissa, sizeof mantissa, "%.*e", p->decimals, v);
    et_number_point(mantissa);
    e = strchr(mantissa, 'e');
    snprintf(text, TEXT, "%.*s%s%c%0*d", (int)(e - mantissa), mantissa, p->decimals ? "e" : ".e", e[1],
             p->exp_digits, atoi(e + 2));
}

static const char *non_finite_text(double v) { return isnan(v) ? "nan" : v < 0 ? "-inf" : "inf"; }

/* --- measuring ---------------------------------------------------------------------- */

typedef void (*visitor)(printer *p, double v);

/* Calls f for every element that is shown. */
static void visit(printer *p, int dim, int64_t offset, visitor f)
{
    int64_t i, n;

    if (dim == p->x->ndim) {
        f(p, element(p, offset));
        return;
    }
    n = p->x->shape[dim];
    for (i = 0; i < n; i++) {
        if (p->summary && n > 2 * EDGE && i == EDGE)
            i = n - EDGE;
        visit(p, dim + 1, offset + i * p->x->strides[dim], f);
    }
}

static void measure_range(printer *p, double v)
{
    double a = fabs(v);

    if (!isfinite(v)) {
        p->others++;
        p->minus_inf |= isinf(v) && v < 0;
        return;
    }
    p->finite++;
    if (a > p->max)
        p->max = a;
    if (a > 0 && (p->min == 0 || a < p->min))
        p->min = a;
}

static void widen(int *width, size_t n)
{
    if ((int)n > *width)
        *width = (int)n;
}

static void measure_text(printer *p, double v)
{
    char text[TEXT], *point, *e;

    if (is_integer(p->x->dtype)) {
        widen(&p->left, (size_t)snprintf(text, TEXT, "%.0f", v));
        return;
    }
    if (!isfinite(v))
        return;
    if (p->sci)
        shortest(p, text, "%.*e", v, PRECISION);
    else
        fixed_text(p, text, v);
    point = strchr(text, '.');
    e = strchr(text, 'e');
    widen(&p->left, (size_t)(point - text));
    if (p->sci) {
        widen(&p->decimals, (size_t)(e - point - 1));
        widen(&p->exp_digits, strlen(e + 2));
    } else {
        widen(&p->right, strlen(point + 1));
    }
}

static void measure(printer *p)
{
    int room;

    if (!is_integer(p->x->dtype)) {
        double ratio;

        visit(p, 0, 0, measure_range);
        ratio = p->min > 0 ? p->max / p->min : 1;
        if (p->x->dtype != ET_F64)
            ratio = (double)(float)ratio;
        p->sci = p->max >= 1e8 || (p->min > 0 && p->min < 1e-4) || ratio > 1000;
    }
    visit(p, 0, 0, measure_text);
    if (p->sci)
        p->right = p->decimals + 2 + p->exp_digits;
    if (p->others) {
        room = p->right + 1;
        if (p->left < 3 + p->minus_inf - room)
            p->left = 3 + p->minus_inf - room;
    }
}

/* --- writing -------------------------------------------------------------------------- */

static void element_text(const printer *p, char text[2 * TEXT], double v)
{
    char plain[TEXT], *point;

    if (is_integer(p->x->dtype)) {
        snprintf(text, 2 * TEXT, "%*.0f", p->left, v);
    } else if (!isfinite(v)) {
        snprintf(text, 2 * TEXT, "%*s", p->left + p->right + 1, non_finite_text(v));
    } else if (p->sci) {
        sci_text(p, plain, v);
        snprintf(text, 2 * TEXT, "%*s", p->left + p->right + 1, plain);
    } else {
        fixed_text(p, plain, v);
        point = strchr(plain, '.');
        snprintf(text, 2 * TEXT, "%*.*s%-*s", p->left, (int)(point - plain), plain, p->right + 1, point);
    }
}

/* Starts a new line where `word` does not fit; *column is the length of the line. */
static void add_word(printer *p, const char *word, int indent, int width, int *column)
{
    int n = (int)strlen(word);

    if (*column + n > width && *column > indent) {
        while (p->out.size > 0 && p->out.data[p->out.size - 1] == ' ')
            p->out.size--;
        et_strbuf_putc(&p->out, '\n');
        et_strbuf_fill(&p->out, ' ', (size_t)indent);
        *column = indent;
    }
    et_strbuf_add(&p->out, word, (size_t)n);
    *column += n;
}

static void write_row(printer *p, int dim, int64_t offset)
{
    int64_t n = p->x->shape[dim], i;
    bool cut = p->summary && n > 2 * EDGE;
    int indent = dim + 1, width = LINE - dim - 1, column = indent;
    char text[2 * TEXT];

    for (i = 0; i < n && !p->out.failed; i++) {
        if (i > 0) {
            et_strbuf_putc(&p->out, ' ');
            column++;
        }
        if (cut && i == EDGE) {
            add_word(p, "...", indent, width, &column);
            i = n - EDGE - 1;
            continue;
        }
        element_text(p, text, element(p, offset + i * p->x->strides[dim]));
        add_word(p, text, indent, width, &column);
    }
}

static void write_level(printer *p, int dim, int64_t offset)
{
    int64_t n = p->x->shape[dim], i;
    int last = p->x->ndim - 1;

    et_strbuf_putc(&p->out, '[');
    if (dim == last) {
        write_row(p, dim, offset);
    } else {
        for (i = 0; i < n && !p->out.failed; i++) {
            if (i > 0) {
                et_strbuf_fill(&p->out, '\n', (size_t)(last - dim));
                et_strbuf_fill(&p->out, ' ', (size_t)dim + 1);
            }
            if (p->summary && n > 2 * EDGE && i == EDGE) {
                et_strbuf_puts(&p->out, "...");
                i = n - EDGE - 1;
                continue;
            }
            write_level(p, dim + 1, offset + i * p->x->strides[dim]);
        }
    }
    et_strbuf_putc(&p->out, ']');
}

/* A single value: the fewest digits that read back as the same. */
static void write_scalar(printer *p, double v)
{
    char text[TEXT], digits[TEXT], *s, *d = digits;
    int exponent, n, most = p->x->dtype == ET_F64 ? 16 : 8;

    if (is_integer(p->x->dtype)) {
        et_strbuf_printf(&p->out, "%.0f", v);
        return;
    }
    if (!isfinite(v)) {
        et_strbuf_puts(&p->out, non_finite_text(v));
        return;
    }
    shortest(p, text, "%.*e", fabs(v), most);
    exponent = atoi(strchr(text, 'e') + 1);
    for (s = text; *s != 'e'; s++)
        if (*s != '.')
            *d++ = *s;
    *d = 0;
    n = (int)(d - digits);
    if (signbit(v))
        et_strbuf_putc(&p->out, '-');
    if (v != 0 && (fabs(v) < 1e-4 || fabs(v) >= 1e16)) {
        et_strbuf_printf(&p->out, "%c%s%se%c%02d", digits[0], n > 1 ? "." : "", digits + 1,
                         exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        et_strbuf_puts(&p->out, "0.");
        et_strbuf_fill(&p->out, '0', (size_t)(-exponent - 1));
        et_strbuf_puts(&p->out, digits);
    } else if (n <= exponent + 1) {
        et_strbuf_puts(&p->out, digits);
        et_strbuf_fill(&p->out, '0', (size_t)(exponent + 1 - n));
        et_strbuf_puts(&p->out, ".0");
    } else {
        et_strbuf_printf(&p->out, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    }
}

char *et_to_string(const et_tensor *x)
{
    printer p = {0};

    if (!x) {
        et_raise(ET_EINVAL, "to_string: the tensor is NULL");
        return NULL;
    }
    p.x = x;
    p.data = et_data(x);
    if (!p.data)
        return NULL;
    p.summary = x->numel > THRESHOLD;
    if (x->ndim == 0) {
        write_scalar(&p, element(&p, 0));
    } else if (x->numel == 0) {
        et_strbuf_puts(&p.out, "[]");
    } else {
        measure(&p);
        write_level(&p, 0, 0);
    }
    return et_strbuf_take(&p.out);
}

et_status et_print(FILE *out, const et_tensor *x)
{
    et_status status = ET_OK;
    char *text;

    if (!out)
        return et_raise(ET_EINVAL, "print: the file is NULL");
    text = et_to_string(x);
    if (!text)
        return et_fail_status("print");
    if (fputs(text, out) == EOF || putc('\n', out) == EOF)
        status = et_raise(ET_EIO, "print: cannot write");
    et_dealloc(text);
    return status;
}
