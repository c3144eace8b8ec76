/* report.html of music-search: curves, figures beside the published ones, the similarity of captions and
 * sounds, how ranks are spread, and for some captions what was found, with players where there is sound. */
#ifndef ETUDE_EXAMPLES_SEARCH_REPORT_H
#define ETUDE_EXAMPLES_SEARCH_REPORT_H

#include "examples/search_judge.h"

et_status search_report(et_run *run, const search_model *m, const search_data *d, const et_indices *items,
                        const search_verdict *v, const char *part);

#endif
