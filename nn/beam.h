/* What beam searches share: the likeliest classes of a row of logits, and the best candidates of many. */
#ifndef ETUDE_NN_BEAM_H
#define ETUDE_NN_BEAM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_BEAM_MOST = 64, ET_BEAM_CHOICES = 3 };

/* A beam after a further step. */
typedef struct et_beam_candidate {
    double log_p;                    /* of all its choices, nats */
    int32_t from;                    /* the beam that it goes on from */
    int32_t choice[ET_BEAM_CHOICES]; /* what was chosen: one class for each group of logits */
    bool ended;
} et_beam_candidate;

/** Index of the largest of n logits; of equals the first. */
int32_t et_likeliest(const float *logits, int64_t n);

/** The `width` likeliest of n classes in order, index[..] and log softmax log_p[..]; their number, at most n.
 *  Of equals the first comes first. */
int64_t et_beam_classes(const float *logits, int64_t n, int64_t width, int32_t *index, double *log_p);

/** Puts c among the best[0 .. *found) if it is one of the `width` likeliest; best has room for these. Of
 *  equals the one offered first comes first. */
void et_beam_offer(et_beam_candidate *best, int64_t *found, int64_t width, et_beam_candidate c);

#ifdef __cplusplus
}
#endif
#endif
