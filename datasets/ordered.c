/* Jobs done by background threads, their results taken in order: a ring of slots. A job may begin when it is
 * less than `ahead` places before the next one to be taken, so that memory is bounded. */
#include "config.h"

#include "datasets/ordered.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/parallel.h"
#include "tensor/workers.h"

enum { MESSAGE = 1024 };

typedef struct slot {
    bool done;
    et_status status;
    char message[MESSAGE];
} slot;

struct et_ordered {
    et_ordered_jobs jobs;
    pthread_mutex_t lock;
    pthread_cond_t room, ready; /* for those who work; for the one who takes */
    slot *slots;                /* [ahead] */
    unsigned char *results;     /* [ahead][size] */
    pthread_t *threads;
    int n_threads;
    int64_t next, taken; /* next job to begin; to take */
    bool stop;
};

static void do_job(et_ordered *o, int64_t job)
{
    slot *s = &o->slots[job % o->jobs.ahead];
    void *result = o->results + (size_t)(job % o->jobs.ahead) * o->jobs.size;

    memset(result, 0, o->jobs.size);
    s->status = o->jobs.work(o->jobs.user, job, result);
    s->message[0] = '\0';
    if (s->status < 0) {
        size_t n = strlen(et_error_message());
        if (n >= MESSAGE)
            n = MESSAGE - 1;
        memcpy(s->message, et_error_message(), n);
        s->message[n] = '\0';
    }
}

static void *run(void *user)
{
    et_ordered *o = user;

    et_parallel_alone(true); /* one thread is one thread */
    pthread_mutex_lock(&o->lock);
    for (;;) {
        int64_t job;

        while (!o->stop && o->next < o->jobs.n && o->next >= o->taken + o->jobs.ahead)
            pthread_cond_wait(&o->room, &o->lock);
        if (o->stop || o->next >= o->jobs.n)
            break;
        job = o->next++;
        pthread_mutex_unlock(&o->lock);
        et_error_clear();
        do_job(o, job);
        pthread_mutex_lock(&o->lock);
        o->slots[job % o->jobs.ahead].done = true;
        pthread_cond_signal(&o->ready);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

et_ordered *et_ordered_start(const et_ordered_jobs *jobs)
{
    et_ordered *o;

    if (!jobs || jobs->n < 0 || jobs->ahead < 1 || jobs->threads < 0 || jobs->threads > ET_MAX_THREADS) {
        et_raise(ET_EINVAL, "threads: 0 to %d of them, and room for at least one result", ET_MAX_THREADS);
        return NULL;
    }
    if (!(o = et_alloc_zero(1, sizeof *o)))
        return NULL;
    o->jobs = *jobs;
    o->slots = et_alloc_zero((size_t)jobs->ahead, sizeof *o->slots);
    o->results = o->slots ? et_alloc_zero((size_t)jobs->ahead, jobs->size) : NULL;
    o->threads = o->results ? et_alloc_zero((size_t)jobs->threads, sizeof *o->threads) : NULL;
    if (!o->threads) {
        et_dealloc(o->slots);
        et_dealloc(o->results);
        et_dealloc(o);
        return NULL;
    }
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->room, NULL);
    pthread_cond_init(&o->ready, NULL);
    while (o->n_threads < jobs->threads && o->n_threads < jobs->n &&
           et_thread_start(&o->threads[o->n_threads], run, o) == 0)
        o->n_threads++;
    return o;
}

et_status et_ordered_take(et_ordered *o, void *result)
{
    et_status status;
    slot *s;

    if (!o || !result)
        return et_raise(ET_EINVAL, "threads: NULL");
    if (o->taken >= o->jobs.n)
        return et_raise(ET_EINVAL, "threads: all %" PRId64 " jobs were taken", o->jobs.n);
    s = &o->slots[o->taken % o->jobs.ahead];
    if (o->n_threads == 0) {
        if (et_error_status() < 0)
            return et_error_status();
        do_job(o, o->taken);
        et_error_clear();
    } else {
        pthread_mutex_lock(&o->lock);
        while (!s->done)
            pthread_cond_wait(&o->ready, &o->lock);
        pthread_mutex_unlock(&o->lock);
    }
    status = s->status < 0 ? et_raise(s->status, "%s", s->message) : ET_OK;
    memcpy(result, o->results + (size_t)(o->taken % o->jobs.ahead) * o->jobs.size, o->jobs.size);
    if (o->n_threads == 0) {
        o->taken++;
    } else {
        pthread_mutex_lock(&o->lock);
        s->done = false;
        o->taken++;
        pthread_cond_broadcast(&o->room);
        pthread_mutex_unlock(&o->lock);
    }
    return status;
}

int64_t et_ordered_left(const et_ordered *o) { return o ? o->jobs.n - o->taken : 0; }

void et_ordered_stop(et_ordered *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    pthread_cond_broadcast(&o->room);
    pthread_mutex_unlock(&o->lock);
    for (int i = 0; i < o->n_threads; i++)
        pthread_join(o->threads[i], NULL);
    for (int64_t k = 0; k < o->jobs.ahead; k++)
        if (o->slots[k].done && o->slots[k].status == ET_OK && o->jobs.drop)
            o->jobs.drop(o->results + (size_t)k * o->jobs.size);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->room);
    pthread_cond_destroy(&o->ready);
    et_dealloc(o->slots);
    et_dealloc(o->results);
    et_dealloc(o->threads);
    et_dealloc(o);
}
