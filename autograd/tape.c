/* The tape: the ops of the outermost scope in the order in which they ran, what each keeps for its backward,
 * and the memory in which all that stands.
 *
 * A node is built on the stack by et_apply. If the call is recorded, et_tape_record copies it, with its
 * arrays of operands, into chunks that go with the tape as a whole. Recording also counts, in the tensors
 * themselves, how many recorded ops are still to read them (saved_by), and notes the versions of what is
 * read, so that backward notices a change. Also here: what is on or off in a thread while ops run (recording,
 * anomaly mode), and printing. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "autograd/internal.h"
#include "tensor/pool.h"

struct et_arena {
    et_arena *next;    /* the one before */
    size_t used, size; /* of the bytes that follow CHUNK_HEAD */
};

enum { CHUNK = 16 * 1024, CHUNK_HEAD = 64 };
_Static_assert(sizeof(struct et_arena) <= CHUNK_HEAD, "nodes follow the chunk's head");

/* --- recording, and anomaly mode --------------------------------------------------------- */

static _Thread_local int no_grad_depth;
static _Thread_local bool anomaly;

void et_no_grad_begin(void) { no_grad_depth++; }

void et_no_grad_end(void)
{
    if (no_grad_depth > 0)
        no_grad_depth--;
}

int et_no_grad_set(int depth)
{
    const int before = no_grad_depth;

    no_grad_depth = depth;
    return before;
}

bool et_grad_enabled(void) { return no_grad_depth == 0; }
void et_set_anomaly(bool on) { anomaly = on; }
bool et_anomaly(void) { return anomaly; }

uint64_t et_next_sweep(void)
{
    static _Thread_local uint64_t sweep;

    return sweep += 2; /* a sweep uses two: see sweep.h */
}

bool et_anomaly_finite(const et_tensor *t)
{
    if (!t || !t->storage || !et_dtype_is_real(t->dtype) || et_error_status())
        return true;
    if (et_is_contiguous(t) && et_kernels_for(t->dtype)->all_finite(t->numel, et_data(t)))
        return true;
    if (et_check_finite(t, NULL) == ET_OK)
        return true;
    et_error_clear();
    return false;
}

bool et_anomaly_watches(const et_node *n)
{
    bool clean = anomaly;

    for (int i = 0; i < n->n_in && clean; i++)
        clean = et_anomaly_finite(n->in[i]);
    return clean;
}

et_status et_anomaly_check(const et_node *n, const et_tensor *t, const char *what)
{
    if (et_anomaly_finite(t))
        return ET_OK;
    char text[256];
    et_check_finite(t, what);
    snprintf(text, sizeof text, "%s", et_error_message());
    et_error_clear();
    if (n->file)
        et_here(n->file, n->line);
    return et_op_raise(n, ET_ENONFINITE, "%s, and its operands were finite", text);
}

/* --- the tape's memory --------------------------------------------------------------- */

static void *tape_alloc(et_tape *tape, size_t bytes)
{
    bytes = (bytes + 15) / 16 * 16;
    et_arena *c = tape->arenas;
    if (!c || c->size - c->used < bytes) {
        size_t size = bytes > CHUNK - CHUNK_HEAD ? bytes : CHUNK - CHUNK_HEAD;
        c = et_pool_alloc(size + CHUNK_HEAD);
        if (!c)
            return NULL;
        *c = (et_arena){.next = tape->arenas, .size = size};
        tape->arenas = c;
    }
    void *p = (char *)c + CHUNK_HEAD + c->used;
    c->used += bytes;
    return p;
}

static void drop_tape(void *p)
{
    et_tape *tape = p;

    for (int64_t i = tape->length - 1; i >= 0; i--)
        if (!tape->nodes[i]->released)
            et_node_release(tape->nodes[i], NULL);
    for (et_arena *c = tape->arenas, *next; c; c = next) {
        next = c->next;
        et_pool_free(c);
    }
    et_pool_free(tape->nodes);
    et_pool_free(tape);
}

