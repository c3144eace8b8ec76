/* Kernels of scaled dot-product attention: rows of scores to weights. Included once by
 * variant.c, after rows.h.
 *
 * s is [rows, cols] contiguous; mask is NULL or cols numbers for each row, ldm apart (0: one row for
 * all), added to the scores. */

/* s = e^(s + mask - max) of each row, and what is left out: inv = 1 / sum of the row left in s, and, where it
 * is not NULL, lse = ln sum e^(s + mask). A row whose every score is -inf becomes zeros, with lse -inf and
 * inv 0. */
static void attn_softmax(int64_t rows, int64_t cols, void *vs, const void *vmask, int64_t ldm, void *vlse,
                         void *vinv)
{
    enum { GROUP = 64 }; /* rows whose logarithms are taken together */
    real *s = vs, *lse = vlse, *inv = vinv, tops[GROUP], sums[GROUP];
    const real *ms = vmask;

    for (int64_t first = 0; first < rows; first += GROUP) {
        const int64_t count = rows - first < GROUP ? rows - first : GROUP;
        for (int64_t r = 0; r < count; r++, s += cols) {
            const real top = row_max(cols, s, ms);
            if (top == (real)-INFINITY) {
                const real none = row_has_nan(cols, s, ms) ? (real)NAN : 0;
                fill(cols, (double)none, s);
                tops[r] = sums[r] = inv[first + r] = none;
            } else {
                const double total = row_exp(cols, s, ms, top, s);
                tops[r] = top;
                sums[r] = (real)total;
                inv[first + r] = (real)(1 / total);
            }
            if (ms)
                ms += ldm;
        }
        if (!lse)
            continue;
        unary_log(count, sums, sums);
        binary_add(count, tops, 1, sums, 1, lse + first);
    }
}

/* The weights again, from the scores and lse: s = e^(s + mask - lse). */
static void attn_weights(int64_t rows, int64_t cols, void *vs, const void *vmask, int64_t ldm,
                         const void *vlse)
{
    const real *lse = vlse, *ms = vmask;
    const vr zero = v_set(0);
    real *s = vs;

    for (int64_t r = 0; r < rows; r++, s += cols) {
        const vr t = v_set(lse[r]);
        if (lse[r] == (real)-INFINITY)
            fill(cols, 0, s);
        else if (ms)
            EACH(cols, { ST(s, v_exp_neg(v_min(zero, LD(s) + LD(ms) - t))); });
        else
            EACH(cols, { ST(s, v_exp_neg(v_min(zero, LD(s) - t))); });
        if (ms)
            ms += ldm;
    }
}

/* The fields of the table. */
#define ATTN_TABLE .attn_softmax = attn_softmax, .attn_weights = attn_weights
