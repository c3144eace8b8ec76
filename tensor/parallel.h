/* Threads. Work is cut into pieces that depend on shapes alone and every sum is
 * combined in a fixed order, so results have the same bits for any number of
 * threads. */
#ifndef ETUDE_TENSOR_PARALLEL_H
#define ETUDE_TENSOR_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Below about this much work a piece is not worth a thread. */
enum { ET_GRAIN_ELEMS = 32 * 1024, ET_GRAIN_FLOPS = 2 * 1000 * 1000 };

/* The same for work that is cut finely. */
enum { ET_FINE_ELEMS = 8, ET_FINE_FLOPS = 64 };

/** Number of threads to use: ETUDE_NUM_THREADS or OMP_NUM_THREADS at start, else
 *  the processors that the process may run on. EINVAL unless 1 <= n <= 256. */
et_status et_set_num_threads(int n);
int et_get_num_threads(void);

/** Calls body(lo, hi, user) for pieces of `grain` indices (the last may be shorter)
 *  that together cover 0..n. Pieces depend on n and grain alone; each is run by one
 *  thread, neighbours by the same thread, and the same piece by the same thread in
 *  every call with equal n and grain, unless the system has fewer threads then. Runs
 *  on the calling thread when there is one piece, when called from inside another
 *  parallel body, and while another thread of the program has all of the library's
 *  (two loops at once would only be in each other's way). The body allocates no
 *  tensors and raises no errors. */
void et_parallel_for(int64_t n, int64_t grain, void (*body)(int64_t lo, int64_t hi, void *user), void *user);

/** From now on (or no longer) this thread runs parallel loops by itself, as inside of a parallel body: for
 *  threads that a program starts, one of which is to be one. */
void et_parallel_alone(bool on);

/* How work is cut into pieces, blocks and groups. */
typedef enum et_cutting {
    ET_CUT_USUAL,
    ET_CUT_FINE,         /* so small that even a tensor of a few elements makes several */
    ET_CUT_FINE_REVERSED /* and this thread alone runs the pieces, from the last to the first */
} et_cutting;

/** How this thread, and the parallel bodies that it starts, cut work from now on. For checks alone, which are
 *  quick on small tensors and are to see what happens from the second piece on: fine pieces are slow and
 *  add up in another order than usual ones. Reversed, all bits must be those of ET_CUT_FINE, or else the
 *  pieces are not independent. An op's forward and backward must run with the same cutting. */
void et_set_cutting(et_cutting how);

/** `usual`, a size that decides how work is cut; `fine` where it is cut finely. */
int64_t et_cut(int64_t usual, int64_t fine);

/** Elements of a piece: ET_GRAIN_ELEMS, or ET_FINE_ELEMS. */
int64_t et_elem_grain(void);

/** True inside a parallel body. */
bool et_in_parallel(void);

/** How many threads so many multiplications and additions are worth here: 1 inside a parallel body, never
 *  more than et_get_num_threads (where work is cut finely, than a fixed number). Pieces that are cut by it
 *  must not change results. */
int et_threads_for(double flops);

/** Grain for n rows of `cost` elementary operations each, so that a piece is worth a
 *  thread; never less than 1. Depends on its arguments alone. */
int64_t et_row_grain(int64_t n, int64_t cost);

#ifdef __cplusplus
}
#endif
#endif
