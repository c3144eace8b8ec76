# examples/: one program for each paper, a line in noinst_PROGRAMS each. What they share is a library.
EXAMPLE_LIBS = examples/libcommon.la libetude.la
# They hold the library, so that they are no scripts of libtool's that call what lies elsewhere.
LIBRARY_WITHIN = $(AM_LDFLAGS) -static

noinst_LTLIBRARIES += examples/libcommon.la
examples_libcommon_la_SOURCES = \
	examples/common/cli.c \
	examples/common/cli.h \
	examples/common/cli_help.c \
	examples/common/cli_main.c \
	examples/common/colormap.c \
	examples/common/colormap.h \
	examples/common/deflate.c \
	examples/common/deflate.h \
	examples/common/internal.h \
	examples/common/interrupt.c \
	examples/common/interrupt.h \
	examples/common/markup.c \
	examples/common/markup.h \
	examples/common/piano_roll.c \
	examples/common/piano_roll.h \
	examples/common/png.c \
	examples/common/png.h \
	examples/common/progress.c \
	examples/common/progress.h \
	examples/common/report.c \
	examples/common/report.h \
	examples/common/run_features.c \
	examples/common/run_features.h \
	examples/common/run_model.c \
	examples/common/run_model.h \
	examples/common/run_train.c \
	examples/common/run_train.h \
	examples/common/runfolder.c \
	examples/common/runfolder.h \
	examples/common/runfolder_internal.h \
	examples/common/runfolder_json.c \
	examples/common/runfolder_log.c \
	examples/common/svg.c \
	examples/common/svg.h \
	examples/common/svg_bars.c \
	examples/common/svg_heatmap.c \
	examples/common/svg_internal.h \
	examples/common/textplot.c \
	examples/common/textplot.h

# What the two programs for genres share.
genre_sources = \
	examples/genre_corpus.c \
	examples/genre_corpus.h \
	examples/genre_data.c \
	examples/genre_data.h \
	examples/genre_judge.c \
	examples/genre_judge.h \
	examples/genre_model.c \
	examples/genre_model.h \
	examples/genre_report.c \
	examples/genre_report.h

noinst_PROGRAMS += examples/genre-rnn
examples_genre_rnn_SOURCES = \
	$(genre_sources) \
	examples/genre_rnn.c
examples_genre_rnn_LDFLAGS = $(LIBRARY_WITHIN)
examples_genre_rnn_LDADD = $(EXAMPLE_LIBS)

noinst_PROGRAMS += examples/music-data
examples_music_data_SOURCES = \
	examples/music_corpus.c \
	examples/music_corpus.h \
	examples/music_data.c \
	examples/music_info.c \
	examples/music_info.h \
	examples/music_midi.c \
	examples/music_text.c \
	examples/music_text.h
examples_music_data_LDFLAGS = $(LIBRARY_WITHIN)
examples_music_data_LDADD = $(EXAMPLE_LIBS)

noinst_PROGRAMS += examples/translate-toy
examples_translate_toy_SOURCES = \
	examples/translate_data.c \
	examples/translate_data.h \
	examples/translate_judge.c \
	examples/translate_judge.h \
	examples/translate_toy.c
examples_translate_toy_LDFLAGS = $(LIBRARY_WITHIN)
examples_translate_toy_LDADD = $(EXAMPLE_LIBS)

noinst_PROGRAMS += examples/genre-vit
examples_genre_vit_SOURCES = \
	$(genre_sources) \
	examples/genre_vit.c \
	examples/vit_ablate.c \
	examples/vit_data.c \
	examples/vit_data.h \
	examples/vit_folds.c \
	examples/vit_model.c \
	examples/vit_model.h \
	examples/vit_read.c \
	examples/vit_read.h \
	examples/vit_report.c \
	examples/vit_report.h \
	examples/vit_sounds.c \
	examples/vit_sounds.h \
	examples/vit_train.c \
	examples/vit_train.h
examples_genre_vit_LDFLAGS = $(LIBRARY_WITHIN)
examples_genre_vit_LDADD = $(EXAMPLE_LIBS)

noinst_PROGRAMS += examples/style-vae
examples_style_vae_SOURCES = \
	examples/style_collapse.c \
	examples/style_compare.c \
	examples/style_compare.h \
	examples/style_critic.c \
	examples/style_data.c \
	examples/style_data.h \
	examples/style_judge.c \
	examples/style_listener.c \
	examples/style_listener.h \
	examples/style_model.c \
	examples/style_model.h \
	examples/style_report.c \
	examples/style_report.h \
	examples/style_train.c \
	examples/style_train.h \
	examples/style_vae.c \
	examples/style_verbs.c \
	examples/style_verbs.h \
	examples/style_write.c \
	examples/style_write.h
examples_style_vae_LDFLAGS = $(LIBRARY_WITHIN)
examples_style_vae_LDADD = $(EXAMPLE_LIBS)

noinst_PROGRAMS += examples/music-tagger
examples_music_tagger_SOURCES = \
	examples/music_tagger.c \
	examples/tagger_batches.c \
	examples/tagger_batches.h \
	examples/tagger_data.c \
	examples/tagger_data.h \
	examples/tagger_judge.c \
	examples/tagger_judge.h \
	examples/tagger_maps.c \
	examples/tagger_maps.h \
	examples/tagger_measure.c \
	examples/tagger_measure.h \
	examples/tagger_model.c \
	examples/tagger_model.h \
	examples/tagger_report.c \
	examples/tagger_report.h \
	examples/tagger_splice.c \
	examples/tagger_splice.h \
	examples/tagger_train.c \
	examples/tagger_train.h
examples_music_tagger_LDFLAGS = $(LIBRARY_WITHIN)
examples_music_tagger_LDADD = $(EXAMPLE_LIBS)

noinst_PROGRAMS += examples/music-search
examples_music_search_SOURCES = \
	examples/music_search.c \
	examples/search_bases.c \
	examples/search_bases.h \
	examples/search_captions.c \
	examples/search_captions.h \
	examples/search_data.c \
	examples/search_data.h \
	examples/search_epochs.c \
	examples/search_epochs.h \
	examples/search_index.c \
	examples/search_index.h \
	examples/search_judge.c \
	examples/search_judge.h \
	examples/search_match.c \
	examples/search_match.h \
	examples/search_model.c \
	examples/search_model.h \
	examples/search_networks.c \
	examples/search_peers.c \
	examples/search_pretrain.c \
	examples/search_pretrain.h \
	examples/search_report.c \
	examples/search_report.h \
	examples/search_train.c \
	examples/search_train.h
examples_music_search_LDFLAGS = $(LIBRARY_WITHIN)
examples_music_search_LDADD = $(EXAMPLE_LIBS)
