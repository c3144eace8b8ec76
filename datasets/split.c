/* Splits by name and by group. */
#include "config.h"

#include "datasets/split.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tensor/alloc.h"
#include "tensor/rng.h"

enum { SPLIT_STREAM = 0x5350 }; /* random stream of the order of groups */

void et_indices_free(et_indices *indices)
{
    if (!indices)
        return;
    et_dealloc(indices->items);
    indices->items = NULL;
    indices->n = 0;
}

/* The items i with keep[i] == value (all if keep is NULL). */
static et_status collect(et_indices *out, int64_t n, const int32_t *keep, int32_t value, bool equal)
{
    size_t bytes;

    out->n = 0;
    out->items = NULL;
    if (!et_mul_size((size_t)n, sizeof *out->items, &bytes))
        return et_raise(ET_ENOMEM, "split: too many items");
    out->items = et_alloc(bytes);
    if (!out->items)
        return et_fail_status("split");
    for (int64_t i = 0; i < n; i++)
        if (!keep || (keep[i] == value) == equal)
            out->items[out->n++] = (int32_t)i;
    return ET_OK;
}

et_status et_split_all(const et_dataset *ds, et_indices *out)
{
    if (!out)
        return et_raise(ET_EINVAL, "split: NULL");
    if (et_dataset_check(ds) < 0)
        return et_error_status();
    return collect(out, et_dataset_size(ds), NULL, 0, true);
}

et_status et_split_named(const et_dataset *ds, const char *name, et_indices *out)
{
    int64_t which;

    if (!name || !out)
        return et_raise(ET_EINVAL, "split: NULL");
    if (et_dataset_check(ds) < 0)
        return et_error_status();
    which = et_names_find(&ds->splits, name);
    if (!ds->split || which < 0)
        return collect(out, 0, NULL, 0, true);
    return collect(out, et_dataset_size(ds), et_data_i32(ds->split), (int32_t)which, true);
}

/* One group: its items are order[first .. first + n - 1]. */
typedef struct group {
    int64_t first, n;
    int64_t rank; /* place in the random order */
} group;

typedef struct keyed {
    int32_t key, item;
} keyed;

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static int by_size(const void *a, const void *b)
{
    const group *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* Items dealt out to k folds, fold f receiving about weight[f] of each class. */
typedef struct deal {
    const int32_t *y;
    const double *weight;
    int k;
    int64_t classes;
    keyed *items;       /* [n], sorted by group */
    group *groups;      /* [n_groups], the largest first */
    int64_t n_groups;
    int64_t *total;     /* [classes] items */
    int64_t *here;      /* [classes] of the group in hand; 0 between groups */
    double *have;       /* [k, classes] items that folds have, */
    double *size;       /* [k] and how many they are */
} deal;

/* Sorts the items by group, the groups by size, equal ones at random. */
static et_status gather(deal *d, const et_dataset *ds, uint64_t seed)
{
    const int32_t *g = ds->groups ? et_data_i32(ds->groups) : NULL;
    const int64_t n = et_dataset_size(ds);
    et_rng rng = et_rng_make(seed, SPLIT_STREAM);
    int32_t *shuffled = et_alloc_zero((size_t)n, sizeof *shuffled);

    if (!shuffled)
        return et_error_status();
    for (int64_t i = 0; i < n; i++) {
        d->items[i].item = (int32_t)i;
        d->items[i].key = g ? g[i] : (int32_t)i;
        d->total[d->y[i]]++;
    }
    qsort(d->items, (size_t)n, sizeof *d->items, by_key);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || d->items[i].key != d->items[i - 1].key)
            d->groups[d->n_groups++].first = i;
        d->groups[d->n_groups - 1].n++;
    }
    for (int64_t i = 0; i < d->n_groups; i++)
        shuffled[i] = (int32_t)i;
    et_shuffle(&rng, shuffled, d->n_groups);
    for (int64_t i = 0; i < d->n_groups; i++)
        d->groups[shuffled[i]].rank = i;
    qsort(d->groups, (size_t)d->n_groups, sizeof *d->groups, by_size);
    et_dealloc(shuffled);
    return ET_OK;
}

/* The fold where, relative to its weight, the classes that the group holds are rarest, counting half of
 * itself (so that shares are rounded, not cut); of equal ones the emptiest. */
