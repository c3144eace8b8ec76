/* Pictures and pages of the example programs: deflate and PNG read back by a reader of
 * their own, charts and the report page checked to be well-formed and self-contained. */
#include "config.h"

#include <check.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/colormap.h"
#include "examples/common/deflate.h"
#include "examples/common/markup.h"
#include "examples/common/png.h"
#include "examples/common/report.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tests/alloc_sweep.h"
#include "tests/suite.h"

static void reset(void)
{
    et_error_clear();
}

static uint32_t draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* --- a reader of zlib streams and PNG files ------------------------------------------ */

typedef struct bits {
    const uint8_t *p;
    size_t n, at; /* at: in bits */
} bits;

static unsigned take(bits *b, int n)
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
static void plant(tree *t, const uint8_t *len, int n)
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

static int decode(bits *b, const tree *t)
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

static int kinds_seen[3];

static size_t inflate_body(bits *b, uint8_t *out, size_t most)
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
            int n_lit = 257 + (int)take(b, 5), n_dist = 1 + (int)take(b, 5), n_code = 4 + (int)take(b, 4), i = 0;
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
static size_t unzip(const uint8_t *z, size_t size, uint8_t *out, size_t most)
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

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads a PNG file of our kinds; the pixels are released with free. */
static uint8_t *read_png(const uint8_t *p, size_t size, uint32_t *w, uint32_t *h, int *kind, uint8_t palette[768],
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
        ck_assert_uint_eq(be32(p + 8 + n), et_crc32(0, p + 4, n + 4));
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
            int f = raw[y * (row + 1)], a = x >= bpp ? out[y * row + x - bpp] : 0, b = y ? out[(y - 1) * row + x] : 0;
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

/* --- deflate and PNG ----------------------------------------------------------------- */

START_TEST(checksums)
{
    ck_assert_uint_eq(et_crc32(0, (const uint8_t *)"123456789", 9), 0xCBF43926u);
    ck_assert_uint_eq(et_crc32(et_crc32(0, (const uint8_t *)"1234", 4), (const uint8_t *)"56789", 5), 0xCBF43926u);
    ck_assert_uint_eq(et_adler32((const uint8_t *)"Wikipedia", 9), 0x11E60398u);
    ck_assert_uint_eq(et_adler32(NULL, 0), 1);
}
END_TEST

enum { N_FILLS = 10 };

static void fill(uint8_t *p, size_t n, int kind, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        switch (kind) {
        case 0: p[i] = 7; break;
        case 1: p[i] = (uint8_t)draw(&seed); break;                        /* noise */
        case 2: p[i] = (uint8_t)(draw(&seed) % 3); break;                  /* few symbols */
        case 3: p[i] = (uint8_t)(i % 251); break;                          /* a period */
        case 4: p[i] = (uint8_t)(128 + 100 * sin((double)i / 300)); break; /* smooth */
        case 5: p[i] = i >= 32768 ? p[i - 32768] : (uint8_t)draw(&seed); break; /* the farthest match */
        case 6: p[i] = i >= 32769 ? p[i - 32769] : (uint8_t)draw(&seed); break; /* just out of reach */
        case 7: p[i] = (uint8_t)(draw(&seed) % 50 ? 0 : draw(&seed)); break;
        case 8: { /* Fibonacci frequencies: the deepest tree */
            uint32_t r = draw(&seed) & 0xFFFFFF;
            int s = 0;

            while (s < 30 && r % 13 < 8) {
                r = draw(&seed);
                s++;
            }
            p[i] = (uint8_t)s;
            break;
        }
        default: p[i] = "the quick brown fox jumps over the lazy dog "[(i * i / 7 + i) % 44]; break;
        }
    }
}

