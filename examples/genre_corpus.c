#include "config.h"

#include "examples/genre_corpus.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/collection.h"
#include "datasets/corpus.h"
#include "datasets/front_end.h"
#include "datasets/split.h"
#include "examples/common/interrupt.h"
#include "examples/common/progress.h"
#include "tensor/parallel.h"

enum { MOST_THREADS = 16 };

/* What the threads share. Everything but `next`, `done` and `error` is only read by them. */
typedef struct kitchen {
    const et_collection *corpus;
    const et_front_end *fe;
    const int32_t *items;
    int64_t n, frames, bins; /* frames: of the sequence, pooled */
    float *x;
    pthread_mutex_t lock;
    int64_t next, done;
    et_status status; /* of the first item that failed, and its message */
    char why[256];
} kitchen;

/* One item: its sound, its spectra, and their means. */
static et_status cook(const kitchen *k, int64_t item)
{
    et_audio a;
    int64_t frames;
    float *spectra, *out = k->x + item * k->frames * k->bins;

    if (et_collection_audio(k->corpus, item, &a))
        return et_error_status();
    frames = et_front_end_frames(k->fe, a.samples->shape[1]);
    spectra = malloc((size_t)(frames * k->bins) * sizeof *spectra);
    et_status status = spectra ? et_front_end_run(k->fe, et_data(a.samples), a.samples->shape[1], spectra)
                               : et_raise(ET_ENOMEM, "out of memory");
    for (int64_t t = 0; !status && t < k->frames; t++)
        for (int64_t b = 0; b < k->bins; b++) {
            float sum = 0;
            for (int64_t p = 0; p < GENRE_CORPUS_POOL; p++)
                sum += spectra[(t * GENRE_CORPUS_POOL + p) * k->bins + b];
            out[t * k->bins + b] = sum / GENRE_CORPUS_POOL;
        }
    free(spectra);
    et_audio_free(&a);
    return status;
}

/* A thread: takes the next item until there is none, or one has failed. */
static void *work(void *user)
{
    kitchen *k = user;

    for (;;) {
        pthread_mutex_lock(&k->lock);
        int64_t i = k->status ? k->n : k->next++;
        pthread_mutex_unlock(&k->lock);
        if (i >= k->n)
            return NULL;
        et_status status = cook(k, k->items[i]);
        pthread_mutex_lock(&k->lock);
        k->done++;
        if (status && !k->status) {
            k->status = status;
            snprintf(k->why, sizeof k->why, "%s", et_error_message());
        }
        pthread_mutex_unlock(&k->lock);
        et_error_clear();
    }
}

/* Runs the threads and shows their progress; an error of theirs becomes the caller's. */
static et_status cook_all(kitchen *k)
{
    pthread_t threads[MOST_THREADS];
    int n = et_get_num_threads(), begun = 0;
    et_progress progress;

    pthread_mutex_init(&k->lock, NULL);
    et_progress_begin(&progress, stdout, k->n, "playing the built-in corpus");
    while (begun < n && begun < MOST_THREADS && pthread_create(&threads[begun], NULL, work, k) == 0)
        begun++;
    if (begun == 0)
        work(k);
    for (int64_t done = 0; begun > 0 && done < k->n;) {
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
        pthread_mutex_lock(&k->lock);
        if (et_interrupted() && !k->status) {
            k->status = ET_EINVAL;
            snprintf(k->why, sizeof k->why, "interrupted");
        }
        done = k->status ? k->n : k->done;
        pthread_mutex_unlock(&k->lock);
        et_progress_step(&progress, done, "%s", "");
    }
    for (int i = 0; i < begun; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&k->lock);
    if (k->status) {
        et_progress_drop(&progress);
        return et_raise(k->status, "%s", k->why);
    }
    et_progress_end(&progress, "%s", "");
    return ET_OK;
}

/* The items that are wanted; the caller releases them with free. */
static int32_t *choose(const et_collection *c, bool test, int64_t *n)
{
    const int32_t *split = et_data(c->split), wanted = (int32_t)et_names_find(&c->splits, "test");
    int32_t *items = malloc((size_t)et_collection_size(c) * sizeof *items);

    *n = 0;
    for (int64_t i = 0; items && i < et_collection_size(c); i++)
        if ((split[i] == wanted) == test)
            items[(*n)++] = (int32_t)i;
    if (!items)
        et_raise(ET_ENOMEM, "out of memory");
    return items;
}

et_dataset *genre_corpus(int64_t songs, bool test)
{
    et_corpus_options o = et_corpus_defaults();
    et_dataset *all = NULL, *ds = NULL;
    int32_t *items = NULL;

    o.songs = songs;
    et_collection *c = et_corpus(&o);
    et_front_end *fe = et_front_end_new("rnn64");
    kitchen k = {.corpus = c, .fe = fe};

    if (c && fe && (items = choose(c, test, &k.n)) && (all = et_collection_labels(c))) {
        k.items = items;
        k.bins = et_front_end_bins(fe);
        k.frames = et_front_end_frames(fe, (int64_t)(o.seconds * (double)o.rate)) / GENRE_CORPUS_POOL;
        all->x = et_dataset_tensor(ET_F32, 3, (const int64_t[3]){et_collection_size(c), k.frames, k.bins});
        k.x = all->x && !et_fill(all->x, 0) ? et_data_mut(all->x) : NULL;
        if (k.x && !cook_all(&k))
            ds = et_dataset_subset(all, items, k.n);
    }
    et_dataset_free(all);
    free(items);
    et_front_end_free(fe);
    et_collection_free(c);
    return ds;
}
