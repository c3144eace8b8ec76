/* Charts and report pages of the example programs: well-formed, self-contained, to scale,
 * and whole or not at all when memory runs out. */
#include "config.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/png.h"
#include "examples/common/report.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tests/alloc_sweep.h"
#include "tests/suite.h"

static void reset(void)
{
    et_error_clear();
}

/* --- well-formedness ----------------------------------------------------------------- */

/* Goes through markup: tags nest, attributes are quoted, references are known, and no
 * number is NaN. HTML's empty elements are allowed without a slash when `html`. */
static void well_formed(const char *s, bool html)
{
    char stack[32][24];
    int depth = 0;

    while (*s) {
        if (strncmp(s, "<!DOCTYPE html>", 15) == 0) {
            s += 15;
        } else if (*s == '<') {
            bool close = s[1] == '/', empty = false;
            char name[24];
            int n = 0;

            for (s += close ? 2 : 1; isalnum((unsigned char)*s); s++) {
                ck_assert_int_lt(n, 23);
                name[n++] = *s;
            }
            name[n] = '\0';
            ck_assert_int_gt(n, 0);
            while (*s != '>' && !empty) {
                if (close || *s == '/') {
                    ck_assert_msg(!close && s[1] == '>', "bad end of <%s", name);
                    empty = true;
                    s++;
                    continue;
                }
                ck_assert_msg(*s == ' ', "no blank in <%s: %.20s", name, s);
                for (s++; *s == '-' || *s == ':' || isalnum((unsigned char)*s); s++)
                    ;
                if (*s != '=') { /* an attribute without value: HTML only */
                    ck_assert(html);
                    continue;
                }
                ck_assert(s[1] == '"');
                for (s += 2; *s != '"'; s++) {
                    ck_assert_msg(*s && *s != '<', "unquoted < in an attribute of %s", name);
                    ck_assert_msg(strncmp(s, "nan", 3) != 0 || isalpha((unsigned char)s[-1]), "NaN in <%s",
                                  name);
                    ck_assert_msg(strncmp(s, "inf", 3) != 0 || isalpha((unsigned char)s[-1]),
                                  "infinity in <%s", name);
                }
                s++;
            }
            s++;
            if (html && (!strcmp(name, "meta") || !strcmp(name, "link") || !strcmp(name, "img")))
                empty = true;
            if (close) {
                ck_assert_int_gt(depth, 0);
                ck_assert_str_eq(stack[--depth], name);
            } else if (!empty) {
                ck_assert_int_lt(depth, 32);
                memcpy(stack[depth++], name, sizeof name);
            }
        } else if (*s == '&') {
            static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
            bool found = false;

            for (int i = 0; i < 5; i++)
                found = found || strncmp(s, known[i], strlen(known[i])) == 0;
            ck_assert_msg(found, "unknown reference %.10s", s);
            s++;
        } else {
            ck_assert_msg(*s != '>' || (depth && !strcmp(stack[depth - 1], "style")), "a bare > at %.20s",
                          s - 10);
            s++;
        }
    }
    ck_assert_int_eq(depth, 0);
}

static const char *const nasty[] = {"<b>\"'&", "caf\xC3\xA9", "\xFF", "",
                                    "a very long name that does not fit in anywhere at all"};

