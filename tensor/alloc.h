/* Memory from the system: every byte that the library asks of malloc or of the
 * operating system goes through here, so that a test can count the requests and
 * make any one of them fail. */
#ifndef ETUDE_TENSOR_ALLOC_H
#define ETUDE_TENSOR_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Called before every request for memory, of the system and of the pool alike,
 *  with its size in bytes. When it returns false the request fails as if memory
 *  had run out. */
typedef bool (*et_alloc_hook)(size_t bytes, void *user);

/** Installs the hook (NULL removes it). Not thread-safe: meant for tests. */
void et_set_alloc_hook(et_alloc_hook hook, void *user);

/** True if the hook lets a request of `bytes` pass. */
bool et_alloc_allowed(size_t bytes);

/** malloc, calloc (with the product checked), realloc and strdup through the
 *  hook. On failure they return NULL and raise ET_ENOMEM. A size of 0 gives a
 *  unique pointer. Release with et_dealloc. */
void *et_alloc(size_t bytes);
void *et_alloc_zero(size_t count, size_t size);
void *et_alloc_resize(void *old, size_t bytes);
char *et_alloc_string(const char *s);
void et_dealloc(void *p);

/** a * b into *out; false if it does not fit. */
bool et_mul_size(size_t a, size_t b, size_t *out);
bool et_mul_i64(int64_t a, int64_t b, int64_t *out);

#ifdef __cplusplus
}
#endif
#endif
