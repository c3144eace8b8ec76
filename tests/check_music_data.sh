#!/bin/sh
# music-data as a user meets it: what it says of files and folders, what it makes, and what it answers to
# wrong use. make runs this in the build folder; MUSIC_DATA is the program (examples/music-data).
set -u

program=${MUSIC_DATA:-examples/music-data}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/program.sh
. "$here/program.sh"
LC_ALL=C # plain characters
export LC_ALL

# run ARGUMENTS...: its answers in files, its exit status
run()
{
    "$program" "$@" > "$dir/output" 2> "$dir/errors"
}

# says WORDS: the last answer holds them
says()
{
    grep -qF -- "$1" "$dir/output"
}

# says_nothing_wrong: no line on the error output
says_nothing_wrong()
{
    [ ! -s "$dir/errors" ]
}

# size_of_png FILE: "WIDTH HEIGHT"
size_of_png()
{
    [ "$(dd if="$1" bs=1 skip=1 count=3 2> /dev/null)" = PNG ] &&
        od -An -t u1 -j 16 -N 8 "$1" | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4, (($5 * 256 + $6) * 256 + $7) * 256 + $8 }'
}

fixtures=$here/fixtures

# --- sounds ------------------------------------------------------------------------------------

expect "info of a sound" run info "$fixtures/audio/s16.wav"
expect "its form" says "WAV, PCM 16, 22050 Hz, 2 channels, 5 frames"
expect "its level" says "peak -2.9 dB"
printf 'RIFF\046\0\0\0WAVEfmt \020\0\0\0\001\0\001\0\100\037\0\0\200\076\0\0\002\0\020\0data\002\0\0\0\0\100' > one.wav
expect "info of the shortest sound" run info one.wav
expect "in the singular" says "1 channel, 1 frame ("
expect "info of AU and AIFF-C" run info "$fixtures/audio/mulaw.au" "$fixtures/audio/sowt.aifc"
expect "AU" says "AU, mu-law, 22050 Hz"
expect "AIFF-C" says "AIFF-C, PCM 16, 22050 Hz"
expect "no complaint" says_nothing_wrong

# --- notes ---------------------------------------------------------------------------------------

# Format 0, 96 ticks a quarter note: tempo 100, meter 3/4, D major; D4 for a quarter, then A4 for a half,
# by program 40 (violin).
printf 'MThd\0\0\0\006\0\0\0\001\0\140MTrk\0\0\0\063' > song.mid
printf '\0\377\121\003\011\047\300\0\377\130\004\003\002\030\010\0\377\131\002\002\0\0\300\050' >> song.mid
printf '\0\220\076\144\140\200\076\100\0\220\105\144\201\100\200\105\100\0\377\057\0' >> song.mid
size=$(($(wc -c < song.mid) - 22))
printf 'MThd\0\0\0\006\0\0\0\001\0\140MTrk\0\0\0' > head.mid
# shellcheck disable=SC2059
printf "\\$(printf '%03o' $size)" >> head.mid
tail -c $size song.mid > body.mid
cat head.mid body.mid > song.mid

expect "midi" run midi song.mid --notes 9
expect "its notes" says "MIDI format 0, 1 track, 2 notes, 96 ticks a quarter note, 1.80 s"
expect "its tempo" says "tempo 100.0"
expect "its meter" says "meter 3/4"
expect "its key" says "key of D major"
expect "its range" says "D4 to A4, program 40"
expect "its list" grep -Eq '^ +0\.600 +1\.200 +0 +0 +A4 +100$' "$dir/output"
expect "info of notes" run info song.mid
expect "the same" says "2 notes"

expect "render" run render song.mid -o song.wav
expect "info of what it made" run info song.wav
expect "stereo" says "WAV, PCM 16, 22050 Hz, 2 channels"
expect "its peak" says "peak -1.9 dB"
expect "render to mono" run render song.mid --out mono.wav --channels 1 --rate 8000 --encoding float32 --peak 0.5 --end 1
expect "info of mono" run info mono.wav
expect "its rate" says "WAV, float 32, 8000 Hz, 1 channel"
expect "half of full scale" says "peak -6.0 dB"
expect "render again" run render song.mid --out again.wav
expect "the same sound" cmp song.wav again.wav
expect "brighter" run render song.mid --out bright.wav --brightness 1
expect "another sound" sh -c '! cmp -s song.wav bright.wav'

