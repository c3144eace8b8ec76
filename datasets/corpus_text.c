/* What is said about a song: tags, and captions from a grammar. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "datasets/corpus_internal.h"
#include "datasets/synth.h"
#include "tensor/alloc.h"
#include "tensor/strbuf.h"

/* MagnaTagATune's words for what MagnaTagATune names; the last ones are not among its fifty most frequent. */
const char *const corpus_tag_names[CORPUS_TAGS] = {
    "guitar", "classical", "slow",   "strings", "drums",     "electronic", "rock",      "fast",  "piano",
    "beat",   "violin",    "synth",  "quiet",   "loud",      "flute",      "pop",       "soft",  "solo",
    "choir",  "dance",     "harp",   "cello",   "country",   "metal",      "harpsichord", "jazz", "blues",
    "disco",  "hip hop",   "reggae", "bass",    "organ",     "trumpet",    "saxophone"};

enum {
    GUITAR, CLASSICAL, SLOW, STRINGS, DRUMS, ELECTRONIC, ROCK, FAST, PIANO, BEAT, VIOLIN, SYNTH, QUIET, LOUD,
    FLUTE, POP, SOFT, SOLO, CHOIR, DANCE, HARP, CELLO, COUNTRY, METAL, HARPSICHORD, JAZZ, BLUES, DISCO,
    HIP_HOP, REGGAE, BASS, ORGAN, TRUMPET, SAXOPHONE
};

/* Tags by the instrument's name, as et_synth_instrument says it. */
static const struct {
    const char *name;
    uint8_t tag;
} sounds[] = {
    {"piano", PIANO},  {"electric piano", PIANO}, {"harpsichord", HARPSICHORD}, {"organ", ORGAN},
    {"church organ", ORGAN}, {"guitar", GUITAR}, {"steel guitar", GUITAR}, {"electric guitar", GUITAR},
    {"distorted guitar", GUITAR}, {"bass", BASS}, {"synth bass", BASS}, {"synth bass", SYNTH},
    {"violin", VIOLIN},
    {"violin", STRINGS}, {"cello", CELLO}, {"cello", STRINGS}, {"harp", HARP}, {"strings", STRINGS},
    {"choir", CHOIR},
    {"trumpet", TRUMPET}, {"brass", TRUMPET}, {"saxophone", SAXOPHONE}, {"flute", FLUTE},
    {"synth lead", SYNTH},
    {"square lead", SYNTH}, {"synth pad", SYNTH}};

static void tag_sound(int program, uint8_t tags[CORPUS_TAGS])
{
    for (size_t i = 0; i < sizeof sounds / sizeof *sounds; i++)
        if (strcmp(sounds[i].name, et_synth_instrument(program)) == 0)
            tags[sounds[i].tag] = 1;
}

/* Beats a minute as one would count them: dotted quarters in 6/8. */
static double pace(const song *s) { return s->numerator == 6 ? s->bpm * 2 / 3 : s->bpm; }

void corpus_tags(const song *s, uint8_t tags[CORPUS_TAGS])
{
    static const uint8_t genres[ET_GTZAN_GENRES] = {BLUES, CLASSICAL, COUNTRY, DISCO, HIP_HOP,
                                                    JAZZ,  METAL,     POP,     REGGAE, ROCK};
    bool drums = s->drums != NO_DRUMS;

    memset(tags, 0, CORPUS_TAGS);
    tags[genres[s->genre]] = 1;
    tags[SLOW] = pace(s) < 88;
    tags[FAST] = pace(s) > 132;
    tags[DRUMS] = drums;
    tags[BEAT] = drums && (s->drums == FOUR_FLOOR || s->drums == BOOM_BAP || s->drums == TRAP ||
                           s->drums == STEPPERS);
    tags[DANCE] = drums && (s->drums == FOUR_FLOOR || s->drums == STEPPERS) && pace(s) > 96;
    tags[LOUD] = s->loud > 0.78;
    tags[QUIET] = s->loud < 0.58;
    tags[SOFT] = !drums && s->loud < 0.66;
    tags[SOLO] = !drums && !s->pad && !s->lead;
    if (s->lead)
        tag_sound(s->lead_program, tags);
    tag_sound(s->chord_program, tags);
    if (s->bass != NO_BASS)
        tag_sound(s->bass_program, tags);
    if (s->pad)
        tag_sound(s->pad_program, tags);
    tags[ELECTRONIC] = tags[SYNTH] && (s->drums == FOUR_FLOOR || s->drums == TRAP || s->drums == BOOM_BAP);
}

/* --- captions --------------------------------------------------------------------------------- */

/* A rule is text in which [a|b|c] is one of its parts, each as likely, perhaps an empty one, and $x stands
 * for a variable (a letter), whose text is a rule as well. Brackets nest. */
typedef struct grammar {
    const char *variables[26];
    et_rng *rng;
    et_strbuf out;
    int depth;
} grammar;

