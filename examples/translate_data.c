/* The data of translate-toy: see translate_data.h. */
#include "config.h"

#include "examples/translate_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "datasets/corpora.h"
#include "datasets/synthetic.h"
#include "tensor/alloc.h"

enum { PAD, BEGIN, END, SYMBOL, SYMBOLS = 9, LEAST = 2 };

translate_marks translate_marks_of(const et_wordpiece *words)
{
    if (!words)
        return (translate_marks){PAD, BEGIN, END};
    return (translate_marks){et_wordpiece_special(words, ET_TOKEN_PAD),
                             et_wordpiece_special(words, ET_TOKEN_BEGIN),
                             et_wordpiece_special(words, ET_TOKEN_END)};
}

int64_t translate_vocabulary(const et_wordpiece *words)
{
    return words ? et_vocabulary_size(et_wordpiece_vocabulary(words)) : SYMBOL + SYMBOLS;
}

void translate_data_free(translate_data *d)
{
    if (!d)
        return;
    et_wordpiece_free(d->words);
    et_dealloc(d->source);
    et_dealloc(d->lengths);
    et_dealloc(d->target);
    et_dealloc(d->wanted);
    et_indices_free(&d->train);
    et_indices_free(&d->valid);
    et_dealloc(d);
}

/* Room for n pairs; takes words over. */
static translate_data *make(et_wordpiece *words, int64_t n, int64_t S, int64_t T)
{
    translate_data *d = et_alloc_zero(1, sizeof *d);
    const size_t size = sizeof(int32_t);

    if (!d) {
        et_wordpiece_free(words);
        return NULL;
    }
    *d = (translate_data){.words = words, .vocabulary = translate_vocabulary(words),
                          .marks = translate_marks_of(words), .n = n, .S = S, .T = T};
    d->source = et_alloc_zero((size_t)n, (size_t)S * size);
    d->lengths = et_alloc_zero((size_t)n + 1, size);
    d->target = et_alloc_zero((size_t)n, (size_t)T * size);
    d->wanted = et_alloc_zero((size_t)n + 1, size);
    d->train.items = et_alloc_zero((size_t)n + 1, size);
    d->valid.items = et_alloc_zero((size_t)n + 1, size);
    if (d->source && d->lengths && d->target && d->wanted && d->train.items && d->valid.items)
        return d;
    translate_data_free(d);
    return NULL;
}

static void sort_into(translate_data *d, int64_t i, bool valid)
{
    et_indices *part = valid ? &d->valid : &d->train;

    part->items[part->n++] = (int32_t)i;
}

translate_data *translate_reversals(int64_t train, int64_t valid, uint64_t seed)
{
    const int64_t counts[2] = {train, valid};
    translate_data *d = NULL;
    int64_t at = 0;

    for (int part = 0; part < 2; part++) {
        et_dataset *ds = et_reversal(counts[part], seed, part);
        const int64_t S = ds ? ds->x->shape[1] : 0;
        if (ds && !d)
            d = make(NULL, train + valid, S, S + 2);
        for (int64_t i = 0; ds && d && i < counts[part]; i++, at++) {
            const float *x = et_data_f32(ds->x) + i * S;
            int32_t *t = d->target + at * d->T;
            t[0] = BEGIN;
            for (int64_t k = 0; k < S; k++)
                d->source[at * S + k] = t[S - k] = (int32_t)x[k];
            t[S + 1] = END;
            d->lengths[at] = (int32_t)S;
            d->wanted[at] = (int32_t)d->T;
            sort_into(d, at, part == 1);
        }
        et_dataset_free(ds);
        if (!ds || !d) {
            translate_data_free(d);
            return NULL;
        }
    }
    return d;
}

/* --- texts ------------------------------------------------------------------------------------- */

/* Bytes of the first sentence: up to a full stop before a blank, or all. */
static size_t first_sentence(const char *text)
{
    const char *stop = strstr(text, ". ");

    return stop ? (size_t)(stop - text) + 1 : strlen(text);
}

static et_wordpiece *learn_words(const et_musiccaps_texts *t, int64_t vocabulary)
{
    et_names texts = {0, NULL};
    et_status status = ET_OK;

    for (int64_t i = 0; status == ET_OK && i < t->captions.n; i++) {
        if (t->eval[i])
            continue;
        status = et_names_add(&texts, t->aspects.items[i]);
        if (status == ET_OK)
            status = et_names_add(&texts, t->captions.items[i]);
    }
    et_wordpiece *words = status == ET_OK
                              ? et_wordpiece_new(et_vocabulary_of_pieces(&texts, (int32_t)vocabulary, LEAST))
                              : NULL;
    et_names_free(&texts);
    return words;
}

