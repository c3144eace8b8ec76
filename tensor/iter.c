/* Strides of several tensors over one broadcast shape, with as few dimensions as they allow. */
#include "config.h"

#include "tensor/iter.h"

void et_iter_init(et_iter *it, int ndim, const int64_t *shape, int n_ops, const et_tensor *const *ops)
{
    int nd = 0;

    it->n_ops = n_ops;
    for (int d = 0; d < ndim; d++) {
        int64_t st[ET_ITER_OPS];
        if (shape[d] == 1)
            continue;
        for (int k = 0; k < n_ops; k++) {
            int od = d - (ndim - ops[k]->ndim);
            st[k] = od < 0 || ops[k]->shape[od] == 1 ? 0 : ops[k]->strides[od];
        }
        /* Merge with the dimension before, when for every operand one step there is a
         * whole run of this one. */
        bool merge = nd > 0;
        for (int k = 0; merge && k < n_ops; k++)
            merge = it->strides[k][nd - 1] == st[k] * shape[d];
        if (merge) {
            it->shape[nd - 1] *= shape[d];
        } else {
            it->shape[nd++] = shape[d];
        }
        for (int k = 0; k < n_ops; k++)
            it->strides[k][nd - 1] = st[k];
    }
    if (!nd) {
        it->shape[0] = 1;
        for (int k = 0; k < n_ops; k++)
            it->strides[k][0] = 1;
        nd = 1;
    }
    it->ndim = nd;
    it->n = it->shape[nd - 1];
    it->rows = 1;
    for (int d = 0; d < nd - 1; d++)
        it->rows *= it->shape[d];
}

et_iter_row et_iter_seek(const et_iter *it, int64_t row)
{
    et_iter_row r = {{0}, {0}};

    for (int d = it->ndim - 2; d >= 0; d--) {
        r.index[d] = row % it->shape[d];
        row /= it->shape[d];
        for (int k = 0; k < it->n_ops; k++)
            r.at[k] += r.index[d] * it->strides[k][d];
    }
    return r;
}

void et_iter_next(const et_iter *it, et_iter_row *r)
{
    for (int d = it->ndim - 2; d >= 0; d--) {
        const bool carry = ++r->index[d] == it->shape[d];
        for (int k = 0; k < it->n_ops; k++)
            r->at[k] += carry ? -(it->shape[d] - 1) * it->strides[k][d] : it->strides[k][d];
        if (!carry)
            return;
        r->index[d] = 0;
    }
}