/* Calls each chart with hard data; the texts are appended to out. */
static void all_charts(et_strbuf *out)
{
    double huge[3] = {1e300, -1e300, 0}, tiny[3] = {1e-300, 2e-300, 3e-300}, none[2] = {NAN, INFINITY},
           one[1] = {5}, flat[4] = {2, 2, 2, 2}, hole[5] = {1, NAN, 3, -INFINITY, 5}, xs[5] = {5, 4, 3, 2, 1},
           many[7000];
    float m[24];
    int64_t counts[25];

    for (int i = 0; i < 7000; i++)
        many[i] = sin(i / 100.0);
    for (int i = 0; i < 24; i++)
        m[i] = (float)(i % 7);
    for (int i = 0; i < 25; i++)
        counts[i] = i % 4 ? 0 : i * 1000000007LL;
    const et_series series[] = {{nasty[0], 3, NULL, huge, false}, {nasty[1], 3, NULL, tiny, false},
                                {nasty[2], 2, NULL, none, false}, {nasty[3], 1, NULL, one, false},
                                {nasty[4], 4, NULL, flat, false}, {NULL, 5, xs, hole, false},
                                {"points", 5, xs, hole, true},    {"many", 7000, NULL, many, false},
                                {"empty", 0, NULL, NULL, false}};

    for (int i = 0; i < 9; i++)
        for (int j = i; j <= 9; j++) {
            const et_mark marks[2] = {{2, nasty[0]}, {3, nasty[1]}};
            et_chart c = {.what = nasty[i % 5], .x_label = nasty[j % 5], .y_label = nasty[0],
                          .series = series + i, .n_series = j - i, .marks = marks, .n_marks = j % 3};

            if (j > i)
                ck_assert_int_eq(et_svg_lines(out, &c), ET_OK);
            c.x_min = 2;
            c.x_max = 3;
            c.y_max = 1;
            if (j > i)
                ck_assert_int_eq(et_svg_lines(out, &c), ET_OK);
        }
    for (int k = 1; k <= 5; k++) {
        et_bar bar[5] = {{nasty[0], 1e9, 0, 0}, {nasty[1], -3, 2, 7}, {nasty[2], NAN, 0, -1},
                         {nasty[3], 0, 0, 2},
                         {nasty[4], 0.5, NAN, 3}};
        et_bars b = {.what = nasty[0], .label = nasty[0], .bars = bar + 5 - k, .n_bars = k, .mark = nasty[0],
                     .mark_at = k == 3 ? NAN : 0.3, .decimals = k};

        ck_assert_int_eq(et_svg_bars(out, &b), ET_OK);
        ck_assert_int_eq(et_svg_confusion(out, k, nasty, counts, NULL), ET_OK);
    }
    for (int k = 0; k < 16; k++) {
        et_span spans[] = {{0, 1, nasty[0]}, {-5, 99, NULL}, {3, 2, "x"}, {NAN, 1, "n"}};
        et_heatmap h = {.what = nasty[0], .x_label = nasty[0], .y_label = k & 1 ? nasty[1] : NULL,
                        .value_label = nasty[0], .rows = k & 2 ? 4 : 1, .cols = 5, .data = m,
                        .row_names = k & 4 ? nasty : NULL, .col_names = k & 8 ? nasty : NULL,
                        .curves = series, .n_curves = k % 5, .curve_label = nasty[0], .spans = spans,
                        .n_spans = k % 3 ? 4 : 0, .map = (et_colormap)(k % 4), .smooth = k & 1};

        ck_assert_int_eq(et_svg_heatmap(out, &h), ET_OK);
    }
}

START_TEST(charts_are_well_formed)
{
    et_strbuf b = ET_STRBUF_INIT, c = ET_STRBUF_INIT;

    all_charts(&b);
    ck_assert(!b.failed);
    well_formed(b.data, false);
    all_charts(&c);
    ck_assert_str_eq(b.data, c.data);
    et_strbuf_free(&b);
    et_strbuf_free(&c);
}
END_TEST

static int count(const char *text, const char *word)
{
    int n = 0;

    for (const char *s = text; (s = strstr(s, word)); s++)
        n++;
    return n;
}

/* Clouds of points are told apart by their form where the colours come again: of 13, six are circles, six
 * squares, one diamonds, in the chart and in its legend. */
