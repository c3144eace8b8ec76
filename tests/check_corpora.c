/* Corpora on disk. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/corpora.h"
#include "datasets/split.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

#define ok(call) ck_assert_msg((call) == ET_OK, "%s", et_error_message())
#define made(pointer) ck_assert_msg((pointer) != NULL, "%s", et_error_message())

static void remove_tree(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", test_dir);
    ck_assert_int_eq(system(command), 0);
}

static void make_folder(const char *name) { ck_assert_int_eq(mkdir(in_dir(name), 0777), 0); }

static void put_text(const char *name, const char *text) { put_file(in_dir(name), text, strlen(text)); }

/* A WAV of n frames at 8000 Hz. */
static void put_sound(const char *name, int64_t n)
{
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(n));
    ok(et_audio_write_wav(in_dir(name), x, 8000, ET_WAV_PCM16));
    et_free(x);
}

static int32_t at(const et_tensor *t, int64_t i) { return et_data_i32(t)[i]; }

START_TEST(folders)
{
    et_collection *c;
    et_audio a;

    make_folder("music");
    fails_null(et_folder_of_classes(in_dir("music")), ET_EFORMAT, "no folders with sounds");
    make_folder("music/reel");
    make_folder("music/jig");
    make_folder("music/empty");
    put_sound("music/reel/b.wav", 10);
    put_sound("music/reel/a.WAV", 20);
    put_sound("music/jig/a.wav", 30);
    put_text("music/jig/notes.txt", "no sound");
    put_text("music/jig/broken.wav", "RIFF....WAVEfm");
    made(c = et_folder_of_classes(in_dir("music")));
    ck_assert_int_eq(et_collection_size(c), 4);
    ck_assert_int_eq(c->classes.n, 2);
    ck_assert_str_eq(c->classes.items[0], "jig");
    ck_assert_str_eq(c->names.items[0], "jig/a");
    ck_assert_str_eq(c->names.items[2], "reel/a");
    ck_assert(at(c->y, 0) == 0 && at(c->y, 3) == 1);
    ok(et_collection_audio(c, 2, &a));
    ck_assert_int_eq(a.samples->shape[1], 20);
    et_audio_free(&a);
    fails(et_collection_audio(c, 1, &a), ET_EFORMAT, "jig/broken: ");
    et_collection_free(c);
    fails_null(et_folder_of_classes(in_dir("none")), ET_EIO, "none");
    fails_null(et_folder_of_classes(NULL), ET_EINVAL, "NULL");
}
END_TEST

