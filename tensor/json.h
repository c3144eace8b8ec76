/* JSON (RFC 8259): a strict reader into a tree, and a writer.
 *
 * The reader takes one value and nothing after it: no comments, no trailing commas, no
 * duplicate keys, only valid UTF-8, at most ET_JSON_MAX_DEPTH levels. It does not
 * recurse. */
#ifndef ETUDE_TENSOR_JSON_H
#define ETUDE_TENSOR_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/strbuf.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_JSON_MAX_DEPTH = 128 };

typedef enum et_json_type {
    ET_JSON_NULL,
    ET_JSON_BOOL,
    ET_JSON_NUMBER,
    ET_JSON_STRING,
    ET_JSON_ARRAY,
    ET_JSON_OBJECT
} et_json_type;

typedef struct et_json et_json; /* a text that was read, and its values */

typedef struct et_json_value {
    et_json_type type;
    bool boolean;
    bool is_int; /* the number was written without point and exponent and fits int64 */
    double number;
    int64_t integer;    /* exact when is_int, else 0 */
    const char *string; /* UTF-8, a NUL after the end (and perhaps inside) */
    size_t length;
    struct et_json_value *first; /* elements or members in their order, along `next` */
    void **sorted;               /* of an object: the members by key */
    size_t count;
    size_t index;    /* its own place among its parent's elements or members */
    const char *key; /* of a member of an object, as `string`; else NULL */
    size_t key_length;
    struct et_json_value *next;
    struct et_json_value *parent;
} et_json_value;

/** Reads the size bytes at text; `what` (a path, say) stands in front of messages, which
 *  name line and column. Release with et_json_free. NULL and EFORMAT or ENOMEM. */
et_json *et_json_parse(const char *text, size_t size, const char *what);
/** Reads a file of at most `limit` bytes. */
et_json *et_json_read(const char *path, size_t limit);
/** The value that was read; valid until et_json_free. */
const et_json_value *et_json_root(const et_json *json);
void et_json_free(et_json *json);

/** Member of an object, NULL if it has none of that name or is no object. */
const et_json_value *et_json_get(const et_json_value *object, const char *key);
/** Member's content, or `otherwise` where it is absent or of another type. */
double et_json_get_number(const et_json_value *object, const char *key, double otherwise);
int64_t et_json_get_int(const et_json_value *object, const char *key, int64_t otherwise);
bool et_json_get_bool(const et_json_value *object, const char *key, bool otherwise);
const char *et_json_get_string(const et_json_value *object, const char *key, const char *otherwise);

/* --- writing ----------------------------------------------------------------------- */

/* Appends to a text: begin and end objects and arrays, name members with et_json_key,
 * and commas, colons and indentation come by themselves. The first mistake (a value
 * without key in an object, an end too many) or failed allocation sticks. */
typedef struct et_json_writer {
    et_strbuf *out;
    int indent; /* blanks a level; 0: all on one line */
    int depth;
    bool failed;
    bool has_key;                   /* a key was written, its value not yet */
    bool done;                      /* the outermost value is complete */
    bool object[ET_JSON_MAX_DEPTH]; /* what is open: object or array */
    bool filled[ET_JSON_MAX_DEPTH]; /* and whether something is in it */
} et_json_writer;

/** A writer that appends to `out`, which the caller owns. */
void et_json_begin(et_json_writer *w, et_strbuf *out, int indent);
/** Begins an object, in which keys and values take turns, or an array of values. */
void et_json_open_object(et_json_writer *w);
void et_json_open_array(et_json_writer *w);
/** Closes the innermost object or array. */
void et_json_close(et_json_writer *w);
/** The key of the object's next value. */
void et_json_key(et_json_writer *w, const char *key);
/** Bytes that are not UTF-8 become U+FFFD; a NULL string null. */
void et_json_string(et_json_writer *w, const char *s);
/** The shortest text that reads back the same double; null for NaN and infinities. */
void et_json_number(et_json_writer *w, double x);
void et_json_int(et_json_writer *w, int64_t i);
void et_json_bool(et_json_writer *w, bool b);
void et_json_null(et_json_writer *w);
/** Checks that one whole value was written. EINVAL after a mistake, ENOMEM. */
et_status et_json_end(et_json_writer *w);

/** Appends s (n bytes) as a JSON string, quotes and escapes included. */
bool et_json_escape(et_strbuf *out, const char *s, size_t n);
/** Length (1 to 4) of the valid UTF-8 sequence at s, 0 if the first bytes are none. */
int et_utf8_length(const char *s, size_t n);

#ifdef __cplusplus
}
#endif
#endif
