/* Colour maps: tables of 256 colours for the pictures of matrices.
 *
 * They are computed, not copied: a path in the OKLCh space (Ottosson 2020) whose
 * lightness changes evenly, so that equal steps of the value look equally large, also
 * in grey print and to colour-blind eyes; the chroma is cut where sRGB ends. */
#ifndef ETUDE_EXAMPLES_COMMON_COLORMAP_H
#define ETUDE_EXAMPLES_COMMON_COLORMAP_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/error.h"

typedef enum et_colormap {
    ET_CMAP_EMBER,  /* black, violet, red, orange, cream: spectrograms */
    ET_CMAP_LAGOON, /* dark violet, blue, green, yellow: attention, similarity */
    ET_CMAP_PAPER,  /* near white to deep blue: few values on a light page */
    ET_CMAP_TIDE,   /* blue, near white, red: signed values, 0 in the middle */
    ET_N_CMAPS
} et_colormap;

/** The map as 256 x (red, green, blue). EINVAL for an unknown map. */
et_status et_colormap_table(et_colormap map, uint8_t rgb[256][3]);

/* What a tint over a picture is made of: its colour, and how much of it covers the picture where it is
 * strongest. It is in none of the maps. */
enum { ET_TINT_RED = 0, ET_TINT_GREEN = 214, ET_TINT_BLUE = 255 };
#define ET_TINT 0.7

/** Indices 0 .. 255 into a map for n values: lo becomes 0, hi 255, values outside are
 *  clipped, NaN becomes 0. With lo = hi all become 0. */
void et_colormap_index(int64_t n, const float *x, double lo, double hi, uint8_t *index);

/** Smallest and largest finite value of x; 0 and 1 if there is none. */
void et_finite_range(int64_t n, const float *x, double *lo, double *hi);

/** A matrix x [rows, cols] (row-major) as a palette PNG of one pixel an element, the first
 *  row on top, or at the bottom with flip. lo, hi: the range of values, both NaN for that
 *  of x. Returns memory to be released with et_dealloc; errors as et_png_encode. */
uint8_t *et_matrix_png(int64_t rows, int64_t cols, const float *x, double lo, double hi, int flip,
                       et_colormap map, size_t *size);

/** The same matrix, the first row at the bottom and each element a square of `scale` pixels, with a tint over
 *  its columns as strong as overlay [cols] (0 .. 1) says: a spectrogram with attention over it. */
uint8_t *et_tinted_png(int64_t rows, int64_t cols, const float *x, const float *overlay, int scale,
                       et_colormap map, size_t *size);

#endif
