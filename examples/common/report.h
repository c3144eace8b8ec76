/* report.html: one page that holds everything, style, charts, pictures and sound, and
 * asks nothing of the network. It follows the reader's light or dark scheme, fits narrow
 * screens and prints. All texts are escaped here; equal calls give equal bytes.
 *
 * The first error sticks: later calls do nothing, and et_report_write returns it. */
#ifndef ETUDE_EXAMPLES_COMMON_REPORT_H
#define ETUDE_EXAMPLES_COMMON_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "examples/common/svg.h"
#include "tensor/json.h"

typedef struct et_report et_report;

/** Begins a page; `lead` is one sentence below the title, or NULL. NULL and ENOMEM on
 *  failure: the functions below accept that. Release with et_report_free. */
et_report *et_report_new(const char *title, const char *lead);
void et_report_free(et_report *r);

/** A heading that begins a section. */
void et_report_section(et_report *r, const char *heading);
/** A paragraph. */
void et_report_text(et_report *r, const char *fmt, ...) ET_PRINTF(2, 3);
/** Text in a fixed-width font: a model's summary. */
void et_report_code(et_report *r, const char *text);

/* A key figure: a large value with its name, and a note or NULL. */
typedef struct et_key {
    const char *name, *value, *note;
} et_key;
/** A row of tiles. */
void et_report_keys(et_report *r, const et_key *keys, int n);

/** A table of texts: header [cols] and cells [rows, cols], row after row. A column whose cells
 *  are numbers (or empty) is set to the right. caption may be NULL. */
void et_report_table(et_report *r, const char *caption, int cols, const char *const *header, int rows,
                     const char *const *cells);
/** A JSON object (the options of config.json) as a table of two columns. */
void et_report_object(et_report *r, const char *caption, const et_json_value *object);

/** Charts of svg.h with a caption (or NULL). */
void et_report_lines(et_report *r, const et_chart *chart, const char *caption);
void et_report_bars(et_report *r, const et_bars *bars, const char *caption);
void et_report_confusion(et_report *r, int k, const char *const *names, const int64_t *counts,
                         const int64_t *items, const char *caption);
void et_report_heatmap(et_report *r, const et_heatmap *map, const char *caption);
/** An <svg> element made elsewhere, as it is. */
void et_report_svg(et_report *r, const char *svg, const char *caption);
/** A PNG file; `alt` is read where it cannot be seen. */
void et_report_png(et_report *r, const void *png, size_t size, const char *alt, const char *caption);
/** A player for a WAV file held in memory. */
void et_report_audio(et_report *r, const void *wav, size_t size, const char *caption);

/** Pictures of one stretch of time, their x axes in seconds from the sound's beginning, above a player of the
 *  sound (a WAV file in memory; NULL: pictures alone). While it plays, a line moves over each picture; a
 *  click on one goes to that moment. Only one player of a page plays at a time. */
void et_report_listen(et_report *r, const et_heatmap *maps, int n, const void *wav, size_t size,
                      const char *caption);

/** The whole page as text, owned by the report; NULL after an error. */
const char *et_report_html(et_report *r, size_t *size);
/** Writes the page, in one step. Returns the first error of all calls. */
et_status et_report_write(et_report *r, const char *path);

#endif
