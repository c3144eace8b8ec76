/* Decimal text to double and back. */
#include "config.h"

#include "tensor/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A positive decimal number 0.d[0] d[1] ... d[n-1] x 10^point. No double, and no point
 * half-way between two, has more than 767 significant digits, so that what is cut off
 * behind MAX_DIGITS matters only as "something is there". */
enum { MAX_DIGITS = 800, MAX_SHIFT = 59 };

typedef struct decimal {
    int n, point;
    bool cut; /* non-zero digits were dropped behind the last one */
    uint8_t d[MAX_DIGITS];
} decimal;

static void trim(decimal *x)
{
    while (x->n > 0 && x->d[x->n - 1] == 0)
        x->n--;
    if (x->n == 0)
        x->point = 0;
}

/* x *= 2^k, 0 < k <= MAX_SHIFT: the digits from the last to the first, with a carry. */
static void shift_left(decimal *x, int k)
{
    uint8_t out[MAX_DIGITS + 20];
    int top = (int)sizeof out, used;
    uint64_t carry = 0;

    for (int i = x->n - 1; i >= 0; i--) {
        carry += (uint64_t)x->d[i] << k;
        out[--top] = (uint8_t)(carry % 10);
        carry /= 10;
    }
    for (; carry > 0; carry /= 10)
        out[--top] = (uint8_t)(carry % 10);
    used = (int)sizeof out - top;
    x->point += used - x->n;
    x->n = used < MAX_DIGITS ? used : MAX_DIGITS;
    memcpy(x->d, out + top, (size_t)x->n);
    for (int i = x->n; i < used; i++)
        if (out[top + i] != 0)
            x->cut = true;
    trim(x);
}

/* x /= 2^k, 0 < k <= MAX_SHIFT: long division from the first digit on. */
static void shift_right(decimal *x, int k)
{
    uint64_t rest = 0, mask = ((uint64_t)1 << k) - 1;
    int in = 0, out = 0, point = x->point;

    if (x->n == 0)
        return;
    while (rest >> k == 0) {
        rest = rest * 10 + (in < x->n ? x->d[in] : 0);
        in++;
    }
    point -= in - 1;
    while (rest > 0 || in < x->n) {
        uint8_t digit = (uint8_t)(rest >> k);
        rest &= mask;
        if (out < MAX_DIGITS)
            x->d[out++] = digit; /* out < in: nothing unread is overwritten */
        else if (digit != 0)
            x->cut = true;
        rest = rest * 10 + (in < x->n ? x->d[in] : 0);
        in++;
    }
    x->n = out;
    x->point = point;
    trim(x);
}

/* The integer nearest to x (ties to even); x < 10^18. */
static uint64_t round_decimal(const decimal *x)
{
    uint64_t v = 0;
    bool up = false;

    if (x->point < 0)
        return 0;
    for (int i = 0; i < x->point; i++)
        v = v * 10 + (i < x->n ? x->d[i] : 0);
    if (x->point < x->n) {
        uint8_t next = x->d[x->point];
        bool half = next == 5 && x->point + 1 == x->n && !x->cut;
        up = half ? (v & 1) != 0 : next >= 5;
    }
    return v + up;
}

static double decimal_to_double(decimal *x)
{
    int exp2 = 0;
    uint64_t m;

    trim(x);
    if (x->n == 0 || x->point < -330)
        return 0.0;
    if (x->point > 310)
        return HUGE_VAL;

    /* Scale by powers of two until 1/2 <= x < 1. */
    while (x->point > 0) {
        int k = x->point > 17 ? MAX_SHIFT : x->point * 3; /* 10^p > 2^(3p): stays at or above 1/10 */
        shift_right(x, k);
        exp2 += k;
    }
    while (x->n > 0 && (x->point < 0 || x->d[0] < 5)) {
        int k = x->point < -17 ? MAX_SHIFT : x->point < 0 ? -x->point * 3 : 1;
        shift_left(x, k);
        exp2 -= k;
        if (x->point > 0) {
            shift_right(x, 1);
            exp2 += 1;
        }
    }
    /* value = x 2^exp2. Below the smallest normal number fewer bits remain. */
    if (exp2 < DBL_MIN_EXP) {
        int lost = DBL_MIN_EXP - exp2;
        while (lost > 0) {
            int k = lost < MAX_SHIFT ? lost : MAX_SHIFT;
            shift_right(x, k);
            lost -= k;
        }
        exp2 = DBL_MIN_EXP;
    }
    shift_left(x, DBL_MANT_DIG);
    m = round_decimal(x);
    return ldexp((double)m, exp2 - DBL_MANT_DIG);
}

