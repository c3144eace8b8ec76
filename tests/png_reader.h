/* A reader of zlib streams and PNG files for the tests: it shares nothing with the writer
 * and is strict about codes, checksums and lengths. Used inside Check tests. */
#ifndef ETUDE_TESTS_PNG_READER_H
#define ETUDE_TESTS_PNG_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/suite.h"

typedef struct bits {
    const uint8_t *p;
    size_t n, at; /* at: in bits */
} bits;

static inline unsigned take(bits *b, int n)
{
    unsigned v = 0;

    for (int i = 0; i < n; i++, b->at++) {
        ck_assert_msg(b->at / 8 < b->n, "the stream ends early");
        v |= (unsigned)(b->p[b->at / 8] >> (b->at % 8) & 1) << i;
    }
    return v;
}

/* Canonical decoding, a bit at a time (RFC 1951, section 3.2.2): count[len] codes of each
 * length, their symbols in order. */
typedef struct tree {
    int count[16], symbol[320];
} tree;

/* `complete`: every bit pattern has a meaning, which all codes but single ones must obey. */
static inline void plant(tree *t, const uint8_t *len, int n)
{
    int start[16] = {0}, used = 0, left = 1;

    memset(t->count, 0, sizeof t->count);
    for (int i = 0; i < n; i++)
        t->count[len[i]]++;
    used = n - t->count[0];
    t->count[0] = 0;
    for (int b = 1; b < 16; b++) {
        start[b] = start[b - 1] + t->count[b - 1];
        left = 2 * left - t->count[b];
        ck_assert_msg(left >= 0, "more codes than there are");
    }
    ck_assert_msg(left == 0 || used <= 1, "an incomplete code");
    for (int i = 0; i < n; i++)
        if (len[i])
            t->symbol[start[len[i]]++] = i;
}

static inline int decode(bits *b, const tree *t)
{
    int code = 0, first = 0, index = 0;

    for (int len = 1; len < 16; len++) {
        code |= (int)take(b, 1);
        if (code - first < t->count[len])
            return t->symbol[index + code - first];
        index += t->count[len];
        first = (first + t->count[len]) << 1;
        code <<= 1;
    }
    ck_abort_msg("no such code");
    return -1;
}

/* Blocks of each kind that have been read: stored, fixed codes, own codes. */
static int kinds_seen[3];

