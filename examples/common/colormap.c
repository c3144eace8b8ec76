/* Colour maps, and matrices as pictures in their colours: see colormap.h. */
#include "config.h"

#include "examples/common/colormap.h"

#include <math.h>

#include "examples/common/png.h"
#include "tensor/alloc.h"

/* A point of a path in OKLCh: position in 0..1, lightness, chroma, hue in degrees. */
typedef struct stop {
    double at, lightness, chroma, hue;
} stop;

enum { MAX_STOPS = 6 };

static const stop paths[ET_N_CMAPS][MAX_STOPS] = {
    [ET_CMAP_EMBER] = {{0.0, 0.12, 0.03, 285}, {0.25, 0.33, 0.15, 302}, {0.5, 0.52, 0.19, 358},
                       {0.75, 0.73, 0.165, 410},
                       {1.0, 0.96, 0.06, 465}},
    [ET_CMAP_LAGOON] = {{0.0, 0.23, 0.12, 310}, {0.25, 0.40, 0.11, 275}, {0.5, 0.57, 0.105, 205},
                        {0.75, 0.75, 0.15, 152},
                        {1.0, 0.93, 0.17, 105}},
    [ET_CMAP_PAPER] = {{0.0, 0.975, 0.008, 230}, {0.5, 0.71, 0.095, 240}, {1.0, 0.33, 0.125, 262}},
    [ET_CMAP_TIDE] = {{0.0, 0.36, 0.13, 258}, {0.25, 0.66, 0.115, 248}, {0.5, 0.965, 0.004, 240},
                      {0.5, 0.965, 0.004, 45},
                      {0.75, 0.66, 0.145, 38}, {1.0, 0.37, 0.145, 25}},
};

/* OKLab to linear sRGB (Ottosson, "A perceptual color space for image processing", 2020). */
static void linear_rgb(double lightness, double a, double b, double rgb[3])
{
    double l = lightness + 0.3963377774 * a + 0.2158037573 * b;
    double m = lightness - 0.1055613458 * a - 0.0638541728 * b;
    double s = lightness - 0.0894841775 * a - 1.2914855480 * b;

    l = l * l * l;
    m = m * m * m;
    s = s * s * s;
    rgb[0] = 4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s;
    rgb[1] = -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s;
    rgb[2] = -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s;
}

static int in_gamut(const double rgb[3])
{
    for (int i = 0; i < 3; i++)
        if (!(rgb[i] >= -1e-6 && rgb[i] <= 1.0 + 1e-6))
            return 0;
    return 1;
}

/* The colour, with its chroma reduced (by bisection) until sRGB holds it. */
static void srgb_bytes(double lightness, double chroma, double hue, uint8_t out[3])
{
    double h = hue * 3.14159265358979323846 / 180.0, keep = 1.0, lo = 0.0, rgb[3];

    linear_rgb(lightness, chroma * cos(h), chroma * sin(h), rgb);
    if (!in_gamut(rgb)) {
        double hi = 1.0;

        for (int i = 0; i < 24; i++) {
            keep = 0.5 * (lo + hi);
            linear_rgb(lightness, keep * chroma * cos(h), keep * chroma * sin(h), rgb);
            if (in_gamut(rgb))
                lo = keep;
            else
                hi = keep;
        }
        linear_rgb(lightness, lo * chroma * cos(h), lo * chroma * sin(h), rgb);
    }
    for (int i = 0; i < 3; i++) {
        double v = rgb[i] < 0 ? 0 : rgb[i] > 1 ? 1 : rgb[i];

        v = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
        out[i] = (uint8_t)(255.0 * v + 0.5);
    }
}

et_status et_colormap_table(et_colormap map, uint8_t rgb[256][3])
{
    const stop *path;

    if ((int)map < 0 || map >= ET_N_CMAPS)
        return et_raise(ET_EINVAL, "unknown colour map %d", (int)map);
    path = paths[map];
    for (int i = 0; i < 256; i++) {
        double t = i / 255.0, w;
        int k = 0;

        while (k + 2 < MAX_STOPS && path[k + 2].at > 0 && t > path[k + 1].at)
            k++;
        w = path[k + 1].at > path[k].at ? (t - path[k].at) / (path[k + 1].at - path[k].at) : 1.0;
        srgb_bytes(path[k].lightness + w * (path[k + 1].lightness - path[k].lightness),
                   path[k].chroma + w * (path[k + 1].chroma - path[k].chroma),
                   path[k].hue + w * (path[k + 1].hue - path[k].hue), rgb[i]);
    }
    return ET_OK;
}

