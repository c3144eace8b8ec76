/* What the processor can do: CPUID on x86, what the C library tells elsewhere. */
#include "config.h"

#include "tensor/cpu.h"

#include <stdatomic.h>
#include <unistd.h>

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define CPU_X86 1
#include <cpuid.h>
#endif

#if defined(CPU_X86)

/* The register XCR0: which registers the operating system saves on a switch. Only where
 * CPUID says that XGETBV exists. */
static uint64_t saved_registers(void)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool has(uint32_t word, int bit) { return word >> bit & 1; }

static void ask_features(et_cpu *cpu)
{
    enum { SSE_AVX_STATE = 0x06, AVX512_STATE = 0xe6 };
    uint32_t a, b, c, d, c1;
    uint64_t saved;

    if (!__get_cpuid(1, &a, &b, &c, &d))
        return;
    cpu->sse2 = has(d, 26);
    c1 = c;
    if (!has(c1, 27) || !has(c1, 28)) /* OSXSAVE, AVX */
        return;
    saved = saved_registers();
    if ((saved & SSE_AVX_STATE) != SSE_AVX_STATE || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return;
    cpu->avx2 = has(b, 5) && has(c1, 12); /* AVX2, FMA */
    cpu->avx512 = cpu->avx2 && (saved & AVX512_STATE) == AVX512_STATE && has(b, 16) && has(b, 17) &&
                  has(b, 30) && has(b, 31); /* F, DQ, BW, VL */
    if (cpu->avx512 && a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) /* a: the last subleaf */
        cpu->avx512_bf16 = has(a, 5);
}

/* Leaf 4 (Intel) and 0x8000001d (AMD) describe one cache for each subleaf, in one form. */
static void ask_caches(uint32_t leaf, et_cpu *cpu)
{
    uint32_t a, b, c, d;

    for (uint32_t i = 0; i < 16 && __get_cpuid_count(leaf, i, &a, &b, &c, &d); i++) {
        int64_t ways = (b >> 22) + 1, parts = (b >> 12 & 0x3ff) + 1, line = (b & 0xfff) + 1,
                sets = (int64_t)c + 1;
        int64_t size = ways * parts * line * sets;
        uint32_t type = a & 31, level = a >> 5 & 7;

        if (type == 0)
            break;
        if (type == 2) /* instructions */
            continue;
        if (level == 1 && cpu->l1d <= 0)
            cpu->l1d = size;
        if (level == 2 && cpu->l2 <= 0)
            cpu->l2 = size;
        if (level == 3 && cpu->l3 <= 0)
            cpu->l3 = size;
    }
}

#endif

static void detect(et_cpu *cpu)
{
    *cpu = (et_cpu){0};
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE) && defined(_SC_LEVEL3_CACHE_SIZE)
    cpu->l1d = sysconf(_SC_LEVEL1_DCACHE_SIZE);
    cpu->l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    cpu->l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
#if defined(CPU_X86)
    ask_features(cpu);
    ask_caches(0x80000000u | 0x1d, cpu);
    ask_caches(4, cpu);
#endif
#if defined(__aarch64__)
    cpu->neon = true;
#endif
    if (cpu->l1d <= 0)
        cpu->l1d = 32 * 1024;
    if (cpu->l2 <= 0)
        cpu->l2 = 512 * 1024;
    if (cpu->l3 <= 0)
        cpu->l3 = 4 * 1024 * 1024;
}

const et_cpu *et_cpu_info(void)
{
    enum { UNKNOWN, BUSY, KNOWN };
    static et_cpu cpu;
    static atomic_int state;
    int expected = UNKNOWN;

    if (atomic_load_explicit(&state, memory_order_acquire) == KNOWN)
        return &cpu;
    if (atomic_compare_exchange_strong(&state, &expected, BUSY)) {
        detect(&cpu);
        atomic_store_explicit(&state, KNOWN, memory_order_release);
    }
    while (atomic_load_explicit(&state, memory_order_acquire) != KNOWN) {
        /* another thread is asking; it takes microseconds */
    }
    return &cpu;
}
