/* What music-tagger shows: figures by tag, maps of attention and contributions over the time of a clip with
 * its sound, report.html. */
#ifndef ETUDE_EXAMPLES_TAGGER_REPORT_H
#define ETUDE_EXAMPLES_TAGGER_REPORT_H

#include <stdio.h>

#include "examples/common/report.h"
#include "examples/tagger_judge.h"
#include "examples/tagger_maps.h"

/* A clip as it is shown. */
typedef struct tagger_clip {
    const char *name;
    et_tensor *x;          /* as the model reads it, [1, bands, rows] or [1, rows] */
    et_audio sound;        /* of the same stretch, mono; samples NULL: not heard */
    const uint8_t *truth;  /* [tags], or NULL */
    const et_span *spans;  /* what is known to happen when, in the units of the time axis */
    int n_spans;
    et_span event;         /* of an item that has one: the span, and its name */
    char event_name[64];
} tagger_clip;

/* An item as a clip of its first `rows` rows, with its event, owned by the open scope but for its sound
 * (et_audio_free). What is made stays where it is: spans point into it. */
et_status tagger_item_clip(const tagger_data *d, int64_t item, int64_t rows, tagger_clip *out);

/* Seconds (or rows where they have no duration) of a clip's stretch. */
double tagger_time(const tagger_data *d, double rows);

/* Adds a clip to the report: its spectrogram with the attention over it, the attention of each head, and the
 * contribution maps of `tags` (those of the n_tags that are given, -1: the likeliest ones); with its sound.
 * Writes FOLDER/NAME-attention.png and FOLDER/NAME-TAG.png, the spectrogram under the maps (folder NULL:
 * none). What the model says goes to `out` (NULL: not). */
et_status tagger_report_clip(et_report *r, FILE *out, const tagger_data *d, const tagger_clip *clip,
                             const tagger_maps *maps, const int64_t *tags, int n_tags, const char *folder);

/* Writes report.html: key figures, curves, the table of tags, maps of some items,
 * the model and its options. */
et_status tagger_report(et_run *run, const tagger_data *d, const tagger_verdict *v, const char *name,
                        const et_tagger *m, int64_t rows);

#endif
