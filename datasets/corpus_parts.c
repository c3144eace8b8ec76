/* What the parts of a song play in a bar. */
#include "config.h"

#include <string.h>

#include "datasets/corpus_internal.h"

#define CHECK(call)                 \
    do {                            \
        et_status status_ = (call); \
        if (status_ < 0)            \
            return status_;         \
    } while (0)

static bool chance(composer *c, double p) { return et_rng_uniform(&c->rng) < p; }

/* --- drums -------------------------------------------------------------------------------- */

/* Sixteen steps for each of three rows: kick, snare, cymbal. X is loud, x is not, o is soft. Bars of twelve
 * steps take the first twelve. */
typedef struct pattern {
    const char *kick, *snare, *cymbal;
    uint8_t snare_key, cymbal_key;
    double cymbal_level;
} pattern;

static const pattern patterns[][2] = {
    [SHUFFLE] = {{"X.......x.......", "....X.......X...", "x.x.x.x.x.x.x.x.", 38, 42, 0.6},
                 {"X.....x.x.......", "....X.......X..o", "x.x.x.x.x.x.x.x.", 38, 51, 0.6}},
    [TRAIN] = {{"X.......X.......", "o.ooX.ooo.ooX.oo", "................", 38, 42, 0.4},
               {"X...x...X...x...", "..x...X...x...X.", "x.x.x.x.x.x.x.x.", 37, 42, 0.4}},
    [FOUR_FLOOR] = {{"X...X...X...X...", "....X.......X...", "..X...X...X...X.", 39, 46, 0.7},
                    {"X...X...X...X..x", "....X.......X...", "x.Xxx.Xxx.Xxx.Xx", 38, 42, 0.6}},
    [BOOM_BAP] = {{"X.....x...X.....", "....X.......X...", "x.x.x.x.x.x.x.x.", 38, 42, 0.5},
                  {"X..x......Xx....", "....X..o....X...", "x.x.x.xxx.x.x.x.", 38, 42, 0.5}},
    [TRAP] = {{"X......x..x.....", "........X.......", "x.x.xxx.x.x.x.xx", 39, 42, 0.5},
              {"X.....x.....x...", "........X.......", "xxx.x.x.xxxxx.x.", 39, 42, 0.5}},
    [SWING_RIDE] = {{"o.......o.......", "....o.....o.....", "X...X.x.X...X.x.", 38, 51, 0.7},
                    {"o.....o.........", "......o.......o.", "X...X.x.X...X.x.", 38, 51, 0.7}},
    [BRUSHES] = {{"o.......o.......", "o.o.X.o.o.o.X.o.", "................", 69, 42, 0.4},
                 {"........o.......", "x...X.o.x...X.o.", "....x.......x...", 69, 44, 0.4}},
    [DOUBLE_KICK] = {{"XxXxXxXxXxXxXxXx", "....X.......X...", "X...X...X...X...", 38, 49, 0.5},
                     {"X.xxX.xxX.xxX.xx", "....X.......X...", "X.x.X.x.X.x.X.x.", 38, 51, 0.5}},
    [HALF_TIME] = {{"X.....x...x.....", "........X.......", "x...x...x...x...", 38, 51, 0.6},
                   {"X..X.....xX.....", "........X.......", "x.x.x.x.x.x.x.x.", 38, 46, 0.5}},
    [STRAIGHT] = {{"X.......X.x.....", "....X.......X...", "x.x.x.x.x.x.x.x.", 38, 42, 0.6},
                  {"X.x.....X.......", "....X.......X...", "x.x.x.x.x.x.x.x.", 38, 42, 0.6}},
    [DRIVING] = {{"X.x.X.x.X.x.X.x.", "....X.......X...", "X.x.X.x.X.x.X.x.", 38, 46, 0.5},
                 {"X...X...X...X...", "..X...X...X...X.", "x.x.x.x.x.x.x.x.", 38, 51, 0.6}},
    [ONE_DROP] = {{"........X.......", "........X.......", "x.x.x.x.x.x.x.x.", 37, 42, 0.6},
                  {"........X.....o.", "........X....o..", "x..xx..xx..xx..x", 37, 42, 0.6}},
    [STEPPERS] = {{"X...X...X...X...", "........X.......", "x.x.x.x.x.x.x.x.", 37, 42, 0.6},
                  {"X...X...X...X...", "..o...o.X.....o.", "x.xxx.x.x.xxx.x.", 37, 42, 0.6}},
    [BALLAD] = {{"X.........x.....", "........X.......", "x...x...x...x...", 37, 42, 0.5},
                {"X......x........", "....X.......X...", "x.x.x.x.x.x.x.x.", 37, 42, 0.5}},
};

