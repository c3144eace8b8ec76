/* A program with three verbs, whose command lines the tests parse. */
#ifndef ETUDE_TESTS_TOY_PROGRAM_H
#define ETUDE_TESTS_TOY_PROGRAM_H

#include <stdio.h>
#include <string.h>

#include "examples/common/cli.h"
#include "tests/suite.h"

static int last_status;

static inline int run_verb(et_cli *cli)
{
    (void)cli;
    return last_status;
}

static const et_verb verbs[] = {
    {"train", "Train a model",
     "data out epochs batch lr seed threads config resume overwrite cell hidden words title",
     NULL, 0, 0, run_verb},
    {"eval", "Judge a run on a test set", "out! data threads", NULL, 0, 0, run_verb},
    {"explain", "Show where the model listens", "out! top k cell@ hidden@", "FILE...", 1, 3, run_verb},
    {NULL, NULL, NULL, NULL, 0, 0, NULL}};
static const et_option options[] = {
    {"cell", ET_OPTION_CHOICE, "gru|lstm|rnn", "gru", 0, 0, "Recurrent cell"},
    {"hidden", ET_OPTION_INT, "N", NULL, 1, 4096, "Width of the state"},
    {"words", ET_OPTION_TEXT, "FILE", NULL, 0, 0, "Words to know"},
    {"title", ET_OPTION_TEXT, "TEXT", NULL, 0, 0, "Name of the table"},
    {"top", ET_OPTION_INT, "N", "5", 1, 100, "Intervals to print"},
    {"k", ET_OPTION_INT, "N", "3", 1, 9, "How many"},
    {"lr", ET_OPTION_REAL, "X", "0.001", 1e-12, 10, "Learning rate of Adam"},
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL}};
static const et_program program = {"toy", "a program for tests", "It does nothing, in several ways.", verbs,
                                   options};

enum { MAX_ARGS = 24 };

/* Splits at blanks ("~" stands for an empty argument) and parses. */
static inline et_cli *parse(const char *line)
{
    static char text[1024];
    static char *argv[MAX_ARGS + 1];
    int argc = 1;

    argv[0] = (char *)"toy";
    snprintf(text, sizeof text, "%s", line);
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " ")) {
        ck_assert_int_lt(argc, MAX_ARGS);
        argv[argc++] = strcmp(w, "~") == 0 ? w + 1 : w;
    }
    argv[argc] = NULL;
    return et_cli_parse(&program, argc, argv);
}

#endif