/* One pair as rows. */
static et_status encode(translate_data *d, int64_t i, const char *from, const char *to)
{
    et_tokens source = {NULL, 0, 0}, target = {NULL, 0, 0};
    et_status status = et_wordpiece_encode(d->words, from, strlen(from), &source);

    if (status == ET_OK)
        status = et_wordpiece_encode(d->words, to, first_sentence(to), &target);
    if (status == ET_OK) {
        const translate_marks m = d->marks;
        d->lengths[i] = (int32_t)et_tokens_row(&source, -1, -1, m.pad, d->S, d->source + i * d->S, NULL);
        d->wanted[i] = (int32_t)et_tokens_row(&target, m.begin, m.end, m.pad, d->T, d->target + i * d->T,
                                              NULL);
        status = d->lengths[i] < 0 || d->wanted[i] < 0 ? et_error_status() : ET_OK;
    }
    et_tokens_free(&source);
    et_tokens_free(&target);
    return status;
}

translate_data *translate_captions(const char *dir, const char *words, int64_t vocabulary, int64_t length)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s/musiccaps.csv", dir) >= (int)sizeof path) {
        et_raise(ET_EINVAL, "%s: the path is too long", dir);
        return NULL;
    }
    et_musiccaps_texts t;
    et_status status = et_musiccaps_texts_read(path, &t);
    if (status == ET_OK && t.aspects.n < t.captions.n)
        status = et_raise(ET_EFORMAT, "%s: no column named 'aspects' or 'aspect_list'", path);
    et_wordpiece *pieces = status ? NULL : words ? et_wordpiece_read(words) : learn_words(&t, vocabulary);
    translate_data *d = pieces ? make(pieces, t.captions.n, length, length) : NULL;

    status = d ? ET_OK : et_error_status();
    for (int64_t i = 0; status == ET_OK && i < t.captions.n; i++) {
        status = encode(d, i, t.aspects.items[i], t.captions.items[i]);
        if (status == ET_OK && d->lengths[i] > 0)
            sort_into(d, i, t.eval[i]);
    }
    if (status == ET_OK && (d->train.n == 0 || d->valid.n == 0))
        status = et_raise(ET_EFORMAT,
                          "%s: rows of both parts are needed, to learn from and to judge on, with aspects",
                          path);
    et_musiccaps_texts_free(&t);
    if (status == ET_OK)
        return d;
    translate_data_free(d);
    return NULL;
}

/* --- what users write and read -------------------------------------------------------------------- */

int64_t translate_read(const et_wordpiece *words, const char *text, int64_t S, int32_t *row)
{
    int64_t n = 0;

    if (words) {
        et_tokens tokens = {NULL, 0, 0};
        const et_status status = et_wordpiece_encode(words, text, strlen(text), &tokens);
        n = status == ET_OK ? et_tokens_row(&tokens, -1, -1, translate_marks_of(words).pad, S, row, NULL)
                            : status;
        et_tokens_free(&tokens);
    } else {
        for (; text[n]; n++) {
            if (text[n] < 'a' || text[n] >= 'a' + SYMBOLS || n == S)
                return et_raise(ET_EINVAL, "\"%s\": up to %" PRId64 " letters a to %c are needed", text,
                                S, 'a' + SYMBOLS - 1);
            row[n] = SYMBOL + text[n] - 'a';
        }
    }
    return n ? n : et_raise(ET_EINVAL, "there is nothing to translate in \"%s\"", text);
}

char *translate_text(const et_wordpiece *words, const int32_t *row, int64_t n)
{
    const translate_marks m = translate_marks_of(words);
    int64_t length = 0;

    if (n && row[0] == m.begin) {
        row++;
        n--;
    }
    while (length < n && row[length] != m.end && row[length] != m.pad)
        length++;
    if (words)
        return et_wordpiece_decode(words, row, length);
    char *text = et_alloc((size_t)length + 1);
    if (!text)
        return NULL;
    for (int64_t i = 0; i < length; i++)
        text[i] = row[i] >= SYMBOL ? (char)('a' + row[i] - SYMBOL) : '?';
    text[length] = 0;
    return text;
}
