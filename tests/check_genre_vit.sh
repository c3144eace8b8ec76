#!/bin/sh
# genre-vit as a user meets it: it learns its built-in task, evaluates, explains and compares variants; folds,
# bits at any thread count, resuming, and wrong use. make runs this in the build folder; GENRE_VIT is the
# program (examples/genre-vit).
set -u

program=${GENRE_VIT:-examples/genre-vit}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/program.sh
. "$here/program.sh"

expect "learns" run train --task waves --out learned --epochs "${brief:-4}"
expect "accuracy on validation data" learned "$(figure learned valid accuracy)" 0.98
expect "evaluates" run eval --out learned
expect "accuracy on fresh data" learned "$(figure learned test accuracy)" 0.98
expect "a report" grep -q "Attention over spectrograms" learned/report.html
expect "explains" run explain --out learned --count 2
# where ROW COLUMN: the strongest patches of two items are 8 frames by 4 bins, at 8 times the field ROW and 4 times COLUMN
where()
{
    tr -d '(),' < output | awk -v r="$1" -v c="$2" '$2 == "row" { n++; good += $6 == "frames" && $7 == 8 * $r &&
        $9 == $7 + 8 && $10 == "bins" && $11 == 4 * $c && $13 == $11 + 4 } END { exit !(n == 10 && good == n) }'
}
expect "strongest patches" says '^    5\. row [0-3], column [0-3] \(frames [0-9]+ to [0-9]+, bins [0-9]+ to [0-9]+\)  weight 0\.'
expect "where they are" where 3 5
expect "pictures" test -s learned/explain.html
expect "which line up" test "$(grep -o 'pixelated" x="[0-9.]*" y="[0-9.]*" width="[0-9.]*"' learned/explain.html | sort -u | wc -l)" -eq 1

# The same seed gives the same bits; a run that is gone on with too.
expect "short run" run train --task waves --out one --epochs 2
"$program" train --task waves --out two --epochs 2 --threads 3 > /dev/null 2>&1
expect "the same with three threads" cmp -s one/best.safetensors two/best.safetensors
expect "two folds of three" run train --task waves --out half --epochs 2 --folds 3 --fold 2,0
expect "both folds in the log" test "$(wc -l < half/log.jsonl)" -eq 4
expect "the second fold's weights" test -s half/best-1.safetensors
expect "curves of each fold" grep -q "Fold 2" half/report.html
expect "both figures and their mean" says '^mean of 2 folds: accuracy 0\.'
expect "in the metrics too" at_least "$(figure half folds accuracy_2)" 0.2
cp half/best.safetensors first
rm half/last-1.ckpt half/best-1.safetensors
refused half train
expect "goes on with the second fold" run train --resume --out half
expect "the first is as it was" cmp -s half/best.safetensors first
expect "the second is there again" test -s half/best-1.safetensors
expect "curves of fold 2" grep -q "Fold 2" half/report.html
cp half/log.jsonl before
misuse "the folds of the run in half have 2 each" train --task waves --out half --resume --epochs 3
expect "the log is as it was" cmp -s half/log.jsonl before
expect "as many epochs as it has" run train --task waves --out half --resume --epochs 2
expect "one fold" run train --task waves --out single --epochs 1 --folds 3 --fold 1
expect "more epochs of one fold" run train --task waves --out single --resume --epochs 2
expect "all in the log" test "$(sed 's/.*"epoch": \([0-9]\).*/\1/' single/log.jsonl | tr -d '\n')" = 12
expect "another run in its place" run train --task waves --out half --overwrite --epochs 1 --folds 3 --fold 1
expect "nothing of the old run's second fold" sh -c '! ls half/last-* half/best-* 2> /dev/null'

expect "the options of the model" run train --task waves --out shaped --epochs 1 --pooling class --patch-height 4 --patch-width 8 \
    --step-height 2 --members 2 --drop-path 0.2 --acts 1 --mixup 0.4 --smoothing 0.1 --schedule cosine --clip 1 --transpose \
    --image-height 16 --image-width 32 --head2 16
