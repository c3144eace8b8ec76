/* What the files of the run folder share. */
#ifndef ETUDE_EXAMPLES_COMMON_RUNFOLDER_INTERNAL_H
#define ETUDE_EXAMPLES_COMMON_RUNFOLDER_INTERNAL_H

#include "examples/common/runfolder.h"

enum { ET_RUN_CONFIG_LIMIT = 1 << 20 }; /* bytes of config.json and metrics.json */

struct et_run {
    char *dir;
    struct path_node *paths; /* what et_run_path gave out */
    et_json *config;         /* as read, or NULL */
    et_strbuf text;          /* config.json while it is being written */
    et_strbuf log;           /* the whole log */
    char *log_damage;        /* why not, or NULL */
    int64_t rows, last_epoch;
    size_t made;   /* so long is the first part of dir that was not there before; it goes again, with what is
                    * below it, if nothing comes into it; 0: all was there */
    bool replaces; /* an old run, which goes when config.json is written */
    bool unread;   /* there was no file of features: what has come goes again unless the run begins */
    int lock;      /* of the folder, by a descriptor; negative: none */
};

/* 1 if the folder has the file, 0 if not, -1 after an error. */
int et_run_has(const char *dir, const char *name);
/* Removes the files of the run that is to be overwritten. */
et_status et_run_remove_old(et_run *run);
/* Reads log.jsonl if it is there. EFORMAT for a line that is no epoch's: those before it are kept. */
et_status et_run_load_log(et_run *run);
/* A member of the object that is being written. */
void et_run_write_figure(et_json_writer *w, et_figure f);

#endif
