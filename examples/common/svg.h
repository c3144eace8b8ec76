/* Charts as SVG, to stand inside an HTML page. Colours and fonts come from the page's
 * style sheet (et_svg_css), so that one picture serves the light and the dark scheme.
 * The palette keeps its colours apart for colour-blind eyes, and series differ in their
 * dashes too. Equal input gives equal bytes. Texts are escaped here.
 *
 * Each function appends one <svg> element. Errors: EINVAL (sizes, missing data), ENOMEM;
 * the text is then incomplete. */
#ifndef ETUDE_EXAMPLES_COMMON_SVG_H
#define ETUDE_EXAMPLES_COMMON_SVG_H

#include <stdbool.h>
#include <stdint.h>

#include "examples/common/colormap.h"
#include "tensor/strbuf.h"

/* A line or a cloud of points. A value that is not finite breaks the line. */
typedef struct et_series {
    const char *name; /* in the legend; NULL: not there */
    int64_t n;
    const double *x;  /* [n], or NULL for 1, 2, 3, ... */
    const double *y;  /* [n] */
    bool points;      /* points instead of a line */
} et_series;

/* A vertical line with a text. */
typedef struct et_mark {
    double x;
    const char *text;
} et_mark;

/* Zeros are good defaults. */
typedef struct et_chart {
    const char *what;              /* read aloud by screen readers */
    const char *x_label, *y_label; /* or NULL */
    const et_series *series;
    int n_series;
    double x_min, x_max;           /* equal: from the data */
    double y_min, y_max;
    bool counts;                   /* y are whole numbers: the axis has no fractions */
    const et_mark *marks;
    int n_marks;
} et_chart;

/** Lines or points over axes with round ticks; a legend where a series has a name. */
et_status et_svg_lines(et_strbuf *out, const et_chart *chart);

typedef struct et_bar {
    const char *name;
    double value;  /* not finite: no bar, "-" */
    double spread; /* half length of the whisker; 0: none */
    int colour;    /* index into the palette */
} et_bar;

typedef struct et_bars {
    const char *what, *label; /* `label`: below the axis; or NULL */
    const et_bar *bars;
    int n_bars;
    double min, max;          /* axis; equal: from 0 to the data's end */
    const char *mark;         /* text at a line across all bars (a baseline), or NULL */
    double mark_at;
    int decimals;             /* of the values beside the bars */
} et_bars;

/** Horizontal bars from zero, each with its name and value. */
et_status et_svg_bars(et_strbuf *out, const et_bars *bars);

/** The confusion matrix counts [k, k], a row per true class: every cell with its count and
 *  its share of the row (up to 16 classes; then the count, above 32 colour alone), or of items [k], those of
 *  each class, where some of them have no answer. */
et_status et_svg_confusion(et_strbuf *out, int k, const char *const *names, const int64_t *counts,
                           const int64_t *items);

/* A stretch of the x axis, marked above the picture. */
typedef struct et_span {
    double from, to;
    const char *name; /* short: "1"; those that are too close together become "1, 2" */
} et_span;

typedef struct et_heatmap {
    const char *what, *x_label, *y_label, *value_label;
    int64_t rows, cols;            /* 1 .. 65535 */
    const float *data;             /* [rows, cols]; row 0 at the bottom unless row_names or rows_down */
    double lo, hi;                 /* range of the colours; equal: that of the data */
    double x0, x1, y0, y1;         /* what the axes show at the edges; equal: 0 and cols (rows) */
    const char *const *row_names;  /* [rows] texts instead of numbers, row 0 on top; or NULL */
    const char *const *col_names;  /* [cols], or NULL */
    bool rows_down;                /* row 0 on top, with numbers */
    et_colormap map;
    bool smooth;                   /* interpolate between elements instead of drawing squares */
    double height;                 /* of the picture in px; 0: chosen by the function */
    const et_series *curves;       /* drawn over the picture, x on its axis, y on a second one */
    int n_curves;
    const char *curve_label;       /* of the second axis */
    const et_span *spans;
    int n_spans;
    const float *overlay;          /* [cols] 0 .. 1: how strongly each column is tinted; or NULL */
    bool cursor;                   /* a line that et_report_listen moves along the x axis */
    double left_room, right_room;  /* px kept free beside the picture at least, so that pictures line up */
} et_heatmap;

/** A matrix as a picture (an embedded PNG) with axes and a colour scale: a spectrogram
 *  with attention drawn over it, an attention matrix, a piano roll. */
et_status et_svg_heatmap(et_strbuf *out, const et_heatmap *map);

/** The rules and colours that the charts need, for a <style> element. */
const char *et_svg_css(void);

#endif
