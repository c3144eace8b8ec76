/* Bar charts and confusion matrices: see svg.h. */
#include "config.h"

#include "examples/common/svg_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/markup.h"
#include "examples/common/textplot.h"

enum { BAR_ROW = 26, BAR_HEIGHT = 15, MAX_NAME_WIDTH = 240, MAX_CLASSES = 1000 };

/* Appends a rectangle with a tooltip. */
static void titled_rect(et_strbuf *out, const char *css, double opacity, double x, double y, double w,
                        double h, const char *title)
{
    et_strbuf_printf(out, "<rect class=\"%s\" fill-opacity=\"%.3f\"", css, opacity);
    et_svg_box(out, x, y, w, h);
    et_strbuf_puts(out, "><title>");
    et_markup_escape(out, title);
    et_strbuf_puts(out, "</title></rect>\n");
}

static void bar_row(et_strbuf *out, const et_bars *b, const et_bar *bar, const et_axis *x, double y)
{
    double zero = et_axis_at(x, fmin(fmax(0, x->lo), x->hi)), at, end = zero;
    char value[ET_TICK_TEXT], css[16];

    et_svg_text(out, "e-name", x->a - 10, y + 4.5, "end", 0, bar->name);
    if (!isfinite(bar->value)) {
        et_svg_text(out, NULL, zero + 6, y + 4.5, "start", 0, "\xE2\x80\x93");
        return;
    }
    at = et_axis_at(x, fmin(fmax(bar->value, x->lo), x->hi));
    snprintf(css, sizeof css, "e-f%d",
             (bar->colour % ET_SVG_N_COLOURS + ET_SVG_N_COLOURS) % ET_SVG_N_COLOURS);
    et_svg_rect(out, css, fmin(zero, at), y - BAR_HEIGHT / 2.0, fabs(at - zero), BAR_HEIGHT);
    end = fmax(zero, at);
    if (bar->spread > 0) {
        double lo = et_axis_at(x, fmax(bar->value - bar->spread, x->lo));
        double hi = et_axis_at(x, fmin(bar->value + bar->spread, x->hi));

        et_svg_line(out, "e-whisker", lo, y, hi, y);
        et_svg_line(out, "e-whisker", lo, y - 4, lo, y + 4);
        et_svg_line(out, "e-whisker", hi, y - 4, hi, y + 4);
        end = fmax(end, hi);
        snprintf(value, sizeof value, "%.*f \xC2\xB1 %.*f", b->decimals, bar->value, b->decimals,
                 bar->spread);
    } else {
        snprintf(value, sizeof value, "%.*f", b->decimals, bar->value);
    }
    et_svg_rect(out, "e-back", end + 4, y - 8, et_text_width(value, ET_SVG_FONT) + 4, 16);
    et_svg_text(out, "e-name", end + 6, y + 4.5, "start", 0, value);
}

et_status et_svg_bars(et_strbuf *out, const et_bars *b)
{
    et_axis x = {.lo = 0, .hi = 0};
    double names = 0, values = 0, top = b->mark ? 24 : 8, bottom;

    if (b->n_bars < 1 || !b->bars || b->decimals < 0 || b->decimals > 9)
        return et_raise(ET_EINVAL, "bars: no data, or decimals outside 0 .. 9");
    for (int i = 0; i < b->n_bars; i++) {
        const et_bar *bar = &b->bars[i];
        double spread = bar->spread > 0 ? bar->spread : 0;
        char text[2 * ET_TICK_TEXT];

        names = fmax(names, et_text_width(bar->name, ET_SVG_FONT));
        if (!isfinite(bar->value))
            continue;
        x.lo = fmin(x.lo, bar->value - spread);
        x.hi = fmax(x.hi, bar->value + spread);
        snprintf(text, sizeof text, "%.*f%s%.*f", b->decimals, bar->value, spread > 0 ? " + " : "",
                 spread > 0 ? b->decimals : 0, spread);
        values = fmax(values, et_text_width(text, ET_SVG_FONT));
    }
    if (b->mark && isfinite(b->mark_at)) {
        x.lo = fmin(x.lo, b->mark_at);
        x.hi = fmax(x.hi, b->mark_at);
    }
    if (b->min < b->max) {
        x.lo = b->min;
        x.hi = b->max;
        et_axis_ticks(&x, 6, false);
    } else {
        if (x.lo == x.hi)
            x.hi = 1;
        et_axis_round(&x, 6, false);
    }
    names = fmin(names, MAX_NAME_WIDTH);
    bottom = top + b->n_bars * BAR_ROW + 4;
    x.a = 8 + names + 10;
    x.b = ET_SVG_WIDTH - values - 16;
    et_svg_open(out, ET_SVG_WIDTH, bottom + (b->label ? 50 : 28), b->what);
    et_svg_x_axis(out, &x, top, bottom, b->label, true);
    if (b->mark && b->mark_at >= x.lo && b->mark_at <= x.hi) {
        double at = et_axis_at(&x, b->mark_at), half = et_text_width(b->mark, 11) / 2;

        et_svg_line(out, "e-mark", at, top - 4, at, bottom);
        et_svg_text(out, "e-small", fmin(fmax(at, half + 4), ET_SVG_WIDTH - half - 4), top - 9, "middle",
                    0, b->mark);
    }
    for (int i = 0; i < b->n_bars; i++)
        bar_row(out, b, &b->bars[i], &x, top + 2 + (i + 0.5) * BAR_ROW);
    if (x.lo < 0)
        et_svg_line(out, "e-axis", et_axis_at(&x, 0), top, et_axis_at(&x, 0), bottom);
    et_svg_close(out);
    return out->failed ? ET_ENOMEM : ET_OK;
}

