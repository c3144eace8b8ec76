#!/bin/sh
# music-search as a user meets it: it learns S-XM and a small corpus, evaluates, embeds a library and answers from its
# index, which it checks; frozen towers are computed once; bits at any thread count, resuming, and wrong use. make runs
# this in the build folder; MUSIC_SEARCH is the program (examples/music-search).
set -u

program=${MUSIC_SEARCH:-examples/music-search}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/program.sh
. "$here/program.sh"

# shellcheck disable=SC2086
expect "learns S-XM" run train --task S-XM --out task ${brief:+--epochs 1}
expect "finds among 128" learned "$(figure task valid r_at_10)" 0.8
expect "evaluates" run eval --out task
expect "finds unheard ones" learned "$(figure task test r_at_10)" 0.8
expect "published figures beside it" says 'model-6 +0\.178 +0\.482 +0\.627'
expect "a report" grep -q "Finding music by describing it" task/report.html
expect "which says what is not shown" grep -q "The first 60 of 128 are shown" task/report.html

# Every head and loss, added layers, a frozen tower whose result is kept and used again.
for head in linear mlp skip-mlp; do
    expect "head $head" run train --task S-XM --out "head-$head" --epochs 1 --head $head
done
for loss in mulan decoupled sigmoid; do
    expect "loss $loss" run train --task S-XM --out "loss-$loss" --epochs 1 --loss $loss --scale divide --tau 0.2
done
expect "added layers" run train --task S-XM --out added --epochs 1 --extra-text 1 --extra-audio 1 --checkpoint
expect "attention alone" run train --task S-XM --out alone --epochs 1 --extra-text 1 --extra-audio 1 --attention-only --pooling mean
expect "a published row with small towers" run train --task S-XM --out row --epochs 1 --config model-6 --size small
expect "its tower is computed once" says '^frozen tower of sounds'
expect "and kept" test -s row/towers.safetensors
expect "goes on with it" run train --resume --out row --epochs 2
expect "without computing it again" sh -c '! grep -q "^frozen tower" output'
expect "eval with frozen towers" run eval --out row
frozen="train --task S-XM --epochs 1 --config model-6 --size small --train-text 0"
# shellcheck disable=SC2086
expect "both towers" run $frozen --out both --pooling cls
# shellcheck disable=SC2086
expect "with another pooling" run $frozen --out mean --pooling mean
mkdir stale
cp both/towers.safetensors stale
# shellcheck disable=SC2086
expect "what another model left is not taken" run $frozen --out stale --pooling mean
expect "nor any of it" says '^frozen tower of texts'
expect "the run is that of a fresh folder" cmp stale/best.safetensors mean/best.safetensors
# shellcheck disable=SC2086
expect "the same model's is" run $frozen --out both --pooling cls --epochs 2 --resume
expect "and nothing computed" sh -c '! grep -q "^frozen tower" output'
expect "shortened captions" run train --task S-XM --out shorter --epochs 2 --shorten 0.5
misuse "--shorten: of a text tower that is frozen" train --task S-XM --out bad --config model-6 --size small --shorten 0.5
expect "which is told before a folder is made" test ! -e bad
expect "bfloat16" run train --task S-XM --out half --epochs 1 --precision bfloat16

# What the towers are compared with.
for model in clap mulan; do
    expect "--model $model" run train --task S-XM --out "peer-$model" --model $model --epochs 2
    expect "$model is judged" run eval --out "peer-$model"
    expect "$model finds more than guessing, which gives 0.078" at_least "$(figure "peer-$model" test r_at_10)" 0.15
done
expect "seven epochs of MuLan" run train --resume --out peer-mulan --epochs 7
expect "find their sounds" at_least "$(figure peer-mulan valid r_at_10)" 0.6
# Options that would change nothing.
while read -r words options; do
    # shellcheck disable=SC2086
    misuse "$(echo "$words" | tr _ ' ')" train $options --out peer
