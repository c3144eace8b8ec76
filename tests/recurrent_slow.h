/* Recurrent layers by their definition: one row, one step, one unit at a time, in double.
 * What tests/check_recurrent.c compares the library with. */
#ifndef ETUDE_TESTS_RECURRENT_SLOW_H
#define ETUDE_TESTS_RECURRENT_SLOW_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SLOW_TANH, SLOW_RELU, SLOW_GRU, SLOW_LSTM };

/* Sizes, operands (NULL where absent), results, and gradients of
 * sum(y dy) + sum(h_n dh_n) + sum(c_n dc_n), which are added to. */
typedef struct slow_layer {
    int cell, B, T, F, H;
    bool reverse;
    const double *x, *h0, *c0, *w_ih, *w_hh, *b_ih, *b_hh;
    const int *lengths;
    double *y, *h_n, *c_n;
    const double *dy, *dh_n, *dc_n;
    double *dx, *dh0, *dc0, *dw_ih, *dw_hh, *db_ih, *db_hh;
} slow_layer;

static int slow_gates(int cell)
{
    return cell == SLOW_GRU ? 3 : cell == SLOW_LSTM ? 4 : 1;
}

static double slow_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* Row b: forward, then backward through the steps that were kept. */
static void slow_row(const slow_layer *s, int b)
{
    const int H = s->H, F = s->F, g = slow_gates(s->cell), G = g * H;
    const int steps = s->lengths ? s->lengths[b] : s->T;
    /* [steps + 1][H] states; [steps][G] preactivations of the inputs' and recurrent part */
    double *h = calloc((size_t)((steps + 1) * H), sizeof *h);
    double *c = calloc((size_t)((steps + 1) * H), sizeof *c);
    double *in = calloc((size_t)(steps * G + 1), sizeof *in);
    double *rec = calloc((size_t)(steps * G + 1), sizeof *rec);
    double *dh = calloc((size_t)H, sizeof *dh), *dc = calloc((size_t)H, sizeof *dc);
    double *din = calloc((size_t)G, sizeof *din), *drec = calloc((size_t)G, sizeof *drec);

    for (int j = 0; j < H; j++) {
        h[j] = s->h0 ? s->h0[b * H + j] : 0;
        c[j] = s->c0 ? s->c0[b * H + j] : 0;
    }
    for (int t = 0; t < s->T * H; t++)
        s->y[b * s->T * H + t] = 0;
    for (int k = 0; k < steps; k++) {
        const int t = s->reverse ? steps - 1 - k : k;
        const double *x = s->x + (b * s->T + t) * F, *hk = h + k * H;
        double *h1 = h + (k + 1) * H;
        for (int i = 0; i < G; i++) {
            double u = s->b_ih ? s->b_ih[i] : 0, v = s->b_hh ? s->b_hh[i] : 0;
            for (int p = 0; p < F; p++)
                u += s->w_ih[i * F + p] * x[p];
            for (int p = 0; p < H; p++)
                v += s->w_hh[i * H + p] * hk[p];
            in[k * G + i] = u;
            rec[k * G + i] = v;
        }
        for (int j = 0; j < H; j++) {
            const double *u = in + k * G + j, *v = rec + k * G + j;
            if (s->cell == SLOW_GRU) {
                const double r = slow_sigmoid(u[0] + v[0]), z = slow_sigmoid(u[H] + v[H]);
                h1[j] = (1 - z) * tanh(u[2 * H] + r * v[2 * H]) + z * hk[j];
            } else if (s->cell == SLOW_LSTM) {
                c[(k + 1) * H + j] = slow_sigmoid(u[H] + v[H]) * c[k * H + j] +
                                     slow_sigmoid(u[0] + v[0]) * tanh(u[2 * H] + v[2 * H]);
                h1[j] = slow_sigmoid(u[3 * H] + v[3 * H]) * tanh(c[(k + 1) * H + j]);
            } else {
                h1[j] = s->cell == SLOW_TANH ? tanh(u[0] + v[0]) : fmax(0, u[0] + v[0]);
            }
            s->y[(b * s->T + t) * H + j] = h1[j];
        }
    }
    for (int j = 0; j < H; j++) {
        s->h_n[b * H + j] = h[steps * H + j];
        if (s->cell == SLOW_LSTM)
            s->c_n[b * H + j] = c[steps * H + j];
        dh[j] = s->dh_n ? s->dh_n[b * H + j] : 0;
        dc[j] = s->dc_n ? s->dc_n[b * H + j] : 0;
    }
    for (int k = steps - 1; k >= 0; k--) {
        const int t = s->reverse ? steps - 1 - k : k;
        const double *x = s->x + (b * s->T + t) * F, *hk = h + k * H;
        for (int j = 0; j < H; j++) {
            const double *u = in + k * G + j, *v = rec + k * G + j;
            const double e = dh[j] + (s->dy ? s->dy[(b * s->T + t) * H + j] : 0);
            double *du = din + j, *dv = drec + j;
            dh[j] = 0;
            if (s->cell == SLOW_GRU) {
                const double r = slow_sigmoid(u[0] + v[0]), z = slow_sigmoid(u[H] + v[H]);
                const double n = tanh(u[2 * H] + r * v[2 * H]), dn = e * (1 - z) * (1 - n * n);
                du[2 * H] = dn;
                dv[2 * H] = dn * r;
                du[0] = dv[0] = dn * v[2 * H] * r * (1 - r);
                du[H] = dv[H] = e * (hk[j] - n) * z * (1 - z);
                dh[j] = e * z;
            } else if (s->cell == SLOW_LSTM) {
                const double i = slow_sigmoid(u[0] + v[0]), f = slow_sigmoid(u[H] + v[H]);
                const double m = tanh(u[2 * H] + v[2 * H]), o = slow_sigmoid(u[3 * H] + v[3 * H]);
                const double tc = tanh(c[(k + 1) * H + j]), ec = dc[j] + e * o * (1 - tc * tc);
                du[0] = dv[0] = ec * m * i * (1 - i);
                du[H] = dv[H] = ec * c[k * H + j] * f * (1 - f);
                du[2 * H] = dv[2 * H] = ec * i * (1 - m * m);
                du[3 * H] = dv[3 * H] = e * tc * o * (1 - o);
                dc[j] = ec * f;
            } else {
                const double h1 = h[(k + 1) * H + j];
                du[0] = dv[0] = s->cell == SLOW_TANH ? e * (1 - h1 * h1) : h1 > 0 ? e : 0;
            }
        }
        for (int i = 0; i < G; i++) {
            s->db_ih[i] += din[i];
            s->db_hh[i] += drec[i];
            for (int p = 0; p < F; p++) {
                s->dw_ih[i * F + p] += din[i] * x[p];
                s->dx[(b * s->T + t) * F + p] += din[i] * s->w_ih[i * F + p];
            }
            for (int p = 0; p < H; p++) {
                s->dw_hh[i * H + p] += drec[i] * hk[p];
                dh[p] += drec[i] * s->w_hh[i * H + p];
            }
        }
    }
    for (int j = 0; j < H; j++) {
        s->dh0[b * H + j] += dh[j];
        if (s->dc0)
            s->dc0[b * H + j] += dc[j];
    }
    free(h), free(c), free(in), free(rec), free(dh), free(dc), free(din), free(drec);
}

static void slow_run(const slow_layer *s)
{
    for (int b = 0; b < s->B; b++)
        slow_row(s, b);
}

#endif
