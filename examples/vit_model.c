/* The model of genre-vit: see vit_model.h. */
#include "config.h"

#include "examples/vit_model.h"

#include <string.h>

#include "models/vit.h"

enum { WINDOWS = 3 /* of an item that is longer than the model's window, in judging */ };

static et_module *make_vit(const void *config, et_module *parent, const char *name, et_rng *rng)
{
    et_vit *m = et_vit_new(parent, name, config, rng);

    return m ? &m->module : NULL;
}

static et_tensor *ask_vit(const et_module *m, et_tensor *x, et_tensor *lengths, et_tensor **attention)
{
    (void)lengths;
    if (attention)
        *attention = NULL;
    return et_vit_forward((const et_vit *)m, x, NULL);
}

static const char *const poolings[] = {"flatten", "mean", "class", "statistics"};

static et_vit_pooling pooling_of(const char *name)
{
    int i = 0;

    while (strcmp(poolings[i], name) != 0) /* the option allows no others */
        i++;
    return (et_vit_pooling)i;
}

et_vit_config vit_config_of(const et_cli *cli, vit_kind kind, int64_t frames, int64_t features,
                            int64_t classes)
{
    int64_t channels = vit_channels(kind);

    return (et_vit_config){
        .frames = frames,
        .bins = features / channels,
        .channels = channels,
        .height = et_cli_int(cli, "image-height"),
        .width = et_cli_int(cli, "image-width"),
        .transpose = et_cli_flag(cli, "transpose"),
        .patch_h = et_cli_int(cli, "patch-height"),
        .patch_w = et_cli_int(cli, "patch-width"),
        .step_h = et_cli_int(cli, "step-height"),
        .step_w = et_cli_int(cli, "step-width"),
        .d = et_cli_int(cli, "width"),
        .layers = (int)et_cli_int(cli, "blocks"),
        .heads = (int)et_cli_int(cli, "heads"),
        .head_width = et_cli_int(cli, "head-width"),
        .hidden = et_cli_int(cli, "hidden"),
        .act_once = et_cli_int(cli, "acts") == 1,
        .pooling = pooling_of(et_cli_text(cli, "pooling")),
        .head = {et_cli_int(cli, "head1"), et_cli_int(cli, "head2")},
        .classes = classes,
        .dropout = et_cli_real(cli, "dropout"),
        .head_dropout = et_cli_real(cli, "head-dropout"),
        .drop_path = et_cli_real(cli, "drop-path"),
        .recomputed = (int)(strcmp(et_cli_verb(cli)->name, "train") == 0 ? et_cli_int(cli, "recompute") : 0),
    };
}

et_status vit_refuse(const et_cli *cli, vit_kind kind)
{
    const bool sounds = kind == VIT_MUSIC || kind == VIT_AUDIO;

    if (et_cli_text(cli, "data") && et_cli_refuse(cli, "task", "with --data"))
        return et_error_status();
    if (kind != VIT_AUDIO && et_cli_refuse(cli, "cache", "but with a folder of sounds"))
        return et_error_status();
    if (kind != VIT_SPECTROGRAM && et_cli_refuse(cli, "centre", "but with GTZAN's spectrograms"))
        return et_error_status();
    return sounds ? ET_OK : et_cli_refuse(cli, "standardize", "but with sounds");
}

et_status vit_defaults(et_cli *cli, vit_kind kind)
{
    const vit_recipe r = vit_recipe_of(kind, strcmp(et_cli_text(cli, "config"), "paper") == 0);
    const struct { const char *name; int64_t value; } ints[] = {
        {"image-height", r.net.height}, {"image-width", r.net.width}, {"patch-height", r.net.patch_h},
        {"patch-width", r.net.patch_w}, {"width", r.net.d}, {"blocks", r.net.layers}, {"heads", r.net.heads},
        {"head-width", r.net.head_width}, {"hidden", r.net.hidden}, {"head1", r.net.head[0]},
        {"head2", r.net.head[1]},
        {"acts", r.net.act_once ? 1 : 2}, {"epochs", r.epochs}, {"batch", r.batch},
        {"members", r.members}, {"folds", r.folds}, {"shift", r.shift}};
    const struct { const char *name; double value; } reals[] = {
        {"lr", r.lr}, {"weight-decay", r.weight_decay}, {"dropout", r.net.dropout},
        {"head-dropout", r.net.head_dropout}, {"drop-path", r.net.drop_path},
        {"mixup", r.mixup}, {"smoothing", r.smoothing}, {"clip", r.clip}};

    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        et_cli_default_int(cli, ints[i].name, ints[i].value);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        et_cli_default_real(cli, reals[i].name, reals[i].value);
    et_cli_default(cli, "pooling", poolings[r.net.pooling]);
    et_cli_default(cli, "schedule", r.cosine ? "cosine" : "constant");
    et_cli_default(cli, "centre", r.bands ? "bands" : "track");
    et_cli_default(cli, "frames", r.spread ? "spread" : "stretch");
    if (strcmp(et_cli_verb(cli)->name, "train") == 0)
        et_cli_default(cli, "keep", r.by_accuracy ? "accuracy" : "loss");
    if (et_error_status() || vit_refuse(cli, kind))
        return et_error_status();
    if (et_cli_int(cli, "folds") == 0 && et_cli_refuse(cli, "fold split", "without --folds"))
        return et_error_status();
    return et_cli_int(cli, "window") == 0 ? et_cli_refuse(cli, "frames", "without --window") : ET_OK;
}

bool vit_spreads(const et_cli *cli)
{
    const char *frames = et_cli_text(cli, "frames");

    return frames && strcmp(frames, "spread") == 0;
}

bool vit_centres_bands(const et_cli *cli)
{
    const char *centre = et_cli_text(cli, "centre");

    return centre && strcmp(centre, "bands") == 0;
}

et_dataset *vit_windows_of(const et_cli *cli, const et_dataset *ds)
{
    return vit_windows(ds, et_cli_int(cli, "window"), WINDOWS, vit_spreads(cli));
}

genre_model *vit_build(const et_cli *cli, const et_vit_config *c)
{
    static const genre_network network = {false, make_vit, ask_vit};
    genre_model *m = genre_model_new(&network, c, (int)et_cli_int(cli, "members"),
                                     (uint64_t)et_cli_int(cli, "seed"));

    if (m && genre_model_inputs(m, c->channels * c->bins)) {
        genre_model_free(m);
        return NULL;
    }
    return m;
}