START_TEST(clouds_differ)
{
    enum { CLOUDS = 13 };
    const double y[1] = {1};
    et_series series[CLOUDS];
    et_strbuf b = ET_STRBUF_INIT;

    for (int i = 0; i < CLOUDS; i++)
        series[i] = (et_series){.name = "a", .n = 1, .y = y, .points = true};
    ck_assert_int_eq(et_svg_lines(&b, &(et_chart){.series = series, .n_series = CLOUDS}), ET_OK);
    well_formed(b.data, false);
    ck_assert_int_eq(count(b.data, "<circle"), 2 * 6);
    ck_assert_int_eq(count(b.data, "h7v7h-7z\""), 6);
    ck_assert_int_eq(count(b.data, "h8v8h-8z\""), 6);
    ck_assert_int_eq(count(b.data, "l3.5 3.5l-3.5 3.5l-3.5 -3.5z\""), 1);
    ck_assert_int_eq(count(b.data, "l4 4l-4 4l-4 -4z\""), 1);
    et_strbuf_free(&b);
}
END_TEST

/* Number in the first attribute of that name after `from`. */
static double attribute(const char *from, const char *name)
{
    char key[16];

    snprintf(key, sizeof key, " %s=\"", name);
    from = strstr(from, key);
    ck_assert_ptr_nonnull(from);
    return atof(from + strlen(key));
}

START_TEST(line_is_where_it_belongs)
{
    double y[3] = {0, 1, 0.5};
    et_series s = {"a", 3, NULL, y, false};
    et_chart c = {.series = &s, .n_series = 1, .y_min = 0, .y_max = 1};
    et_strbuf b = ET_STRBUF_INIT;
    const char *path, *p;
    double x[3], v[3];

    ck_assert_int_eq(et_svg_lines(&b, &c), ET_OK);
    path = strstr(b.data, " d=\"");
    ck_assert_ptr_nonnull(path);
    p = path + 4;
    for (int i = 0; i < 3; i++) {
        ck_assert(*p == (i ? 'L' : 'M'));
        x[i] = strtod(p + 1, (char **)&p);
        v[i] = strtod(p, (char **)&p);
    }
    ck_assert(fabs(x[1] - (x[0] + x[2]) / 2) < 0.11 && x[2] > x[0] + 400);
    ck_assert(v[0] > v[1] + 200);                     /* upwards */
    ck_assert(fabs(v[2] - (v[0] + v[1]) / 2) < 0.11); /* one half is half way */
    et_strbuf_free(&b);
}
END_TEST

START_TEST(bars_are_to_scale)
{
    et_bar bar[2] = {{"a", 1, 0, 0}, {"b", 0.25, 0, 0}};
    et_bars d = {.bars = bar, .n_bars = 2, .decimals = 2};
    et_strbuf b = ET_STRBUF_INIT;
    const char *first, *second;

    ck_assert_int_eq(et_svg_bars(&b, &d), ET_OK);
    first = strstr(b.data, "e-f0");
    second = strstr(first + 4, "e-f0");
    ck_assert(fabs(attribute(second, "width") - attribute(first, "width") / 4) < 0.11);
    ck_assert_ptr_nonnull(strstr(b.data, ">1.00<"));
    ck_assert_ptr_nonnull(strstr(b.data, ">0.25<"));
    et_strbuf_free(&b);
}
END_TEST

/* A name of eight ideographs is 104 px wide; the bar begins to the right of it. */
START_TEST(wide_letters_have_room)
{
    et_bar bar = {
        "\xE4\xB8\xAD\xE5\x9B\xBD\xE4\xBC\xA0\xE7\xBB\x9F\xE6\xB0\x91\xE4\xB9\x90\xE5\x90\x88\xE5\xA5\x8F", 1,
        0, 0};
    et_strbuf b = ET_STRBUF_INIT;

    ck_assert_int_eq(et_svg_bars(&b, &(et_bars){.bars = &bar, .n_bars = 1}), ET_OK);
    ck_assert(attribute(strstr(b.data, "e-f0"), "x") > 104);
    et_strbuf_free(&b);
}
END_TEST

