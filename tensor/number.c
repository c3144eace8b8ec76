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

/* The digits of text from *at on, with at most one point among them; *at is moved behind them. They go to x,
 * without zeros at the left, and the first 19 to *small. The value is that of the digits as a whole number,
 * times 10^*scale. False if there is none. */
static bool read_digits(const char *text, size_t len, size_t *at, decimal *x, int64_t *scale, uint64_t *small)
{
    bool any = false, point = false;
    size_t i = *at;

    x->n = 0;
    x->cut = false;
    *scale = 0;
    *small = 0;
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
            --*scale;
        if (x->n == 0 && c == '0')
            continue;
        if (x->n < MAX_DIGITS) {
            if (x->n < 19)
                *small = *small * 10 + (uint64_t)(c - '0');
            x->d[x->n++] = (uint8_t)(c - '0');
        } else {
            if (c != '0')
                x->cut = true;
            ++*scale;
        }
    }
    *at = i;
    return any;
}

/* What follows the digits: nothing, or "e", perhaps a sign, and the exponent. False for anything else. */
static bool read_exponent(const char *text, size_t len, int64_t *exponent)
{
    bool minus = false;
    size_t i = 1;

    *exponent = 0;
    if (len == 0)
        return true;
    if (text[0] != 'e' && text[0] != 'E')
        return false;
    if (i < len && (text[i] == '+' || text[i] == '-'))
        minus = text[i++] == '-';
    if (i == len)
        return false;
    for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        if (*exponent < 100000000) /* far beyond any double already */
            *exponent = *exponent * 10 + (text[i] - '0');
    if (minus)
        *exponent = -*exponent;
    return i == len;
}

/* The digits of x as a whole number, times 10^scale; `small` is that number where x has at most 19. */
static double value_of(decimal *x, uint64_t small, int64_t scale)
{
    if (x->n == 0)
        return 0.0;
#if FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 1 /* double is computed in double */
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (x->n <= 15 && scale >= -22 && scale <= 22) /* both factors are exact doubles: one rounding */
        return scale < 0 ? (double)small / powers[-scale] : (double)small * powers[scale];
#else
    (void)small;
#endif
    const int64_t p = scale + x->n;
    x->point = p > 100000 ? 100000 : p < -100000 ? -100000 : (int)p;
    return decimal_to_double(x);
}

bool et_parse_double(const char *text, size_t len, double *out)
{
    size_t i = 0;
    bool negative = false;
    int64_t scale, exponent;
    uint64_t small;
    decimal x;
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
        v = HUGE_VAL;
    } else {
        if (!read_digits(text, len, &i, &x, &scale, &small) || !read_exponent(text + i, len - i, &exponent))
            return false;
        v = value_of(&x, small, scale + exponent);
    }
    *out = negative ? -v : v;
    return true;
}

/* At least one digit and nothing else, of a number that is at most `most`. */
static bool read_whole(const char *text, size_t len, uint64_t most, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';
        if (digit > 9 || v > (most - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return len > 0;
}

bool et_parse_i64(const char *text, size_t len, int64_t *out)
{
    const bool sign = text && len > 0 && (text[0] == '+' || text[0] == '-');
    const bool negative = sign && text[0] == '-';
    uint64_t v;

    if (!text || !read_whole(text + sign, len - sign, (uint64_t)INT64_MAX + negative, &v))
        return false;
    *out = !negative ? (int64_t)v : v > INT64_MAX ? INT64_MIN : -(int64_t)v;
    return true;
}

bool et_parse_u64(const char *text, size_t len, uint64_t *out)
{
    uint64_t v;

    if (!text || !read_whole(text, len, UINT64_MAX, &v))
        return false;
    *out = v;
    return true;
}

int et_number_point(char *text)
{
    int n = 0;

    for (const char *s = text; *s; s++) {
        if ((*s >= '0' && *s <= '9') || *s == '-' || *s == '+' || *s == 'e')
            text[n++] = *s;
        else if (n > 0 && text[n - 1] != '.')
            text[n++] = '.';
    }
    text[n] = '\0';
    return n;
}

char *et_format_double(char buf[ET_NUMBER_TEXT], double value)
{
    if (isnan(value))
        return strcpy(buf, "nan");
    if (isinf(value))
        return strcpy(buf, value < 0 ? "-inf" : "inf");
    for (int digits = 15; digits <= 17; digits++) {
        double back;

        snprintf(buf, ET_NUMBER_TEXT, "%.*g", digits, value);
        if (et_parse_double(buf, (size_t)et_number_point(buf), &back) && back == value)
            break;
    }
    return buf;
}
