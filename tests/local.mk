# tests/: a program check_*.c is a Check suite (see suite.h); it takes one line in check_PROGRAMS and
# one for its libraries. Scripts are listed in script_tests.
TEST_LDADD = libetude.la $(CHECK_LIBS)

if HAVE_CHECK
check_PROGRAMS += \
	tests/check_ast \
	tests/check_audio \
	tests/check_audio_program \
	tests/check_augment \
	tests/check_autograd \
	tests/check_bert \
	tests/check_bert_pretrain \
	tests/check_bf16 \
	tests/check_bpe \
	tests/check_clap \
	tests/check_clap_laion \
	tests/check_collection \
	tests/check_conv \
	tests/check_copy \
	tests/check_corpora \
	tests/check_corpus \
	tests/check_csv \
	tests/check_datasets \
	tests/check_encoder_decoder \
	tests/check_examples_cli \
	tests/check_examples_common \
	tests/check_examples_pictures \
	tests/check_examples_progress \
	tests/check_examples_report \
	tests/check_events \
	tests/check_feature_cache \
	tests/check_fft \
	tests/check_files \
	tests/check_front_end \
	tests/check_gemm \
	tests/check_gradcheck \
	tests/check_gtzan \
	tests/check_json \
	tests/check_kernel_rows \
	tests/check_kernels \
	tests/check_linalg \
	tests/check_loader \
	tests/check_losses \
	tests/check_metrics \
	tests/check_midi \
	tests/check_midi_data \
	tests/check_misuse \
	tests/check_misuse_ops \
	tests/check_mixed \
	tests/check_module \
	tests/check_nn \
	tests/check_nn_attention \
	tests/check_norm_lstm \
	tests/check_npy \
	tests/check_ops \
	tests/check_optim \
	tests/check_parity \
	tests/check_pool \
	tests/check_pool_norm \
	tests/check_parallel \
	tests/check_print \
	tests/check_profile \
	tests/check_recordings \
	tests/check_recurrent \
	tests/check_reduce_ops \
	tests/check_remake \
	tests/check_rng \
	tests/check_rng_fill \
	tests/check_resample \
	tests/check_safetensors \
	tests/check_scopes \
	tests/check_search \
	tests/check_search_data \
	tests/check_search_epochs \
	tests/check_shape_ops \
	tests/check_synth \
	tests/check_synthetic \
	tests/check_spectra \
	tests/check_standardize \
	tests/check_style_music \
	tests/check_style_vae \
	tests/check_tokens \
	tests/check_tagger \
	tests/check_tape \
	tests/check_tensor \
	tests/check_towers \
	tests/check_train \
	tests/check_train_phases \
	tests/check_transformer \
	tests/check_two_tower \
	tests/check_view \
	tests/check_vit \
	tests/check_wav_write \
	tests/check_windows \
	tests/check_workers
endif

