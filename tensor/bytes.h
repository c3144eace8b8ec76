/* Numbers in files: little-endian (or big-endian) by construction, whatever the
 * machine, and at any address. */
#ifndef ETUDE_TENSOR_BYTES_H
#define ETUDE_TENSOR_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t et_load_u16le(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }

static inline uint32_t et_load_u32le(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t et_load_u64le(const unsigned char *p)
{
    return (uint64_t)et_load_u32le(p) | (uint64_t)et_load_u32le(p + 4) << 32;
}

static inline uint16_t et_load_u16be(const unsigned char *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static inline uint32_t et_load_u32be(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static inline uint64_t et_load_u64be(const unsigned char *p)
{
    return (uint64_t)et_load_u32be(p) << 32 | (uint64_t)et_load_u32be(p + 4);
}

static inline void et_store_u16le(unsigned char *p, uint16_t v)
{
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static inline void et_store_u32le(unsigned char *p, uint32_t v)
{
    et_store_u16le(p, (uint16_t)v);
    et_store_u16le(p + 2, (uint16_t)(v >> 16));
}

static inline void et_store_u64le(unsigned char *p, uint64_t v)
{
    et_store_u32le(p, (uint32_t)v);
    et_store_u32le(p + 4, (uint32_t)(v >> 32));
}

/* The bits of a real as an integer, and back. */
static inline float et_bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline double et_bits_f64(uint64_t u)
{
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

static inline uint32_t et_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline uint64_t et_f64_bits(double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u;
}

#endif
