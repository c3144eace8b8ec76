/* The run folder: what a training run leaves behind.
 *
 *     config.json        program, verb, version, options
 *     log.jsonl          one object an epoch
 *     metrics.json       {"train": {...}, "valid": {...}, "test": {...}, "all": {...}}
 *     best.safetensors   the weights that were best on the validation data
 *     last.ckpt          parameters, optimiser, random state, epoch: what --resume reads
 *     report.html        curves and pictures
 *
 * Some programs write more into it: a judge, an index, caches, pages. They go with the run when it is
 * overwritten; folders of pieces or pictures stay, which nobody reads.
 *
 * Every file is written beside and renamed into place. */
#ifndef ETUDE_EXAMPLES_COMMON_RUNFOLDER_H
#define ETUDE_EXAMPLES_COMMON_RUNFOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "datasets/dataset.h"
#include "examples/common/cli.h"

#define ET_RUN_CONFIG "config.json"
#define ET_RUN_LOG "log.jsonl"
#define ET_RUN_METRICS "metrics.json"
#define ET_RUN_BEST "best.safetensors"
#define ET_RUN_LAST "last.ckpt"
#define ET_RUN_REPORT "report.html"
#define ET_RUN_FEATURES "features.cache" /* of the programs that read sounds */

typedef enum et_run_mode {
    ET_RUN_NEW,       /* made if missing; an error if it holds a run */
    ET_RUN_OVERWRITE, /* made if missing; an old run's files go when config.json is written, folders and
                       * others stay: who fails before has lost nothing */
    ET_RUN_RESUME,    /* goes on with the run in it; begins one if there is none yet */
    ET_RUN_READ       /* must hold a run */
} et_run_mode;

typedef struct et_run et_run;

/* A named number of the log or the metrics. NaN and infinities are written as null,
 * whole numbers without a point. */
typedef struct et_figure {
    const char *name;
    double value;
} et_figure;

/* --- opening ------------------------------------------------------------------------ */

/** Opens (and makes) the folder; but for reading, temporary files that killed processes left
 *  in it are removed, and no other process can write a run there at the same time (where the system locks
 *  folders). Release with et_run_close. Errors: EINVAL if a new run would replace one (the message names the
 *  options of the verb that help), or another process is writing one; EIO; EFORMAT for a configuration that
 *  cannot be read; ENOMEM. */
et_run *et_run_open(const et_cli *cli, const char *dir, et_run_mode mode);

/** The folder that a train verb's --out, --resume and --overwrite ask for. Without --out
 *  it is runs/PROGRAM, or runs/PROGRAM-2, -3, ... the first that holds no run. When
 *  resuming, options that the command line leaves out take their values from
 *  config.json; given ones must agree with it (EINVAL), epochs and data excepted, and the
 *  verb must be the one that made the run (EINVAL). Ctrl-C is caught from here on (interrupt.h), so that a
 *  folder that was made for a run which does not begin goes again. A folder
 *  without a checkpoint is no error when resuming (whoever restarts a killed run in a loop need
 *  not know how far it came): a line on the standard output says that a run begins. */
et_run *et_run_for_training(et_cli *cli);

/** The folder that --out names, to be read by eval and the like: options that the
 *  command line leaves out take their values from config.json. */
et_run *et_run_for_reading(et_cli *cli);

void et_run_close(et_run *run);

const char *et_run_dir(const et_run *run);
/** DIR/name; lives as long as the run. NULL and ENOMEM on failure. */
const char *et_run_path(et_run *run, const char *name);
/** Whether the folder has a checkpoint to go on from. */
bool et_run_has_checkpoint(et_run *run);
/** config.json as it was read when opening; NULL in a new run. */
const et_json_value *et_run_config(const et_run *run);
/** The verb that made the run; "" where config.json does not say. */
const char *et_run_verb(const et_run *run);

typedef enum et_run_data {
    ET_RUN_DATA_OWN,    /* what the run learned from, or --data was not given */
    ET_RUN_DATA_OTHER,  /* something else */
    ET_RUN_DATA_UNKNOWN /* what the run learned from is not where it was: nobody can tell */
} et_run_data;

/** What --data on the command line is to a run that is read. */
et_run_data et_run_data_given(const et_run *run, const et_cli *cli);
/** What all of the data at hand are called where they are judged: "all" if the run learned from them, so that
 *  what it was trained on is among them, else "test". */
const char *et_run_judged(const et_run *run, const et_cli *cli);
/** Whether --cache, or the run's own file of features, is that of the data at hand: not where config.json
 *  names the file and the data are others. */
bool et_run_cache_fits(const et_run *run, const et_cli *cli);

/** Appends the names that the run's configuration has under the key, none where it has no such list. EFORMAT
 *  for what is no name, ENOMEM. */
et_status et_run_read_names(et_run *run, const char *key, et_names *out);
/** EINVAL unless `names`, those of the data at hand, are the run's in their order. A configuration without
 *  such a list, as former versions wrote it, says nothing against them. */
et_status et_run_check_names(const et_run *run, const char *key, const et_names *names);

/* --- writing ------------------------------------------------------------------------ */

/** Writes config.json: the program's name, verb, version and options, then whatever
 *  members the caller adds between the two calls. EINVAL after Ctrl-C: no run begins then. */
et_status et_run_config_begin(et_run *run, const et_cli *cli, et_json_writer *w);
et_status et_run_config_end(et_run *run, et_json_writer *w);
/** Writes such a member: names of what the model tells apart ("genres", "tags", "styles"), in its order. */
void et_run_write_names(et_json_writer *w, const char *key, const et_names *names);

/** Appends {"epoch": epoch, ...figures} to the log. The old log stays until the new one
 *  is on the disk. EINVAL unless epoch is above the last one's. */
et_status et_run_log(et_run *run, int64_t epoch, const et_figure *figures, int n);
/** Cuts the log back to the epochs up to `epoch`, that of the checkpoint. */
et_status et_run_log_cut(et_run *run, int64_t epoch);

/** Replaces one section ("train", "valid", "test") of metrics.json, the others stay: as they were when it was
 *  read, should another process write one meanwhile. EFORMAT if the file in the folder cannot be read. */
et_status et_run_metrics(et_run *run, const char *section, const et_figure *figures, int n);

/* --- reading ------------------------------------------------------------------------ */

/** Where the log cannot be read to its end, why; else NULL. Its first lines are kept as far as they can. */
const char *et_run_log_damage(const et_run *run);
/** Epochs in the log, and one figure of each: out[rows], NaN where it is missing. */
int64_t et_run_log_rows(const et_run *run);
et_status et_run_log_column(const et_run *run, const char *name, double *out);

/** Tells how a run that was stopped after `epoch` epochs can be continued; 0: before the first since it was
 *  gone on with. */
void et_run_print_resume(const et_run *run, const et_cli *cli, int64_t epoch, FILE *out);

#endif
