/* Compression: see deflate.h. Matches are found with chains of hashed triples (LZ77); each block of tokens is
 * sent as it is, with the fixed codes, or with Huffman codes of its own, whichever is the shortest. */
#include "config.h"

#include "examples/common/deflate.h"

#include <string.h>

#include "tensor/alloc.h"

/* RFC 1951, section 3.2: the alphabets and their limits. */
enum {
    N_LITLEN = 286, /* 0-255 literals, 256 end of block, 257-285 match lengths */
    N_DIST = 30,
    N_CODELEN = 19,
    MAX_BITS = 15,
    END_OF_BLOCK = 256,
    MIN_MATCH = 3,
    MAX_MATCH = 258,
    WINDOW = 32768,
    HASH_BITS = 15,
    MAX_CHAIN = 96,     /* candidates tried for one position */
    BLOCK_TOKENS = 32768 /* literals and matches in one block */
};

static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                         31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4,
                                         4, 4, 5, 5, 5, 5, 0};
static const uint16_t dist_base[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,
                                       97,    129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097,
                                       6145, 8193, 12289, 16385, 24577};
static const uint8_t dist_extra[30] = {0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9,
                                       10, 10, 11, 11, 12, 12, 13, 13};
/* The order in which the lengths of the code-length code are sent. */
static const uint8_t codelen_order[N_CODELEN] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2,
                                                 14, 1, 15};

/* A prefix code: the bits of each symbol, already in sending order, and their number. */
typedef struct code {
    uint16_t bits[N_LITLEN + 2];
    uint8_t len[N_LITLEN + 2];
} code;

typedef struct token {
    uint16_t value; /* literal byte, or match length */
    uint16_t dist;  /* 0 for a literal */
} token;

typedef struct writer {
    uint8_t *out;
    size_t n;
    uint64_t hold;
    int held;
} writer;

typedef struct state {
    writer w;
    code litlen, dist;              /* codes of the current block */
    uint32_t litlen_freq[N_LITLEN];
    uint32_t dist_freq[N_DIST];
    token tokens[BLOCK_TOKENS];
    int n_tokens;
    int32_t head[1 << HASH_BITS];   /* last position of each hash, -1 for none */
    int32_t prev[WINDOW];           /* earlier position with the same hash */
} state;

