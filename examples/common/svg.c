/* Axes and line charts: see svg.h. Bars and confusion matrices are in svg_bars.c, heat maps in
 * svg_heatmap.c. */
#include "config.h"

#include "examples/common/svg_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/markup.h"

/* --- style -------------------------------------------------------------------------- */

const char *et_svg_css(void)
{
    return ":root{--paper:#fff;--ink:#1b2430;--soft:#55606e;--grid:#e3e7ec;--axis:#9aa4b0;--on:#fff;"
           "--s0:#0072b2;--s1:#d55e00;--s2:#00835f;--s3:#b8558c;--s4:#8a6d00;--s5:#5b5fc7}\n"
           "@media (prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e7eaee;--soft:#a9b3bf;"
           "--grid:#2a3139;--axis:#6a7582;--on:#10151a;--s0:#56b4e9;--s1:#ff8f4a;--s2:#35c99d;"
           "--s3:#ec9cca;--s4:#e3c93c;--s5:#a3a6ff}}\n"
           "@media print{:root{--paper:#fff;--ink:#1b2430;--soft:#55606e;--grid:#e3e7ec;--axis:#9aa4b0;"
           "--on:#fff;"
           "--s0:#0072b2;--s1:#d55e00;--s2:#00835f;--s3:#b8558c;--s4:#8a6d00;--s5:#5b5fc7}}\n"
           ".e{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Noto "
           "Sans',sans-serif;display:block;width:100%;height:auto}\n"
           ".e text{fill:var(--soft);font-variant-numeric:tabular-nums}\n"
           ".e .e-name{fill:var(--ink)}\n"
           ".e .e-strong{fill:var(--ink);font-weight:600}\n"
           ".e .e-small{font-size:11px}\n"
           ".e .e-grid{stroke:var(--grid);stroke-width:1}\n"
           ".e .e-axis{stroke:var(--axis);stroke-width:1;fill:none}\n"
           ".e .e-cursor{stroke:#fff;stroke-width:2;mix-blend-mode:difference}\n"
           ".e .e-mark{stroke:var(--soft);stroke-width:1.25;stroke-dasharray:3 3}\n"
           ".e .e-whisker{stroke:var(--ink);stroke-width:1.5}\n"
           ".e .e-line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
           ".e .e-over,.e .e-halo{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
           ".e .e-o0{stroke:#fff}.e .e-o1{stroke:#7fe3ff}.e .e-o2{stroke:#b6f09c}.e .e-o3{stroke:#ffd0ec}"
           ".e .e-o4{stroke:#ffe27a}.e .e-o5{stroke:#c9c6ff}\n"
           ".e .e-halo{stroke:#000;stroke-opacity:.6;stroke-width:5}\n"
           ".e .e-chip{fill:#3a1a46}\n"
           ".e .e-back{fill:var(--paper);fill-opacity:.85}\n"
           ".e .e-s0{stroke:var(--s0)}.e .e-s1{stroke:var(--s1)}.e .e-s2{stroke:var(--s2);stroke-dasharray:7 "
           "4}.e .e-s3{stroke:var(--s3);stroke-dasharray:2 4}.e .e-s4{stroke:var(--s4);stroke-dasharray:9 3 "
           "2 3}.e .e-s5{stroke:var(--s5);stroke-dasharray:4 2}\n"
           ".e .e-f0{fill:var(--s0)}.e .e-f1{fill:var(--s1)}.e .e-f2{fill:var(--s2)}.e .e-f3{fill:var(--s3)}"
           ".e .e-f4{fill:var(--s4)}.e .e-f5{fill:var(--s5)}\n"
           ".e .e-cell{fill:var(--s0);stroke:var(--paper);stroke-width:1}\n"
           ".e .e-cell0{fill:var(--grid);fill-opacity:.45;stroke:var(--paper);stroke-width:1}\n"
           ".e .e-lo,.e .e-mid{fill:var(--ink)}.e .e-hi{fill:var(--on)}\n"
           "@media screen and (prefers-color-scheme:dark){.e .e-mid{fill:var(--on)}}\n";
}

/* --- axes --------------------------------------------------------------------------- */

double et_axis_at(const et_axis *axis, double v)
{
    return axis->a + (v - axis->lo) / (axis->hi - axis->lo) * (axis->b - axis->a);
}

/* The round step (1, 2, 2.5 or 5 times a power of ten) that cuts `span` into at most
 * `want` pieces. */
