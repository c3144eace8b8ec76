/* Room for one more element of an array that grows: shared by the sources of this folder. */
#ifndef ETUDE_DATASETS_GROW_H
#define ETUDE_DATASETS_GROW_H

#include <stdint.h>

#include "tensor/alloc.h"
#include "tensor/error.h"

/* The array `items`, of `room` elements of `size` bytes of which `used` are taken, with room for one more:
 * itself, or moved. Doubles, so that n additions cost time and memory in proportion to n. NULL and ENOMEM
 * leave the array as it was. */
static inline void *et_grow(void *items, int64_t *room, int64_t used, size_t size)
{
    int64_t want = *room == 0 ? 16 : *room * 2;
    size_t bytes;
    void *p;

    if (used < *room)
        return items;
    if (want < *room || !et_mul_size((size_t)want, size, &bytes)) {
        et_raise(ET_ENOMEM, "array too large");
        return NULL;
    }
    p = et_alloc_resize(items, bytes);
    if (p)
        *room = want;
    return p;
}

#endif