void et_colormap_index(int64_t n, const float *x, double lo, double hi, uint8_t *index)
{
    double scale = hi > lo ? 255.0 / (hi - lo) : 0.0;

    for (int64_t i = 0; i < n; i++) {
        double v = hi > lo ? (x[i] - lo) * scale : 0.0;

        index[i] = v >= 255.0 ? 255 : v > 0.0 ? (uint8_t)(v + 0.5) : 0; /* NaN fails both */
    }
}

void et_finite_range(int64_t n, const float *x, double *lo, double *hi)
{
    *lo = INFINITY;
    *hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            continue;
        if (x[i] < *lo)
            *lo = x[i];
        if (x[i] > *hi)
            *hi = x[i];
    }
    if (!(*lo <= *hi)) {
        *lo = 0.0;
        *hi = 1.0;
    }
}

uint8_t *et_matrix_png(int64_t rows, int64_t cols, const float *x, double lo, double hi, int flip,
                       et_colormap map, size_t *size)
{
    uint8_t palette[256][3], *pixels, *png;
    et_image image = {.width = cols, .height = rows, .kind = ET_PNG_PALETTE, .palette = palette[0],
                      .n_colours = 256};

    if (!x || rows < 1 || cols < 1 || rows > 65535 || cols > 65535) {
        et_raise(ET_EINVAL, "picture of a matrix: sizes must be 1 .. 65535 and data given");
        return NULL;
    }
    if (et_colormap_table(map, palette) != ET_OK)
        return NULL;
    if (isnan(lo) || isnan(hi))
        et_finite_range(rows * cols, x, &lo, &hi);
    pixels = et_alloc_zero((size_t)rows, (size_t)cols);
    if (!pixels)
        return NULL;
    for (int64_t r = 0; r < rows; r++)
        et_colormap_index(cols, x + (flip ? rows - 1 - r : r) * cols, lo, hi, pixels + r * cols);
    image.pixels = pixels;
    png = et_png_encode(&image, size);
    et_dealloc(pixels);
    return png;
}

uint8_t *et_tinted_png(int64_t rows, int64_t cols, const float *x, const float *overlay, int scale,
                       et_colormap map, size_t *size)
{
    static const uint8_t tint[3] = {ET_TINT_RED, ET_TINT_GREEN, ET_TINT_BLUE};
    uint8_t palette[256][3], *index, *pixels, *png = NULL;
    double lo, hi;

    if (!x || !overlay || rows < 1 || cols < 1 || scale < 1 || rows > 65535 / scale || cols > 65535 / scale) {
        et_raise(ET_EINVAL, "tinted picture: sizes must be 1 .. 65535 pixels and data given");
        return NULL;
    }
    if (et_colormap_table(map, palette) != ET_OK)
        return NULL;
    et_finite_range(rows * cols, x, &lo, &hi);
    index = et_alloc((size_t)cols);
    pixels = et_alloc_zero((size_t)(rows * scale), (size_t)(cols * scale) * 3);
    for (int64_t r = 0; index && pixels && r < rows; r++) {
        et_colormap_index(cols, x + (rows - 1 - r) * cols, lo, hi, index);
        for (int64_t p = 0; p < scale * cols * scale; p++) {
            const int64_t c = p % (cols * scale) / scale;
            const double a = ET_TINT * (overlay[c] > 1 ? 1 : overlay[c] > 0 ? (double)overlay[c] : 0);
            for (int k = 0; k < 3; k++)
                pixels[3 * (r * scale * cols * scale + p) + k] =
                    (uint8_t)((1 - a) * palette[index[c]][k] + a * tint[k] + 0.5);
        }
    }
    if (index && pixels)
        png = et_png_encode(&(et_image){.width = cols * scale, .height = rows * scale, .kind = ET_PNG_RGB,
                                        .pixels = pixels},
                            size);
    et_dealloc(index);
    et_dealloc(pixels);
    return png;
}
