/* Compression for PNG files: a zlib stream (RFC 1950) of deflate blocks (RFC 1951). */
#ifndef ETUDE_EXAMPLES_COMMON_DEFLATE_H
#define ETUDE_EXAMPLES_COMMON_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/error.h"

/** Compresses n bytes into a complete zlib stream: 32 KiB window, matches found through
 *  hash chains with one step of lazy evaluation, each block written stored, with the
 *  fixed codes or with its own codes, whichever is shortest.
 *
 *  Returns memory to be released with et_dealloc and its size in *size; NULL and ENOMEM
 *  on failure. The result is never larger than n + n / 4096 + 64 bytes. */
uint8_t *et_zlib_compress(const uint8_t *data, size_t n, size_t *size);

/** Adler-32 of n bytes (the checksum that ends a zlib stream). */
uint32_t et_adler32(const uint8_t *data, size_t n);

/** CRC-32 of n bytes as PNG uses it (polynomial 0xEDB88320, reflected). `crc` is 0 for
 *  the first piece and the previous result for a following one. */
uint32_t et_crc32(uint32_t crc, const uint8_t *data, size_t n);

#endif
