/* Profiles: spans of time, one inside the other, summed by name and kept for the trace. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/internal.h"
#include "autograd/profile.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/json.h"
#include "tensor/os.h"
#include "tensor/pool.h"

enum { MAX_NAME = 48 };

typedef struct event {
    const char *name;
    et_profile_kind kind;
    int ndim;
    int32_t shape[ET_MAX_DIMS]; /* of the first result; for reading, so larger sizes are cut */
    double start, seconds;      /* start: since the profile's */
    double flops, bytes;
    size_t memory;              /* handed out by the pool at the end */
    const char *file;
    int line;
} event;

/* A part that is open. */
typedef struct part {
    struct part *outer;
    const char *name;
    et_span span;
} part;

/* Names of parts, which live as long as the profile. */
typedef struct name {
    struct name *next;
    char text[MAX_NAME];
} name;

struct et_profile {
    double start, end; /* end 0: on */
    et_span *open;     /* the innermost span */
    part *parts;       /* the innermost part */
    name *names;
    et_profile_row *rows;
    int64_t n_rows, room_rows;
    event *events;
    int64_t n_events, max_events, dropped;
    bool failed; /* something is missing for want of memory */
};

_Thread_local et_profile *et_profiled;

/* --- on and off ------------------------------------------------------------------------------ */

et_profile *et_profile_begin(int64_t max_events)
{
    if (et_profiled || max_events < 0) {
        et_raise(ET_EINVAL, "profile: %s", et_profiled ? "one is on already" : "a negative number of events");
        return NULL;
    }
    et_profile *p = (uint64_t)max_events > SIZE_MAX / sizeof(event) ? NULL : et_alloc_zero(1, sizeof *p);
    event *events = p && max_events ? et_alloc((size_t)max_events * sizeof *events) : NULL;
    if (!p || (max_events && !events)) {
        et_dealloc(p);
        et_raise(ET_ENOMEM, "profile: out of memory for %" PRId64 " events", max_events);
        return NULL;
    }
    p->events = events;
    p->max_events = max_events;
    p->start = et_os_seconds();
    return et_profiled = p;
}

/* Forgets the innermost part. */
static void drop_part(et_profile *p)
{
    part *inner = p->parts;

    p->parts = inner->outer;
    p->open = inner->span.outer;
    et_dealloc(inner);
}

void et_profile_end(et_profile *p)
{
    if (!p || p->end > 0)
        return;
    p->end = et_os_seconds();
    if (et_profiled == p)
        et_profiled = NULL;
    while (p->parts)
        drop_part(p);
}

void et_profile_free(et_profile *p)
{
    et_profile_end(p);
    while (p && p->names) {
        name *first = p->names;
        p->names = first->next;
        et_dealloc(first);
    }
    if (p) {
        et_dealloc(p->rows);
        et_dealloc(p->events);
    }
    et_dealloc(p);
}

/* --- spans ------------------------------------------------------------------------------------- */

/* The row of that name and kind, made if need be; NULL without memory. Few rows: a search is nothing beside
 * two looks at the clock. */
static et_profile_row *row_of(et_profile *p, const char *label, et_profile_kind kind)
{
    for (int64_t i = 0; i < p->n_rows; i++)
        if (p->rows[i].kind == kind && strcmp(p->rows[i].name, label) == 0)
            return &p->rows[i];
    if (p->n_rows == p->room_rows) {
        const int64_t room = p->room_rows ? 2 * p->room_rows : 64;
        et_profile_row *more = et_alloc_resize(p->rows, (size_t)room * sizeof *more);
        if (!more)
            return NULL;
        p->rows = more;
        p->room_rows = room;
    }
    p->rows[p->n_rows] = (et_profile_row){.name = label, .kind = kind};
    return &p->rows[p->n_rows++];
}

void et_span_begin(et_span *s)
{
    s->outer = et_profiled->open;
    s->inside = 0;
    et_profiled->open = s;
    s->start = et_os_seconds();
}

/* Ends span s: counts it, and makes room in the trace; NULL if that has none. */
static event *close_span(et_span *s, const char *label, et_profile_kind kind, double flops, double bytes)
{
    et_profile *p = et_profiled;
    const double seconds = et_os_seconds() - s->start;

    p->open = s->outer;
    if (s->outer)
        s->outer->inside += seconds;
    et_profile_row *row = row_of(p, label, kind);
    if (row) {
        row->calls++;
        row->seconds += seconds - s->inside;
        row->total += seconds;
        row->flops += flops;
        row->bytes += bytes;
    }
    p->failed = p->failed || !row;
    if (p->n_events == p->max_events) {
        p->dropped++;
        return NULL;
    }
    et_pool_stats stats;
    event *e = &p->events[p->n_events++];
    et_pool_get_stats(&stats);
    *e = (event){.name = label, .kind = kind, .start = s->start - p->start, .seconds = seconds,
                 .flops = flops, .bytes = bytes, .memory = stats.current};
    return e;
}