tests_check_audio_SOURCES = tests/check_audio.c tests/audio_bytes.h
tests_check_ast_LDADD = $(TEST_LDADD)
tests_check_audio_LDADD = $(TEST_LDADD)
tests_check_audio_program_LDADD = $(TEST_LDADD)
tests_check_augment_LDADD = $(TEST_LDADD)
tests_check_autograd_LDADD = $(TEST_LDADD)
tests_check_bert_LDADD = $(TEST_LDADD)
tests_check_bert_pretrain_LDADD = $(TEST_LDADD)
tests_check_bf16_LDADD = $(TEST_LDADD)
tests_check_bpe_LDADD = $(TEST_LDADD)
tests_check_clap_LDADD = $(TEST_LDADD)
tests_check_clap_laion_LDADD = $(TEST_LDADD)
tests_check_collection_LDADD = $(TEST_LDADD)
tests_check_conv_LDADD = $(TEST_LDADD)
tests_check_copy_LDADD = $(TEST_LDADD)
tests_check_corpora_LDADD = $(TEST_LDADD)
tests_check_corpus_LDADD = $(TEST_LDADD)
tests_check_csv_LDADD = $(TEST_LDADD)
tests_check_datasets_LDADD = $(TEST_LDADD)
tests_check_encoder_decoder_LDADD = $(TEST_LDADD)
tests_check_examples_cli_LDADD = examples/libcommon.la $(TEST_LDADD)
tests_check_examples_common_LDADD = examples/libcommon.la $(TEST_LDADD)
tests_check_examples_pictures_LDADD = examples/libcommon.la $(TEST_LDADD)
tests_check_examples_progress_LDADD = examples/libcommon.la $(TEST_LDADD)
tests_check_examples_report_LDADD = examples/libcommon.la $(TEST_LDADD)
tests_check_events_LDADD = $(TEST_LDADD)
tests_check_feature_cache_LDADD = $(TEST_LDADD)
tests_check_fft_LDADD = $(TEST_LDADD)
tests_check_files_LDADD = $(TEST_LDADD)
tests_check_front_end_LDADD = $(TEST_LDADD)
tests_check_gemm_LDADD = $(TEST_LDADD)
tests_check_gradcheck_LDADD = $(TEST_LDADD)
tests_check_gtzan_LDADD = $(TEST_LDADD)
tests_check_json_LDADD = $(TEST_LDADD)
tests_check_kernel_rows_LDADD = $(TEST_LDADD)
tests_check_kernels_LDADD = $(TEST_LDADD)
tests_check_linalg_LDADD = $(TEST_LDADD)
tests_check_loader_LDADD = $(TEST_LDADD)
tests_check_losses_LDADD = $(TEST_LDADD)
tests_check_metrics_LDADD = $(TEST_LDADD)
tests_check_midi_LDADD = $(TEST_LDADD)
tests_check_midi_data_LDADD = $(TEST_LDADD)
tests_check_misuse_LDADD = $(TEST_LDADD)
tests_check_misuse_ops_LDADD = $(TEST_LDADD)
tests_check_mixed_LDADD = $(TEST_LDADD)
tests_check_module_LDADD = $(TEST_LDADD)
tests_check_nn_LDADD = $(TEST_LDADD)
tests_check_nn_attention_LDADD = $(TEST_LDADD)
tests_check_norm_lstm_LDADD = $(TEST_LDADD)
tests_check_npy_LDADD = $(TEST_LDADD)
tests_check_ops_LDADD = $(TEST_LDADD)
tests_check_optim_LDADD = $(TEST_LDADD)
tests_check_parity_LDADD = $(TEST_LDADD)
tests_check_parallel_LDADD = $(TEST_LDADD)
tests_check_pool_LDADD = $(TEST_LDADD)
tests_check_pool_norm_LDADD = $(TEST_LDADD)
tests_check_print_LDADD = $(TEST_LDADD)
tests_check_profile_LDADD = $(TEST_LDADD)
tests_check_recordings_LDADD = $(TEST_LDADD)
tests_check_recurrent_SOURCES = tests/check_recurrent.c tests/recurrent_slow.h
tests_check_recurrent_LDADD = $(TEST_LDADD)
tests_check_reduce_ops_LDADD = $(TEST_LDADD)
tests_check_remake_LDADD = $(TEST_LDADD)
tests_check_rng_LDADD = $(TEST_LDADD)
tests_check_rng_fill_LDADD = $(TEST_LDADD)
tests_check_resample_LDADD = $(TEST_LDADD)
tests_check_safetensors_LDADD = $(TEST_LDADD)
tests_check_scopes_LDADD = $(TEST_LDADD)
tests_check_search_LDADD = $(TEST_LDADD)
tests_check_search_data_SOURCES = examples/search_captions.c examples/search_data.c examples/search_model.c \
	examples/search_networks.c examples/search_peers.c tests/check_search_data.c
tests_check_search_data_LDADD = examples/libcommon.la $(TEST_LDADD)
tests_check_search_epochs_SOURCES = examples/search_epochs.c tests/check_search_epochs.c
tests_check_search_epochs_LDADD = examples/libcommon.la $(TEST_LDADD)
tests_check_shape_ops_LDADD = $(TEST_LDADD)
tests_check_synth_LDADD = $(TEST_LDADD)
tests_check_synthetic_LDADD = $(TEST_LDADD)
tests_check_spectra_LDADD = $(TEST_LDADD)
tests_check_standardize_LDADD = $(TEST_LDADD)
tests_check_style_music_SOURCES = \
	examples/style_compare.c \
	examples/style_data.c \
	examples/style_judge.c \
	examples/style_model.c \
	examples/style_write.c \
	tests/check_style_music.c
