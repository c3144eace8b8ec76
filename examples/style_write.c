/* Pieces that style-vae writes, in files and reports: see style_write.h. */
#include "config.h"

#include "examples/style_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "datasets/folder.h"
#include "datasets/synth.h"
#include "examples/common/piano_roll.h"
#include "tensor/alloc.h"
#include "tensor/file.h"

enum { RATE = 16000, GRID = 4 /* steps of a quarter note */ };

/* Krumhansl and Kessler 1982: how well each degree of the chromatic scale fits a major and a minor key. */
static const double profile[2][12] = {
    {6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88},
    {6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17},
};

/* Correlation of x with the profile rotated to the tonic. */
static double correlation(const double x[12], const double p[12], int tonic)
{
    double mx = 0, mp = 0, xy = 0, xx = 0, yy = 0;

    for (int i = 0; i < 12; i++) {
        mx += x[i] / 12;
        mp += p[i] / 12;
    }
    for (int i = 0; i < 12; i++) {
        const double a = x[(i + tonic) % 12] - mx, b = p[i] - mp;
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    return xx > 0 ? xy / sqrt(xx * yy) : 0;
}

void style_measure(const et_midi *m, style_measures *out)
{
    double classes[12] = {0};
    int64_t on_grid = 0;

    *out = (style_measures){.low = 127, .clarity = -1, .hanging = m->hanging + m->stray};
    for (int64_t i = 0; i < m->n_notes; i++) {
        const et_midi_note *n = &m->notes[i];
        if (n->channel == ET_MIDI_DRUMS)
            continue;
        out->notes++;
        classes[n->pitch % 12] += (double)n->duration;
        out->low = n->pitch < out->low ? n->pitch : out->low;
        out->high = n->pitch > out->high ? n->pitch : out->high;
        on_grid += n->start * GRID % m->resolution == 0;
        const double end = (double)(n->start + n->duration) / (double)m->resolution;
        out->beats = end > out->beats ? end : out->beats;
    }
    if (out->notes == 0) {
        out->low = 0;
        out->clarity = 0;
        return;
    }
    out->on_grid = (double)on_grid / (double)out->notes;
    for (int minor = 0; minor < 2; minor++)
        for (int tonic = 0; tonic < 12; tonic++) {
            const double r = correlation(classes, profile[minor], tonic);
            if (r > out->clarity) {
                out->clarity = r;
                out->tonic = tonic;
                out->minor = minor;
            }
        }
}

const char *style_key(const style_measures *s, char text[16])
{
    static const char *const names[] = {"C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"};

    if (!(s->clarity > 0)) /* no notes, or all twelve classes alike */
        return "no key";
    snprintf(text, 16, "%s %s", names[s->tonic], s->minor ? "minor" : "major");
    return text;
}

/* dir/name.ending, to be released with et_dealloc. */
static char *file_path(const char *dir, const char *name, const char *ending)
{
    et_strbuf path = ET_STRBUF_INIT;

    et_strbuf_printf(&path, "%s/%s.%s", dir, name, ending);
    return et_strbuf_take(&path);
}

static et_status write_sound(const char *path, const et_midi *piece, et_report *r, const char *caption)
{
    et_synth_options o = et_synth_defaults();
    et_audio sound = {NULL, 0};
    unsigned char *wav = NULL;
    size_t size = 0;

    o.rate = RATE;
    o.channels = 1;
    et_status status = et_synth(piece, &o, &sound);
    if (!status)
        status = et_audio_write_wav(path, sound.samples, sound.rate, ET_WAV_PCM16);
    if (!status && r)
        status = et_file_read(path, SIZE_MAX, &wav, &size);
    if (!status && r)
        et_report_audio(r, wav, size, caption);
    et_dealloc(wav);
    et_audio_free(&sound);
    return status;
}

et_status style_write(const char *dir, const char *name, const et_midi *piece, et_report *r,
                      const char *caption, style_measures *measures)
{
    char *midi = NULL, *wav = NULL, *svg = NULL;
    et_strbuf roll = ET_STRBUF_INIT;
    et_status status = et_folder_make(dir);

    if (!status && (!(midi = file_path(dir, name, "mid")) || !(wav = file_path(dir, name, "wav")) ||
                    !(svg = file_path(dir, name, "svg"))))
        status = ET_ENOMEM;
    if (!status)
        status = et_piano_roll(&roll, piece, caption);
    if (!status)
        status = et_midi_write(midi, piece);
    if (!status)
        status = et_file_write(svg, roll.data, roll.size);
    if (!status && r)
        et_report_svg(r, roll.data, NULL);
    if (!status)
        status = write_sound(wav, piece, r, caption);
    if (!status && measures) {
        et_midi *back = et_midi_read(midi);
        if (back)
            style_measure(back, measures);
        else
            status = et_error_status();
        et_midi_free(back);
    }
    et_dealloc(midi);
    et_dealloc(wav);
    et_dealloc(svg);
    et_strbuf_free(&roll);
    return status;
}

void style_measure_table(et_report *r, int n, const char *const *names, const style_measures *measures)
{
    enum { COLS = 8 };
    static const char *const header[COLS] = {"piece", "notes", "quarters", "key", "clarity of the key",
                                             "range (semitones)", "on the sixteenth grid", "hanging notes"};
    char (*text)[COLS][32] = et_alloc_zero((size_t)n + 1, sizeof *text);
    const char **cells = et_alloc_zero((size_t)n, COLS * sizeof *cells);

    for (int i = 0; text && cells && i < n; i++) {
        const style_measures *m = &measures[i];
        char key[16];
        snprintf(text[i][1], 32, "%" PRId64, m->notes);
        snprintf(text[i][2], 32, "%.1f", m->beats);
        snprintf(text[i][3], 32, "%s", style_key(m, key));
        snprintf(text[i][4], 32, "%.2f", m->clarity);
        snprintf(text[i][5], 32, "%d", m->high - m->low);
        snprintf(text[i][6], 32, "%.2f", m->on_grid);
        snprintf(text[i][7], 32, "%" PRId64, m->hanging);
        cells[i * COLS] = names[i];
        for (int c = 1; c < COLS; c++)
            cells[i * COLS + c] = text[i][c];
    }
    if (text && cells)
        et_report_table(r, "Measures of the files written", COLS, header, n, cells);
    et_dealloc(text);
    et_dealloc(cells);
}
