/* Runs the gradient checks of the ops named on the command line; stops at the first that fails.
 * Exit status 0: all pass, 1: one does not, 2: an unknown op, a signal: memory was written that
 * is nobody's.
 *
 * Linked with -Wl,--wrap=malloc and so on: memory comes filled with NaN and with a guard behind
 * it, so that a changed rule which reads or writes outside of its arrays is seen. */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/gradcheck.h"
#include "autograd/op.h"

/* --- guarded memory ------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *p);

enum { FRONT = 64, BACK = 4096, LINE = 64, SHIFT = 16 };

typedef struct guard {
    uint64_t magic;
    size_t size;
    void *real;
} guard;

static const uint64_t magic = 0x6d75746174696f6e;

/* What stands behind a block (the block itself is all ones): as float64 a signalling NaN, as float32 one and
 * a quiet one in turn. Arithmetic makes signalling ones quiet, so that a rule that runs past the end and
 * computes there leaves traces too. */
static const uint64_t junk = 0xfff7ffff7fbfffff;

/* Compares with, or writes, the junk of bytes from .. to of a block. */
static bool is_junk(const char *p, size_t from, size_t to)
{
    for (; from < to && from % sizeof junk; from++)
        if (p[from] != ((const char *)&junk)[from % sizeof junk])
            return false;
    for (uint64_t word; from + sizeof junk <= to; from += sizeof junk) {
        memcpy(&word, p + from, sizeof word);
        if (word != junk)
            return false;
    }
    return true;
}

static void put_junk(char *p, size_t from, size_t to)
{
    for (; from < to && from % sizeof junk; from++)
        p[from] = ((const char *)&junk)[from % sizeof junk];
    for (; from < to; from += sizeof junk)
        memcpy(p + from, &junk, to - from < sizeof junk ? to - from : sizeof junk);
}

/* Blocks start 16 bytes behind a multiple of 64, where the pool leaves least between what it
 * hands out and the end of the block. */
void *__wrap_malloc(size_t size)
{
    char *real = size < SIZE_MAX / 2 ? __real_malloc(size + FRONT + LINE + BACK) : NULL, *p;

    if (!real)
        return NULL;
    p = real + sizeof(guard);
    p += (LINE + SHIFT - (uintptr_t)p % LINE) % LINE;
    memset(p, 0xff, size);
    put_junk(p, size, size + BACK);
    memcpy(p - sizeof(guard), &(guard){magic, size, real}, sizeof(guard));
    return p;
}

void __wrap_free(void *p)
{
    guard g;

    if (!p)
        return;
    memcpy(&g, (char *)p - sizeof g, sizeof g);
    if (g.magic != magic)
        abort();
    if (!is_junk(p, g.size, (g.size + BACK) / sizeof junk * sizeof junk))
        abort();
    __real_free(g.real);
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *p = size && count > SIZE_MAX / size ? NULL : __wrap_malloc(count * size);

    if (p)
        memset(p, 0, count * size);
    return p;
}

void *__wrap_realloc(void *old, size_t size)
{
    void *p = __wrap_malloc(size);
    guard g;

    if (p && old) {
        memcpy(&g, (char *)old - sizeof g, sizeof g);
        memcpy(p, old, g.size < size ? g.size : size);
        __wrap_free(old);
    }
    return p;
}

/* --- the checks --------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const et_op *op = et_op_find(argv[i]);

        if (!op) {
            fprintf(stderr, "no op is called %s\n", argv[i]);
            return 2;
        }
        if (et_gradcheck_op(op, NULL, NULL)) {
            puts(et_error_message());
            return 1;
        }
    }
    return 0;
}
