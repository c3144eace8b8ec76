/* What music-tagger's options stand for: see tagger_model.h. */
#include "config.h"

#include "examples/tagger_model.h"

#include <stdio.h>
#include <string.h>

static bool is_sample_cnn(const et_cli *cli) { return strcmp(et_cli_text(cli, "model"), "sample-cnn") == 0; }

static et_tagger_front front_of(const et_cli *cli)
{
    return strncmp(et_cli_text(cli, "model"), "spec", 4) == 0 ? ET_FRONT_SPEC : ET_FRONT_RAW;
}

static et_tagger_back back_of(const et_cli *cli)
{
    const char *model = et_cli_text(cli, "model");

    return strstr(model, "-att") ? ET_BACK_ATT : strstr(model, "-cnn-p") ? ET_BACK_CNN_P : ET_BACK_CNN_L;
}

static bool is_paper(const et_cli *cli) { return strcmp(et_cli_text(cli, "config"), "paper") == 0; }

tagger_source tagger_source_of(const et_cli *cli)
{
    return (tagger_source){.dir = et_cli_text(cli, "data"), .task = et_cli_text(cli, "task"),
                           .lists = et_cli_text(cli, "lists"), .tags = et_cli_text(cli, "tags"),
                           .songs = et_cli_int(cli, "songs"), .front = front_of(cli)};
}

/* Options of other data, or of features where samples are read or spectra are there. */
static et_status refuse_of_data(const et_cli *cli, tagger_kind kind, et_tagger_front front)
{
    const bool made = !et_cli_text(cli, "data"), spectra = front == ET_FRONT_SPEC;

    if (made ? et_cli_refuse(cli, "lists tags", "without --data")
             : et_cli_refuse(cli, "task songs", "with --data"))
        return et_error_status();
    if (made && kind != TAGGER_CORPUS &&
        et_cli_refuse(cli, "songs cache", "with --task %s", et_cli_text(cli, "task")))
        return et_error_status();
    if ((kind == TAGGER_RENDERED || kind == TAGGER_DIGITS) &&
        et_cli_refuse(cli, "tags", "with %s", kind == TAGGER_DIGITS ? "spoken digits" : "rendered excerpts"))
        return et_error_status();
    if (kind == TAGGER_RENDERED && spectra)
        return et_cli_refuse(cli, "cache", "with data that come as spectra");
    return spectra ? ET_OK : et_cli_refuse(cli, "cache", "with a model that reads samples");
}

et_status tagger_check_front(et_cli *cli, int *kind)
{
    static const char *const of_sounds[] = {"speed", "place", "gain", "noise"};
    const char *task = et_cli_text(cli, "data") ? "" : et_cli_text(cli, "task");

    et_cli_default(cli, "model", strcmp(task, "tones") == 0 ? "raw-att" : "spec-att");
    const tagger_source from = tagger_source_of(cli);
    if ((*kind = tagger_kind_of(&from)) < 0 || refuse_of_data(cli, (tagger_kind)*kind, from.front))
        return et_error_status();
    const int only = tagger_only_front((tagger_kind)*kind);
    if (only >= 0 && only != (int)from.front)
        return et_raise(ET_EINVAL, "--task %s is for models that begin with %s", task,
                        only == ET_FRONT_SPEC ? "spec" : "raw");
    for (int i = 0; i < 4 && from.front == ET_FRONT_SPEC; i++)
        if (et_cli_given(cli, of_sounds[i]))
            return et_raise(ET_EINVAL,
                            "--%s changes samples, which a model that begins with spec does not read",
                            of_sounds[i]);
    if (is_sample_cnn(cli) && *kind == TAGGER_TONES)
        return et_raise(ET_EINVAL, "--model sample-cnn needs sounds longer than those of --task tones");
    return ET_OK;
}

/* The options that one schedule alone asks for: their defaults with it; given beside another, EINVAL. */
static et_status schedule_defaults(et_cli *cli)
{
    const char *schedule = et_cli_text(cli, "schedule");
    const struct { const char *name, *schedule, *value; } of[] = {
        {"patience", "plateau", "3"}, {"switch-eps", "swats", is_paper(cli) ? "1e-9" : "1e-3"}};
    et_status status = ET_OK;

    for (size_t i = 0; !status && i < sizeof of / sizeof *of; i++)
        if (strcmp(schedule, of[i].schedule) == 0)
            status = et_cli_default(cli, of[i].name, of[i].value);
        else if (et_cli_given(cli, of[i].name))
            status = et_raise(ET_EINVAL, "--%s is an option of --schedule %s, and this run's is %s",
                              of[i].name, of[i].schedule, schedule);
    return status;
}

/* Options of another back end than the model's. */
static et_status refuse_of_model(const et_cli *cli)
{
    const char *model = et_cli_text(cli, "model");
    const bool attends = back_of(cli) == ET_BACK_ATT;

    if (!attends && et_cli_refuse(cli, "width layers heads hidden dropout learned-cls", "with --model %s",
                                  model))
        return et_error_status();
    return attends || is_sample_cnn(cli) ? et_cli_refuse(cli, "wide", "with --model %s", model) : ET_OK;
}

