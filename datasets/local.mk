# datasets/: tables, synthetic tasks, splits and batches.
datasetsinclude_HEADERS += \
	datasets/audio.h \
	datasets/augment.h \
	datasets/batch.h \
	datasets/bpe.h \
	datasets/collection.h \
	datasets/corpus.h \
	datasets/csv.h \
	datasets/dataset.h \
	datasets/events.h \
	datasets/fft.h \
	datasets/front_end.h \
	datasets/gtzan.h \
	datasets/level.h \
	datasets/mel.h \
	datasets/midi.h \
	datasets/split.h \
	datasets/standardize.h \
	datasets/stft.h \
	datasets/synth.h \
	datasets/synthetic.h \
	datasets/tokens.h \
	datasets/unicode.h \
	datasets/vocabulary.h \
	datasets/window.h \
	datasets/wordpiece.h \
	datasets/words.h

libetude_la_SOURCES += \
	datasets/aiff.c \
	datasets/au.c \
	datasets/audio.c \
	datasets/audio_decode.c \
	datasets/audio_format.h \
	datasets/audio_program.c \
	datasets/augment.c \
	datasets/bands.c \
	datasets/bands.h \
	datasets/batch.c \
	datasets/bpe.c \
	datasets/bpe_files.c \
	datasets/bpe_internal.h \
	datasets/collection.c \
	datasets/corpus.c \
	datasets/corpus_genres.c \
	datasets/corpus_internal.h \
	datasets/corpus_parts.c \
	datasets/corpus_song.c \
	datasets/corpus_text.c \
	datasets/csv.c \
	datasets/dataset.c \
	datasets/events.c \
	datasets/folder.c \
	datasets/folder.h \
	datasets/grow.h \
	datasets/fft.c \
	datasets/fft_rows.c \
	datasets/fft_rows.h \
	datasets/front_end.c \
	datasets/gtzan.c \
	datasets/level.c \
	datasets/level_rows.h \
	datasets/mel.c \
	datasets/mel_bands.h \
	datasets/midi.c \
	datasets/midi_folder.c \
	datasets/midi_read.c \
	datasets/midi_write.c \
	datasets/resample.c \
	datasets/segments.c \
	datasets/split.c \
	datasets/standardize.c \
	datasets/stft.c \
	datasets/stft_rows.h \
	datasets/synth.c \
	datasets/synth_drums.c \
	datasets/synth_instruments.c \
	datasets/synth_internal.h \
	datasets/synth_reverb.c \
	datasets/synth_voices.c \
	datasets/synthetic.c \
	datasets/synthetic_captions.c \
	datasets/synthetic_melodies.c \
	datasets/tokenizer.c \
	datasets/tokenizer.h \
	datasets/tokens.c \
	datasets/unicode.c \
	datasets/unicode_tables.h \
	datasets/vocabulary.c \
	datasets/vocabulary_learn.c \
	datasets/wav.c \
	datasets/window.c \
	datasets/wordpiece.c \
	datasets/words.c

# Makes unicode_tables.h, which is kept, from Python's unicodedata: nobody needs Python to build.
EXTRA_DIST += datasets/gen_unicode.py