START_TEST(confusion_tells_its_shares)
{
    const char *names[] = {"jig", "reel"};
    const int64_t counts[] = {3, 1, 0, 5};
    et_strbuf b = ET_STRBUF_INIT;

    ck_assert_int_eq(et_svg_confusion(&b, 2, names, counts, NULL), ET_OK);
    ck_assert_ptr_nonnull(strstr(b.data, "jig taken for reel: 1 of 4 (25.0 %)"));
    ck_assert_ptr_nonnull(strstr(b.data, ">75%<"));
    ck_assert_ptr_nonnull(strstr(b.data, "reel taken for reel: 5 of 5 (100.0 %)"));
    et_strbuf_free(&b);
    /* Some have no answer. */
    ck_assert_int_eq(et_svg_confusion(&b, 2, names, counts, (const int64_t[]){4, 10}), ET_OK);
    ck_assert_ptr_nonnull(strstr(b.data, "jig taken for reel: 1 of 4 (25.0 %)"));
    ck_assert_ptr_nonnull(strstr(b.data, "reel taken for reel: 5 of 10 (50.0 %)"));
    ck_assert_ptr_nonnull(strstr(b.data, ">50%<"));
    et_strbuf_free(&b);
}
END_TEST

START_TEST(counts_have_no_fractions)
{
    const double y[3] = {8, 8, 7};
    const et_series s = {.n = 3, .y = y};

    for (int counts = 0; counts < 2; counts++) {
        et_strbuf b = ET_STRBUF_INIT;

        ck_assert_int_eq(et_svg_lines(&b, &(et_chart){.series = &s, .n_series = 1, .counts = counts}), ET_OK);
        ck_assert((strstr(b.data, ">7.2<") == NULL) == counts);
        ck_assert((strstr(b.data, ">7<") != NULL) == counts);
        et_strbuf_free(&b);
    }
}
END_TEST

/* Names of neighbouring spans stand beside each other; axes that count rows and columns have no fractions; a low
 * picture's scale has few numbers, and its name stays within. */
START_TEST(heatmap_can_be_read)
{
    static const float x[20 * 20];
    const et_span spans[] = {{12, 13, "1"}, {10, 11, "2"}, {2, 3, "3"}, {11, 12, "4"}, {11, 12, "5"}};
    et_strbuf b = ET_STRBUF_INIT;
    et_heatmap h = {.rows = 20, .cols = 20, .data = x, .spans = spans, .n_spans = 5};

    ck_assert_int_eq(et_svg_heatmap(&b, &h), ET_OK);
    ck_assert(strstr(b.data, ">3<") && strstr(b.data, ">2<") && strstr(b.data, ">4, 5<"));
    ck_assert_ptr_nonnull(strstr(b.data, ">15<"));
    ck_assert_ptr_null(strstr(b.data, ">2.5<"));
    et_strbuf_free(&b);
    h.cols = 400;
    h.rows = 1;
    ck_assert_int_eq(et_svg_heatmap(&b, &h), ET_OK);
    ck_assert(strstr(b.data, ">2, 4, 5, 1<") && strstr(b.data, ">3<"));
    et_strbuf_free(&b);

    const char *const names[2] = {"quiet", "loud"};
    h = (et_heatmap){.rows = 2, .cols = 20, .data = x, .hi = 1, .height = 36, .row_names = names,
                     .value_label = "contribution"};
    ck_assert_int_eq(et_svg_heatmap(&b, &h), ET_OK);
    ck_assert(strstr(b.data, ">0.5<") && !strstr(b.data, ">0.2<"));
    const char *label = strstr(b.data, ">contribution<");
    ck_assert_ptr_nonnull(label);
    while (*label != '<')
        label--;
    ck_assert(attribute(label, "y") > 30); /* it is turned, and about 60 long */
    et_strbuf_free(&b);
}
END_TEST