static inline size_t inflate_body(bits *b, uint8_t *out, size_t most)
{
    static const int len_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                   31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const int order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    size_t n = 0;
    unsigned last;

    do {
        unsigned kind;
        tree lit, dist;

        last = take(b, 1);
        kind = take(b, 2);
        ck_assert_uint_lt(kind, 3);
        kinds_seen[kind]++;
        if (kind == 0) {
            unsigned len, not;

            b->at = (b->at + 7) / 8 * 8;
            len = take(b, 16);
            not = take(b, 16);
            ck_assert_uint_eq(len, not ^ 0xFFFFu);
            for (unsigned i = 0; i < len; i++) {
                ck_assert_uint_lt(n, most);
                out[n++] = (uint8_t)take(b, 8);
            }
            continue;
        }
        if (kind == 1) {
            uint8_t len[288];

            for (int i = 0; i < 288; i++)
                len[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
            plant(&lit, len, 288);
            for (int i = 0; i < 32; i++)
                len[i] = 5;
            plant(&dist, len, 32);
        } else {
            int n_lit = 257 + (int)take(b, 5), n_dist = 1 + (int)take(b, 5), n_code = 4 + (int)take(b, 4),
                i = 0;
            uint8_t len[320] = {0};
            tree codes;

            ck_assert_int_le(n_lit, 286);
            ck_assert_int_le(n_dist, 30);
            for (int k = 0; k < n_code; k++)
                len[order[k]] = (uint8_t)take(b, 3);
            plant(&codes, len, 19);
            memset(len, 0, sizeof len);
            while (i < n_lit + n_dist) {
                int s = decode(b, &codes), run = 1, v = s;

                if (s == 16) {
                    ck_assert_int_gt(i, 0);
                    v = len[i - 1];
                    run = 3 + (int)take(b, 2);
                } else if (s > 16) {
                    v = 0;
                    run = s == 17 ? 3 + (int)take(b, 3) : 11 + (int)take(b, 7);
                }
                ck_assert_int_le(i + run, n_lit + n_dist);
                while (run-- > 0)
                    len[i++] = (uint8_t)v;
            }
            plant(&lit, len, n_lit);
            plant(&dist, len + n_lit, n_dist);
        }
        for (;;) {
            int s = decode(b, &lit), k, len, d;

            if (s == 256)
                break;
            if (s < 256) {
                ck_assert_uint_lt(n, most);
                out[n++] = (uint8_t)s;
                continue;
            }
            k = s - 257;
            ck_assert_int_lt(k, 29);
            len = len_base[k] + (k >= 8 && k < 28 ? (int)take(b, (k - 4) / 4) : 0);
            k = decode(b, &dist);
            ck_assert_int_lt(k, 30);
            if (k < 4) {
                d = k + 1;
            } else {
                int extra = k / 2 - 1;

                d = 1 + ((2 + k % 2) << extra) + (int)take(b, extra);
            }
            ck_assert_uint_le((size_t)d, n);
            ck_assert_uint_le(n + (size_t)len, most);
            for (; len > 0; len--, n++)
                out[n] = out[n - (size_t)d];
        }
    } while (!last);
    return n;
}

/* Unpacks a zlib stream and checks header, checksum and that nothing follows. */
static inline size_t unzip(const uint8_t *z, size_t size, uint8_t *out, size_t most)
{
    bits b = {z, size, 16};
    size_t n;
    uint32_t s1 = 1, s2 = 0, sum;

    ck_assert_uint_ge(size, 6);
    ck_assert_uint_eq(z[0], 0x78);
    ck_assert_uint_eq((z[0] * 256u + z[1]) % 31, 0);
    ck_assert_uint_eq(z[1] & 0x20, 0);
    n = inflate_body(&b, out, most);
    z += (b.at + 7) / 8;
    ck_assert_uint_eq((b.at + 7) / 8 + 4, size);
    for (size_t i = 0; i < n; i++) {
        s1 = (s1 + out[i]) % 65521;
        s2 = (s2 + s1) % 65521;
    }
    sum = (uint32_t)z[0] << 24 | (uint32_t)z[1] << 16 | (uint32_t)z[2] << 8 | z[3];
    ck_assert_uint_eq(sum, s2 << 16 | s1);
    return n;
}

/* CRC-32 by its definition, a bit at a time. */
static inline uint32_t png_crc(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xFFFFFFFFu;

    for (size_t i = 0; i < 8 * n; i++) {
        uint32_t in = (uint32_t)(p[i / 8] >> (i % 8)) & 1u;

        crc = (crc & 1u) != in ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return ~crc;
}

static inline uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads a PNG file of our kinds; the pixels are released with free. */
static inline uint8_t *read_png(const uint8_t *p, size_t size, uint32_t *w, uint32_t *h, int *kind,
                                uint8_t palette[768],
                         int *n_colours)
{
    const uint8_t *end = p + size, *idat = NULL;
    size_t idat_size = 0, bpp, row;
    uint8_t *raw, *out;
    bool ended = false;

    ck_assert_uint_ge(size, 8);
    ck_assert_int_eq(memcmp(p, "\x89PNG\r\n\x1a\n", 8), 0);
    for (p += 8; p < end;) {
        uint32_t n = be32(p);

        ck_assert_uint_le(n + 12, (size_t)(end - p));
        ck_assert_uint_eq(be32(p + 8 + n), png_crc(p + 4, n + 4));
        if (memcmp(p + 4, "IHDR", 4) == 0) {
            *w = be32(p + 8);
            *h = be32(p + 12);
            ck_assert_uint_eq(p[16], 8);
            *kind = p[17];
        } else if (memcmp(p + 4, "PLTE", 4) == 0) {
            ck_assert_uint_le(n, 768);
            memcpy(palette, p + 8, n);
            *n_colours = (int)n / 3;
        } else if (memcmp(p + 4, "IDAT", 4) == 0) {
            idat = p + 8;
            idat_size = n;
        } else if (memcmp(p + 4, "IEND", 4) == 0) {
            ended = true;
        }
        p += 12 + n;
    }
    ck_assert(ended && idat);
    bpp = *kind == 2 ? 3 : *kind == 6 ? 4 : 1;
    row = *w * bpp;
    raw = malloc(*h * (row + 1) + 1);
    out = calloc(*h, row);
    ck_assert_uint_eq(unzip(idat, idat_size, raw, *h * (row + 1) + 1), *h * (row + 1));
    for (size_t y = 0; y < *h; y++)
        for (size_t x = 0; x < row; x++) {
            int f = raw[y * (row + 1)], a = x >= bpp ? out[y * row + x - bpp] : 0,
                b = y ? out[(y - 1) * row + x] : 0;
            int c = y && x >= bpp ? out[(y - 1) * row + x - bpp] : 0, g = 0;
            int pa = abs(b - c), pb = abs(a - c), pc = abs(a + b - 2 * c);

            if (f == 1)
                g = a;
            else if (f == 2)
                g = b;
            else if (f == 3)
                g = (a + b) / 2;
            else if (f == 4)
                g = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
            else
                ck_assert_int_eq(f, 0);
            out[y * row + x] = (uint8_t)(raw[y * (row + 1) + 1 + x] + g);
        }
    free(raw);
    return out;
}

#endif
