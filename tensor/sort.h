/* Sorting without memory of its own and without bad cases (libc's qsort promises
 * neither). */
#ifndef ETUDE_TENSOR_SORT_H
#define ETUDE_TENSOR_SORT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Sorts n pointers by compare(a, b), which is given two of them and is negative when a
 *  comes first. Not stable. n log n comparisons at worst (heap sort). */
void et_sort_pointers(void **v, size_t n, int (*compare)(const void *a, const void *b));

/** The same for an array of n elements of `size` bytes each, which are moved themselves. What
 *  is in order already costs n comparisons. */
void et_sort_elements(void *v, size_t n, size_t size, int (*compare)(const void *a, const void *b));

#ifdef __cplusplus
}
#endif
#endif