enum { DEEPEST = 12 };

/* The end of the part that begins at p: the '|' or ']' of its own level, or the end of the text. */
static const char *part_end(const char *p, const char *end)
{
    int level = 0;

    for (; p < end; p++) {
        if (*p == '[')
            level++;
        else if (level == 0 && (*p == '|' || *p == ']'))
            return p;
        else if (*p == ']')
            level--;
    }
    return end;
}

static void expand(grammar *g, const char *p, const char *end)
{
    if (++g->depth > DEEPEST) { /* rules of this file do not get there */
        g->depth--;
        return;
    }
    while (p < end) {
        if (*p == '[') {
            int64_t parts = 1, chosen;
            const char *at = p + 1, *stop;
            while (*(stop = part_end(at, end)) == '|' && stop < end) {
                parts++;
                at = stop + 1;
            }
            at = p + 1;
            p = stop < end ? stop + 1 : end;
            chosen = et_rng_below(g->rng, parts);
            for (; chosen > 0; chosen--)
                at = part_end(at, end) + 1;
            expand(g, at, part_end(at, end));
        } else if (*p == '$' && p + 1 < end && p[1] >= 'a' && p[1] <= 'z') {
            const char *rule = g->variables[p[1] - 'a'];
            if (rule)
                expand(g, rule, rule + strlen(rule));
            p += 2;
        } else {
            et_strbuf_putc(&g->out, *p++);
        }
    }
    g->depth--;
}

static const char *const genre_rules[ET_GTZAN_GENRES] = {
    "[blues|blues|twelve-bar blues|shuffle blues|bluesy shuffle]",
    "[classical|classical|chamber music|baroque-sounding|orchestral]",
    "[country|country|country and western|Nashville-style|bluegrass-flavoured]",
    "[disco|disco|seventies disco|funky disco|dance-floor]",
    "[hip hop|hip-hop|rap backing|boom bap|hip hop]",
    "[jazz|jazz|swing|bebop-flavoured|jazz club]",
    "[metal|heavy metal|metal|thrash|hard and heavy]",
    "[pop|pop|chart pop|radio-friendly pop|pop ballad]",
    "[reggae|reggae|roots reggae|dub-like|Jamaican]",
    "[rock|rock|guitar rock|classic rock|garage rock]"};

static const char *tempo_rule(double bpm)
{
    return bpm < 72    ? "[very slow|slow|unhurried|dragging]"
           : bpm < 92  ? "[slow|laid-back|relaxed|easy-going]"
           : bpm < 116 ? "[mid-tempo|moderate|steady|medium-paced]"
           : bpm < 140 ? "[upbeat|lively|brisk|driving]"
                       : "[fast|very fast|rapid|racing]";
}

static const char *mood_rule(const song *s)
{
    if (s->mode == MAJOR || s->mode == MIXOLYDIAN)
        return s->loud > 0.72 ? "[cheerful|triumphant|bright and energetic|uplifting]"
                              : "[warm|sunny|happy|gentle|peaceful|light-hearted]";
    return s->loud > 0.72 ? "[dark|aggressive|menacing|intense]"
                          : "[melancholic|sad|wistful|mysterious|brooding]";
}

static const char *const drum_rules[] = {
    [NO_DRUMS] = "[no drums|no percussion]",
    [SHUFFLE] = "[a shuffling beat|shuffle drums|a swung drum groove]",
    [TRAIN] = "[a train beat on the snare|galloping brushes|a country two-beat]",
    [FOUR_FLOOR] = "[a four-on-the-floor beat|a thumping kick on every beat|a dance beat]",
    [BOOM_BAP] = "[a dusty breakbeat|a head-nodding drum loop|a punchy hip hop beat]",
    [TRAP] = "[rattling hi-hats and a half-time snare|a trap beat|stuttering hi-hats]",
    [SWING_RIDE] = "[a swinging ride cymbal|swing drums|a ride cymbal that swings]",
    [BRUSHES] = "[soft brushes|brushed drums|drums played with brushes]",
    [DOUBLE_KICK] = "[double bass drums|relentless double kick drums|pounding double kick]",
    [HALF_TIME] = "[a heavy half-time beat|heavy, crushing drums|a half-time groove]",
    [STRAIGHT] = "[a steady backbeat|a straight drum beat|solid drums]",
    [DRIVING] = "[hard-driving drums|pounding drums|an insistent, driving beat]",
    [ONE_DROP] = "[a one drop rhythm|a one-drop beat|drums that leave out the first beat]",
    [STEPPERS] = "[a steppers beat|a rolling kick on every beat|a steady steppers rhythm]",
    [BALLAD] = "[a slow ballad beat|sparse drums|restrained drums]"};

