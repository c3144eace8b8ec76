/* Conversion of file elements, and of whole tensors in pieces through a small buffer. */
#include "config.h"

#include "tensor/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tensor/bytes.h"
#include "tensor/iter.h"

enum { CHUNK = 512 }; /* elements converted at once, on the stack */

size_t et_wire_size(et_wire wire)
{
    static const unsigned char size[ET_N_WIRES] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8};

    return size[wire];
}

et_dtype et_wire_dtype(et_wire wire)
{
    switch (wire) {
    case ET_WIRE_BOOL:
    case ET_WIRE_U8: return ET_U8;
    case ET_WIRE_F16:
    case ET_WIRE_F32: return ET_F32;
    case ET_WIRE_F64: return ET_F64;
    case ET_WIRE_BF16: return ET_BF16;
    default: return ET_I32;
    }
}

et_wire et_wire_of(et_dtype dtype)
{
    static const et_wire wire[ET_N_DTYPES] = {ET_WIRE_F32, ET_WIRE_F64, ET_WIRE_I32, ET_WIRE_U8,
                                              ET_WIRE_BF16};

    return wire[dtype];
}

float et_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;

    if (exponent == 31)
        return et_bits_f32(sign | 0x7F800000 | mantissa << 13);
    if (exponent == 0) /* zero, or subnormal: a multiple of 2^-24 */
        return (sign ? -1.0f : 1.0f) * (float)(int32_t)mantissa * 0x1p-24f;
    return et_bits_f32(sign | (exponent + 112) << 23 | mantissa << 13);
}

bool et_wire_is_memory(et_wire wire, bool big_endian)
{
    static const uint16_t one = 1;
    bool host_big = *(const unsigned char *)&one == 0;

    switch (wire) {
    case ET_WIRE_U8: return true;
    case ET_WIRE_I32:
    case ET_WIRE_F32:
    case ET_WIRE_F64:
    case ET_WIRE_BF16: return host_big == big_endian;
    default: return false;
    }
}

static uint64_t load(const unsigned char *p, size_t size, bool big)
{
    switch (size) {
    case 1: return p[0];
    case 2: return big ? et_load_u16be(p) : et_load_u16le(p);
    case 4: return big ? et_load_u32be(p) : et_load_u32le(p);
    default: return big ? et_load_u64be(p) : et_load_u64le(p);
    }
}

/* The two's complement number of `size` bytes in the low end of v. */
static int64_t sign_extend(uint64_t v, size_t size)
{
    uint64_t sign = UINT64_C(1) << (8 * size - 1), low = v & (sign - 1);

    return v & sign ? -(int64_t)(sign - 1 - low) - 1 : (int64_t)low;
}

int64_t et_wire_decode(et_wire wire, bool big_endian, const unsigned char *src, int64_t n, void *dst)
{
    size_t size = et_wire_size(wire);
    int64_t i, s;
    uint64_t v;

    if (et_wire_is_memory(wire, big_endian)) {
        memcpy(dst, src, (size_t)n * size);
        return n;
    }
    for (i = 0; i < n; i++) {
        v = load(src + (size_t)i * size, size, big_endian);
        switch (wire) {
        case ET_WIRE_BOOL: ((uint8_t *)dst)[i] = v != 0; break;
        case ET_WIRE_U8: ((uint8_t *)dst)[i] = (uint8_t)v; break;
        case ET_WIRE_U16:
        case ET_WIRE_U32:
        case ET_WIRE_U64:
            if (v > INT32_MAX)
                return i;
            ((int32_t *)dst)[i] = (int32_t)v;
            break;
        case ET_WIRE_I8:
        case ET_WIRE_I16:
        case ET_WIRE_I32:
        case ET_WIRE_I64:
            s = sign_extend(v, size);
            if (s < INT32_MIN || s > INT32_MAX)
                return i;
            ((int32_t *)dst)[i] = (int32_t)s;
            break;
        case ET_WIRE_F16: ((float *)dst)[i] = et_f16_to_f32((uint16_t)v); break;
        case ET_WIRE_BF16: ((uint16_t *)dst)[i] = (uint16_t)v; break;
        case ET_WIRE_F32: ((float *)dst)[i] = et_bits_f32((uint32_t)v); break;
        case ET_WIRE_F64: ((double *)dst)[i] = et_bits_f64(v); break;
        }
    }
    return n;
}