void et_span_end(et_span *s, const et_node *n, et_profile_kind kind, double flops, double bytes)
{
    et_profile *p = et_profiled;

    while (p && p->parts && p->open == &p->parts->span && p->open != s) /* begun inside, not ended */
        drop_part(p);
    if (!p || p->open != s) /* the profile ended meanwhile */
        return;
    event *e = close_span(s, n->op->name, kind, flops, bytes);
    if (!e)
        return;
    const et_tensor *y = n->n_out ? n->out[0] : NULL;
    e->file = n->file;
    e->line = n->line;
    e->ndim = y ? y->ndim : -1;
    for (int d = 0; y && d < y->ndim; d++)
        e->shape[d] = y->shape[d] < INT32_MAX ? (int32_t)y->shape[d] : INT32_MAX;
}

static double bytes_of(const et_tensor *t)
{
    return t ? (double)t->numel * (double)et_dtype_size(t->dtype) : 0;
}

double et_span_bytes(const et_node *n, bool backward)
{
    double bytes = 0;

    if (n->op->flags & ET_OP_VIEW)
        return 0;
    for (int i = 0; i < n->n_in; i++) {
        if (!backward)
            bytes += bytes_of(n->in[i]);
        else
            bytes += (i < ET_MAX_ARGS && n->saves & ET_SAVE_IN(i) ? bytes_of(n->in[i]) : 0) +
                     (et_needs(n, i) ? bytes_of(n->in[i]) : 0); /* the last: its gradient */
    }
    for (int k = 0; k < n->n_out; k++)
        if (!backward)
            bytes += bytes_of(n->out[k]);
        else
            bytes += bytes_of(n->out[k]->acc) + (n->saves & ET_SAVE_OUT(k) ? bytes_of(n->out[k]) : 0);
    for (int s = 0; s < n->n_saved; s++)
        bytes += bytes_of(n->saved[s]);
    return bytes;
}

double et_span_flops(const et_node *n, bool backward) { return n->op->flops ? n->op->flops(n, backward) : 0; }

/* --- parts ---------------------------------------------------------------------------------------- */

static const char *keep_name(et_profile *p, const char *text)
{
    char cut[MAX_NAME];
    name *n;

    snprintf(cut, sizeof cut, "%s", text ? text : "");
    for (n = p->names; n; n = n->next)
        if (strcmp(n->text, cut) == 0)
            return n->text;
    n = et_alloc(sizeof *n);
    if (!n)
        return NULL;
    memcpy(n->text, cut, sizeof cut);
    n->next = p->names;
    p->names = n;
    return n->text;
}

void et_profile_part_begin(const char *text)
{
    et_profile *p = et_profiled;
    part *new = p ? et_alloc(sizeof *new) : NULL;

    if (!p)
        return;
    if (!new || !(new->name = keep_name(p, text))) {
        et_dealloc(new);
        p->failed = true;
        return;
    }
    new->outer = p->parts;
    p->parts = new;
    et_span_begin(&new->span);
}

void et_profile_part_end(void)
{
    et_profile *p = et_profiled;
    part *inner = p ? p->parts : NULL;

    if (!inner || p->open != &inner->span) /* none is open, or not in this op */
        return;
    event *e = close_span(&inner->span, inner->name, ET_PROFILE_PART, 0, 0);
    if (e)
        e->ndim = -1;
    p->parts = inner->outer;
    et_dealloc(inner);
}