static const char *const comp_rules[] = {
    [HELD] = "[sustained|long, held|slowly changing]",
    [QUARTERS] = "[steady|even|marching]",
    [OFF_BEATS] = "[off-beat|choppy off-beat|skanking]",
    [BACK_BEATS] = "[boom-chick|strummed|back-beat]",
    [EIGHTHS] = "[chugging|repeated|strummed]",
    [GALLOP] = "[galloping|palm-muted|chugging]",
    [CHARLESTON] = "[sparse|syncopated|punctuating]",
    [SYNCOPATED] = "[syncopated|rhythmic|funky]",
    [ARPEGGIO] = "[arpeggiated|broken|flowing]",
    [ALBERTI] = "[broken|rippling|Alberti-style]"};

static const char *const bass_rules[] = {
    [ROOTS] = "[a simple bass line|long bass notes|a plain bass]",
    [ROOT_FIFTH] = "[a two-step bass|a bass that alternates between root and fifth|an oom-pah bass]",
    [WALKING] = "[a walking bass|a walking bass line|a bass that walks]",
    [PUMPING] = "[a pumping bass|a bass in steady eighths|a pulsing bass line]",
    [OCTAVES] = "[an octave-jumping bass|a bouncing octave bass line|a bass in octaves]",
    [BROKEN] = "[a deep, sparse bass|a heavy sub bass|a booming bass]",
    [RIFF] = "[a melodic bass riff|a repeated bass figure|a prominent bass line]",
    [NO_BASS] = "[no bass]"};

/* "an" before a vowel's sound: run over the finished text, where rules say "a(n)". */
static void mend_articles(char *s)
{
    char *out = s;

    while (*s) {
        if (strncmp(s, "a(n) ", 5) == 0 || strncmp(s, "A(n) ", 5) == 0) {
            *out++ = *s;
            if (strchr("aeiouAEIOU", s[5]))
                *out++ = 'n';
            s += 4;
        } else {
            *out++ = *s++;
        }
    }
    *out = '\0';
}

/* The whole caption; corpus_caption says what the variables stand for. */
static const char caption_rule[] =
    "[A(n) $t, $m $g $n$w: $x, with $y, $b and $d$z.|"
    "A(n) $m $g $n$w[ at a(n) $t pace|]. The arrangement has $y, $d and $b$z; $x.|"
    "This is a(n) $t $g $n$w. It [sounds|feels] $m. It [features|has] $y, $b and $d$z, and $x.|"
    "[In this|This is a(n)] $t $g $n$w[|, $m in mood,] [with|built on] $y and $b; $x. [The rhythm section "
    "plays|There is] $d.|"
    "$d[,| and] $b and $y$z make up this $m $g $n$w. The tempo is $t.|"
    "[Instrumental $g|$g music]$w, $t and $m. [We hear|One hears|Listen for] $y, $b, $d$z.]";

char *corpus_caption(const song *s, et_rng *rng)
{
    char lead[48], chords[48];
    grammar g = {.rng = rng, .out = ET_STRBUF_INIT};
    char *text;

    snprintf(lead, sizeof lead, "%s", et_synth_instrument(s->lead_program));
    snprintf(chords, sizeof chords, "%s", et_synth_instrument(s->chord_program));
    g.variables['g' - 'a'] = genre_rules[s->genre];
    g.variables['t' - 'a'] = tempo_rule(pace(s));
    g.variables['m' - 'a'] = mood_rule(s);
    g.variables['d' - 'a'] = drum_rules[s->drums];
    g.variables['b' - 'a'] = bass_rules[s->bass];
    g.variables['r' - 'a'] = comp_rules[s->comp];
    g.variables['c' - 'a'] = chords;
    g.variables['l' - 'a'] = lead;
    g.variables['n' - 'a'] = "[song|piece|track|tune|instrumental|recording]";
    g.variables['w' - 'a'] = s->numerator == 3   ? "[ in three-four time| in waltz time|]"
                             : s->numerator == 6 ? "[ in six-eight| with a rolling six-eight feel|]"
                                                 : "";
    g.variables['x' - 'a'] =
        s->lead ? "[a(n) $l [plays|carries|takes] the [melody|tune|lead]|the [melody|lead] is "
                  "[played|carried] by a(n) $l|a(n) $l [sings out|leads|solos]]"
                : "there is no [lead|solo] instrument";
    g.variables['y' - 'a'] = "[$r $c chords|$r chords on the $c|a(n) $c with $r chords]";
    g.variables['z' - 'a'] = s->pad ? "[| over a bed of $p| with $p in the background]" : "";
    g.variables['p' - 'a'] = et_synth_instrument(s->pad_program);
    expand(&g, caption_rule, caption_rule + sizeof caption_rule - 1);
    text = et_strbuf_take(&g.out);
    if (!text)
        return NULL;
    mend_articles(text);
    if (text[0] >= 'a' && text[0] <= 'z')
        text[0] = (char)(text[0] - 'a' + 'A');
    return text;
}