/* --- confusion ---------------------------------------------------------------------- */

/* One cell: its colour deepens with the share of its row. */
static void confusion_cell(et_strbuf *out, int k, const char *const *names, int row, int col, int64_t count,
                           int64_t total, double x, double y, double size)
{
    double share = total > 0 ? (double)count / (double)total : 0, opacity = 0.06 + 0.94 * pow(share, 0.75);
    const char *css = opacity < 0.6 ? "e-lo" : opacity < 0.82 ? "e-mid" : "e-hi";
    char small[24], text[48], title[256];

    snprintf(title, sizeof title, "%.*s taken for %.*s: %" PRId64 " of %" PRId64 " (%.1f %%)",
             et_text_cut(names[row], 80), names[row], et_text_cut(names[col], 80), names[col], count, total,
             100 * share);
    titled_rect(out, count > 0 ? "e-cell" : "e-cell0", count > 0 ? opacity : 0.45, x, y, size, size, title);
    if (k > 32 || count == 0)
        return;
    snprintf(text, sizeof text, "%" PRId64, count);
    if (k > 16 || size < 34) {
        snprintf(small, sizeof small, "%s e-small", css);
        et_svg_text(out, small, x + size / 2, y + size / 2 + 4, "middle", 0, text);
        return;
    }
    et_svg_text(out, css, x + size / 2, y + size / 2 - 1, "middle", 0, text);
    snprintf(small, sizeof small, "%s e-small", css);
    snprintf(text, sizeof text, "%.0f%%", 100 * share);
    et_svg_text(out, small, x + size / 2, y + size / 2 + 13, "middle", 0, text);
}

et_status et_svg_confusion(et_strbuf *out, int k, const char *const *names, const int64_t *counts,
                           const int64_t *items)
{
    double widest = 0, size, left, top, side;
    bool turned;

    if (k < 1 || k > MAX_CLASSES || !names || !counts)
        return et_raise(ET_EINVAL, "confusion matrix: 1 .. %d classes with names and counts are needed",
                        MAX_CLASSES);
    for (int i = 0; i < k; i++)
        widest = fmax(widest, et_text_width(names[i], ET_SVG_FONT));
    widest = fmin(widest, 180);
    left = 30 + widest + 8;
    size = fmin(56, (ET_SVG_WIDTH - left - 20) / k);
    turned = widest > size - 6;
    top = 28 + (turned ? fmin(widest * 0.71, 130) + 14 : 20);
    side = k * size;
    et_svg_open(out, ET_SVG_WIDTH, top + side + 8, "confusion matrix");
    et_svg_text(out, "e-strong", left + side / 2, 14, "middle", 0, "predicted");
    et_svg_text(out, "e-strong", 14, top + side / 2, "middle", -90, "true");
    for (int i = 0; i < k && (k <= 64); i++) {
        double middle = (i + 0.5) * size;

        if (size >= 12 || i % 2 == 0) {
            et_svg_text(out, "e-name", left - 8, top + middle + 4.5, "end", 0, names[i]);
            if (turned)
                et_svg_text(out, "e-name", left + middle + 2, top - 8, "start", -45, names[i]);
            else
                et_svg_text(out, "e-name", left + middle, top - 8, "middle", 0, names[i]);
        }
    }
    for (int r = 0; r < k; r++) {
        int64_t total = 0;

        for (int c = 0; c < k; c++) {
            if (counts[r * k + c] < 0)
                return et_raise(ET_EINVAL, "confusion matrix: a negative count");
            total += counts[r * k + c];
        }
        total = items ? items[r] : total;
        for (int c = 0; c < k; c++)
            confusion_cell(out, k, names, r, c, counts[r * k + c], total, left + c * size, top + r * size,
                           size);
    }
    et_svg_close(out);
    return out->failed ? ET_ENOMEM : ET_OK;
}