START_TEST(deflate_round_trip)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 10, 257, 258, 259, 1000, 65535, 65536, 200000};
    uint8_t *in = malloc(200000), *out = malloc(200001);

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        size_t size = 0;
        uint8_t *z;

        fill(in, sizes[s], _i, 5);
        z = et_zlib_compress(in, sizes[s], &size);
        ck_assert_ptr_nonnull(z);
        ck_assert_uint_le(size, sizes[s] + sizes[s] / 4096 + 64);
        ck_assert_uint_eq(unzip(z, size, out, 200001), sizes[s]);
        ck_assert_int_eq(memcmp(in, out, sizes[s]), 0);
        if (sizes[s] == 200000 && _i == 0)
            ck_assert_uint_lt(size, 400);
        if (sizes[s] == 200000 && _i == 2)
            ck_assert_uint_lt(size, 200000 / 4); /* log2(3) = 1.58 bits of 8 are the limit for literals */
        if (sizes[s] == 200000 && _i == 5)
            ck_assert_uint_lt(size, 34000 + 2000);
        et_dealloc(z);
    }
    free(in);
    free(out);
}
END_TEST

START_TEST(deflate_kinds)
{
    uint8_t in[5000], out[5000];
    size_t size;
    uint8_t *z;

    memset(kinds_seen, 0, sizeof kinds_seen);
    for (int k = 0; k < 3; k++) {
        fill(in, sizeof in, k == 0 ? 1 : 2, 9);
        z = et_zlib_compress(in, k == 1 ? 12 : sizeof in, &size);
        unzip(z, size, out, sizeof out);
        et_dealloc(z);
    }
    for (int k = 0; k < 3; k++)
        ck_assert_msg(kinds_seen[k] > 0, "no block of kind %d", k);
}
END_TEST

START_TEST(deflate_deepest_tree)
{
    /* frequencies 1, 1, 2, 3, 5, ... ask for codes longer than the format has */
    size_t n = 0, size;
    uint8_t *in = malloc(60000), *out = malloc(60000), *z;
    size_t a = 1, b = 1;
    uint32_t seed = 3;

    for (int s = 0; n + a < 40000; s++) {
        for (size_t i = 0; i < a; i++)
            in[n++] = (uint8_t)(100 + s);
        size_t c = a + b;

        a = b;
        b = c;
    }
    for (size_t i = n - 1; i > 0; i--) { /* shuffled, so that they are sent as literals */
        size_t j = draw(&seed) % (i + 1);
        uint8_t t = in[i];

        in[i] = in[j];
        in[j] = t;
    }
    z = et_zlib_compress(in, n, &size);
    ck_assert_uint_eq(unzip(z, size, out, 60000), n);
    ck_assert_int_eq(memcmp(in, out, n), 0);
    ck_assert_uint_lt(size, n / 2);
    et_dealloc(z);
    free(in);
    free(out);
}
END_TEST

START_TEST(png_round_trip)
{
    static const et_png_kind kinds[] = {ET_PNG_GREY, ET_PNG_RGB, ET_PNG_PALETTE, ET_PNG_RGBA};
    static const int sizes[][2] = {{1, 1}, {1, 50}, {50, 1}, {3, 7}, {200, 113}};
    uint8_t *pixels = malloc(200 * 113 * 4), palette[768];

    for (int i = 0; i < 768; i++)
        palette[i] = (uint8_t)(i * 5);
    for (size_t k = 0; k < 4; k++)
        for (size_t s = 0; s < 5; s++) {
            et_image image = {.width = sizes[s][0], .height = sizes[s][1], .kind = kinds[k], .pixels = pixels,
                              .palette = palette, .n_colours = 256};
            size_t bpp = kinds[k] == ET_PNG_RGB ? 3 : kinds[k] == ET_PNG_RGBA ? 4 : 1, size, size2;
            size_t n = (size_t)(image.width * image.height) * bpp;
            uint8_t *png, *again, *back, got[768];
            uint32_t w, h;
            int kind, n_colours = 0;

            fill(pixels, n, _i, 11);
            png = et_png_encode(&image, &size);
            again = et_png_encode(&image, &size2);
            ck_assert_ptr_nonnull(png);
            ck_assert(size == size2 && memcmp(png, again, size) == 0);
            back = read_png(png, size, &w, &h, &kind, got, &n_colours);
            ck_assert(w == image.width && h == image.height && kind == (int)kinds[k]);
            ck_assert_int_eq(memcmp(back, pixels, n), 0);
            if (kinds[k] == ET_PNG_PALETTE) {
                ck_assert_int_eq(n_colours, 256);
                ck_assert_int_eq(memcmp(got, palette, 768), 0);
            }
            free(back);
            et_dealloc(png);
            et_dealloc(again);
        }
    free(pixels);
}
END_TEST