START_TEST(gtzan)
{
    et_collection *c;

    make_folder("g");
    make_folder("g/genres");
    make_folder("g/genres/rock");
    make_folder("g/genres/blues");
    make_folder("g/genres/polka");
    put_sound("g/genres/rock/rock.00000.wav", 5);
    put_sound("g/genres/rock/rock.00001.au", 5);
    put_sound("g/genres/blues/blues.00000.wav", 5);
    put_sound("g/genres/polka/polka.00000.wav", 5);
    made(c = et_gtzan_recordings(in_dir("g"), NULL));
    ck_assert_int_eq(et_collection_size(c), 3);
    ck_assert_int_eq(c->classes.n, 10);
    ck_assert_str_eq(c->names.items[0], "blues.00000");
    ck_assert(at(c->y, 0) == 0 && at(c->y, 1) == 9);
    ck_assert_ptr_null(c->split);
    et_collection_free(c);
    put_text("g/tracks.csv",
             "row,track,split\n0,rock.00001,train\n1,blues.00000,valid\n2,jazz.00054,train\n");
    made(c = et_gtzan_recordings(in_dir("g"), NULL));
    ck_assert_int_eq(c->splits.n, 2);
    ck_assert_str_eq(c->splits.items[at(c->split, 0)], "valid");
    ck_assert_int_eq(at(c->split, 1), -1);
    ck_assert_str_eq(c->splits.items[at(c->split, 2)], "train");
    et_collection_free(c);
    make_folder("g/samples"); /* sounds beside the genres are none of them */
    put_sound("g/samples/one.wav", 5);
    made(c = et_genre_folders(in_dir("g")));
    ck_assert_int_eq(et_collection_size(c), 3);
    ck_assert_int_eq(c->classes.n, 10);
    et_collection_free(c);
    made(c = et_genre_folders(in_dir("g/genres"))); /* polka is none of GTZAN's */
    ck_assert_int_eq(c->classes.n, 3);
    et_collection_free(c);
    make_folder("own"); /* one's own files in folders of such genres */
    make_folder("own/jazz");
    make_folder("own/rock");
    put_sound("own/jazz/1.wav", 5);
    put_sound("own/rock/1.wav", 5);
    put_sound("own/rock/rocket.wav", 5);
    put_text("own/tracks.csv", "track,split\nrocket,valid\njazz/1,train\n");
    made(c = et_genre_folders(in_dir("own")));
    ck_assert_int_eq(et_collection_size(c), 3);
    ck_assert_str_eq(c->names.items[0], "jazz/1");
    ck_assert_str_eq(c->names.items[1], "rock/1");
    ck_assert_str_eq(c->splits.items[at(c->split, 0)], "train");
    ck_assert_int_eq(at(c->split, 1), -1);
    ck_assert_str_eq(c->splits.items[at(c->split, 2)], "valid");
    et_collection_free(c);
    ck_assert_ptr_null(et_genre_folders(in_dir("g/genres/polka")));
    ck_assert_int_eq(et_error_status(), ET_OK);
    fails_null(et_genre_folders(in_dir("nowhere")), ET_EIO, "nowhere");
    put_text("other.csv", "track,split\nrock.00001,a\nrock.00001,b\n");
    fails_null(et_gtzan_recordings(in_dir("g"), in_dir("other.csv")), ET_EFORMAT,
               "other.csv:3: column 'track'");
    put_text("other.csv", "song,split\nrock.00001,a\n");
    fails_null(et_gtzan_recordings(in_dir("g"), in_dir("other.csv")), ET_EFORMAT, "no column named 'track'");
    fails_null(et_gtzan_recordings(in_dir("g"), in_dir("none.csv")), ET_EIO, "none.csv");
    fails_null(et_gtzan_recordings(in_dir("g/genres/polka"), NULL), ET_EFORMAT,
               "no folders of GTZAN's genres");
}
END_TEST

static void put_mtat(void)
{
    make_folder("m");
    make_folder("m/0");
    put_sound("m/0/band-01-song-0-29.wav", 7);
    put_text("m/annotations_final.csv",
             "\"clip_id\"\t\"guitar\"\t\"no voice\"\t\"odd\"\t\"mp3_path\"\n"
             "\"2\"\t\"1\"\t\"0\"\t\"0\"\t\"0/band-01-song-0-29.mp3\"\n"
             "\"6\"\t\"0\"\t\"0\"\t\"1\"\t\"0/band-01-song-29-58.mp3\"\n"
             "\"7\"\t\"0\"\t\"1\"\t\"0\"\t\"c/band-02-air-0-29.mp3\"\n"
             "\"8\"\t\"1\"\t\"1\"\t\"0\"\t\"f/club-01-x-0-29.mp3\"\n");
    put_text("m/tags.txt", "no voice\nguitar\n");
    put_text("m/lists.csv", "split,clip\nvalid,f/club-01-x-0-29\ntrain,0/band-01-song-0-29\n");
}

