/* The built-in corpus for genre-rnn: see genre_corpus.h. */
#include "config.h"

#include "examples/genre_corpus.h"

#include <stdio.h>
#include <stdlib.h>

#include "datasets/collection.h"
#include "datasets/corpus.h"
#include "datasets/front_end.h"
#include "datasets/ordered.h"
#include "datasets/split.h"
#include "examples/common/interrupt.h"
#include "examples/common/progress.h"
#include "tensor/parallel.h"

enum { MOST_THREADS = 16 };

/* What the threads share; each writes its own items of x. */
typedef struct kitchen {
    const et_collection *corpus;
    const et_front_end *fe;
    const int32_t *items;
    int64_t n, frames, bins; /* frames: of the sequence, pooled */
    float *x;
} kitchen;

/* One item: its sound, its spectra, and their means. */
static et_status cook(void *user, int64_t job, void *result)
{
    const kitchen *k = user;
    const int64_t item = k->items[job];
    et_audio a;
    int64_t frames;
    float *spectra, *out = k->x + item * k->frames * k->bins;

    (void)result;
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

/* All items, by threads, and their progress. */
static et_status cook_all(kitchen *k)
{
    const int n = et_get_num_threads();
    const et_ordered_jobs jobs = {.n = k->n,
                                  .threads = n > MOST_THREADS ? MOST_THREADS : n > 1 ? n : 0,
                                  .ahead = 4 * MOST_THREADS,
                                  .work = cook,
                                  .user = k};
    et_ordered *cooks = et_ordered_start(&jobs);
    et_status status = cooks ? ET_OK : et_error_status();
    et_progress progress;
    char nothing;

    et_progress_begin(&progress, stdout, k->n, "playing the built-in corpus");
    for (int64_t done = 1; !status && done <= k->n; done++) {
        status = et_interrupted() ? et_raise(ET_EINVAL, "interrupted") : et_ordered_take(cooks, &nothing);
        et_progress_step(&progress, done, "%s", "");
    }
    et_ordered_stop(cooks);
    if (status)
        et_progress_drop(&progress);
    else
        et_progress_end(&progress, "%s", "");
    return status;
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
