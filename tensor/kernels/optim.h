/* Steps of the optimisers, each in one pass. Included once by
 * variant.c. The formulas are those of nn/optim.h. */

/* g = gscale g + weight_decay w; buf = momentum buf + g, or g at the first step;
 * w -= lr (g + momentum buf) in Nesterov's form, lr buf else; without momentum w -= lr g. */
static void sgd(int64_t n, void *vw_, const void *vg, void *vbuf, double lr, double momentum, int nesterov,
                double weight_decay, double gscale, int first)
{
    real *ws = vw_, *bs = vbuf;
    const real *gs = vg;
    const vr rate = v_set((real)lr), mu = v_set((real)momentum), decay = v_set((real)weight_decay);
    const vr scale = v_set((real)gscale);

    if (momentum == 0 || !bs)
        EACH(n, {
            vr w = LD(ws), g = v_fma(decay, w, LD(gs) * scale);
            ST(ws, v_fnma(rate, g, w));
        });
    else
        EACH(n, {
            vr w = LD(ws), g = v_fma(decay, w, LD(gs) * scale);
            vr b = first ? g : v_fma(mu, LD(bs), g);
            ST(bs, b);
            ST(ws, v_fnma(rate, nesterov ? v_fma(mu, b, g) : b, w));
        });
}

/* m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
 * w -= (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps); decay added to g, or for AdamW
 * w first multiplied by 1 - lr decay. */
static void adam(int64_t n, void *vw_, const void *vg, void *vm_, void *vv, double lr, double beta1,
                 double beta2, double eps, double weight_decay, int adamw, double bc1, double bc2,
                 double gscale)
{
    real *ws = vw_, *ms = vm_, *vs = vv;
    const real *gs = vg;
    const vr b1 = v_set((real)beta1), c1 = v_set((real)(1 - beta1)), b2 = v_set((real)beta2);
    const vr c2 = v_set((real)(1 - beta2)), step = v_set((real)(lr / bc1)), e = v_set((real)eps);
    const vr root = v_set((real)(1 / sqrt(bc2))), scale = v_set((real)gscale);
    const vr decay = v_set((real)(adamw ? 0 : weight_decay));
    const vr shrink = v_set((real)(adamw ? lr * weight_decay : 0));

    EACH(n, {
        vr w = LD(ws), g = v_fma(decay, w, LD(gs) * scale);
        vr m = v_fma(b1, LD(ms), c1 * g), v = v_fma(b2, LD(vs), c2 * g * g);
        ST(ms, m);
        ST(vs, v);
        w = v_fnma(shrink, w, w);
        ST(ws, w - step * m / v_fma(v_sqrt(v), root, e));
    });
}