tests_check_style_music_LDADD = examples/libcommon.la $(TEST_LDADD)
tests_check_style_vae_LDADD = $(TEST_LDADD)
tests_check_tokens_LDADD = $(TEST_LDADD)
tests_check_tagger_LDADD = $(TEST_LDADD)
tests_check_tape_LDADD = $(TEST_LDADD)
tests_check_tensor_LDADD = $(TEST_LDADD)
tests_check_towers_LDADD = $(TEST_LDADD)
tests_check_train_LDADD = $(TEST_LDADD)
tests_check_train_phases_LDADD = $(TEST_LDADD)
tests_check_transformer_LDADD = $(TEST_LDADD)
tests_check_two_tower_LDADD = $(TEST_LDADD)
tests_check_view_LDADD = $(TEST_LDADD)
tests_check_vit_LDADD = $(TEST_LDADD)
tests_check_wav_write_LDADD = $(TEST_LDADD)
tests_check_windows_LDADD = $(TEST_LDADD)
tests_check_workers_LDADD = $(TEST_LDADD)

# What fuzzers found, run again: a program for each file of fixtures/fuzz.
check_PROGRAMS += tests/check_fuzz_audio tests/check_fuzz_bpe tests/check_fuzz_cache tests/check_fuzz_csv \
	tests/check_fuzz_json tests/check_fuzz_npy tests/check_fuzz_safetensors \
	tests/check_fuzz_wordpiece
tests_check_fuzz_audio_SOURCES = tests/fuzz_audio.c tests/fuzz_replay.c
tests_check_fuzz_bpe_SOURCES = tests/fuzz_bpe.c tests/fuzz_replay.c
tests_check_fuzz_cache_SOURCES = tests/fuzz_cache.c tests/fuzz_replay.c
tests_check_fuzz_csv_SOURCES = tests/fuzz_csv.c tests/fuzz_replay.c
tests_check_fuzz_json_SOURCES = tests/fuzz_json.c tests/fuzz_replay.c
tests_check_fuzz_npy_SOURCES = tests/fuzz_npy.c tests/fuzz_replay.c
tests_check_fuzz_safetensors_SOURCES = tests/fuzz_safetensors.c tests/fuzz_replay.c
tests_check_fuzz_wordpiece_SOURCES = tests/fuzz_wordpiece.c tests/fuzz_replay.c

# Made by hand: "make tests/ulp" measures the errors of the kernels; in a build configured with
# CC=clang --enable-sanitizers, "make tests/fuzz_csv" makes a libFuzzer program.
EXTRA_PROGRAMS += tests/ulp tests/fuzz_audio tests/fuzz_bpe tests/fuzz_cache tests/fuzz_csv tests/fuzz_json \
	tests/fuzz_midi tests/fuzz_npy tests/fuzz_safetensors tests/fuzz_wordpiece
CLEANFILES += $(EXTRA_PROGRAMS)
tests_ulp_SOURCES = tests/ulp.c tests/accuracy.h
tests_fuzz_audio_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer
tests_fuzz_bpe_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer
tests_fuzz_cache_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer
tests_fuzz_csv_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer
tests_fuzz_json_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer
tests_fuzz_midi_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer
tests_fuzz_npy_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer
tests_fuzz_safetensors_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer
tests_fuzz_wordpiece_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer

# An op without samples stops the build of the suite that walks them.
CLEANFILES += tests/samples.stamp
tests/check_ops.$(OBJEXT): tests/samples.stamp
tests/samples.stamp: tests/need_samples.awk autograd/ops.def $(op_sources) autograd/ops.h
	$(AM_V_GEN)for source in $(op_sources); do $(COMPILE) -E $(srcdir)/$$source || exit 1; done | \
	$(AWK) -f $(srcdir)/tests/need_samples.awk $(srcdir)/autograd/ops.def - > $@.tmp && mv -f $@.tmp $@

include tests/mutation/local.mk