static double round_step(double span, int want, bool whole)
{
    static const double factors[] = {1, 2, 2.5, 5, 10};
    double least = span / want, power = pow(10, floor(log10(least)));

    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        double step = factors[i] * power;

        if (step < least * (1 - 1e-9) || (whole && (step < 1 || step != floor(step))))
            continue;
        return step;
    }
    return whole ? 1 : 10 * power;
}

void et_axis_ticks(et_axis *axis, int want, bool whole)
{
    double span = axis->hi - axis->lo;

    if (want < 1)
        want = 1;
    if (want > ET_SVG_MAX_TICKS - 1)
        want = ET_SVG_MAX_TICKS - 1;
    axis->step = round_step(span, want, whole);
    axis->first = ceil(axis->lo / axis->step - 1e-6) * axis->step;
    axis->n_ticks = (int)floor((axis->hi - axis->first) / axis->step + 1e-6) + 1;
    axis->n_ticks = axis->n_ticks < 0 ? 0 : axis->n_ticks > ET_SVG_MAX_TICKS ? ET_SVG_MAX_TICKS
                                                                             : axis->n_ticks;
    axis->decimals = 0;
    for (double s = axis->step; axis->decimals < 12 && fabs(s - floor(s + 0.5)) > 1e-6 * s; s *= 10)
        axis->decimals++;
}

void et_axis_round(et_axis *axis, int want, bool whole)
{
    double step;

    if (!(axis->hi > axis->lo) || axis->hi - axis->lo < 1e-12 * (fabs(axis->lo) + fabs(axis->hi))) {
        double room = axis->lo != 0 && !whole ? fabs(axis->lo) / 2 : 1;

        axis->lo -= room;
        axis->hi += room;
    }
    step = round_step(axis->hi - axis->lo, want, whole);
    axis->lo = floor(axis->lo / step + 1e-9) * step;
    axis->hi = ceil(axis->hi / step - 1e-9) * step;
    et_axis_ticks(axis, want, whole);
}

char *et_axis_text(char buf[ET_TICK_TEXT], const et_axis *axis, int i)
{
    double v = axis->first + i * axis->step, big = fmax(fabs(axis->lo), fabs(axis->hi));

    if (fabs(v) < 1e-9 * axis->step)
        v = 0;
    if (big >= 1e7 || (big < 1e-4 && big > 0))
        snprintf(buf, ET_TICK_TEXT, "%.3g", v);
    else
        snprintf(buf, ET_TICK_TEXT, "%.*f", axis->decimals, v);
    return buf;
}

double et_axis_text_width(const et_axis *axis)
{
    char text[ET_TICK_TEXT];
    double widest = 0;

    for (int i = 0; i < axis->n_ticks; i++)
        widest = fmax(widest, et_text_width(et_axis_text(text, axis, i), ET_SVG_FONT));
    return widest;
}

/* --- texts and shapes --------------------------------------------------------------- */

double et_text_width(const char *text, double size)
{
    double units = 0;

    for (; text && *text; text++) {
        unsigned char c = (unsigned char)*text;

        if ((c & 0xC0) == 0x80)
            continue; /* inside a character */
        if (c >= 0xE3) { /* from U+3000 on: ideographs, kana, Hangul and pictures are square */
            units += 1;
            continue;
        }
        units += strchr("iljtfI.,:;'| ", c) ? 0.32 : strchr("mwMW%", c) ? 0.86 : c >= 'A' &&
                 c <= 'Z' ? 0.66 : 0.56;
    }
    return units * size;
}

void et_svg_num(et_strbuf *out, double v)
{
    char text[ET_TICK_TEXT];
    size_t n;

    v = floor(v * 10 + 0.5) / 10;
    snprintf(text, sizeof text, "%.1f", v == 0 ? 0.0 : v);
    n = strlen(text);
    if (n > 2 && text[n - 1] == '0')
        text[n - 2] = '\0';
    et_strbuf_puts(out, text);
}

void et_svg_box(et_strbuf *out, double x, double y, double w, double h)
{
    const char *const names[4] = {" x=\"", " y=\"", " width=\"", " height=\""};
    const double values[4] = {x, y, w, h};

    for (int i = 0; i < 4; i++) {
        et_strbuf_puts(out, names[i]);
        et_svg_num(out, values[i]);
        et_strbuf_puts(out, "\"");
    }
}

static void attribute(et_strbuf *out, const char *name, double v)
{
    et_strbuf_printf(out, " %s=\"", name);
    et_svg_num(out, v);
    et_strbuf_putc(out, '"');
}

