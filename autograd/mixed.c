/* Mixed precision: products of bfloat16, all else in float32. */
#include "config.h"

#include "autograd/internal.h"
#include "tensor/gemm.h"

static _Thread_local int mixed_depth;

void et_mixed_begin(void) { mixed_depth++; }

void et_mixed_end(void)
{
    if (mixed_depth > 0)
        mixed_depth--;
}

bool et_mixed_enabled(void) { return mixed_depth > 0; }

int et_mixed_set(int depth)
{
    const int before = mixed_depth;

    mixed_depth = depth;
    return before;
}

et_status et_product(const et_node *n, et_dtype dtype, const et_gemm_args *args)
{
    return n->mixed && dtype == ET_F32 ? et_gemm_bf16(ET_F32, args) : et_gemm(dtype, args);
}
