/* What music-data says about a piece of notes. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "datasets/synth.h"
#include "examples/common/progress.h"
#include "examples/common/textplot.h"
#include "examples/music_info.h"
#include "tensor/alloc.h"

enum { ROLL_WIDTH = 72, ROLL_HEIGHT = 12, PITCHES = 128, EVENTS = 8 /* changes that are listed */ };

static const char *pitch_name(int pitch, char text[8])
{
    static const char *const names[] = {"C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"};

    snprintf(text, 8, "%s%d", names[pitch % 12], pitch / 12 - 1);
    return text;
}

static const char *key_name(const et_midi_key *k)
{
    static const char *const major[] = {"Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C",
                                        "G",  "D",  "A",  "E",  "B",  "F#", "C#"};
    static const char *const minor[] = {"Ab", "Eb", "Bb", "F",  "C",  "G",  "D", "A",
                                        "E",  "B",  "F#", "C#", "G#", "D#", "A#"};

    return (k->minor ? minor : major)[k->sharps + 7];
}

static void print_clock(const et_midi *m)
{
    if (m->smpte_rate > 0)
        printf("  %d frames a second, %d ticks each\n", m->smpte_rate, m->smpte_ticks);
    for (int64_t i = 0; i < m->n_tempos && i < EVENTS; i++)
        printf("  %8.2f s  tempo %.1f\n", m->tempos[i].seconds, 6e7 / m->tempos[i].usec);
    if (m->n_tempos > EVENTS)
        printf("  and %" PRId64 " more tempo%s\n", m->n_tempos - EVENTS, et_plural(m->n_tempos - EVENTS));
    for (int64_t i = 0; i < m->n_meters && i < EVENTS; i++)
        printf("  %8.2f s  meter %d/%d\n", et_midi_seconds(m, (double)m->meters[i].tick),
               m->meters[i].numerator, m->meters[i].denominator);
    if (m->n_meters > EVENTS)
        printf("  and %" PRId64 " more meter%s\n", m->n_meters - EVENTS, et_plural(m->n_meters - EVENTS));
    for (int64_t i = 0; i < m->n_keys && i < EVENTS; i++)
        printf("  %8.2f s  key of %s %s\n", et_midi_seconds(m, (double)m->keys[i].tick),
               key_name(&m->keys[i]), m->keys[i].minor ? "minor" : "major");
    if (m->n_keys > EVENTS)
        printf("  and %" PRId64 " more key%s\n", m->n_keys - EVENTS, et_plural(m->n_keys - EVENTS));
}

static void print_tracks(const et_midi *m)
{
    for (int64_t t = 0; t < m->tracks.n; t++) {
        int64_t n = 0;
        int low = PITCHES, high = -1;
        const et_midi_note *first = NULL;
        char a[8], b[8];

        for (int64_t i = 0; i < m->n_notes; i++)
            if (m->notes[i].track == t) {
                first = first ? first : &m->notes[i];
                low = m->notes[i].pitch < low ? m->notes[i].pitch : low;
                high = m->notes[i].pitch > high ? m->notes[i].pitch : high;
                n++;
            }
        printf("  track %" PRId64 ": %" PRId64 " note%s", t, n, et_plural(n));
        if (first && first->channel == ET_MIDI_DRUMS)
            printf(", drums");
        else if (first)
            printf(", %s to %s, program %d (%s)", pitch_name(low, a), pitch_name(high, b), first->program,
                   et_synth_instrument(first->program));
        if (m->tracks.items[t][0]) {
            printf(", \"");
            et_text_print(stdout, m->tracks.items[t], 0);
            putchar('"');
        }
        putchar('\n');
    }
}

/* Time to the right, pitch upwards, drums left out. */
static void print_roll(const et_midi *m)
{
    int low = PITCHES, high = -1, rows;
    et_strbuf picture = ET_STRBUF_INIT;
    float *roll;
    char a[8], b[8];

    for (int64_t i = 0; i < m->n_notes; i++)
        if (m->notes[i].channel != ET_MIDI_DRUMS) {
            low = m->notes[i].pitch < low ? m->notes[i].pitch : low;
            high = m->notes[i].pitch > high ? m->notes[i].pitch : high;
        }
    if (high < 0 || m->end < 1)
        return;
    rows = high - low + 1;
    roll = et_alloc_zero((size_t)rows, ROLL_WIDTH * sizeof *roll);
    for (int64_t i = 0; roll && i < m->n_notes; i++) {
        const et_midi_note *note = &m->notes[i];
        double scale = (double)ROLL_WIDTH / (double)m->end;
        int begin = (int)((double)note->start * scale),
            end = (int)((double)(note->start + note->duration) * scale);

        if (note->channel == ET_MIDI_DRUMS)
            continue;
        begin = begin < ROLL_WIDTH ? begin : ROLL_WIDTH - 1;
        for (int x = begin; x <= (end > begin ? end - 1 : begin) && x < ROLL_WIDTH; x++)
            roll[(note->pitch - low) * ROLL_WIDTH + x] = 1;
    }
    if (roll && et_text_matrix(&picture, rows, ROLL_WIDTH, roll, ROLL_WIDTH,
                               rows < ROLL_HEIGHT ? rows : ROLL_HEIGHT, et_terminal_unicode()) == ET_OK)
        printf("  %s to %s over time:\n%s", pitch_name(low, a), pitch_name(high, b), picture.data);
    et_error_clear(); /* a picture that had no room is not missed */
    et_strbuf_free(&picture);
    et_dealloc(roll);
}

void music_print_midi(const char *path, const et_midi *m, int64_t list)
{
    et_text_print(stdout, path, 0);
    printf("\n  MIDI format %d, %" PRId64 " track%s, %" PRId64 " note%s, %" PRId64
           " ticks a quarter note, %.2f s\n",
           m->format, m->tracks.n, et_plural(m->tracks.n), m->n_notes, et_plural(m->n_notes), m->resolution,
           et_midi_seconds(m, (double)m->end));
    if (m->hanging > 0 || m->stray > 0)
        printf("  mended: %" PRId64 " note%s without an end, %" PRId64 " end%s without a note\n", m->hanging,
               et_plural(m->hanging), m->stray, et_plural(m->stray));
    print_clock(m);
    print_tracks(m);
    print_roll(m);
    if (list > 0 && m->n_notes > 0)
        printf("     start  duration  track  channel  pitch  velocity\n");
    for (int64_t i = 0; i < m->n_notes && i < list; i++) {
        const et_midi_note *n = &m->notes[i];
        double start = et_midi_seconds(m, (double)n->start),
               end = et_midi_seconds(m, (double)(n->start + n->duration));
        char name[8];

        printf("  %8.3f  %8.3f  %5d  %7d  %5s  %8d\n", start, end - start, (int)n->track, n->channel,
               pitch_name(n->pitch, name), n->velocity);
    }
}
