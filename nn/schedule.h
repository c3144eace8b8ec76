/* Learning rates over time: functions of the number t = 0, 1, ... of steps (or epochs) made
 * before, without state, so that a resumed run needs nothing but t. */
#ifndef ETUDE_NN_SCHEDULE_H
#define ETUDE_NN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_schedule_kind {
    ET_SCHEDULE_CONSTANT,     /* lr */
    ET_SCHEDULE_STEP,         /* lr gamma^floor(t / every) */
    ET_SCHEDULE_EXPONENTIAL,  /* lr gamma^t */
    ET_SCHEDULE_NOAM,         /* lr width^-0.5 min(s^-0.5, s warmup^-1.5), s = t + 1 (Vaswani et al. 2017) */
    ET_SCHEDULE_WARMUP_COSINE /* lr (t + 1) / warmup for t < warmup, then
                                 lr / 2 (1 + cos(pi (t - warmup) / (total - warmup))), 0 from `total` on */
} et_schedule_kind;

typedef struct et_schedule {
    et_schedule_kind kind;
    double lr;             /* at the start; a factor (usually 1) for Noam */
    bool by_epoch;         /* t counts epochs */
    double gamma;          /* step, exponential: > 0 */
    double least;          /* step, exponential: the rate does not fall below it; 0: no limit */
    int64_t every;         /* step: >= 1 */
    int64_t warmup, total; /* Noam: warmup >= 1; cosine: 0 <= warmup < total */
    double width;          /* Noam: the model's, > 0 */
} et_schedule;

/** EINVAL with what is out of range. */
et_status et_schedule_check(const et_schedule *s);
/** The rate at t >= 0. NaN for a schedule that et_schedule_check refuses. */
double et_schedule_lr(const et_schedule *s, int64_t t);

/** Weight of the divergence in a variational model at step t >= 0, which rises from nearly 0 to 1:
 *  1 - k / (k + exp(t / k)), one half at t = k ln k (Bowman et al. 2016, arXiv 1511.06349, the
 *  logistic form). NaN unless k > 0 and t >= 0. */
double et_kl_weight(double k, int64_t t);

#ifdef __cplusplus
}
#endif
#endif