done << 'END'
--tau_has_no_meaning_with_--model_clap --task S-XM --model clap --tau 1
--audio-weights_has_no_meaning_with_--model_mulan --task S-XM --model mulan --audio-weights x
--base-memory_has_no_meaning_with_--model_clap --task S-XM --model clap --base-memory 1
--head_has_no_meaning_with_--model_tags --model tags --head mlp
--text-weights_has_no_meaning_with_--model_tags --model tags --text-weights x --vocab y
--tokens_has_no_meaning_with_--model_tags --model tags --tokens 9
--attention-only_has_no_meaning_without_--extra-text --task S-XM --attention-only
--base-memory_has_no_meaning_where_nothing_of_the_towers_is_frozen --task S-XM --base-memory 1
--songs_has_no_meaning_with_--task_S-XM --task S-XM --songs 5
--cache_has_no_meaning_with_--task_S-XM --task S-XM --cache x
END
misuse "--cache has no meaning with --task S-XM" eval --out task --cache x
misuse "--cache has no meaning with --task S-XM" zero-shot --out task --cache x
expect "no folder was made for these" test ! -e peer

# The same seed gives the same bits; a run that is gone on with too.
expect "two epochs" run train --task S-XM --out one --epochs 2
"$program" train --task S-XM --out two --epochs 2 --threads 3 > /dev/null 2>&1
expect "the same with three threads" cmp -s one/best.safetensors two/best.safetensors
expect "one epoch" run train --task S-XM --out three --epochs 1
expect "and another" run train --resume --out three --epochs 2
expect "is two" cmp -s one/last.ckpt three/last.ckpt
expect "shortened captions are others" sh -c '! cmp -s shorter/best.safetensors one/best.safetensors'

# Sounds: a small corpus, its index, and what it was compared with.
expect "learns the corpus" run train --songs 5 --out corpus --epochs 1 --batch 16
expect "genres and tags from prompts" run zero-shot --out corpus
expect "by four prompts" says 'this is a sound of \{genre\}'
expect "and three" says 'song with this feature: \{tag\}'
expect "evaluates the corpus" run eval --out corpus
expect "with players" grep -q "<audio" corpus/report.html
expect "a classifier of tags" run train --songs 5 --out tags --epochs 1 --batch 16 --model tags --cache corpus/features.cache
expect "which retrieves too" run eval --out tags --cache corpus/features.cache
cp -r tags before
awk '{ sub(/"quiet"/, "\"silent\"") } { print }' tags/config.json > config && mv config tags/config.json
refused tags train
refused tags pretrain
refused tags match
misuse "tags learned other tags: its number" train --resume --out tags --epochs 2
cp before/config.json tags/config.json
expect "nothing changed" diff -r before tags
rm -r before
cp -r tags again
expect "a run with its own tags goes on" run train --resume --out again --epochs 2
expect "after its first epoch" says '^going on after epoch 1$'
rm -r again
expect "two towers begin with its ear" run train --songs 5 --out heard --epochs 1 --batch 16 --cache corpus/features.cache \
    --audio-weights tags/best.safetensors

# A text tower that has guessed masked words, and what begins with it.
expect "guesses masked words" run pretrain --songs 5 --out words --epochs 1 --tokens 40
expect "and says how well" says 'loss [0-9.]+ a masked word; its frequency alone would give'
expect "in metrics.json" at_least "$(figure words test unigram_entropy)" 3
expect "begins with its weights" run train --songs 5 --out begun --epochs 1 --batch 16 --tokens 40 --cache corpus/features.cache \
    --text-weights words/best.safetensors --vocab words/vocab.txt
misuse "position_embeddings" train --songs 5 --out longer --tokens 48 \
    --text-weights words/best.safetensors --vocab words/vocab.txt
expect "leaves no features behind" test ! -e longer

