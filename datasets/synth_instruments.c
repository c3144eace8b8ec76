/* The instruments, and which of them plays which General MIDI program. */
#include "config.h"

#include "datasets/synth_internal.h"

static const float organ[] = {1, 0.7f, 0.5f, 0.4f, 0, 0.25f, 0, 0.2f};
static const float church[] = {1, 0.8f, 0.3f, 0.5f, 0.15f, 0.2f, 0.1f, 0.3f, 0, 0.05f, 0, 0.1f, 0, 0,
                               0, 0.1f};
static const float accordion[] = {0.8f, 0.5f, 0.8f, 0.4f, 0.5f, 0.35f, 0.25f, 0.25f, 0.2f, 0.15f, 0.12f,
                                  0.1f};
static const float clarinet[] = {1, 0.04f, 0.7f, 0.05f, 0.4f, 0.08f, 0.25f, 0.1f, 0.15f, 0.1f, 0.08f, 0.05f};
static const float oboe[] = {0.4f, 0.7f, 1, 0.8f, 0.5f, 0.3f, 0.25f, 0.2f, 0.12f, 0.1f, 0.05f, 0.04f};
static const float flute[] = {1, 0.35f, 0.12f, 0.05f, 0.02f};
static const float violin[] = {0.9f, 0.8f, 0.7f, 0.75f, 0.5f, 0.4f, 0.45f, 0.3f, 0.25f, 0.2f, 0.2f, 0.15f,
                               0.1f, 0.1f, 0.08f, 0.06f};
static const float cello[] = {1, 0.9f, 0.8f, 0.5f, 0.55f, 0.35f, 0.3f, 0.2f, 0.2f, 0.12f, 0.1f, 0.08f,
                              0.06f, 0.05f};
static const float choir[] = {1, 0.6f, 0.35f, 0.3f, 0.3f, 0.18f, 0.08f, 0.05f, 0.04f, 0.03f};
static const float square[] = {1, 0, 1 / 3.0f, 0, 0.2f, 0, 1 / 7.0f, 0, 1 / 9.0f, 0, 1 / 11.0f, 0, 1 / 13.0f,
                               0, 1 / 15.0f};
static const float mallet[] = {1, 0.35f, 0.12f}, mallet_ratios[] = {1, 3.93f, 9.54f};
static const float timpani[] = {0.6f, 1, 0.5f, 0.35f, 0.2f}, timpani_ratios[] = {0.5f, 1, 1.5f, 1.98f, 2.44f};

enum {
    PIANO, ELECTRIC_PIANO, HARPSICHORD, BELLS, MALLETS, ORGAN, CHURCH_ORGAN, ACCORDION, GUITAR, STEEL_GUITAR,
    CLEAN_GUITAR, DISTORTED_GUITAR, BASS, SYNTH_BASS, VIOLIN, CELLO, HARP, PIZZICATO, TIMPANI, STRINGS, CHOIR,
    BRASS, TRUMPET, SAXOPHONE, OBOE, CLARINET, FLUTE, LEAD, SQUARE_LEAD, PAD, SITAR, BANJO, STEEL_DRUM
};

