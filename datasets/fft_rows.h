/* Transforms of the sequences of one row side by side (see tensor/kernels.h), for those who have more to
 * do on rows than a transform. Nothing here allocates; work is the caller's. */
#ifndef ETUDE_DATASETS_FFT_ROWS_H
#define ETUDE_DATASETS_FFT_ROWS_H

#include "datasets/fft.h"
#include "tensor/kernels.h"

typedef struct fft_block fft_block;

struct et_fft {
    et_dtype dtype;
    int64_t n;              /* reals */
    int64_t N;              /* numbers of the complex transform: n / 2, or n where that is odd */
    const et_kernels *k;    /* for several sequences */
    const et_kernels *one_k; /* for one sequence, through `one`; or NULL */
    const et_kernels *plain; /* for one sequence otherwise: a table of one lane */
    et_fft_passes passes;   /* of length N, or of Bluestein's convolution */
    const int32_t *order;   /* where the passes leave result k */
    const void *roots;      /* [n / 4 + 1] exp(-2 pi i k / n) / 2; NULL for odd n */
    int64_t M;              /* Bluestein's length, or 0 */
    const void *chirp;      /* [N] c[j] = exp(-pi i j^2 / N) */
    const void *chirp_back; /* [N] its conjugate */
    const void *filter;     /* [M] transform of the conjugate, around 0, divided by M */
    const int32_t *natural; /* [N] 0, 1, 2, ... */
    et_fft_one one;
    fft_block *blocks;      /* memory of the tables */
};

/** Reals that et_fft_rows_forward and _inverse work in with table k. */
int64_t et_fft_rows_work(const et_fft *plan, const et_kernels *k);

/** Reals from row j of the input to row j + 1 in `work`. */
int64_t et_fft_rows_step(const et_fft *plan, const et_kernels *k);

/** Transforms what stands in work: row j of x at work + j et_fft_rows_step. out: complex rows [n/2 + 1],
 *  or with `power` rows of re^2 + im^2. Spoils work. */
void et_fft_rows_forward(const et_fft *plan, const et_kernels *k, void *work, void *out, bool power);

/** Complex rows X [n/2 + 1] to rows of reals in out, et_fft_rows_step apart; out has room for 2 N rows. */
void et_fft_rows_inverse(const et_fft *plan, const et_kernels *k, const void *X, void *work, void *out);

#endif
