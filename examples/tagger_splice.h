/* Half of one clip and half of another: does the model hear each where it is? */
#ifndef ETUDE_EXAMPLES_TAGGER_SPLICE_H
#define ETUDE_EXAMPLES_TAGGER_SPLICE_H

#include "examples/tagger_report.h"

/* The item for one side of a splice (0: its first half is taken, 1: its second), which has the tag own and
 * not the tag other: of the TAGGER_CANDIDATES for which the model is surest, the one whose half says it most
 * clearly. EINVAL where there is none. */
enum { TAGGER_CANDIDATES = 8 };
et_status tagger_splice_choose(const et_tagger *m, const tagger_data *d, const tagger_verdict *v, int side,
                               int64_t own, int64_t other, int64_t rows, int64_t *item);

/* Splices the first half of items[0] and the second of items[1], prints for each of the two tags the mean of
 * its contributions in its half and in the other, and adds the clip to the report (pictures into folder). */
et_status tagger_splice(et_report *r, FILE *out, const et_tagger *m, const tagger_data *d,
                        const int64_t items[2], const int64_t tags[2], int64_t rows, const char *folder);

#endif