# Captions that are found by their aspects, from nothing and with the weights of a tower that has guessed words.
mkdir captions
awk 'BEGIN {
    print "ytid,start_s,end_s,split,aspects,caption"
    split("piano guitar drums violin organ", who); split("slow medium fast frantic", how); split("sad happy calm", mood)
    for (i = 0; i < 120; i++) {
        a = who[i % 5 + 1]; b = how[i % 4 + 1]; c = mood[i % 3 + 1]
        printf "c%d,0,10,%s,%s; %s; %s,\"The %s plays a %s melody, and it sounds %s.\"\n", i, i < 60 ? "train" : "eval", a, b, c, a, b, c
    }
}' > captions/musiccaps.csv
expect "guesses words of captions with aspects" run pretrain --data captions --out guessed --epochs 2 --words 120 --tokens 32
expect "learning from both" says '^114 texts to learn from, 3 captions'
expect "says how captions are found untrained" says '^  layer 2 +[01]\.[0-9]+ +[0-9.]+, [01]\.[0-9]+ +[0-9.]+$'
expect "matches captions and aspects" run match --data captions --out matched --epochs 12 --words 120 --tokens 32 --batch 19
expect "by guessing 0.167 at 10" says 'among 60: .*; guessing 0\.1667 at 10'
expect "and finds them" at_least "$(figure matched test r_at_1)" 0.8
expect "begins with what was guessed" run match --data captions --out matched2 --epochs 2 --tokens 32 --batch 19 \
    --text-weights guessed/best.safetensors --vocab guessed/vocab.txt --base-lr 0.5 --pairs 38
expect "and from few pairs" says '^38 captions with aspects to learn from, 3 '
expect "one epoch of it" run match --data captions --out matched3 --epochs 1 --words 120 --tokens 32 --batch 19 --lr 0.001
expect "goes on" run match --resume --out matched3 --epochs 2
expect "after epoch 1" says '^going on after epoch 1'
misuse "come without aspects" match --out bad
misuse "needs the vocabulary" match --data captions --out bad --text-weights guessed/best.safetensors
misuse "nowhere.txt" match --data captions --out bad --vocab nowhere.txt
misuse "nowhere.txt" pretrain --data captions --out bad --vocab nowhere.txt
misuse "position_embeddings" match --data captions --out bad --text-weights guessed/best.safetensors --vocab guessed/vocab.txt
expect "no folder was made for these" test ! -e bad

# What another verb has made is not gone on with, nor read as a model of sounds, and stays as it was.
cp -r matched3 before
for verb in pretrain train; do
    misuse "matched3 was made by music-search match, not by music-search $verb" $verb --resume --out matched3
done
misuse "matched3 was made by match and is a text tower alone: eval is for what train makes" eval --out matched3
expect "nothing changed" diff -r before matched3
expect "it goes on" run match --resume --out matched3 --epochs 3

# Texts without a word to be guessed, which are the shortest and so come together, are left out.
mkdir wordless
wordless='{ $0 = $1 ",0,10," $4 ",,\" \"" } { print }'
awk -F, "NR % 4 == 2 $wordless" captions/musiccaps.csv > wordless/musiccaps.csv
expect "guesses words where some captions have none" run pretrain --data wordless --out "wordless/a run" --epochs 1 \
    --words 120 --tokens 32 --batch 4
expect "having left them out" says '^8[0-9] texts to learn from, [23] captions to choose by, 45 to judge on'
expect "and says how towers begin with it, a line for the shell" says "train --text-weights '.*wordless/a run/best.*' --vocab '"
awk -F, "NR > 1 $wordless" captions/musiccaps.csv > wordless/musiccaps.csv
misuse "of the captions to learn from none has a word" pretrain --data wordless --out bad --vocab guessed/vocab.txt