# --- pictures ------------------------------------------------------------------------------------

for front in won96:96:1 ast128:128:1 laion64:64:2 ms64:64:1 mulan:64:1 vit129:129:1 rnn64:64:3; do
    bins=${front#*:}
    zoom=${bins#*:}
    bins=${bins%:*}
    front=${front%%:*}
    expect "spectrogram of $front" run spectrogram song.wav --front-end "$front" --zoom "$zoom" -o "$front.png"
    expect "its picture" test "$(size_of_png "$front.png")" = \
        "$(awk -v zoom="$zoom" '{ for (i = 1; i < NF; i++) if ($(i + 1) == "frames") print $i * zoom }' "$dir/output") $((bins * zoom))"
done
expect "a part" run spectrogram song.wav -o part.png --begin 0.5 --end 1.5
expect "its frames" says "63 frames of 96 bins, 1.00 s"
expect "the default" cmp "$(run spectrogram song.wav -o default.png && echo default.png)" won96.png

# Samples that are no numbers are counted, and the others measured: 0.5 twice.
printf 'RIFF\064\0\0\0WAVEfmt \020\0\0\0\003\0\001\0\100\037\0\0\0\175\0\0\004\0\040\0data\020\0\0\0' > nan.wav
printf '\0\0\0\077\0\0\300\177\0\0\0\077\0\0\300\177' >> nan.wav
expect "info of samples that are no numbers" run info nan.wav
expect "their number" says "2 samples are no numbers"
expect "level of the others" says "peak -6.0 dB, RMS -6.0 dB, mean 0.5000, 0 samples"

misuse "nothing sounds from 1000 s on" render song.mid --begin 1000 -o late.wav
expect "no sound of nothing" test ! -e late.wav

# What is read is not written over.
cp song.wav keep.wav
cp song.mid keep.mid
ln -s keep.wav link.wav
misuse "--out: keep.wav is the file that is read" spectrogram keep.wav -o keep.wav
misuse "--out: keep.wav is the file that is read" spectrogram link.wav -o keep.wav
misuse "--out: ./keep.mid is the file that is read" render keep.mid -o ./keep.mid
expect "the sound is as it was" cmp song.wav keep.wav
expect "the notes are as they were" cmp song.mid keep.mid

# --- other files -----------------------------------------------------------------------------------

expect "info of an array" run info "$fixtures/npy/f4.npy"
expect "its shape" says "float32 [2, 3]"
over 20 "'<c8'" < "$fixtures/npy/f4.npy" > complex.npy
misuse "complex.npy: elements of type '<c8', which cannot be read" info complex.npy
expect "info of tensors" run info "$fixtures/optimisers.safetensors"
expect "their number" says "elements in all"
printf 'name,genre\none,blues\ntwo,jazz\n' > table.csv
expect "info of a table" run info table.csv
expect "its columns" says "table of 2 rows, 2 columns: name, genre"

mkdir -p tree/blues tree/jazz
cp song.wav tree/blues/one.wav
cp song.wav tree/jazz/two.wav
cp song.mid tree/jazz/two.mid
cp table.csv "$fixtures/npy/f4.npy" tree
: > tree/jazz/empty.wav
dd if=song.wav of=tree/jazz/jazz.00054.wav bs=1000 count=20 2> /dev/null
printf 'ID3' > tree/jazz/three.mp3
printf 'MThd' > tree/blues/broken.mid
expect "info of a folder" run info tree
expect "its sounds" says "2 sounds: WAV, PCM 16, 22050 Hz, 2 channels"
expect "its notes" says "1 MIDI file with 2 notes"
expect "what others decode" says "1 sound for ffmpeg or sox"
expect "its tensors" says "1 file of tensors"
expect "its table" says "1 table"
expect "the number of broken files" says "3 files that cannot be read"
expect "the truncated one" says "broken: tree/jazz/jazz.00054.wav: truncated"
expect "the empty one" says "broken: tree/jazz/empty.wav: the file is empty"
expect "the broken notes" says "broken: tree/blues/broken.mid: "
expect "no complaint" says_nothing_wrong
ln -s . tree/loop 2> /dev/null
mkdir tree/inner && ln -s ../../tree tree/inner/loop
expect "info of a folder in a circle" run info tree
expect "each sound once" says "2 sounds: WAV, PCM 16"
expect "each folder once" says "3 folders below it"

# --- the corpus --------------------------------------------------------------------------------------

tiny="--songs 5 --clips 1 --seconds 0.5 --rate 8000"
# shellcheck disable=SC2086
expect "make-corpus" run make-corpus some/corpus $tiny
expect "how many" says "some/corpus: 50 of 50 items"
expect "its folders" test "$(find some/corpus -name '*.wav' | wc -l)" -eq 50 -a "$(find some/corpus/jazz -type f | wc -l)" -eq 10
expect "its tables" test "$(wc -l < some/corpus/tracks.csv)" -eq 51 -a "$(wc -l < some/corpus/captions.csv)" -eq 51
expect "genres of the tracks" grep -Eq '^[0-9]+,jazz\.00000\.0,jazz,5,(train|valid|test)$' some/corpus/tracks.csv
expect "captions" grep -Eq '^jazz\.00000\.0,jazz/jazz\.00000\.0\.wav,jazz,[0-9]+,[a-z]+,".*jazz.*","[A-Z].*\."$' some/corpus/captions.csv
expect "all three splits" test "$(cut -d, -f5 some/corpus/tracks.csv | sort -u | tr '\n' ' ')" = "split test train valid "
expect "what is held out" test "$(grep -c ',0$' some/corpus/manifest.csv)" -eq "$(grep -Ec ',(valid|test)$' some/corpus/tracks.csv)"
expect "info of the corpus" run info some/corpus
expect "its sounds" says "50 sounds: WAV, PCM 16, 8000 Hz, 1 channel; 0:00:25 in all, 0.50 s on average"
expect "its notes" says "50 MIDI files"
expect "nothing broken" sh -c '! grep -q broken output'
# shellcheck disable=SC2086
misuse "some/corpus is not empty; --overwrite" make-corpus some/corpus $tiny
cp -r some/corpus old
# shellcheck disable=SC2086
expect "make-corpus again" run make-corpus some/corpus $tiny --overwrite
expect "the same files" diff -r old some/corpus
echo mine > some/corpus/jazz/jazz.00000.wav
# shellcheck disable=SC2086
expect "a smaller corpus in its place" run make-corpus some/corpus $tiny --songs 2 --overwrite
expect "nothing of the larger one" test "$(find some/corpus -name '*.wav' | wc -l)" -eq 21 -a "$(find some/corpus -name '*.mid' | wc -l)" -eq 20
expect "other files stay" grep -q mine some/corpus/jazz/jazz.00000.wav
# shellcheck disable=SC2086
expect "another seed" run make-corpus other $tiny --seed 2
expect "other songs" sh -c '! cmp -s other/jazz/jazz.00000.0.wav old/jazz/jazz.00000.0.wav'
misuse "a file of that name is in the way" make-corpus song.mid --songs 1
misuse "make-corpus needs DIR" make-corpus
misuse "--songs 0: outside 1 .. 100000" make-corpus new --songs 0
misuse "--noise 2: outside 0 .. 1" make-corpus new --noise 2
misuse "--seconds 0.1: outside 0.5 .. 120" make-corpus new --seconds 0.1
"$program" make-corpus stopped --songs 5000 > "$dir/output" 2> "$dir/errors" &
child=$!
while [ ! -f stopped/blues/blues.00000.1.wav ] && kill -0 $child 2> /dev/null; do
    sleep 0.05 2> /dev/null || sleep 1
done
kill -INT $child
wait $child
expect "status when it is stopped" test $? -eq 130
expect "what it says then" says "begin again with --overwrite"
expect "no tables then" test ! -e stopped/tracks.csv
expect "whole files only" test -z "$(find stopped -name '.*')"

# --- texts -------------------------------------------------------------------------------------------

# tokens: the numbers of the last answer
tokens()
{
    awk '$1 ~ /^[0-9]+$/ && $2 != "tokens:" { printf "%s ", $1 }' "$dir/output"
}

printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' slow guitar '##s' play , > vocab.txt
expect "tokenize" run tokenize "Slow GUITARS play, xylophone" --vocab vocab.txt
expect "its tokens" test "$(tokens)" = "5 6 7 8 9 1 "
expect "its end" says "6 tokens: slow guitars play, [UNK]"
printf '{"<s>": 0, "<unk>": 1, "a": 2, "b": 3, "ab": 4, "\304\240": 5}' > vocab.json
printf 'a b\n' > merges.txt
expect "tokenize by pairs" run tokenize "ab ba" --vocab vocab.json --merges merges.txt
expect "its tokens by pairs" test "$(tokens)" = "4 5 3 2 "
expect "its end by pairs" says "4 tokens: ab ba"
expect "tokenize without a vocabulary" run tokenize "A slow blues with piano"
expect "the text again" says "tokens: a slow blues with piano"
expect "a text without words" run tokenize " "
expect "none" says "0 tokens"
misuse "tokenize needs TEXT" tokenize
misuse "nowhere.txt: cannot open" tokenize a --vocab nowhere.txt
misuse "table.csv" tokenize a --vocab table.csv
misuse "--merges needs the vocabulary" tokenize a --merges merges.txt
misuse "vocab.txt" tokenize a --vocab vocab.txt --merges merges.txt
misuse "--size 4: outside" tokenize a --size 4
misuse "--size has no meaning with --vocab" tokenize a --size 40 --vocab vocab.txt

# --- wrong use -------------------------------------------------------------------------------------

misuse "say what to do: info, spectrogram, midi, render, make-corpus, tokenize"
misuse "unknown verb play" play song.mid
misuse "did you mean render?" rendr song.mid
misuse "info needs FILE..." info
misuse "midi needs FILE" midi
misuse "unexpected argument" midi song.mid song.mid
misuse "render needs --out" render song.mid
misuse "render needs FILE" render -o x.wav
misuse "--rate 1: outside 4000 .. 192000" render song.mid -o x.wav --rate 1
misuse "--channels 3: outside 1 .. 2" render song.mid -o x.wav --channels 3
misuse "not one of pcm16|pcm24|float32" render song.mid -o x.wav --encoding mp3
misuse "--peak 2: outside" render song.mid -o x.wav --peak 2
misuse "--notes is an option of midi, not of render" render song.mid -o x.wav --notes 3
misuse "nowhere.mid: cannot open: No such file" midi nowhere.mid
misuse "song.wav" midi song.wav
misuse "tree/blues/broken.mid" render tree/blues/broken.mid -o x.wav
misuse "nowhere/x.wav" render song.mid -o nowhere/x.wav
misuse "no front end" spectrogram song.wav -o x.png --front-end fft
misuse "there are won96" spectrogram song.wav -o x.png --front-end fft
misuse "spectrogram needs --out" spectrogram song.wav
misuse "--zoom 17: outside 1 .. 16" spectrogram song.wav -o x.png --zoom 17
misuse "jazz.00054.wav: truncated" spectrogram tree/jazz/jazz.00054.wav -o x.png
misuse "empty.wav: the file is empty" spectrogram tree/jazz/empty.wav -o x.png
misuse "nothing is left from --begin 9 on: it lasts" spectrogram song.wav -o x.png --begin 9
misuse "nothing is left from --begin 1 to --end 0.5" spectrogram song.wav -o x.png --begin 1 --end 0.5
misuse "too few for a frame of vit129" spectrogram "$fixtures/audio/s16.wav" -o x.png --front-end vit129
misuse "nowhere: cannot open" info nowhere
misuse "info: nothing" info "info: nothing"
misuse "empty.wav" info tree/jazz/empty.wav
expect "no file is left by what failed" sh -c '! ls x.wav x.png 2> /dev/null'

# Neither ffmpeg nor sox.
cp tree/jazz/three.mp3 three.mp3
env PATH=/nowhere "$program" info three.mp3 > "$dir/output" 2> "$dir/errors"
status=$?
expect "what to install" test "$status" -eq 2 -a "$(grep -c "three.mp3: .*install ffmpeg or sox" "$dir/errors")" -eq 1

# One broken file among others costs a line and the status, not the others.
"$program" info song.wav nowhere song.mid > "$dir/output" 2> "$dir/errors"
expect "status of a broken file among others" test $? -eq 2
expect "the other files" says "2 notes"
expect "its line" test "$(wc -l < "$dir/errors")" -eq 1

for verb in info spectrogram midi render make-corpus tokenize; do
    expect "help of $verb" run "$verb" --help
    expect "its usage" says "music-data $verb"
done
expect "help" run --help
expect "version" run --version

if [ -w /dev/full ]; then
    "$program" info song.wav > /dev/full 2> "$dir/errors"
    expect "info on a full disk" test $? -eq 1
fi

finish
