/* Tests the gradient checks: changes the backward rules, one at a time, and counts how many of
 * the changes the checks of the ops concerned notice. Tests suites likewise, with changes anywhere in a
 * file. Run by `make mutation`.
 *
 *     mutate [options] FILE[=OP,@SUITE...]...
 *         --top DIR         the sources; FILEs are relative to it
 *         --work DIR        scratch folder, made if need be
 *         --cc CMD          the compiler: CMD -I WORK FLAGS -c FILE -o OBJECT
 *         --flags FLAGS
 *         --link CMD        with an object and the rest makes the driver: CMD OBJECT REST -o PROGRAM
 *         --suite CMD       with an object, that of a suite and the rest makes the suite
 *         --rest FILES      what is linked after the objects
 *         --kernels FILE    the source to compile when a FILE is a header of kernels
 *         --equivalent FILE reviewed mutants that change nothing; the status is 2 if one of them is no
 *                           mutant (any more) of the file that it names
 *         --jobs N          at once (2)
 *         --only WORD       mutants whose key holds WORD
 *         --done FILE       adds the keys of caught mutants to FILE and passes over those that
 *                           are there, so that a run can be ended and gone on with
 *         --list            print the keys and run nothing
 *
 * In a file of ops the functions are changed that only their rules of backward and of making results again
 * reach. In others, whose ops are given, those that have "bwd", "back", "gradient" or "_grad" in their
 * declaration and what only they reach, or all if the file is named "bwd" or a suite (tests/SUITE.o) judges.
 *
 * The file as it is must pass its checks. For each mutant it is rewritten below WORK, compiled and linked
 * with everything else unchanged, and the driver runs the checks of the ops concerned, or each suite runs. A
 * failure, a crash, 20 seconds of a processor, or by the clock 20 and five times what the file as it is takes
 * count as caught; what does not compile is not counted, nor what compiles to the same object (as in a branch
 * that the preprocessor leaves out). Exit status 0 if at least 98 % are caught. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/mutation/mutants.h"

enum { MAX_JOBS = 16, SECONDS = 20, GOAL = 98 };

enum { CAUGHT = 0, SURVIVED = 10, NOT_BUILT = 11, SAME = 12 }; /* exit status of a worker */

typedef struct settings {
    const char *top, *work, *cc, *flags, *link, *suite, *rest, *kernels, *equivalent, *only, *done;
    int jobs;
    bool list;
} settings;

typedef struct job {
    pid_t pid;
    int number; /* slot, names its files */
    const source *s;
    const mutant *m;
} job;

typedef struct score {
    int caught, survived, equivalent, not_built, same, done, total;
} score;

static char *equivalents; /* the reviewed list, as one text */
static char *earlier;     /* keys of an earlier run, as one text, or NULL */
static FILE *done;        /* where this run adds its own, or NULL */
static int limit;         /* seconds that a mutant has by the clock */
static pid_t running;     /* a worker's command */

/* --- one mutant, in a process of its own ------------------------------------------------------- */

/* What waits forever ends, and Check's runner ends the test that it waits for. */
static void out_of_time(int sig)
{
    (void)sig;
    kill(-running, SIGTERM);
    _exit(CAUGHT);
}

static void run_shell(const char *command, int on_failure)
{
    const pid_t pid = running = fork();
    int status;

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        setpgid(0, 0); /* Check's runner passes SIGTERM on to its group */
        dup2(null, 1);
        dup2(null, 2);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
        _exit(on_failure);
}

static void make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        mkdir(path, 0777);
        *p = '/';
    }
}

/* The source with the mutant in it; m NULL: as it is. */
static void write_mutant(const source *s, const mutant *m, char *path)
{
    FILE *out;

    make_folders(path);
    out = fopen(path, "wb");
    if (!out)
        _exit(NOT_BUILT);
    if (m) {
        fwrite(s->text, 1, m->start, out);
        fputs(m->with, out);
        fwrite(s->text + m->end, 1, s->size - m->end, out);
    } else {
        fwrite(s->text, 1, s->size, out);
    }
    if (fclose(out))
        _exit(NOT_BUILT);
}