/* --- reading ---------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    const et_profile_row *x = a, *y = b;

    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

int64_t et_profile_rows(const et_profile *p, et_profile_row *rows, int64_t room)
{
    if (!p || room <= 0)
        return p ? p->n_rows : 0;
    qsort(p->rows, (size_t)p->n_rows, sizeof *p->rows, by_time);
    memcpy(rows, p->rows, (size_t)(room < p->n_rows ? room : p->n_rows) * sizeof *rows);
    return p->n_rows;
}

double et_profile_seconds(const et_profile *p)
{
    return p ? (p->end > 0 ? p->end : et_os_seconds()) - p->start : 0;
}

int64_t et_profile_events(const et_profile *p) { return p ? p->n_events : 0; }
int64_t et_profile_dropped(const et_profile *p) { return p ? p->dropped : 0; }

static et_status check(const et_profile *p, const char *what)
{
    if (!p)
        return et_raise(ET_EINVAL, "%s: the profile is NULL", what);
    return p->failed ? et_raise(ET_ENOMEM, "%s: out of memory while it ran; something is missing", what)
                     : ET_OK;
}

static const char *const kind_name[] = {"forward", "backward", "part"};

et_status et_profile_print(const et_profile *p, FILE *out)
{
    const et_status status = check(p, "profile_print");
    double in_ops = 0;

    if (status)
        return status;
    const double all = et_profile_seconds(p);
    qsort(p->rows, (size_t)p->n_rows, sizeof *p->rows, by_time);
    fprintf(out, "%-22s %-8s %9s %10s %6s %10s %9s %8s\n", "", "", "calls", "ms", "%", "us a call", "GFLOP/s",
            "GB/s");
    for (int64_t i = 0; i < p->n_rows; i++) {
        const et_profile_row *r = &p->rows[i];
        fprintf(out, "%-22s %-8s %9" PRId64 " %10.3f %6.1f %10.2f", r->name, kind_name[r->kind], r->calls,
                1e3 * r->seconds, 100 * r->seconds / all, 1e6 * r->seconds / (double)r->calls);
        if (r->flops > 0 && r->seconds > 0)
            fprintf(out, " %9.1f", 1e-9 * r->flops / r->seconds);
        else
            fprintf(out, " %9s", "-");
        if (r->bytes > 0 && r->seconds > 0)
            fprintf(out, " %8.1f\n", 1e-9 * r->bytes / r->seconds);
        else
            fprintf(out, " %8s\n", "-");
        in_ops += r->seconds;
    }
    fprintf(out, "%-22s %-8s %9s %10.3f %6.1f\n", "(everything else)", "", "", 1e3 * (all - in_ops),
            100 * (all - in_ops) / all);
    fprintf(out, "%-22s %-8s %9s %10.3f\n", "all", "", "", 1e3 * all);
    return ferror(out) ? et_raise(ET_EIO, "profile_print: cannot write") : ET_OK;
}

/* --- the trace ------------------------------------------------------------------------------------------ */

/* To the nanosecond. */
static double microseconds(double seconds) { return round(1e9 * seconds) / 1e3; }

static void put_common(et_json_writer *w, const char *label, const char *phase, double seconds)
{
    et_json_open_object(w);
    et_json_key(w, "name");
    et_json_string(w, label);
    et_json_key(w, "ph");
    et_json_string(w, phase);
    et_json_key(w, "pid");
    et_json_int(w, 1);
    et_json_key(w, "tid");
    et_json_int(w, 1);
    et_json_key(w, "ts");
    et_json_number(w, microseconds(seconds));
}

static void put_event(et_json_writer *w, const event *e)
{
    char text[256];

    put_common(w, e->name, "X", e->start);
    et_json_key(w, "dur");
    et_json_number(w, microseconds(e->seconds));
    et_json_key(w, "cat");
    et_json_string(w, kind_name[e->kind]);
    et_json_key(w, "args");
    et_json_open_object(w);
    if (e->ndim >= 0) {
        et_json_key(w, "shape");
        et_json_open_array(w);
        for (int d = 0; d < e->ndim; d++)
            et_json_int(w, e->shape[d]);
        et_json_close(w);
    }
    if (e->file) {
        snprintf(text, sizeof text, "%s:%d", e->file, e->line);
        et_json_key(w, "place");
        et_json_string(w, text);
    }
    if (e->flops > 0) {
        et_json_key(w, "flops");
        et_json_number(w, e->flops);
    }
    if (e->bytes > 0) {
        et_json_key(w, "bytes");
        et_json_number(w, e->bytes);
    }
    et_json_close(w);
    et_json_close(w);

    put_common(w, "memory in use", "C", e->start + e->seconds);
    et_json_key(w, "args");
    et_json_open_object(w);
    et_json_key(w, "bytes");
    et_json_number(w, (double)e->memory);
    et_json_close(w);
    et_json_close(w);
}

et_status et_profile_write(const et_profile *p, const char *path)
{
    et_status status = check(p, "profile_write");
    et_strbuf text = ET_STRBUF_INIT;
    et_json_writer w;

    if (status || !path)
        return status ? status : et_raise(ET_EINVAL, "profile_write: the path is NULL");
    et_json_begin(&w, &text, 0);
    et_json_open_object(&w);
    et_json_key(&w, "displayTimeUnit");
    et_json_string(&w, "ms");
    et_json_key(&w, "otherData");
    et_json_open_object(&w);
    et_json_key(&w, "dropped");
    et_json_int(&w, p->dropped);
    et_json_close(&w);
    et_json_key(&w, "traceEvents");
    et_json_open_array(&w);
    for (int64_t i = 0; i < p->n_events; i++)
        put_event(&w, &p->events[i]);
    et_json_close(&w);
    et_json_close(&w);
    status = et_json_end(&w);
    if (!status && !text.failed)
        status = et_file_write(path, text.data, text.size);
    et_strbuf_free(&text);
    return status ? status : et_error_status();
}
