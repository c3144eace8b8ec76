#!/bin/sh
# music-tagger as a user meets it: all models learn the planted tasks, it evaluates, explains and splices; corpora of
# every form that it reads; bits at any thread count, schedules, stopping and resuming, and wrong use. make runs
# this in the build folder; MUSIC_TAGGER is the program (examples/music-tagger).
set -u

program=${MUSIC_TAGGER:-examples/music-tagger}
maker=${MUSIC_DATA:-examples/music-data}
here=$(cd "$(dirname "$0")" && pwd)
case $maker in
/*) ;;
*) maker=$(pwd)/$maker ;;
esac
# shellcheck source=tests/program.sh
. "$here/program.sh"

# tiny networks and few steps: for what needs no learning
small="--epochs ${brief:-2} --batch 64 --channels 1 --width 8 --hidden 8 --heads 2 --layers 2"
cnn="--epochs ${brief:-2} --batch 64 --channels 1 --wide 8"

# --- it learns, and points at what it heard --------------------------------------------------

# shellcheck disable=SC2086
expect "learns planted patterns" run train --task patterns --out learned ${brief:+--epochs 1}
expect "ROC-AUC on validation data" learned "$(figure learned valid roc_auc)" 0.98
expect "localisation of planted events" learned "$(figure learned valid localisation)" 0.9
expect "evaluates" run eval --out learned
expect "a row for each tag" test "$(grep -c '^tag [0-7] ' "$dir/output")" -eq 8
expect "ROC-AUC on fresh data" learned "$(figure learned test roc_auc)" 0.98
expect "average precision on fresh data" learned "$(figure learned test pr_auc)" 0.95
expect "localisation on fresh data" learned "$(figure learned test localisation)" 0.9
expect "the table of tags" test "$(wc -l < learned/tags.csv)" -eq 9
expect "its header" grep -q '^tag,positives,roc_auc,pr_auc$' learned/tags.csv
expect "explains" run explain --out learned --count 2
expect "what was said of each" says '^item 1$'
expect "a page" grep -q '</html>' learned/explain.html
for page in explain report; do
    expect "the event is marked in $page.html" grep -q '>event of tag [0-7]<' learned/$page.html
done
expect "pictures" test "$(find learned/pictures -name 'item_*.png' | wc -l)" -eq 18
expect "a page without a network" sh -c '! grep -Eq "(src|href)=\"?(http|//)" learned/report.html learned/explain.html'
expect "no player for what has no sound" sh -c '! grep -q "<audio" learned/explain.html'
expect "splices two clips" run splice --out learned --tag "tag 0" --against "tag 5"
expect "both halves" test "$(grep -cE '^tag [05]: [01]\.[0-9]+ in its half' "$dir/output")" -eq 2

# --- every model -----------------------------------------------------------------------------------

for model in spec-cnn-p spec-cnn-l; do
    # shellcheck disable=SC2086
    expect "$model" run train --task patterns --out "$model" --model $model $cnn
    expect "eval of $model" run eval --out $model
    misuse "those of the attention" explain --out $model
done
for model in raw-att raw-cnn-p raw-cnn-l; do
    case $model in
    *-att) size=$small ;;
    *) size=$cnn ;;
    esac
    # shellcheck disable=SC2086
    expect "$model" run train --task tones --out "$model" --model $model $size --mixup 0.2
    expect "eval of $model" run eval --out $model
done
expect "explains samples" run explain --out raw-att --count 1
expect "their sound" grep -q 'src="data:audio/wav;base64,' raw-att/explain.html
expect "the line that follows it" grep -q 'class="e-cursor"' raw-att/explain.html
# shellcheck disable=SC2086
expect "a learned vector" run train --task patterns --out cls $small --learned-cls --dropout 0.2 --precision bfloat16
expect "its eval" run eval --out cls
expect "longer clips than it learned" run eval --out cls --window 96

# --- schedules -----------------------------------------------------------------------------------------

phased="--task tones --model raw-cnn-l --epochs 6 --batch 96 --channels 2 --wide 8"
# shellcheck disable=SC2086
expect "the paper's schedule" run train --out phases $phased --schedule paper
expect "its phases in the log" test "$(sed 's/.*"phase": \([0-9]\).*/\1/' phases/log.jsonl | tr -d '\n')" = 111234
expect "its phases in words" says '^phase 3: SGD at rate 0\.002, from the best weights so far$'
expect "its phases in the curves" grep -q '>phase 4<' phases/report.html
# shellcheck disable=SC2086
expect "SampleCNN's schedule" run train --out plateau $phased --schedule plateau --patience 1 --epochs 40
expect "its five rates in words" test "$(grep -cE '^phase [2-5]: SGD at rate (0.002|0.0004|8e-05|1.6e-05), from the best' "$dir/output")" -eq 4
expect "how long it waits" grep -q '"patience": 1' plateau/config.json
expect "which other schedules do not" sh -c '! grep -q patience phases/config.json'
# shellcheck disable=SC2086
misuse "--patience is an option of --schedule plateau" train --out new $phased --schedule cosine --patience 2
# shellcheck disable=SC2086
misuse "--switch-eps is an option of --schedule swats" train --out new $phased --schedule plateau --switch-eps 0.1
expect "it ends by itself" test "$(wc -l < plateau/log.jsonl)" -lt 40
# shellcheck disable=SC2086
expect "SWATS" run train --out swats $phased --schedule swats --switch-eps 0.5
expect "when it went over" says '^phase 2: Adam gave way to SGD at rate [0-9.e-]+, after step [0-9]+$'
expect "the rate in the log" grep -q '"phase": 2, "sgd_rate": [0-9]' swats/log.jsonl

