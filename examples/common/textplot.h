/* Small pictures made of characters, and texts from outside, for the terminal. */
#ifndef ETUDE_EXAMPLES_COMMON_TEXTPLOT_H
#define ETUDE_EXAMPLES_COMMON_TEXTPLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "datasets/dataset.h"
#include "tensor/strbuf.h"

/** Appends a curve as one row of `width` characters, without a newline: the largest of the
 *  values behind each character, between the smallest and the largest of all. Values that
 *  are not finite give a blank. unicode: eighth blocks, else ASCII. EINVAL unless n and
 *  width are positive; ENOMEM. */
et_status et_text_spark(et_strbuf *out, int64_t n, const double *y, int width, bool unicode);

/** Appends a matrix [rows, cols], row 0 at the bottom, as `height` lines of `width`
 *  characters: the mean of the elements behind each, as shades. EINVAL, ENOMEM. */
et_status et_text_matrix(et_strbuf *out, int64_t rows, int64_t cols, const float *x, int width, int height,
                         bool unicode);

/** How many bytes of a text to take where there is room for so many: no character of UTF-8 is cut in two. */
int et_text_cut(const char *text, int room);

/** Names with commas between, for a message; where there is no room for all, the first and "...". Returns
 *  out, of 8 bytes or more. */
const char *et_text_list(char *out, size_t size, const et_names *names);

/** What is put behind the name of n things: "s", but of one nothing. */
const char *et_plural(int64_t n);

/** Prints a text that comes from outside, a file's name perhaps: what would steer a terminal, or begin a new
 *  line, as '?'. Blanks fill it up to `width` characters. */
void et_text_print(FILE *out, const char *text, int width);

/** The same at the right end of a column of a table: of what is wider, the first characters. */
void et_text_print_right(FILE *out, const char *text, int width);

#endif