/* True if the text is `word` (lower case) in any mixture of cases. */
static bool is_word(const char *text, size_t len, const char *word)
{
    size_t n = strlen(word);
    if (len != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != word[i])
            return false;
    }
    return true;
}

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

bool et_parse_double(const char *text, size_t len, double *out)
{
    size_t i = 0;
    bool negative = false, any = false, point = false;
    decimal x;
    int64_t scale = 0, exponent = 0; /* value = digits x 10^(scale + exponent) */
    uint64_t small = 0;              /* the digits, while they fit */
    double v;

    if (!text || len == 0)
        return false;
    if (text[0] == '+' || text[0] == '-') {
        negative = text[0] == '-';
        i = 1;
    }
    if (is_word(text + i, len - i, "nan")) {
        *out = NAN;
        return true;
    }
    if (is_word(text + i, len - i, "inf") || is_word(text + i, len - i, "infinity")) {
        *out = negative ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    x.n = 0;
    x.cut = false;
    for (; i < len; i++) {
        char c = text[i];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        any = true;
        if (point)
            scale--;
        if (x.n == 0 && c == '0')
            continue; /* leading zeros */
        if (x.n < MAX_DIGITS) {
            if (x.n < 19)
                small = small * 10 + (uint64_t)(c - '0');
            x.d[x.n++] = (uint8_t)(c - '0');
        } else {
            if (c != '0')
                x.cut = true;
            scale++;
        }
    }
    if (!any)
        return false;
    if (i < len && (text[i] == 'e' || text[i] == 'E')) {
        bool minus = false;
        i++;
        if (i < len && (text[i] == '+' || text[i] == '-'))
            minus = text[i++] == '-';
        if (i == len)
            return false;
        for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
            if (exponent < 100000000)
                exponent = exponent * 10 + (text[i] - '0');
        if (minus)
            exponent = -exponent;
    }
    if (i != len)
        return false;

    scale += exponent;
    if (x.n == 0) {
        v = 0.0;
#if FLT_EVAL_METHOD == 0
    } else if (x.n <= 15 && scale >= -22 && scale <= 22) {
        /* Both factors are exact doubles: one rounding. */
        v = scale < 0 ? (double)small / powers[-scale] : (double)small * powers[scale];
#endif
    } else {
        int64_t p = scale + x.n;
        x.point = p > 100000 ? 100000 : p < -100000 ? -100000 : (int)p;
        v = decimal_to_double(&x);
    }
    *out = negative ? -v : v;
    return true;
}

bool et_parse_i64(const char *text, size_t len, int64_t *out)
{
    size_t i = 0;
    bool negative = false;
    uint64_t v = 0, limit;

    if (!text || len == 0)
        return false;
    if (text[0] == '+' || text[0] == '-') {
        negative = text[0] == '-';
        i = 1;
    }
    if (i == len)
        return false;
    limit = (uint64_t)INT64_MAX + negative;
    for (; i < len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';
        if (digit > 9 || v > (limit - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = !negative ? (int64_t)v : v == limit ? INT64_MIN : -(int64_t)v;
    return true;
}

char *et_format_double(char buf[ET_NUMBER_TEXT], double value)
{
    if (isnan(value))
        return strcpy(buf, "nan");
    if (isinf(value))
        return strcpy(buf, value < 0 ? "-inf" : "inf");
    for (int digits = 15; digits <= 17; digits++) {
        double back;
        size_t n = 0;

        snprintf(buf, ET_NUMBER_TEXT, "%.*g", digits, value);
        /* Whatever stands between digits is the locale's decimal point. */
        for (const char *p = buf; *p; p++) {
            bool plain = (*p >= '0' && *p <= '9') || *p == '-' || *p == '+' || *p == 'e';
            if (plain)
                buf[n++] = *p;
            else if (n > 0 && buf[n - 1] != '.')
                buf[n++] = '.';
        }
        buf[n] = '\0';
        if (et_parse_double(buf, n, &back) && back == value)
            break;
    }
    return buf;
}