void et_svg_open(et_strbuf *out, double width, double height, const char *what)
{
    et_strbuf_puts(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"e\" role=\"img\" viewBox=\"0 0 ");
    et_svg_num(out, width);
    et_strbuf_putc(out, ' ');
    et_svg_num(out, height);
    et_strbuf_puts(out, "\" aria-label=\"");
    et_markup_escape(out, what ? what : "chart");
    et_strbuf_puts(out, "\">\n");
}

void et_svg_close(et_strbuf *out)
{
    et_strbuf_puts(out, "</svg>\n");
}

void et_svg_text(et_strbuf *out, const char *css, double x, double y, const char *anchor, double turn,
                 const char *text)
{
    et_strbuf_puts(out, "<text");
    if (css)
        et_strbuf_printf(out, " class=\"%s\"", css);
    attribute(out, "x", x);
    attribute(out, "y", y);
    if (strcmp(anchor, "start") != 0)
        et_strbuf_printf(out, " text-anchor=\"%s\"", anchor);
    if (turn != 0) {
        et_strbuf_puts(out, " transform=\"rotate(");
        et_svg_num(out, turn);
        et_strbuf_putc(out, ' ');
        et_svg_num(out, x);
        et_strbuf_putc(out, ' ');
        et_svg_num(out, y);
        et_strbuf_puts(out, ")\"");
    }
    et_strbuf_putc(out, '>');
    et_markup_escape(out, text);
    et_strbuf_puts(out, "</text>\n");
}

void et_svg_line(et_strbuf *out, const char *css, double x1, double y1, double x2, double y2)
{
    et_strbuf_printf(out, "<line class=\"%s\"", css);
    attribute(out, "x1", x1);
    attribute(out, "y1", y1);
    attribute(out, "x2", x2);
    attribute(out, "y2", y2);
    et_strbuf_puts(out, "/>\n");
}

void et_svg_rect(et_strbuf *out, const char *css, double x, double y, double w, double h)
{
    et_strbuf_printf(out, "<rect class=\"%s\"", css);
    attribute(out, "x", x);
    attribute(out, "y", y);
    attribute(out, "width", w > 0 ? w : 0);
    attribute(out, "height", h > 0 ? h : 0);
    et_strbuf_puts(out, "/>\n");
}

void et_svg_x_axis(et_strbuf *out, const et_axis *x, double top, double bottom, const char *label, bool grid)
{
    char text[ET_TICK_TEXT];

    for (int i = 0; i < x->n_ticks; i++) {
        double at = et_axis_at(x, x->first + i * x->step);

        et_svg_line(out, grid ? "e-grid" : "e-axis", at, grid ? top : bottom, at, grid ? bottom : bottom + 4);
        et_svg_text(out, NULL, at, bottom + 19, "middle", 0, et_axis_text(text, x, i));
    }
    et_svg_line(out, "e-axis", x->a, bottom, x->b, bottom);
    if (label)
        et_svg_text(out, "e-name", (x->a + x->b) / 2, bottom + 40, "middle", 0, label);
}

void et_svg_y_axis(et_strbuf *out, const et_axis *y, double left, double right, double label_x,
                   const char *label, bool grid)
{
    char text[ET_TICK_TEXT];

    for (int i = 0; i < y->n_ticks; i++) {
        double at = et_axis_at(y, y->first + i * y->step);

        et_svg_line(out, grid ? "e-grid" : "e-axis", grid ? left : left - 4, at, grid ? right : left, at);
        et_svg_text(out, NULL, left - 8, at + 4.5, "end", 0, et_axis_text(text, y, i));
    }
    if (label)
        et_svg_text(out, "e-name", label_x, (y->a + y->b) / 2, "middle", -90, label);
}

/* --- series ------------------------------------------------------------------------- */

static double x_of(const et_series *s, int64_t i)
{
    return s->x ? s->x[i] : (double)(i + 1);
}

/* Whether point i can be drawn. */
static bool visible(const et_series *s, int64_t i, const et_axis *x)
{
    double v = x_of(s, i);

    return isfinite(s->y[i]) && v >= x->lo && v <= x->hi; /* NaN fails */
}

static void put_point(et_strbuf *out, const et_series *s, int64_t i, const et_axis *x, const et_axis *y)
{
    double v = fmin(fmax(s->y[i], y->lo), y->hi);

    et_svg_num(out, et_axis_at(x, x_of(s, i)));
    et_strbuf_putc(out, ' ');
    et_svg_num(out, et_axis_at(y, v));
}