# --- the same bits -----------------------------------------------------------------------------------

# shellcheck disable=SC2086
expect "one thread" run train --task patterns --out one $small --seed 5
for threads in 2 3; do
    # shellcheck disable=SC2086
    expect "$threads threads" "$program" train --task patterns --out "bits$threads" $small --seed 5 --threads $threads \
        > "$dir/output" 2> "$dir/errors"
    expect "bits with $threads threads" same_bits one "bits$threads"
done

# --- sounds ---------------------------------------------------------------------------------------------

pieces="--songs 5 $small --window 64 --chunks 2 --batch 16"
# shellcheck disable=SC2086
expect "the built-in corpus" run train --out pieces $pieces
expect "its size" says '^60 training and 20 validation items, 64 frames at a time, 34 tags$'
# shellcheck disable=SC2086
expect "without a cache, with other threads" "$program" train --out pieces2 $pieces --cache none --workers 3 --threads 2 \
    > "$dir/output" 2> "$dir/errors"
expect "bits without a cache" same_bits pieces pieces2
expect "no cache" test ! -e pieces2/features.cache
expect "the part for tests" run eval --out pieces
expect "its number" test "$(figure pieces test n)" -eq 20
expect "16 chunks" run eval --out pieces --chunks 16
expect "another split" run eval --out pieces --split valid
expect "long clips" run eval --out pieces --window 1024 --chunks 1
expect "a piece with its sound" run explain --out pieces --item jazz.00004.1
expect "its player" grep -q 'src="data:audio/wav;base64,' pieces/explain.html
expect "quiet and loud" run splice --out pieces
expect "both tags" says '^quiet: .* in its half'
expect "its sound" grep -q 'src="data:audio/wav;base64,' pieces/splice.html
expect "two clips by name" run splice --out pieces --first classical.00004.0 --second metal.00004.0
misuse "no item is called" splice --out pieces --first nobody
misuse "--tag: the run does not know nothing; it knows " splice --out pieces --tag nothing
misuse "no items in the split" eval --out pieces --split summer
misuse "no item is called" explain --out pieces --item nobody

