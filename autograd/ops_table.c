/* The table of operators, made from their list. */
#include "config.h"

#include "autograd/op.h"

#define ET_OP(name) extern const et_op et_op_##name;
#define ET_FN(name) extern const et_op et_op_##name;
#include "autograd/ops.def"
#undef ET_OP
#undef ET_FN

const et_op *const et_op_table[] = {
#define ET_OP(name) &et_op_##name,
#define ET_FN(name) &et_op_##name,
#include "autograd/ops.def"
#undef ET_OP
#undef ET_FN
};

const int et_op_count = (int)(sizeof(et_op_table) / sizeof(et_op_table[0]));
