/* Formats that the library does not read itself: the user's own ffmpeg or sox decodes them to a WAV file
 * of floats, which comes back through a pipe. No shell is involved; the file's name is one argument,
 * written so that neither program takes it for an option, an address or a command. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "datasets/audio_format.h"
#include "tensor/alloc.h"
#include "tensor/os.h"

extern char **environ;

enum {
    READ_SIZE = 64 * 1024,
    WORDS = 400,            /* bytes of the program's complaints that are kept */
    TICK = 20,              /* milliseconds between looks at whether the program has ended */
    NOT_FOUND = 127,        /* exit status by which some systems say that there is no such program */
    PATIENCE_IN_ALL = 20,   /* times the patience, for the whole file */
    LEAST_OUTPUT = 64 << 20 /* bytes that any file may decode to */
};
static const uint64_t most_output = (uint64_t)1 << 31;
static const uint64_t most_expansion = 1000; /* silence packs well, but not endlessly */

typedef struct decoder {
    const char *name, *path;
    pid_t pid;
    int out, err;       /* our ends of the pipes, -1 when closed */
    unsigned char *wav; /* what came so far */
    size_t size, room;
    uint64_t limit;
    char words[WORDS + 1];
    size_t n_words;
    bool exited;
    int exit_status; /* as of waitpid; -1 where it could not be had */
} decoder;

static et_status raise_system(const decoder *d, const char *what, int error)
{
    char text[160];

    if (strerror_r(error, text, sizeof text) != 0)
        snprintf(text, sizeof text, "error %d", error);
    return et_raise(ET_EIO, "%s: %s: %s: %s", d->path, d->name, what, text);
}

/* --- starting ------------------------------------------------------------------------------------ */