START_TEST(png_misuse)
{
    uint8_t pixels[4] = {0, 1, 2, 3}, palette[9] = {0};
    size_t size;
    const et_image wrong[] = {
        {.width = 0, .height = 1, .pixels = pixels},
        {.width = 1, .height = 65536, .pixels = pixels},
        {.width = -1, .height = 1, .pixels = pixels},
        {.width = 1, .height = 1, .pixels = NULL},
        {.width = 1, .height = 1, .kind = (et_png_kind)4, .pixels = pixels},
        {.width = 2, .height = 2, .kind = ET_PNG_PALETTE, .pixels = pixels, .palette = palette, .n_colours = 3},
        {.width = 2, .height = 2, .kind = ET_PNG_PALETTE, .pixels = pixels, .palette = NULL, .n_colours = 3},
        {.width = 2, .height = 2, .kind = ET_PNG_PALETTE, .pixels = pixels, .palette = palette, .n_colours = 257},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        et_error_clear();
        ck_assert_ptr_null(et_png_encode(&wrong[i], &size));
        ck_assert_int_eq(et_error_status(), ET_EINVAL);
    }
    et_error_clear();
    ck_assert_ptr_null(et_png_encode(NULL, &size));
}
END_TEST

/* --- colours ------------------------------------------------------------------------- */

/* Relative luminance, from sRGB's definition. */
static double luminance(const uint8_t c[3])
{
    double y = 0;
    static const double weight[] = {0.2126, 0.7152, 0.0722};

    for (int i = 0; i < 3; i++) {
        double v = c[i] / 255.0;

        y += weight[i] * (v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
    }
    return y;
}

START_TEST(colour_maps)
{
    uint8_t t[256][3];

    for (int m = 0; m < ET_N_CMAPS; m++) {
        int turns = 0, direction = 0;

        ck_assert_int_eq(et_colormap_table((et_colormap)m, t), ET_OK);
        for (int i = 1; i < 256; i++) { /* no jump, and lightness goes one way (TIDE: up, then down) */
            double d = luminance(t[i]) - luminance(t[i - 1]);
            int sign = d > 0.0015 ? 1 : d < -0.0015 ? -1 : 0;

            for (int k = 0; k < 3; k++)
                ck_assert_int_le(abs(t[i][k] - t[i - 1][k]), 16);
            if (sign && direction && sign != direction)
                turns++;
            direction = sign ? sign : direction;
        }
        ck_assert_int_eq(turns, m == ET_CMAP_TIDE ? 1 : 0);
        ck_assert(fabs(luminance(t[255]) - luminance(t[0])) > 0.6 || m == ET_CMAP_TIDE);
    }
    ck_assert_int_eq(et_colormap_table(ET_N_CMAPS, t), ET_EINVAL);
}
END_TEST

START_TEST(colour_indices)
{
    const float x[] = {-1, 0, 0.5f, 1, 2, NAN, INFINITY, -INFINITY};
    const uint8_t want[] = {0, 0, 128, 255, 255, 0, 255, 0};
    uint8_t got[8];
    double lo, hi;

    et_colormap_index(8, x, 0, 1, got);
    ck_assert_int_eq(memcmp(got, want, 8), 0);
    et_colormap_index(8, x, 1, 1, got);
    for (int i = 0; i < 8; i++)
        ck_assert_uint_eq(got[i], 0);
    et_finite_range(8, x, &lo, &hi);
    ck_assert(lo == -1 && hi == 2);
    et_finite_range(3, x + 5, &lo, &hi);
    ck_assert(lo == 0 && hi == 1);
}
END_TEST

START_TEST(matrix_picture)
{
    const float x[6] = {0, 1, 2, 3, 4, 5}; /* two rows */
    uint32_t w, h;
    int kind, n;
    uint8_t palette[768], *png, *p;
    size_t size;

    for (int flip = 0; flip < 2; flip++) {
        png = et_matrix_png(2, 3, x, NAN, NAN, flip, ET_CMAP_EMBER, &size);
        p = read_png(png, size, &w, &h, &kind, palette, &n);
        ck_assert(w == 3 && h == 2 && kind == 3);
        ck_assert_int_eq(p[flip ? 3 : 0], 0);
        ck_assert_int_eq(p[flip ? 2 : 5], 255);
        ck_assert_int_eq(p[flip ? 4 : 1], 51);
        free(p);
        et_dealloc(png);
    }
    ck_assert_ptr_null(et_matrix_png(0, 3, x, 0, 1, 0, ET_CMAP_EMBER, &size));
}
END_TEST

/* --- markup -------------------------------------------------------------------------- */

START_TEST(base64)
{
    static const char *const vectors[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
                                             {"\xFF\xFE\xFB\xEF", "//777w=="}}; /* RFC 4648, section 10, and more */

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        et_strbuf b = ET_STRBUF_INIT;

        ck_assert(et_markup_base64(&b, vectors[i][0], strlen(vectors[i][0])));
        ck_assert_str_eq(b.data ? b.data : "", vectors[i][1]);
        et_strbuf_free(&b);
    }
}
END_TEST

