/* report.html: see report.h. The page grows in a buffer and is written as a whole. */
#include "config.h"

#include "examples/common/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/markup.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/number.h"

enum { MOST_BRIEF = 16 }; /* bytes of a cell */

struct et_report {
    et_strbuf html;
    et_status status; /* the first failure */
    bool open;        /* a section is open */
    bool ended;
    bool listens;     /* a figure needs the script */
};

static const char style[] =
    "*{box-sizing:border-box}\n"
    "html{background:var(--paper);color:var(--ink);color-scheme:light dark;-webkit-text-size-adjust:100%}\n"
    "body{font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;margin:0 auto;"
    "max-width:860px;padding:32px 20px 64px}\n"
    "h1{font-size:1.75rem;line-height:1.2;margin:0 0 .3em}\n"
    "h2{font-size:1.2rem;margin:2.4em 0 .7em;padding-bottom:.3em;border-bottom:1px solid var(--grid)}\n"
    ".lead{color:var(--soft);margin:0 0 1.5em}\n"
    "p{margin:.8em 0;max-width:70ch}\n"
    "figure{margin:1.4em 0;overflow-x:auto}\n"
    "figure>.e{min-width:440px;max-width:760px}\n"
    "figure>img{max-width:100%;height:auto}\n"
    "figcaption,caption{color:var(--soft);font-size:.875rem;text-align:left}\n"
    "figcaption{margin-top:.6em;max-width:70ch}caption{padding:0 0 .5em}\n"
    ".keys{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:1.4em 0;"
    "padding:0}\n"
    ".keys>div{border:1px solid var(--grid);border-radius:8px;padding:12px 14px}\n"
    ".keys dt{color:var(--soft);font-size:.875rem}\n"
    ".keys dd{margin:0;font-size:1.6rem;line-height:1.3;font-weight:600;font-variant-numeric:tabular-nums}\n"
    ".keys .note{font-size:.8125rem;font-weight:400;color:var(--soft)}\n"
    ".wide{overflow-x:auto;margin:1.4em 0}\n"
    "table{border-collapse:collapse;font-size:.9375rem;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.35em .9em .35em 0;text-align:left;border-bottom:1px solid "
    "var(--grid);vertical-align:top}\nth{color:var(--soft);font-weight:600}\n"
    ".n{text-align:right}.s{white-space:nowrap}\n"
    "pre{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans "
    "Mono',monospace;overflow-x:auto;border:1px solid var(--grid);border-radius:8px;padding:12px 14px}\n"
    "figure.listen svg{display:block;cursor:crosshair}figure.listen audio{margin:.6em 0}\n"
    "audio{width:100%;max-width:480px;display:block}\n"
    "@media print{html{background:#fff}body{max-width:none;padding:0;font-size:11pt}"
    "figure,.keys>div,tr{break-inside:avoid}h2{break-after:avoid}figure,.wide{overflow:visible}"
    "pre{white-space:pre-wrap}audio{display:none}}\n";

/* True if the page can still be added to. */
static bool ready(et_report *r)
{
    return r && r->status == ET_OK && !r->ended;
}

/* Notes the first failure: of `status`, or of the text's memory. */
static void settle(et_report *r, et_status status)
{
    if (r->status == ET_OK)
        r->status = status != ET_OK ? status : r->html.failed ? ET_ENOMEM : ET_OK;
}

