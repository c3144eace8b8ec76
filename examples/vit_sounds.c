/* Segments of sounds: see vit_sounds.h. */
#include "config.h"

#include "examples/vit_sounds.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/run_features.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tensor/parallel.h"

struct vit_sounds {
    et_feature_cache *cache;
    int32_t *item, *from; /* of each segment: the sound, and its first frame there */
    int64_t n, bins;
    float *mean, *std;    /* [bins], or NULL: each segment by itself */
};

int64_t vit_sounds_bins(const vit_sounds *s) { return s->bins; }

void vit_sounds_free(vit_sounds *s)
{
    if (!s)
        return;
    et_feature_cache_free(s->cache);
    et_dealloc(s->item);
    et_dealloc(s->from);
    et_dealloc(s->mean);
    et_dealloc(s->std);
    et_dealloc(s);
}

static et_feature_cache *open_cache(const et_collection *c, const char *path, const char *key)
{
    et_front_end *fe = et_front_end_new("vit129");
    char what[64];

    snprintf(what, sizeof what, "spectra of %" PRId64 " sound%s", et_collection_size(c),
             et_plural(et_collection_size(c)));
    const et_feature_cache_options o = {.path = path, .key = key, .threads = et_get_num_threads()};
    et_feature_cache *cache = fe ? et_run_features(c, fe, what, o) : NULL;
    et_front_end_free(fe);
    return cache;
}

/* Counts the segments and, where there is room for them, notes where they are. */
static int64_t cut(vit_sounds *s)
{
    int64_t n = 0;

    for (int64_t i = 0; i < et_feature_cache_size(s->cache); i++)
        for (int64_t f = 0; f + VIT_SEGMENT <= et_feature_cache_frames(s->cache, i); f += VIT_SEGMENT, n++)
            if (s->item) {
                s->item[n] = (int32_t)i;
                s->from[n] = (int32_t)f;
            }
    return n;
}

/* What was left out, and the first reason. */
static void tell(const vit_sounds *s)
{
    int64_t n = et_feature_cache_size(s->cache), brief = 0, broken = et_feature_cache_broken(s->cache),
            first = -1;

    for (int64_t i = 0; i < n; i++) {
        const char *problem = et_feature_cache_problem(s->cache, i);
        if (problem && first < 0)
            first = i;
        brief += !problem && et_feature_cache_frames(s->cache, i) < VIT_SEGMENT;
    }
    if (broken + brief == 0)
        return;
    printf("%" PRId64 " of %" PRId64 " sound%s %s left out: %" PRId64 " broken, %" PRId64
           " shorter than a segment", broken + brief, n, et_plural(n), broken + brief == 1 ? "is" : "are",
           broken, brief);
    if (first >= 0)
        printf(" (the first: %s)", et_feature_cache_problem(s->cache, first));
    printf("\n");
}

/* Labels and groups of the segments. */
static et_dataset *label(const et_collection *c, const vit_sounds *s)
{
    int64_t n = et_collection_size(c);
    et_dataset *all = et_collection_labels(c), *ds = NULL;

    if (all && (all->x = et_dataset_tensor(ET_F32, 2, (const int64_t[]){n, 1})) && !et_fill(all->x, 0))
        ds = et_dataset_subset(all, s->item, s->n);
    et_dataset_free(all);
    if (!ds || ds->groups)
        return ds;
    if ((ds->groups = et_dataset_tensor(ET_I32, 1, &s->n))) {
        memcpy(et_data_mut(ds->groups), s->item, (size_t)s->n * sizeof *s->item);
        return ds;
    }
    et_dataset_free(ds);
    return NULL;
}

