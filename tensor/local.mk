# tensor/: everything below differentiation.
tensorinclude_HEADERS += \
	tensor/alloc.h \
	tensor/error.h \
	tensor/gemm.h \
	tensor/kernels.h \
	tensor/npy.h \
	tensor/parallel.h \
	tensor/pool.h \
	tensor/rng.h \
	tensor/safetensors.h \
	tensor/scope.h \
	tensor/tensor.h

libetude_la_SOURCES += \
	tensor/alloc.c \
	tensor/bytes.h \
	tensor/conv.c \
	tensor/conv.h \
	tensor/conv_small.c \
	tensor/conv_tall.c \
	tensor/conv_winograd.c \
	tensor/copy.c \
	tensor/cpu.c \
	tensor/cpu.h \
	tensor/dispatch.c \
	tensor/error.c \
	tensor/file.c \
	tensor/file.h \
	tensor/bf16.h \
	tensor/gemm.c \
	tensor/gemm_bf16.c \
	tensor/internal.h \
	tensor/hash.h \
	tensor/ints.h \
	tensor/iter.c \
	tensor/iter.h \
	tensor/json.c \
	tensor/json.h \
	tensor/json_write.c \
	tensor/mt19937.c \
	tensor/mt19937.h \
	tensor/npy.c \
	tensor/number.c \
	tensor/number.h \
	tensor/os.c \
	tensor/os.h \
	tensor/order.c \
	tensor/order.h \
	tensor/parallel.c \
	tensor/pool.c \
	tensor/print.c \
	tensor/rng.c \
	tensor/rng_fill.c \
	tensor/rng_words.h \
	tensor/safetensors.c \
	tensor/safetensors_write.c \
	tensor/scope.c \
	tensor/sort.c \
	tensor/sort.h \
	tensor/strbuf.c \
	tensor/strbuf.h \
	tensor/tensor.c \
	tensor/wire.c \
	tensor/wire.h \
	tensor/workers.c \
	tensor/workers.h

# The kernels: one source, compiled once for each instruction set into a library of its own.
kernel_sources = \
	tensor/kernels/variant.c \
	tensor/kernels/attention.h \
	tensor/kernels/conv.h \
	tensor/kernels/conv_tall.h \
	tensor/kernels/elementwise.h \
	tensor/kernels/fft.h \
	tensor/kernels/gemm.h \
	tensor/kernels/math.h \
	tensor/kernels/math_libm.h \
	tensor/kernels/optim.h \
	tensor/kernels/pool.h \
	tensor/kernels/random.h \
	tensor/kernels/recurrent.h \
	tensor/kernels/recurrent_cells.h \
	tensor/kernels/reduce.h \
	tensor/kernels/rows.h \
	tensor/kernels/transpose.h \
	tensor/kernels/trig_pow.h \
	tensor/kernels/vec.h \
	tensor/kernels/winograd.h

noinst_LTLIBRARIES += tensor/kernels/libgeneric.la tensor/kernels/libf64.la
libetude_la_LIBADD += tensor/kernels/libgeneric.la tensor/kernels/libf64.la
tensor_kernels_libgeneric_la_SOURCES = $(kernel_sources)
tensor_kernels_libgeneric_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_GENERIC
tensor_kernels_libgeneric_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(PLAIN_CFLAGS)
tensor_kernels_libf64_la_SOURCES = $(kernel_sources)
tensor_kernels_libf64_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_F64
tensor_kernels_libf64_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(PLAIN_CFLAGS)

if WITH_SSE2
noinst_LTLIBRARIES += tensor/kernels/libsse2.la
libetude_la_LIBADD += tensor/kernels/libsse2.la
tensor_kernels_libsse2_la_SOURCES = $(kernel_sources)
tensor_kernels_libsse2_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_SSE2
tensor_kernels_libsse2_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(PLAIN_CFLAGS) $(SSE2_CFLAGS)
endif

if WITH_AVX2
noinst_LTLIBRARIES += tensor/kernels/libavx2.la
libetude_la_LIBADD += tensor/kernels/libavx2.la
tensor_kernels_libavx2_la_SOURCES = $(kernel_sources)
tensor_kernels_libavx2_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_AVX2
tensor_kernels_libavx2_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(AVX2_CFLAGS)
endif

if WITH_AVX512
noinst_LTLIBRARIES += tensor/kernels/libavx512.la
libetude_la_LIBADD += tensor/kernels/libavx512.la
tensor_kernels_libavx512_la_SOURCES = $(kernel_sources)
tensor_kernels_libavx512_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_AVX512
tensor_kernels_libavx512_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(AVX512_CFLAGS)
endif

# Products of bfloat16 alone: all else of AVX-512 is in the library above.
if WITH_AVX512_BF16
noinst_LTLIBRARIES += tensor/kernels/libbf16.la
libetude_la_LIBADD += tensor/kernels/libbf16.la
tensor_kernels_libbf16_la_SOURCES = tensor/kernels/bf16_avx512.c
tensor_kernels_libbf16_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(AVX512_BF16_CFLAGS)
endif

if WITH_NEON
noinst_LTLIBRARIES += tensor/kernels/libneon.la
libetude_la_LIBADD += tensor/kernels/libneon.la
tensor_kernels_libneon_la_SOURCES = $(kernel_sources)
tensor_kernels_libneon_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_NEON
tensor_kernels_libneon_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(NEON_CFLAGS)
endif