# A corpus in the form of MagnaTagATune, of a list, and of rendered excerpts, from sounds that the library plays.
"$maker" make-corpus songs --songs 5 > /dev/null 2>&1 || failed "making sounds"
mkdir -p mtat/0 mtat/c mtat/d clips/wav digits
n=0
printf 'clip_id\tguitar\tloud\tmp3_path\n' > mtat/annotations_final.csv
echo "clip,split,tags" > list.csv
echo "style,group,fold,tags,caption,wav" > clips/clips.csv
echo "file,digit,speaker,take" > digits/files.csv
for file in songs/*/*.0000[0-3].0.wav; do
    n=$((n + 1))
    genre=$(basename "$(dirname "$file")")
    case $((n % 4)) in
    0) part=c split=valid fold=0 take=5 ;;
    1) part=d split=test fold=1 take=9 ;;
    *) part=0 split=train fold=2 take=8 ;;
    esac
    cp "$file" "mtat/$part/$n.wav"
    cp "$file" "clips/wav/$n.wav"
    cp "$file" "digits/$n.wav"
    printf '%d\t%d\t%d\t%s\n' $n $((n % 3 == 0)) $((n % 5 < 3)) "$part/$n.mp3" >> mtat/annotations_final.csv
    echo "$part/$n,$split,$([ $((n % 3)) -eq 0 ] && echo guitar) $([ $((n % 5)) -lt 3 ] && echo loud)" >> list.csv
    echo "$genre,$n,$fold,$genre $([ $((n % 3)) -eq 0 ] && echo fast),,$n.wav" >> clips/clips.csv
    echo "$n.wav,$((n % 2)),$([ $((n % 3)) -eq 0 ] && echo ann || echo bob),$take" >> digits/files.csv
done
few="--epochs 1 --batch 8 --channels 1"
short="$few --width 8 --hidden 8 --heads 2 --layers 1"
narrow="$few --wide 4"
# shellcheck disable=SC2086
expect "MagnaTagATune" run train --data mtat --out m $short --window 64
expect "its splits" says '^[0-9]+ training and [0-9]+ validation items, 64 frames at a time, 2 tags$'
expect "its test clips" run eval --out m --data mtat
expect "tags by name" says '^guitar  '
sed '1s/loud/calm/' mtat/annotations_final.csv > clips.tags
cp -r mtat mtat2
cp clips.tags mtat2/annotations_final.csv
cp m/config.json m/last.ckpt .
misuse "m learned other tags: its number 2 is not calm" train --resume --out m --data mtat2 --epochs 2
expect "the run is as it was" cmp config.json m/config.json
expect "and can go on" cmp last.ckpt m/last.ckpt
rm -r mtat2
cp -r mtat mtat2
# shellcheck disable=SC2086
expect "features in a file of one's own" run train --data mtat --out m2 $short --window 64 --cache kept.cache
cp kept.cache before.cache
expect "other data" run eval --out m2 --data mtat2
expect "do not take its place" cmp kept.cache before.cache
expect "but have theirs" test -s m2/features-test.cache
rm m2/features-test.cache
expect "the same data by another path" run eval --out m2 --data ./mtat
expect "are the run's" test ! -e m2/features-test.cache
rm mtat2/d/1.wav
echo "no sound" > mtat2/d/1.mp3
stopped_reading m2 eval --out m2 --data mtat2
rm mtat/d/1.wav
expect "a clip that is missing" run eval --out m --data mtat
expect "is named" grep -q '^left out: .*1' "$dir/errors"
# shellcheck disable=SC2086
expect "a list" run train --data mtat --lists list.csv --out l $narrow --model raw-cnn-l --window 6561 --chunks 2
# Clips whose names differ at the end alone, and tags in another script: each has its own pictures.
title=the_first_orchestra_of_a_long_name-a_long_concert-01-and_a_title_of_many_words_that_goes_on_for_a_while
mkdir long
echo "clip,split,tags" > long.csv
clip=0
for file in mtat/0/*.wav mtat/c/*.wav; do
    clip=$((clip + 1))
    cp "$file" "long/$title-$clip-29.wav"
    echo "$title-$clip-29,$(case $file in */c/*) echo valid ;; *) echo train ;; esac),$([ $((clip % 2)) -eq 0 ] && echo ギター || echo ピアノ)" >> long.csv
done
# shellcheck disable=SC2086
expect "clips with long names" run train --data long --lists long.csv --out long-run $short --window 64
expect "one of them by its name" run explain --out long-run --item "$title-2-29"
expect "its name" says "^$title-2-29\$"
expect "its tags in columns" says '^  (ギター|ピアノ) {12}[ 0-9]'
expect "its pictures" test "$(find long-run/pictures -name '*.png' | wc -l)" -eq 3
expect "two of them" run explain --out long-run --count 2
expect "pictures of both" test "$(find long-run/pictures -name '*.png' | wc -l)" -ge 6
# What a file is called does not steer the terminal.
odd=$(printf 'a\033[1m\ttune')
mv "long/$title-4-29.wav" "long/$odd-4-29.wav"
sed "s/^$title-4-29/$odd-4-29/" long.csv > renamed.csv
expect "a name with control characters" run explain --out long-run --lists renamed.csv --split all --item "$odd-4-29"
expect "without them" says '^a\?\[1m\?tune-4-29$'
mv "long/$odd-4-29.wav" "long/$title-4-29.wav"
# shellcheck disable=SC2086
expect "clips as samples" run train --data clips --out c $short --model raw-att --window 6561 --chunks 2
rendered=${ETUDE_DATA:-$here/../../shared/data}/rendered
if [ -f "$rendered/logmel96x128.npy" ]; then
    # shellcheck disable=SC2086
    expect "spectra without their sounds" run train --data "$rendered" --out spectra $short --window 32 --chunks 1
    expect "spectra without their sounds, explained" run explain --data "$rendered" --out spectra --count 1
fi
expect "an accuracy where classes are tags" test -n "$(figure c valid accuracy)"
expect "none where there are no classes" test -z "$(figure m valid accuracy)"
# shellcheck disable=SC2086
expect "digits" run train --data digits --out d $few --model sample-cnn --window 59049 --chunks 1
expect "an accuracy of digits that are tags" test -n "$(figure d valid accuracy)"
expect "sounds of digits are changed" grep -q '"speed": 0.12,' d/config.json
# shellcheck disable=SC2086
expect "digits as the paper would" run train --data digits --out d4 $narrow --model raw-cnn-l --config paper
for words in '"speed": 0,' '"place": "start"' '"gain": 0,' '"window": 65610,' '"schedule": "paper"' '"mixup": 0,'; do
    expect "$words of the paper" grep -q "$words" d4/config.json
done
# shellcheck disable=SC2086
expect "digits as spectra" run train --data digits --out d5 $short
expect "which nothing changes" grep -q '"speed": 0,' d5/config.json
expect "another folder of digits" run eval --out d --data digits --split valid
expect "which digits they were" says 'items; valid: ROC-AUC'
expect "what has no part for tests" run eval --out d --data digits
expect "all that there is" says "^$n items; all: ROC-AUC"
expect "their number" test "$(figure d all n)" -eq $n
expect "augmented digits" run train --data digits --out d2 $narrow --model raw-cnn-l --window 6561 --speed 0.1 --gain 3 --noise 0.2 --place anywhere
expect "digits with another augmentation" run train --data digits --out d3 $narrow --model raw-cnn-l --window 6561 --speed 0.1 --gain 3 --noise 0.2 --place start
expect "are others" sh -c '! cmp -s d2/best.safetensors d3/best.safetensors'
expect "augmented tones" run train --task tones --out t2 --model raw-cnn-l $cnn --speed 0.1
misuse "the data have none of the tags" eval --out d --data clips

# --- wrong use -------------------------------------------------------------------------------------------

misuse "say what to do"
misuse "there are train, eval, explain, splice" sing
misuse "--lists has no meaning without --data" train --task patterns --lists list.csv --out new
misuse "--tags has no meaning without --data" train --tags tags.txt --out new
misuse "--tags has no meaning with spoken digits" train --data digits --tags tags.txt --out new
misuse "--tags has no meaning with rendered excerpts" train --data clips --tags tags.txt --model raw-att --out new
misuse "--task has no meaning with --data" train --task tones --data mtat --out new
misuse "--songs has no meaning with --data" train --songs 5 --data mtat --out new
misuse "--songs has no meaning with --task patterns" train --songs 5 --task patterns --out new
misuse "--cache has no meaning with --task patterns" train --cache x --task patterns --out new
misuse "--cache has no meaning with --task patterns" eval --cache x --out learned
misuse "--cache has no meaning with a model that reads samples" train --cache x --data mtat --model raw-att --out new
misuse "--cache has no meaning with data that come as spectra" train --cache x --data clips --out new
misuse "--heads has no meaning with --model spec-cnn-p" train --task patterns --model spec-cnn-p --heads 2 --out new
misuse "--learned-cls has no meaning with --model raw-cnn-l" train --task tones --model raw-cnn-l --learned-cls --out new
misuse "--wide has no meaning with --model raw-att" train --task tones --wide 8 --out new
misuse "--wide has no meaning with --model sample-cnn" train --data digits --model sample-cnn --wide 8 --out new
misuse "not one of corpus|patterns|tones" train --task waves
misuse "not one of spec-att|spec-cnn-p" train --model spec
misuse "not one of constant|cosine|paper|swats|plateau" train --schedule step
misuse "begin with spec" train --task patterns --model raw-att --out new
misuse "begin with raw" train --task tones --model spec-att --out new
misuse "sizes do not fit" train --task patterns --width 9 --out new
misuse "heads" train --task patterns --width 10 --heads 4 --out new
misuse "outside 9" train --task patterns --window 8
misuse "none of annotations_final.csv" train --data nowhere --out new
misuse "needs --out DIR" eval
misuse "does not read" train --task patterns --speed 0.1
misuse "outside 0 .. 1" train --task tones --speed 2
refused learned train
misuse "--model differs from the run" train --task patterns --out learned --resume --model spec-cnn-p
misuse "learned what the program makes" eval --out learned --data mtat
expect "the data of the run" run eval --out m
misuse "No such file" eval --out nowhere
misuse "is an option of" eval --out learned --epochs 3
expect "wrong data makes no folder" test ! -e new
misuse "none of annotations_final.csv" train --data nowhere --out one --overwrite
expect "wrong data does not cost the old run" test -f one/best.safetensors

# damaged WORDS FOLDER FILE COMMAND...: a data folder whose FILE is what the command makes of it
damaged()
{
    words=$1 folder=$2 file=$3
    shift 3
    rm -rf hurt
    cp -r "$folder" hurt
    "$@" < "$folder/$file" > "hurt/$file"
    misuse "$words" train --data hurt --out new --model raw-cnn-l
}
damaged "annotations_final.csv" mtat annotations_final.csv true
damaged "annotations_final.csv" mtat annotations_final.csv sed 's/	1	/	many	/'
damaged "mp3_path" mtat annotations_final.csv sed '1s/mp3_path/path/'
damaged "clips.csv" clips clips.csv sed '1s/style/genre/'
damaged "files.csv" digits files.csv sed 's/,8$/,last/'
damaged "no items in the split" digits files.csv sed 's/,5$/,8/'
rm -rf hurt
cp -r digits hurt
for file in hurt/*.wav; do
    echo "not a sound" > "$file"
done
misuse "none of the sounds can be read" train --data hurt --out hurt-run --model raw-cnn-l --window 6561
misuse "cannot" train --lists nowhere.csv --data songs --out new

broken one eval config.json
broken one eval best.safetensors
broken one eval metrics.json
broken one explain best.safetensors
broken one "train --resume" last.ckpt
rm -rf hurt
cp -r one hurt
sed 's/"width": 8/"width": 16/' one/config.json > hurt/config.json
misuse "config.json describes another model" eval --out hurt
sed 's/"tag 3"/7/' one/config.json > hurt/config.json
misuse "one of its tags is no name" eval --out hurt
sed 's/"tags": \[/"labels": [/' one/config.json > hurt/config.json
misuse "no list of tags" eval --out hurt

# --- stopped and killed ------------------------------------------------------------------------------------

stopped_early early/run --songs 2000

# shellcheck disable=SC2086
expect "a run left alone" run train --out alone $phased --schedule paper
for signal in INT KILL; do
    rm -rf stop
    # shellcheck disable=SC2086
    "$program" train --out stop $phased --schedule paper --threads 1 > "$dir/output" 2> "$dir/errors" &
    child=$!
    stop_when $signal logged stop/log.jsonl 4
    status=$?
    [ "$status" -ne 130 ] || expect "how to resume after SIG$signal" grep -q "train --out stop --resume" "$dir/output"
    expect "resuming after SIG$signal" run train --out stop --resume
    expect "bits after SIG$signal" same_bits alone stop
done

# SWATS goes on after its switch with the same bits.
# shellcheck disable=SC2086
expect "half of SWATS" run train --out half $phased --schedule swats --switch-eps 0.5 --epochs 3
expect "the rest" run train --out half --resume --epochs 6
expect "bits of SWATS" cmp half/best.safetensors swats/best.safetensors
expect "all of SWATS" cmp half/last.ckpt swats/last.ckpt

finish
