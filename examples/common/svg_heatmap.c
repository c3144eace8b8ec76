/* Heat maps, with what is drawn over them: see svg.h. */
#include "config.h"

#include "examples/common/svg_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/markup.h"
#include "examples/common/png.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"

enum { STRIP = 18, SCALE_WIDTH = 12, MOST_COLS = 2048 };

/* Edges of the picture and what stands around it. */
typedef struct layout {
    double left, right, top, bottom, height;
    et_axis x, y, scale, curve;
    bool turned;     /* column names stand at an angle */
    double below;    /* room for ticks or names below the picture */
} layout;

/* An image element from (x, y), w by h, over a PNG. */
static et_status put_image(et_strbuf *out, double x, double y, double w, double h, bool smooth,
                           const uint8_t *png, size_t size)
{
    et_strbuf_puts(out, "<image preserveAspectRatio=\"none\"");
    if (!smooth)
        et_strbuf_puts(out, " style=\"image-rendering:pixelated\"");
    et_svg_box(out, x, y, w, h);
    et_strbuf_puts(out, " href=\"");
    et_markup_data_uri(out, "image/png", png, size);
    et_strbuf_puts(out, "\"/>\n");
    return out->failed ? ET_ENOMEM : ET_OK;
}

/* The matrix as PNG; more columns than a screen shows are averaged in groups first. */
static uint8_t *picture(const et_heatmap *m, double lo, double hi, bool flip, size_t *size)
{
    int64_t group = (m->cols + MOST_COLS - 1) / MOST_COLS, cols = (m->cols + group - 1) / group;
    float *mean;
    uint8_t *png;

    if (group == 1)
        return et_matrix_png(m->rows, m->cols, m->data, lo, hi, flip, m->map, size);
    mean = et_alloc_zero((size_t)m->rows, (size_t)cols * sizeof *mean);
    if (!mean)
        return NULL;
    for (int64_t r = 0; r < m->rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            int64_t end = (c + 1) * group < m->cols ? (c + 1) * group : m->cols;
            double sum = 0;

            for (int64_t i = c * group; i < end; i++)
                sum += m->data[r * m->cols + i];
            mean[r * cols + c] = (float)(sum / (double)(end - c * group));
        }
    png = et_matrix_png(m->rows, cols, mean, lo, hi, flip, m->map, size);
    et_dealloc(mean);
    return png;
}

/* A tint over the picture, a pixel for each column, as strong as `overlay` says. */
static et_status put_overlay(et_strbuf *out, const et_heatmap *m, const layout *l)
{
    uint8_t *pixels = et_alloc_zero((size_t)m->cols, 4), *png;
    size_t size;
    et_status status;

    if (!pixels)
        return et_error_status();
    for (int64_t c = 0; c < m->cols; c++) {
        const double a = fmin(fmax((double)m->overlay[c], 0), 1);
        memcpy(pixels + 4 * c, (const uint8_t[]){ET_TINT_RED, ET_TINT_GREEN, ET_TINT_BLUE,
                                                 (uint8_t)(255 * ET_TINT * a + 0.5)}, 4);
    }
    png = et_png_encode(&(et_image){.width = m->cols, .height = 1, .kind = ET_PNG_RGBA, .pixels = pixels},
                        &size);
    status = png ? put_image(out, l->left, l->top, l->right - l->left, l->height, m->smooth, png, size)
                 : et_error_status();
    et_dealloc(png);
    et_dealloc(pixels);
    return status;
}

/* The line of et_report_listen, with what its script must know. */
static void put_cursor(et_strbuf *out, const layout *l)
{
    et_strbuf_printf(out,
                     "<line class=\"e-cursor\" data-left=\"%.1f\" data-right=\"%.1f\" data-from=\"%.6g\" "
                     "data-to=\"%.6g\"", l->left, l->right, l->x.lo, l->x.hi);
    et_strbuf_printf(out, " x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", l->left, l->top, l->left,
                     l->bottom);
}