static int best_fold(const deal *d, const group *g)
{
    const keyed *own = d->items + g->first;
    double best_cost = 0, best_size = 0;
    int best = -1;

    for (int f = 0; f < d->k; f++) {
        const double *have = d->have + f * d->classes, weight = d->weight[f];
        double cost = 0;
        if (!(weight > 0))
            continue;
        /* Over the items, not over all classes: a group is small, classes may be many. */
        for (int64_t i = 0; i < g->n; i++) {
            const int32_t c = d->y[own[i].item];
            cost += (have[c] + 0.5 * (double)d->here[c]) / (weight * (double)d->total[c]);
        }
        const double full = (d->size[f] + 0.5 * (double)g->n) / weight;
        if (best < 0 || cost < best_cost - 1e-12 || (cost < best_cost + 1e-12 && full < best_size - 1e-12)) {
            best = f;
            best_cost = cost;
            best_size = full;
        }
    }
    return best;
}

static void give(deal *d, const group *g, int32_t *fold)
{
    const keyed *own = d->items + g->first;

    for (int64_t i = 0; i < g->n; i++)
        d->here[d->y[own[i].item]]++;
    const int best = best_fold(d, g);
    for (int64_t i = 0; i < g->n; i++) {
        const int32_t c = d->y[own[i].item];
        fold[own[i].item] = best;
        d->have[best * d->classes + c]++;
        d->here[c] = 0;
    }
    d->size[best] += (double)g->n;
}

/* Puts whole groups into k folds, fold f receiving about weight[f] of each class. */
static et_status assign(const et_dataset *ds, int k, const double *weight, uint64_t seed, int32_t *fold)
{
    const size_t n = (size_t)et_dataset_size(ds), classes = (size_t)ds->classes.n;
    deal d = {.y = et_data_i32(ds->y), .weight = weight, .k = k, .classes = ds->classes.n};
    et_status status;

    d.items = et_alloc_zero(n, sizeof *d.items);
    d.groups = et_alloc_zero(n, sizeof *d.groups);
    d.total = et_alloc_zero(classes, sizeof *d.total);
    d.here = et_alloc_zero(classes, sizeof *d.here);
    d.have = et_alloc_zero(classes, (size_t)k * sizeof *d.have);
    d.size = et_alloc_zero((size_t)k, sizeof *d.size);
    if (!d.items || !d.groups || !d.total || !d.here || !d.have || !d.size || gather(&d, ds, seed))
        status = et_fail_status("split");
    else
        status = ET_OK;
    for (int64_t i = 0; i < d.n_groups && !status; i++)
        give(&d, &d.groups[i], fold);
    et_dealloc(d.items);
    et_dealloc(d.groups);
    et_dealloc(d.total);
    et_dealloc(d.here);
    et_dealloc(d.have);
    et_dealloc(d.size);
    return status;
}

et_status et_split_folds(const et_dataset *ds, int k, uint64_t seed, int32_t *fold)
{
    double *weight;
    et_status status;

    if (!fold)
        return et_raise(ET_EINVAL, "split: NULL");
    if (k < 2 || k > 10000)
        return et_raise(ET_EINVAL, "split: %d folds", k);
    if (et_dataset_check(ds) < 0)
        return et_error_status();
    weight = et_alloc_zero((size_t)k, sizeof *weight);
    if (!weight)
        return et_fail_status("split");
    for (int f = 0; f < k; f++)
        weight[f] = 1.0 / k;
    status = assign(ds, k, weight, seed, fold);
    et_dealloc(weight);
    return status;
}

/* Both sides, or neither. */
static et_status two_sides(int64_t n, const int32_t *fold, int j, et_indices *rest, et_indices *held)
{
    if (collect(held, n, fold, j, true) < 0)
        return et_error_status();
    if (collect(rest, n, fold, j, false) < 0) {
        et_indices_free(held);
        return et_error_status();
    }
    return ET_OK;
}

et_status et_split_fold(const et_dataset *ds, const int32_t *fold, int j, et_indices *rest, et_indices *held)
{
    if (!fold || !rest || !held)
        return et_raise(ET_EINVAL, "split: NULL");
    if (et_dataset_check(ds) < 0)
        return et_error_status();
    return two_sides(et_dataset_size(ds), fold, j, rest, held);
}

et_status et_split_random(const et_dataset *ds, double fraction, uint64_t seed, et_indices *rest,
                          et_indices *held)
{
    double weight[2];
    int32_t *fold;
    et_status status;

    if (!rest || !held)
        return et_raise(ET_EINVAL, "split: NULL");
    if (!(fraction >= 0 && fraction <= 1))
        return et_raise(ET_EINVAL, "split: fraction %g", fraction);
    if (et_dataset_check(ds) < 0)
        return et_error_status();
    fold = et_alloc_zero((size_t)et_dataset_size(ds), sizeof *fold);
    if (!fold)
        return et_fail_status("split");
    weight[0] = 1 - fraction;
    weight[1] = fraction;
    status = assign(ds, 2, weight, seed, fold);
    if (status == ET_OK)
        status = two_sides(et_dataset_size(ds), fold, 1, rest, held);
    et_dealloc(fold);
    return status;
}
