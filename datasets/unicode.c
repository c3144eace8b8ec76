/* Looking characters up. */
#include "config.h"

#include "datasets/unicode.h"

#include "datasets/grow.h"
#include "datasets/unicode_tables.h"
#include "tensor/json.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { LAST = 0x10ffff };

/* Value of the run (first << 8 | value) that holds c. */
static unsigned in_runs(const uint32_t *runs, size_t n, uint32_t c)
{
    size_t lo = 0, hi = n; /* runs[lo] starts at or before c */

    if (c > LAST)
        return 0;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (runs[mid] >> 8 <= c)
            lo = mid;
        else
            hi = mid;
    }
    return runs[lo] & 0xff;
}

unsigned et_uc_class(uint32_t c) { return in_runs(classes, COUNT(classes), c); }
unsigned et_uc_combining(uint32_t c) { return in_runs(combining, COUNT(combining), c); }

bool et_uc_is_ideograph(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) ||
           (c >= 0x2b820 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

uint32_t et_uc_lower(uint32_t c)
{
    size_t lo = 0, hi = COUNT(lower);

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c < lower[mid].first)
            hi = mid;
        else if (c > lower[mid].last)
            lo = mid + 1;
        else
            return (c - lower[mid].first) % lower[mid].step == 0 ? (uint32_t)((int32_t)c + lower[mid].delta)
                                                                 : c;
    }
    return c;
}

/* --- texts as code points ------------------------------------------------------------ */

et_status et_codes_add(et_codes *codes, uint32_t c)
{
    uint32_t *items = et_grow(codes->items, &codes->capacity, codes->n, sizeof *items);

    if (!items)
        return et_fail_status("text");
    codes->items = items;
    codes->items[codes->n++] = c;
    return ET_OK;
}

void et_codes_free(et_codes *codes)
{
    et_dealloc(codes->items);
    *codes = (et_codes){NULL, 0, 0};
}

size_t et_uc_decode(const char *s, size_t n, uint32_t *c)
{
    const unsigned char *u = (const unsigned char *)s;
    int length = et_utf8_length(s, n);

    if (length == 0) {
        *c = 0xfffd;
        return 1;
    }
    *c = length == 1 ? u[0] : (uint32_t)(u[0] & (0x7f >> length));
    for (int i = 1; i < length; i++)
        *c = *c << 6 | (u[i] & 0x3f);
    return (size_t)length;
}

size_t et_uc_encode(uint32_t c, char out[4])
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xf0u) | c);
    return n;
}

/* --- lower case ------------------------------------------------------------------------ */

/* A sigma is final when a cased letter stands before it and none behind, characters that case
 * ignores not counted (Unicode 14, table 3-17). */
static bool is_final(const uint32_t *s, size_t n, size_t i)
{
    size_t j = i;

    while (j > 0 && et_uc_class(s[j - 1]) & ET_UC_IGNORED)
        j--;
    if (j == 0 || !(et_uc_class(s[j - 1]) & ET_UC_CASED))
        return false;
    for (j = i + 1; j < n && et_uc_class(s[j]) & ET_UC_IGNORED;)
        j++;
    return j == n || !(et_uc_class(s[j]) & ET_UC_CASED);
}

et_status et_uc_lower_word(const uint32_t *s, size_t n, et_codes *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t c = et_uc_lower(s[i]);

        if (s[i] == 0x3a3 && is_final(s, n, i))
            c = 0x3c2;
        if (s[i] == 0x130)
            c = 'i';
        if (et_codes_add(out, c) < 0 || (s[i] == 0x130 && et_codes_add(out, 0x307) < 0))
            return et_error_status();
    }
    return ET_OK;
}

/* --- canonical decomposition ------------------------------------------------------------- */

/* Appends the full decomposition of c: the second parts of the steps are final,
 * the first is taken apart further. */
static et_status take_apart(uint32_t c, et_codes *out)
{
    uint32_t behind[8];
    int n = 0;

    if (c >= 0xac00 && c <= 0xd7a3) { /* hangul: lead, vowel, trail by arithmetic */
        uint32_t s = c - 0xac00, trail = s % 28;
        if (et_codes_add(out, 0x1100 + s / 588) < 0 || et_codes_add(out, 0x1161 + s % 588 / 28) < 0)
            return et_error_status();
        return trail ? et_codes_add(out, 0x11a7 + trail) : ET_OK;
    }
    for (;;) {
        size_t lo = 0, hi = COUNT(composed);
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;
            if (composed[mid] >> 42 < c)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo == COUNT(composed) || composed[lo] >> 42 != c)
            break;
        c = composed[lo] >> 21 & 0x1fffff;
        if ((composed[lo] & 0x1fffff) != 0)
            behind[n++] = composed[lo] & 0x1fffff;
    }
    if (et_codes_add(out, c) < 0)
        return et_error_status();
    while (n > 0)
        if (et_codes_add(out, behind[--n]) < 0)
            return et_error_status();
    return ET_OK;
}

/* Puts the combining characters between from and to in the order of their classes; equal ones keep
 * theirs. Counts how many there are of each class, so that a long run costs no more than a short one. */
static et_status put_in_order(uint32_t *s, size_t n)
{
    size_t start[257] = {0};
    uint32_t *copy;

    if (n < 2)
        return ET_OK;
    for (size_t i = 0; i < n; i++)
        start[et_uc_combining(s[i]) + 1]++;
    for (int k = 0; k < 256; k++)
        start[k + 1] += start[k];
    copy = et_alloc(n * sizeof *copy);
    if (!copy)
        return et_fail_status("text");
    for (size_t i = 0; i < n; i++)
        copy[start[et_uc_combining(s[i])]++] = s[i];
    for (size_t i = 0; i < n; i++)
        s[i] = copy[i];
    et_dealloc(copy);
    return ET_OK;
}

et_status et_uc_decompose(const uint32_t *s, size_t n, et_codes *out)
{
    size_t from = (size_t)out->n, to, end;

    for (size_t i = 0; i < n; i++)
        if (take_apart(s[i], out) < 0)
            return et_error_status();
    for (end = (size_t)out->n; from < end; from = to + 1) {
        for (to = from; to < end && et_uc_combining(out->items[to]) != 0;)
            to++;
        if (put_in_order(out->items + from, to - from) < 0)
            return et_error_status();
    }
    return ET_OK;
}
