/* Generation (see style_vae.h): the decoder fed with its own events, drawn one by one or searched with a
 * beam. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "models/style_vae.h"
#include "models/style_vae_internal.h"
#include "nn/beam.h"
#include "tensor/alloc.h"

enum { MAX_EVENTS = 512 };

/* --- one event ------------------------------------------------------------------------------------- */

/* The k-th largest of n logits, k <= n. */
static float kth(const float *l, int64_t n, int64_t k)
{
    float bound = INFINITY;

    for (int64_t found = 0; found < k;) {
        float next = -INFINITY;
        int64_t same = 0;
        for (int64_t i = 0; i < n; i++) {
            if (l[i] >= bound || l[i] < next)
                continue;
            same = l[i] > next ? 1 : same + 1;
            next = l[i];
        }
        if (!same)
            break;
        found += same;
        bound = next;
    }
    return bound;
}

/* A class of softmax(l / temperature), among the top_k likeliest. */
static int32_t draw(const float *l, int64_t n, const et_style_sampling *s, et_rng *rng)
{
    const double most = l[et_likeliest(l, n)];
    const float least = s->top_k > 0 && s->top_k < n ? kth(l, n, s->top_k) : -INFINITY;
    double sum = 0, at;
    int32_t last = 0;

    if (s->temperature == 0)
        return et_likeliest(l, n);
    for (int64_t i = 0; i < n; i++)
        sum += l[i] >= least ? exp(((double)l[i] - most) / s->temperature) : 0;
    at = et_rng_uniform(rng) * sum;
    for (int32_t i = 0; i < n; i++) {
        if (l[i] < least)
            continue;
        last = i;
        at -= exp(((double)l[i] - most) / s->temperature);
        if (at < 0)
            break;
    }
    return last;
}

/* --- steps ------------------------------------------------------------------------------------------- */

/* A step of the decoder for events [rows, 3] (NULL: the first one) of z' [rows or 1, ..];
 * logits [rows, classes], contiguous. */
static et_tensor *step(const et_style_vae *m, et_tensor *z, int64_t rows, const int32_t *events,
                       et_norm_lstm_state *s)
{
    et_tensor *x, *ids[3];

    if (!events) {
        x = et_style_vae_start(m, rows);
    } else {
        for (int g = 0; g < 3; g++) {
            ids[g] = et_zeros(ET_I32, ET_SHAPE(rows, 1));
            int32_t *p = ids[g] ? et_data_mut(ids[g]) : NULL;
            for (int64_t i = 0; p && i < rows; i++) /* a row that has ended goes on with anything */
                p[i] = events[3 * i + g] < 0 ? 0 : events[3 * i + g];
        }
        x = et_style_vae_features(m, ids[0], ids[1], ids[2]);
    }
    et_tensor *h = et_style_vae_run(m, m->dec, et_style_vae_inputs(m, z, x), NULL, false, s);
    et_tensor *y = et_linear_layer_forward(m->logits, h);
    return y ? et_contiguous(et_view(et_to(y, ET_F32), ET_SHAPE(rows, et_style_vae_classes(m)))) : NULL;
}

/* The state between steps, in the enclosing scope: every step writes over it. */
typedef struct {
    et_tensor *of[4];
} memory;

static void remember(memory *mem, const et_norm_lstm_state *s, int64_t rows)
{
    et_tensor *const parts[4] = {s->h, s->c, s->hyper_h, s->hyper_c};

    for (int i = 0; i < 4; i++)
        mem->of[i] = parts[i] ? et_zeros(parts[i]->dtype, ET_SHAPE(rows, parts[i]->shape[1])) : NULL;
}

/* Keeps rows index[0 .. n-1] of the state (NULL: the first n) and closes the step's scope;
 * *s are then the kept ones. */
static et_status close_step(et_scope *inner, memory *mem, et_norm_lstm_state *s, int64_t n,
                            const int32_t *index)
{
    et_tensor **parts[4] = {&s->h, &s->c, &s->hyper_h, &s->hyper_c};

    for (int i = 0; i < 4 && !et_error_status(); i++) {
        if (!mem->of[i])
            continue;
        et_tensor *rows = et_contiguous(*parts[i]);
        for (int64_t b = 0; rows && b < n; b++)
            et_copy_into(et_select(mem->of[i], 0, b), et_select(rows, 0, index ? index[b] : b));
    }
    const et_status status = et_scope_close(inner);
    for (int i = 0; i < 4; i++)
        if (mem->of[i])
            *parts[i] = et_slice(mem->of[i], 0, 0, n, 1);
    return et_error_status() ? et_error_status() : status;
}