et_status tagger_defaults(et_cli *cli, tagger_kind kind)
{
    const tagger_recipe r = tagger_recipe_of(kind, front_of(cli), back_of(cli), is_paper(cli));
    const bool published = is_sample_cnn(cli) && is_paper(cli);
    et_status status = et_cli_default(cli, "schedule", published ? "plateau" : r.schedule);
    if (status || (status = schedule_defaults(cli)) || (status = refuse_of_model(cli)))
        return status;
    const bool plateau = strcmp(et_cli_text(cli, "schedule"), "plateau") == 0;
    const struct { const char *name; int64_t value; } ints[] = {
        {"channels", r.net.front == ET_FRONT_SPEC ? r.net.channels : r.net.first}, {"width", r.net.width},
        {"layers", r.net.layers}, {"heads", r.net.heads}, {"hidden", r.net.hidden}, {"wide", r.net.wide},
        {"window", is_sample_cnn(cli) && r.window == 65610 ? 59049 : r.window}, {"epochs", r.epochs},
        {"batch", published ? 23 : r.batch}, {"chunks", r.chunks}};
    const struct { const char *name; double value; } reals[] = {
        {"lr", plateau ? 0.01 : r.lr}, {"weight-decay", r.weight_decay}, {"dropout", r.net.dropout},
        {"out-dropout", r.net.out_dropout}, {"mixup", r.mixup},
        {"speed", r.sound.speed}, {"gain", r.sound.gain}, {"noise", r.sound.noise}};

    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        et_cli_default_int(cli, ints[i].name, ints[i].value);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        et_cli_default_real(cli, reals[i].name, reals[i].value);
    return et_cli_default(cli, "place", r.sound.place ? "anywhere" : "start");
}

/* Blocks of back end CNN_L, each of which thirds the time, that `steps` leave room for. */
static int room_for(int64_t steps, int most)
{
    int n = 0;

    while (n < most && steps >= 3) {
        steps /= 3;
        n++;
    }
    return n > 0 ? n : 1;
}

static et_tagger_config config_of(const et_cli *cli, const tagger_data *d)
{
    const bool paper = is_paper(cli), alone = is_sample_cnn(cli);
    et_tagger_config c = tagger_recipe_of(d->kind, front_of(cli), back_of(cli), paper).net;
    const int64_t channels = et_cli_int(cli, "channels"), wide = et_cli_int(cli, "wide");
    int64_t steps = et_cli_int(cli, "window");

    if (alone)
        c = et_tagger_sample_cnn();
    c.tags = tagger_data_tags(d);
    if (c.front == ET_FRONT_SPEC) {
        c.bands = d->bands;
        c.channels = channels;
        for (int i = 0; i < 2 && !paper && c.tall[i] > c.bands; i++)
            c.tall[i] = c.bands * (i ? 2 : 9) / (i ? 5 : 10);
    } else {
        for (int i = 0; i < c.raw_blocks; i++) /* the paper's proportions */
            c.raw_widths[i] = c.raw_widths[i] * channels / c.first;
        c.first = channels;
        steps /= 3;
        for (int i = 0; i < c.raw_blocks; i++)
            steps /= 3;
    }
    if (alone) {
        for (int i = 0; i < c.long_blocks; i++)
            c.long_widths[i] = c.long_widths[i] * channels / 128;
    } else if (c.back == ET_BACK_CNN_L) {
        for (int i = 0; i < c.long_blocks; i++)
            c.long_widths[i] = c.long_widths[i] * wide /
                               tagger_recipe_of(d->kind, c.front, c.back, paper).net.wide;
    }
    if (c.back == ET_BACK_CNN_L)
        c.long_blocks = room_for(steps, c.long_blocks);
    c.wide = wide;
    c.dense = paper ? c.dense : wide;
    c.width = et_cli_int(cli, "width");
    c.hidden = et_cli_int(cli, "hidden");
    c.heads = (int)et_cli_int(cli, "heads");
    c.layers = (int)et_cli_int(cli, "layers");
    c.dropout = et_cli_real(cli, "dropout");
    c.out_dropout = et_cli_real(cli, "out-dropout");
    c.learned_cls = et_cli_flag(cli, "learned-cls");
    return c;
}

et_tagger *tagger_build(const et_cli *cli, const tagger_data *d)
{
    const et_tagger_config c = config_of(cli, d);
    et_rng rng = et_rng_make((uint64_t)et_cli_int(cli, "seed"), 1);

    return et_tagger_new(NULL, NULL, &c, &rng);
}

tagger_batch_options tagger_training(const et_cli *cli)
{
    return (tagger_batch_options){.size = et_cli_int(cli, "batch"), .rows = et_cli_int(cli, "window"),
                                  .train = true, .chunks = 1, .mixup = et_cli_real(cli, "mixup"),
                                  .sound = {et_cli_real(cli, "speed"),
                                            strcmp(et_cli_text(cli, "place"), "anywhere") == 0,
                                            et_cli_real(cli, "gain"), et_cli_real(cli, "noise")},
                                  .seed = (uint64_t)et_cli_int(cli, "seed"),
                                  .workers = (int)et_cli_int(cli, "workers")};
}

tagger_batch_options tagger_judging(const et_cli *cli)
{
    return (tagger_batch_options){.size = 16, .rows = et_cli_int(cli, "window"),
                                  .chunks = (int)et_cli_int(cli, "chunks"),
                                  .workers = (int)et_cli_int(cli, "workers")};
}

const char *tagger_cache(const et_cli *cli, et_run *run)
{
    const char *given = et_cli_text(cli, "cache");

    if (given)
        return strcmp(given, "none") == 0 ? NULL : given;
    return et_run_path(run, ET_RUN_FEATURES);
}

et_status tagger_align(et_run *run, tagger_data *d)
{
    et_names names = {0};
    et_status status = et_run_read_names(run, "tags", &names);

    if (!status && names.n == 0)
        status = et_raise(ET_EFORMAT, "%s: no list of tags", et_run_path(run, ET_RUN_CONFIG));
    if (!status)
        status = tagger_data_align(d, &names);
    et_names_free(&names);
    return status;
}