START_TEST(escaping)
{
    static const char *const vectors[][2] = {
        {"a<b & \"c\" > 'd'", "a&lt;b &amp; &quot;c&quot; &gt; &#39;d&#39;"},
        {"caf\xC3\xA9", "caf\xC3\xA9"},
        {"bad\xFFz", "bad\xEF\xBF\xBDz"},
        {"bell\x07", "bell\xEF\xBF\xBD"},
        {"\xEF\xBF\xBF", "\xEF\xBF\xBD"},
        {"</script>", "&lt;/script&gt;"}};

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        et_strbuf b = ET_STRBUF_INIT;

        ck_assert(et_markup_escape(&b, vectors[i][0]));
        ck_assert_str_eq(b.data, vectors[i][1]);
        et_strbuf_free(&b);
    }
}
END_TEST

/* --- well-formedness ----------------------------------------------------------------- */

/* Goes through markup: tags nest, attributes are quoted, references are known, and no
 * number is NaN. HTML's empty elements are allowed without a slash when `html`. */
static void well_formed(const char *s, bool html)
{
    char stack[32][24];
    int depth = 0;

    while (*s) {
        if (strncmp(s, "<!DOCTYPE html>", 15) == 0) {
            s += 15;
        } else if (*s == '<') {
            bool close = s[1] == '/', empty = false;
            char name[24];
            int n = 0;

            for (s += close ? 2 : 1; isalnum((unsigned char)*s); s++) {
                ck_assert_int_lt(n, 23);
                name[n++] = *s;
            }
            name[n] = '\0';
            ck_assert_int_gt(n, 0);
            while (*s != '>' && !empty) {
                if (close || *s == '/') {
                    ck_assert_msg(!close && s[1] == '>', "bad end of <%s", name);
                    empty = true;
                    s++;
                    continue;
                }
                ck_assert_msg(*s == ' ', "no blank in <%s: %.20s", name, s);
                for (s++; *s == '-' || *s == ':' || isalnum((unsigned char)*s); s++)
                    ;
                if (*s != '=') { /* an attribute without value: HTML only */
                    ck_assert(html);
                    continue;
                }
                ck_assert(s[1] == '"');
                for (s += 2; *s != '"'; s++) {
                    ck_assert_msg(*s && *s != '<', "unquoted < in an attribute of %s", name);
                    ck_assert_msg(strncmp(s, "nan", 3) != 0 || isalpha((unsigned char)s[-1]), "NaN in <%s", name);
                    ck_assert_msg(strncmp(s, "inf", 3) != 0 || isalpha((unsigned char)s[-1]), "infinity in <%s", name);
                }
                s++;
            }
            s++;
            if (html && (!strcmp(name, "meta") || !strcmp(name, "link") || !strcmp(name, "img")))
                empty = true;
            if (close) {
                ck_assert_int_gt(depth, 0);
                ck_assert_str_eq(stack[--depth], name);
            } else if (!empty) {
                ck_assert_int_lt(depth, 32);
                memcpy(stack[depth++], name, sizeof name);
            }
        } else if (*s == '&') {
            static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
            bool found = false;

            for (int i = 0; i < 5; i++)
                found = found || strncmp(s, known[i], strlen(known[i])) == 0;
            ck_assert_msg(found, "unknown reference %.10s", s);
            s++;
        } else {
            ck_assert_msg(*s != '>' || (depth && !strcmp(stack[depth - 1], "style")), "a bare > at %.20s", s - 10);
            s++;
        }
    }
    ck_assert_int_eq(depth, 0);
}

