/* Making a collection item by item. */
#include "config.h"

#include "datasets/corpora_build.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "datasets/folder.h"
#include "tensor/alloc.h"
#include "tensor/sort.h"

void et_build_begin(et_build *b, const char *name)
{
    memset(b, 0, sizeof *b);
    b->c = et_collection_new(name);
    b->classes = et_vocabulary_new();
    b->tags = et_vocabulary_new();
    b->groups = et_vocabulary_new();
    if (!b->c || !b->classes || !b->tags || !b->groups)
        b->status = et_error_status();
}

static void note(et_build *b, et_status status)
{
    if (b->status == ET_OK)
        b->status = status;
}

void et_build_item(et_build *b, const char *name, const char *file)
{
    if (b->status < 0)
        return;
    if (b->c->captions.n > 0 && b->c->captions.n < b->c->names.n)
        note(b, et_names_add(&b->c->captions, ""));
    note(b, et_names_add(&b->c->names, name));
    note(b, et_names_add(&b->c->files, file ? file : ""));
    note(b, et_tokens_add(&b->y, -1));
    note(b, et_tokens_add(&b->group, -1));
    note(b, et_tokens_add(&b->split, -1));
    b->sound |= file != NULL;
}

/* Number of a name in v for the last item of `of`. */
static void set(et_build *b, et_tokens *of, et_vocabulary *v, const char *name, size_t n)
{
    int32_t id;

    if (b->status < 0 || n == 0)
        return;
    if ((id = et_vocabulary_add(v, name, n)) < 0)
        b->status = et_error_status();
    else
        of->ids[of->n - 1] = id;
}

void et_build_class(et_build *b, const char *name) { set(b, &b->y, b->classes, name, strlen(name)); }
void et_build_group(et_build *b, const char *name, size_t n) { set(b, &b->group, b->groups, name, n); }

void et_build_split(et_build *b, const char *name)
{
    int64_t which;

    if (b->status < 0 || name[0] == '\0')
        return;
    if ((which = et_names_find(&b->c->splits, name)) < 0) {
        which = b->c->splits.n;
        note(b, which < 1000 ? et_names_add(&b->c->splits, name)
                             : et_raise(ET_EFORMAT, "%s: more than 1000 splits", b->c->name));
    }
    b->split.ids[b->split.n - 1] = (int32_t)which;
}

void et_build_tag(et_build *b, const char *name, size_t n)
{
    int32_t id;

    if (b->status < 0)
        return;
    if ((id = et_vocabulary_add(b->tags, name, n)) < 0) {
        b->status = et_error_status();
        return;
    }
    note(b, et_tokens_add(&b->marks, (int32_t)b->c->names.n - 1));
    note(b, et_tokens_add(&b->marks, id));
}

void et_build_tags(et_build *b, const char *names)
{
    for (const char *p = names; *(p += strspn(p, " ")) != '\0';) {
        size_t n = strcspn(p, " ");
        et_build_tag(b, p, n);
        p += n;
    }
}