static et_status put_scale(et_strbuf *out, const et_heatmap *m, const layout *l, double left)
{
    float ramp[256];
    uint8_t *png;
    size_t size;
    et_status status;
    char text[ET_TICK_TEXT];

    for (int i = 0; i < 256; i++)
        ramp[i] = (float)i;
    png = et_matrix_png(256, 1, ramp, 0, 255, 1, m->map, &size);
    if (!png)
        return et_error_status();
    status = put_image(out, left, l->top, SCALE_WIDTH, l->height, true, png, size);
    et_dealloc(png);
    for (int i = 0; i < l->scale.n_ticks; i++) {
        double at = et_axis_at(&l->scale, l->scale.first + i * l->scale.step);

        et_svg_line(out, "e-axis", left + SCALE_WIDTH, at, left + SCALE_WIDTH + 4, at);
        et_svg_text(out, "e-small", left + SCALE_WIDTH + 7, at + 4, "start", 0,
                    et_axis_text(text, &l->scale, i));
    }
    if (m->value_label) /* which may be longer than the scale */
        et_svg_text(out, "e-small", left + SCALE_WIDTH + 10 + et_axis_text_width(&l->scale) + 12,
                    fmax(l->top + l->height / 2, et_text_width(m->value_label, 11) / 2 + 2), "middle", -90,
                    m->value_label);
    return status;
}

/* Names along one side, as many as there is room for. */
static void put_names(et_strbuf *out, const char *const *names, int64_t n, const layout *l, bool columns)
{
    double cell = (columns ? l->right - l->left : l->height) / (double)n, need = 13;
    int64_t every = (int64_t)ceil(need / cell);

    every = every < 1 || (columns && !l->turned) ? 1 : every; /* names that are not turned have room */
    for (int64_t i = 0; i < n; i += every) {
        double middle = ((double)i + 0.5) * cell;

        if (!columns)
            et_svg_text(out, "e-name", l->left - 8, l->top + middle + 4.5, "end", 0, names[i]);
        else if (l->turned)
            et_svg_text(out, "e-name", l->left + middle + 4, l->bottom + 12, "end", -45, names[i]);
        else
            et_svg_text(out, "e-name", l->left + middle, l->bottom + 19, "middle", 0, names[i]);
    }
}

/* Both ends of a span in the picture; false if it lies outside. */
static bool span_at(const et_span *span, const layout *l, double *a, double *b)
{
    *a = et_axis_at(&l->x, fmin(fmax(span->from, l->x.lo), l->x.hi));
    *b = et_axis_at(&l->x, fmin(fmax(span->to, l->x.lo), l->x.hi));
    return *b > *a;
}

/* Of the named spans the one whose middle comes next to the right of `at`, or there behind spans[before]; -1:
 * there is none. *at becomes its middle. */
static int next_name(const et_heatmap *m, const layout *l, double *at, int before)
{
    int next = -1;
    double a, b, least = INFINITY;

    for (int i = 0; i < m->n_spans; i++)
        if (m->spans[i].name && span_at(&m->spans[i], l, &a, &b)) {
            const double middle = (a + b) / 2;
            if ((middle > *at || (middle >= *at && i > before)) && middle < least) {
                least = middle;
                next = i;
            }
        }
    *at = least;
    return next;
}

/* Spans, and their names above them: those that would stand over each other as one text. */
static void put_spans(et_strbuf *out, const et_heatmap *m, const layout *l)
{
    enum { FONT = 11 };
    double a, b, at = -INFINITY, first, last;
    char text[128];

    for (int i = 0; i < m->n_spans; i++)
        if (span_at(&m->spans[i], l, &a, &b))
            et_svg_rect(out, "e-f1", a, l->top - 5, b - a, 4);
    int i = next_name(m, l, &at, -1);
    while (i >= 0) {
        snprintf(text, sizeof text, "%.*s", et_text_cut(m->spans[i].name, 60), m->spans[i].name);
        for (first = last = at; (i = next_name(m, l, &at, i)) >= 0; last = at) {
            const char *name = m->spans[i].name;
            const size_t n = strlen(text);
            if ((first + last + et_text_width(text, FONT)) / 2 + 4 <= at - et_text_width(name, FONT) / 2)
                break;
            if (n + strlen(name) + 3 < sizeof text)
                snprintf(text + n, sizeof text - n, ", %s", name);
        }
        et_svg_text(out, "e-small e-strong", (first + last) / 2, l->top - 8, "middle", 0, text);
    }
}