START_TEST(chart_misuse)
{
    et_strbuf b = ET_STRBUF_INIT;
    const char *names[] = {"a"};
    int64_t negative[] = {-1};
    et_series s = {"a", 3, NULL, NULL, false};
    float x[1] = {0};

#define wrong(call)                                    \
    do {                                               \
        et_error_clear();                              \
        ck_assert_int_eq((call), ET_EINVAL);           \
        ck_assert_int_eq(et_error_status(), ET_EINVAL); \
    } while (0)
    wrong(et_svg_lines(&b, &(et_chart){.n_series = 0}));
    wrong(et_svg_lines(&b, &(et_chart){.n_series = 1, .series = &s}));
    wrong(et_svg_bars(&b, &(et_bars){.n_bars = 0}));
    wrong(et_svg_confusion(&b, 0, names, negative, NULL));
    wrong(et_svg_confusion(&b, 1, NULL, negative, NULL));
    wrong(et_svg_confusion(&b, 1, names, negative, NULL));
    wrong(et_svg_heatmap(&b, &(et_heatmap){.rows = 0, .cols = 1, .data = x}));
    wrong(et_svg_heatmap(&b, &(et_heatmap){.rows = 1, .cols = 1, .data = NULL}));
    wrong(et_svg_heatmap(&b, &(et_heatmap){.rows = 1, .cols = 1, .data = x, .curves = &s, .n_curves = 1}));
    wrong(et_svg_heatmap(&b, &(et_heatmap){.rows = 1, .cols = 1, .data = x, .map = ET_N_CMAPS}));
    et_strbuf_free(&b);
}
END_TEST

/* --- the page ------------------------------------------------------------------------ */

static et_report *sample_report(void)
{
    et_report *r = et_report_new("A <title> & \"more\"", "lead");
    double y[3] = {3, 2, 1};
    float m[6] = {0, 1, 2, 3, 4, 5};
    et_series s = {"loss", 3, NULL, y, false};
    et_chart c = {.series = &s, .n_series = 1, .x_label = "epoch"};
    et_heatmap h = {.rows = 2, .cols = 3, .data = m};
    et_key keys[] = {{"accuracy", "0.9", "<note>"}, {"n", "3", NULL}};
    const char *header[] = {"name", "value", "words"},
               *cells[] = {"a<b", "1.5", "longer than a name", "c", "-2", "", "d", "", "short"};
    uint8_t grey[1] = {9}, *png;
    et_image image = {.width = 1, .height = 1, .pixels = grey};
    size_t size = 0;

    et_report_keys(r, keys, 2);
    et_report_section(r, "One & <only>");
    et_report_text(r, "%d < %s", 1, "<script>alert(1)</script>");
    et_report_lines(r, &c, "caption <1>");
    et_report_heatmap(r, &h, NULL);
    et_report_section(r, "Two");
    et_report_table(r, "table", 3, header, 3, cells);
    et_report_code(r, "x < y\n  z");
    png = r ? et_png_encode(&image, &size) : NULL;
    et_report_png(r, png, size, "a \"dot\"", "dot");
    et_report_audio(r, "RIFF", 4, "sound");
    h.overlay = (const float[]){0, 1, 0.5f};
    h.cursor = true;
    et_report_listen(r, &h, 1, NULL, 0, "silent");
    et_dealloc(png);
    return r;
}

START_TEST(report_is_well_formed_and_alone)
{
    et_report *r = sample_report(), *again = sample_report();
    size_t size = 0;
    const char *html = et_report_html(r, &size);

    ck_assert_ptr_nonnull(html);
    ck_assert_uint_eq(size, strlen(html));
    well_formed(html, true);
    ck_assert_str_eq(html, et_report_html(again, NULL));
    ck_assert_ptr_nonnull(strstr(html, "<p>1 &lt; &lt;script&gt;alert(1)&lt;/script&gt;</p>"));
    ck_assert_ptr_nonnull(strstr(html, "prefers-color-scheme:dark"));
    ck_assert_ptr_nonnull(strstr(html, "<td class=\"n\">1.5</td>"));
    ck_assert_ptr_nonnull(strstr(html, "<td class=\"s\">a&lt;b</td>"));
    ck_assert_ptr_nonnull(strstr(html, "<td>longer than a name</td>"));
    for (const char *s = html; (s = strstr(s, "src=\"")); s += 5)
        ck_assert_int_eq(strncmp(s, "src=\"data:", 10), 0);
    for (const char *s = html; (s = strstr(s, "href=\"")); s += 6)
        ck_assert_int_eq(strncmp(s, "href=\"data:", 11), 0);
    for (const char *s = html; (s = strstr(s, "http")); s += 4) /* only the name of SVG's namespace */
        ck_assert_int_eq(strncmp(s, "http://www.w3.org/2000/svg\"", 27), 0);
    ck_assert_ptr_null(strstr(html, "url("));
    ck_assert_ptr_null(strstr(html, "@import"));
    et_report_free(r);
    et_report_free(again);
}
END_TEST