void et_build_caption(et_build *b, const char *text)
{
    while (b->status == ET_OK && b->c->captions.n + 1 < b->c->names.n)
        note(b, et_names_add(&b->c->captions, ""));
    if (b->status == ET_OK)
        note(b, et_names_add(&b->c->captions, text));
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

/* Adds the entries of v to names; place[i] is where entry i went. */
static et_status name_entries(et_names *names, const et_vocabulary *v, bool sorted, int32_t **place)
{
    int32_t n = et_vocabulary_size(v);
    et_status status = ET_OK;

    if (!(*place = et_alloc_zero((size_t)n, sizeof **place)))
        return et_error_status();
    for (int32_t i = 0; status == ET_OK && i < n; i++)
        status = et_names_add(names, et_vocabulary_text(v, i, NULL));
    if (status == ET_OK && sorted)
        et_sort_pointers((void **)names->items, (size_t)n, by_text);
    for (int32_t i = 0; status == ET_OK && i < n; i++)
        (*place)[et_vocabulary_find(v, names->items[i], strlen(names->items[i]))] = i;
    return status;
}

static bool any(const et_tokens *t)
{
    for (int64_t i = 0; i < t->n; i++)
        if (t->ids[i] >= 0)
            return true;
    return false;
}

static et_status give_ints(et_tensor **out, const et_tokens *t, const int32_t *place)
{
    int32_t *v;

    *out = et_dataset_tensor(ET_I32, ET_SHAPE(t->n));
    v = *out ? et_data_mut(*out) : NULL;
    if (!v)
        return et_error_status();
    for (int64_t i = 0; i < t->n; i++)
        v[i] = place ? place[t->ids[i]] : t->ids[i];
    return ET_OK;
}

static et_status give_tags(et_build *b, const int32_t *place)
{
    int64_t columns = b->c->tag_names.n;
    uint8_t *v;

    b->c->tags = et_dataset_tensor(ET_U8, ET_SHAPE(b->c->names.n, columns));
    v = b->c->tags ? et_data_mut(b->c->tags) : NULL;
    if (!v || et_fill(b->c->tags, 0) < 0)
        return et_error_status();
    for (int64_t i = 0; i < b->marks.n; i += 2)
        v[b->marks.ids[i] * columns + place[b->marks.ids[i + 1]]] = 1;
    return ET_OK;
}

/* Items without a group are a group for themselves. */
static void own_groups(et_build *b)
{
    int32_t next = et_vocabulary_size(b->groups);

    for (int64_t i = 0; i < b->group.n; i++)
        if (b->group.ids[i] < 0)
            b->group.ids[i] = next++;
}

et_collection *et_build_end(et_build *b, bool sorted)
{
    int32_t *classes = NULL, *tags = NULL;
    et_collection *c = b->c;

    if (b->status == ET_OK && c->names.n == 0)
        b->status = et_raise(ET_EFORMAT, "%s: no items", c->name);
    if (b->status == ET_OK && et_vocabulary_size(b->classes) > 0) {
        for (int64_t i = 0; b->status == ET_OK && i < b->y.n; i++)
            if (b->y.ids[i] < 0)
                b->status = et_raise(ET_EFORMAT, "%s: '%.80s' has no class", c->name, c->names.items[i]);
        if (b->status == ET_OK)
            b->status = name_entries(&c->classes, b->classes, sorted, &classes);
        note(b, b->status == ET_OK ? give_ints(&c->y, &b->y, classes) : ET_OK);
    }
    if (b->status == ET_OK && et_vocabulary_size(b->tags) > 0) {
        b->status = name_entries(&c->tag_names, b->tags, sorted, &tags);
        note(b, b->status == ET_OK ? give_tags(b, tags) : ET_OK);
    }
    if (b->status == ET_OK && any(&b->group)) {
        own_groups(b);
        b->status = give_ints(&c->groups, &b->group, NULL);
    }
    if (b->status == ET_OK && any(&b->split))
        b->status = give_ints(&c->split, &b->split, NULL);
    while (b->status == ET_OK && c->captions.n > 0 && c->captions.n < c->names.n)
        b->status = et_names_add(&c->captions, "");
    if (b->status == ET_OK && !b->sound)
        et_names_free(&c->files);
    note(b, b->status == ET_OK ? et_collection_check(c) : ET_OK);
    et_dealloc(classes);
    et_dealloc(tags);
    et_vocabulary_free(b->classes);
    et_vocabulary_free(b->tags);
    et_vocabulary_free(b->groups);
    et_tokens_free(&b->y);
    et_tokens_free(&b->group);
    et_tokens_free(&b->split);
    et_tokens_free(&b->marks);
    if (b->status < 0) {
        et_collection_free(c);
        return NULL;
    }
    return c;
}

/* --- files ------------------------------------------------------------------------------ */

static const char *const endings[] = {".wav", ".au", ".snd", ".aif", ".aiff", ".aifc", ".flac", ".mp3",
                                      ".ogg", ".opus", ".m4a", ".mp4", ".webm"};
enum { N_ENDINGS = sizeof endings / sizeof *endings };

size_t et_sound_stem(const char *name, bool *is_sound)
{
    size_t n = strlen(name);

    for (int k = 0; k < N_ENDINGS; k++) {
        size_t m = strlen(endings[k]);
        if (n > m && strcasecmp(name + n - m, endings[k]) == 0) {
            *is_sound = true;
            return n - m;
        }
    }
    *is_sound = false;
    return n;
}

char *et_find_sound(const char *dir, const char *stem)
{
    char *path = et_path_join(dir, stem), *longer;
    size_t n;

    if (!path)
        return NULL;
    n = strlen(path);
    if (!(longer = et_alloc_resize(path, n + 8))) {
        et_dealloc(path);
        return NULL;
    }
    for (int k = 0; k < N_ENDINGS; k++) {
        memcpy(longer + n, endings[k], strlen(endings[k]) + 1);
        if (et_exists(longer))
            return longer;
    }
    et_dealloc(longer);
    return NULL;
}

et_csv *et_csv_in(const char *dir, const char *name)
{
    char *path = et_path_join(dir, name);
    et_csv *t = path ? et_csv_read(path, NULL) : NULL;

    et_dealloc(path);
    return t;
}