/* The curves over the picture, each with a dark seam that keeps it visible on any colour,
 * and their axis on the right. */
static void put_curves(et_strbuf *out, const et_heatmap *m, const layout *l)
{
    char text[ET_TICK_TEXT];

    if (m->n_curves < 1)
        return;
    for (int i = 0; i < m->n_curves; i++) {
        et_svg_series(out, &m->curves[i], 0, &l->x, &l->curve, "e-halo");
        et_svg_series(out, &m->curves[i], i, &l->x, &l->curve, "e-over");
    }
    for (int i = 0; i < l->curve.n_ticks; i++) {
        double at = et_axis_at(&l->curve, l->curve.first + i * l->curve.step);

        et_svg_line(out, "e-axis", l->right, at, l->right + 4, at);
        et_svg_text(out, NULL, l->right + 8, at + 4.5, "start", 0, et_axis_text(text, &l->curve, i));
    }
    if (m->curve_label)
        et_svg_text(out, "e-name", l->right + 8 + et_axis_text_width(&l->curve) + 20,
                    (l->top + l->bottom) / 2, "middle", -90, m->curve_label);
}

static et_status check(const et_heatmap *m)
{
    if (!m->data || m->rows < 1 || m->cols < 1 || m->rows > 65535 || m->cols > 65535)
        return et_raise(ET_EINVAL, "heat map: 1 .. 65535 rows and columns with data are needed");
    for (int i = 0; i < m->n_curves; i++)
        if (m->curves[i].n < 0 || (m->curves[i].n > 0 && !m->curves[i].y))
            return et_raise(ET_EINVAL, "heat map: curve %d has no data", i);
    return ET_OK;
}

/* Range of the curves; from zero where nothing is negative, as weights are. */
static void curve_range(const et_heatmap *m, et_axis *axis)
{
    for (int i = 0; i < m->n_curves; i++)
        for (int64_t k = 0; k < m->curves[i].n; k++)
            if (isfinite(m->curves[i].y[k])) {
                axis->lo = fmin(axis->lo, m->curves[i].y[k]);
                axis->hi = fmax(axis->hi, m->curves[i].y[k]);
            }
    if (!(axis->hi > axis->lo))
        axis->hi = axis->lo + 1;
    et_axis_round(axis, 4, false);
}

static double widest_name(const char *const *names, int64_t n)
{
    double widest = 0;

    for (int64_t i = 0; names && i < n; i++)
        widest = fmax(widest, et_text_width(names[i], ET_SVG_FONT));
    return fmin(widest, 180);
}