/* Begins the element of a point, whose name comes back: a circle; where the colours come again a square, then
 * a diamond. */
static const char *begin_point(et_strbuf *out, int series, double x, double y, double r)
{
    const int shape = series / ET_SVG_N_COLOURS % 3;

    if (shape == 0) {
        et_strbuf_puts(out, "<circle");
        attribute(out, "cx", x);
        attribute(out, "cy", y);
        attribute(out, "r", r);
        return "circle";
    }
    et_strbuf_puts(out, "<path d=\"M");
    et_svg_num(out, shape == 1 ? x - r : x);
    et_strbuf_putc(out, ' ');
    et_svg_num(out, y - r);
    if (shape == 1)
        et_strbuf_printf(out, "h%gv%gh%gz\"", 2 * r, 2 * r, -2 * r);
    else
        et_strbuf_printf(out, "l%g %gl%g %gl%g %gz\"", r, r, -r, r, -r, -r);
    return "path";
}

void et_svg_series(et_strbuf *out, const et_series *s, int colour, const et_axis *x, const et_axis *y,
                   const char *over)
{
    enum { MOST = 3000, MOST_MARKED = 40 };
    int64_t stride = s->n / MOST + 1;
    bool pen = false;
    int c = colour % ET_SVG_N_COLOURS;

    if (!s->points) {
        if (over)
            et_strbuf_printf(out, "<path class=\"%s e-o%d\" d=\"", over, c);
        else
            et_strbuf_printf(out, "<path class=\"e-line e-s%d\" d=\"", c);
        for (int64_t i = 0; i < s->n; i += stride) {
            if (!visible(s, i, x)) {
                pen = false;
                continue;
            }
            et_strbuf_putc(out, pen ? 'L' : 'M');
            put_point(out, s, i, x, y);
            pen = true;
        }
        et_strbuf_puts(out, "\"/>\n");
    }
    if (over || (!s->points && s->n > MOST_MARKED))
        return;
    et_strbuf_printf(out, "<g class=\"e-f%d\"%s>", c, s->points ? " fill-opacity=\".7\"" : "");
    for (int64_t i = 0; i < s->n; i++) {
        if (!visible(s, i, x))
            continue;
        const char *element = begin_point(out, s->points ? colour : c, et_axis_at(x, x_of(s, i)),
                                          et_axis_at(y, fmin(fmax(s->y[i], y->lo), y->hi)),
                                          s->points ? 3.5 : 2.5);
        if (s->n <= MOST_MARKED) {
            et_strbuf_puts(out, "><title>");
            et_markup_escape(out, s->name ? s->name : "");
            et_strbuf_printf(out, " %.5g: %.5g</title></%s>", x_of(s, i), s->y[i], element);
        } else {
            et_strbuf_puts(out, "/>");
        }
    }
    et_strbuf_puts(out, "</g>\n");
}

static double legend_entry(const et_series *s)
{
    return 30 + et_text_width(s->name, ET_SVG_FONT) + 20;
}

int et_svg_legend_rows(const et_series *series, int n, double width)
{
    double at = 0;
    int rows = 0;

    for (int i = 0; i < n; i++) {
        if (!series[i].name)
            continue;
        if (rows == 0 || at + legend_entry(&series[i]) - 20 > width) {
            rows++;
            at = 0;
        }
        at += legend_entry(&series[i]);
    }
    return rows;
}

void et_svg_legend(et_strbuf *out, const et_series *series, int n, double left, double top, double width,
                   bool over)
{
    double at = 0, y = top + 10;
    bool first = true;

    for (int i = 0; i < n; i++) {
        int c = i % ET_SVG_N_COLOURS;

        if (!series[i].name)
            continue;
        if (!first && at + legend_entry(&series[i]) - 20 > width) {
            y += ET_LEGEND_ROW;
            at = 0;
        }
        if (over) { /* a piece of the dark picture that the curve lies on */
            char css[16];

            snprintf(css, sizeof css, "e-over e-o%d", c);
            et_svg_rect(out, "e-chip", left + at, y - 6, 24, 12);
            et_svg_line(out, css, left + at + 3, y, left + at + 21, y);
        } else if (series[i].points) {
            et_strbuf_printf(out, "<g class=\"e-f%d\">", c);
            begin_point(out, i, left + at + 12, y, 4);
            et_strbuf_puts(out, "/></g>\n");
        } else {
            char css[16];

            snprintf(css, sizeof css, "e-line e-s%d", c);
            et_svg_line(out, css, left + at, y, left + at + 24, y);
        }
        et_svg_text(out, "e-name", left + at + 30, y + 4.5, "start", 0, series[i].name);
        at += legend_entry(&series[i]);
        first = false;
    }
}