et_status vit_sounds_open(const et_collection *c, const char *cache, const char *key, vit_sounds **sounds,
                          et_dataset **segments)
{
    vit_sounds *s = et_alloc_zero(1, sizeof *s);

    *sounds = NULL;
    *segments = NULL;
    if (!s || !(s->cache = open_cache(c, cache, key)))
        goto fail;
    s->bins = et_feature_cache_bins(s->cache);
    s->n = cut(s);
    tell(s);
    if (s->n == 0) {
        et_raise(ET_EFORMAT, "%s: no sound has a whole segment of %d frames (5.94 s)", c->name, VIT_SEGMENT);
        goto fail;
    }
    s->item = et_alloc((size_t)s->n * sizeof *s->item);
    s->from = s->item ? et_alloc((size_t)s->n * sizeof *s->from) : NULL;
    if (!s->from)
        goto fail;
    cut(s);
    if (!(*segments = label(c, s)))
        goto fail;
    *sounds = s;
    return ET_OK;
fail:
    vit_sounds_free(s);
    return et_error_status();
}

/* n numbers with mean 0 and deviation 1. */
static void standardize_segment(float *x, int64_t n)
{
    double sum = 0, squares = 0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    for (int64_t i = 0; i < n; i++)
        squares += ((double)x[i] - sum / (double)n) * ((double)x[i] - sum / (double)n);
    double std = sqrt(squares / (double)n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(((double)x[i] - sum / (double)n) / (std > 1e-6 ? std : 1));
}

static et_status read_segment(const vit_sounds *s, int32_t i, float *x)
{
    if (i < 0 || i >= s->n)
        return et_raise(ET_EINVAL, "there is no segment %d", (int)i);
    return et_feature_cache_read(s->cache, s->item[i], s->from[i], VIT_SEGMENT, x);
}

et_tensor *vit_sounds_read(const void *sounds, const int32_t *index, int64_t n)
{
    const vit_sounds *s = sounds;
    et_tensor *t = et_empty(ET_F32, ET_SHAPE(n, VIT_SEGMENT, s->bins));
    float *x = t ? et_data_mut(t) : NULL;
    const int64_t each = VIT_SEGMENT * s->bins;

    for (int64_t i = 0; x && i < n; i++, x += each) {
        if (read_segment(s, index[i], x))
            return NULL;
        if (!s->mean)
            standardize_segment(x, each);
        for (int64_t j = 0; s->mean && j < each; j++)
            x[j] = (x[j] - s->mean[j % s->bins]) / s->std[j % s->bins];
    }
    return t;
}

et_status vit_sounds_fit(vit_sounds *s, const et_indices *items, float *mean, float *std)
{
    float *x = et_alloc_zero((size_t)s->bins, VIT_SEGMENT * sizeof *x);
    double *sum = et_alloc_zero((size_t)s->bins, 2 * sizeof *sum), *squares = sum ? sum + s->bins : NULL;
    et_status status = x && sum ? ET_OK : et_error_status();
    const double count = (double)(items->n * VIT_SEGMENT);

    for (int64_t i = 0; !status && i < items->n; i++) {
        status = read_segment(s, items->items[i], x);
        for (int64_t j = 0; !status && j < VIT_SEGMENT * s->bins; j++) {
            sum[j % s->bins] += (double)x[j];
            squares[j % s->bins] += (double)x[j] * (double)x[j];
        }
    }
    for (int64_t b = 0; !status && b < s->bins; b++) {
        double m = sum[b] / count, v = squares[b] / count - m * m;
        mean[b] = (float)m;
        std[b] = v > 1e-6 ? (float)sqrt(v) : 1;
    }
    et_dealloc(x);
    et_dealloc(sum);
    return status;
}

et_status vit_sounds_standardize(vit_sounds *s, const float *mean, const float *std)
{
    const size_t n = (size_t)s->bins;

    s->mean = s->mean ? s->mean : et_alloc(n * sizeof *mean);
    s->std = s->std ? s->std : et_alloc(n * sizeof *std);
    if (!s->mean || !s->std)
        return et_error_status();
    memcpy(s->mean, mean, n * sizeof *mean);
    memcpy(s->std, std, n * sizeof *std);
    return ET_OK;
}