/* Each picture has a line that knows its edges and their times;
 * the script stands once, behind all figures. */
START_TEST(pictures_that_follow_sound)
{
    const float x[6] = {0, 1, 2, 3, 4, 5};
    const et_heatmap maps[2] = {
        {.what = "one", .rows = 2, .cols = 3, .data = x, .x1 = 4, .left_room = 110, .right_room = 150},
        {.what = "two", .rows = 1, .cols = 6, .data = x, .x0 = 1, .x1 = 3.5, .left_room = 110,
         .right_room = 150}};
    et_report *r = et_report_new("Listen", NULL);

    et_report_listen(r, maps, 2, "RIFF", 4, "first");
    et_report_listen(r, maps, 1, "RIFF", 4, NULL);
    const char *html = et_report_html(r, NULL);
    ck_assert_ptr_nonnull(html);
    ck_assert_int_eq(count(html, "<line class=\"e-cursor\""), 3);
    ck_assert_int_eq(count(html, "<audio "), 2);
    ck_assert_int_eq(count(html, "<script>"), 1);
    ck_assert(strstr(html, "<script>") > strstr(html, "</main>"));
    ck_assert_int_eq(count(html, "data-left=\"110.0\" data-right=\"530.0\" data-from=\"0\" data-to=\"4\""),
                     2);
    ck_assert_int_eq(count(html, "data-left=\"110.0\" data-right=\"530.0\" data-from=\"1\" data-to=\"3.5\""),
                     1);
    et_report_free(r);
    r = et_report_new("Silence", NULL);
    et_report_listen(r, maps, 2, NULL, 0, NULL);
    html = et_report_html(r, NULL);
    ck_assert(count(html, "<line class=\"e-cursor\"") == 0 && count(html, "<script>") == 0 &&
              count(html, "<audio ") == 0);
    et_report_free(r);
}
END_TEST

START_TEST(report_keeps_the_first_error)
{
    et_report *r = et_report_new("t", NULL);
    et_chart wrong = {.n_series = 0};

    et_report_lines(r, &wrong, NULL);
    et_report_text(r, "more");
    ck_assert_ptr_null(et_report_html(r, NULL));
    ck_assert_int_eq(et_report_write(r, "/nonexistent/report.html"), ET_EINVAL);
    et_report_free(r);
    et_error_clear();
    r = et_report_new("t", NULL);
    ck_assert_int_eq(et_report_write(r, "/nonexistent/report.html"), ET_EIO);
    et_report_free(r);
    et_report_text(NULL, "nothing happens");
}
END_TEST

static bool make_report(void *user)
{
    et_report *r = sample_report();
    bool ok = et_report_html(r, NULL) != NULL;

    (void)user;
    if (!ok && et_error_status() == ET_OK)
        et_raise(ET_EINVAL, "a failure without a message");
    et_report_free(r);
    return ok;
}

START_TEST(memory_runs_out)
{
    ck_assert_int_gt(alloc_sweep("report", make_report, NULL), 10);
}
END_TEST

