/* Random words: Philox4x32-10 (tensor/rng.c) for many counters at once, where the instruction set multiplies
 * 32 by 32 to 64 bits in wide vectors. Included once by variant.c.
 *
 * A vector holds one of the four words of a block in each lane of 64 bits. What is above the lower 32 bits of
 * a lane is arbitrary: neither the products nor the result read it. */

#if defined(ET_ISA_AVX512)
#define RND_LANES 8
typedef __m512i rnd_vec;
#define RND_SET(x) _mm512_set1_epi64((long long)(x))
#define RND_ADD _mm512_add_epi64
#define RND_MUL _mm512_mul_epu32
#define RND_HIGH(x) _mm512_srli_epi64(x, 32)
#define RND_XOR3(x, y, z) _mm512_ternarylogic_epi64(x, y, z, 0x96)
#define RND_JOIN(lo, hi) _mm512_mask_blend_epi32(0xAAAA, lo, _mm512_slli_epi64(hi, 32))
#define RND_EVEN _mm512_unpacklo_epi64
#define RND_ODD _mm512_unpackhi_epi64
#define RND_STORE(p, x) _mm512_storeu_si512(p, x)
/* Lane i's block: so that the even lanes hold the first half of them, the odd lanes the second. */
#define RND_ORDER _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7)
#elif defined(ET_ISA_AVX2)
#define RND_LANES 4
typedef __m256i rnd_vec;
#define RND_SET(x) _mm256_set1_epi64x((long long)(x))
#define RND_ADD _mm256_add_epi64
#define RND_MUL _mm256_mul_epu32
#define RND_HIGH(x) _mm256_srli_epi64(x, 32)
#define RND_XOR3(x, y, z) _mm256_xor_si256(_mm256_xor_si256(x, y), z)
#define RND_JOIN(lo, hi) _mm256_blend_epi32(lo, _mm256_slli_epi64(hi, 32), 0xAA)
#define RND_EVEN _mm256_unpacklo_epi64
#define RND_ODD _mm256_unpackhi_epi64
#define RND_STORE(p, x) _mm256_storeu_si256((__m256i *)(void *)(p), x)
#define RND_ORDER _mm256_setr_epi64x(0, 2, 1, 3)
#endif

#if defined(RND_LANES)
/* The words of block counter + i for each lane i, in order. */
typedef struct rnd_state {
    rnd_vec a, b, c, d;
} rnd_state;

V_INLINE rnd_state rnd_start(uint64_t counter, uint64_t stream)
{
    const rnd_vec n = RND_ADD(RND_SET(counter), RND_ORDER);

    return (rnd_state){n, RND_HIGH(n), RND_SET(stream), RND_SET(stream >> 32)};
}

V_INLINE rnd_state rnd_round(rnd_state s, rnd_vec k0, rnd_vec k1)
{
    const rnd_vec p = RND_MUL(s.a, RND_SET(0xD2511F53)), q = RND_MUL(s.c, RND_SET(0xCD9E8D57));

    return (rnd_state){RND_XOR3(RND_HIGH(q), s.b, k0), q, RND_XOR3(RND_HIGH(p), s.d, k1), p};
}

V_INLINE void rnd_finish(rnd_state s, uint32_t *out)
{
    const rnd_vec first = RND_JOIN(s.a, s.b), second = RND_JOIN(s.c, s.d);

    RND_STORE(out, RND_EVEN(first, second));
    RND_STORE(out + 2 * RND_LANES, RND_ODD(first, second));
}

static void philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t *out)
{
    enum { SETS = ET_PHILOX_BLOCKS / RND_LANES };
    rnd_state s[SETS];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

    for (int i = 0; i < SETS; i++)
        s[i] = rnd_start(counter + (uint64_t)(i * RND_LANES), stream);
    for (int r = 0; r < 10; r++, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
        const rnd_vec v0 = RND_SET(k0), v1 = RND_SET(k1);
        for (int i = 0; i < SETS; i++)
            s[i] = rnd_round(s[i], v0, v1);
    }
    for (int i = 0; i < SETS; i++)
        rnd_finish(s[i], out + 4 * i * RND_LANES);
}
#define RND_TABLE .philox = philox, .between = between
#else
#define RND_TABLE .philox = NULL, .between = between
#endif

static void between(int64_t n, const uint32_t *restrict x, uint32_t lo, uint32_t hi, uint8_t *restrict y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] - lo <= hi - lo;
}
