/* What bpe.c and bpe_files.c share. */
#ifndef ETUDE_DATASETS_BPE_INTERNAL_H
#define ETUDE_DATASETS_BPE_INTERNAL_H

#include "datasets/bpe.h"
#include "datasets/tokenizer.h"

/* The pair (left, right) becomes `joined`. Its rank is its place in the list. */
typedef struct bpe_merge {
    int32_t left, right, joined;
} bpe_merge;

struct et_bpe {
    et_vocabulary *symbols; /* the vocabulary, then symbols that it lacks and only merges know */
    int32_t size;           /* entries of the vocabulary */
    int32_t bytes[256];     /* symbols of the bytes */
    et_specials specials;
    bpe_merge *merges;
    int64_t n_merges;
    int32_t *slots; /* [n_slots] of the pairs */
    size_t n_slots;
};

/* One with room for so many merges. NULL and ENOMEM. */
et_bpe *et_bpe_new(int64_t merges);
/* Appends a merge, or finds that it is there. ENOMEM. */
et_status et_bpe_add_merge(et_bpe *b, int32_t left, int32_t right, bool *twice);
/* Finds bytes and special tokens once all is added. EFORMAT as et_bpe_read; ENOMEM. */
et_status et_bpe_finish(et_bpe *b, const char *name);
/* How a byte is written: 1 or 2 bytes of UTF-8; returns their number. */
size_t et_bpe_byte_text(unsigned byte, char out[4]);

#endif
