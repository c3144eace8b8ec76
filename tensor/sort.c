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

static void swap(unsigned char *a, unsigned char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

/* As sift, for elements in place. */
static void sift_elements(unsigned char *v, size_t i, size_t n, size_t size,
                          int (*compare)(const void *, const void *))
{
    size_t child;

    while ((child = 2 * i + 1) < n) {
        if (child + 1 < n && compare(v + child * size, v + (child + 1) * size) < 0)
            child++;
        if (compare(v + i * size, v + child * size) >= 0)
            break;
        swap(v + i * size, v + child * size, size);
        i = child;
    }
}

void et_sort_elements(void *items, size_t n, size_t size, int (*compare)(const void *a, const void *b))
{
    unsigned char *v = items;
    size_t i = 1;

    while (i < n && compare(v + (i - 1) * size, v + i * size) <= 0)
        i++;
    if (i >= n)
        return;
    for (i = n / 2; i-- > 0;)
        sift_elements(v, i, n, size, compare);
    for (i = n; i-- > 1;) {
        swap(v, v + i * size, size);
        sift_elements(v, 0, i, size, compare);
    }
}