static const char *const nasty[] = {"<b>\"'&", "caf\xC3\xA9", "\xFF", "", "a very long name that does not fit in anywhere at all"};

/* Calls each chart with hard data; the texts are appended to out. */
static void all_charts(et_strbuf *out)
{
    double huge[3] = {1e300, -1e300, 0}, tiny[3] = {1e-300, 2e-300, 3e-300}, none[2] = {NAN, INFINITY}, one[1] = {5},
           flat[4] = {2, 2, 2, 2}, hole[5] = {1, NAN, 3, -INFINITY, 5}, xs[5] = {5, 4, 3, 2, 1}, many[7000];
    float m[24];
    int64_t counts[25];

    for (int i = 0; i < 7000; i++)
        many[i] = sin(i / 100.0);
    for (int i = 0; i < 24; i++)
        m[i] = (float)(i % 7);
    for (int i = 0; i < 25; i++)
        counts[i] = i % 4 ? 0 : i * 1000000007LL;
    const et_series series[] = {{nasty[0], 3, NULL, huge, false}, {nasty[1], 3, NULL, tiny, false},
                                {nasty[2], 2, NULL, none, false}, {nasty[3], 1, NULL, one, false},
                                {nasty[4], 4, NULL, flat, false}, {NULL, 5, xs, hole, false},
                                {"points", 5, xs, hole, true},    {"many", 7000, NULL, many, false},
                                {"empty", 0, NULL, NULL, false}};

    for (int i = 0; i < 9; i++)
        for (int j = i; j <= 9; j++) {
            et_chart c = {.what = nasty[i % 5], .x_label = nasty[j % 5], .y_label = nasty[0], .series = series + i,
                          .n_series = j - i, .mark = j % 2 ? nasty[0] : NULL, .mark_x = 2};

            if (j > i)
                ck_assert_int_eq(et_svg_lines(out, &c), ET_OK);
            c.x_min = 2;
            c.x_max = 3;
            c.y_max = 1;
            if (j > i)
                ck_assert_int_eq(et_svg_lines(out, &c), ET_OK);
        }
    for (int k = 1; k <= 5; k++) {
        et_bar bar[5] = {{nasty[0], 1e9, 0, 0}, {nasty[1], -3, 2, 7}, {nasty[2], NAN, 0, -1}, {nasty[3], 0, 0, 2},
                         {nasty[4], 0.5, NAN, 3}};
        et_bars b = {.what = nasty[0], .label = nasty[0], .bars = bar + 5 - k, .n_bars = k, .mark = nasty[0],
                     .mark_at = k == 3 ? NAN : 0.3, .decimals = k};

        ck_assert_int_eq(et_svg_bars(out, &b), ET_OK);
        ck_assert_int_eq(et_svg_confusion(out, k, nasty, counts), ET_OK);
    }
    for (int k = 0; k < 16; k++) {
        et_span spans[] = {{0, 1, nasty[0]}, {-5, 99, NULL}, {3, 2, "x"}, {NAN, 1, "n"}};
        et_heatmap h = {.what = nasty[0], .x_label = nasty[0], .y_label = k & 1 ? nasty[1] : NULL,
                        .value_label = nasty[0], .rows = k & 2 ? 4 : 1, .cols = 5, .data = m,
                        .row_names = k & 4 ? nasty : NULL, .col_names = k & 8 ? nasty : NULL,
                        .curves = series, .n_curves = k % 5, .curve_label = nasty[0], .spans = spans,
                        .n_spans = k % 3 ? 4 : 0, .map = (et_colormap)(k % 4), .smooth = k & 1};

        ck_assert_int_eq(et_svg_heatmap(out, &h), ET_OK);
    }
}

