/* Front ends by name: a table of figures, and one way through them for all. */
#include "config.h"

#include "datasets/front_end.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/level_rows.h"
#include "datasets/mel_bands.h"
#include "datasets/stft_rows.h"
#include "tensor/alloc.h"
#include "tensor/strbuf.h"

enum { NO_BANK = -1, REVISION = 1 };

static const double epsilon = 1.1920929e-7; /* of float32, as Kaldi's floor */

typedef struct row {
    const char *name;
    int64_t rate, frame, n_fft, hop;
    et_stft_ends ends;
    bool symmetric, kaldi;
    int bank; /* an et_mel_bank, or NO_BANK: the bins themselves */
    int64_t bands;
    double low, high;
    et_level_kind level;
    double floor, top; /* floor 0: power itself */
    double mean, deviation; /* (level - mean) / deviation */
} row;

#define WON96 16000, 512, 512, 256, ET_STFT_CENTRED, false, false, ET_MEL_SLANEY, 96, 0, 8000
#define AST128 \
    16000, 400, 512, 160, ET_STFT_INSIDE, true, true, ET_MEL_KALDI, 128, 20, 8000, ET_LEVEL_LN, epsilon, 0
#define MULAN 16000, 400, 512, 160, ET_STFT_PADDED, false, false, ET_MEL_HTK
#define DB10 ET_LEVEL_POWER_DB, 1e-10, 0, 0, 1