/* Draws the pieces of all rows of z side by side: out [B, most, 3] and lengths [B], both -1 before. */
static et_status sample_all(const et_style_vae *m, et_tensor *z, const et_style_sampling *s, et_rng *rng,
                            int64_t most, int32_t *out, int32_t *lengths)
{
    const int64_t B = z->shape[0], P = m->config.pitches, d = m->config.steps + 1,
                  n = et_style_vae_classes(m);
    int64_t open = B;
    et_norm_lstm_state state;
    memory mem;
    int32_t *now = et_alloc_zero((size_t)B, 3 * sizeof *now);
    bool first = true;

    if (!now || et_style_vae_first_state(m, z, &state) != ET_OK) {
        et_dealloc(now);
        return et_error_status();
    }
    remember(&mem, &state, B);
    for (int64_t t = 0; t < most && open && !et_error_status(); t++) {
        et_scope *inner = et_scope_open();
        et_tensor *y = step(m, z, B, first ? NULL : now, &state);
        const float *l = y ? et_data(y) : NULL;
        first = false;
        for (int64_t b = 0; l && b < B; b++) {
            int32_t *e = out + 3 * (b * most + t);
            const float *row = l + b * n;
            if (lengths[b] >= 0)
                continue; /* has ended */
            e[0] = draw(row, P + 1, s, rng);
            if (e[0] == P) {
                lengths[b] = (int32_t)t + 1;
                open--;
            } else {
                e[1] = draw(row + P + 1, d, s, rng);
                e[2] = draw(row + P + 1 + d, d, s, rng);
            }
            for (int g = 0; g < 3; g++)
                now[3 * b + g] = e[g];
        }
        close_step(inner, &mem, &state, B, NULL);
    }
    for (int64_t b = 0; b < B; b++)
        if (lengths[b] < 0)
            lengths[b] = (int32_t)most;
    et_dealloc(now);
    return et_error_status();
}

/* --- beam search ------------------------------------------------------------------------------------- */

/* All continuations of beam `from` worth a look: the best combinations of the groups' best. */
static void extend(const et_style_vae *m, const float *l, int64_t from, double score, int64_t width,
                   et_beam_candidate *best, int64_t *found)
{
    const int64_t P = m->config.pitches, d = m->config.steps + 1;
    int32_t index[3][ET_BEAM_MOST];
    double p[3][ET_BEAM_MOST];
    const int64_t n0 = et_beam_classes(l, P + 1, width, index[0], p[0]);
    const int64_t n1 = et_beam_classes(l + P + 1, d, width, index[1], p[1]);
    const int64_t n2 = et_beam_classes(l + P + 1 + d, d, width, index[2], p[2]);

    for (int64_t i = 0; i < n0; i++) {
        et_beam_candidate c = {.log_p = score + p[0][i], .from = (int32_t)from,
                               .choice = {index[0][i], -1, -1}};
        if (index[0][i] == P) {
            c.ended = true;
            et_beam_offer(best, found, width, c);
            continue;
        }
        for (int64_t j = 0; j < n1; j++)
            for (int64_t k = 0; k < n2; k++) {
                if ((i + 1) * (j + 1) * (k + 1) > width)
                    break; /* that many combinations of this beam are better */
                c.log_p = score + p[0][i] + p[1][j] + p[2][k];
                c.choice[1] = index[1][j];
                c.choice[2] = index[2][k];
                et_beam_offer(best, found, width, c);
            }
    }
}

/* The beams, best first, and the events that each has written. */
typedef struct {
    int64_t width, most, n;            /* beams at most, events of each at most, beams now */
    et_beam_candidate beam[ET_BEAM_MOST];
    int32_t *path, *next;              /* [width][most][3]: now, and room for those of the next step */
    int32_t now[3 * ET_BEAM_MOST];     /* the last event of each, which the decoder reads */
    int32_t from[ET_BEAM_MOST];        /* whose state each goes on from */
} beams;

/* The likeliest continuations of all beams, by logits l [n, classes]: their number. A beam that has ended is
 * one itself. */
static int64_t extend_all(const et_style_vae *m, const beams *s, const float *l, et_beam_candidate *found)
{
    const int64_t classes = et_style_vae_classes(m);
    int64_t n = 0;

    for (int64_t b = 0; b < s->n; b++) {
        if (s->beam[b].ended) {
            et_beam_candidate c = s->beam[b];
            c.from = (int32_t)b;
            et_beam_offer(found, &n, s->width, c);
        } else {
            extend(m, l + b * classes, b, s->beam[b].log_p, s->width, found, &n);
        }
    }
    return n;
}