START_TEST(text_pictures)
{
    double y[8] = {0, 1, 2, 3, 4, 5, 6, 7}, none[2] = {NAN, NAN};
    float m[4] = {0, 0, 1, 1}; /* row 1, above row 0, is bright */
    et_strbuf b = ET_STRBUF_INIT;

    ck_assert_int_eq(et_text_spark(&b, 8, y, 8, false), ET_OK);
    ck_assert_uint_eq(b.size, 8);
    ck_assert(b.data[0] != b.data[7]);
    et_strbuf_reset(&b);
    ck_assert_int_eq(et_text_spark(&b, 8, y, 4, true), ET_OK);
    ck_assert_uint_eq(b.size, 12); /* four characters of three bytes */
    et_strbuf_reset(&b);
    ck_assert_int_eq(et_text_spark(&b, 2, none, 2, false), ET_OK);
    ck_assert_str_eq(b.data, "  ");
    et_strbuf_reset(&b);
    ck_assert_int_eq(et_text_matrix(&b, 2, 2, m, 2, 2, false), ET_OK);
    ck_assert_str_eq(b.data, "@@\n  \n");
    ck_assert_int_eq(et_text_spark(&b, 0, y, 4, true), ET_EINVAL);
    et_strbuf_free(&b);
}
END_TEST

/* Columns of a table are as wide in characters, not in bytes; nothing is cut within a character. */
START_TEST(text_columns)
{
    char text[64];
    FILE *f = tmpfile();

    ck_assert_ptr_nonnull(f);
    et_text_print(f, "\xC3\xA9t\n", 4);
    et_text_print_right(f, "\xC3\xA9t\x7F", 4);
    et_text_print_right(f, "\xC3\xA9\xC3\xA9\xC3\xA9", 2);
    et_text_print_right(f, "", 1);
    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    ck_assert_str_eq(text, "\xC3\xA9t?  \xC3\xA9t?\xC3\xA9\xC3\xA9 ");
    ck_assert_int_eq(et_text_cut("a\xC3\xA9", 9), 3);
    ck_assert_int_eq(et_text_cut("a\xC3\xA9", 3), 3);
    ck_assert_int_eq(et_text_cut("a\xC3\xA9", 2), 1);
    ck_assert_int_eq(et_text_cut("\xC3\xA9", 1), 0);
    ck_assert_int_eq(et_text_cut("", 5), 0);
    ck_assert_int_eq(et_text_cut("\xA0\xA0\xA0\xA0\xA0\xA0", 5), 5); /* no UTF-8 */
    char *names[] = {(char *)"a", (char *)"bc", (char *)"a longer one"};
    ck_assert_str_eq(et_text_list(text, 8, &(et_names){.n = 2, .items = names}), "a, bc");
    ck_assert_str_eq(et_text_list(text, 8, &(et_names){.n = 3, .items = names}), "a, ...");
    ck_assert_str_eq(et_text_list(text, 16, &(et_names){.n = 3, .items = names}), "a, bc, ...");
    ck_assert_str_eq(et_text_list(text, 8, &(et_names){.n = 1, .items = names + 2}), "...");
    ck_assert_str_eq(et_text_list(text, 8, &(et_names){.n = 0}), "");
    ck_assert_str_eq(et_plural(0), "s");
    ck_assert_str_eq(et_plural(1), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("examples_report");
    TCase *tc = tcase_create("report");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, reset, NULL);
    tcase_add_test(tc, charts_are_well_formed);
    tcase_add_test(tc, clouds_differ);
    tcase_add_test(tc, line_is_where_it_belongs);
    tcase_add_test(tc, bars_are_to_scale);
    tcase_add_test(tc, wide_letters_have_room);
    tcase_add_test(tc, confusion_tells_its_shares);
    tcase_add_test(tc, counts_have_no_fractions);
    tcase_add_test(tc, heatmap_can_be_read);
    tcase_add_test(tc, chart_misuse);
    tcase_add_test(tc, report_is_well_formed_and_alone);
    tcase_add_test(tc, pictures_that_follow_sound);
    tcase_add_test(tc, report_keeps_the_first_error);
    tcase_add_test(tc, memory_runs_out);
    tcase_add_test(tc, text_pictures);
    tcase_add_test(tc, text_columns);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
