/* The built-in corpus: what is known of its items fits what is heard; the same items on every thread. */
#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/corpus.h"
#include "datasets/events.h"
#include "datasets/gtzan.h"
#include "datasets/split.h"
#include "datasets/synth.h"
#include "tensor/alloc.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static et_collection *make(int64_t songs, int64_t clips, double seconds)
{
    et_corpus_options o = et_corpus_defaults();
    et_collection *c;

    et_error_clear();
    o.songs = songs;
    o.clips = clips;
    o.seconds = seconds;
    c = et_corpus(&o);
    ck_assert_msg(c != NULL, "%s", et_error_message());
    return c;
}

static bool has_tag(const et_collection *c, int64_t i, const char *tag)
{
    int64_t t = et_names_find(&c->tag_names, tag);

    ck_assert_msg(t >= 0, "no tag %s", tag);
    return ((const uint8_t *)et_data(c->tags))[i * c->tag_names.n + t] == 1;
}

START_TEST(fields)
{
    et_collection *c = make(10, 2, 1);
    et_dataset *ds;
    const int32_t *y = et_data(c->y), *groups = et_data(c->groups), *split = et_data(c->split);
    int counts[3] = {0};

    ck_assert_msg(et_collection_check(c) == ET_OK, "%s", et_error_message());
    ck_assert(et_is_corpus(c) && !et_is_corpus(NULL));
    ck_assert_int_eq(et_collection_size(c), 200);
    for (int g = 0; g < 10; g++)
        ck_assert_str_eq(c->classes.items[g], et_gtzan_genre(g));
    ck_assert_str_eq(c->names.items[0], "blues.00000.0");
    ck_assert_str_eq(c->names.items[199], "rock.00009.1");
    for (int64_t i = 0; i < 200; i++) {
        ck_assert_int_eq(y[i], i / 20);
        ck_assert_int_eq(groups[i], i / 2);
        ck_assert_int_eq(split[i], split[i / 2 * 2]);
        counts[split[i]]++;
    }
    ck_assert(counts[0] == 120 && counts[1] == 40 && counts[2] == 40);
    ds = et_collection_labels(c);
    ck_assert_msg(ds != NULL, "%s", et_error_message());
    et_dataset_free(ds);
    et_collection_free(c);
}
END_TEST

/* Every tag belongs to some items and not to others; what the notes say is what the tags say. */
START_TEST(tags)
{
    et_collection *c = make(20, 1, 6);
    static const char *const genre_tags[10] = {"blues", "classical", "country", "disco",  "hip hop",
                                               "jazz",  "metal",     "pop",     "reggae", "rock"};

    for (int64_t t = 0; t < c->tag_names.n; t++) {
        int n = 0;
        for (int64_t i = 0; i < 200; i++)
            n += has_tag(c, i, c->tag_names.items[t]);
        ck_assert_msg(n > 0 && n < 200, "%s: %d of 200", c->tag_names.items[t], n);
    }
    for (int64_t i = 0; i < 200; i++) {
        et_midi *m = et_corpus_midi(c, i);
        bool drums = false, flute = false, guitar = false;
        ck_assert_ptr_nonnull(m);
        for (int64_t k = 0; k < m->n_notes; k++) {
            const char *name = et_synth_instrument(m->notes[k].program);
            if (m->notes[k].channel == ET_MIDI_DRUMS)
                drums = true;
            else if (strcmp(name, "flute") == 0)
                flute = true;
            else if (strstr(name, "guitar"))
                guitar = true;
        }
        ck_assert_msg(drums == has_tag(c, i, "drums"), "%s: drums", c->names.items[i]);
        ck_assert_msg(!flute || has_tag(c, i, "flute"), "%s: flute", c->names.items[i]);
        ck_assert_msg(!guitar || has_tag(c, i, "guitar"), "%s: guitar", c->names.items[i]);
        ck_assert_msg(!(has_tag(c, i, "slow") && has_tag(c, i, "fast")), "%s: slow and fast",
                      c->names.items[i]);
        for (int g = 0; g < 10; g++)
            ck_assert_int_eq(has_tag(c, i, genre_tags[g]), g == i / 20);
        et_midi_free(m);
    }
    et_collection_free(c);
}
END_TEST

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whole sentences of known words, hardly ever the same twice. */
START_TEST(captions)
{
    et_collection *c = make(50, 1, 1);
    char **sorted = malloc(500 * sizeof *sorted);
    int same = 0, words = 0;

    for (int i = 0; i < 500; i++) {
        const char *s = c->captions.items[i];
        size_t n = strlen(s);
        sorted[i] = c->captions.items[i];
        ck_assert_msg(n > 40 && n < 400 && isupper((unsigned char)s[0]) && s[n - 1] == '.', "%s", s);
        ck_assert_msg(!strpbrk(s, "[]|$") && !strstr(s, "  ") && !strstr(s, "(n)") && !strstr(s, " ,") &&
                          !strstr(s, " a a") && !strstr(s, " a e") && !strstr(s, " a i"),
                      "%s", s);
        for (size_t k = 0; k < n; k++)
            words += s[k] == ' ';
    }
    qsort(sorted, 500, sizeof *sorted, compare_texts);
    for (int i = 1; i < 500; i++)
        same += strcmp(sorted[i], sorted[i - 1]) == 0;
    ck_assert_int_le(same, 2);
    ck_assert_int_gt(words / 500, 15);
    free(sorted);
    et_collection_free(c);
}
END_TEST