/* Makes the n continuations the beams, each with event t behind those of the beam that it goes on from (-1
 * where that has ended). True if one is still going on. */
static bool take_found(beams *s, const et_beam_candidate *found, int64_t n, int64_t t)
{
    bool going = false;

    for (int64_t b = 0; b < n; b++) {
        const int32_t from = found[b].from;
        int32_t *to = s->next + 3 * b * s->most;
        memcpy(to, s->path + 3 * from * s->most, (size_t)(3 * t) * sizeof *to);
        for (int g = 0; g < 3; g++)
            to[3 * t + g] = s->beam[from].ended ? -1 : found[b].choice[g];
        memcpy(s->now + 3 * b, found[b].choice, sizeof found[b].choice);
        s->from[b] = from;
        going = going || !found[b].ended;
    }
    memcpy(s->beam, found, (size_t)n * sizeof *found);
    s->n = n;
    int32_t *swap = s->path;
    s->path = s->next;
    s->next = swap;
    return going;
}

/* One row of z; its best piece to out [most, 3]. Returns the length, or a negative status. */
static int64_t search(const et_style_vae *m, et_tensor *z, int64_t width, int64_t most, int32_t *out)
{
    int32_t *paths = et_alloc_zero((size_t)most, 6 * (size_t)width * sizeof *paths);
    beams s = {.width = width, .most = most, .n = 1, .path = paths,
               .next = paths ? paths + 3 * width * most : NULL};
    int64_t length = 0;
    bool going = true;
    et_norm_lstm_state state;
    memory mem;

    if (!paths || et_style_vae_first_state(m, z, &state) != ET_OK) {
        et_dealloc(paths);
        return et_error_status();
    }
    remember(&mem, &state, width);
    for (int64_t t = 0; t < most && going && !et_error_status(); t++) {
        et_beam_candidate found[ET_BEAM_MOST];
        et_scope *inner = et_scope_open();
        et_tensor *y = step(m, z, s.n, t ? s.now : NULL, &state);
        const float *l = y ? et_data(y) : NULL;
        going = take_found(&s, found, l ? extend_all(m, &s, l, found) : 0, t);
        close_step(inner, &mem, &state, s.n, s.from);
        length = t + 1;
    }
    if (!et_error_status())
        memcpy(out, s.path, (size_t)(3 * length) * sizeof *out);
    while (length > 1 && !et_error_status() && out[3 * (length - 1)] < 0)
        length--; /* other beams went on */
    et_dealloc(paths);
    return et_error_status() ? et_error_status() : length;
}

/* --- both ---------------------------------------------------------------------------------------------- */

et_tensor *et_style_vae_generate(const et_style_vae *m, et_tensor *z, const et_style_sampling *sampling,
                                 et_rng *rng, et_tensor **lengths)
{
    const et_style_sampling *s = sampling;
    const int64_t most = s->max_events ? s->max_events : MAX_EVENTS;

    *lengths = NULL;
    if (et_error_status() || !z)
        return et_fail("style_vae");
    if (z->ndim != 2 || most < 1 || !(s->temperature >= 0) || s->top_k < 0 || s->beam < 0 ||
        s->beam > ET_BEAM_MOST) {
        et_raise(ET_EINVAL, "style_vae: temperature %g, top_k %" PRId64 ", beam %" PRId64
                 " (at most %d) or max_events %" PRId64
                 " is out of range, or z has no rows", s->temperature, s->top_k, s->beam, ET_BEAM_MOST,
                 s->max_events);
        return NULL;
    }
    const int64_t B = z->shape[0];
    et_tensor *out = et_full(ET_I32, ET_SHAPE(B, most, 3), -1), *len = et_full(ET_I32, ET_SHAPE(B), -1);
    if (!out || !len)
        return NULL;
    int32_t *events = et_data_mut(out), *n = et_data_mut(len);
    et_no_grad_begin();
    if (s->beam > 1) {
        for (int64_t b = 0; b < B; b++) {
            const int64_t length = search(m, et_slice(z, 0, b, b + 1, 1), s->beam, most,
                                          events + 3 * b * most);
            if (length < 0)
                break;
            n[b] = (int32_t)length;
        }
    } else {
        sample_all(m, z, s, rng ? rng : et_rng_default(), most, events, n);
    }
    et_no_grad_end();
    if (et_error_status())
        return et_fail("style_vae");
    *lengths = len;
    return out;
}