static const synth_instrument instruments[] = {
    [PIANO] = {"piano", STRUCK, 0.5, 0.002, 1.6, 0, 0.25, .n_partials = 18, .tilt = 1.25, .stretch = 4e-4,
               .damping = 0.35},
    [ELECTRIC_PIANO] = {"electric piano", MODULATED, 0.4, 0.002, 1.2, 0, 0.25, .ratio = 1, .index = 1.1,
                        .index_decay = 0.35, .index_sustain = 0.15},
    [HARPSICHORD] = {"harpsichord", PLUCKED, 0.5, 0.001, 9, 0, 0.12, .ring = 2.2, .bright = 0.95,
                     .place = 0.11},
    [BELLS] = {"bells", MODULATED, 0.35, 0.001, 0.9, 0, 0.6, .ratio = 3.5, .index = 1.6, .index_decay = 0.5,
               .index_sustain = 0.1},
    [MALLETS] = {"vibraphone", STRUCK, 0.55, 0.001, 0.9, 0, 0.3, .n_partials = 3, .partials = mallet,
                 .ratios = mallet_ratios, .damping = 1.5},
    [ORGAN] = {"organ", HARMONIC, 0.3, 0.008, 1, 1, 0.06, .n_partials = 8, .partials = organ, .vibrato = 5,
               .vibrato_rate = 6.2},
    [CHURCH_ORGAN] = {"church organ", HARMONIC, 0.28, 0.04, 1, 1, 0.2, .n_partials = 16, .partials = church,
                      .voices = 2, .spread = 4},
    [ACCORDION] = {"accordion", HARMONIC, 0.22, 0.03, 1, 1, 0.08, .n_partials = 12, .partials = accordion,
                   .voices = 2, .spread = 9},
    [GUITAR] = {"guitar", PLUCKED, 0.7, 0.001, 9, 0, 0.18, .ring = 2.6, .bright = 0.45, .place = 0.2},
    [STEEL_GUITAR] = {"steel guitar", PLUCKED, 0.6, 0.001, 9, 0, 0.15, .ring = 3.2, .bright = 0.75,
                      .place = 0.16},
    [CLEAN_GUITAR] = {"electric guitar", PLUCKED, 0.65, 0.001, 9, 0, 0.12, .ring = 3.6, .bright = 0.6,
                      .place = 0.28},
    [DISTORTED_GUITAR] = {"distorted guitar", HARMONIC, 0.2, 0.004, 3, 0.6, 0.07, .n_partials = 24,
                          .tilt = 0.62, .voices = 2, .spread = 7, .breath = 0.03, .low_pass = 4500},
    [BASS] = {"bass", PLUCKED, 1.0, 0.002, 9, 0, 0.08, .ring = 2.4, .bright = 0.3, .place = 0.25},
    [SYNTH_BASS] = {"synth bass", HARMONIC, 0.5, 0.004, 0.35, 0.35, 0.05, .n_partials = 14, .tilt = 1.05},
    [VIOLIN] = {"violin", HARMONIC, 0.26, 0.06, 1, 0.9, 0.12, .n_partials = 16, .partials = violin,
                .vibrato = 16, .vibrato_rate = 5.6, .breath = 0.02},
    [CELLO] = {"cello", HARMONIC, 0.28, 0.08, 1, 0.9, 0.15, .n_partials = 14, .partials = cello,
               .vibrato = 12, .vibrato_rate = 5, .breath = 0.02},
    [HARP] = {"harp", PLUCKED, 0.7, 0.001, 9, 0, 0.9, .ring = 3, .bright = 0.5, .place = 0.4},
    [PIZZICATO] = {"pizzicato", PLUCKED, 0.8, 0.002, 9, 0, 0.1, .ring = 0.7, .bright = 0.4, .place = 0.3},
    [TIMPANI] = {"timpani", STRUCK, 0.8, 0.002, 0.7, 0, 0.5, .n_partials = 5, .partials = timpani,
                 .ratios = timpani_ratios, .damping = 0.4},
    [STRINGS] = {"strings", HARMONIC, 0.2, 0.14, 1, 1, 0.3, .n_partials = 14, .tilt = 1.1, .voices = 3,
                 .spread = 8, .vibrato = 6, .vibrato_rate = 5.2},
    [CHOIR] = {"choir", HARMONIC, 0.3, 0.12, 1, 1, 0.3, .n_partials = 10, .partials = choir, .voices = 3,
               .spread = 8, .vibrato = 7, .vibrato_rate = 4.8, .breath = 0.02},
    [BRASS] = {"brass", MODULATED, 0.3, 0.05, 0.6, 0.8, 0.1, .ratio = 1, .index = 3.2, .index_decay = 0.3,
               .index_sustain = 0.55, .vibrato = 4, .vibrato_rate = 5},
    [TRUMPET] = {"trumpet", MODULATED, 0.3, 0.03, 0.5, 0.8, 0.08, .ratio = 1, .index = 4.2,
                 .index_decay = 0.25, .index_sustain = 0.6, .vibrato = 8, .vibrato_rate = 5.4},
    [SAXOPHONE] = {"saxophone", MODULATED, 0.3, 0.04, 0.7, 0.8, 0.1, .ratio = 2, .index = 1.8,
                   .index_decay = 0.4, .index_sustain = 0.6, .vibrato = 12, .vibrato_rate = 5,
                   .breath = 0.04},
    [OBOE] = {"oboe", HARMONIC, 0.25, 0.04, 1, 0.95, 0.08, .n_partials = 12, .partials = oboe, .vibrato = 9,
              .vibrato_rate = 5.3},
    [CLARINET] = {"clarinet", HARMONIC, 0.32, 0.05, 1, 0.95, 0.08, .n_partials = 12, .partials = clarinet,
                  .breath = 0.015},
    [FLUTE] = {"flute", HARMONIC, 0.42, 0.06, 1, 0.9, 0.1, .n_partials = 5, .partials = flute, .vibrato = 10,
               .vibrato_rate = 5.1, .breath = 0.06},
    [LEAD] = {"synth lead", HARMONIC, 0.24, 0.006, 0.8, 0.7, 0.08, .n_partials = 20, .tilt = 1, .voices = 2,
              .spread = 6},
    [SQUARE_LEAD] = {"square lead", HARMONIC, 0.28, 0.006, 0.8, 0.75, 0.08, .n_partials = 15,
                     .partials = square},
    [PAD] = {"synth pad", HARMONIC, 0.2, 0.25, 2, 0.9, 0.5, .n_partials = 10, .tilt = 1.3, .voices = 3,
             .spread = 12},
    [SITAR] = {"sitar", PLUCKED, 0.55, 0.001, 9, 0, 0.4, .ring = 3.5, .bright = 1, .place = 0.06},
    [BANJO] = {"banjo", PLUCKED, 0.7, 0.001, 9, 0, 0.06, .ring = 0.9, .bright = 0.9, .place = 0.14},
    [STEEL_DRUM] = {"steel drum", MODULATED, 0.4, 0.002, 0.5, 0, 0.2, .ratio = 2, .index = 1.4,
                    .index_decay = 0.2, .index_sustain = 0.3, .vibrato = 3, .vibrato_rate = 6},
};