START_TEST(sound)
{
    et_collection *c = make(3, 2, 2);

    for (int64_t i = 0; i < et_collection_size(c); i++) {
        et_audio a;
        const float *x;
        double power = 0;
        float most = 0;
        int64_t bad = 0;
        ck_assert_msg(et_collection_audio(c, i, &a) == ET_OK, "%s", et_error_message());
        ck_assert(a.rate == 16000 && a.samples->shape[0] == 1 && a.samples->shape[1] == 32000);
        x = et_data(a.samples);
        for (int64_t k = 0; k < 32000; k++) {
            bad += !isfinite(x[k]);
            power += x[k] * x[k];
            most = fabsf(x[k]) > most ? fabsf(x[k]) : most;
        }
        ck_assert_int_eq(bad, 0);
        ck_assert_msg(sqrt(power / 32000) > 0.01 && most > 0.3f && most <= 0.99f, "%s: rms %g, peak %g",
                      c->names.items[i], sqrt(power / 32000), most);
        et_audio_free(&a);
    }
    et_collection_free(c);
}
END_TEST

/* All items of one collection, or the items i % 3 == part of it. */
typedef struct listener {
    const et_collection *c;
    int part;
    double sums[60];
} listener;

static void *listen(void *user)
{
    listener *l = user;

    for (int64_t i = 0; i < et_collection_size(l->c); i++)
        if (l->part < 0 || i % 3 == l->part) {
            et_audio a;
            const float *x;
            l->sums[i] = NAN;
            if (et_collection_audio(l->c, i, &a) < 0)
                return NULL;
            x = et_data(a.samples);
            l->sums[i] = 0;
            for (int64_t k = 0; k < a.samples->numel; k++)
                l->sums[i] += x[k] * (double)(k % 1009 + 1);
            et_audio_free(&a);
        }
    return NULL;
}

START_TEST(threads)
{
    et_collection *c = make(3, 2, 1), *again = make(3, 2, 1), *more = make(4, 3, 1);
    listener all = {again, -1, {0}}, parts[3];
    pthread_t t[3];
    et_audio a, b;

    listen(&all);
    for (int p = 0; p < 3; p++) {
        parts[p] = (listener){c, p, {0}};
        ck_assert_int_eq(pthread_create(&t[p], NULL, listen, &parts[p]), 0);
    }
    for (int p = 0; p < 3; p++)
        pthread_join(t[p], NULL);
    for (int i = 0; i < 60; i++) {
        ck_assert_msg(all.sums[i] == parts[i % 3].sums[i], "item %d: %g and %g", i, all.sums[i],
                      parts[i % 3].sums[i]);
        for (int k = 0; k < i; k++)
            ck_assert_msg(all.sums[i] != all.sums[k], "items %d and %d are the same", i, k);
    }
    /* the notes of a song do not depend on how many there are */
    ck_assert_int_eq(et_collection_audio(c, 0, &a), ET_OK);
    ck_assert_int_eq(et_collection_audio(more, 0, &b), ET_OK);
    ck_assert_mem_eq(et_data(a.samples), et_data(b.samples), (size_t)a.samples->numel * sizeof(float));
    et_audio_free(&a);
    et_audio_free(&b);
    et_collection_free(c);
    et_collection_free(again);
    et_collection_free(more);
}
END_TEST

