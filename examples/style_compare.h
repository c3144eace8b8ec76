/* Generated pieces beside real ones: histograms, and what was copied. */
#ifndef ETUDE_EXAMPLES_STYLE_COMPARE_H
#define ETUDE_EXAMPLES_STYLE_COMPARE_H

#include "examples/style_data.h"

enum { STYLE_CLASSES = 12, STYLE_DURATIONS = 33, STYLE_INTERVALS = 25 };

/* Shares of a style's notes; each sums to 1 (0 without notes).
 * And means over its pieces: of style_measure. */
typedef struct style_histograms {
    double classes[STYLE_CLASSES];     /* pitch classes above the tonic of the piece's likeliest key */
    double durations[STYLE_DURATIONS]; /* in 32nd notes */
    double intervals[STYLE_INTERVALS]; /* from the note before, -12 .. 12 semitones, wider ones at the ends */
    int64_t notes, pieces;
    double clarity, range, on_grid; /* of the likeliest key; semitones; share of the notes */
} style_histograms;

/* Of pieces, and of the segments of one style among the items. */
et_status style_histogram(const et_segments *pieces, const et_event_options *o, style_histograms *out);
et_status style_histogram_items(const style_data *d, const et_indices *items, int32_t style,
                                style_histograms *out);

/* sum of min(p, q): 1 for equal histograms, 0 for those that share nothing. */
double style_overlap(int64_t n, const double *p, const double *q);

/* Every stretch of 16 notes of the training pieces:
 * its intervals and times between notes, wherever it is transposed to. */
typedef struct style_copies {
    uint64_t *stretch;
    int64_t n;
} style_copies;

enum { STYLE_STRETCH = 16 };

/* The stretches of the items, also across segments that follow each other in a piece.
 * Release with style_copies_free. */
et_status style_copies_of(const style_data *d, const et_indices *items, style_copies *out);
void style_copies_free(style_copies *c);
/* Whether n events (END may be among them) hold such a stretch. */
bool style_copied(const style_copies *c, const et_event *events, int64_t n);

#endif