/* Places everything; returns where the colour scale begins. */
static double arrange(const et_heatmap *m, layout *l, double lo, double hi)
{
    double names = widest_name(m->row_names, m->rows), columns = widest_name(m->col_names, m->cols),
           scale_left;
    double curve_room = 0;

    l->x.lo = m->x0 < m->x1 ? m->x0 : 0;
    l->x.hi = m->x0 < m->x1 ? m->x1 : (double)m->cols;
    l->y.lo = m->y0 < m->y1 ? m->y0 : 0;
    l->y.hi = m->y0 < m->y1 ? m->y1 : (double)m->rows;
    l->scale.lo = lo;
    l->scale.hi = hi > lo ? hi : lo + 1;
    et_axis_ticks(&l->x, 8, !(m->x0 < m->x1));
    et_axis_ticks(&l->y, 6, !(m->y0 < m->y1));
    et_axis_ticks(&l->scale, 5, false);
    l->left = (m->y_label ? 26 : 4) + (m->row_names ? names : et_axis_text_width(&l->y)) + 10;
    l->left = fmax(l->left, m->left_room);
    if (m->n_curves > 0) {
        curve_range(m, &l->curve);
        curve_room = 8 + et_axis_text_width(&l->curve) + (m->curve_label ? 28 : 6);
    }
    scale_left = ET_SVG_WIDTH - 8 - (m->value_label ? 18 : 0) - et_axis_text_width(&l->scale) - SCALE_WIDTH -
                 6;
    l->right = fmin(scale_left - 14 - curve_room, ET_SVG_WIDTH - m->right_room);
    l->height = m->height > 0 ? m->height : 240;
    if (m->height <= 0 && m->row_names) { /* squares where they fit */
        double cell = fmin((l->right - l->left) / (double)m->cols, 36);

        l->height = fmin(fmax((double)m->rows * fmax(cell, 16), 60), 620);
        if (m->col_names && cell * (double)m->cols < l->right - l->left) {
            l->right = l->left + cell * (double)m->cols;
            scale_left = l->right + 14 + curve_room;
        }
    }
    et_axis_ticks(&l->scale, (int)fmin(l->height / 14, 5), false); /* as many as there is room for */
    l->turned = m->col_names && columns + 6 > (l->right - l->left) / (double)m->cols;
    l->top = 8 + (m->n_spans > 0 ? STRIP : 0) + 4;
    if (m->n_curves > 1)
        l->top += et_svg_legend_rows(m->curves, m->n_curves, l->right - l->left) * ET_LEGEND_ROW;
    l->bottom = l->top + l->height;
    l->x.a = l->left;
    l->x.b = l->right;
    l->y.a = m->rows_down ? l->top : l->bottom;
    l->y.b = m->rows_down ? l->bottom : l->top;
    l->scale.a = l->curve.a = l->bottom;
    l->scale.b = l->curve.b = l->top;
    l->below = l->turned ? columns * 0.71 + 16 : 26;
    return scale_left;
}

et_status et_svg_heatmap(et_strbuf *out, const et_heatmap *m)
{
    layout l;
    double lo = m->lo, hi = m->hi, scale_left;
    uint8_t *png;
    size_t size;
    et_status status;

    memset(&l, 0, sizeof l);
    if (check(m) != ET_OK)
        return et_error_status();
    if (!(lo < hi))
        et_finite_range(m->rows * m->cols, m->data, &lo, &hi);
    scale_left = arrange(m, &l, lo, hi);
    png = picture(m, lo, hi, !m->row_names && !m->rows_down, &size);
    if (!png)
        return et_error_status();
    et_svg_open(out, ET_SVG_WIDTH, l.bottom + l.below + (m->x_label ? 22 : 4), m->what);
    status = put_image(out, l.left, l.top, l.right - l.left, l.height, m->smooth, png, size);
    et_dealloc(png);
    if (status == ET_OK && m->overlay)
        status = put_overlay(out, m, &l);
    if (status == ET_OK)
        status = put_scale(out, m, &l, scale_left);
    if (status != ET_OK)
        return status;
    if (m->n_curves > 1)
        et_svg_legend(out, m->curves, m->n_curves, l.left, 2, l.right - l.left, true);
    put_curves(out, m, &l);
    if (m->col_names)
        put_names(out, m->col_names, m->cols, &l, true);
    else
        et_svg_x_axis(out, &l.x, l.top, l.bottom, NULL, false);
    if (m->x_label)
        et_svg_text(out, "e-name", (l.left + l.right) / 2, l.bottom + l.below + 13, "middle", 0, m->x_label);
    if (m->row_names) {
        put_names(out, m->row_names, m->rows, &l, false);
        if (m->y_label)
            et_svg_text(out, "e-name", 14, (l.top + l.bottom) / 2, "middle", -90, m->y_label);
    } else {
        et_svg_y_axis(out, &l.y, l.left, l.right, 14, m->y_label, false);
    }
    put_spans(out, m, &l);
    if (m->cursor)
        put_cursor(out, &l);
    et_svg_close(out);
    return out->failed ? ET_ENOMEM : ET_OK;
}
