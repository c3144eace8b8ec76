/* libFuzzer entry: clang -fsanitize=fuzzer,address,undefined. Any bytes must be read or refused, with no
 * more memory than they justify; what is read can be timed, put on a grid, cut into events and written, and
 * what was written is read again as the same number of notes. */
#include "config.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "datasets/events.h"
#include "datasets/midi.h"
#include "tensor/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Largest request so far. */
static bool watch(size_t bytes, void *user)
{
    size_t *most = user;

    if (bytes > *most)
        *most = bytes;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t most = 0, written;
    unsigned char *out;
    et_midi *m, *again;
    et_segments s;
    double before = -1;

    et_error_clear();
    et_set_alloc_hook(watch, &most);
    m = et_midi_parse(data, size, "fuzz");
    et_set_alloc_hook(NULL, NULL);
    /* the queues of sounding notes, or doubling arrays of notes that took three bytes each */
    if (most > 65536 + 32 * size || (m == NULL) == (et_error_status() == ET_OK))
        abort();
    if (!m)
        return 0;
    for (int64_t i = 0; i < m->n_notes; i++) {
        const et_midi_note *n = &m->notes[i];
        double t = et_midi_seconds(m, (double)n->start);
        if (et_midi_check_note(m, n) < 0 || n->start + n->duration > m->end || !(t >= before))
            abort();
        before = t;
    }
    if (et_segments_from_midi(m, NULL, &s) < 0)
        abort();
    et_segments_free(&s);
    if (et_midi_format(m, &out, &written) == ET_OK) {
        again = et_midi_parse(out, written, "again");
        if (!again || again->n_notes != m->n_notes || again->hanging != 0 || again->stray != 0)
            abort();
        et_midi_free(again);
        et_dealloc(out);
    }
    et_error_clear();
    if (isnan(et_midi_quantise(m, 4)))
        abort();
    et_midi_free(m);
    return 0;
}