/* What follows in a list "A,B,C" of which `at` is one's beginning. */
static const char *next_given(const char *at)
{
    const size_t n = strcspn(at, ",");

    return at + n + (at[n] == ',');
}

/* Arguments of the driver: the ops to check; m NULL: all. The composed ones of a file are made of them. */
static void list_ops(const source *s, const mutant *m, char *out, size_t size)
{
    *out = 0;
    for (const char *op = s->given; *op; op = next_given(op))
        if (*op != '@')
            snprintf(out + strlen(out), size - strlen(out), " %.*s", (int)strcspn(op, ","), op);
    for (int composed = 0; composed < 2; composed++)
        for (int o = 0; o < s->n_ops; o++)
            if (composed ? s->ops[o].composed : !m || s->ops[o].calls[m->function])
                snprintf(out + strlen(out), size - strlen(out), " %s", s->ops[o].name);
}

/* Writes the source of slot j->number, with or without mutant, and compiles it to `object`, below WORK. */
static void compile(const settings *set, const job *j, const char *object)
{
    char path[4096], command[16384];
    bool header = strcmp(j->s->path + strlen(j->s->path) - 2, ".h") == 0;

    snprintf(command, sizeof command, "rm -rf %s/%d", set->work, j->number);
    run_shell(command, NOT_BUILT); /* a changed header must not meet the next mutant */
    snprintf(path, sizeof path, "%s/%d/%s", set->work, j->number, j->s->path);
    write_mutant(j->s, j->m, path);
    if (header)
        snprintf(path, sizeof path, "%s", set->kernels);
    snprintf(command, sizeof command, "%s -I%s/%d %s -c %s -o %s/%s", set->cc, set->work, j->number,
             set->flags, path, set->work, object);
    run_shell(command, NOT_BUILT);
}

/* Links the mutant with `with` and the rest, and runs that. */
static void link_and_run(const settings *set, const job *j, const char *with, const char *args)
{
    char command[16384];

    snprintf(command, sizeof command, "%s %s/%d/mutant.o %s -o %s/%d/driver", with, set->work, j->number,
             set->rest, set->work, j->number);
    run_shell(command, NOT_BUILT);
    snprintf(command, sizeof command, "exec %s/%d/driver%s", set->work, j->number, args);
    run_shell(command, CAUGHT);
}

/* Suites among what is given, until one fails. */
static void run_suites(const settings *set, const job *j)
{
    char with[8192];

    setenv("srcdir", set->top, 0);
    setenv("CK_DEFAULT_TIMEOUT", "20", 0);
    for (const char *name = j->s->given; *name; name = next_given(name)) {
        if (*name != '@')
            continue;
        snprintf(with, sizeof with, "%s tests/%.*s.o", set->suite, (int)strcspn(name, ",") - 1, name + 1);
        link_and_run(set, j, with, "");
    }
}

/* Ends the process: SURVIVED if all checks pass. */
static void run_checks(const settings *set, const job *j)
{
    struct rlimit cpu = {SECONDS, SECONDS}, memory = {(rlim_t)4 << 30, (rlim_t)4 << 30}, core = {0, 0};
    char ops[4096];

    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CORE, &core);
    if (j->m) {
        signal(SIGALRM, out_of_time);
        signal(SIGINT, out_of_time);
        alarm((unsigned)limit);
    }
    setenv("ETUDE_NUM_THREADS", "2", 1); /* so that what is cut into pieces has more than one */
    run_suites(set, j);
    setenv("ETUDE_POOL", "system", 1); /* malloc notices who writes past a block */
    list_ops(j->s, j->m, ops, sizeof ops);
    if (*ops)
        link_and_run(set, j, set->link, ops);
    _exit(SURVIVED);
}