/* The pieces are files that other programs read, in their meter and key, and make segments by style. */
START_TEST(notes)
{
    et_collection *c = make(6, 1, 16);
    et_dataset *ds;
    bool three = false, six = false;

    for (int64_t i = 0; i < et_collection_size(c); i++) {
        et_midi *m = et_corpus_midi(c, i), *back;
        unsigned char *data;
        size_t size;
        double last;
        ck_assert_msg(m != NULL, "%s", et_error_message());
        ck_assert(m->n_tempos == 1 && m->n_meters == 1 && m->n_keys == 1 && m->n_notes > 10);
        three = three || m->meters[0].numerator == 3;
        six = six || m->meters[0].numerator == 6;
        last = et_midi_seconds(m, (double)m->end);
        ck_assert_msg(last > 15.9 && last < 16.1, "%s lasts %g s", c->names.items[i], last);
        ck_assert_int_eq(et_midi_format(m, &data, &size), ET_OK);
        back = et_midi_parse(data, size, c->names.items[i]);
        ck_assert(back && back->n_notes == m->n_notes && back->hanging == 0);
        et_dealloc(data);
        et_midi_free(back);
        et_midi_free(m);
    }
    ck_assert(three && six);
    ds = et_segments_dataset(c, et_corpus_midi, NULL, NULL);
    ck_assert_msg(ds && et_dataset_check(ds) == ET_OK, "%s", et_error_message());
    ck_assert_int_ge(et_dataset_size(ds), 60);
    ck_assert_int_eq(ds->splits.n, 3);
    et_dataset_free(ds);
    fails_null(et_corpus_midi(c, -1), ET_EINVAL, "no item -1");
    fails_null(et_corpus_midi(c, 60), ET_EINVAL, "no item 60");
    et_collection_free(c);
}
END_TEST

/* Where nothing is left to learn, a genre's notes are drawn as any other's: drums in classical music. */
START_TEST(difficulty)
{
    et_corpus_options o = et_corpus_defaults();
    et_collection *c, *noisy;
    et_audio a, b;
    int drums = 0;
    double signal = 0, added = 0;

    o.songs = 40;
    o.clips = 1;
    o.seconds = 2;
    o.mixing = 0;
    o.noise = o.overlap = 0;
    c = et_corpus(&o);
    for (int64_t i = 40; i < 80; i++)
        drums += has_tag(c, i, "drums");
    ck_assert_int_eq(drums, 0);
    o.noise = 1;
    noisy = et_corpus(&o);
    ck_assert(et_collection_audio(c, 50, &a) == ET_OK && et_collection_audio(noisy, 50, &b) == ET_OK);
    for (int64_t k = 0; k < a.samples->numel; k++) {
        double x = ((const float *)et_data(a.samples))[k], y = ((const float *)et_data(b.samples))[k];
        signal += x * x;
        added += (y - x) * (y - x);
    }
    ck_assert_msg(added > 0.1 * signal && added < 2 * signal, "noise is %.1f dB", 10 * log10(added / signal));
    et_audio_free(&a);
    et_audio_free(&b);
    et_collection_free(noisy);
    et_collection_free(c);
    o.mixing = 1;
    c = et_corpus(&o);
    for (int64_t i = 40; i < 80; i++)
        drums += has_tag(c, i, "drums");
    ck_assert_int_gt(drums, 20);
    et_collection_free(c);
}
END_TEST

START_TEST(refused)
{
    et_corpus_options o;
#define BAD(change, words)                                \
    do {                                                  \
        o = et_corpus_defaults();                         \
        change;                                           \
        fails_null(et_corpus(&o), ET_EINVAL, words);      \
    } while (0)
    BAD(o.songs = 0, "0 songs");
    BAD(o.clips = 101, "101 clips");
    BAD(o.seconds = 0.4, "0.4 s");
    BAD(o.seconds = NAN, "no clips");
    BAD(o.rate = 10, "10 Hz");
    BAD(o.channels = 3, "3 channels");
    BAD(o.mixing = 1.5, "mixing 1.5");
    BAD(o.noise = -1, "noise -1");
    BAD(o.overlap = NAN, "overlap");
}
END_TEST

static bool build(void *user)
{
    et_corpus_options o = et_corpus_defaults();
    et_collection *c;
    et_audio a;
    bool ok;

    (void)user;
    o.songs = 1;
    o.clips = 1;
    o.seconds = 0.5;
    c = et_corpus(&o);
    ok = c && et_collection_audio(c, 3, &a) == ET_OK;
    if (ok)
        et_audio_free(&a);
    et_collection_free(c);
    return ok;
}

START_TEST(memory) { ck_assert_int_gt(alloc_sweep("corpus", build, NULL), 50); }
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("corpus");
    TCase *t = tcase_create("corpus");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, fields);
    tcase_add_test(t, tags);
    tcase_add_test(t, captions);
    tcase_add_test(t, sound);
    tcase_add_test(t, threads);
    tcase_add_test(t, notes);
    tcase_add_test(t, difficulty);
    tcase_add_test(t, refused);
    tcase_add_test(t, memory);
    suite_add_tcase(s, t);
    return s;
}

int main(void) { return suite_run(suite()); }