et_report *et_report_new(const char *title, const char *lead)
{
    et_report *r = et_alloc_zero(1, sizeof *r);

    if (!r)
        return NULL;
    et_strbuf_puts(&r->html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                             "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    et_markup_escape(&r->html, title);
    et_strbuf_puts(&r->html, "</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n");
    et_strbuf_puts(&r->html, et_svg_css());
    et_strbuf_puts(&r->html, style);
    et_strbuf_puts(&r->html, "</style>\n</head>\n<body>\n<header>\n<h1>");
    et_markup_escape(&r->html, title);
    et_strbuf_puts(&r->html, "</h1>\n");
    if (lead) {
        et_strbuf_puts(&r->html, "<p class=\"lead\">");
        et_markup_escape(&r->html, lead);
        et_strbuf_puts(&r->html, "</p>\n");
    }
    et_strbuf_puts(&r->html, "</header>\n<main>\n");
    settle(r, ET_OK);
    return r;
}

void et_report_free(et_report *r)
{
    if (!r)
        return;
    et_strbuf_free(&r->html);
    et_dealloc(r);
}

/* <tag>text</tag> */
static void element(et_report *r, const char *open, const char *text, const char *close)
{
    et_strbuf_puts(&r->html, open);
    et_markup_escape(&r->html, text);
    et_strbuf_puts(&r->html, close);
}

void et_report_section(et_report *r, const char *heading)
{
    if (!ready(r))
        return;
    if (r->open)
        et_strbuf_puts(&r->html, "</section>\n");
    element(r, "<section>\n<h2>", heading, "</h2>\n");
    r->open = true;
    settle(r, ET_OK);
}

void et_report_text(et_report *r, const char *fmt, ...)
{
    va_list args, again;
    char *text;
    int n;

    if (!ready(r))
        return;
    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    text = n >= 0 ? et_alloc((size_t)n + 1) : NULL;
    if (text) {
        vsnprintf(text, (size_t)n + 1, fmt, again);
        element(r, "<p>", text, "</p>\n");
    }
    va_end(again);
    settle(r, text ? ET_OK : n < 0 ? et_raise(ET_EINVAL, "report: a text that cannot be formatted")
                                   : ET_ENOMEM);
    et_dealloc(text);
}

void et_report_code(et_report *r, const char *text)
{
    if (!ready(r))
        return;
    element(r, "<pre>", text, "</pre>\n");
    settle(r, ET_OK);
}

void et_report_keys(et_report *r, const et_key *keys, int n)
{
    if (!ready(r))
        return;
    et_strbuf_puts(&r->html, "<dl class=\"keys\">\n");
    for (int i = 0; i < n; i++) {
        element(r, "<div><dt>", keys[i].name, "</dt>");
        element(r, "<dd>", keys[i].value, "</dd>");
        if (keys[i].note)
            element(r, "<dd class=\"note\">", keys[i].note, "</dd>");
        et_strbuf_puts(&r->html, "</div>\n");
    }
    et_strbuf_puts(&r->html, "</dl>\n");
    settle(r, ET_OK);
}

/* --- tables ------------------------------------------------------------------------- */

/* Whether every cell of the column is empty, a dash, or begins with a number and goes on with what may
 * stand behind one ("0.83", "12.5 %", "0.62 ± 0.01"). */
static bool numeric(const char *const *cells, int rows, int cols, int col)
{
    bool any = false;

    for (int i = 0; i < rows; i++) {
        const char *s = cells[i * cols + col];
        size_t n;

        if (!s || !s[0] || strcmp(s, "-") == 0 || strcmp(s, "\xE2\x80\x93") == 0)
            continue;
        s += *s == '-' || *s == '+';
        n = strspn(s, "0123456789.,e");
        if (n == 0 || s[0] < '0' || s[0] > '9' || strspn(s + n, " %\xC2\xB1/+-.0123456789:") != strlen(s + n))
            return false;
        any = true;
    }
    return any;
}

/* Whether no cell of a column is longer than a name: such are not broken into lines. */
static bool brief(const char *const *cells, int rows, int cols, int col)
{
    for (int i = 0; i < rows; i++)
        if (cells[i * cols + col] && strlen(cells[i * cols + col]) > MOST_BRIEF)
            return false;
    return true;
}

static void caption_of(et_report *r, const char *tag, const char *caption)
{
    if (!caption)
        return;
    et_strbuf_printf(&r->html, "<%s>", tag);
    et_markup_escape(&r->html, caption);
    et_strbuf_printf(&r->html, "</%s>\n", tag);
}

void et_report_table(et_report *r, const char *caption, int cols, const char *const *header, int rows,
                     const char *const *cells)
{
    if (!ready(r))
        return;
    et_strbuf_puts(&r->html, "<div class=\"wide\"><table>\n");
    caption_of(r, "caption", caption);
    if (header) {
        et_strbuf_puts(&r->html, "<thead><tr>");
        for (int c = 0; c < cols; c++)
            element(r, numeric(cells, rows, cols, c) ? "<th scope=\"col\" class=\"n\">"
                                                     : "<th scope=\"col\">", header[c],
                    "</th>");
        et_strbuf_puts(&r->html, "</tr></thead>\n");
    }
    et_strbuf_puts(&r->html, "<tbody>\n");
    for (int i = 0; i < rows; i++) {
        et_strbuf_puts(&r->html, "<tr>");
        for (int c = 0; c < cols; c++)
            element(r, numeric(cells, rows, cols, c)  ? "<td class=\"n\">"
                       : brief(cells, rows, cols, c) ? "<td class=\"s\">"
                                                     : "<td>",
                    cells[i * cols + c], "</td>");
        et_strbuf_puts(&r->html, "</tr>\n");
    }
    et_strbuf_puts(&r->html, "</tbody></table></div>\n");
    settle(r, ET_OK);
}

void et_report_object(et_report *r, const char *caption, const et_json_value *object)
{
    char number[ET_NUMBER_TEXT];

    if (!ready(r) || !object)
        return;
    et_strbuf_puts(&r->html, "<div class=\"wide\"><table>\n");
    caption_of(r, "caption", caption);
    et_strbuf_puts(&r->html, "<tbody>\n");
    for (const et_json_value *v = object->first; v; v = v->next) {
        element(r, "<tr><th scope=\"row\">", v->key ? v->key : "", "</th>");
        element(r, "<td>",
                v->type == ET_JSON_STRING   ? v->string
                : v->type == ET_JSON_NUMBER ? et_format_double(number, v->number)
                : v->type == ET_JSON_BOOL   ? v->boolean ? "yes" : "no"
                : v->type == ET_JSON_NULL   ? "\xE2\x80\x93"
                                            : "\xE2\x80\xA6",
                "</td></tr>\n");
    }
    et_strbuf_puts(&r->html, "</tbody></table></div>\n");
    settle(r, ET_OK);
}

/* What a missing picture or sound means: the error that its maker left, or a mistake. */
static et_status missing(const char *what)
{
    return et_error_status() != ET_OK ? et_error_status() : et_raise(ET_EINVAL, "report: no %s", what);
}

/* --- figures ------------------------------------------------------------------------ */

static void end_figure(et_report *r, const char *caption, et_status status)
{
    caption_of(r, "figcaption", caption);
    et_strbuf_puts(&r->html, "</figure>\n");
    settle(r, status);
}

static bool begin_figure(et_report *r)
{
    if (!ready(r))
        return false;
    et_strbuf_puts(&r->html, "<figure>\n");
    return true;
}

void et_report_lines(et_report *r, const et_chart *chart, const char *caption)
{
    if (begin_figure(r))
        end_figure(r, caption, et_svg_lines(&r->html, chart));
}

void et_report_bars(et_report *r, const et_bars *bars, const char *caption)
{
    if (begin_figure(r))
        end_figure(r, caption, et_svg_bars(&r->html, bars));
}

void et_report_confusion(et_report *r, int k, const char *const *names, const int64_t *counts,
                         const int64_t *items, const char *caption)
{
    if (begin_figure(r))
        end_figure(r, caption, et_svg_confusion(&r->html, k, names, counts, items));
}

void et_report_heatmap(et_report *r, const et_heatmap *map, const char *caption)
{
    if (begin_figure(r))
        end_figure(r, caption, et_svg_heatmap(&r->html, map));
}

void et_report_svg(et_report *r, const char *svg, const char *caption)
{
    if (!begin_figure(r))
        return;
    if (svg)
        et_strbuf_puts(&r->html, svg);
    end_figure(r, caption, svg ? ET_OK : missing("picture"));
}

void et_report_png(et_report *r, const void *png, size_t size, const char *alt, const char *caption)
{
    if (!begin_figure(r))
        return;
    if (png) {
        element(r, "<img alt=\"", alt, "\" src=\"");
        et_markup_data_uri(&r->html, "image/png", png, size);
        et_strbuf_puts(&r->html, "\">\n");
    }
    end_figure(r, caption, png ? ET_OK : missing("picture"));
}

static void put_player(et_report *r, const void *wav, size_t size)
{
    et_strbuf_puts(&r->html, "<audio controls preload=\"metadata\" src=\"");
    et_markup_data_uri(&r->html, "audio/wav", wav, size);
    et_strbuf_puts(&r->html, "\"></audio>\n");
}

void et_report_audio(et_report *r, const void *wav, size_t size, const char *caption)
{
    if (!begin_figure(r))
        return;
    if (wav)
        put_player(r, wav, size);
    end_figure(r, caption, wav ? ET_OK : missing("sound"));
}

/* Moves the lines of a figure's pictures with its player. */
static const char listening[] =
    "<script>\n"
    "'use strict';\n"
    "for (const figure of document.querySelectorAll('figure.listen')) {\n"
    "  const audio = figure.querySelector('audio');\n"
    "  if (!audio) continue;\n"
    "  const lines = [...figure.querySelectorAll('.e-cursor')];\n"
    "  const place = () => {\n"
    "    for (const line of lines) {\n"
    "      const d = line.dataset, left = +d.left, right = +d.right;\n"
    "      const x = left + (right - left) * (audio.currentTime - d.from) / (d.to - d.from);\n"
    "      const inside = String(Math.min(Math.max(x, left), right));\n"
    "      line.setAttribute('x1', inside);\n"
    "      line.setAttribute('x2', inside);\n"
    "    }\n"
    "  };\n"
    "  const follow = () => {\n"
    "    place();\n"
    "    if (!audio.paused && !audio.ended) requestAnimationFrame(follow);\n"
    "  };\n"
    "  audio.addEventListener('play', () => {\n"
    "    for (const other of document.querySelectorAll('audio')) if (other !== audio) other.pause();\n"
    "    follow();\n"
    "  });\n"
    "  for (const event of ['timeupdate', 'seeked']) audio.addEventListener(event, place);\n"
    "  for (const line of lines) {\n"
    "    const picture = line.ownerSVGElement, d = line.dataset;\n"
    "    picture.addEventListener('click', event => {\n"
    "      const at = new DOMPoint(event.clientX, "
    "event.clientY).matrixTransform(picture.getScreenCTM().inverse());\n      const share = (at.x - d.left) "
    "/ (d.right - d.left);\n      if (share < 0 || share > 1) return;\n"
    "      audio.currentTime = +d.from + share * (d.to - d.from);\n"
    "      place();\n"
    "    });\n"
    "  }\n"
    "}\n"
    "</script>\n";

void et_report_listen(et_report *r, const et_heatmap *maps, int n, const void *wav, size_t size,
                      const char *caption)
{
    et_status status = ET_OK;

    if (!ready(r))
        return;
    et_strbuf_puts(&r->html, "<figure class=\"listen\">\n");
    for (int i = 0; i < n && status == ET_OK; i++) {
        et_heatmap map = maps[i];
        map.cursor = wav != NULL;
        status = et_svg_heatmap(&r->html, &map);
    }
    if (wav) {
        put_player(r, wav, size);
        r->listens = true;
    }
    end_figure(r, caption, status);
}

const char *et_report_html(et_report *r, size_t *size)
{
    if (!r)
        return NULL;
    if (!r->ended && r->status == ET_OK) {
        et_strbuf_printf(&r->html, "%s</main>\n%s</body>\n</html>\n", r->open ? "</section>\n" : "",
                         r->listens ? listening : "");
        r->ended = true;
        settle(r, ET_OK);
    }
    if (r->status != ET_OK)
        return NULL;
    if (size)
        *size = r->html.size;
    return r->html.data;
}

et_status et_report_write(et_report *r, const char *path)
{
    size_t size = 0;
    const char *html = et_report_html(r, &size);

    if (!html)
        return r ? r->status : et_raise(ET_ENOMEM, "report: out of memory");
    return et_file_write(path, html, size);
}
