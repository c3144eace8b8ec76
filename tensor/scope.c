/* Scopes: each is a ring of the handles it owns. What closing one means for a tensor depends on whether an op
 * on the tape refers to it (leave); doc/architecture.md, "What is released when", tells the whole story. */
#include "config.h"

#include "tensor/scope.h"

#include "tensor/alloc.h"
#include "tensor/internal.h"
#include "tensor/pool.h"

struct et_scope {
    et_scope *parent;
    et_scope *root;      /* the scope whose tape ops record on */
    int depth;
    et_tensor list;      /* head of the ring of tensors it owns; only the links are used */
    void *tape;
    void (*drop_tape)(void *tape);
};

static _Thread_local et_scope *innermost;

et_scope *et_scope_current(void) { return innermost; }
et_scope *et_scope_root(void) { return innermost ? innermost->root : NULL; }
int et_scope_depth(void) { return innermost ? innermost->depth : 0; }
void *et_scope_tape(const et_scope *root) { return root ? root->tape : NULL; }

void et_scope_set_tape(et_scope *root, void *tape, void (*drop)(void *tape))
{
    root->tape = tape;
    root->drop_tape = drop;
}

void et_scope_link(et_scope *scope, et_tensor *t)
{
    et_tensor *head = &scope->list;

    t->scope = scope;
    t->prev = head->prev;
    t->next = head;
    head->prev->next = t;
    head->prev = t;
}

void et_scope_unlink(et_tensor *t)
{
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->prev = t->next = NULL;
    t->scope = NULL;
}

static et_scope *open_scope(bool root)
{
    et_scope *s = et_pool_alloc(sizeof *s);

    if (!s)
        return NULL;
    s->parent = innermost;
    s->root = root || !innermost ? s : innermost->root;
    s->depth = innermost ? innermost->depth + 1 : 1;
    s->list.prev = s->list.next = &s->list;
    s->tape = NULL;
    s->drop_tape = NULL;
    innermost = s;
    return s;
}

et_scope *et_scope_open(void)
{
    if (!innermost)
        et_error_clear();
    return open_scope(false);
}

et_scope *et_scope_open_root(void) { return open_scope(true); }

/* True if t's op can make the elements again as they are now, and no other handle has them. */
static bool may_be_remade(const et_tensor *t)
{
    return t->remakable && t->node && t->storage && t->storage->refs == 1 &&
           t->storage->version == t->made_version;
}

/* Ends t's time in its scope, an inner one that closes or one that lets go of t. `root` has the tape. */
static void leave(et_tensor *t, et_scope *root)
{
    et_scope_unlink(t);
    if (!t->recorded) {
        et_tensor_destroy(t);
        return;
    }
    /* The tape refers to it: the handle stays as long as the tape does, the
     * elements while a backward rule is to read them. */
    et_scope_link(root, t);
    t->on_tape = true;
    const bool again = t->saved_by && may_be_remade(t);
    if (!t->keep && (!t->saved_by || again)) {
        et_release(t);
        t->remakable = again;
    }
}

et_status et_scope_close(et_scope *scope)
{
    if (!scope)
        return et_raise(ET_EINVAL, "scope_close: scope is NULL");
    if (scope != innermost)
        return et_raise(ET_ESCOPE, "scope_close: not the innermost open scope of this thread");
    if (scope == scope->root && scope->drop_tape)
        scope->drop_tape(scope->tape);
    for (et_tensor *t = scope->list.next, *next; t != &scope->list; t = next) {
        next = t->next;
        if (scope != scope->root)
            leave(t, scope->root);
        else
            et_tensor_destroy(t);
    }
    innermost = scope->parent;
    et_pool_free(scope);
    return ET_OK;
}

int et_scope_unwind(et_scope *scope)
{
    const et_scope *s = innermost;
    int n = 0;

    while (s && s != scope)
        s = s->parent;
    if (s != scope)
        return et_raise(ET_ESCOPE, "scope_unwind: the scope is not open on this thread");
    for (; innermost != scope; n++)
        et_scope_close(innermost);
    return n;
}

void et_scope_let_go(et_tensor *t)
{
    if (t && t->scope && !t->on_tape)
        leave(t, t->scope->root);
    else
        et_free(t);
}

et_tensor *et_scope_after(et_tensor *used, et_tensor *y)
{
    if (y && y != used)
        et_scope_let_go(used);
    return y;
}

et_tensor *et_scope_take(et_tensor *t)
{
    if (t && !t->scope && innermost)
        et_scope_link(innermost, t);
    return t;
}

et_tensor *et_scope_return(et_scope *scope, et_tensor *t)
{
    if (!t)
        return NULL;
    if (!scope || t->scope != scope) {
        /* A tensor that an enclosing scope or the caller owns outlives this one anyway. */
        for (const et_scope *s = scope ? scope->parent : NULL; s && t->scope; s = s->parent)
            if (t->scope == s)
                return t;
        if (scope && !t->scope)
            return t;
        et_raise(ET_ESCOPE, "scope_return: the tensor does not belong to this scope");
        return NULL;
    }
    et_scope_unlink(t);
    if (scope->parent)
        et_scope_link(scope->parent, t);
    if (scope == scope->root) { /* its tape, which still counts itself in saved_by, goes with it */
        t->node = NULL;
        t->requires_grad = false;
        t->on_tape = false;
        t->remakable = false;
    }
    return t;
}