# sound FILE FREQUENCY: a WAV file of 25 s, 8 bits, 4000 Hz
sound()
{
    {
        printf 'RIFF\304\206\001\000WAVEfmt \020\000\000\000\001\000\001\000\240\017\000\000\240\017\000\000\001\000\010\000data\240\206\001\000'
        awk -v f="$2" 'BEGIN { for (i = 0; i < 100000; i++) printf "%c", 65 + int(20 * (1 + sin(f * i))) }'
    } > "$1"
}
mkdir -p library/below empty
sound library/low.wav 0.3
sound library/below/high.wav 1.5
echo "no sound" > library/broken.wav
ln -s ../../library library/below/circle
expect "names a sound" run zero-shot library/low.wav --out corpus
expect "a genre for it" says '^genres: [a-z]+ -?[0-9.]+, [a-z]+ -?[0-9.]+'
expect "and tags" says '^tags:   [a-z -]+ -?[0-9.]+, '
misuse "broken.wav" zero-shot library/broken.wav --out corpus
misuse "whose sounds are no sounds" zero-shot library/low.wav --out task
misuse "--data has no meaning beside a SOUND" zero-shot library/low.wav --out corpus --data nowhere
misuse "--cache has no meaning beside a SOUND" zero-shot library/low.wav --out corpus --cache corpus/features.cache
"$program" zero-shot --help > output
expect "help says that a sound may be left out" says '[^[]\[SOUND\]$'
misuse "--words has no meaning with --vocab" match --data captions --words 99 --vocab guessed/vocab.txt --out bad
misuse "--words has no meaning with --vocab" pretrain --words 99 --vocab guessed/vocab.txt --out bad
misuse "--songs has no meaning with --data" pretrain --data captions --songs 5 --out bad
misuse "--songs is an option of train, not of match" match --data captions --songs 5 --out bad
mkdir other
printf 'wav,genre,caption\nlow.wav,jazz,a low tone\nhigh.wav,rock,a high tone\n' > other/clips.csv
cp library/low.wav library/below/high.wav other
expect "judges on other data" run eval --out corpus --data other
expect "all of it" says '^  this model, 2 sounds'
expect "saying so" says '^other data than what was learned from'
cp -r other slowly
printf 'slow.mp3,jazz,a slow tone\n' >> slowly/clips.csv
echo "no sound" > slowly/slow.mp3
stopped_reading corpus eval --out corpus --data slowly

misuse "--task has no meaning with --data" train --data other --task corpus --out bad
misuse "--songs has no meaning with --data" train --data other --songs 5 --out bad
misuse "--words has no meaning with --vocab" train --task S-XM --words 99 --vocab words/vocab.txt --out bad

# A run knows its data again from any folder, and other data leave the features of its own alone.
mkdir pieces
{
    echo "wav,genre,caption"
    for i in 0 1 2 3 4 5 6 7 8 9 10 11; do
        ln other/low.wav pieces/low$i.wav
        echo "low$i.wav,jazz,tone number $i"
    done
} > pieces/clips.csv
expect "learns a folder" run train --data pieces --out pieced --epochs 1 --batch 4 --words 64 --tokens 8 --cache pieces.cache
expect "of 12 sounds" says '^8 training and 1 validation pair;'
cp pieces.cache before.cache
expect "judges other sounds" run eval --out pieced --data other
expect "says that they are others" says '^other data than what was learned from'
expect "which do not take the place of its features" cmp pieces.cache before.cache
cd library || exit 1
expect "judges its test part from elsewhere" run eval --out ../pieced --data "$dir/pieces" --cache ../pieces.cache
expect "three sounds" says '^  this model, 3 sounds'
expect "without a word about other data" sh -c '! grep -q "other data" ../output'
expect "knows where its data and their features are" run eval --out ../pieced
expect "the same three" says '^  this model, 3 sounds'
expect "without reading them again" test ! -e ../pieced/features.cache
expect "and goes on from there" run train --resume --out ../pieced --epochs 2
expect "without reading them again" test ! -e ../pieced/features.cache
cd .. || exit 1

# A run that goes on reads with the words that it has learned, not with those of other captions.
cp -r pieces spoken
sed 's/tone number/zither solo/' pieces/clips.csv > spoken/clips.csv
cp -r pieced onward
expect "goes on with other captions" run train --resume --out onward --data spoken --epochs 2
expect "and its own words" cmp pieced/vocab.txt onward/vocab.txt