/* By General MIDI's families of eight. */
static const uint8_t programs[128] = {
    PIANO, PIANO, PIANO, PIANO, ELECTRIC_PIANO, ELECTRIC_PIANO, HARPSICHORD, HARPSICHORD,
    BELLS, BELLS, BELLS, MALLETS, MALLETS, MALLETS, BELLS, HARPSICHORD,
    ORGAN, ORGAN, ORGAN, CHURCH_ORGAN, ACCORDION, ACCORDION, ACCORDION, ACCORDION,
    GUITAR, STEEL_GUITAR, CLEAN_GUITAR, CLEAN_GUITAR, CLEAN_GUITAR, DISTORTED_GUITAR, DISTORTED_GUITAR,
    CLEAN_GUITAR, BASS, BASS, BASS, BASS, BASS, BASS, SYNTH_BASS, SYNTH_BASS,
    VIOLIN, VIOLIN, CELLO, CELLO, STRINGS, PIZZICATO, HARP, TIMPANI,
    STRINGS, STRINGS, STRINGS, STRINGS, CHOIR, CHOIR, CHOIR, STRINGS,
    TRUMPET, BRASS, BRASS, TRUMPET, BRASS, BRASS, BRASS, BRASS,
    SAXOPHONE, SAXOPHONE, SAXOPHONE, SAXOPHONE, OBOE, OBOE, OBOE, CLARINET,
    FLUTE, FLUTE, FLUTE, FLUTE, FLUTE, FLUTE, FLUTE, FLUTE,
    SQUARE_LEAD, LEAD, LEAD, LEAD, LEAD, CHOIR, LEAD, LEAD,
    PAD, PAD, PAD, CHOIR, PAD, PAD, PAD, PAD,
    PAD, PAD, BELLS, PAD, PAD, PAD, PAD, PAD,
    SITAR, BANJO, BANJO, HARP, MALLETS, ACCORDION, VIOLIN, OBOE,
    BELLS, BELLS, STEEL_DRUM, MALLETS, TIMPANI, TIMPANI, TIMPANI, BELLS,
    GUITAR, FLUTE, PAD, FLUTE, BELLS, PAD, PAD, TIMPANI,
};

const synth_instrument *synth_program(int program) { return &instruments[programs[program & 127]]; }

const char *et_synth_instrument(int program)
{
    if (program < 0 || program > 127) {
        et_raise(ET_EINVAL, "synth: program %d is outside 0 .. 127", program);
        return NULL;
    }
    return synth_program(program)->name;
}
