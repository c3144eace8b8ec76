/* FNV-1a (Fowler, Noll and Vo), 64 bits: tells files and data apart that may have changed. No defence against
 * those who want two to agree. */
#ifndef ETUDE_TENSOR_HASH_H
#define ETUDE_TENSOR_HASH_H

#include <stddef.h>
#include <stdint.h>

#define ET_HASH_START UINT64_C(14695981039346656037)
#define ET_HASH_PRIME UINT64_C(1099511628211)

/** The hash of what h is that of (ET_HASH_START: of nothing) and n bytes more. */
static inline uint64_t et_hash(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * ET_HASH_PRIME;
    return h;
}

#endif
