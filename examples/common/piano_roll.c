/* Piano rolls as SVG: see piano_roll.h. */
#include "config.h"

#include "examples/common/piano_roll.h"

#include "examples/common/markup.h"

enum { WIDTH = 760, LEFT = 34, TOP = 20, BOTTOM = 20, ROW = 6, LEAST_ROWS = 12, MOST_LINES = 200 };

static const char *const colours[] = {"#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7"};
enum { N_COLOURS = sizeof colours / sizeof *colours };

/* The page's coordinates. */
typedef struct roll {
    int low, high;     /* pitches of the lowest and the highest row */
    double scale, bar; /* of a tick, in pixels; ticks of a bar */
} roll;

static int row_of(const roll *p, int pitch) { return TOP + (p->high - pitch) * ROW; }

/* All pitches there are, and LEAST_ROWS at least. */
static roll layout(const et_midi *m)
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
    et_midi_main_meter(m, &numerator, &denominator);
    return (roll){.low = low, .high = high,
                  .scale = (double)(WIDTH - LEFT - 4) / (double)(m->end > 0 ? m->end : 1),
                  .bar = 4.0 * (double)m->resolution * numerator / denominator};
}

/* Lines at bars and octaves. */
static void put_grid(et_strbuf *out, const et_midi *m, const roll *p)
{
    const int rows = p->high - p->low + 1;

    et_strbuf_printf(out,
                     "<g stroke=\"#888\" stroke-opacity=\"0.45\" stroke-width=\"0.6\" fill=\"none\">\n"
                     "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", LEFT, TOP, WIDTH - LEFT - 4,
                     rows * ROW);
    for (int k = 1; k <= MOST_LINES && k * p->bar < (double)m->end; k++)
        et_strbuf_printf(out, "<path d=\"M%.1f %dv%d\"/>\n", LEFT + k * p->bar * p->scale, TOP, rows * ROW);
    for (int pitch = p->low; pitch <= p->high; pitch++)
        if (pitch % 12 == 0)
            et_strbuf_printf(out, "<path d=\"M%d %dh%d\"/>\n", LEFT, row_of(p, pitch) + ROW,
                             WIDTH - LEFT - 4);
    et_strbuf_puts(out, "</g>\n");
}

/* The names of octaves, every fourth bar's number, and the title. */
static void put_labels(et_strbuf *out, const et_midi *m, const roll *p, int height, const char *title)
{
    et_strbuf_puts(out, "<g fill=\"currentColor\" text-anchor=\"end\">\n");
    for (int pitch = p->low; pitch <= p->high; pitch++)
        if (pitch % 12 == 0)
            et_strbuf_printf(out, "<text x=\"%d\" y=\"%d\">C%d</text>\n", LEFT - 4, row_of(p, pitch) + ROW,
                             pitch / 12 - 1);
    for (int k = 1; k <= MOST_LINES && k * p->bar < (double)m->end; k++)
        if (k % 4 == 0)
            et_strbuf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">bar %d</text>\n",
                             LEFT + k * p->bar * p->scale, height - 6, k + 1);
    et_strbuf_printf(out, "<text x=\"%d\" y=\"13\" text-anchor=\"start\">", LEFT);
    et_markup_escape(out, title);
    et_strbuf_puts(out, "</text>\n</g>\n");
}

et_status et_piano_roll(et_strbuf *out, const et_midi *m, const char *title)
{
    const roll p = layout(m);
    const int height = TOP + (p.high - p.low + 1) * ROW + BOTTOM;

    et_strbuf_printf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
                     "font-family=\"sans-serif\" font-size=\"10\">\n<title>", WIDTH, height);
    et_markup_escape(out, title);
    et_strbuf_puts(out, "</title>\n");
    put_grid(out, m, &p);
    put_labels(out, m, &p, height, title);
    et_strbuf_puts(out, "<g stroke-width=\"0\">\n");
    for (int64_t i = 0; i < m->n_notes; i++) {
        const et_midi_note *n = &m->notes[i];
        double width = (double)n->duration * p.scale - 0.5;

        if (n->channel == ET_MIDI_DRUMS)
            continue;
        width = width < 1.2 ? 1.2 : width;
        et_strbuf_printf(out,
                         "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"1\" fill=\"%s\"/>\n",
                         LEFT + (double)n->start * p.scale, row_of(&p, n->pitch), width, ROW - 1,
                         colours[n->track % N_COLOURS]);
    }
    et_strbuf_puts(out, "</g>\n</svg>\n");
    return out->failed ? ET_ENOMEM : ET_OK;
}
