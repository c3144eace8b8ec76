/* MT19937 (Matsumoto and Nishimura 1998): a linear recurrence over 624 words,
 *     x[k + 624] = x[k + 397] ^ A(upper bit of x[k], lower 31 bits of x[k + 1]),
 * and a tempering of what is handed out. */
#include "config.h"

#include "tensor/mt19937.h"

enum { SHIFT = 397 };

void et_mt19937_init(et_mt19937 *mt, uint32_t seed)
{
    uint32_t i;

    mt->state[0] = seed;
    for (i = 1; i < ET_MT_WORDS; i++)
        mt->state[i] = UINT32_C(1812433253) * (mt->state[i - 1] ^ mt->state[i - 1] >> 30) + i;
    mt->next = ET_MT_WORDS;
}

static void advance(et_mt19937 *mt)
{
    uint32_t *x = mt->state, y;
    int k;

    for (k = 0; k < ET_MT_WORDS; k++) {
        y = (x[k] & UINT32_C(0x80000000)) | (x[(k + 1) % ET_MT_WORDS] & UINT32_C(0x7FFFFFFF));
        x[k] = x[(k + SHIFT) % ET_MT_WORDS] ^ y >> 1 ^ (y & 1 ? UINT32_C(0x9908B0DF) : 0);
    }
    mt->next = 0;
}

uint32_t et_mt19937_u32(et_mt19937 *mt)
{
    uint32_t y;

    if (mt->next == ET_MT_WORDS)
        advance(mt);
    y = mt->state[mt->next++];
    y ^= y >> 11;
    y ^= y << 7 & UINT32_C(0x9D2C5680);
    y ^= y << 15 & UINT32_C(0xEFC60000);
    return y ^ y >> 18;
}

double et_mt19937_uniform(et_mt19937 *mt)
{
    uint32_t a = et_mt19937_u32(mt) >> 5, b = et_mt19937_u32(mt) >> 6;

    return ((double)a * 67108864.0 + (double)b) * 0x1p-53;
}