START_TEST(charts_are_well_formed)
{
    et_strbuf b = ET_STRBUF_INIT, c = ET_STRBUF_INIT;

    all_charts(&b);
    ck_assert(!b.failed);
    well_formed(b.data, false);
    all_charts(&c);
    ck_assert_str_eq(b.data, c.data);
    et_strbuf_free(&b);
    et_strbuf_free(&c);
}
END_TEST

/* Number in the first attribute of that name after `from`. */
static double attribute(const char *from, const char *name)
{
    char key[16];

    snprintf(key, sizeof key, " %s=\"", name);
    from = strstr(from, key);
    ck_assert_ptr_nonnull(from);
    return atof(from + strlen(key));
}

START_TEST(line_is_where_it_belongs)
{
    double y[3] = {0, 1, 0.5};
    et_series s = {"a", 3, NULL, y, false};
    et_chart c = {.series = &s, .n_series = 1, .y_min = 0, .y_max = 1};
    et_strbuf b = ET_STRBUF_INIT;
    const char *path, *p;
    double x[3], v[3];

    ck_assert_int_eq(et_svg_lines(&b, &c), ET_OK);
    path = strstr(b.data, " d=\"");
    ck_assert_ptr_nonnull(path);
    p = path + 4;
    for (int i = 0; i < 3; i++) {
        ck_assert(*p == (i ? 'L' : 'M'));
        x[i] = strtod(p + 1, (char **)&p);
        v[i] = strtod(p, (char **)&p);
    }
    ck_assert(fabs(x[1] - (x[0] + x[2]) / 2) < 0.11 && x[2] > x[0] + 400);
    ck_assert(v[0] > v[1] + 200);                     /* upwards */
    ck_assert(fabs(v[2] - (v[0] + v[1]) / 2) < 0.11); /* one half is half way */
    et_strbuf_free(&b);
}
END_TEST

START_TEST(bars_are_to_scale)
{
    et_bar bar[2] = {{"a", 1, 0, 0}, {"b", 0.25, 0, 0}};
    et_bars d = {.bars = bar, .n_bars = 2, .decimals = 2};
    et_strbuf b = ET_STRBUF_INIT;
    const char *first, *second;

    ck_assert_int_eq(et_svg_bars(&b, &d), ET_OK);
    first = strstr(b.data, "e-f0");
    second = strstr(first + 4, "e-f0");
    ck_assert(fabs(attribute(second, "width") - attribute(first, "width") / 4) < 0.11);
    ck_assert_ptr_nonnull(strstr(b.data, ">1.00<"));
    ck_assert_ptr_nonnull(strstr(b.data, ">0.25<"));
    et_strbuf_free(&b);
}
END_TEST

START_TEST(confusion_tells_its_shares)
{
    const char *names[] = {"jig", "reel"};
    const int64_t counts[] = {3, 1, 0, 5};
    et_strbuf b = ET_STRBUF_INIT;

    ck_assert_int_eq(et_svg_confusion(&b, 2, names, counts), ET_OK);
    ck_assert_ptr_nonnull(strstr(b.data, "jig taken for reel: 1 of 4 (25.0 %)"));
    ck_assert_ptr_nonnull(strstr(b.data, ">75%<"));
    ck_assert_ptr_nonnull(strstr(b.data, "reel taken for reel: 5 of 5 (100.0 %)"));
    et_strbuf_free(&b);
}
END_TEST