START_TEST(magnatagatune)
{
    et_tag_files files = {0};
    et_collection *c;
    et_audio a;
    char tags[512], lists[512];

    put_mtat();
    made(c = et_magnatagatune(in_dir("m"), NULL));
    ck_assert_int_eq(et_collection_size(c), 4);
    ck_assert_int_eq(c->tag_names.n, 3);
    ck_assert_str_eq(c->splits.items[at(c->split, 0)], "train");
    ck_assert_str_eq(c->splits.items[at(c->split, 2)], "valid");
    ck_assert_str_eq(c->splits.items[at(c->split, 3)], "test");
    ck_assert_int_eq(at(c->groups, 0), at(c->groups, 1)); /* one track */
    ck_assert_int_ne(at(c->groups, 1), at(c->groups, 2));
    ck_assert(memcmp(et_data(c->tags), "\1\0\0\0\0\1\0\1\0\1\1\0", 12) == 0);
    ok(et_collection_audio(c, 0, &a));
    ck_assert_int_eq(a.samples->shape[1], 7);
    et_audio_free(&a);
    ck_assert(et_collection_audio(c, 1, &a) < 0); /* not there: named */
    ck_assert_ptr_nonnull(strstr(et_error_message(), "0/band-01-song-29-58"));
    et_error_clear();
    et_collection_free(c);

    files.top = 2;
    made(c = et_magnatagatune(in_dir("m"), &files));
    ck_assert_int_eq(et_collection_size(c), 3);
    ck_assert_int_eq(c->tag_names.n, 2);
    ck_assert_str_eq(c->tag_names.items[0], "guitar");
    ck_assert_str_eq(c->tag_names.items[1], "no voice");
    ck_assert(memcmp(et_data(c->tags), "\1\0\0\1\1\1", 6) == 0);
    et_collection_free(c);
    files.top = 3;
    made(c = et_magnatagatune(in_dir("m"), &files));
    ck_assert_int_eq(c->tag_names.n, 3);
    et_collection_free(c);
    files.top = 0;

    files.tags = strcpy(tags, in_dir("m/tags.txt"));
    made(c = et_magnatagatune(in_dir("m"), &files));
    ck_assert_int_eq(et_collection_size(c), 3); /* that with neither is left out */
    ck_assert_str_eq(c->tag_names.items[0], "no voice");
    ck_assert(memcmp(et_data(c->tags), "\0\1\1\0\1\1", 6) == 0);
    et_collection_free(c);
    files.keep_untagged = true;
    made(c = et_magnatagatune(in_dir("m"), &files));
    ck_assert_int_eq(et_collection_size(c), 4);
    et_collection_free(c);

    files.lists = strcpy(lists, in_dir("m/lists.csv"));
    made(c = et_magnatagatune(in_dir("m"), &files));
    ck_assert_int_eq(et_collection_size(c), 2);
    ck_assert_str_eq(c->splits.items[at(c->split, 1)], "valid"); /* the list's, not the digit's */
    et_collection_free(c);

    put_text("m/tags.txt", "no voice\nbanjo\n");
    fails_null(et_magnatagatune(in_dir("m"), &files), ET_EFORMAT, "no column named 'banjo'");
    files.tags = files.lists = NULL;
    put_text("m/annotations_final.csv", "clip_id\tguitar\tmp3_path\n1\t2\t0/a-0-29.mp3\n");
    fails_null(et_magnatagatune(in_dir("m"), NULL), ET_EFORMAT, "annotations_final.csv:2: column 'guitar'");
    put_text("m/annotations_final.csv", "clip_id\tguitar\tmp3_path\n1\t1\t\n");
    fails_null(et_magnatagatune(in_dir("m"), NULL), ET_EINVAL, "item without a name");
}
END_TEST