expect "eval finds them in the run" run eval --out shaped
windows="--task waves --window 12"
# shellcheck disable=SC2086
expect "frames from all of an item, spectra that move, an equaliser" run train --out moved $windows --frames spread --shift 2 --equalise 0.2 --epochs 2
expect "windows of them" says '^2400 training and 600 validation items of 12 frames'
# shellcheck disable=SC2086
expect "one epoch of it" run train --out onward $windows --frames spread --shift 2 --equalise 0.2 --epochs 1 --threads 3
cp onward/best.safetensors first
expect "and another" run train --out onward --resume --epochs 2 --threads 3
expect "the same with three threads and a break" cmp -s onward/last.ckpt moved/last.ckpt
# shellcheck disable=SC2086
expect "without an equaliser" run train --out still $windows --frames spread --shift 2 --epochs 1
expect "which is not the same" sh -c '! cmp -s still/best.safetensors first'
# shellcheck disable=SC2086
expect "nor moved" run train --out calm $windows --frames spread --epochs 1
expect "nor is that" sh -c '! cmp -s calm/best.safetensors still/best.safetensors'
# shellcheck disable=SC2086
expect "stretches of the items" run train --out near $windows --epochs 1
expect "nor is that" sh -c '! cmp -s near/best.safetensors calm/best.safetensors'
expect "eval takes such windows" run eval --out moved
expect "three of an item" says '^test: 3000 segments'
misuse "--shift 16: the spectra have 16 bands" train --task waves --shift 16 --out bad --epochs 1
expect "before a folder is made" test ! -e bad
expect "variants side by side" run ablate --task waves --epochs 1
expect "six of them, as two are what is configured" test "$(grep -c '^[a-z].*[0-9]$' "$dir/output")" -eq 6
expect "which is said" test "$(grep -cE '^(all tokens, flattened|heads share the width) +the same as "as configured"$' "$dir/output")" -eq 2
expect "variants of another model" run ablate --task waves --epochs 1 --pooling class --head-width 8
expect "seven of them" test "$(grep -c '^[a-z].*[0-9]$' "$dir/output")" -eq 7
expect "its own pooling is not one" says '^class token +the same as "as configured"$'
"$program" ablate --task waves --epochs 1000000 --threads 1 > "$dir/output" 2> "$dir/errors" &
child=$!
stop_when TERM says '^variant'
expect "variants can be stopped" test $? -eq 130
expect "which is said, and no row of half a training" test "$(grep -c '^[a-z]' "$dir/output")" -eq 2
expect "in words" says '^stopped before all was trained, which cannot be gone on with$'

# A table of spectrograms like GTZAN's: levels about each band's mean, unless it is the track's.
spectrogram ten 6 10
table="--data ten --epochs 2 --batch 8 --mixup 0 --members 1 --lr 0.01"
# shellcheck disable=SC2086
expect "learns from a table" run train --out table $table --epochs "${brief:-8}"
expect "accuracy on it" learned "$(figure table valid accuracy)" 0.9
expect "judged frames" says '^40 training and 20 validation items of 57 frames, 384 features'
# shellcheck disable=SC2086
expect "about the track's mean" run train --out track $table --centre track
# shellcheck disable=SC2086
expect "and about the bands'" run train --out bands $table --centre bands
expect "which is not the same" sh -c '! cmp -s track/best.safetensors bands/best.safetensors'
# shellcheck disable=SC2086
expect "but what a table has without being asked" run train --out unasked $table
expect "bit by bit" cmp unasked/best.safetensors bands/best.safetensors
expect "eval centres alike" run eval --out bands --data ten
figure bands all loss > alike
sed 's/"centre": "bands"/"centre": "track"/' bands/config.json > config
mv config bands/config.json
expect "or as the run says" run eval --out bands --data ten
expect "which is not the same" test "$(figure bands all loss)" != "$(cat alike)"

# A run from before there was a choice goes on, and is judged, about the track's mean.
older()
{
    sed '/"centre"/d' "$1/config.json" > config
    mv config "$1/config.json"
}
table="$table --schedule constant --centre track"
# shellcheck disable=SC2086
expect "two epochs" run train --out whole $table
# shellcheck disable=SC2086
expect "one" run train --out older $table --epochs 1
older older
expect "and another" run train --out older --resume --epochs 2
expect "the same as in one go" cmp -s older/last.ckpt whole/last.ckpt
older older
expect "eval of the one" run eval --out older --data ten
expect "and of the other" run eval --out whole --data ten
expect "the same loss" test "$(figure older all loss)" = "$(figure whole all loss)"

expect "time along columns" run train --task waves --out turned --epochs 1 --transpose
expect "explains them" run explain --out turned --count 2
expect "where the patches are then" where 5 3

# Recordings: a folder for each genre; what cannot be used is counted and left out.
maker=${MUSIC_DATA:-$(dirname "$program")/music-data}
"$maker" make-corpus tree --songs 5 --clips 1 > "$dir/output" 2>&1 || failed "a corpus to learn from"
"$maker" make-corpus brief --songs 1 --clips 1 --seconds 2 > "$dir/output" 2>&1 || failed "short pieces"
for genre in classical country disco hiphop metal pop reggae; do
    rm -r "tree/$genre"