START_TEST(chart_misuse)
{
    et_strbuf b = ET_STRBUF_INIT;
    const char *names[] = {"a"};
    int64_t negative[] = {-1};
    et_series s = {"a", 3, NULL, NULL, false};
    float x[1] = {0};

#define wrong(call)                                    \
    do {                                               \
        et_error_clear();                              \
        ck_assert_int_eq((call), ET_EINVAL);           \
        ck_assert_int_eq(et_error_status(), ET_EINVAL); \
    } while (0)
    wrong(et_svg_lines(&b, &(et_chart){.n_series = 0}));
    wrong(et_svg_lines(&b, &(et_chart){.n_series = 1, .series = &s}));
    wrong(et_svg_bars(&b, &(et_bars){.n_bars = 0}));
    wrong(et_svg_confusion(&b, 0, names, negative));
    wrong(et_svg_confusion(&b, 1, NULL, negative));
    wrong(et_svg_confusion(&b, 1, names, negative));
    wrong(et_svg_heatmap(&b, &(et_heatmap){.rows = 0, .cols = 1, .data = x}));
    wrong(et_svg_heatmap(&b, &(et_heatmap){.rows = 1, .cols = 1, .data = NULL}));
    wrong(et_svg_heatmap(&b, &(et_heatmap){.rows = 1, .cols = 1, .data = x, .curves = &s, .n_curves = 1}));
    wrong(et_svg_heatmap(&b, &(et_heatmap){.rows = 1, .cols = 1, .data = x, .map = ET_N_CMAPS}));
    et_strbuf_free(&b);
}
END_TEST

/* --- the page ------------------------------------------------------------------------ */

static et_report *sample_report(void)
{
    et_report *r = et_report_new("A <title> & \"more\"", "lead");
    double y[3] = {3, 2, 1};
    float m[6] = {0, 1, 2, 3, 4, 5};
    et_series s = {"loss", 3, NULL, y, false};
    et_chart c = {.series = &s, .n_series = 1, .x_label = "epoch"};
    et_heatmap h = {.rows = 2, .cols = 3, .data = m};
    et_key keys[] = {{"accuracy", "0.9", "<note>"}, {"n", "3", NULL}};
    const char *header[] = {"name", "value"}, *cells[] = {"a<b", "1.5", "c", "-2", "d", ""};
    uint8_t grey[1] = {9}, *png;
    et_image image = {.width = 1, .height = 1, .pixels = grey};
    size_t size = 0;

    et_report_keys(r, keys, 2);
    et_report_section(r, "One & <only>");
    et_report_text(r, "%d < %s", 1, "<script>alert(1)</script>");
    et_report_lines(r, &c, "caption <1>");
    et_report_heatmap(r, &h, NULL);
    et_report_section(r, "Two");
    et_report_table(r, "table", 2, header, 3, cells);
    et_report_code(r, "x < y\n  z");
    png = r ? et_png_encode(&image, &size) : NULL;
    et_report_png(r, png, size, "a \"dot\"", "dot");
    et_report_audio(r, "RIFF", 4, "sound");
    et_dealloc(png);
    return r;
}

START_TEST(report_is_well_formed_and_alone)
{
    et_report *r = sample_report(), *again = sample_report();
    size_t size = 0;
    const char *html = et_report_html(r, &size);

    ck_assert_ptr_nonnull(html);
    ck_assert_uint_eq(size, strlen(html));
    well_formed(html, true);
    ck_assert_str_eq(html, et_report_html(again, NULL));
    ck_assert_ptr_nonnull(strstr(html, "<p>1 &lt; &lt;script&gt;alert(1)&lt;/script&gt;</p>"));
    ck_assert_ptr_nonnull(strstr(html, "prefers-color-scheme:dark"));
    ck_assert_ptr_nonnull(strstr(html, "<td class=\"n\">1.5</td>"));
    for (const char *s = html; (s = strstr(s, "src=\"")); s += 5)
        ck_assert_int_eq(strncmp(s, "src=\"data:", 10), 0);
    for (const char *s = html; (s = strstr(s, "href=\"")); s += 6)
        ck_assert_int_eq(strncmp(s, "href=\"data:", 11), 0);
    for (const char *s = html; (s = strstr(s, "http")); s += 4) /* only the name of SVG's namespace */
        ck_assert_int_eq(strncmp(s, "http://www.w3.org/2000/svg\"", 27), 0);
    ck_assert_ptr_null(strstr(html, "url("));
    ck_assert_ptr_null(strstr(html, "@import"));
    et_report_free(r);
    et_report_free(again);
}
END_TEST