# Frozen towers are computed anew where captions or sounds are others.
expect "frozen towers of a folder" run train --data pieces --out iced --epochs 1 --batch 4 --tokens 8 --vocab words/vocab.txt \
    --config model-6 --size small --train-text 0 --cache pieces.cache
expect "go on" run train --resume --out iced --epochs 2
expect "as they are" sh -c '! grep -q "^frozen tower" output'
sed 's/tone number/noise number/' pieces/clips.csv > clips && mv clips pieces/clips.csv
expect "go on with other captions" run train --resume --out iced --epochs 3
expect "which are computed" says '^frozen tower of texts'
rm pieces/low[0-8].wav
for i in 0 1 2 3 4 5 6 7 8; do
    ln other/high.wav pieces/low$i.wav
done
expect "go on with other sounds" run train --resume --out iced --epochs 4
expect "which are computed too" says '^frozen tower of sounds'
mv pieces moved
expect "judges what may be its own data" run eval --out pieced --data moved
expect "saying that nobody can tell" says '^what was learned from is not at /.*/pieces any more'
expect "all of them" says '^  this model, 12 sounds'
# Genres and tags of sounds that have no captions, each heard as a whole.
mkdir -p genres/jazz genres/rock tagged/0 tagged/d
sound genres/jazz/jazz.00000.wav 0.3
sound genres/rock/rock.00000.wav 1.5
cp library/broken.wav genres/rock/rock.00001.wav
expect "genres of a folder each" run zero-shot --out corpus --data genres
expect "of those that can be read" says '^hearing .* 2 sounds'
expect "the other is named" says 'left out: .*rock.00001'
expect "beside the published ones" says '^  The \{genre\} song +[01]\.[0-9]+ +[01]\.[0-9]+ +0\.679'
expect "and no captions are found" sh -c '! grep -q "finding a sound" output'
printf 'clip_id\tguitar\tloud\tmp3_path\n1\t1\t0\t0/a.mp3\n2\t1\t0\td/b.mp3\n3\t0\t1\td/c.mp3\n' > tagged/annotations_final.csv
sound tagged/0/a.wav 0.3
sound tagged/d/b.wav 0.4
sound tagged/d/c.wav 1.5
expect "tags of MagnaTagATune's clips" run zero-shot --out corpus --data tagged
expect "of its test part" says '^hearing .* 2 sounds'
expect "two tags" says '^tags from prompts, 2 tags'
expect "the tag that most clips have" run zero-shot --out corpus --data tagged --top-tags 1
expect "is told on the clip that has it" says '^hearing .* 1 sound '
misuse "--top-tags has no meaning but with MagnaTagATune" zero-shot --out corpus --data genres --top-tags 9
misuse "--top-tags has no meaning but with MagnaTagATune" zero-shot --out corpus --top-tags 9
misuse "no meaning with sounds that have no captions" zero-shot --out corpus --data tagged --cache x
mkdir -p single/polka
cp genres/jazz/jazz.00000.wav single/polka
misuse "one genre alone" zero-shot --out corpus --data single

