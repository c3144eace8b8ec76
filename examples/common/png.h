/* PNG files: an encoder for 8-bit grey, RGB, RGBA and palette images. */
#ifndef ETUDE_EXAMPLES_COMMON_PNG_H
#define ETUDE_EXAMPLES_COMMON_PNG_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/error.h"

/* The values are PNG's colour types. */
typedef enum et_png_kind { ET_PNG_GREY = 0, ET_PNG_RGB = 2, ET_PNG_PALETTE = 3, ET_PNG_RGBA = 6 } et_png_kind;

typedef struct et_image {
    int64_t width, height;    /* 1 .. 65535 each */
    et_png_kind kind;
    const uint8_t *pixels;    /* rows from the top, 1, 3, 4 or (palette) 1 bytes a pixel, no padding */
    const uint8_t *palette;   /* palette images: n_colours x (red, green, blue) */
    int n_colours;            /* 1 .. 256 */
} et_image;

/** The image as a PNG file in memory, sRGB. Rows of grey, RGB and RGBA images are
 *  filtered by the one of the five filters with the smallest sum of absolute values;
 *  palette rows are not filtered, as their neighbours say little about them.
 *  Equal images give equal bytes.
 *
 *  Returns memory to be released with et_dealloc and its size in *size. Errors: EINVAL
 *  (sizes, kind, a pixel outside the palette), ENOMEM; then NULL.
 *  Source: PNG specification, third edition. */
uint8_t *et_png_encode(const et_image *image, size_t *size);

#endif
