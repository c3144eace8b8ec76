/* Progress of a long job: a bar that redraws itself on a terminal, plain lines else.
 *
 *     epoch 3/20 ━━━━━━━━━━──────────  52%  1840/s  loss 0.412  accuracy 0.83  0:07 left
 *     epoch 3/20  1843/s  loss 0.398  accuracy 0.84  15.2 s
 *
 * The second line stays when the job has ended, and is all there is where the output is
 * no terminal (or TERM is dumb), but for a line every half minute. NO_COLOR takes the
 * colours away. */
#ifndef ETUDE_EXAMPLES_COMMON_PROGRESS_H
#define ETUDE_EXAMPLES_COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tensor/error.h"

enum { ET_PROGRESS_TEXT = 160 };

/* Fields may be set between et_progress_begin and the first step; tests do. */
typedef struct et_progress {
    FILE *out;
    bool terminal, colour, unicode;
    int width;             /* columns; 0: asked of the terminal at each drawing */
    double (*now)(void);   /* seconds, from any origin */
    char label[64];
    char figures[ET_PROGRESS_TEXT];
    int64_t total, done;   /* in items (samples); total 0: unknown */
    double began, drawn;   /* when it began and was last shown; drawn 0: never */
    bool drawing;          /* a bar stands on the current line */
} et_progress;

/** Begins a job of `total` items, shown on `out`. */
void et_progress_begin(et_progress *p, FILE *out, int64_t total, const char *label_fmt, ...) ET_PRINTF(4, 5);

/** `done` items are done; the format gives the figures to show ("loss 0.412  accuracy
 *  0.83") and may be "". Draws at most ten times a second. */
void et_progress_step(et_progress *p, int64_t done, const char *fmt, ...) ET_PRINTF(3, 4);

/** Ends the job: the bar gives way to one line with the figures, the mean rate and the
 *  time it took. */
void et_progress_end(et_progress *p, const char *fmt, ...) ET_PRINTF(2, 3);

/** Prints a line without disturbing the bar. */
void et_progress_note(et_progress *p, const char *fmt, ...) ET_PRINTF(2, 3);

/** Ends the job without a line (after Ctrl-C or an error): removes the bar. */
void et_progress_drop(et_progress *p);

/** Columns of the terminal behind out: asked of it, else COLUMNS, else 80. */
int et_terminal_width(FILE *out);
/** Whether out is a terminal that can redraw a line; colours; block characters. */
bool et_terminal_is(FILE *out);
bool et_terminal_colour(FILE *out);
bool et_terminal_unicode(void);
/** Monotonic seconds. */
double et_seconds(void);
/** "0.8 s", "15.2 s", "3:07", "1:02:45". Returns buf. */
enum { ET_DURATION_TEXT = 32 };
char *et_duration_text(char buf[ET_DURATION_TEXT], double seconds);

#endif
