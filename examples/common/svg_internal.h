/* What the chart files share: axes, texts and numbers. */
#ifndef ETUDE_EXAMPLES_COMMON_SVG_INTERNAL_H
#define ETUDE_EXAMPLES_COMMON_SVG_INTERNAL_H

#include "examples/common/svg.h"

enum { ET_SVG_WIDTH = 680, ET_SVG_FONT = 13, ET_SVG_MAX_TICKS = 12, ET_SVG_N_COLOURS = 6 };

/* A linear axis: the value lo stands at pixel a, hi at b. */
typedef struct et_axis {
    double lo, hi, a, b;
    double step;      /* between ticks */
    double first;     /* the first tick */
    int n_ticks;
    int decimals;
} et_axis;

/** Pixel of a value. */
double et_axis_at(const et_axis *axis, double v);
/** Chooses about `want` ticks at round values within lo .. hi; `whole` forbids fractions. */
void et_axis_ticks(et_axis *axis, int want, bool whole);
/** Widens lo .. hi so that they are not equal and, with round, end on ticks. */
void et_axis_round(et_axis *axis, int want, bool whole);
/** Text of tick i. Returns buf. */
enum { ET_TICK_TEXT = 40 };
char *et_axis_text(char buf[ET_TICK_TEXT], const et_axis *axis, int i);
/** Widest tick text in px. */
double et_axis_text_width(const et_axis *axis);

/** Estimated width of a text in px at this font size. */
double et_text_width(const char *text, double size);

/** Opens and closes the <svg> element. */
void et_svg_open(et_strbuf *out, double width, double height, const char *what);
void et_svg_close(et_strbuf *out);
/** A coordinate with one decimal at most. */
void et_svg_num(et_strbuf *out, double v);
/* x="..." y="..." width="..." height="...", with a blank in front. */
void et_svg_box(et_strbuf *out, double x, double y, double w, double h);
/** <text>, escaped. anchor: "start", "middle" or "end"; `turn` in degrees around (x, y). */
void et_svg_text(et_strbuf *out, const char *css, double x, double y, const char *anchor, double turn,
                 const char *text);
void et_svg_line(et_strbuf *out, const char *css, double x1, double y1, double x2, double y2);
void et_svg_rect(et_strbuf *out, const char *css, double x, double y, double w, double h);

/** Ticks, grid lines and the axis' label: below the plot, or left of it. left..right and
 *  top..bottom are the plot's edges. */
void et_svg_x_axis(et_strbuf *out, const et_axis *x, double top, double bottom, const char *label, bool grid);
void et_svg_y_axis(et_strbuf *out, const et_axis *y, double left, double right, double label_x,
                   const char *label, bool grid);
/** The series as a path or points; what is outside in x is left out, in y moved to the edge.
 *  `over`: NULL, or the class of a line over a picture ("e-over", "e-halo"). */
void et_svg_series(et_strbuf *out, const et_series *s, int colour, const et_axis *x, const et_axis *y,
                   const char *over);
/** Rows of the legend (0 without names) and the legend itself, from (left, top).
 *  `over`: of lines over a picture. */
int et_svg_legend_rows(const et_series *series, int n, double width);
void et_svg_legend(et_strbuf *out, const et_series *series, int n, double left, double top, double width,
                   bool over);
enum { ET_LEGEND_ROW = 20 };

#endif