START_TEST(tag_lists)
{
    et_tag_files files = {0};
    et_collection *c;
    char tags[512], lists[512];

    put_text("t.csv", "index,tag\n0,rock\n1,female vocalists\n2,unused\n");
    put_text("l.csv", "split,clip,tags\ntrain,TRAAA,1 0\nvalid,TRBBB,\ntest,TRCCC,1\n");
    files.tags = strcpy(tags, in_dir("t.csv"));
    files.lists = strcpy(lists, in_dir("l.csv"));
    made(c = et_tag_list("msd", &files));
    ck_assert_str_eq(c->name, "msd");
    ck_assert_int_eq(c->tag_names.n, 3);
    ck_assert(memcmp(et_data(c->tags), "\1\1\0\0\0\0\0\1\0", 9) == 0);
    ck_assert_str_eq(c->splits.items[2], "test");
    ck_assert_int_eq(c->files.n, 0);
    {
        et_audio a;
        fails(et_collection_audio(c, 0, &a), ET_EINVAL, "TRAAA: there is no sound file");
    }
    et_collection_free(c);
    put_text("l.csv", "split,clip,tags\ntrain,TRAAA,1 3\n");
    fails_null(et_tag_list("msd", &files), ET_EFORMAT,
               "l.csv:2: column 'tags': '3' is no number of a tag, 0 .. 2");
    put_text("l.csv", "split,clip,tags\ntrain,TRAAA,1x\n");
    fails_null(et_tag_list("msd", &files), ET_EFORMAT, "'1x' is no number");
    files.tags = NULL;
    put_text("l.csv", "split,clip,tags\ntrain,A,rock loud\n");
    made(c = et_tag_list("names", &files));
    ck_assert_str_eq(c->tag_names.items[1], "loud");
    et_collection_free(c);
    put_text("l.csv", "split,clip\ntrain,A\ntrain,A\n");
    fails_null(et_tag_list("twice", &files), ET_EINVAL, "the item 'A' is there twice");
    files.lists = NULL;
    fails_null(et_tag_list("none", &files), ET_EINVAL, "no list");
}
END_TEST

START_TEST(musiccaps)
{
    et_collection *c;
    char table[512];

    put_text("mc.csv",
             "ytid,start_s,is_audioset_eval,caption\n-a,0,True,\"Slow, sad.\"\nbb,30,False,Fast.\n");
    strcpy(table, in_dir("mc.csv"));
    made(c = et_musiccaps(table, NULL));
    ck_assert_int_eq(et_collection_size(c), 2);
    ck_assert_str_eq(c->captions.items[0], "Slow, sad.");
    ck_assert_str_eq(c->splits.items[at(c->split, 0)], "eval");
    ck_assert_str_eq(c->splits.items[at(c->split, 1)], "train");
    et_collection_free(c);
    make_folder("clips");
    fails_null(et_musiccaps(table, in_dir("clips")), ET_EFORMAT, "none of the clips");
    put_sound("clips/bb.wav", 9);
    made(c = et_musiccaps(table, in_dir("clips")));
    ck_assert_int_eq(et_collection_size(c), 1);
    ck_assert_str_eq(c->names.items[0], "bb");
    ck_assert_str_eq(c->captions.items[0], "Fast.");
    et_collection_free(c);
}
END_TEST

/* In words alone: as it is published, and with plain columns. */
START_TEST(musiccaps_texts)
{
    static const char *const tables[] = {
        "ytid,aspect_list,caption,is_audioset_eval\n"
        "a,\"['slow', \"\"singer's\"\", 'a \\'b\\'']\",Slow.,True\nb,[],Fast.,False\n",
        "split,caption,aspects\neval,Slow.,slow; singer's; a 'b'\ntrain,Fast.,\n"};
    et_musiccaps_texts t;

    for (int i = 0; i < 2; i++) {
        put_text("mc.csv", tables[i]);
        ck_assert_msg(et_musiccaps_texts_read(in_dir("mc.csv"), &t) == ET_OK, "%s", et_error_message());
        ck_assert_int_eq(t.captions.n, 2);
        ck_assert_str_eq(t.captions.items[1], "Fast.");
        ck_assert_str_eq(t.aspects.items[0], "slow; singer's; a 'b'");
        ck_assert_str_eq(t.aspects.items[1], "");
        ck_assert(t.eval[0] && !t.eval[1]);
        et_musiccaps_texts_free(&t);
    }
    put_text("mc.csv", "split,caption\neval,Slow.\n");
    ck_assert_int_eq(et_musiccaps_texts_read(in_dir("mc.csv"), &t), ET_OK);
    ck_assert_int_eq(t.aspects.n, 0);
    et_musiccaps_texts_free(&t);
    put_text("mc.csv", "aspects,caption\nslow,Slow.\n");
    ck_assert_int_eq(et_musiccaps_texts_read(in_dir("mc.csv"), &t), ET_EFORMAT);
    et_musiccaps_texts_free(&t);
    et_error_clear();
}
END_TEST

