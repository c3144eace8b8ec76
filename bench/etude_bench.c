/* etude-bench: how fast the library is here, and what it asks of the system. */
#include "config.h"

#include "bench/bench.h"

#include <stdio.h>
#include <string.h>

#include "tensor/error.h"
#include "tensor/kernels.h"
#include "tensor/number.h"
#include "tensor/parallel.h"

static const struct {
    const char *name;
    bool (*run)(bench_report *r, const bench_options *o);
    const char *what;
    bool asked; /* takes long: only where --only names it */
} workloads[] = {
    {"limits", bench_limits, "the machine: arithmetic in registers, and the way from core to core", false},
    {"overhead", bench_overhead, "recording and running one op on 16 elements, and its backward", false},
    {"steady", bench_steady, "10 000 training steps: allocations, page faults, resident memory", false},
    {"elementwise", bench_elementwise, "element-wise kernels, softmax, layer norm, Adam", false},
    {"gemm", bench_gemm, "matrix products of many shapes, against the machine's peak", false},
    {"conv", bench_conv, "convolutions, max pooling and batch norm, forward and backward", false},
    {"audio", bench_audio, "Fourier transforms, and 30 seconds of sound to features", false},
    {"ops", bench_ops, "element-wise ops, softmax, norm, losses, Adam, linear, attention, an encoder", false},
    {"rnn", bench_rnn, "training steps of the recurrent classifier with attention", false},
    {"search", bench_search, "training steps of two small towers, the nearest of a million vectors", false},
    {"vit", bench_vit, "training steps of the Vision Transformer", false},
    {"towers", bench_towers, "BERT-base and AST-base, forward; training the last five layers of BERT", false},
    {"paper", bench_paper,
     "two training steps of BERT-base and AST-base together, some minutes: with --only alone", true},
    {"style", bench_style, "training steps of the style VAE", false},
    {"pairs", bench_pairs, "training steps of the small CLAP and MuLan; audio towers of the papers, forward",
     false},
    {"tagger", bench_tagger, "training steps of music taggers", false},
};
enum { N_WORKLOADS = sizeof workloads / sizeof workloads[0] };

static void help(void)
{
    printf("Usage: etude-bench [OPTION]...\n"
           "Measures the library's speed on this machine. With one thread, times are those that the\n"
           "thread had a processor; with more, those of the clock on the wall.\n\n"
           "  --only A,B     these workloads alone\n"
           "  --threads N    number of threads (default 1)\n"
           "  --seconds S    time for each row (default 1)\n"
           "  --brief        fewer rows\n"
           "  --steps N      of the workload steady (default 10000)\n"
           "  --model NAME   of the workload rnn: gtzan/gru, gtzan/lstm, gtzan/rnn, long/gru, ...;\n"
           "                 or of conv: conv/1d-128, pool/1d-3, norm/1d-128, ...;\n"
           "                 or of ops: op/exp-512K, attention/64, encoder/8x128, ...\n"
           "                 or of search: two-tower/small, two-tower/small-bf16\n"
           "                 or of vit: vit/paper, vit/paper-half, vit/paper-kv, vit/paper[-half]-bf16\n"
           "                 or of towers: bert/forward, bert/last-5, bert/last-5-cls, ast/forward,\n"
           "                 each also -bf16\n"
           "                 or of style: style/paper, style/gru, each also -half\n"
           "                 or of pairs: pairs/clap-small, mulan-small, htsat, cnn14, resnet50, compact\n"
           "                 or of tagger: tagger/spec-att, -bf16, tagger/raw-cnn-l, tagger/sample-cnn\n"
           "  --save FILE    write that model's weights, input and results (safetensors): of rnn,\n"
           "                 of others with --serve\n"
           "  --isa NAME     kernels to use: generic, sse2, avx2, avx512, neon\n"
           "  --json         print one JSON object\n"
           "  --peak         print the peak in GFLOP/s and core-to-core nanoseconds, and nothing else\n"
           "  --serve        do --model (or audio/won96, audio/fft/512, audio/ffts/512) as standard input\n"
           "                 says; bench/compare and bench/compare-audio drive it\n"
           "  --help\n\nWorkloads:\n");
    for (int i = 0; i < N_WORKLOADS; i++)
        printf("  %-12s   %s\n", workloads[i].name, workloads[i].what);
}

/* True if `name` stands in the list, or the list is NULL. */
static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = list; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (!strncmp(p, name, n) && (p[n] == '\0' || p[n] == ','))
            return true;
    }
    return !list;
}

/* True if the list has names of workloads alone. */
static bool all_known(const char *list)
{
    for (const char *p = list; p; p = strchr(p, ',')) {
        bool known = false;
        p += *p == ',';
        for (int i = 0; i < N_WORKLOADS; i++) {
            size_t n = strlen(workloads[i].name);
            known = known || (!strncmp(p, workloads[i].name, n) && (p[n] == '\0' || p[n] == ','));
        }
        if (!known)
            return false;
    }
    return true;
}