script_tests = tests/check_bench.sh tests/check_docs.sh tests/check_genre_rnn.sh tests/check_genre_vit.sh tests/check_headers.sh tests/check_music_data.sh tests/check_music_search.sh tests/check_music_tagger.sh tests/check_style_program.sh \
	tests/check_translate_toy.sh

TESTS += $(check_PROGRAMS) $(script_tests)
tests/check_bench.log: bench/etude-bench$(EXEEXT)
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = \
	CC='$(CC)'; export CC; CXX='$(CXX)'; export CXX; \
	CPPFLAGS='-I$(top_builddir) -I$(top_srcdir) $(CPPFLAGS)'; export CPPFLAGS; \
	PUBLIC_HEADERS='$(public_headers) etude.h'; export PUBLIC_HEADERS; \
	LIBTOOL='$(LIBTOOL)'; export LIBTOOL; \
	DOC_CFLAGS='$(AM_CFLAGS) $(CFLAGS)'; export DOC_CFLAGS; \
	CK_DEFAULT_TIMEOUT=$${CK_DEFAULT_TIMEOUT-60}; export CK_DEFAULT_TIMEOUT; \
	CK_TIMEOUT_MULTIPLIER=$${CK_TIMEOUT_MULTIPLIER-4}; export CK_TIMEOUT_MULTIPLIER;

EXTRA_DIST += \
	$(script_tests) \
	tests/accuracy.h \
	tests/alloc_sweep.h \
	tests/audio_bytes.h \
	tests/captioned.h \
	tests/chirps.h \
	tests/cross.sh \
	tests/files.h \
	tests/grad_sweep.h \
	tests/in_scope.h \
	tests/fixtures \
	tests/fuzz_audio.c \
	tests/fuzz_bpe.c \
	tests/fuzz_cache.c \
	tests/fuzz_csv.c \
	tests/fuzz_json.c \
	tests/fuzz_midi.c \
	tests/fuzz_npy.c \
	tests/fuzz_replay.c \
	tests/fuzz_safetensors.c \
	tests/fuzz_wordpiece.c \
	tests/installcheck.c \
	tests/installcheck.sh \
	tests/kernel_arrays.h \
	tests/kill_resume.sh \
	tests/little_clap.h \
	tests/need_samples.awk \
	tests/misuse.h \
	tests/module_sweep.h \
	tests/op_samples.h \
	tests/oracle \
	tests/parity_cases.h \
	tests/png_reader.h \
	tests/program.sh \
	tests/print_table.h \
	tests/rng_word.h \
	tests/small_set.h \
	tests/spectra_signal.h \
	tests/suite.h \
	tests/symbolic.h \
	tests/toy_program.h \
	tests/totals.sh \
	tests/train_task.h \
	tests/values.h

# The suite under valgrind, every program in one process, with blocks of malloc's own, and of many
# alike cases a part. Takes most of an hour; VALGRIND_TESTS chooses some.
VALGRIND = valgrind
VALGRIND_FLAGS = -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect,possible \
	--errors-for-leak-kinds=definite,indirect,possible --num-callers=20
VALGRIND_TESTS = $(check_PROGRAMS)
check-valgrind: $(BUILT_SOURCES) $(check_PROGRAMS)
	@failed=; for program in $(VALGRIND_TESTS); do \
	  CK_FORK=no; CK_DEFAULT_TIMEOUT=0; CK_TIMEOUT_MULTIPLIER=1000; ETUDE_POOL=system; ETUDE_BRIEF=1; srcdir='$(srcdir)'; \
	  export CK_FORK CK_DEFAULT_TIMEOUT CK_TIMEOUT_MULTIPLIER ETUDE_POOL ETUDE_BRIEF srcdir; \
	  echo "$$program"; \
	  $(LIBTOOL) --mode=execute $(VALGRIND) $(VALGRIND_FLAGS) $$program || failed="$$failed $$program"; \
	done; \
	test -z "$$failed" || { echo "valgrind or a test complains in:$$failed"; exit 1; }
.PHONY: check-valgrind

if !HAVE_CHECK
check-local:
	@echo "Check is missing (https://libcheck.github.io/check): its test programs were skipped."
endif

# Python leaves caches beside the oracles.
dist-hook:
	find $(distdir) -name __pycache__ -exec rm -rf {} +