/* --- the data that comes with the project's folder, where it is --------------------------------- */

static void unpack(const char *archive)
{
    char command[2048];
    snprintf(command, sizeof command, "tar xzf '%s' -C '%s'", archive, test_dir);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(real_rendered)
{
    char path[1024], tar[1024], dir[1024];
    et_collection *c;
    et_dataset *ds;
    et_audio a;

    if (!suite_data(path, sizeof path, "rendered/clips.csv") ||
        !suite_data(tar, sizeof tar, "rendered/wav.tar.gz"))
        return;
    snprintf(dir, sizeof dir, "%.*s", (int)(strlen(path) - strlen("/clips.csv")), path);
    made(c = et_rendered_clips(dir)); /* not unpacked there */
    ck_assert_int_eq(et_collection_size(c), 1620);
    ck_assert_int_eq(c->files.n, 0);
    ck_assert_int_eq(c->classes.n, 9);
    ck_assert_int_eq(c->tag_names.n, 30);
    et_collection_free(c);
    unpack(tar);
    {
        size_t size;
        unsigned char *data = get_file(path, &size);
        put_file(in_dir("clips.csv"), data, size);
        free(data);
    }
    made(c = et_rendered_clips(test_dir));
    ck_assert_int_eq(et_collection_size(c), 54);
    for (int64_t i = 0; i < 54; i++) {
        ok(et_collection_audio(c, i, &a));
        ck_assert(a.rate == 22050 && a.samples->shape[1] == 132300);
        et_audio_free(&a);
    }
    printf("# rendered: 54 clips read, of 1620\n");
    et_collection_free(c);
    made(ds = et_rendered_mels(dir));
    ok(et_dataset_check(ds));
    ck_assert_int_eq(ds->x->shape[0], 1620);
    ck_assert_int_eq(ds->x->shape[1], 128);
    ck_assert_int_eq(ds->x->shape[2], 96);
    ck_assert_int_eq(ds->tag_names.n, 30);
    { /* every item has its style among its tags */
        const uint8_t *tags = et_data(ds->tags);
        for (int64_t i = 0; i < 1620; i++) {
            int64_t k = et_names_find(&ds->tag_names, ds->classes.items[at(ds->y, i)]);
            ck_assert(k >= 0 && tags[i * 30 + k] == 1);
        }
    }
    et_dataset_free(ds);
}
END_TEST

START_TEST(real_clips)
{
    char path[1024];
    et_collection *c;
    et_audio a;

    if (!suite_data(path, sizeof path, "real_clips/clips.csv"))
        return;
    *strrchr(path, '/') = '\0';
    made(c = et_recorded_clips(path));
    ck_assert_int_eq(et_collection_size(c), 11);
    ck_assert_int_ge(et_names_find(&c->classes, "unknown"), 0);
    for (int64_t i = 0; i < 11; i++) {
        ok(et_collection_audio(c, i, &a));
        ck_assert_int_eq(a.rate, 22050);
        ck_assert_int_gt(strlen(c->captions.items[i]), 10);
        et_audio_free(&a);
    }
    printf("# recorded: 11 clips read\n");
    et_collection_free(c);
}
END_TEST

START_TEST(real_digits)
{
    char path[1024], tar[1024];
    et_collection *c;
    et_audio a;
    int valid = 0;

    if (!suite_data(path, sizeof path, "fsdd/files.csv") || !suite_data(tar, sizeof tar, "fsdd/wav.tar.gz"))
        return;
    unpack(tar);
    {
        size_t size;
        unsigned char *data = get_file(path, &size);
        put_file(in_dir("files.csv"), data, size);
        free(data);
    }
    made(c = et_spoken_digits(test_dir));
    ck_assert_int_eq(et_collection_size(c), 840);
    ck_assert_int_eq(c->classes.n, 10);
    ck_assert_int_eq(c->tag_names.n, 16);
    for (int64_t i = 0; i < 840; i++) {
        valid += strcmp(c->splits.items[at(c->split, i)], "valid") == 0;
        ok(et_collection_audio(c, i, &a));
        ck_assert_int_eq(a.rate, 8000);
        et_audio_free(&a);
    }
    ck_assert_int_eq(valid, 120);
    printf("# digits: 840 clips read\n");
    et_collection_free(c);
}
END_TEST

START_TEST(real_lists)
{
    char path[1024], tags[1024], caps[1024], command[2600], csv[600];
    et_tag_files files = {0};
    et_collection *c;
    int64_t valid = 0, marks = 0;

    if (suite_data(caps, sizeof caps, "musiccaps/musiccaps.csv")) {
        made(c = et_musiccaps(caps, NULL));
        ck_assert_int_eq(et_collection_size(c), 4521);
        for (int64_t i = 0; i < 4521; i++)
            valid += strcmp(c->splits.items[at(c->split, i)], "train") == 0;
        ck_assert_int_eq(valid, 2663);
        et_collection_free(c);
    }
    if (!suite_data(path, sizeof path, "mtat/clips.csv.gz") ||
        !suite_data(tags, sizeof tags, "mtat/top50_tags.txt"))
        return;
    strcpy(csv, in_dir("clips.csv"));
    snprintf(command, sizeof command, "gzip -dc '%s' > '%s'", path, csv);
    ck_assert_int_eq(system(command), 0);
    files.lists = csv;
    files.tags = tags;
    made(c = et_tag_list("mtat", &files));
    ck_assert_int_eq(et_collection_size(c), 15244 + 1529);
    ck_assert_int_eq(c->tag_names.n, 50);
    ck_assert_str_eq(c->tag_names.items[0], "guitar");
    valid = 0;
    for (int64_t i = 0; i < et_collection_size(c); i++)
        if (strcmp(c->splits.items[at(c->split, i)], "valid") == 0) {
            int64_t has = 0;
            for (int k = 0; k < 50; k++)
                has += ((const uint8_t *)et_data(c->tags))[i * 50 + k];
            ck_assert_int_gt(has, 0);
            marks += has;
            valid++;
        }
    ck_assert_int_eq(valid, 1529);
    printf("# mtat: 16773 clips, %d tags in the valid list\n", (int)marks);
    et_collection_free(c);
}
END_TEST

static bool small_corpus(void *user)
{
    et_tag_files files = {.lists = user};
    et_collection *c = et_magnatagatune(in_dir("m"), &files), *d = et_folder_of_classes(in_dir("m"));
    bool good = c && d;

    et_collection_free(c);
    et_collection_free(d);
    return good;
}

START_TEST(out_of_memory)
{
    char lists[512];

    put_mtat();
    ck_assert_int_gt(alloc_sweep("corpora", small_corpus, strcpy(lists, in_dir("m/lists.csv"))), 50);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("corpora");
    TCase *t = tcase_create("corpora");

    tcase_add_checked_fixture(t, et_error_clear, NULL);
    tcase_add_checked_fixture(t, make_test_dir, remove_tree);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, folders);
    tcase_add_test(t, gtzan);
    tcase_add_test(t, magnatagatune);
    tcase_add_test(t, tag_lists);
    tcase_add_test(t, musiccaps);
    tcase_add_test(t, musiccaps_texts);
    tcase_add_test(t, real_rendered);
    tcase_add_test(t, real_clips);
    tcase_add_test(t, real_digits);
    tcase_add_test(t, real_lists);
    tcase_add_test(t, out_of_memory);
    suite_add_tcase(s, t);
    return suite_run(s);
}
