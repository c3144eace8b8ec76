/* Pictures of the example programs: deflate and PNG read back by a reader of their own,
 * colour maps, base64 and escaping. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/colormap.h"
#include "examples/common/deflate.h"
#include "examples/common/markup.h"
#include "examples/common/png.h"
#include "tensor/alloc.h"
#include "tests/png_reader.h"
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

/* --- deflate and PNG ----------------------------------------------------------------- */

START_TEST(checksums)
{
    ck_assert_uint_eq(et_crc32(0, (const uint8_t *)"123456789", 9), 0xCBF43926u);
    ck_assert_uint_eq(et_crc32(et_crc32(0, (const uint8_t *)"1234", 4), (const uint8_t *)"56789", 5),
                      0xCBF43926u);
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
        {.width = 2, .height = 2, .kind = ET_PNG_PALETTE, .pixels = pixels, .palette = palette,
         .n_colours = 3},
        {.width = 2, .height = 2, .kind = ET_PNG_PALETTE, .pixels = pixels, .palette = NULL, .n_colours = 3},
        {.width = 2, .height = 2, .kind = ET_PNG_PALETTE, .pixels = pixels, .palette = palette,
         .n_colours = 257},
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

/* A pixel is the map's colour where the overlay is 0; where it is 1 the tint's share covers it. */
START_TEST(tinted_picture)
{
    const float x[4] = {0, 0, 1, 1}, overlay[2] = {0, 1}; /* row 0, at the bottom, is dark */
    const uint8_t tint[3] = {ET_TINT_RED, ET_TINT_GREEN, ET_TINT_BLUE};
    uint8_t map[256][3], unused[768], *png, *p;
    uint32_t w, h;
    int kind, n;
    size_t size;

    ck_assert_int_eq(et_colormap_table(ET_CMAP_EMBER, map), ET_OK);
    png = et_tinted_png(2, 2, x, overlay, 2, ET_CMAP_EMBER, &size);
    p = read_png(png, size, &w, &h, &kind, unused, &n);
    ck_assert(w == 4 && h == 4 && kind == 2);
    for (int row = 0; row < 4; row++)
        for (int col = 0; col < 4; col++)
            for (int k = 0; k < 3; k++) {
                const double own = map[row < 2 ? 255 : 0][k];
                const double want = col < 2 ? own : (1 - ET_TINT) * own + ET_TINT * tint[k];
                ck_assert(fabs(p[3 * (4 * row + col) + k] - want) <= 0.5 + 1e-9);
            }
    free(p);
    et_dealloc(png);
    ck_assert_ptr_null(et_tinted_png(2, 2, x, NULL, 2, ET_CMAP_EMBER, &size));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
}
END_TEST

/* --- markup -------------------------------------------------------------------------- */

START_TEST(base64)
{
    static const char *const vectors[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"},
                                             /* RFC 4648, section 10, and more */
                                             {"\xFF\xFE\xFB\xEF", "//777w=="}};

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
    tcase_add_test(tc, tinted_picture);
    tcase_add_test(tc, base64);
    tcase_add_test(tc, escaping);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
