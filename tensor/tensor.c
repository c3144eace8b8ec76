/* Tensors: handles, the storage behind them with its count of handles and its version, and what makes and
 * reads them. Views that are differentiated are ops (autograd/ops_view.c); here is only et_raw_view, of which
 * all are made. */
#include "config.h"

#include "tensor/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/internal.h"
#include "tensor/pool.h"

/* --- dtypes ------------------------------------------------------------------------ */

static const struct {
    const char *name;
    size_t size;
} dtypes[ET_N_DTYPES] = {
    [ET_F32] = {"float32", 4}, [ET_F64] = {"float64", 8}, [ET_I32] = {"int32", 4},
    [ET_U8] = {"uint8", 1},    [ET_BF16] = {"bfloat16", 2},
};

static bool dtype_valid(et_dtype d) { return (int)d >= 0 && (int)d < ET_N_DTYPES; }

size_t et_dtype_size(et_dtype dtype) { return dtype_valid(dtype) ? dtypes[dtype].size : 0; }
const char *et_dtype_name(et_dtype dtype)
{
    return dtype_valid(dtype) ? dtypes[dtype].name : "unknown dtype";
}
bool et_dtype_is_real(et_dtype dtype) { return dtype == ET_F32 || dtype == ET_F64; }

float et_bf16_to_f32(uint16_t b)
{
    uint32_t u = (uint32_t)b << 16;
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

uint16_t et_f32_to_bf16(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) /* NaN: keep it one, and quiet */
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

/* --- storage ----------------------------------------------------------------------- */

enum { STORAGE_HEAD = ET_ALIGN };
_Static_assert(sizeof(struct et_storage) <= STORAGE_HEAD, "the elements follow the storage's head");

static et_storage *storage_new(size_t bytes)
{
    et_storage *s = bytes > SIZE_MAX - STORAGE_HEAD ? NULL : et_pool_alloc(bytes + STORAGE_HEAD);

    if (s)
        *s = (et_storage){.refs = 1, .bytes = bytes};
    return s;
}

static void storage_drop(et_storage *s)
{
    if (s && --s->refs == 0)
        et_pool_free(s);
}

static char *storage_data(et_storage *s) { return (char *)s + STORAGE_HEAD; }

/* --- handles ------------------------------------------------------------------------- */

char *et_shape_text(char buf[ET_SHAPE_TEXT], int ndim, const int64_t *shape)
{
    size_t used = 1;

    buf[0] = '[';
    buf[1] = '\0';
    for (int i = 0; i < ndim && i < ET_MAX_DIMS; i++)
        used += (size_t)snprintf(buf + used, ET_SHAPE_TEXT - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    snprintf(buf + used, ET_SHAPE_TEXT - used, "]");
    return buf;
}

/* Checks a shape and computes its number of elements. */
static et_status check_shape(et_dtype dtype, int ndim, const int64_t *shape, int64_t *numel)
{
    char text[ET_SHAPE_TEXT];
    int64_t n = 1, bytes;
    bool empty = false, fits = true;

    if (!dtype_valid(dtype))
        return et_raise(ET_EDTYPE, "dtype %d does not exist", (int)dtype);
    if (ndim < 0 || ndim > ET_MAX_DIMS)
        return et_raise(ET_ESHAPE, "a tensor has 0 to %d dimensions, not %d", ET_MAX_DIMS, ndim);
    if (ndim > 0 && !shape)
        return et_raise(ET_EINVAL, "shape is NULL for a tensor of %d dimensions", ndim);
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return et_raise(ET_ESHAPE, "negative size in shape %s", et_shape_text(text, ndim, shape));
        empty = empty || shape[i] == 0;
    }
    for (int i = 0; i < ndim; i++)
        fits = fits && et_mul_i64(n, shape[i] ? shape[i] : 1, &n);
    if (!fits || !et_mul_i64(n, (int64_t)dtypes[dtype].size, &bytes) || (uint64_t)bytes > SIZE_MAX / 2)
        return et_raise(ET_ESHAPE, "too many elements in shape %s", et_shape_text(text, ndim, shape));
    *numel = empty ? 0 : n;
    return ET_OK;
}

/* --- lifetimes: a handle and its elements may come and go apart (tensor/scope.h) ----------- */

et_tensor *et_handle_new(et_scope *scope, et_dtype dtype, int ndim, const int64_t *shape)
{
    et_tensor *t = et_pool_alloc(sizeof *t);

    if (!t)
        return NULL;
    memset(t, 0, sizeof *t);
    t->dtype = dtype;
    t->ndim = ndim;
    t->numel = 1;
    for (int i = 0; i < ndim; i++) {
        t->shape[i] = shape[i];
        t->numel *= shape[i];
    }
    et_dense_strides(ndim, shape, t->strides);
    if (scope)
        et_scope_link(scope, t);
    return t;
}

static et_tensor *new_in(et_scope *scope, et_dtype dtype, int ndim, const int64_t *shape)
{
    int64_t numel;

    if (check_shape(dtype, ndim, shape, &numel))
        return NULL;
    et_storage *s = storage_new((size_t)numel * dtypes[dtype].size);
    if (!s)
        return NULL;
    et_tensor *t = et_handle_new(scope, dtype, ndim, shape);
    if (!t) {
        storage_drop(s);
        return NULL;
    }
    t->storage = s;
    return t;
}

et_tensor *et_empty(et_dtype dtype, int ndim, const int64_t *shape)
{
    return new_in(et_scope_current(), dtype, ndim, shape);
}

et_tensor *et_empty_owned(et_dtype dtype, int ndim, const int64_t *shape)
{
    return new_in(NULL, dtype, ndim, shape);
}

void et_release(et_tensor *x)
{
    if (!x)
        return;
    if (x->storage)
        x->made_version = x->storage->version;
    storage_drop(x->storage);
    x->storage = NULL;
    x->remakable = false;
    x->blank = false;
}

void *et_scope_restore(et_tensor *t)
{
    if (!(t->storage = storage_new((size_t)t->numel * dtypes[t->dtype].size)))
        return NULL;
    t->storage->version = t->made_version;
    return storage_data(t->storage);
}

bool et_storage_shared(const et_tensor *t) { return t->storage && t->storage->refs > 1; }

void et_storage_gathers(et_tensor *t)
{
    if (t->storage)
        t->storage->gathers = true;
}

bool et_storage_may_gather(const et_tensor *t) { return t->storage && t->storage->gathers; }

et_tensor *et_blank_new(const et_tensor *x)
{
    et_tensor *t = et_handle_new(NULL, x->dtype, x->ndim, x->shape);

    if (t)
        t->blank = true;
    return t;
}

bool et_blank_open(et_tensor *t)
{
    t->blank = !et_scope_restore(t);
    return !t->blank;
}

et_tensor *et_scope_salvage(et_tensor *t)
{
    if (!t->storage || t->storage->refs != 1 || !et_is_contiguous(t) ||
        t->storage->bytes != (size_t)t->numel * dtypes[t->dtype].size)
        return NULL;
    et_tensor *own = et_handle_new(NULL, t->dtype, t->ndim, t->shape);
    if (own) {
        own->storage = t->storage;
        t->storage = NULL;
    }
    return own;
}

void et_tensor_destroy(et_tensor *t)
{
    if (t->grad)
        et_tensor_destroy(t->grad);
    if (t->acc) /* a checkpoint's, whose scope ends within a sweep */
        et_tensor_destroy(t->acc);
    storage_drop(t->storage);
    et_pool_free(t);
}

void et_free(et_tensor *x)
{
    if (!x || x->scope)
        return;
    /* A running tape may still refer to it: then it goes with the tape. */
    et_scope *root = x->recorded ? et_scope_root() : NULL;
    if (root) {
        et_scope_link(root, x);
        x->on_tape = true;
    } else {
        et_tensor_destroy(x);
    }
}

et_tensor *et_own(et_tensor *x)
{
    if (!x || !x->scope)
        return x;
    if (x->node) {
        et_raise(ET_ESCOPE, "own: an op computed this tensor; take et_detach or et_clone of it");
        return NULL;
    }
    et_scope_unlink(x);
    return x;
}

et_tensor *et_keep(et_tensor *x)
{
    if (x)
        x->keep = true;
    return x;
}

/* The zeros that et_zero_grad_of has promised. */
static bool write_zeros(et_tensor *x)
{
    if (!et_blank_open(x))
        return false;
    memset(storage_data(x->storage), 0, x->storage->bytes);
    return true;
}

/* NULL stays NULL; anything else must still have its elements. */
static bool alive(const et_tensor *x, const char *what)
{
    if (!x) {
        et_raise(ET_EINVAL, "%s: tensor is NULL", what);
        return false;
    }
    if (x->blank)
        return write_zeros((et_tensor *)x);
    if (!x->storage) {
        et_raise(ET_ESCOPE, "%s: the tensor's elements were released (by backward, or with the scope they "
                 "were computed in); mark it with et_keep or hand it on with et_scope_return",
                 what);
        return false;
    }
    return true;
}

/* --- making ------------------------------------------------------------------------- */

/* Takes back a tensor that a failed call has made. Returns NULL. */
static et_tensor *discard(et_tensor *t)
{
    if (t)
        et_free(et_own(t));
    return NULL;
}

et_tensor *et_full(et_dtype dtype, int ndim, const int64_t *shape, double value)
{
    et_tensor *t = et_empty(dtype, ndim, shape);

    if (t)
        et_fill(t, value);
    return t;
}

et_tensor *et_zeros(et_dtype dtype, int ndim, const int64_t *shape)
{
    et_tensor *t = et_empty(dtype, ndim, shape);

    if (t)
        memset(storage_data(t->storage), 0, t->storage->bytes);
    return t;
}

et_tensor *et_ones(et_dtype dtype, int ndim, const int64_t *shape) { return et_full(dtype, ndim, shape, 1); }
et_tensor *et_scalar(et_dtype dtype, double value) { return et_full(dtype, 0, NULL, value); }

et_tensor *et_from(et_dtype dtype, int ndim, const int64_t *shape, const void *data)
{
    et_tensor *t = et_empty(dtype, ndim, shape);

    if (t && t->numel) {
        if (!data) {
            et_raise(ET_EINVAL, "from: data is NULL");
            return discard(t);
        }
        memcpy(storage_data(t->storage), data, t->storage->bytes);
    }
    return t;
}

et_tensor *et_arange(et_dtype dtype, double start, double stop, double step)
{
    double count = ceil((stop - start) / step);

    if (!(fabs(count) <= 9e15) || step == 0) {
        et_raise(ET_EINVAL, "arange: no sequence from %g to %g in steps of %g", start, stop, step);
        return NULL;
    }
    int64_t n = count > 0 ? (int64_t)count : 0;
    et_tensor *t = et_empty(dtype, 1, &n);
    for (int64_t i = 0; t && i < n; i++)
        et_set(t, &i, start + (double)i * step);
    return t;
}

et_tensor *et_linspace(et_dtype dtype, double start, double stop, int64_t n)
{
    et_tensor *t = et_empty(dtype, 1, &n);

    for (int64_t i = 0; t && i < n; i++)
        et_set(t, &i, i == n - 1 && n > 1 ? stop
                                          : start + (stop - start) * (double)i / (double)(n > 1 ? n - 1 : 1));
    return t;
}

et_tensor *et_empty_like(const et_tensor *x)
{
    return x ? et_empty(x->dtype, x->ndim, x->shape) : (et_raise(ET_EINVAL, "empty_like: tensor is NULL"),
                                                        NULL);
}

et_tensor *et_zeros_like(const et_tensor *x)
{
    return x ? et_zeros(x->dtype, x->ndim, x->shape) : (et_raise(ET_EINVAL, "zeros_like: tensor is NULL"),
                                                        NULL);
}

et_tensor *et_to(const et_tensor *x, et_dtype dtype)
{
    if (!alive(x, "to"))
        return NULL;
    et_tensor *t = et_empty(dtype, x->ndim, x->shape);
    return t && et_copy_into(t, x) == ET_OK ? t : discard(t);
}

et_tensor *et_clone(const et_tensor *x) { return alive(x, "clone") ? et_to(x, x->dtype) : NULL; }

et_tensor *et_detach(const et_tensor *x)
{
    return alive(x, "detach") ? et_raw_view(x, x->ndim, x->shape, x->strides, x->offset) : NULL;
}

et_tensor *et_raw_view(const et_tensor *x, int ndim, const int64_t *shape, const int64_t *strides,
                       int64_t offset)
{
    int64_t numel, last = offset;

    if (!alive(x, "view") || check_shape(x->dtype, ndim, shape, &numel))
        return NULL;
    if (ndim > 0 && !strides) {
        et_raise(ET_EINVAL, "view: strides are NULL for a view of %d dimensions", ndim);
        return NULL;
    }
    if (offset < 0) {
        et_raise(ET_EINVAL, "view: reaches outside the storage");
        return NULL;
    }
    for (int i = 0; i < ndim; i++) {
        int64_t span;
        if (numel && (!et_mul_i64(shape[i] - 1, strides[i], &span) || span > INT64_MAX - last)) {
            et_raise(ET_EINVAL, "view: a stride is negative or too large");
            return NULL;
        }
        last += numel ? span : 0;
    }
    if (numel && (uint64_t)last >= x->storage->bytes / dtypes[x->dtype].size) {
        et_raise(ET_EINVAL, "view: reaches outside the storage");
        return NULL;
    }
    et_tensor *t = et_handle_new(et_scope_current(), x->dtype, ndim, shape);
    if (!t)
        return NULL;
    for (int i = 0; i < ndim; i++)
        t->strides[i] = strides[i];
    t->offset = offset;
    t->storage = x->storage;
    t->storage->refs++;
    return t;
}

et_status et_move_into(et_tensor *x, et_tensor *block, int64_t offset)
{
    if (!alive(x, "move_into") || !alive(block, "move_into"))
        return et_error_status();
    if (block->dtype != x->dtype)
        return et_raise(ET_EDTYPE, "move_into: %s into a block of %s", et_dtype_name(x->dtype),
                        et_dtype_name(block->dtype));
    if (!et_is_contiguous(block) || offset < 0 || offset > block->numel || x->numel > block->numel - offset)
        return et_raise(ET_EINVAL, "move_into: the block has no room there");
    et_tensor place = *x;
    place.storage = block->storage;
    place.offset = block->offset + offset;
    et_dense_strides(x->ndim, x->shape, place.strides);
    et_status status = et_copy_into(&place, x);
    if (status)
        return status;
    block->storage->refs++;
    storage_drop(x->storage);
    x->storage = block->storage;
    x->offset = place.offset;
    memcpy(x->strides, place.strides, sizeof x->strides);
    return ET_OK;
}

/* --- gradients of leaves ---------------------------------------------------------- */

et_tensor *et_set_requires_grad(et_tensor *x, bool on)
{
    if (!x)
        return NULL;
    if (x->node) {
        et_raise(ET_EGRAD, "set_requires_grad: an op computed this tensor; only a leaf can be set");
        return NULL;
    }
    if (on && !et_dtype_is_real(x->dtype)) {
        et_raise(ET_EDTYPE, "set_requires_grad: a %s tensor has no gradient", et_dtype_name(x->dtype));
        return NULL;
    }
    x->requires_grad = on;
    return x;
}

et_tensor *et_grad_of(const et_tensor *x) { return x ? x->grad : NULL; }

void et_zero_grad_of(et_tensor *x)
{
    et_tensor *g = x ? x->grad : NULL;

    if (!g)
        return;
    x->reached = false;
    if (g->storage && (g->storage->refs > 1 || g->offset || !et_is_contiguous(g))) {
        et_fill(g, 0); /* others see these elements too */
    } else if (!g->blank) {
        et_release(g);
        g->made_version++;
        g->blank = true;
    }
}

/* --- reading and writing ----------------------------------------------------------- */

const void *et_data(const et_tensor *x)
{
    if (!alive(x, "data"))
        return NULL;
    return storage_data(x->storage) + (size_t)x->offset * dtypes[x->dtype].size;
}

void *et_data_mut(et_tensor *x)
{
    if (!alive(x, "data_mut"))
        return NULL;
    x->storage->version++;
    return storage_data(x->storage) + (size_t)x->offset * dtypes[x->dtype].size;
}

static const void *data_of(const et_tensor *x, et_dtype dtype)
{
    if (!alive(x, "data"))
        return NULL;
    if (x->dtype != dtype) {
        et_raise(ET_EDTYPE, "data: the tensor is %s, not %s", et_dtype_name(x->dtype), et_dtype_name(dtype));
        return NULL;
    }
    return et_data(x);
}

const float *et_data_f32(const et_tensor *x) { return data_of(x, ET_F32); }
const double *et_data_f64(const et_tensor *x) { return data_of(x, ET_F64); }
const int32_t *et_data_i32(const et_tensor *x) { return data_of(x, ET_I32); }

uint32_t et_version(const et_tensor *x) { return x && x->storage ? x->storage->version : 0; }

/* --- shape --------------------------------------------------------------------------- */

bool et_is_contiguous(const et_tensor *x)
{
    int64_t run = 1;

    if (!x)
        return false;
    if (x->numel == 0)
        return true;
    for (int i = x->ndim - 1; i >= 0; i--) {
        if (x->shape[i] != 1 && x->strides[i] != run)
            return false;
        run *= x->shape[i];
    }
    return true;
}

void et_dense_strides(int ndim, const int64_t *shape, int64_t *strides)
{
    int64_t run = 1;

    for (int d = ndim - 1; d >= 0; d--) {
        strides[d] = run;
        run *= shape[d] ? shape[d] : 1;
    }
}

bool et_same_shape(const et_tensor *a, const et_tensor *b)
{
    return a && b && a->ndim == b->ndim && memcmp(a->shape, b->shape,
                                                  (size_t)a->ndim * sizeof *a->shape) == 0;
}

int64_t et_size(const et_tensor *x, int dim)
{
    if (!x) {
        et_raise(ET_EINVAL, "size: tensor is NULL");
        return -1;
    }
    int d = dim < 0 ? dim + x->ndim : dim;
    if (d < 0 || d >= x->ndim) {
        et_raise(ET_EINVAL, "size: dimension %d of a tensor with %d", dim, (int)x->ndim);
        return -1;
    }
    return x->shape[d];
}

et_status et_broadcast_shape(int na, const int64_t *a, int nb, const int64_t *b, int *n, int64_t *out)
{
    *n = na > nb ? na : nb;
    for (int i = 1; i <= *n; i++) {
        int64_t sa = i <= na ? a[na - i] : 1, sb = i <= nb ? b[nb - i] : 1;
        if (sa != sb && sa != 1 && sb != 1)
            return ET_ESHAPE;
        out[*n - i] = sa == 1 ? sb : sa;
    }
    return ET_OK;
}
