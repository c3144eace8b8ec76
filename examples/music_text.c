/* music-data tokenize. */
#include "config.h"

#include "examples/music_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "datasets/bpe.h"
#include "datasets/corpus.h"
#include "datasets/wordpiece.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"

enum { LEAST = 2 /* times that a learned pair occurs */ };

/* Pieces learned from what the built-in corpus says of its items. */
static et_vocabulary *learn(int size)
{
    et_collection *c = et_corpus(NULL);
    et_vocabulary *v = c ? et_vocabulary_of_pieces(&c->captions, size, LEAST) : NULL;

    et_collection_free(c);
    return v;
}

static void print_token(int32_t id, const char *text)
{
    printf("%8" PRId32 "  ", id);
    et_text_print(stdout, text, 0);
    putchar('\n');
}

/* The last line: how many, and the text again; released here. */
static et_status print_end(const et_tokens *tokens, char *text)
{
    if (!text)
        return et_error_status();
    printf("%" PRId64 " token%s: ", tokens->n, et_plural(tokens->n));
    et_text_print(stdout, text, 0);
    putchar('\n');
    et_dealloc(text);
    return ET_OK;
}

static et_status by_wordpiece(const char *text, et_wordpiece *w)
{
    et_tokens tokens = {NULL, 0, 0};
    et_status status = w ? et_wordpiece_encode(w, text, strlen(text), &tokens) : et_error_status();

    for (int64_t i = 0; status == ET_OK && i < tokens.n; i++)
        print_token(tokens.ids[i], et_vocabulary_text(et_wordpiece_vocabulary(w), tokens.ids[i], NULL));
    if (status == ET_OK)
        status = print_end(&tokens, et_wordpiece_decode(w, tokens.ids, tokens.n));
    et_tokens_free(&tokens);
    et_wordpiece_free(w);
    return status;
}

static et_status by_bpe(const char *text, et_bpe *b)
{
    et_tokens tokens = {NULL, 0, 0};
    et_status status = b ? et_bpe_encode(b, text, strlen(text), &tokens) : et_error_status();

    for (int64_t i = 0; status == ET_OK && i < tokens.n; i++)
        print_token(tokens.ids[i], et_bpe_text(b, tokens.ids[i]));
    if (status == ET_OK)
        status = print_end(&tokens, et_bpe_decode(b, tokens.ids, tokens.n, NULL));
    et_tokens_free(&tokens);
    et_bpe_free(b);
    return status;
}

et_status music_tokenize(const char *text, const char *vocabulary, const char *merges, int size)
{
    if (merges && !vocabulary)
        return et_raise(ET_EINVAL, "--merges needs the vocabulary that belongs to them: --vocab FILE");
    if (merges)
        return by_bpe(text, et_bpe_read(vocabulary, merges));
    return by_wordpiece(text, vocabulary ? et_wordpiece_read(vocabulary) : et_wordpiece_new(learn(size)));
}