/* Ends that no other program inherits, never 0, 1 or 2: those are what the child's are made of. */
static int make_pipe(int ends[2])
{
    int low[2];

    if (pipe(low) != 0)
        return errno;
    for (int i = 0; i < 2; i++)
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 3);
    close(low[0]);
    close(low[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return 0;
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    return EMFILE;
}

/* The child: its own process group, so that its children can be ended with it; no signal blocked or
 * ignored; nothing to read. Returns an errno. */
static int spawn(decoder *d, char *const *arguments, int out, int err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, standard;
    int error;

    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    sigemptyset(&none);
    sigemptyset(&standard);
    sigaddset(&standard, SIGPIPE);
    sigaddset(&standard, SIGINT);
    sigaddset(&standard, SIGTERM);
    error = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&files, out, 1);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&files, err, 2);
    if (!error)
        error = posix_spawnattr_setpgroup(&attributes, 0);
    if (!error)
        error = posix_spawnattr_setsigmask(&attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(&attributes, &standard);
    if (!error)
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                          POSIX_SPAWN_SETSIGDEF);
    if (!error)
        error = posix_spawnp(&d->pid, d->name, &files, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* Starts it; *found is false where there is no such program. */
static et_status start(decoder *d, char *const *arguments, bool *found)
{
    int out[2], err[2], error = make_pipe(out);

    if (error)
        return raise_system(d, "cannot make a pipe", error);
    error = make_pipe(err);
    if (error) {
        close(out[0]);
        close(out[1]);
        return raise_system(d, "cannot make a pipe", error);
    }
    error = spawn(d, arguments, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    if (error) {
        close(out[0]);
        close(err[0]);
        *found = false;
        return error == ENOENT || error == EACCES || error == ENOTDIR
                   ? ET_OK
                   : raise_system(d, "cannot be started", error);
    }
    *found = true;
    d->out = out[0];
    d->err = err[0];
    (void)!fcntl(d->out, F_SETFL, O_NONBLOCK);
    (void)!fcntl(d->err, F_SETFL, O_NONBLOCK);
    return ET_OK;
}

/* --- listening ----------------------------------------------------------------------------------- */

static et_status make_room(decoder *d)
{
    unsigned char *more;
    size_t room = d->room ? 2 * d->room : 4 * READ_SIZE;

    if (d->room - d->size >= READ_SIZE)
        return ET_OK;
    more = et_alloc_resize(d->wav, room);
    if (!more)
        return et_fail_status(d->path);
    d->wav = more;
    d->room = room;
    return ET_OK;
}

/* Reads what is there; *got is the number of bytes, 0 for none; the pipe is closed at its end. */
static et_status hear_samples(decoder *d, size_t *got)
{
    ssize_t n;

    *got = 0;
    if (make_room(d) < 0)
        return et_error_status();
    n = read(d->out, d->wav + d->size, d->room - d->size);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR
                   ? ET_OK
                   : raise_system(d, "cannot read from it", errno);
    if (n == 0) {
        close(d->out);
        d->out = -1;
    }
    *got = (size_t)n;
    d->size += (size_t)n;
    if (d->size > d->limit)
        return et_raise(ET_EFORMAT, "%s: %s makes more than %" PRIu64 " bytes of it", d->path, d->name,
                        d->limit);
    return ET_OK;
}

/* Its complaints: the first words are kept. */
static bool hear_words(decoder *d)
{
    char buffer[512];
    ssize_t n = read(d->err, buffer, sizeof buffer);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        close(d->err);
        d->err = -1;
    }
    if (n <= 0)
        return false;
    for (ssize_t i = 0; i < n && d->n_words < WORDS; i++)
        d->words[d->n_words++] = buffer[i];
    return true;
}

static void look_for_end(decoder *d)
{
    int status;
    pid_t pid;

    do
        pid = waitpid(d->pid, &status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return;
    d->exited = true;
    d->exit_status = pid < 0 ? -1 : status; /* where the caller ignores SIGCHLD there is none */
}

/* Until the program has ended and all it wrote is read. A child of its own that outlives it may keep the
 * pipes open: what is in them when it has ended is all. */
static et_status listen_to(decoder *d, double patience)
{
    double begin = et_os_seconds(), last = begin, now;

    for (;;) {
        struct pollfd ends[2] = {{d->out, POLLIN, 0}, {d->err, POLLIN, 0}}; /* -1 is passed over */
        size_t got = 0;
        bool had_ended = d->exited;

        if (poll(ends, 2, d->exited ? 0 : TICK) < 0 && errno != EINTR)
            return raise_system(d, "cannot wait for it", errno);
        if (d->out >= 0 && hear_samples(d, &got) < 0)
            return et_error_status();
        now = et_os_seconds();
        if ((d->err >= 0 && hear_words(d)) || got > 0)
            last = now;
        else if (had_ended)
            return ET_OK;
        if (!d->exited)
            look_for_end(d);
        if (!d->exited && now - last > patience)
            return et_raise(ET_EFORMAT, "%s: %s has hung: nothing came of it for %g seconds", d->path,
                            d->name, patience);
        if (now - begin > PATIENCE_IN_ALL * patience)
            return et_raise(ET_EFORMAT, "%s: %s was not done with it in %g seconds", d->path, d->name,
                            PATIENCE_IN_ALL * patience);
        if (!d->exited && d->out < 0 && d->err < 0) {
            struct timespec tick = {0, TICK * 1000000L};
            nanosleep(&tick, NULL);
        }
    }
}

/* Whatever happened: no process, no descriptor is left. */
static void stop(decoder *d)
{
    int status;

    if (!d->exited) {
        kill(-d->pid, SIGKILL);
        kill(d->pid, SIGKILL); /* should the group not be there yet */
        while (waitpid(d->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    if (d->out >= 0)
        close(d->out);
    if (d->err >= 0)
        close(d->err);
}

/* --- judging ------------------------------------------------------------------------------------- */

/* What it said, as the end of one line: blanks for line ends and for what does not print. */
static const char *complaint(decoder *d)
{
    while (d->n_words > 0 && (unsigned char)d->words[d->n_words - 1] <= ' ')
        d->n_words--;
    d->words[d->n_words] = '\0';
    for (size_t i = 0; i < d->n_words; i++)
        if ((unsigned char)d->words[i] < ' ' || d->words[i] == 127)
            d->words[i] = ' ';
    return d->n_words ? d->words : "it does not say why";
}

/* *found is false where there is no such program. */
static et_status run(decoder *d, char *const *arguments, double patience, bool *found)
{
    et_status status = start(d, arguments, found);

    if (status < 0 || !*found)
        return status;
    status = listen_to(d, patience);
    stop(d);
    if (status < 0)
        return status;
    if (d->exit_status == -1 || (WIFEXITED(d->exit_status) && WEXITSTATUS(d->exit_status) == 0))
        return ET_OK;
    if (WIFSIGNALED(d->exit_status))
        return et_raise(ET_EFORMAT, "%s: %s was ended by signal %d", d->path, d->name,
                        WTERMSIG(d->exit_status));
    if (WEXITSTATUS(d->exit_status) == NOT_FOUND && d->size == 0 && d->n_words == 0) {
        *found = false;
        return ET_OK;
    }
    return et_raise(ET_EFORMAT, "%s: %s cannot read it: %s", d->path, d->name, complaint(d));
}

et_status et_audio_run_decoder(const char *path, uint64_t file_size, const char *why, double patience,
                               unsigned char **wav, size_t *size, const char **program)
{
    static const char prefix[] = "file:./";
    size_t length = strlen(path) + sizeof prefix;
    char *address = et_alloc(length), *plain;
    uint64_t limit = file_size > most_output / most_expansion ? most_output : file_size * most_expansion;
    bool found = false;
    et_status status = ET_OK;

    *wav = NULL;
    *size = 0;
    if (!address)
        return et_fail_status(path);
    snprintf(address, length, "%s%s", path[0] == '/' ? "file:" : prefix, path);
    plain = address + 5;
    for (int i = 0; i < 2 && status == ET_OK && !found; i++) {
        char *const ffmpeg[] = {
            "ffmpeg", "-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe", "-i", address, "-map",
            "0:a:0",  "-f", "wav",   "-c:a",     "pcm_f32le",           "-",         NULL};
        char *const sox[] = {"sox", "-V1", "--no-glob", plain, "-t", "wav", "-e", "floating-point",
                             "-b",  "32",  "-",         NULL};
        decoder d = {.name = i == 0 ? "ffmpeg" : "sox", .path = path, .out = -1, .err = -1};

        d.limit = limit > LEAST_OUTPUT ? limit : LEAST_OUTPUT;
        status = run(&d, i == 0 ? ffmpeg : sox, patience, &found);
        if (status == ET_OK && found) {
            *wav = d.wav;
            *size = d.size;
            *program = d.name;
        } else {
            et_dealloc(d.wav);
        }
    }
    et_dealloc(address);
    if (status == ET_OK && !found)
        return et_raise(ET_EIO, /* another day it may be read */
                        "%s: %s; to read other formats install ffmpeg or sox (neither is on the PATH)", path,
                        why);
    return status;
}
