/* Features of sounds in a file, as all programs keep them: see run_features.h. */
#include "config.h"

#include "examples/common/run_features.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "examples/common/interrupt.h"
#include "examples/common/progress.h"

static bool show(int64_t done, int64_t total, void *user)
{
    (void)total;
    et_progress_step(user, done, "%s", "");
    return !et_interrupted();
}

static et_feature_cache *open_shown(const et_collection *c, const et_front_end *fe, const char *what,
                                    et_feature_cache_options *o)
{
    et_progress progress;

    o->progress = show;
    o->user = &progress;
    et_progress_begin(&progress, stdout, et_collection_size(c), "%s", what);
    et_feature_cache *cache = et_feature_cache_open(c, fe, o);
    if (cache && et_feature_cache_was_made(cache, NULL))
        et_progress_end(&progress, "%s", "");
    else
        et_progress_drop(&progress);
    return cache;
}

static et_feature_cache *open_temporary(const et_collection *c, const et_front_end *fe, const char *what,
                                        et_feature_cache_options *o)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];

    snprintf(path, sizeof path, "%s/etude-features.XXXXXX", folder && *folder ? folder : "/tmp");
    const int fd = mkstemp(path);
    if (fd < 0) {
        et_raise(ET_EIO, "%s: no temporary file can be made there", path);
        return NULL;
    }
    o->path = path;
    et_feature_cache *cache = open_shown(c, fe, what, o);
    close(fd);
    unlink(path);
    return cache;
}

et_feature_cache *et_run_features(const et_collection *c, const et_front_end *fe, const char *what,
                                  et_feature_cache_options options)
{
    const bool caught = et_interrupt_caught();

    if (et_interrupt_catch())
        return NULL;
    et_feature_cache *cache = options.path ? open_shown(c, fe, what, &options)
                                           : open_temporary(c, fe, what, &options);
    if (!caught && et_interrupt_release()) {
        et_feature_cache_free(cache);
        return NULL;
    }
    return cache;
}
