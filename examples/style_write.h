/* What style-vae writes: pieces as MIDI, WAV and piano roll, in files and in a report, and their measures. */
#ifndef ETUDE_EXAMPLES_STYLE_WRITE_H
#define ETUDE_EXAMPLES_STYLE_WRITE_H

#include "datasets/events.h"
#include "examples/common/report.h"

/* What can be said of a piece without hearing it. */
typedef struct style_measures {
    int64_t notes;
    double beats;     /* length in quarter notes */
    double clarity;   /* correlation of pitch classes, by duration, with the best of 24 keys' profiles */
    int tonic;        /* of that key, 0 is C; and whether it is minor */
    bool minor;
    int low, high;    /* MIDI pitches */
    double on_grid;   /* share of notes that begin on the sixteenth-note grid */
    int64_t hanging;  /* notes without an end in the file */
} style_measures;

/* Measures of a piece that was read (hanging is what reading had to mend). Drums are left out. */
void style_measure(const et_midi *m, style_measures *out);

/* Its key as text, "D major", or "no key" where no profile fits better than another. */
const char *style_key(const style_measures *s, char text[16]);

/* Writes dir/name.mid, .wav and .svg (dir is made where it is not there), reads the MIDI file back and
 * measures it. With a report, adds roll and player under `caption`. `measures` may be NULL. */
et_status style_write(const char *dir, const char *name, const et_midi *piece, et_report *r,
                      const char *caption, style_measures *measures);

/* A table of measures in a report: `names` and `measures` of n pieces. */
void style_measure_table(et_report *r, int n, const char *const *names, const style_measures *measures);

#endif