misuse "corpus/index.safetensors: there is no index yet: music-search index" query piano --out corpus
expect "indexes a folder" run index library --out corpus
expect "two sounds, one broken" says '^2 sounds are in corpus/index.safetensors, 1 could not be read'
expect "answers" run query "slow sad piano" -k 10 --out corpus
expect "with both" says '^2 of 2 sounds in [0-9.]+ ms'
expect "the first of them" run query "slow sad piano" -k 1 --out corpus
expect "alone" says '^1 of 2 sounds'
sound library/middle.wav 0.8
expect "notices a new sound" run query "piano" --out corpus
expect "and says so" says 'older than its folder'
expect "and finds it" says 'middle.wav'
rm library/middle.wav library/broken.wav
expect "notices a removed one" run query "piano" --out corpus
expect "which is gone" says '^2 of 2 sounds'
expect "is content then" run query "piano" --out corpus
expect "without a word" sh -c '! grep -q "made anew" output'
# A sound whose samples are no numbers is left out, and does not stand in the way of the others.
printf 'RIFF\044\001\0\0WAVEfmt \020\0\0\0\003\0\001\0\100\037\0\0\0\175\0\0\004\0\040\0data\0\001\0\0' > library/nan.wav
awk 'BEGIN { for (i = 0; i < 64; i++) printf "%s", i == 9 ? "\\0\\0\\300\\177" : "\\0\\0\\0\\076" }' > numbers
# shellcheck disable=SC2059
printf "$(cat numbers)" >> library/nan.wav
misuse "nan.wav: 1 sample is infinite or no number" zero-shot library/nan.wav --out corpus
expect "indexes it" run index library --out corpus
expect "leaves it out" says 'left out: .*nan.wav: 1 sample is infinite or no number'
# So is one that is louder than numbers go, by its name too.
{
    printf 'RIFF\044\100\0\0WAVEfmt \020\0\0\0\003\0\001\0\100\037\0\0\0\175\0\0\004\0\040\0data\0\100\0\0'
    dd if=/dev/zero bs=4096 count=4 2> /dev/null | tr '\000' '\177'
} > library/loud.wav
misuse "loud.wav" zero-shot library/loud.wav --out corpus
expect "indexes that" run index library --out corpus
expect "leaves it out" says 'left out: .*loud.wav: .*not finite'
rm library/loud.wav
expect "answers all the same" run query "piano" --out corpus
expect "with the others" says '^2 of 2 sounds'
rm library/nan.wav
# Names are bytes, of folders and of files; what would steer a terminal is not printed.
folder=$(printf 'l\366we')
mkdir "$folder" 2> /dev/null && {
    cp library/low.wav "$folder/$(printf 'fl\366te')".wav
    cp library/below/high.wav "$folder/$(printf 'two\nlines')".wav
    expect "indexes names that are not UTF-8" run index "$folder" --out corpus --index bytes.index
    expect "answers with them" run query "piano" --out corpus --index bytes.index
    expect "as they are" env LC_ALL=C grep -q "$(printf 'fl\366te.wav$')" output
    expect "on a line each" says 'two\?lines.wav$'
    rm "$folder/$(printf 'fl\366te')".wav
    expect "notices that one is gone" run query "piano" --out corpus --index bytes.index
    expect "looking at the folder again" says '^1 of 1 sound in'
}

expect "an index elsewhere" run index library --out corpus --index here.index
cp corpus/best.safetensors kept
expect "another model" run train --songs 5 --out corpus2 --epochs 1 --batch 16 --seed 2 --cache corpus/features.cache
expect "makes the index anew" run query "piano" --out corpus2 --index here.index
expect "because of the model" says 'of another model'

# Parts of MusicCaps by the published numbers; shorter collections by shares.
mkdir -p many/clips
awk 'BEGIN { print "ytid,start_s,end_s,split,aspects,caption"; for (i = 0; i < 3000; i++) print "c" i ",0,10,train,a,tone " i }' > many/musiccaps.csv
{
    printf 'RIFF\204\003\000\000WAVEfmt \020\000\000\000\001\000\001\000\240\017\000\000\240\017\000\000\001\000\010\000data`\003\000\000'
    awk 'BEGIN { for (i = 0; i < 864; i++) printf "%c", 65 + int(20 * (1 + sin(i))) }'
} > tone.wav
awk 'BEGIN { for (i = 0; i < 3000; i++) print "many/clips/c" i ".wav" }' | while read -r f; do ln -s ../../tone.wav "$f"; done
expect "a small MusicCaps" run train --data many --out counted2 --epochs 1 --batch 1500 --tokens 6 --words 64
expect "in parts of 1500, 500 and 1000" says '^1500 training and 500 validation pairs'

