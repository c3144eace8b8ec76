/* The verbs of style-vae other than train; most work on a trained run. */
#ifndef ETUDE_EXAMPLES_STYLE_VERBS_H
#define ETUDE_EXAMPLES_STYLE_VERBS_H

#include "examples/style_model.h"

/* A run that was trained: its model and styles. */
typedef struct style_reading {
    et_run *run;
    et_names styles;
    et_style_vae *model;
    et_event_options events;
} style_reading;

et_status style_open(et_cli *cli, style_reading *s);
void style_close(style_reading *s);
/* Number of the style of that name; negative and EINVAL with all names if there is none. */
int32_t style_number(const et_names *styles, const char *name);
/* How the options temperature, top-k, beam, greedy and max-events sample. */
et_style_sampling style_sampling_of(const et_cli *cli);

int style_verb_eval(et_cli *cli);
int style_verb_generate(et_cli *cli);
int style_verb_reconstruct(et_cli *cli);
int style_verb_transfer(et_cli *cli);
int style_verb_interpolate(et_cli *cli);
int style_verb_judge(et_cli *cli);    /* style_critic.c */
int style_verb_collapse(et_cli *cli); /* style_collapse.c */

#endif