static double level_of(char mark) { return mark == 'X' ? 1 : mark == 'x' ? 0.75 : mark == 'o' ? 0.45 : 0; }

static et_status row(composer *c, const char *marks, int key, double level)
{
    for (int i = 0; i < c->s->steps; i++) {
        double strength = level * level_of(marks[i]);
        if (strength > 0 && !chance(c, 0.03)) /* one is missed now and then */
            CHECK(corpus_note(c, i, 1, key, strength));
    }
    return ET_OK;
}

et_status corpus_drums(composer *c)
{
    const pattern *p = &patterns[c->s->drums][(c->s->stream >> 20) % 2];
    bool fill = c->bar % 4 == 3 && chance(c, 0.5);

    CHECK(row(c, p->kick, 36, 0.95));
    CHECK(row(c, p->cymbal, p->cymbal_key, p->cymbal_level));
    if (c->bar % 8 == 0 && chance(c, 0.4))
        CHECK(corpus_note(c, 0, 2, 49, 0.6));
    if (!fill)
        return row(c, p->snare, p->snare_key, 0.85);
    for (int i = c->s->steps - 4; i < c->s->steps; i++) /* down the toms */
        CHECK(corpus_note(c, i, 1, 50 - 2 * (i - c->s->steps + 4) - (i % 2), 0.8));
    return ET_OK;
}

/* --- bass ---------------------------------------------------------------------------------- */

/* A degree's pitch in the octave from E below the bass staff. */
static int low(const composer *c, int degree)
{
    int p = corpus_degree(c->s, degree);

    return 28 + ((p - 28) % 12 + 12) % 12;
}

/* Marks as in drums: 1 the root, 5 the fifth, 8 the octave, 3 the third; a dot goes on. */
static et_status figure(composer *c, const char *marks, double held, double velocity)
{
    int steps = c->s->steps;

    for (int i = 0; i < steps; i++) {
        int length = 1, pitch;
        if (marks[i] == '.')
            continue;
        while (i + length < steps && marks[i + length] == '.')
            length++;
        pitch = marks[i] == '5'   ? low(c, c->degree + 4)
                : marks[i] == '3' ? low(c, c->degree + 2)
                                  : low(c, c->degree) + (marks[i] == '8' ? 12 : 0);
        CHECK(corpus_note(c, i, held * length, pitch, velocity * (i % 4 == 0 ? 1 : 0.9)));
    }
    return ET_OK;
}

/* Four beats from this chord's root towards the next one's,
 * by steps of the scale or a half tone at the end. */
static et_status walk(composer *c)
{
    int beats = c->s->steps / 4, here = low(c, c->degree), next = low(c, c->next);
    static const int tones[4] = {0, 2, 4, 6};

    for (int b = 0; b < beats; b++) {
        int pitch = b == 0 ? here : low(c, c->degree + tones[et_rng_below(&c->rng, 4)]);
        if (b == beats - 1)
            pitch = next + (chance(c, 0.5) ? 1 : -1);
        CHECK(corpus_note(c, 4 * b, 3.6, pitch, b % 2 == 0 ? 0.85 : 0.8));
    }
    return ET_OK;
}

et_status corpus_bass(composer *c)
{
    bool other = (c->s->stream >> 21) % 2;

    switch (c->s->bass) {
    case ROOTS:
        return figure(c, other ? "1..............." : "1.......1.......", 0.95, 0.8);
    case ROOT_FIFTH:
        return figure(c, "1.......5.......", 0.55, 0.85);
    case WALKING:
        return walk(c);
    case PUMPING:
        return figure(c, other ? "1.1.1.1.1.1.1.1." : "1.1.1.1.1.1.5.3.", 0.8, 0.8);
    case OCTAVES:
        return figure(c, other ? "1.8.1.8.1.8.1.8." : "1.881.881.881.88", 0.7, 0.85);
    case BROKEN:
        return figure(c, other ? "1......1..1....." : "1..1......5.....", 0.9, 0.95);
    case RIFF:
        return figure(c, other ? "1.....3.5.5...1." : "1..1..5...8.5.3.", 0.75, 0.9);
    case NO_BASS:
        break;
    }
    return ET_OK;
}

/* --- chords ----------------------------------------------------------------------------------- */

static et_status strike(composer *c, double step, double steps, double velocity)
{
    for (int i = 0; i < c->n_pitches; i++)
        CHECK(corpus_note(c, step + 0.05 * i, steps, c->pitches[i], velocity));
    return ET_OK;
}

