/* Heap sort (Williams 1964). */
#include "config.h"

#include "tensor/sort.h"

/* Moves item i of the heap v[0 .. n) down to its place. */
static void sift(void **v, size_t i, size_t n, int (*compare)(const void *, const void *))
{
    void *moved = v[i];
    size_t child;

    while ((child = 2 * i + 1) < n) {
        if (child + 1 < n && compare(v[child], v[child + 1]) < 0)
            child++;
        if (compare(moved, v[child]) >= 0)
            break;
        v[i] = v[child];
        i = child;
    }
    v[i] = moved;
}

void et_sort_pointers(void **v, size_t n, int (*compare)(const void *a, const void *b))
{
    void *first;
    size_t i;

    for (i = n / 2; i-- > 0;)
        sift(v, i, n, compare);
    for (i = n; i-- > 1;) {
        first = v[0];
        v[0] = v[i];
        v[i] = first;
        sift(v, 0, i, compare);
    }
}