void et_wire_encode(et_dtype dtype, int64_t n, void *p)
{
    const size_t size = et_dtype_size(dtype);
    unsigned char *at = p;

    if (et_wire_is_memory(et_wire_of(dtype), false))
        return;
    for (int64_t i = 0; i < n; i++, at += size) {
        uint16_t h;
        uint32_t w;
        uint64_t d;

        switch (size) {
        case 2:
            memcpy(&h, at, 2);
            et_store_u16le(at, h);
            break;
        case 4:
            memcpy(&w, at, 4);
            et_store_u32le(at, w);
            break;
        default:
            memcpy(&d, at, 8);
            et_store_u64le(at, d);
            break;
        }
    }
}

/* --- whole tensors --------------------------------------------------------------- */

static et_status raise_too_large(const char *what, int64_t i)
{
    return et_raise(ET_EINVAL, "%s: element %" PRId64 " does not fit int32", what, i);
}

/* Elements in the order of Fortran, first index fastest, to their row-major places. */
static void scatter_fortran(const char *from, int64_t first, int64_t n, const et_tensor *x, char *to)
{
    size_t size = et_dtype_size(x->dtype);
    int64_t index[ET_MAX_DIMS] = {0}, rest = first, place, i;
    int d;

    for (d = 0; d < x->ndim; d++) {
        index[d] = rest % x->shape[d];
        rest /= x->shape[d];
    }
    for (i = 0; i < n; i++) {
        place = 0;
        for (d = 0; d < x->ndim; d++)
            place = place * x->shape[d] + index[d];
        memcpy(to + (size_t)place * size, from + (size_t)i * size, size);
        for (d = 0; d < x->ndim && ++index[d] == x->shape[d]; d++)
            index[d] = 0;
    }
}

et_status et_wire_read(et_reader *r, uint64_t offset, et_wire wire, bool big_endian, bool fortran,
                       et_tensor *dst, const char *what)
{
    unsigned char raw[CHUNK * 8];
    double values[CHUNK];
    size_t in = et_wire_size(wire), out = et_dtype_size(dst->dtype);
    char *data = et_data_mut(dst);
    int64_t i, n, done;
    et_status status;

    if (!data)
        return et_error_status();
    if (!fortran && et_wire_is_memory(wire, big_endian))
        return et_reader_at(r, offset, data, (size_t)dst->numel * in);
    for (i = 0; i < dst->numel; i += n) {
        n = dst->numel - i < CHUNK ? dst->numel - i : CHUNK;
        status = et_reader_at(r, offset + (uint64_t)i * in, raw, (size_t)n * in);
        if (status != ET_OK)
            return status;
        done = et_wire_decode(wire, big_endian, raw, n, fortran ? (void *)values : data + (size_t)i * out);
        if (done < n)
            return raise_too_large(what, i + done);
        if (fortran)
            scatter_fortran((const char *)values, i, n, dst, data);
    }
    return ET_OK;
}

et_status et_wire_write(et_writer *w, const et_tensor *x)
{
    unsigned char raw[CHUNK * 8];
    size_t size = et_dtype_size(x->dtype);
    const et_tensor *ops[1] = {x};
    const char *data = et_data(x), *from;
    int64_t row, i, j, n, stride;
    et_status status = ET_OK;
    et_iter it;
    et_iter_row at;

    if (!data)
        return et_error_status();
    if (x->numel == 0)
        return ET_OK;
    et_iter_init(&it, x->ndim, x->shape, 1, ops);
    stride = it.strides[0][it.ndim - 1];
    at = et_iter_seek(&it, 0);
    for (row = 0; row < it.rows && status == ET_OK; row++, et_iter_next(&it, &at)) {
        from = data + (size_t)at.at[0] * size;
        if (stride == 1 && et_wire_is_memory(et_wire_of(x->dtype), false)) {
            status = et_writer_put(w, from, (size_t)it.n * size);
            continue;
        }
        for (i = 0; i < it.n && status == ET_OK; i += n) {
            n = it.n - i < CHUNK ? it.n - i : CHUNK;
            for (j = 0; j < n; j++)
                memcpy(raw + (size_t)j * size, from + (size_t)((i + j) * stride) * size, size);
            et_wire_encode(x->dtype, n, raw);
            status = et_writer_put(w, raw, (size_t)n * size);
        }
    }
    return status;
}