static et_status strikes(composer *c, const char *marks, double held, double velocity)
{
    int steps = c->s->steps;

    for (int i = 0; i < steps; i++) {
        int length = 1;
        if (marks[i] == '.')
            continue;
        while (i + length < steps && marks[i + length] == '.')
            length++;
        CHECK(strike(c, i, held * length, velocity * level_of(marks[i])));
    }
    return ET_OK;
}

/* One tone after the other: up and down, or low high middle high. */
static et_status broken(composer *c, bool alberti)
{
    static const uint8_t up_down[8] = {0, 1, 2, 3, 2, 1, 2, 1}, classic[8] = {0, 2, 1, 2, 0, 2, 1, 2};
    int n = c->n_pitches;

    for (int i = 0; i < c->s->steps / 2; i++) {
        int k = (alberti ? classic : up_down)[i % 8];
        int pitch = k < n ? c->pitches[k] : c->pitches[0] + 12;
        CHECK(corpus_note(c, 2 * i, alberti ? 1.9 : 2.6, pitch, i % 4 == 0 ? 0.65 : 0.55));
    }
    return ET_OK;
}

et_status corpus_chords(composer *c)
{
    switch (c->s->comp) {
    case HELD:
        return strikes(c, "x...............", 0.97, 0.75);
    case QUARTERS:
        return strikes(c, "x...x...x...x...", 0.85, 0.75);
    case OFF_BEATS:
        return strikes(c, "..x...x...x...x.", 0.3, 0.85);
    case BACK_BEATS:
        return strikes(c, "....x.......x...", 0.4, 0.85);
    case EIGHTHS:
        return strikes(c, "X.x.x.x.X.x.x.x.", 0.8, 0.7);
    case GALLOP:
        return strikes(c, "X.xxX.xxX.xxX.xx", 0.7, 0.75);
    case CHARLESTON:
        return strikes(c, chance(c, 0.6) ? "X.....x........." : "......x.....x...", 0.5, 0.75);
    case SYNCOPATED:
        return strikes(c, (c->s->stream >> 20) % 3 ? "x..x..x...x..x.." : "x..x....x.x...x.", 0.7, 0.75);
    case ARPEGGIO:
        return broken(c, false);
    case ALBERTI:
        return broken(c, true);
    }
    return ET_OK;
}

et_status corpus_pad(composer *c)
{
    for (int i = 0; i < c->n_pitches && i < 3; i++)
        CHECK(corpus_note(c, 0, c->s->steps, c->pitches[i] + 12, 0.5));
    return ET_OK;
}

/* --- the melody --------------------------------------------------------------------------------- */

/* The rhythm of a motif comes from its own stream, so that bars repeat it (a a b a);
 * its pitches go on from the chord of the bar. */
et_status corpus_lead(composer *c)
{
    const song *s = c->s;
    int motif = c->bar % 4 == 2 ? 1 : 0, steps = s->steps;
    et_rng rhythm = et_rng_make(s->seed, s->stream + 1 + (uint64_t)motif + 2 * (uint64_t)(c->bar / 8 % 4));
    int degree = c->degree + 2 * (int)et_rng_below(&rhythm, 3), start = 0;
    bool struck[16] = {false};

    for (int i = 0; i < steps; i++) {
        double here = i % 4 == 0 ? 1.7 : i % 2 == 0 ? 1.1 : 0.45; /* beats before eighths before sixteenths */
        struck[i] = et_rng_uniform(&rhythm) < s->density * here;
    }
    if (c->bar % 4 == 3) /* a breath at the end of a phrase */
        for (int i = steps - 4; i < steps; i++)
            struck[i] = false;
    while (corpus_degree(s, degree) < s->low)
        degree += 7;
    for (int i = 0; i < steps; i++) {
        int length = 1, move;
        double u = et_rng_uniform(&rhythm);
        if (!struck[i])
            continue;
        while (i + length < steps && !struck[i + length])
            length++;
        if (length > 8)
            length = 8;
        move = u < s->leaps ? 3 + (int)(u / s->leaps * 3) : u < 0.85 ? 1 : 2;
        if (et_rng_uniform(&rhythm) < 0.5)
            move = -move;
        if (start++ > 0)
            degree += move;
        if (i % 8 == 0 && chance(c, 0.6)) /* strong beats lean to tones of the chord */
            degree -= (degree - c->degree) % 2;
        if (corpus_degree(s, degree) > s->high)
            degree -= 7;
        if (corpus_degree(s, degree) < s->low)
            degree += 7;
        CHECK(corpus_note(c, i, s->held * length, corpus_degree(s, degree), i % 4 == 0 ? 0.9 : 0.8));
    }
    return ET_OK;
}
