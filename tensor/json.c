/* The JSON reader: one loop with the open containers linked through `parent`, values in
 * an arena that is released as a whole. */
#include "config.h"

#include "tensor/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/number.h"
#include "tensor/sort.h"

typedef struct block {
    struct block *next;
    size_t used, size;
    max_align_t memory[];
} block;

struct et_json {
    block *blocks;
    et_json_value *root;
};

typedef struct parser {
    et_json *json;
    const char *start, *at, *end;
    const char *what;
    et_json_value *open; /* innermost open container */
    et_json_value *last; /* its last member */
    int depth;
    bool failed;
} parser;

/* --- memory ------------------------------------------------------------------------ */

static void *take(et_json *json, size_t size)
{
    enum { SMALL = 4096, LARGE = 256 * 1024, UNIT = sizeof(max_align_t) };
    size_t rounded = (size + UNIT - 1) / UNIT * UNIT, capacity;
    block *b = json->blocks;
    void *p;

    if (!b || rounded > b->size - b->used) {
        capacity = !b ? SMALL : b->size < LARGE ? 2 * b->size : b->size;
        if (capacity < rounded)
            capacity = rounded;
        b = et_alloc(sizeof *b + capacity);
        if (!b)
            return NULL;
        b->size = capacity;
        b->used = 0;
        b->next = json->blocks;
        json->blocks = b;
    }
    p = (char *)b->memory + b->used;
    b->used += rounded;
    return p;
}

void et_json_free(et_json *json)
{
    block *b, *next;

    if (!json)
        return;
    for (b = json->blocks; b; b = next) {
        next = b->next;
        et_dealloc(b);
    }
    et_dealloc(json);
}

/* --- messages ------------------------------------------------------------------------ */

static bool fail(parser *p, const char *fmt, ...) ET_PRINTF(2, 3);

/* Raises EFORMAT with the place of p->at; returns false. */
static bool fail(parser *p, const char *fmt, ...)
{
    char text[256];
    const char *s, *line_start = p->start;
    size_t line = 1;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (s = p->start; s < p->at; s++)
        if (*s == '\n') {
            line++;
            line_start = s + 1;
        }
    et_raise(ET_EFORMAT, "%s: line %zu, column %zu: %s", p->what, line, (size_t)(p->at - line_start) + 1,
             text);
    p->failed = true;
    return false;
}

static bool out_of_memory(parser *p)
{
    p->failed = true;
    return false;
}

/* --- strings ------------------------------------------------------------------------- */

int et_utf8_length(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;

    if (n < 1)
        return 0;
    if (u[0] < 0x80)
        return 1;
    if (n < 2 || (u[1] & 0xC0) != 0x80)
        return 0;
    if (u[0] >= 0xC2 && u[0] <= 0xDF)
        return 2;
    if (n < 3 || (u[2] & 0xC0) != 0x80)
        return 0;
    if ((u[0] & 0xF0) == 0xE0)
        return (u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F) ? 0 : 3;
    if (n < 4 || (u[3] & 0xC0) != 0x80)
        return 0;
    if (u[0] >= 0xF0 && u[0] <= 0xF4)
        return (u[0] == 0xF0 && u[1] < 0x90) || (u[0] == 0xF4 && u[1] > 0x8F) ? 0 : 4;
    return 0;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

/* Four hexadecimal digits at p->at. */
static bool hex4(parser *p, uint32_t *out)
{
    uint32_t v = 0;
    int i;

    for (i = 0; i < 4; i++) {
        char c = p->at < p->end ? *p->at : 0;

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            v = v << 4 | (uint32_t)(c - 'A' + 10);
        else
            return fail(p, "\\u needs four hexadecimal digits");
        p->at++;
    }
    *out = v;
    return true;
}

/* The escape after a backslash. */
static bool escape(parser *p, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->end ? *p->at : 0;
    const char *known = c ? strchr(from, c) : NULL;
    uint32_t hi, lo;

    if (known) {
        *(*out)++ = to[known - from];
        p->at++;
        return true;
    }
    if (c != 'u')
        return fail(p, "unknown escape in a string");
    p->at++;
    if (!hex4(p, &hi))
        return false;
    if (hi >= 0xD800 && hi <= 0xDBFF) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
            return fail(p, "half a surrogate pair in a string");
        p->at += 2;
        if (!hex4(p, &lo))
            return false;
        if (lo < 0xDC00 || lo > 0xDFFF)
            return fail(p, "half a surrogate pair in a string");
        hi = 0x10000 + ((hi - 0xD800) << 10) + (lo - 0xDC00);
    } else if (hi >= 0xDC00 && hi <= 0xDFFF) {
        return fail(p, "half a surrogate pair in a string");
    }
    *out = put_utf8(*out, hi);
    return true;
}