et_tape *et_tape_current(void) { return et_scope_tape(et_scope_root()); }

static et_tape *tape_open(void)
{
    et_tape *tape = et_tape_current();

    if (!tape && (tape = et_pool_alloc(sizeof *tape))) {
        *tape = (et_tape){0};
        et_scope_set_tape(et_scope_root(), tape, drop_tape);
    }
    return tape;
}

/* Room for one more node in the tape's list. */
static et_status grow(et_tape *tape)
{
    if (tape->length < tape->room)
        return ET_OK;
    const int64_t room = tape->room ? 2 * tape->room : 256;
    et_node **nodes = et_pool_alloc((size_t)room * sizeof *nodes);
    if (!nodes)
        return ET_ENOMEM;
    if (tape->length)
        memcpy(nodes, tape->nodes, (size_t)tape->length * sizeof *nodes);
    et_pool_free(tape->nodes);
    tape->nodes = nodes;
    tape->room = room;
    return ET_OK;
}

/* n and its arrays, copied to one piece of the tape's memory. */
static et_node *copy_node(et_tape *tape, const et_node *n)
{
    const size_t head = (sizeof(et_node) + 15) / 16 * 16, ins = (size_t)n->n_in;
    char *p = tape_alloc(tape, head + ins * (sizeof(et_tensor *) + sizeof(uint32_t) + sizeof(bool)));

    if (!p)
        return NULL;
    et_node *m = (et_node *)p;
    *m = *n;
    m->in = (et_tensor **)(p + head);
    m->in_version = (uint32_t *)(m->in + ins);
    m->needs = (bool *)(m->in_version + ins);
    memcpy(m->in, n->in, ins * sizeof *m->in);
    memcpy(m->needs, n->needs, ins * sizeof *m->needs);
    m->tape = tape;
    m->id = tape->length;
    m->scratch = NULL;
    m->saves = n->op->saves_for ? n->op->saves_for(n) : n->op->saves;
    return m;
}

/* Marks the operands of m as read by a recorded op, and notes the versions of those that backward reads. */
static void note_operands(et_node *m)
{
    for (int i = 0; i < m->n_in; i++) {
        if (!m->in[i])
            continue;
        m->in[i]->recorded = true;
        if (i < ET_MAX_ARGS && m->op->graph_reads & ET_SAVE_IN(i))
            m->in_version[i] = et_version(m->in[i]);
        if (i < ET_MAX_ARGS && m->saves & ET_SAVE_IN(i)) {
            m->in[i]->saved_by++;
            m->in_version[i] = et_version(m->in[i]);
            if (m->op->remake_reads & ET_SAVE_IN(i)) /* stays, so that m's output can be made again from it */
                m->in[i]->remakable = false;
        }
    }
}

/* The same for the outputs, which m has made. */
static void note_outputs(et_node *m)
{
    if (m->op->remake && m->n_saved) {
        m->out[0]->remakable = true;
        m->out[0]->made_version = et_version(m->out[0]);
    }
    for (int k = 0; k < m->n_out; k++) {
        m->out[k]->recorded = true;
        if (et_dtype_is_real(m->out[k]->dtype)) {
            m->out[k]->requires_grad = true;
            m->out[k]->node = m;
        }
        if (m->saves & ET_SAVE_OUT(k)) {
            m->out[k]->saved_by++;
            m->out_version[k] = et_version(m->out[k]);
        }
    }
}

et_status et_tape_record(const et_node *n)
{
    et_tape *tape = tape_open();
    et_node *m = tape && grow(tape) == ET_OK ? copy_node(tape, n) : NULL;

    if (!m)
        return ET_ENOMEM;
    note_operands(m);
    note_outputs(m);
    tape->nodes[tape->length++] = m;
    return ET_OK;
}