START_TEST(report_keeps_the_first_error)
{
    et_report *r = et_report_new("t", NULL);
    et_chart wrong = {.n_series = 0};

    et_report_lines(r, &wrong, NULL);
    et_report_text(r, "more");
    ck_assert_ptr_null(et_report_html(r, NULL));
    ck_assert_int_eq(et_report_write(r, "/nonexistent/report.html"), ET_EINVAL);
    et_report_free(r);
    et_error_clear();
    r = et_report_new("t", NULL);
    ck_assert_int_eq(et_report_write(r, "/nonexistent/report.html"), ET_EIO);
    et_report_free(r);
    et_report_text(NULL, "nothing happens");
}
END_TEST

static bool make_report(void *user)
{
    et_report *r = sample_report();
    bool ok = et_report_html(r, NULL) != NULL;

    (void)user;
    if (!ok && et_error_status() == ET_OK)
        et_raise(ET_EINVAL, "a failure without a message");
    et_report_free(r);
    return ok;
}

START_TEST(memory_runs_out)
{
    ck_assert_int_gt(alloc_sweep("report", make_report, NULL), 10);
}
END_TEST

START_TEST(text_pictures)
{
    double y[8] = {0, 1, 2, 3, 4, 5, 6, 7}, none[2] = {NAN, NAN};
    float m[4] = {0, 0, 1, 1}; /* row 1, above row 0, is bright */
    et_strbuf b = ET_STRBUF_INIT;

    ck_assert_int_eq(et_text_spark(&b, 8, y, 8, false), ET_OK);
    ck_assert_uint_eq(b.size, 8);
    ck_assert(b.data[0] != b.data[7]);
    et_strbuf_reset(&b);
    ck_assert_int_eq(et_text_spark(&b, 8, y, 4, true), ET_OK);
    ck_assert_uint_eq(b.size, 12); /* four characters of three bytes */
    et_strbuf_reset(&b);
    ck_assert_int_eq(et_text_spark(&b, 2, none, 2, false), ET_OK);
    ck_assert_str_eq(b.data, "  ");
    et_strbuf_reset(&b);
    ck_assert_int_eq(et_text_matrix(&b, 2, 2, m, 2, 2, false), ET_OK);
    ck_assert_str_eq(b.data, "@@\n  \n");
    ck_assert_int_eq(et_text_spark(&b, 0, y, 4, true), ET_EINVAL);
    et_strbuf_free(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("examples_pictures");
    TCase *tc = tcase_create("pictures");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, reset, NULL);
    tcase_add_test(tc, checksums);
    tcase_add_loop_test(tc, deflate_round_trip, 0, N_FILLS);
    tcase_add_test(tc, deflate_kinds);
    tcase_add_test(tc, deflate_deepest_tree);
    tcase_add_loop_test(tc, png_round_trip, 0, N_FILLS);
    tcase_add_test(tc, png_misuse);
    tcase_add_test(tc, colour_maps);
    tcase_add_test(tc, colour_indices);
    tcase_add_test(tc, matrix_picture);
    tcase_add_test(tc, base64);
    tcase_add_test(tc, escaping);
    tcase_add_test(tc, charts_are_well_formed);
    tcase_add_test(tc, line_is_where_it_belongs);
    tcase_add_test(tc, bars_are_to_scale);
    tcase_add_test(tc, confusion_tells_its_shares);
    tcase_add_test(tc, chart_misuse);
    tcase_add_test(tc, report_is_well_formed_and_alone);
    tcase_add_test(tc, report_keeps_the_first_error);
    tcase_add_test(tc, memory_runs_out);
    tcase_add_test(tc, text_pictures);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
