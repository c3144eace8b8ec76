/* The C library's allocator behind one hook, which tests use to refuse the n-th request, and products of
 * sizes that are checked for overflow. */
#include "config.h"

#include "tensor/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/error.h"

static et_alloc_hook hook;
static void *hook_user;

void et_set_alloc_hook(et_alloc_hook fn, void *user)
{
    hook = fn;
    hook_user = user;
}

bool et_alloc_allowed(size_t bytes) { return !hook || hook(bytes, hook_user); }

static void *checked(void *p, size_t bytes)
{
    if (!p)
        et_raise(ET_ENOMEM, "out of memory (%zu bytes)", bytes);
    return p;
}

void *et_alloc(size_t bytes)
{
    return checked(et_alloc_allowed(bytes) ? malloc(bytes ? bytes : 1) : NULL, bytes);
}

void *et_alloc_zero(size_t count, size_t size)
{
    size_t bytes;

    if (!et_mul_size(count, size, &bytes))
        return checked(NULL, SIZE_MAX);
    return checked(et_alloc_allowed(bytes) ? calloc(1, bytes ? bytes : 1) : NULL, bytes);
}

void *et_alloc_resize(void *old, size_t bytes)
{
    return checked(et_alloc_allowed(bytes) ? realloc(old, bytes ? bytes : 1) : NULL, bytes);
}

char *et_alloc_string(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = et_alloc(n);

    if (p)
        memcpy(p, s, n);
    return p;
}

void et_dealloc(void *p) { free(p); }

bool et_mul_size(size_t a, size_t b, size_t *out)
{
    if (b && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

bool et_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    if (a < 0 || b < 0 || (b && a > INT64_MAX / b))
        return false;
    *out = a * b;
    return true;
}