/* The string whose opening quote is at p->at. */
static bool string(parser *p, const char **text, size_t *length)
{
    const char *close = ++p->at;
    char *out, *first;

    /* Find the end first: the content is never longer than its text. */
    while (close < p->end && *close != '"')
        close += *close == '\\' && close + 1 < p->end ? 2 : 1;
    if (close >= p->end) {
        p->at--;
        return fail(p, "a string that does not end");
    }
    out = first = take(p->json, (size_t)(close - p->at) + 1);
    if (!out)
        return out_of_memory(p);
    while (p->at < close) {
        if (*p->at == '\\') {
            p->at++;
            if (!escape(p, &out))
                return false;
        } else {
            int n = et_utf8_length(p->at, (size_t)(close - p->at));

            if (n == 0)
                return fail(p, "a string that is not UTF-8");
            if ((unsigned char)*p->at < 0x20)
                return fail(p, "a control character in a string");
            memcpy(out, p->at, (size_t)n);
            out += n;
            p->at += n;
        }
    }
    p->at = close + 1;
    *out = 0;
    *text = first;
    *length = (size_t)(out - first);
    return true;
}

/* --- numbers and words --------------------------------------------------------------- */

static bool digits(const char **s, const char *end)
{
    const char *from = *s;

    while (*s < end && **s >= '0' && **s <= '9')
        ++*s;
    return *s > from;
}

static bool number(parser *p, et_json_value *v)
{
    const char *s = p->at;
    bool whole = true, ok = true;

    if (*s == '-')
        s++;
    if (s < p->end && *s == '0')
        s++;
    else
        ok = digits(&s, p->end);
    if (ok && s < p->end && *s == '.') {
        whole = false;
        s++;
        ok = digits(&s, p->end);
    }
    if (ok && s < p->end && (*s == 'e' || *s == 'E')) {
        whole = false;
        s++;
        if (s < p->end && (*s == '+' || *s == '-'))
            s++;
        ok = digits(&s, p->end);
    }
    if (!ok)
        return fail(p, "a malformed number");
    if (!et_parse_double(p->at, (size_t)(s - p->at), &v->number))
        return fail(p, "a number of %zu characters", (size_t)(s - p->at));
    if (!isfinite(v->number))
        return fail(p, "a number too large for a double");
    v->type = ET_JSON_NUMBER;
    v->integer = 0;
    v->is_int = whole && et_parse_i64(p->at, (size_t)(s - p->at), &v->integer);
    p->at = s;
    return true;
}

static bool word(parser *p, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(p->end - p->at) < n || memcmp(p->at, text, n) != 0)
        return fail(p, "a value is expected");
    p->at += n;
    return true;
}

/* --- objects ------------------------------------------------------------------------- */

static int compare_keys(const et_json_value *a, const char *key, size_t n)
{
    int c = memcmp(a->key, key, a->key_length < n ? a->key_length : n);

    return c ? c : (a->key_length > n) - (a->key_length < n);
}

static int compare_members(const void *a, const void *b)
{
    const et_json_value *other = b;

    return compare_keys(a, other->key, other->key_length);
}

/* Sorts the members by key and looks for equal neighbours. */
static bool index_object(parser *p, et_json_value *object)
{
    const et_json_value *m;
    size_t n = object->count, i;
    void **v;

    object->sorted = v = take(p->json, n * sizeof *v);
    if (!v)
        return out_of_memory(p);
    for (m = object->first; m; m = m->next)
        v[m->index] = (void *)m;
    et_sort_pointers(v, n, compare_members);
    for (i = 1; i < n; i++)
        if (compare_members(v[i - 1], v[i]) == 0)
            return fail(p, "the key \"%.100s\" stands twice in one object",
                        ((const et_json_value *)v[i])->key);
    return true;
}