done
cp brief/blues/*.wav tree/blues/short.wav
echo "no sound" > tree/blues/broken.wav
audio="--image-height 32 --image-width 16 --patch-height 8 --patch-width 4 --width 16 --blocks 1 --heads 2 --head-width 8 --hidden 32 --batch 4"
# shellcheck disable=SC2086
expect "learns from recordings" run train --data tree --cache features --out audio --epochs 2 --fold 1,0 $audio
expect "broken and short ones are counted" says '^2 of 17 sounds are left out: 1 broken, 1 shorter than a segment'
expect "folds of five" says '^12 training and 3 validation items of 512 frames, 129 features'
expect "the spectra are kept" test -s features
expect "curves of both" grep -q "Fold 0" audio/report.html
cp audio/best.safetensors first
# shellcheck disable=SC2086
"$program" train --data tree --out again --epochs 2 --fold 1 --threads 3 $audio > "$dir/output" 2>&1
expect "the same bits with another number of threads, and without the file" cmp -s again/best.safetensors first
expect "evaluates recordings" run eval --out audio --data tree --cache features
expect "all segments" says '^all: 15 segments'
cp features before
cp -r tree tree2
rm tree2/blues/short.wav
expect "evaluates other recordings" run eval --out audio --data tree2
expect "one broken sound is one" says '^1 of 16 sounds is left out: 1 broken, 0 shorter'
expect "which are a test" says '^test: 15 segments'
expect "whose spectra do not take the place of the run's" cmp features before
mkdir temporary
echo "no sound" > tree2/blues/slow.mp3
stopped_reading temporary eval --out audio --data tree2
expect "explains recordings" run explain --out audio --data tree --count 1
expect "a patch" says '^    1\. row [0-3], column [0-3] \([0-9.]+ to [0-9.]+ s, bins [0-9]+ to [0-9]+\)  weight 0\.'
# shellcheck disable=SC2086
expect "the training part's means and deviations, epochs by accuracy" run train --data tree --cache features --out bins --epochs 2 \
    --fold 1 --standardize training --keep accuracy $audio
expect "eval standardises alike" run eval --out bins --data tree --cache features
expect "all of them" at_least "$(figure bins all n)" 15
# shellcheck disable=SC2086
expect "variants on recordings" run ablate --data tree --cache features --epochs 1 $audio

misuse "no sound has a whole segment" train --data brief --out bad
misuse "expected numbers from 0 to 2" train --task waves --folds 3 --fold 3 --out bad
misuse "expected numbers from 0 to 2" train --task waves --folds 3 --fold 1,1 --out bad
misuse "two parts or more" train --task waves --folds 1 --out bad
misuse "have 512 frames" train --data tree --cache features --window 20 --out bad
misuse "--centre has no meaning but with GTZAN's spectrograms" train --task waves --centre bands --out bad
misuse "--task has no meaning with --data" train --data ten --task waves --out bad
misuse "--cache has no meaning but with a folder of sounds" train --data ten --cache x --out bad
misuse "--cache has no meaning but with a folder of sounds" eval --cache x --out learned
misuse "--cache has no meaning but with a folder of sounds" ablate --task waves --cache x
misuse "--standardize has no meaning but with sounds" train --task waves --standardize training --out bad
misuse "--fold has no meaning without --folds" train --task waves --fold 0 --out bad
misuse "--split has no meaning without --folds" train --data ten --split segment --out bad
misuse "--frames has no meaning without --window" train --data ten --frames spread --out bad

# GTZAN's recordings have the splits of their table, and a fault of it is told; other genres are a folder each.
spectrogram tables 5 10
sed 's/\(blues.0000[0-4]\)/\1.0/; s/\(jazz.0000[0-4]\)/\1.0/; s/\(rock.0000[0-4]\)/\1.0/' tables/tracks.csv > tree/tracks.csv
expect "recordings with a table" run train --data tree --cache features --out split --epochs 1 --folds 0 $audio
expect "its splits" says '^12 training and 3 validation items'
sed 's/,valid$/,"valid/' tables/tracks.csv > tree/tracks.csv
misuse "tree/tracks.csv" train --data tree --cache features --out bad --epochs 1
misuse "tree/tracks.csv" eval --data tree --cache features --out audio
rm tree/tracks.csv
mkdir mixed
cp -r tree/jazz tree/blues mixed
mv mixed/blues mixed/polka
expect "genres that are not all GTZAN's" run train --data mixed --out mixed-run --epochs 1 --fold 0 $audio
expect "are as many as there are folders" says '129 features, 2 classes$'
expect "are judged" run eval --out mixed-run --data mixed
mv mixed/polka mixed/swing
misuse "mixed-run learned other genres: its number 2 is not swing" eval --out mixed-run --data mixed
misuse "mixed-run learned other genres: its number 2 is not swing" train --out mixed-run --data mixed --resume --epochs 9
misuse "smaller than a patch" train --task waves --out bad --patch-height 33
misuse "neither GTZAN's spectrograms" train --out bad --data "$dir/half"
misuse "pooling" train --out bad --pooling most
misuse "learned a built-in task" eval --out learned --data .
misuse "no item is called nobody" explain --out learned --item nobody
sed 's/"width": 32/"width": 64/' learned/config.json > one/config.json
misuse "config.json describes another model" eval --out one

finish
