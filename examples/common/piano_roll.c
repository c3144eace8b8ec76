#include "config.h"

#include "examples/common/piano_roll.h"

#include "examples/common/markup.h"

enum { WIDTH = 760, LEFT = 34, TOP = 20, BOTTOM = 20, ROW = 6, LEAST_ROWS = 12, MOST_LINES = 200 };

static const char *const colours[] = {"#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7"};
enum { N_COLOURS = sizeof colours / sizeof *colours };

et_status et_piano_roll(et_strbuf *out, const et_midi *m, const char *title)
{
    int low = 127, high = 0, numerator, denominator;

    for (int64_t i = 0; i < m->n_notes; i++)
        if (m->notes[i].channel != ET_MIDI_DRUMS) {
            low = m->notes[i].pitch < low ? m->notes[i].pitch : low;
            high = m->notes[i].pitch > high ? m->notes[i].pitch : high;
        }
    if (low > high)
        low = high = 60;
    while (high - low + 1 < LEAST_ROWS) {
        low -= low > 0;
        high += high < 127;
    }
    const int rows = high - low + 1, height = TOP + rows * ROW + BOTTOM;
    const double scale = (double)(WIDTH - LEFT - 4) / (double)(m->end > 0 ? m->end : 1);

    et_midi_main_meter(m, &numerator, &denominator);
    const double bar = 4.0 * (double)m->resolution * numerator / denominator;
    et_strbuf_printf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
                     "font-family=\"sans-serif\" font-size=\"10\">\n<title>", WIDTH, height);
    et_markup_escape(out, title);
    et_strbuf_printf(out,
                     "</title>\n<g stroke=\"#888\" stroke-opacity=\"0.45\" stroke-width=\"0.6\" "
                     "fill=\"none\">\n<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", LEFT, TOP,
                     WIDTH - LEFT - 4, rows * ROW);
    for (int k = 1; k <= MOST_LINES && k * bar < (double)m->end; k++)
        et_strbuf_printf(out, "<path d=\"M%.1f %dv%d\"/>\n", LEFT + k * bar * scale, TOP, rows * ROW);
    for (int p = low; p <= high; p++)
        if (p % 12 == 0)
            et_strbuf_printf(out, "<path d=\"M%d %dh%d\"/>\n", LEFT, TOP + (high - p + 1) * ROW,
                             WIDTH - LEFT - 4);
    et_strbuf_puts(out, "</g>\n<g fill=\"currentColor\" text-anchor=\"end\">\n");
    for (int p = low; p <= high; p++)
        if (p % 12 == 0)
            et_strbuf_printf(out, "<text x=\"%d\" y=\"%d\">C%d</text>\n", LEFT - 4,
                             TOP + (high - p + 1) * ROW, p / 12 - 1);
    for (int k = 1; k <= MOST_LINES && k * bar < (double)m->end; k++)
        if (k % 4 == 0)
            et_strbuf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">bar %d</text>\n",
                             LEFT + k * bar * scale, height - 6, k + 1);
    et_strbuf_printf(out, "<text x=\"%d\" y=\"13\" text-anchor=\"start\">", LEFT);
    et_markup_escape(out, title);
    et_strbuf_puts(out, "</text>\n</g>\n<g stroke-width=\"0\">\n");
    for (int64_t i = 0; i < m->n_notes; i++) {
        const et_midi_note *n = &m->notes[i];
        double width = (double)n->duration * scale - 0.5;

        if (n->channel == ET_MIDI_DRUMS)
            continue;
        width = width < 1.2 ? 1.2 : width;
        et_strbuf_printf(out,
                         "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"1\" fill=\"%s\"/>\n",
                         LEFT + (double)n->start * scale, TOP + (high - n->pitch) * ROW, width, ROW - 1,
                         colours[n->track % N_COLOURS]);
    }
    et_strbuf_puts(out, "</g>\n</svg>\n");
    return out->failed ? ET_ENOMEM : ET_OK;
}