static const row rows[] = {
    {"won96", WON96, ET_LEVEL_AMPLITUDE_DB, 1e-5, 80, 0, 1},
    {"won96:power", WON96, ET_LEVEL_POWER_DB, 1e-10, 80, 0, 1},
    {"ast128", AST128, -4.2677393, 2 * 4.5689974},
    {"ast128:log", AST128, 0, 1},
    {"laion64", 48000, 1024, 1024, 480, ET_STFT_CENTRED, false, false, ET_MEL_SLANEY, 64, 50, 14000, DB10},
    {"laion64:htk", 48000, 1024, 1024, 480, ET_STFT_CENTRED, false, false, ET_MEL_HTK, 64, 50, 14000, DB10},
    {"ms64", 44100, 1024, 1024, 320, ET_STFT_CENTRED, false, false, ET_MEL_SLANEY, 64, 50, 14000, DB10},
    {"mulan", MULAN, 64, 60, 7800, ET_LEVEL_LN, 1e-6, 0, 0, 1},
    {"mulan:128", MULAN, 128, 60, 7800, ET_LEVEL_LN, 1e-6, 0, 0, 1},
    {"mulan:power", 16000, 24, 128, 12, ET_STFT_CENTRED, false, false, NO_BANK, 65, 0, 8000, ET_LEVEL_LN,
     0, 0, 0, 1},
    {"vit129", 22050, 256, 256, 256, ET_STFT_INSIDE, false, false, NO_BANK, 129, 0, 11025, DB10},
    {"rnn64", 16000, 512, 512, 256, ET_STFT_CENTRED, false, false, ET_MEL_SLANEY, 64, 0, 8000, DB10},
    {"mel96", 22050, 2048, 2048, 1024, ET_STFT_CENTRED, false, false, ET_MEL_HTK, 96, 30, 11025,
     ET_LEVEL_POWER_DB, 1e-10, 0, -60, 110},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

struct et_front_end {
    const row *row;
    et_stft *stft;
    et_mel *mel; /* NULL: none */
    char *signature;
};

static const row *find(const char *name)
{
    for (int i = 0; name && i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

const char *const *et_front_end_names(void)
{
    static const char *const names[] = {"won96",   "won96:power", "ast128",    "ast128:log", "laion64",
                                        "laion64:htk", "ms64",    "mulan",       "mulan:128", "mulan:power",
                                        "vit129", "rnn64",   "mel96", NULL};
    _Static_assert(sizeof names / sizeof names[0] == ROWS + 1, "a name for each row");

    return names;
}

static void raise_unknown(const char *name)
{
    et_strbuf text = ET_STRBUF_INIT;

    for (int i = 0; i < ROWS; i++)
        et_strbuf_printf(&text, "%s%s", i ? ", " : "", rows[i].name);
    et_raise(ET_EINVAL, "no front end \"%s\"; there are %s", name ? name : "(null)",
             text.data ? text.data : "");
    et_strbuf_free(&text);
}

static char *make_signature(const row *r)
{
    et_strbuf text = ET_STRBUF_INIT;

    et_strbuf_printf(&text, "%s/%d rate=%" PRId64 " frame=%" PRId64 " n_fft=%" PRId64 " hop=%" PRId64
                     " ends=%d symmetric=%d kaldi=%d bank=%d bands=%" PRId64 " low=%.9g high=%.9g"
                     " level=%d floor=%.9g top=%.9g mean=%.9g deviation=%.9g",
                     r->name, REVISION, r->rate, r->frame, r->n_fft, r->hop, (int)r->ends, r->symmetric,
                     r->kaldi, r->bank, r->bands, r->low, r->high, (int)r->level, r->floor, r->top, r->mean,
                     r->deviation);
    return et_strbuf_take(&text);
}

et_front_end *et_front_end_new(const char *name)
{
    const row *r = find(name);
    et_front_end *fe;

    if (!r) {
        raise_unknown(name);
        return NULL;
    }
    if (!(fe = et_alloc_zero(1, sizeof *fe)))
        return NULL;
    fe->row = r;
    fe->stft = et_stft_new(&(et_stft_options){.n_fft = r->n_fft, .frame = r->frame, .hop = r->hop,
                                              .window = ET_WINDOW_HANN, .symmetric = r->symmetric,
                                              .ends = r->ends, .kaldi = r->kaldi});
    if (fe->stft && r->bank != NO_BANK)
        fe->mel = et_mel_new((et_mel_bank)r->bank, r->bands, (double)r->rate, r->n_fft, r->low, r->high);
    if (fe->stft && (fe->mel || r->bank == NO_BANK))
        fe->signature = make_signature(r);
    if (!fe->signature) {
        et_front_end_free(fe);
        return NULL;
    }
    return fe;
}

void et_front_end_free(et_front_end *fe)
{
    if (!fe)
        return;
    et_stft_free(fe->stft);
    et_mel_free(fe->mel);
    et_dealloc(fe->signature);
    et_dealloc(fe);
}

const char *et_front_end_name(const et_front_end *fe) { return fe->row->name; }
int64_t et_front_end_rate(const et_front_end *fe) { return fe->row->rate; }
int64_t et_front_end_bins(const et_front_end *fe) { return fe->row->bands; }
int64_t et_front_end_frames(const et_front_end *fe, int64_t n) { return et_stft_frames(fe->stft, n); }
const char *et_front_end_signature(const et_front_end *fe) { return fe->signature; }

double et_front_end_padding(const et_front_end *fe) { return (0 - fe->row->mean) / fe->row->deviation; }

typedef struct job {
    const et_front_end *fe;
    float *out;
} job;

/* Rows of power to rows of features, to out. */
static void finish(const et_kernels *k, int64_t first, int count, const float *power, float *bands,
                   void *user)
{
    const job *j = user;
    const row *r = j->fe->row;
    const et_mel *mel = j->fe->mel;

    if (mel)
        k->band_sums(mel->filters, mel->bands, mel->weights, power, bands);
    else
        memcpy(bands, power, (size_t)(r->bands * k->lanes) * sizeof *bands);
    if (r->floor > 0)
        et_level_log(k, r->level, r->floor, 1 / r->deviation, -r->mean / r->deviation, r->bands * k->lanes,
                     bands);
    k->fft_store(r->bands, count, bands, k->lanes, j->out + first * r->bands, r->bands);
}

et_status et_front_end_run(const et_front_end *fe, const float *samples, int64_t n, float *out)
{
    job j = {fe, out};
    const et_kernels *k;

    if (!fe || !samples || !out)
        return et_raise(ET_EINVAL, "et_front_end_run: NULL");
    k = et_stft_kernels(fe->stft);
    if (et_stft_each(fe->row->name, fe->stft, samples, n, true, fe->row->bands * k->lanes, finish, &j) < 0)
        return et_error_status();
    if (fe->row->top > 0)
        et_level_raise(k, fe->row->top, et_front_end_frames(fe, n) * fe->row->bands, out);
    return ET_OK;
}