uint32_t et_adler32(const uint8_t *data, size_t n)
{
    uint32_t a = 1, b = 0;

    while (n > 0) {
        size_t part = n < 5552 ? n : 5552; /* no sum overflows within so many bytes */

        n -= part;
        while (part-- > 0) {
            a += *data++;
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    return b << 16 | a;
}

uint32_t et_crc32(uint32_t crc, const uint8_t *data, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

static void put_bits(writer *w, uint32_t bits, int n)
{
    w->hold |= (uint64_t)bits << w->held;
    w->held += n;
    while (w->held >= 8) {
        w->out[w->n++] = (uint8_t)w->hold;
        w->hold >>= 8;
        w->held -= 8;
    }
}

static void flush_bits(writer *w)
{
    if (w->held > 0)
        put_bits(w, 0, 8 - w->held);
}

/* Index of the last base that is not above v. */
static int class_of(const uint16_t *base, int n, int v)
{
    int lo = 0, hi = n - 1;

    while (lo < hi) {
        int mid = (lo + hi + 1) / 2;

        if (base[mid] <= v)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

static int length_class(int len)
{
    return class_of(length_base, 29, len);
}

static int dist_class(int dist)
{
    return class_of(dist_base, N_DIST, dist);
}

/* Canonical bits from lengths (RFC 1951, section 3.2.2), turned round for sending. */
static void assign_bits(code *c, int n)
{
    int count[MAX_BITS + 1] = {0};
    uint32_t next[MAX_BITS + 2] = {0};

    for (int i = 0; i < n; i++)
        count[c->len[i]]++;
    count[0] = 0;
    for (int b = 1; b <= MAX_BITS; b++)
        next[b + 1] = (next[b] + (uint32_t)count[b]) << 1;
    for (int i = 0; i < n; i++) {
        uint32_t v, r = 0;

        if (c->len[i] == 0)
            continue;
        v = next[c->len[i]]++;
        for (int b = 0; b < c->len[i]; b++)
            r |= (v >> b & 1u) << (c->len[i] - 1 - b);
        c->bits[i] = (uint16_t)r;
    }
}

/* The symbols that occur, the rarest first; their number. */
static int sort_symbols(const uint32_t *freq, int n, int *order)
{
    int used = 0;

    for (int i = 0; i < n; i++) {
        int j;

        if (freq[i] == 0)
            continue;
        for (j = used++; j > 0 && freq[order[j - 1]] > freq[i]; j--)
            order[j] = order[j - 1];
        order[j] = i;
    }
    return used;
}

/* Huffman's tree over two or more sorted symbols, by two queues: of symbols and of inner nodes, both in the
 * order of their weights. Counts the leaves at each depth, those below `limit` as if at it. */
static void count_depths(const uint32_t *freq, const int *order, int used, int limit, int *count)
{
    uint32_t weight[2 * (N_LITLEN + 2)];
    int parent[2 * (N_LITLEN + 2)], depth[2 * (N_LITLEN + 2)];
    int leaf = 0, inner = used, made;

    for (int i = 0; i < used; i++)
        weight[i] = freq[order[i]];
    for (made = used; made < 2 * used - 1; made++) {
        weight[made] = 0;
        for (int k = 0; k < 2; k++) {
            int take = leaf < used && (inner >= made || weight[leaf] <= weight[inner]) ? leaf++ : inner++;

            weight[made] += weight[take];
            parent[take] = made;
        }
    }
    depth[made - 1] = 0;
    for (int i = made - 2; i >= 0; i--)
        depth[i] = depth[parent[i]] + 1;
    for (int i = 0; i < used; i++)
        count[depth[i] < limit ? depth[i] : limit]++;
}

/* Huffman's code for n symbols with these frequencies, no length above `limit`: where the tree is deeper,
 * lengths are cut and paid for by the longest codes below the limit. */
static void make_code(code *c, const uint32_t *freq, int n, int limit)
{
    int order[N_LITLEN + 2], count[64] = {0};
    const int used = sort_symbols(freq, n, order);
    uint32_t kraft = 0; /* Kraft's sum, in units of 2^-limit: may not exceed 2^limit of them */

    memset(c->len, 0, sizeof c->len);
    if (used < 2) { /* one code of one bit, also where nothing is sent */
        c->len[used ? order[0] : 0] = 1;
        assign_bits(c, n);
        return;
    }
    count_depths(freq, order, used, limit, count);
    for (int b = 1; b <= limit; b++)
        kraft += (uint32_t)count[b] << (limit - b);
    while (kraft > 1u << limit) { /* one code goes down a level, one from the bottom joins it */
        int b = limit - 1;

        while (count[b] == 0)
            b--;
        count[b]--;
        count[b + 1] += 2;
        count[limit]--;
        kraft--;
    }
    for (int b = limit, i = 0; b > 0; b--) /* the rarest get the longest */
        for (int k = 0; k < count[b]; k++)
            c->len[order[i++]] = (uint8_t)b;
    assign_bits(c, n);
}

static void fixed_codes(code *litlen, code *dist)
{
    memset(litlen, 0, sizeof *litlen);
    memset(dist, 0, sizeof *dist);
    for (int i = 0; i < 288; i++)
        litlen->len[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    for (int i = 0; i < N_DIST; i++)
        dist->len[i] = 5;
    assign_bits(litlen, 288);
    assign_bits(dist, N_DIST);
}

/* Bits of the block's tokens under these codes, end of block included. */
static uint64_t body_bits(const state *s, const code *litlen, const code *dist)
{
    uint64_t bits = 0;

    for (int i = 0; i < N_LITLEN; i++)
        bits += (uint64_t)s->litlen_freq[i] * (litlen->len[i] + (i > END_OF_BLOCK ? length_extra[i - 257]
                                                                                  : 0u));
    for (int i = 0; i < N_DIST; i++)
        bits += (uint64_t)s->dist_freq[i] * (dist->len[i] + (uint32_t)dist_extra[i]);
    return bits;
}

static void put_body(state *s, const code *litlen, const code *dist)
{
    for (int i = 0; i < s->n_tokens; i++) {
        token t = s->tokens[i];

        if (t.dist == 0) {
            put_bits(&s->w, litlen->bits[t.value], litlen->len[t.value]);
        } else {
            int lc = length_class(t.value), dc = dist_class(t.dist);

            put_bits(&s->w, litlen->bits[257 + lc], litlen->len[257 + lc]);
            put_bits(&s->w, (uint32_t)(t.value - length_base[lc]), length_extra[lc]);
            put_bits(&s->w, dist->bits[dc], dist->len[dc]);
            put_bits(&s->w, (uint32_t)(t.dist - dist_base[dc]), dist_extra[dc]);
        }
    }
    put_bits(&s->w, litlen->bits[END_OF_BLOCK], litlen->len[END_OF_BLOCK]);
}

/* The description of a block's own codes: run lengths of the code lengths. */
typedef struct description {
    uint8_t symbol[N_LITLEN + N_DIST];
    uint8_t extra[N_LITLEN + N_DIST];
    int n, n_litlen, n_dist, n_codelen;
    code codelen;
    uint64_t bits;
} description;

static int codelen_extra(int symbol)
{
    return symbol == 16 ? 2 : symbol == 17 ? 3 : symbol == 18 ? 7 : 0;
}

static void describe(const state *s, description *d)
{
    uint8_t all[N_LITLEN + N_DIST];
    uint32_t freq[N_CODELEN] = {0};
    int n;

    for (d->n_litlen = N_LITLEN; d->n_litlen > 257 && s->litlen.len[d->n_litlen - 1] == 0;)
        d->n_litlen--;
    for (d->n_dist = N_DIST; d->n_dist > 1 && s->dist.len[d->n_dist - 1] == 0;)
        d->n_dist--;
    n = d->n_litlen + d->n_dist;
    memcpy(all, s->litlen.len, (size_t)d->n_litlen);
    memcpy(all + d->n_litlen, s->dist.len, (size_t)d->n_dist);
    d->n = 0;
    for (int i = 0; i < n;) {
        int run = 1, symbol = all[i], extra = 0;

        while (i + run < n && all[i + run] == all[i])
            run++;
        if (symbol == 0 && run >= 3) {
            run = run < 138 ? run : 138;
            symbol = run < 11 ? 17 : 18;
            extra = run - (run < 11 ? 3 : 11);
        } else if (i > 0 && all[i - 1] == all[i] && run >= 3) {
            run = run < 6 ? run : 6;
            symbol = 16;
            extra = run - 3;
        } else {
            run = 1;
        }
        d->symbol[d->n] = (uint8_t)symbol;
        d->extra[d->n++] = (uint8_t)extra;
        freq[symbol]++;
        i += run;
    }
    make_code(&d->codelen, freq, N_CODELEN, 7);
    for (d->n_codelen = N_CODELEN; d->n_codelen > 4 && d->codelen.len[codelen_order[d->n_codelen - 1]] == 0;)
        d->n_codelen--;
    d->bits = 14 + 3 * (uint64_t)d->n_codelen;
    for (int i = 0; i < d->n; i++)
        d->bits += (uint64_t)(d->codelen.len[d->symbol[i]] + codelen_extra(d->symbol[i]));
}

static void put_description(writer *w, const description *d)
{
    put_bits(w, (uint32_t)(d->n_litlen - 257), 5);
    put_bits(w, (uint32_t)(d->n_dist - 1), 5);
    put_bits(w, (uint32_t)(d->n_codelen - 4), 4);
    for (int i = 0; i < d->n_codelen; i++)
        put_bits(w, d->codelen.len[codelen_order[i]], 3);
    for (int i = 0; i < d->n; i++) {
        put_bits(w, d->codelen.bits[d->symbol[i]], d->codelen.len[d->symbol[i]]);
        put_bits(w, d->extra[i], codelen_extra(d->symbol[i]));
    }
}

static void put_stored(writer *w, const uint8_t *raw, size_t n, int last)
{
    do {
        size_t part = n < 65535 ? n : 65535;

        put_bits(w, last && part == n ? 1 : 0, 1);
        put_bits(w, 0, 2);
        flush_bits(w);
        put_bits(w, (uint32_t)part, 16);
        put_bits(w, (uint32_t)part ^ 0xFFFFu, 16);
        memcpy(w->out + w->n, raw, part);
        w->n += part;
        raw += part;
        n -= part;
    } while (n > 0);
}

/* Writes the gathered tokens, which stand for raw[0..n), in the shortest of three ways. */
static void put_block(state *s, const uint8_t *raw, size_t n, int last)
{
    code fixed_litlen, fixed_dist;
    description d;
    uint64_t stored, fixed, own;

    s->litlen_freq[END_OF_BLOCK] = 1;
    fixed_codes(&fixed_litlen, &fixed_dist);
    make_code(&s->litlen, s->litlen_freq, N_LITLEN, MAX_BITS);
    make_code(&s->dist, s->dist_freq, N_DIST, MAX_BITS);
    describe(s, &d);
    stored = 8 * ((uint64_t)n + 4 * (n / 65535 + 1)) + 3; /* the least it can take */
    fixed = body_bits(s, &fixed_litlen, &fixed_dist) + 3;
    own = d.bits + body_bits(s, &s->litlen, &s->dist) + 3;
    if (stored <= fixed && stored <= own) {
        put_stored(&s->w, raw, n, last);
    } else {
        put_bits(&s->w, last ? 1 : 0, 1);
        put_bits(&s->w, fixed <= own ? 1 : 2, 2);
        if (fixed <= own) {
            put_body(s, &fixed_litlen, &fixed_dist);
        } else {
            put_description(&s->w, &d);
            put_body(s, &s->litlen, &s->dist);
        }
    }
    s->n_tokens = 0;
    memset(s->litlen_freq, 0, sizeof s->litlen_freq);
    memset(s->dist_freq, 0, sizeof s->dist_freq);
}

static uint32_t hash3(const uint8_t *p)
{
    uint32_t v = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;

    return v * 2654435761u >> (32 - HASH_BITS);
}

static void insert(state *s, const uint8_t *data, size_t n, size_t at)
{
    if (at + MIN_MATCH <= n) {
        uint32_t h = hash3(data + at);

        s->prev[at % WINDOW] = s->head[h];
        s->head[h] = (int32_t)at;
    }
}

/* Longest earlier match of data[at..], 0 if none of MIN_MATCH bytes. */
static int find_match(const state *s, const uint8_t *data, size_t n, size_t at, int *dist)
{
    int limit = n - at < MAX_MATCH ? (int)(n - at) : MAX_MATCH, best = MIN_MATCH - 1;
    int32_t from;

    if (limit < MIN_MATCH)
        return 0;
    from = s->head[hash3(data + at)];
    for (int tries = MAX_CHAIN; tries > 0 && from >= 0 && at - (size_t)from <= WINDOW; tries--) {
        const uint8_t *a = data + at, *b = data + from;
        int32_t next;

        if (b[best] == a[best]) {
            int len = 0;

            while (len < limit && a[len] == b[len])
                len++;
            if (len > best) {
                best = len;
                *dist = (int)(at - (size_t)from);
                if (len == limit)
                    break;
            }
        }
        next = s->prev[(size_t)from % WINDOW];
        if (next >= from) /* overwritten since: the chain has left the window */
            break;
        from = next;
    }
    return best >= MIN_MATCH ? best : 0;
}

static void add_token(state *s, int value, int dist)
{
    token *t = &s->tokens[s->n_tokens++];

    t->value = (uint16_t)value;
    t->dist = (uint16_t)dist;
    if (dist == 0) {
        s->litlen_freq[value]++;
    } else {
        s->litlen_freq[257 + length_class(value)]++;
        s->dist_freq[dist_class(dist)]++;
    }
}

static void deflate(state *s, const uint8_t *data, size_t n)
{
    size_t at = 0, start = 0;

    while (at < n) {
        int dist = 0, len = find_match(s, data, n, at, &dist);

        insert(s, data, n, at);
        if (len > 0 && len < 64 && at + 1 < n) { /* is the match one byte further longer? */
            int dist2 = 0, len2 = find_match(s, data, n, at + 1, &dist2);

            if (len2 > len)
                len = 0;
        }
        if (len == 0) {
            add_token(s, data[at++], 0);
        } else {
            add_token(s, len, dist);
            for (int i = 1; i < len; i++)
                insert(s, data, n, at + (size_t)i);
            at += (size_t)len;
        }
        if (s->n_tokens == BLOCK_TOKENS && at < n) {
            put_block(s, data + start, at - start, 0);
            start = at;
        }
    }
    put_block(s, data + start, n - start, 1);
    flush_bits(&s->w);
}

uint8_t *et_zlib_compress(const uint8_t *data, size_t n, size_t *size)
{
    state *s;
    uint8_t *out;
    uint32_t sum;

    if (n > INT32_MAX - WINDOW) {
        et_raise(ET_EINVAL, "compress: %zu bytes are more than the limit of 2 GiB", n);
        return NULL;
    }
    s = et_alloc_zero(1, sizeof *s);
    out = et_alloc(n + n / 4096 + 64);
    if (!s || !out) {
        et_dealloc(s);
        et_dealloc(out);
        return NULL;
    }
    memset(s->head, 0xFF, sizeof s->head);
    s->w.out = out;
    put_bits(&s->w, 0x78, 8); /* deflate, 32 KiB window */
    put_bits(&s->w, 0x9C, 8); /* default effort; makes the two bytes a multiple of 31 */
    deflate(s, data, n);
    sum = et_adler32(data, n);
    for (int shift = 24; shift >= 0; shift -= 8)
        put_bits(&s->w, sum >> shift & 0xFFu, 8);
    *size = s->w.n;
    et_dealloc(s);
    return out;
}
