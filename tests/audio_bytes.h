/* Sound files made byte by byte, for tests. */
#ifndef ETUDE_TESTS_AUDIO_BYTES_H
#define ETUDE_TESTS_AUDIO_BYTES_H

#include <stdint.h>
#include <string.h>

#include "tests/suite.h"

typedef struct audio_bytes {
    unsigned char data[4096];
    size_t size;
} audio_bytes;

/* Appends a number of so many bytes, the least (most) significant first. */
static inline void put_le(audio_bytes *b, uint64_t value, int bytes)
{
    ck_assert_uint_le(b->size + 8, sizeof b->data);
    for (int i = 0; i < bytes; i++)
        b->data[b->size++] = (unsigned char)(value >> 8 * i);
}

static inline void put_be(audio_bytes *b, uint64_t value, int bytes)
{
    ck_assert_uint_le(b->size + 8, sizeof b->data);
    for (int i = bytes - 1; i >= 0; i--)
        b->data[b->size++] = (unsigned char)(value >> 8 * i);
}

static inline void put_text(audio_bytes *b, const char *text)
{
    while (*text)
        put_le(b, (unsigned char)*text++, 1);
}

/* A chunk that readers pass over, padded to an even size. */
static inline void put_chunk(audio_bytes *b, const char *name, int size)
{
    put_text(b, name);
    put_le(b, (uint64_t)size, 4);
    for (int i = 0; i < size + size % 2; i++)
        put_le(b, 'd', 1);
}

static inline void put_chunk_be(audio_bytes *b, const char *name, int size)
{
    put_text(b, name);
    put_be(b, (uint64_t)size, 4);
    for (int i = 0; i < size + size % 2; i++)
        put_le(b, 'd', 1);
}

static inline void begin_wav(audio_bytes *b, const char *magic)
{
    put_text(b, magic);
    put_le(b, 0xFFFFFFFF, 4);
    put_text(b, "WAVE");
}

/* A fmt chunk; `bytes` of one sample. */
static inline void put_fmt(audio_bytes *b, int format, int channels, uint32_t rate, int bytes, int bits)
{
    put_text(b, "fmt ");
    put_le(b, 16, 4);
    put_le(b, (uint64_t)format, 2);
    put_le(b, (uint64_t)channels, 2);
    put_le(b, rate, 4);
    put_le(b, rate * (uint64_t)(channels * bytes), 4);
    put_le(b, (uint64_t)(channels * bytes), 2);
    put_le(b, (uint64_t)bits, 2);
}

#endif