static void run_mutant(const settings *set, const job *j)
{
    char command[16384], object[64];

    snprintf(object, sizeof object, "%d/mutant.o", j->number);
    compile(set, j, object);
    snprintf(command, sizeof command, "! cmp -s %s/%s %s/original.o", set->work, object, set->work);
    run_shell(command, SAME);
    run_checks(set, j);
}

/* --- all of them --------------------------------------------------------------------------------- */

/* True if the mutant's key is a line of the text. */
static bool is_listed(const char *text, const source *s, const mutant *m)
{
    char *key = mutant_key(s, m);
    bool found = false;

    for (const char *at = text ? strstr(text, key) : NULL; at && !found; at = strstr(at + 1, key))
        found = (at == text || at[-1] == '\n') && (at[strlen(key)] == '\n' || at[strlen(key)] == 0);
    free(key);
    return found;
}

static bool is_equivalent(const source *s, const mutant *m) { return is_listed(equivalents, s, m); }

static void show_progress(const score *sc, time_t start)
{
    static int shown = -1;
    int percent = sc->total ? 100 * sc->done / sc->total : 100;

    if (isatty(1)) {
        printf("\r%d of %d (%d %%), caught %d, survived %d, %lds ", sc->done, sc->total, percent, sc->caught,
               sc->survived, (long)(time(NULL) - start));
    } else if (percent / 5 != shown) {
        printf("%d of %d (%d %%), caught %d, survived %d, %lds\n", sc->done, sc->total, percent, sc->caught,
               sc->survived, (long)(time(NULL) - start));
        shown = percent / 5;
    }
    fflush(stdout);
}

static void judge(const job *j, int status, score *sc)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : CAUGHT;

    sc->done++;
    if (code == NOT_BUILT) {
        sc->not_built++;
    } else if (code == SAME) {
        sc->same++;
    } else if (code == SURVIVED) {
        char *key = mutant_key(j->s, j->m);

        sc->survived++;
        printf("%ssurvived, line %d\n%s\n", isatty(1) ? "\r" : "", j->m->line, key);
        free(key);
    } else {
        sc->caught++;
        if (done) {
            char *key = mutant_key(j->s, j->m);

            fprintf(done, "%s\n", key);
            fflush(done);
            free(key);
        }
    }
}

/* Waits for one of the jobs to end. */
static void collect(const settings *set, job *jobs, score *sc, time_t start)
{
    int status;
    const pid_t pid = wait(&status);

    for (int j = 0; j < set->jobs; j++) {
        if (jobs[j].pid != pid)
            continue;
        judge(&jobs[j], status, sc);
        jobs[j].pid = 0;
        show_progress(sc, start);
    }
}

/* Makes the object of the source as it is, to compare those of mutants with, and says how long these may take.
 * Exits unless it passes the checks: what fails anyway notices nothing. No job runs. */
static void try_original(const settings *set, const source *s)
{
    const job j = {0, set->jobs, s, NULL};
    const time_t start = time(NULL);
    const pid_t pid = fork();
    char text[8192];
    int status;

    if (pid == 0) {
        snprintf(text, sizeof text, "%s/", set->work);
        make_folders(text);
        snprintf(text, sizeof text, "%d/mutant.o", j.number);
        compile(set, &j, text);
        snprintf(text, sizeof text, "cp %s/%d/mutant.o %s/original.o", set->work, j.number, set->work);
        run_shell(text, NOT_BUILT);
        run_checks(set, &j);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != SURVIVED) {
        printf("%s: without a change it does not build or pass its checks\n", s->path);
        exit(2);
    }
    limit = SECONDS + 5 * (int)(time(NULL) - start);
}