const et_json_value *et_json_get(const et_json_value *object, const char *key)
{
    size_t lo = 0, hi, mid, n;
    int c;

    if (!object || object->type != ET_JSON_OBJECT || !key)
        return NULL;
    n = strlen(key);
    for (hi = object->count; lo < hi;) {
        mid = lo + (hi - lo) / 2;
        c = compare_keys(object->sorted[mid], key, n);
        if (c == 0)
            return object->sorted[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* --- the loop -------------------------------------------------------------------------- */

static void blanks(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

static bool expect(parser *p, char c)
{
    blanks(p);
    if (p->at == p->end || *p->at != c)
        return fail(p, "'%c' is expected", c);
    p->at++;
    return true;
}

/* One value (of a container: its opening bracket alone), linked into the open container. */
static bool value(parser *p)
{
    et_json_value *v = take(p->json, sizeof *v);
    char c;

    if (!v)
        return out_of_memory(p);
    memset(v, 0, sizeof *v);
    v->parent = p->open;
    blanks(p);
    if (p->open && p->open->type == ET_JSON_OBJECT) {
        if (p->at == p->end || *p->at != '"')
            return fail(p, "a key in quotes is expected");
        if (!string(p, &v->key, &v->key_length) || !expect(p, ':'))
            return false;
        blanks(p);
    }
    if (p->at == p->end)
        return fail(p, "the text ends where a value is expected");
    if (!p->open)
        p->json->root = v;
    else if (p->last)
        p->last->next = v;
    else
        p->open->first = v;
    if (p->open)
        v->index = p->open->count++;
    p->last = v;
    c = *p->at;
    if (c == '{' || c == '[') {
        if (p->depth == ET_JSON_MAX_DEPTH)
            return fail(p, "more than %d levels", ET_JSON_MAX_DEPTH);
        v->type = c == '{' ? ET_JSON_OBJECT : ET_JSON_ARRAY;
        p->at++;
        p->depth++;
        p->open = v;
        p->last = NULL;
        return true;
    }
    if (c == '"') {
        v->type = ET_JSON_STRING;
        return string(p, &v->string, &v->length);
    }
    if (c == '-' || (c >= '0' && c <= '9'))
        return number(p, v);
    v->type = c == 'n' ? ET_JSON_NULL : ET_JSON_BOOL;
    v->boolean = c == 't';
    return word(p, c == 'n' ? "null" : c == 't' ? "true" : "false");
}

/* Closes the open container, whose closing bracket is at p->at. */
static bool close_container(parser *p)
{
    et_json_value *v = p->open;

    if (v->type == ET_JSON_OBJECT && !index_object(p, v))
        return false;
    p->at++;
    p->depth--;
    p->open = v->parent;
    p->last = v;
    return true;
}

static bool parse(parser *p)
{
    char closing;

    if (!value(p))
        return false;
    while (p->open) {
        closing = p->open->type == ET_JSON_OBJECT ? '}' : ']';
        blanks(p);
        if (p->at < p->end && *p->at == closing) {
            if (!close_container(p))
                return false;
            continue;
        }
        if (p->last && !expect(p, ','))
            return false;
        if (!value(p))
            return false;
    }
    blanks(p);
    return p->at == p->end || fail(p, "something follows the value");
}

et_json *et_json_parse(const char *text, size_t size, const char *what)
{
    parser p = {0};

    if (!text || !what) {
        et_raise(ET_EINVAL, "json: NULL argument");
        return NULL;
    }
    p.json = et_alloc_zero(1, sizeof *p.json);
    if (!p.json)
        return NULL;
    p.start = p.at = text;
    p.end = text + size;
    p.what = what;
    if (!parse(&p)) {
        et_json_free(p.json);
        return NULL;
    }
    return p.json;
}

et_json *et_json_read(const char *path, size_t limit)
{
    unsigned char *data;
    size_t size;
    et_json *json;

    if (et_file_read(path, limit, &data, &size) != ET_OK)
        return NULL;
    json = et_json_parse((const char *)data, size, path);
    et_dealloc(data);
    return json;
}

const et_json_value *et_json_root(const et_json *json) { return json ? json->root : NULL; }

double et_json_get_number(const et_json_value *object, const char *key, double otherwise)
{
    const et_json_value *v = et_json_get(object, key);

    return v && v->type == ET_JSON_NUMBER ? v->number : otherwise;
}

int64_t et_json_get_int(const et_json_value *object, const char *key, int64_t otherwise)
{
    const et_json_value *v = et_json_get(object, key);

    return v && v->type == ET_JSON_NUMBER && v->is_int ? v->integer : otherwise;
}

bool et_json_get_bool(const et_json_value *object, const char *key, bool otherwise)
{
    const et_json_value *v = et_json_get(object, key);

    return v && v->type == ET_JSON_BOOL ? v->boolean : otherwise;
}

const char *et_json_get_string(const et_json_value *object, const char *key, const char *otherwise)
{
    const et_json_value *v = et_json_get(object, key);

    return v && v->type == ET_JSON_STRING ? v->string : otherwise;
}
