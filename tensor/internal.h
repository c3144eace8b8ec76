/* What the files of tensor/ share privately. */
#ifndef ETUDE_TENSOR_INTERNAL_H
#define ETUDE_TENSOR_INTERNAL_H

#include "tensor/scope.h"
#include "tensor/tensor.h"

/* Stands at the start of its own pool block; the elements follow, 64 bytes on. */
struct et_storage {
    int64_t refs; /* tensors that share it */
    size_t bytes;
    uint32_t version;
    bool gathers; /* it is a leaf's gradient, to which a backward sweep may add */
};

/* Links t into a scope's list, and out of the list it is in. */
void et_scope_link(et_scope *scope, et_tensor *t);
void et_scope_unlink(et_tensor *t);

/* Releases storage, gradient and handle. */
void et_tensor_destroy(et_tensor *t);

/* A handle without storage, owned by `scope` (NULL: the caller). shape is checked by
 * the caller. */
et_tensor *et_handle_new(et_scope *scope, et_dtype dtype, int ndim, const int64_t *shape);

#endif