static void run_all(const settings *set, const source *sources, mutants *found, int n, score *sc)
{
    job jobs[MAX_JOBS] = {{0}};
    time_t start = time(NULL);
    pid_t pid;

    for (int f = 0; f < n; f++) {
        bool original = false;
        int running = 0;

        for (int i = 0; i <= found[f].n; i++) {
            const mutant *m = i < found[f].n ? &found[f].all[i] : NULL;

            if (m && is_equivalent(&sources[f], m)) {
                sc->equivalent++;
                continue;
            }
            if (m && is_listed(earlier, &sources[f], m)) {
                sc->done++;
                sc->caught++;
                continue;
            }
            for (; running == set->jobs || (!m && running > 0); running--)
                collect(set, jobs, sc, start);
            if (m && !original)
                try_original(set, &sources[f]);
            original = true;
            for (int j = 0; m && j < set->jobs; j++) {
                if (jobs[j].pid)
                    continue;
                jobs[j] = (job){0, j, &sources[f], m};
                fflush(stdout);
                pid = fork();
                if (pid == 0)
                    run_mutant(set, &jobs[j]);
                jobs[j].pid = pid;
                running++;
                break;
            }
        }
    }
}

/* --- the program ---------------------------------------------------------------------------------- */

static char *read_text(const char *path)
{
    FILE *in = fopen(path, "rb");
    char *text = must_resize(NULL, 1);
    size_t n = 0, got;

    if (!in) {
        perror(path);
        exit(2);
    }
    do {
        text = must_resize(text, n + 4097);
        got = fread(text + n, 1, 4096, in);
        n += got;
    } while (got > 0);
    text[n] = 0;
    fclose(in);
    return text;
}

static const char *next_line(const char *at)
{
    at += strcspn(at, "\n");
    return at + (*at == '\n');
}

/* Reads the file that a line of the reviewed list begins with, and its mutants, unless it is there. False if
 * there is none. */
static bool read_named(const char *top, const char *line, source *s, mutants *found)
{
    const size_t n = strcspn(line, ":\n");
    char name[4096];

    if (s->path && strlen(s->path) == n && memcmp(s->path, line, n) == 0)
        return true;
    free_mutants(found);
    source_free(s);
    snprintf(name, sizeof name, "%.*s=", (int)n, line); /* no ops asked for: as it stands */
    if (!source_read(s, top, name, ""))
        return false;
    for (int f = 0; f < s->n_functions; f++)
        make_mutants(s, f, found);
    return true;
}

/* Exits if lines of the reviewed list, but for its head and reasons, are no mutant. */
static void check_equivalents(const char *top)
{
    const char *line = strstr(equivalents, "\n\n");
    source s = {0};
    mutants found = {0};
    int stale = 0;

    for (; line && *line; line = next_line(line)) {
        const size_t n = strcspn(line, "\n");
        bool known = n == 0 || *line == ' ';
        if (!known && read_named(top, line, &s, &found))
            for (int m = 0; m < found.n && !known; m++) {
                char *key = mutant_key(&s, &found.all[m]);
                known = strlen(key) == n && memcmp(key, line, n) == 0;
                free(key);
            }
        if (!known)
            printf("no such mutant:\n%.*s\n", (int)n, line);
        stale += !known;
    }
    free_mutants(&found);
    source_free(&s);
    if (stale)
        exit(2);
}

static void usage(void)
{
    fputs("usage: mutate --top DIR --work DIR --cc CMD --flags FLAGS --link CMD --suite CMD --rest FILES\n"
          "              [--kernels FILE] [--equivalent FILE] [--jobs N] [--only WORD] [--done FILE] "
          "[--list] FILE...\n", stderr);
    exit(2);
}

