# bench/: speed and memory. "make bench" builds bench/etude-bench and prints the short tables;
# "make bench-compare" runs it side by side with PyTorch, where that is installed.
EXTRA_PROGRAMS += bench/etude-bench
bench_etude_bench_SOURCES = \
	bench/audio.c \
	bench/bench.h \
	bench/conv.c \
	bench/elementwise.c \
	bench/etude_bench.c \
	bench/gemm.c \
	bench/limits.c \
	bench/measure.c \
	bench/memory.c \
	bench/model_step.c \
	bench/model_step.h \
	bench/ops.c \
	bench/overhead.c \
	bench/pairs.c \
	bench/paper.c \
	bench/peak.h \
	bench/report.c \
	bench/rnn.c \
	bench/rnn.h \
	bench/search.c \
	bench/steady.c \
	bench/style.c \
	bench/tagger.c \
	bench/towers.c \
	bench/trainer.c \
	bench/vit.c
# The library is linked statically: what it costs is then no matter of how it was built.
bench_etude_bench_LDFLAGS = $(LIBRARY_WITHIN)
bench_etude_bench_LDADD = $(bench_peaks) $(LDADD)

# A peer, where FFTW is installed (Debian: libfftw3-dev).
bench_peer_programs =
if HAVE_FFTW
bench_peer_programs += bench/peers/fftw
EXTRA_PROGRAMS += bench/peers/fftw
bench_peers_fftw_SOURCES = bench/bench.h bench/measure.c bench/peers/fftw.c
bench_peers_fftw_CFLAGS = $(AM_CFLAGS) $(FFTW_CFLAGS)
bench_peers_fftw_LDFLAGS = $(LIBRARY_WITHIN)
bench_peers_fftw_LDADD = $(LDADD) $(FFTW_LIBS)
endif

# The loop that measures the peak: compiled for each instruction set, as the kernels are.
bench_peaks = bench/libpeak_generic.la
EXTRA_LTLIBRARIES += bench/libpeak_generic.la
bench_libpeak_generic_la_SOURCES = bench/peak.c bench/peak.h
bench_libpeak_generic_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_GENERIC
bench_libpeak_generic_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS)

if WITH_SSE2
bench_peaks += bench/libpeak_sse2.la
EXTRA_LTLIBRARIES += bench/libpeak_sse2.la
bench_libpeak_sse2_la_SOURCES = bench/peak.c bench/peak.h
bench_libpeak_sse2_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_SSE2
bench_libpeak_sse2_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(SSE2_CFLAGS)
endif

if WITH_AVX2
bench_peaks += bench/libpeak_avx2.la
EXTRA_LTLIBRARIES += bench/libpeak_avx2.la
bench_libpeak_avx2_la_SOURCES = bench/peak.c bench/peak.h
bench_libpeak_avx2_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_AVX2
bench_libpeak_avx2_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(AVX2_CFLAGS)
endif

if WITH_AVX512
bench_peaks += bench/libpeak_avx512.la
EXTRA_LTLIBRARIES += bench/libpeak_avx512.la
bench_libpeak_avx512_la_SOURCES = bench/peak.c bench/peak.h
bench_libpeak_avx512_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_AVX512
bench_libpeak_avx512_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(AVX512_CFLAGS)
endif

if WITH_NEON
bench_peaks += bench/libpeak_neon.la
EXTRA_LTLIBRARIES += bench/libpeak_neon.la
bench_libpeak_neon_la_SOURCES = bench/peak.c bench/peak.h
bench_libpeak_neon_la_CPPFLAGS = $(AM_CPPFLAGS) -DET_ISA_NEON
bench_libpeak_neon_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS) $(NEON_CFLAGS)
endif

EXTRA_DIST += bench/compare bench/compare-audio bench/corpus_baseline.py bench/genre-seeds bench/turns.py \
	bench/peers/fftw.c bench/peers/layer.py bench/peers/ops.py bench/peers/pairs.py bench/peers/rnn_attention.py bench/peers/serving.py \
	bench/peers/spectra.py bench/peers/tagger.py bench/peers/towers.py bench/peers/two_tower.py bench/peers/vit.py bench/peers/style_vae.py

CLEANFILES += bench/etude-bench $(bench_peaks) $(bench_peer_programs)

# BENCH_FLAGS and COMPARE_FLAGS: further options (--threads 2, --seconds 5, ...).
.PHONY: bench bench-build bench-compare bench-compare-audio bench-all
bench-build: all
	$(MAKE) $(AM_MAKEFLAGS) bench/etude-bench $(bench_peer_programs)
bench: bench-build
	bench/etude-bench --brief --seconds 0.3 $(BENCH_FLAGS)
bench-compare: bench-build
	$(srcdir)/bench/compare --bench bench/etude-bench $(COMPARE_FLAGS)
bench-compare-audio: bench-build
	$(srcdir)/bench/compare-audio --bench bench/etude-bench --fftw bench/peers/fftw $(COMPARE_FLAGS)
# All figures of doc/results.md.
bench-all: bench-build
	bench/etude-bench $(BENCH_FLAGS)
	bench/etude-bench --threads 2 --only limits,gemm,rnn $(BENCH_FLAGS)
	$(srcdir)/bench/compare --bench bench/etude-bench $(COMPARE_FLAGS)
	$(srcdir)/bench/compare --bench bench/etude-bench --models ops $(COMPARE_FLAGS)
	$(srcdir)/bench/compare-audio --bench bench/etude-bench --fftw bench/peers/fftw $(COMPARE_FLAGS)
