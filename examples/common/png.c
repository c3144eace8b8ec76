/* PNG files: see png.h. Each row is filtered in the way that leaves the smallest numbers, then all is
 * compressed. */
#include "config.h"

#include "examples/common/png.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/deflate.h"
#include "tensor/alloc.h"

static int bytes_per_pixel(et_png_kind kind)
{
    switch (kind) {
    case ET_PNG_GREY:
    case ET_PNG_PALETTE:
        return 1;
    case ET_PNG_RGB:
        return 3;
    case ET_PNG_RGBA:
        return 4;
    }
    return 0;
}

static et_status check(const et_image *image)
{
    if (!image || !image->pixels)
        return et_raise(ET_EINVAL, "png: no image");
    if (bytes_per_pixel(image->kind) == 0)
        return et_raise(ET_EINVAL, "png: unknown kind %d", (int)image->kind);
    if (image->width < 1 || image->width > 65535 || image->height < 1 || image->height > 65535)
        return et_raise(ET_EINVAL, "png: size %" PRId64 " x %" PRId64 " is outside 1 .. 65535", image->width,
                        image->height);
    if (image->kind != ET_PNG_PALETTE)
        return ET_OK;
    if (!image->palette || image->n_colours < 1 || image->n_colours > 256)
        return et_raise(ET_EINVAL, "png: a palette of %d colours, 1 .. 256 are possible", image->n_colours);
    for (int64_t i = 0; i < image->width * image->height; i++)
        if (image->pixels[i] >= image->n_colours)
            return et_raise(ET_EINVAL, "png: colour %d at pixel %" PRId64 " of a palette of %d",
                            image->pixels[i], i, image->n_colours);
    return ET_OK;
}

/* The predictor of filter 4: the neighbour nearest to left + above - corner. */
static int paeth(int left, int above, int corner)
{
    int p = left + above - corner;
    int dl = abs(p - left), da = abs(p - above), dc = abs(p - corner);

    return dl <= da && dl <= dc ? left : da <= dc ? above : corner;
}

/* Writes the row by one filter, its number first; returns the sum of absolute values. */
static uint64_t filter_row(int filter, const uint8_t *row, const uint8_t *up, size_t n, size_t bpp,
                           uint8_t *out)
{
    uint64_t sum = 0;

    *out++ = (uint8_t)filter;
    for (size_t i = 0; i < n; i++) {
        int left = i >= bpp ? row[i - bpp] : 0, above = up ? up[i] : 0,
            corner = up && i >= bpp ? up[i - bpp] : 0;
        int guess = filter == 0   ? 0
                    : filter == 1 ? left
                    : filter == 2 ? above
                    : filter == 3 ? (left + above) / 2
                                  : paeth(left, above, corner);
        uint8_t v = (uint8_t)(row[i] - guess);

        out[i] = v;
        sum += v < 128 ? v : 256u - v;
    }
    return sum;
}

/* All rows, filtered: height x (1 + width bpp) bytes. `spare` holds one such row. */
static void filter_image(const et_image *image, size_t bpp, uint8_t *out, uint8_t *spare)
{
    size_t n = (size_t)image->width * bpp;

    for (int64_t y = 0; y < image->height; y++) {
        const uint8_t *row = image->pixels + (size_t)y * n, *up = y > 0 ? row - n : NULL;
        uint64_t best = filter_row(0, row, up, n, bpp, out);

        for (int f = 1; f <= 4 && image->kind != ET_PNG_PALETTE; f++) {
            uint64_t sum = filter_row(f, row, up, n, bpp, spare);

            if (sum < best) {
                best = sum;
                memcpy(out, spare, n + 1);
            }
        }
        out += n + 1;
    }
}

static uint8_t *put_u32be(uint8_t *p, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(v >> shift);
    return p;
}

/* Length, type, data, CRC of type and data. */
static uint8_t *put_chunk(uint8_t *p, const char *type, const uint8_t *data, size_t n)
{
    uint8_t *start;

    p = put_u32be(p, (uint32_t)n);
    start = p;
    memcpy(p, type, 4);
    if (n > 0)
        memcpy(p + 4, data, n);
    p += 4 + n;
    return put_u32be(p, et_crc32(0, start, 4 + n));
}

uint8_t *et_png_encode(const et_image *image, size_t *size)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    static const uint8_t intent[1] = {0};
    uint8_t header[13] = {0}, *raw, *packed, *png = NULL, *p;
    size_t bpp, row, packed_size;

    if (check(image) != ET_OK)
        return NULL;
    bpp = (size_t)bytes_per_pixel(image->kind);
    row = (size_t)image->width * bpp + 1;
    raw = et_alloc_zero((size_t)image->height + 1, row);
    if (!raw)
        return NULL;
    filter_image(image, bpp, raw, raw + (size_t)image->height * row);
    packed = et_zlib_compress(raw, (size_t)image->height * row, &packed_size);
    et_dealloc(raw);
    if (!packed)
        return NULL;
    png = et_alloc(packed_size + 3 * 256 + 128);
    if (png) {
        memcpy(png, signature, sizeof signature);
        p = put_u32be(header, (uint32_t)image->width);
        p = put_u32be(p, (uint32_t)image->height);
        *p++ = 8; /* bits a sample; compression, filter method and interlace stay 0 */
        *p = (uint8_t)image->kind;
        p = put_chunk(png + sizeof signature, "IHDR", header, sizeof header);
        p = put_chunk(p, "sRGB", intent, sizeof intent);
        if (image->kind == ET_PNG_PALETTE)
            p = put_chunk(p, "PLTE", image->palette, 3 * (size_t)image->n_colours);
        p = put_chunk(p, "IDAT", packed, packed_size);
        p = put_chunk(p, "IEND", NULL, 0);
        *size = (size_t)(p - png);
    }
    et_dealloc(packed);
    return png;
}