static int wrong(const char *what, const char *which)
{
    fprintf(stderr, "etude-bench: %s%s; see --help\n", what, which);
    return 2;
}

/* The value of an option as a number of things; false if it is none. */
static bool count(const char *text, int64_t *out)
{
    return et_parse_i64(text, strlen(text), out) && *out >= 1 && *out <= 1000000000;
}

static int failed(void)
{
    fprintf(stderr, "etude-bench: %s\n", et_error_message());
    return 1;
}

/* The status to end with once what was printed is written. */
static int written(bool good)
{
    if (fflush(stdout) == 0 && !ferror(stdout) && good)
        return 0;
    fprintf(stderr, "etude-bench: writing the results failed\n");
    return 1;
}

/* Where the names of --model are known, audio/... apart. */
static const struct {
    const char *workload; /* that has them */
    bool (*has)(const char *model);
    bool (*serve)(const bench_options *o);
} models[] = {{"conv", bench_conv_has, bench_conv_serve},
              {"ops", bench_ops_has, bench_ops_serve},
              {"rnn", bench_rnn_has, bench_rnn_serve},
              {"search", bench_search_has, bench_search_serve},
              {"vit", bench_vit_has, bench_vit_serve},
              {"towers", bench_towers_has, bench_towers_serve},
              {"style", bench_style_has, bench_style_serve},
              {"pairs", bench_pairs_has, bench_pairs_serve},
              {"tagger", bench_tagger_has, bench_tagger_serve}};
enum { N_MODELS = sizeof models / sizeof models[0] };

static bool is_audio(const char *model) { return !strncmp(model, "audio/", 6); }

/* The place of a model's name in `models`, N_MODELS where it is in none. */
static int place_of(const char *model)
{
    int i = 0;

    while (i < N_MODELS && !models[i].has(model))
        i++;
    return i;
}

int main(int argc, char **argv)
{
    bench_options o = {.seconds = 1, .threads = 1, .steps = 10000};
    const char *only = NULL, *isa = NULL;
    int64_t threads;
    bool serve = false, peak = false, good = true;

    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(a, "--help")) {
            help();
            return written(true);
        } else if (!strcmp(a, "--json")) {
            o.json = true;
        } else if (!strcmp(a, "--brief")) {
            o.brief = true;
        } else if (!strcmp(a, "--serve")) {
            serve = true;
        } else if (!strcmp(a, "--peak")) {
            peak = true;
        } else if (!v) {
            return wrong("unknown option, or one without its value: ", a);
        } else if (i++, !strcmp(a, "--only")) {
            only = v;
        } else if (!strcmp(a, "--threads")) {
            if (!count(v, &threads))
                return wrong("--threads wants a number from 1 on, not ", v);
            o.threads = (int)threads;
        } else if (!strcmp(a, "--seconds")) {
            if (!et_parse_double(v, strlen(v), &o.seconds) || !(o.seconds >= 0 && o.seconds <= 1e6))
                return wrong("--seconds wants a time, not ", v);
        } else if (!strcmp(a, "--steps")) {
            if (!count(v, &o.steps))
                return wrong("--steps wants a number from 1 on, not ", v);
        } else if (!strcmp(a, "--model")) {
            o.model = v;
        } else if (!strcmp(a, "--save")) {
            o.save = v;
        } else if (!strcmp(a, "--isa")) {
            isa = v;
        } else {
            return wrong("unknown option ", a);
        }
    }
    if (!all_known(only))
        return wrong("no such workload in ", only);
    if (serve && !o.model)
        o.model = "gtzan/gru";
    if (o.model && !(serve && is_audio(o.model)) && place_of(o.model) == N_MODELS)
        return wrong("no such model: ", o.model);
    if (o.model && !serve && !listed(only, models[place_of(o.model)].workload))
        return wrong("--only leaves out the workload of --model ", o.model);
    if (o.save && !serve && (peak || !listed(only, "rnn") || !o.model || !bench_rnn_has(o.model)))
        return wrong("--save goes with --serve or a --model of rnn", "");
    if (et_set_num_threads(o.threads) || (isa && et_set_isa(isa))) {
        fprintf(stderr, "etude-bench: %s\n", et_error_message());
        return 2;
    }
    if (serve) {
        good = is_audio(o.model) ? bench_audio_serve(&o) : models[place_of(o.model)].serve(&o);
        return good ? 0 : failed();
    }
    if (peak) {
        printf("%.1f %.0f\n", bench_peak(o.threads), bench_round_trip());
        return written(true);
    }

    bench_report r;
    bench_report_begin(&r, &o);
    for (int i = 0; i < N_WORKLOADS && good; i++)
        if (listed(only, workloads[i].name) && (only || !workloads[i].asked))
            good = workloads[i].run(&r, &o);
    if (!good)
        return failed();
    return written(bench_report_end(&r));
}