void *et_tape_copy(const void *p, size_t bytes)
{
    et_tape *tape = tape_open();
    void *q = tape ? tape_alloc(tape, bytes) : NULL;

    if (q && p)
        memcpy(q, p, bytes);
    return q;
}

void et_node_release(et_node *n, const et_tensor *root)
{
    n->released = true;
    for (int i = 0; i < n->n_saved; i++)
        et_free(n->saved[i]);
    n->n_saved = 0;
    for (int i = 0; i < n->n_in && i < ET_MAX_ARGS; i++) {
        et_tensor *t = n->in[i];
        if (t && n->saves & ET_SAVE_IN(i) && --t->saved_by == 0 && t->on_tape && !t->keep)
            et_release(t);
    }
    for (int k = 0; k < n->n_out; k++) {
        et_tensor *t = n->out[k];
        if (n->saves & ET_SAVE_OUT(k))
            t->saved_by--;
        if (t->node != n) /* not differentiated, or handed out of the root scope */
            continue;
        if (t->acc) {
            et_free(t->acc);
            t->acc = NULL;
        }
        if (t != root && !t->keep)
            et_release(t);
    }
}

/* --- looking at it ------------------------------------------------------------------ */

int64_t et_tape_length(void)
{
    et_tape *tape = et_tape_current();

    return tape ? tape->length : 0;
}

/* Name of an operand: a parameter's own, the op that made it, or "leaf". */
static void print_operand(FILE *out, const et_tensor *t)
{
    if (!t)
        fputs("-", out);
    else if (t->node)
        fprintf(out, "%%%" PRId64, t->node->id);
    else
        fputs(t->name ? t->name : "leaf", out);
}

et_status et_tape_print(FILE *out)
{
    et_tape *tape = et_tape_current();

    if (!out)
        return et_raise(ET_EINVAL, "tape_print: the file is NULL");
    for (int64_t i = 0; tape && i < tape->length; i++) {
        const et_node *n = tape->nodes[i];
        fprintf(out, "%%%" PRId64 " = %s(", i, n->op->name);
        for (int k = 0; k < n->n_in; k++) {
            fputs(k ? ", " : "", out);
            print_operand(out, n->in[k]);
        }
        fputs(")", out);
        for (int k = 0; k < n->n_out; k++)
            fprintf(out, " %s %s", et_dtype_name(n->out[k]->dtype), et_shape_str(n->out[k]));
        if (n->file)
            fprintf(out, "  %s:%d", n->file, n->line);
        fprintf(out, "%s\n", n->released ? "  (released)" : "");
    }
    return ferror(out) ? et_raise(ET_EIO, "tape_print: the file cannot be written") : ET_OK;
}

et_status et_tape_dot(FILE *out)
{
    et_tape *tape = et_tape_current();

    if (!out)
        return et_raise(ET_EINVAL, "tape_dot: the file is NULL");
    fputs("digraph tape {\n  rankdir=TB;\n  node [shape=box, fontname=\"sans-serif\"];\n", out);
    for (int64_t i = 0; tape && i < tape->length; i++) {
        const et_node *n = tape->nodes[i];
        fprintf(out, "  n%" PRId64 " [label=\"%s\\n%s\"];\n", i, n->op->name, et_shape_str(n->out[0]));
        for (int k = 0; k < n->n_in; k++) {
            const et_tensor *t = n->in[k];
            if (!t)
                continue;
            if (t->node) {
                fprintf(out, "  n%" PRId64 " -> n%" PRId64 ";\n", t->node->id, i);
            } else {
                fprintf(out, "  \"%p\" [label=\"%s\\n%s\", shape=ellipse%s];\n", (const void *)t,
                        t->name ? t->name : "leaf", et_shape_str(t), t->requires_grad ? ", style=bold" : "");
                fprintf(out, "  \"%p\" -> n%" PRId64 ";\n", (const void *)t, i);
            }
        }
    }
    fputs("}\n", out);
    return ferror(out) ? et_raise(ET_EIO, "tape_dot: the file cannot be written") : ET_OK;
}