# Of the log only the report has need, and says what it lacks.
cp -r corpus unlogged
head -c 300 /dev/zero > unlogged/log.jsonl
expect "answers without a log" run query "slow sad piano" --out unlogged --index here.index
expect "with nothing to say of it" test ! -s errors
expect "evaluates" run eval --out unlogged
expect "and says what the report lacks" grep -q "^left out of the report's curves: unlogged/log.jsonl: line 1 " errors
expect "in the report too" grep -q "Left out of the curves: unlogged/log.jsonl: line 1 " unlogged/report.html

# What cannot be written is told before any sound is heard.
misuse "nowhere/a.index: " index library --out corpus --index nowhere/a.index
expect "at once" test ! -s output
# A number that is none, as the last weight of all and in a vector of the index: 0 0 192 127.
cp -r corpus strange
{
    head -c $(($(wc -c < corpus/best.safetensors) - 4)) corpus/best.safetensors
    printf '\000\000\300\177'
} > strange/best.safetensors
misuse "is not finite" index library --out strange
misuse "music-search: strange/best.safetensors: " query piano --out strange
expect "answers as long as it is whole" run query piano --out corpus --index here.index
header=$(od -An -t u1 -N 4 here.index | awk '{ print (($4 * 256 + $3) * 256 + $2) * 256 + $1 }')
{
    head -c $((header + 8)) here.index
    printf '\000\000\300\177'
    tail -c +$((header + 13)) here.index
} > strange.index
misuse "music-search: strange.index: vectors: element [0, 0] is not finite; if it is an index that was damaged" \
    query piano --out corpus --index strange.index
head -c 100 here.index > short.index
misuse "was damaged, music-search index makes it again" query piano --out corpus --index short.index
misuse "corpus/best.safetensors: no index of music-search" query piano --out corpus --index corpus/best.safetensors
misuse "none.index" query piano --out corpus --index none.index
misuse "empty: no sounds there" index empty --out corpus
misuse "nowhere: no such folder" index nowhere --out corpus
misuse "the query is empty" query "" --out corpus
misuse "the query is empty" query "   " --out corpus
printf '\001' > control
misuse "no words in the query" query "$(cat control)" --out corpus
misuse "--config model-11: not one of" train --config model-11 --out bad
misuse "no logmel96x128.npy, musiccaps.csv or clips.csv there" train --data empty --out bad
expect "and nothing was made" test ! -e bad
misuse "learned the task S-XM, whose sounds are no sounds" index library --out task
misuse "no logmel96x128.npy" eval --out corpus --data empty
misuse "needs the vocabulary" train --task S-XM --text-weights kept --out bad2
misuse "nowhere.txt" train --task S-XM --vocab nowhere.txt --out bad2
expect "still nothing" test ! -e bad2
misuse "missing" train --task S-XM --audio-weights kept --out bad3
misuse "the model knows none of these words" query "грустное пианино 🎹" --out corpus
misuse "the model knows none of these words" query "$(awk 'BEGIN { for (i = 0; i < 90000; i++) printf "a" }')" --out corpus
expect "of which some are shown" test "$(wc -c < errors)" -lt 200
misuse "--k 0: outside 1" query piano -k 0 --out corpus
echo "a" > task/vocab.txt
misuse "task/vocab.txt" eval --out task
rm one/vocab.txt
misuse "music-search: one/vocab.txt: cannot open" eval --out one
sed 's/"frames": 64/"frames": 32/' two/config.json > config && mv config two/config.json
misuse "config.json describes another model" eval --out two
sed 's/"frames": 64/"frames": 0/' three/config.json > config && mv config three/config.json
misuse 'no valid "input" in it' eval --out three

# A run is overwritten only by one that begins.
mkdir few
printf 'wav,genre,caption\n' > few/clips.csv
misuse "no items" train --data few --out unmade
expect "leaves no folder without a run" test ! -e unmade
misuse "no items" train --data few --out unmade/below/it
expect "nor those above it" test ! -e unmade
cp corpus/best.safetensors overwritten
misuse "no items" train --data few --out corpus --overwrite
expect "the old run is there" cmp overwritten corpus/best.safetensors

stopped_early early/run --songs 2000

finish
