/* Real Fourier transforms by FFTW, single precision, plans as it estimates them. Built where FFTW is;
 * bench/compare-audio drives it.
 *
 *   fftw audio/fft/LENGTH FILE      the sequences one by one; audio/ffts/LENGTH together
 *
 * FILE is what etude-bench --save wrote; the spectra must agree with it before anything is timed. */
#include "config.h"

#include "bench/bench.h"

#include <fftw3.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/error.h"
#include "tensor/safetensors.h"
#include "tensor/scope.h"

enum { TRANSFORMS = 1024 };

typedef struct work {
    fftwf_plan plan;
    int n, sequences;
    int x_step, X_step; /* from one sequence, one spectrum to the next: whole cache lines */
    bool together;
    float *x;
    fftwf_complex *X;
} work;

/* One by one: the same plan for each, from memory that it was made for. */
static bool step(void *user)
{
    const work *w = user;
    for (int i = 0; i < TRANSFORMS / w->sequences; i++)
        for (int s = 0; s < (w->together ? 1 : w->sequences); s++)
            fftwf_execute_dft_r2c(w->plan, w->x + s * w->x_step, w->X + s * w->X_step);
    return true;
}

int main(int argc, char **argv)
{
    const char *name = argc == 3 ? argv[1] : "";
    const char *length = strrchr(name, '/');
    work w = {.n = length ? atoi(length + 1) : 0, .together = strncmp(name, "audio/ffts/", 11) == 0};
    et_safetensors *file = w.n > 0 ? et_safetensors_open(argv[2]) : NULL;
    et_scope *scope = et_scope_open();
    et_tensor *x = file ? et_safetensors_load(file, "x") : NULL, *y = x ? et_safetensors_load(file, "y")
                                                                        : NULL;
    double error = 0, largest = 0;

    if (!y || x->ndim != 2 || x->shape[1] != w.n || y->shape[1] != w.n + 2) {
        fprintf(stderr, "fftw: %s\n", et_error_status() ? et_error_message()
                                                        : "usage: fftw audio/fft/LENGTH FILE");
        return 2;
    }
    w.sequences = (int)x->shape[0];
    w.x_step = (w.n + 15) / 16 * 16;
    w.X_step = (w.n / 2 + 8) / 8 * 8;
    w.x = fftwf_malloc((size_t)(w.sequences * w.x_step) * sizeof *w.x);
    w.X = fftwf_malloc((size_t)(w.sequences * w.X_step) * sizeof *w.X);
    w.plan = fftwf_plan_many_dft_r2c(1, &w.n, w.together ? w.sequences : 1, w.x, NULL, 1, w.x_step, w.X,
                                     NULL, 1, w.X_step, FFTW_ESTIMATE | FFTW_PRESERVE_INPUT);
    for (int s = 0; s < w.sequences; s++)
        memcpy(w.x + s * w.x_step, et_data_f32(x) + s * w.n, (size_t)w.n * sizeof *w.x);
    step(&w);
    for (int s = 0; s < w.sequences; s++)
        for (int k = 0; k <= w.n / 2; k++) {
            const float *ours = et_data_f32(y) + s * (w.n + 2) + 2 * k;
            const float *X = w.X[s * w.X_step + k];
            error = fmax(error, hypot((double)(ours[0] - X[0]), (double)(ours[1] - X[1])));
            largest = fmax(largest, hypot((double)X[0], (double)X[1]));
        }
    if (!(error <= 1e-5 * largest)) {
        fprintf(stderr, "fftw: spectra differ by %g\n", error / largest);
        return 1;
    }
    et_scope_close(scope);
    et_safetensors_close(file);
    bench_serve(step, &w, NULL);
    fftwf_destroy_plan(w.plan);
    fftwf_free(w.x);
    fftwf_free(w.X);
    return 0;
}
