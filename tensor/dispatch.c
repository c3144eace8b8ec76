/* Which kernel table is used. configure defines ET_WITH_... for the instruction sets
 * whose tables are built; generic and float64 always are. */
#include "config.h"

#include "tensor/cpu.h"
#include "tensor/kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const et_kernels et_kernels_generic, et_kernels_f64;
#if defined(ET_WITH_SSE2)
extern const et_kernels et_kernels_sse2;
#endif
#if defined(ET_WITH_AVX2)
extern const et_kernels et_kernels_avx2;
#endif
#if defined(ET_WITH_AVX512)
extern const et_kernels et_kernels_avx512;
#endif
#if defined(ET_WITH_NEON)
extern const et_kernels et_kernels_neon;
#endif

enum { MAX_TABLES = 5 };

/* The chosen float32 table; NULL until someone asks. Several threads may ask first at
 * once: they find the same. */
static _Atomic(const et_kernels *) chosen;

int et_kernels_available(const et_kernels *out[], int max)
{
    const et_cpu *cpu = et_cpu_info();
    const et_kernels *tables[MAX_TABLES];
    int n = 0;

    (void)cpu;
#if defined(ET_WITH_AVX512)
    if (cpu->avx512)
        tables[n++] = &et_kernels_avx512;
#endif
#if defined(ET_WITH_AVX2)
    if (cpu->avx2)
        tables[n++] = &et_kernels_avx2;
#endif
#if defined(ET_WITH_SSE2)
    if (cpu->sse2)
        tables[n++] = &et_kernels_sse2;
#endif
#if defined(ET_WITH_NEON)
    if (cpu->neon)
        tables[n++] = &et_kernels_neon;
#endif
    tables[n++] = &et_kernels_generic;
    for (int i = 0; i < n && i < max; i++)
        out[i] = tables[i];
    return n;
}

/* The table of that name, NULL if this machine or build lacks it. */
static const et_kernels *find(const char *name)
{
    const et_kernels *tables[MAX_TABLES];
    int n = et_kernels_available(tables, MAX_TABLES);

    for (int i = 0; name && i < n; i++)
        if (strcmp(tables[i]->name, name) == 0)
            return tables[i];
    return NULL;
}

/* The table of float32: chosen before, named by ETUDE_ISA, or the best. */
static const et_kernels *current(void)
{
    const et_kernels *k = atomic_load_explicit(&chosen, memory_order_relaxed);

    if (!k) {
        const et_kernels *none = NULL;

        k = find(getenv("ETUDE_ISA"));
        if (!k)
            et_kernels_available(&k, 1);
        if (!atomic_compare_exchange_strong(&chosen, &none, k))
            k = none;
    }
    return k;
}

const et_kernels *et_kernels_for(et_dtype dtype)
{
    if (dtype == ET_F32)
        return current();
    return dtype == ET_F64 ? &et_kernels_f64 : NULL;
}

et_status et_set_isa(const char *name)
{
    const et_kernels *k = find(name);

    if (!k) {
        const et_kernels *tables[MAX_TABLES];
        int n = et_kernels_available(tables, MAX_TABLES);
        char names[16 * MAX_TABLES] = "";

        for (int i = 0; i < n; i++) {
            strcat(names, i > 0 ? ", " : "");
            strcat(names, tables[i]->name);
        }
        return et_raise(ET_EINVAL, "et_set_isa: no kernels named \"%s\" here; there are %s",
                        name ? name : "(null)", names);
    }
    atomic_store(&chosen, k);
    return ET_OK;
}

const char *et_isa(void) { return current()->name; }