static int read_options(settings *set, int argc, char **argv)
{
    int i;

    for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        struct { const char *name, **value; } text[] = {
            {"--top", &set->top},   {"--work", &set->work},       {"--cc", &set->cc},
            {"--flags", &set->flags}, {"--link", &set->link},     {"--suite", &set->suite},
            {"--rest", &set->rest}, {"--kernels", &set->kernels}, {"--equivalent", &set->equivalent},
            {"--only", &set->only}, {"--done", &set->done}};
        size_t known = 0;

        if (strcmp(argv[i], "--list") == 0) {
            set->list = true;
            continue;
        }
        if (i + 1 == argc)
            usage();
        if (strcmp(argv[i], "--jobs") == 0) {
            set->jobs = atoi(argv[++i]);
            continue;
        }
        while (known < sizeof text / sizeof *text && strcmp(argv[i], text[known].name) != 0)
            known++;
        if (known == sizeof text / sizeof *text)
            usage();
        *text[known].value = argv[++i];
    }
    if (i == argc || set->jobs < 1 || set->jobs > MAX_JOBS ||
        (!set->list && (!set->work || !set->link || !set->suite)))
        usage();
    return i;
}

static bool is_wanted(const source *s, int f)
{
    const function *fn = &s->functions[f];

    if (strchr(s->given, '@'))
        return token_is(s, fn->first, "{");
    if (s->given[0])
        return fn->named_so || (token_is(s, fn->first, "{") && strstr(s->path, "bwd"));
    return fn->backward && !fn->forward;
}

static void keep_only(const source *s, mutants *found, const char *word)
{
    int kept = 0;

    for (int i = 0; i < found->n; i++) {
        char *key = mutant_key(s, &found->all[i]);

        if (!word || strstr(key, word))
            found->all[kept++] = found->all[i];
        else
            free(found->all[i].with);
        free(key);
    }
    found->n = kept;
}

int main(int argc, char **argv)
{
    settings set = {.top = ".", .cc = "cc", .flags = "", .rest = "", .kernels = "", .jobs = 2};
    int first = read_options(&set, argc, argv), n = argc - first;
    source *sources = must_resize(NULL, (size_t)n * sizeof *sources);
    mutants *found = must_resize(NULL, (size_t)n * sizeof *found);
    score sc = {0};
    char preprocess[4096];

    snprintf(preprocess, sizeof preprocess, "%s %s -E", set.cc, set.flags);
    if (set.equivalent) {
        equivalents = read_text(set.equivalent);
        check_equivalents(set.top);
    }
    if (set.done) {
        done = fopen(set.done, "a+");
        earlier = done ? read_text(set.done) : NULL;
    }
    if (set.done && !done) {
        perror(set.done);
        return 2;
    }
    memset(found, 0, (size_t)n * sizeof *found);
    for (int i = 0; i < n; i++) {
        if (!source_read(&sources[i], set.top, argv[first + i], preprocess))
            return 2;
        for (int f = 0; f < sources[i].n_functions; f++)
            if (is_wanted(&sources[i], f))
                make_mutants(&sources[i], f, &found[i]);
        keep_only(&sources[i], &found[i], set.only);
        for (int m = 0; m < found[i].n; m++) {
            char *key = mutant_key(&sources[i], &found[i].all[m]);

            sc.total += !is_equivalent(&sources[i], &found[i].all[m]);
            if (set.list)
                puts(key);
            free(key);
        }
    }
    if (!set.list) {
        run_all(&set, sources, found, n, &sc);
        int judged = sc.caught + sc.survived;
        printf("\ncaught %d of %d mutants (%.1f %%); %d equivalent, %d compile to the same, %d do not compile\n",
               sc.caught, judged, judged ? 100.0 * sc.caught / judged : 100.0, sc.equivalent, sc.same,
               sc.not_built);
        if (100 * sc.caught < GOAL * judged)
            printf("the goal is %d %%\n", GOAL);
    }
    for (int i = 0; i < n; i++) {
        free_mutants(&found[i]);
        source_free(&sources[i]);
    }
    free(sources);
    free(found);
    free(equivalents);
    free(earlier);
    if (done)
        fclose(done);
    return 100 * sc.caught >= GOAL * (sc.caught + sc.survived) ? 0 : 1;
}
