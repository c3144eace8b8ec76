/* Pictures and texts on the terminal: see textplot.h. */
#include "config.h"

#include "examples/common/textplot.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/colormap.h"

enum { MOST = 1000 };

/* Level 0 .. n-1 of a value between lo and hi. */
static int level(double v, double lo, double hi, int n)
{
    int k = hi > lo ? (int)floor((v - lo) / (hi - lo) * n) : 0;

    return k < 0 ? 0 : k < n ? k : n - 1;
}

/* Items of n that lie behind character i of width; at least one. */
static void behind(int64_t n, int i, int width, int64_t *from, int64_t *to)
{
    *from = n * i / width;
    *to = n * (i + 1) / width;
    if (*to <= *from)
        *to = *from + 1;
}

et_status et_text_spark(et_strbuf *out, int64_t n, const double *y, int width, bool unicode)
{
    static const char ascii[] = "_.-~=*#@";
    double lo = INFINITY, hi = -INFINITY;

    if (n < 1 || width < 1 || width > MOST || !y)
        return et_raise(ET_EINVAL, "text picture: values and a width of 1 .. %d are needed", MOST);
    for (int64_t i = 0; i < n; i++)
        if (isfinite(y[i])) {
            lo = fmin(lo, y[i]);
            hi = fmax(hi, y[i]);
        }
    for (int i = 0; i < width; i++) {
        double most = -INFINITY;
        int64_t from, to;

        behind(n, i, width, &from, &to);
        for (int64_t k = from; k < to; k++)
            if (isfinite(y[k]))
                most = fmax(most, y[k]);
        if (!isfinite(most)) {
            et_strbuf_putc(out, ' ');
        } else if (unicode) {
            const char block[4] = {'\xE2', '\x96', (char)(0x81 + level(most, lo, hi, 8)), '\0'};

            et_strbuf_puts(out, block);
        } else {
            et_strbuf_putc(out, ascii[level(most, lo, hi, 8)]);
        }
    }
    return out->failed ? ET_ENOMEM : ET_OK;
}

et_status et_text_matrix(et_strbuf *out, int64_t rows, int64_t cols, const float *x, int width, int height,
                         bool unicode)
{
    static const char *const shades[] = {" ", "\xE2\x96\x91", "\xE2\x96\x92", "\xE2\x96\x93", "\xE2\x96\x88"};
    static const char ascii[] = " .:-=+*#%@";
    double lo, hi;

    if (rows < 1 || cols < 1 || width < 1 || height < 1 || width > MOST || height > MOST || !x)
        return et_raise(ET_EINVAL, "text picture: a matrix and sizes of 1 .. %d are needed", MOST);
    et_finite_range(rows * cols, x, &lo, &hi);
    for (int r = height - 1; r >= 0; r--) {
        for (int c = 0; c < width; c++) {
            int64_t r0, r1, c0, c1;
            double sum = 0;
            int64_t n = 0;

            behind(rows, r, height, &r0, &r1);
            behind(cols, c, width, &c0, &c1);
            for (int64_t i = r0; i < r1; i++)
                for (int64_t k = c0; k < c1; k++)
                    if (isfinite(x[i * cols + k])) {
                        sum += x[i * cols + k];
                        n++;
                    }
            if (n == 0)
                et_strbuf_putc(out, ' ');
            else if (unicode)
                et_strbuf_puts(out, shades[level(sum / (double)n, lo, hi, 5)]);
            else
                et_strbuf_putc(out, ascii[level(sum / (double)n, lo, hi, 10)]);
        }
        et_strbuf_putc(out, '\n');
    }
    return out->failed ? ET_ENOMEM : ET_OK;
}

/* Whether the byte begins a character, and does not go on with one of UTF-8. */
static bool begins(char c) { return ((unsigned char)c & 0xC0) != 0x80; }

int et_text_cut(const char *text, int room)
{
    enum { REST = 3 }; /* bytes of a character after its first */
    int n = 0;

    while (n < room && text[n])
        n++;
    for (int i = 0; i <= REST && i <= n; i++)
        if (begins(text[n - i]))
            return n - i;
    return n; /* this is no UTF-8 */
}

const char *et_text_list(char *out, size_t size, const et_names *names)
{
    static const char more[] = ", ...";
    size_t at = 0;

    out[0] = '\0';
    for (int64_t i = 0; i < names->n; i++) {
        const size_t need = strlen(names->items[i]) + (i ? 2 : 0);
        if (at + need + (i < names->n - 1 ? sizeof more : 1) > size) {
            snprintf(out + at, size - at, "%s", i ? more : more + 2);
            break;
        }
        snprintf(out + at, size - at, "%s%s", i ? ", " : "", names->items[i]);
        at += need;
    }
    return out;
}

const char *et_plural(int64_t n) { return n == 1 ? "" : "s"; }

/* The first `most` characters of a text. */
static void print_first(FILE *out, const char *text, int most)
{
    for (; *text && (!begins(*text) || most-- > 0); text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text, out);
}

/* The blanks that fill a text up to `width` characters. */
static void fill_up(FILE *out, const char *text, int width)
{
    for (; *text; text++)
        width -= begins(*text);
    for (; width > 0; width--)
        fputc(' ', out);
}

void et_text_print(FILE *out, const char *text, int width)
{
    print_first(out, text, INT_MAX);
    fill_up(out, text, width);
}

void et_text_print_right(FILE *out, const char *text, int width)
{
    fill_up(out, text, width);
    print_first(out, text, width);
}
