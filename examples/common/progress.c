/* Progress, and what the terminal can show of it: see progress.h. */
#include "config.h"

#include "examples/common/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tensor/number.h"

enum { MIN_BAR = 8, MAX_BAR = 40, MIN_WIDTH = 20, MAX_WIDTH = 1000 };

static const double redraw_every = 0.1, line_every = 30.0;

/* --- the terminal ------------------------------------------------------------------- */

int et_terminal_width(FILE *out)
{
    const char *columns = getenv("COLUMNS");
    int64_t n = 0;

#ifdef TIOCGWINSZ
    struct winsize size;

    if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col < MIN_WIDTH ? MIN_WIDTH : size.ws_col < MAX_WIDTH ? size.ws_col : MAX_WIDTH;
#endif
    if (columns && et_parse_i64(columns, strlen(columns), &n) && n >= MIN_WIDTH)
        return n < MAX_WIDTH ? (int)n : MAX_WIDTH;
    return 80;
}

bool et_terminal_is(FILE *out)
{
    const char *term = getenv("TERM");

    return isatty(fileno(out)) && term && strcmp(term, "dumb") != 0;
}

bool et_terminal_colour(FILE *out)
{
    const char *no = getenv("NO_COLOR");

    return et_terminal_is(out) && !(no && no[0]);
}

bool et_terminal_unicode(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]), *dot;

        if (!value || !value[0])
            continue;
        dot = strchr(value, '.');
        return dot && (strncasecmp(dot + 1, "utf-8", 5) == 0 || strncasecmp(dot + 1, "utf8", 4) == 0);
    }
    return false;
}

double et_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

char *et_duration_text(char buf[ET_DURATION_TEXT], double seconds)
{
    double whole = floor(seconds + 0.5);

    if (!(seconds >= 0) || !(seconds < 360000000.0))
        snprintf(buf, ET_DURATION_TEXT, "?");
    else if (seconds < 59.95)
        snprintf(buf, ET_DURATION_TEXT, "%.1f s", seconds);
    else if (whole < 3600)
        snprintf(buf, ET_DURATION_TEXT, "%d:%02d", (int)(whole / 60), (int)fmod(whole, 60));
    else
        snprintf(buf, ET_DURATION_TEXT, "%d:%02d:%02d", (int)(whole / 3600), (int)(fmod(whole, 3600) / 60),
                 (int)fmod(whole, 60));
    return buf;
}

/* --- the bar ------------------------------------------------------------------------ */

void et_progress_begin(et_progress *p, FILE *out, int64_t total, const char *label_fmt, ...)
{
    va_list args;

    memset(p, 0, sizeof *p);
    p->out = out;
    p->total = total;
    p->terminal = et_terminal_is(out);
    p->colour = et_terminal_colour(out);
    p->unicode = et_terminal_unicode();
    p->now = et_seconds;
    p->began = p->now();
    va_start(args, label_fmt);
    vsnprintf(p->label, sizeof p->label, label_fmt, args);
    va_end(args);
}

static void rate_text(const et_progress *p, double seconds, char *buf, size_t size)
{
    double rate = seconds > 0 ? (double)p->done / seconds : 0;

    if (p->done <= 0 || seconds <= 0)
        buf[0] = '\0';
    else if (rate >= 9.95)
        snprintf(buf, size, "  %.0f/s", rate);
    else
        snprintf(buf, size, "  %.1f/s", rate);
}

/* The bar, `columns` wide, filled to `share`. */
static void put_bar(const et_progress *p, int columns, double share)
{
    int full = (int)(share * columns + 0.5);

    if (p->colour)
        fputs("\033[36m", p->out);
    for (int i = 0; i < columns; i++) {
        if (i == full && p->colour)
            fputs("\033[2m", p->out);
        fputs(p->unicode ? i < full ? "\xE2\x94\x81" : "\xE2\x94\x80" : i < full ? "#" : "-", p->out);
    }
    if (p->colour)
        fputs("\033[0m", p->out);
}

static void draw(et_progress *p)
{
    double seconds = p->now() - p->began, share = 0;
    int width = p->width > 0 ? p->width : et_terminal_width(p->out), left, bar;
    char rate[32], percent[16] = "", rest[ET_DURATION_TEXT + 16] = "", duration[ET_DURATION_TEXT];
    char tail[ET_PROGRESS_TEXT + 96];

    if (p->total > 0) {
        share = (double)p->done / (double)p->total;
        share = share < 0 ? 0 : share > 1 ? 1 : share;
        snprintf(percent, sizeof percent, " %3d%%", (int)(100 * share));
        if (share > 0 && seconds > 0.3)
            snprintf(rest, sizeof rest, "  %s left", et_duration_text(duration, seconds / share - seconds));
    }
    rate_text(p, seconds, rate, sizeof rate);
    snprintf(tail, sizeof tail, "%s%s%s%s%s", percent, rate, p->figures[0] ? "  " : "", p->figures, rest);
    left = width - 1 - (int)strlen(p->label); /* the last column stays free: no terminal wraps then */
    fputc('\r', p->out);
    if (left < 1) {
        fprintf(p->out, "%.*s", width - 1, p->label);
    } else {
        fputs(p->label, p->out);
        bar = left - 1 - (int)strlen(tail);
        if (p->total > 0 && bar >= MIN_BAR) {
            bar = bar < MAX_BAR ? bar : MAX_BAR;
            fputc(' ', p->out);
            put_bar(p, bar, share);
            left -= 1 + bar;
        }
        fprintf(p->out, "%.*s", left, tail);
    }
    fputs("\033[K", p->out);
    fflush(p->out);
    p->drawing = true;
}

static void erase(et_progress *p)
{
    if (p->drawing)
        fputs("\r\033[K", p->out);
    p->drawing = false;
}

/* The line that stays. */
static void put_line(et_progress *p, bool ended)
{
    double seconds = p->now() - p->began;
    char rate[32], duration[ET_DURATION_TEXT];

    rate_text(p, seconds, rate, sizeof rate);
    fputs(p->label, p->out);
    if (!ended && p->total > 0)
        fprintf(p->out, "  %d%%", (int)(100 * (double)p->done / (double)p->total));
    fprintf(p->out, "%s%s%s  %s\n", rate, p->figures[0] ? "  " : "", p->figures,
            et_duration_text(duration, seconds));
    fflush(p->out);
}

void et_progress_step(et_progress *p, int64_t done, const char *fmt, ...)
{
    double now = p->now(), since = now - (p->drawn > 0 ? p->drawn : p->began);
    va_list args;

    p->done = done;
    if (p->terminal ? p->drawn > 0 && since < redraw_every : since < line_every)
        return;
    va_start(args, fmt);
    vsnprintf(p->figures, sizeof p->figures, fmt, args);
    va_end(args);
    p->drawn = now;
    if (p->terminal)
        draw(p);
    else
        put_line(p, false);
}

void et_progress_end(et_progress *p, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(p->figures, sizeof p->figures, fmt, args);
    va_end(args);
    erase(p);
    put_line(p, true);
}

void et_progress_note(et_progress *p, const char *fmt, ...)
{
    bool was = p->drawing;
    va_list args;

    erase(p);
    va_start(args, fmt);
    vfprintf(p->out, fmt, args);
    va_end(args);
    fputc('\n', p->out);
    fflush(p->out);
    if (was)
        draw(p);
}

void et_progress_drop(et_progress *p)
{
    erase(p);
    fflush(p->out);
}