/* --- line charts -------------------------------------------------------------------- */

/* Range of all finite points, and whether every x is a whole number. */
static bool data_range(const et_chart *c, et_axis *x, et_axis *y)
{
    bool whole = true, any = false;

    for (int k = 0; k < c->n_series; k++)
        for (int64_t i = 0; i < c->series[k].n; i++) {
            double xv = x_of(&c->series[k], i), yv = c->series[k].y[i];

            if (!isfinite(xv) || !isfinite(yv))
                continue;
            whole = whole && xv == floor(xv);
            x->lo = any ? fmin(x->lo, xv) : xv;
            x->hi = any ? fmax(x->hi, xv) : xv;
            y->lo = any ? fmin(y->lo, yv) : yv;
            y->hi = any ? fmax(y->hi, yv) : yv;
            any = true;
        }
    if (!any) {
        x->lo = y->lo = 0;
        x->hi = y->hi = 1;
    }
    return whole;
}

/* The vertical line and its text, beside it on the side that has room and `down` px below the top. */
static void put_mark(et_strbuf *out, const et_mark *m, const et_axis *x, double top, double bottom,
                     double down)
{
    double at = et_axis_at(x, m->x), width = et_text_width(m->text, 11);
    bool right = at + 6 + width < x->b;

    et_svg_line(out, "e-mark", at, top, at, bottom);
    et_svg_rect(out, "e-back", right ? at + 3 : at - 7 - width, top + down + 2, width + 4, 15);
    et_svg_text(out, "e-small", right ? at + 5 : at - 5, top + down + 13, right ? "start" : "end", 0,
                m->text);
}

et_status et_svg_lines(et_strbuf *out, const et_chart *c)
{
    et_axis x = {0}, y = {0};
    double left, right = ET_SVG_WIDTH - 16, top, bottom, rows;
    bool whole, empty = true;

    if (c->n_series < 1 || !c->series)
        return et_raise(ET_EINVAL, "chart: no series");
    for (int i = 0; i < c->n_series; i++) {
        if (c->series[i].n < 0 || (c->series[i].n > 0 && !c->series[i].y))
            return et_raise(ET_EINVAL, "chart: series %d has no data", i);
        for (int64_t k = 0; k < c->series[i].n && empty; k++)
            empty = !isfinite(c->series[i].y[k]);
    }
    whole = data_range(c, &x, &y);
    if (c->x_min < c->x_max) {
        x.lo = c->x_min;
        x.hi = c->x_max;
    }
    if (c->y_min < c->y_max) {
        y.lo = c->y_min;
        y.hi = c->y_max;
        et_axis_ticks(&y, 6, c->counts);
    } else {
        et_axis_round(&y, 6, c->counts);
    }
    left = (c->y_label ? 26 : 4) + et_axis_text_width(&y) + 10;
    rows = et_svg_legend_rows(c->series, c->n_series, right - left);
    top = 10 + rows * ET_LEGEND_ROW + (rows > 0 ? 6 : 0);
    bottom = top + 250;
    x.a = left;
    x.b = right;
    y.a = bottom;
    y.b = top;
    if (!(x.hi > x.lo)) {
        double middle = x.lo; /* one point stands in the middle */

        x.lo = middle - 1;
        x.hi = middle + 1;
    }
    et_axis_ticks(&x, 8, whole);
    et_svg_open(out, ET_SVG_WIDTH, bottom + (c->x_label ? 50 : 28), c->what);
    et_svg_legend(out, c->series, c->n_series, left, 4, right - left, false);
    et_svg_y_axis(out, &y, left, right, 14, c->y_label, true);
    et_svg_x_axis(out, &x, top, bottom, c->x_label, false);
    for (int i = 0; i < c->n_marks; i++)
        if (c->marks[i].text && c->marks[i].x >= x.lo && c->marks[i].x <= x.hi)
            put_mark(out, &c->marks[i], &x, top, bottom, i % 4 * 17);
    for (int i = 0; i < c->n_series; i++)
        et_svg_series(out, &c->series[i], i, &x, &y, NULL);
    if (empty)
        et_svg_text(out, NULL, (left + right) / 2, (top + bottom) / 2, "middle", 0, "no values yet");
    et_svg_close(out);
    return out->failed ? ET_ENOMEM : ET_OK;
}
