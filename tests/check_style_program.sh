#!/bin/sh
# style-vae as a user meets it: it learns from a folder of MIDI files made here, writes, rebuilds, transfers, interpolates,
# is judged; posterior collapse; the built-in corpus; bits at any thread count, killed runs, and wrong use. make runs this in
# the build folder; STYLE_VAE is the program (examples/style-vae).
set -u

program=${STYLE_VAE:-examples/style-vae}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/program.sh
. "$here/program.sh"

# piece FILE STYLE NUMBER: eight bars in steps of eighths (style up) or in leaps of quarters (style leap)
piece()
{
    # shellcheck disable=SC2059
    printf "$(awk -v style="$2" -v number="$3" 'BEGIN {
        split("0 2 4 5 7 9 11 12 14 16 17 19 21 23 24", scale)
        length_ = style == "up" ? 48 : 96
        degree = 1 + number % 7
        for (i = 0; i < 8 * 4 * 96 / length_; i++) {
            pitch = 55 + number % 5 + scale[degree]
            body = body sprintf("\\000\\220\\%03o\\120\\%03o\\200\\%03o\\000", pitch, length_, pitch)
            bytes += 8
            degree += style == "up" ? ((i + number) % 3 ? 1 : -1) : ((i + number) % 2 ? 4 : -3)
            if (degree > 13) degree -= 7
            if (degree < 1) degree += 7
        }
        bytes += 4
        printf "MThd\\000\\000\\000\\006\\000\\000\\000\\001\\000\\140MTrk\\000\\000\\%03o\\%03o%s\\000\\377\\057\\000",
            int(bytes / 256), bytes % 256, body
    }')" > "$1"
}

mkdir -p data/up data/leap
i=0
while [ $i -lt 24 ]; do
    piece "data/up/$i.mid" up $i
    piece "data/leap/$i.mid" leap $i
    i=$((i + 1))
done

small="--data data --cell gru --units 48 --head 32 --content 8 --style-width 8 --batch 8 --transpose 1 --lr 0.005"

expect "learns from a folder" run train $small --epochs 16 --out learned
expect "the styles" sh -c "tr -d ' \n' < learned/config.json | grep -q '\"styles\":\[\"leap\",\"up\"\]'"
expect "rebuilds pitches" at_least "$(figure learned valid pitch_accuracy)" 0.6
expect "rebuilds durations" at_least "$(figure learned valid dur_accuracy)" 0.95
expect "hears styles" at_least "$(figure learned valid style_accuracy)" 0.95
expect "terms of the loss" grep -q '"train_kl_loss"' learned/log.jsonl
expect "a report" grep -q "Content by style" learned/report.html
expect "with players" grep -q "<audio" learned/report.html
expect "evaluates" run eval --out learned
expect "the validation part" says "^validation part"
expect "evaluates a folder" run eval --out learned --data data
expect "all of it" test "$(figure learned test n)" -eq 96

expect "generates" run generate --out learned --style up --count 3 --temperature 0.5
for file in up-1.mid up-3.wav up-2.svg; do
    expect "$file" test -s learned/generate/$file
done
expect "a page" grep -q "<svg" learned/generate.html
cp learned/generate/up-1.mid first.mid
expect "generates again" run generate --out learned --style up --count 3 --temperature 0.5
expect "the same" cmp -s first.mid learned/generate/up-1.mid
expect "draws otherwise" run generate --out learned --style up --count 3 --temperature 0.5 --draw 2
expect "another piece" sh -c '! cmp -s first.mid learned/generate/up-1.mid'
expect "greedily" run generate --out learned --style leap --count 1 --greedy --to elsewhere
expect "elsewhere" test -s elsewhere/leap-1.mid
expect "by beam search" run generate --out learned --style leap --count 1 --beam 3
expect "chosen among tries" run generate --out learned --style leap --count 2 --tries 3
expect "among four" run generate --out learned --style up --count 3 --temperature 0.5 --tries 4
expect "as by itself" cmp -s first.mid learned/generate/up-1.mid
expect "drawn once" run generate --out learned --style up --count 3 --temperature 0.5 --tries 1
expect "among the likeliest" run generate --out learned --style leap --count 2 --top-k 2 --max-events 10
expect "rebuilds a piece" run reconstruct --out learned data/up/3.mid --greedy
expect "in the style it is heard in" says "^heard as up$"
expect "says how well" says "^2 segments: pitch (0\.[5-9]|1)"
expect "both pieces" test -s learned/reconstruct/original-1.mid -a -s learned/reconstruct/reconstruct-1.mid
expect "transfers" run transfer --out learned data/up/3.mid --style leap --greedy
expect "the new piece" test -s learned/transfer/transfer-1.mid
expect "interpolates" run interpolate --out learned data/up/3.mid data/leap/4.mid --steps 3
expect "three pieces" test -s learned/interpolate/step-3.mid
expect "is judged by the best of four drawings" run judge --out learned --count 2 --temperature 0.5
expect "the judge's thousand steps are a line, or one each half minute" test "$(grep -c 'the judge listens' "$dir/output")" -lt 20
expect "says how often it drew" test "$(figure learned judge tries)" -eq 4
expect "on the page too" grep -q "drawn 4 times" learned/judge.html
expect "is judged" run judge --out learned --count 12 --temperature 0.5 --tries 1
expect "style hit rate, drawn once" at_least "$(figure learned judge hit_rate)" 0.8
expect "the judge on real pieces" at_least "$(figure learned judge judge_accuracy)" 0.95
expect "nothing hangs" says ", 0 hanging; best (up|leap)-[1-4], worst"
expect "what was heard instead" says "^heard as +leap +up$"
expect "measures beside those of real pieces" says "^real, held out: clarity of the key 0"
expect "its page" grep -q "Pitch classes above the tonic" learned/judge.html
expect "is judged by the same judge" run judge --out learned --count 2 --tries 2 --judge learned/judge.safetensors
expect "which does not learn again" sh -c "! grep -q 'the judge listens' '$dir/output'"

misuse "nowhere/judge: cannot create" judge --out learned --judge nowhere/judge
expect "before it learns" test ! -s output
echo > taken
misuse "a file of that name is in the way" judge --out learned --judge another --to taken
expect "before it learns" test ! -s output -a ! -e another
misuse "does not say what its judge learned from" judge --out learned --judge learned/best.safetensors

# Other data: another judge.
cp -r data renamed
mv renamed/up renamed/down
# shellcheck disable=SC2086
expect "a run with other styles" run train $small --data renamed --epochs 1 --out down
cp learned/judge.safetensors down
misuse "learned the styles leap, up, not down, leap" judge --out down --judge learned/judge.safetensors
expect "the old judge is not taken" run judge --out down --count 1
expect "as is said" says "learned the styles leap, up, not down, leap: another one learns"
expect "the new one knows the styles" at_least "$(figure down judge judge_accuracy)" 0.95
cp -r data fewer
rm fewer/up/1*.mid
misuse "learned from other segments" judge --out learned --data fewer --judge learned/judge.safetensors
expect "the same styles, other segments" run judge --out learned --data fewer --count 1
expect "as is said" says "learned from other segments: another one learns"

# The baseline, other cells and both readings of mu-forcing.
tiny="--units 6 --head 6 --content 4 --epochs 1"
n=0
while read -r words; do
    n=$((n + 1))
    # shellcheck disable=SC2086
    expect "train $words" run train --data data $tiny --out "kind$n" $words
    expect "generate of $words" run generate --out "kind$n" --style up --count 1 --max-events 12
done << 'END'
--cell hyper_lstm --hyper-units 4 --hyper-embedding 2 --style-width 4 --mu-forcing half-sum --recompute
--cell lstm --style-width 4 --mu-forcing none --tau-start 2 --tau-decay 0.99 --style-at every-event
--cell gru --labels
--cell gru --style-width 4 --combine add --style-loss sample --kl-weight 0.1 --schedule constant
--style-width 4 --styles up,leap --tracks all --longest 40 --most 30 --schedule exponential
END
# What an untrained model draws by chance: some pieces have no notes.
expect "pieces without notes" run judge --out kind4 --count 600 --max-events 1 --tries 1 --temperature 5
expect "are told" says "^Without notes: [1-9][0-9]* of 1200\.$"
expect "on the page too" grep -qF "$(grep '^Without notes' "$dir/output")" kind4/judge.html
expect "and counted in shares" test "$(grep -cE 'taken for [a-z]+: [0-9]+ of 600 ' kind4/judge.html)" -eq 4
on_page=$(sed -n 's/.*leap taken for up: [0-9]* of 600 (\([0-9.]*\) %.*/\1/p' kind4/judge.html)
expect "which are those of the terminal" \
    awk -v page="$on_page" '$1 == "leap" && NF == 3 { same = (page - 100 * $3) ^ 2 < 0.26 } END { exit !same }' "$dir/output"
expect "by beam search with the style at every event" run generate --out kind2 --style up --count 1 --beam 3 --max-events 6
expect "labels: no style head" sh -c '! grep -q style_accuracy kind3/metrics.json'
misuse "does not hear styles" generate --out kind3 --style up --tries 2
misuse "does not hear styles" reconstruct --out kind3 data/up/3.mid
expect "labels and a style" run reconstruct --out kind3 data/up/3.mid --style up --max-events 12
expect "styles in the order given" sh -c "tr -d ' \n' < kind5/config.json | grep -q '\"styles\":\[\"up\",\"leap\"\]'"

# Collapse: without mu-forcing the content is not used.
expect "collapse" run collapse --data data --cell gru --units 24 --content 4 --batch 8 --epochs 12 --kl-k 10 --out both
expect "a table" says "^ +12 "
expect "mu-forcing keeps the content in use" awk '$1 == 12 { exit !($3 > 2 * $2 && $5 > $4) }' "$dir/output"
expect "a figure" grep -q "KL without" both/collapse.html
misuse "already holds a run (12 epochs): add --overwrite to start again, or" collapse --data data --epochs 1 --out both
"$program" collapse --data data --cell gru --units 24 --batch 8 --epochs 1000000 --out half --threads 1 \
    > "$dir/output" 2> "$dir/errors" &
child=$!
stop_when TERM test -f half/without/log.jsonl
expect "can be stopped" test $? -eq 130
expect "which is said" says '^stopped before all was trained, which cannot be gone on with$'
expect "and begins anew" run collapse --data data --cell gru --units 24 --batch 8 --epochs 1 --out half --overwrite
misuse "half/without already holds a run" collapse --data data --epochs 1 --out half
mkdir -p second/with
cp half/without/config.json second/with
misuse "second/with already holds a run" collapse --data data --epochs 1 --out second
expect "before the first is trained" test ! -e second/without
misuse "no-such-folder" collapse --data no-such-folder --out neither
expect "and makes no folder" test ! -e neither

# The built-in corpus, the same bits at any thread count.
corpus="--songs 5 --epochs 1 --units 16 --head 8 --content 6"
# shellcheck disable=SC2086
expect "the built-in corpus" run train $corpus --out pieces
expect "ten styles" grep -q '"jazz"' pieces/config.json
# shellcheck disable=SC2086
expect "with three threads" "$program" train $corpus --out pieces3 --threads 3 > "$dir/output" 2> "$dir/errors"
expect "the same bits" cmp pieces/best.safetensors pieces3/best.safetensors
expect "its test part" run eval --out pieces
expect "said so" says "^test part of the corpus"

# Killed and gone on with.
KILL_PROGRAM=$program KILL_OPTIONS="--data $dir/data $(echo "$small" | sed 's/--data data//') --epochs 5" \
    sh "$here/kill_resume.sh" 2 > "$dir/output" 2>&1
status=$?
: > "$dir/errors"
[ "$status" -eq 77 ] || expect "runs that were killed" test "$status" -eq 0

# Wrong use.
misuse "it knows leap, up" generate --out learned --style polka
misuse "needs --style" generate --out learned
misuse "--songs has no meaning with --data" train --data data --songs 5 --out unused
misuse "--hyper-units has no meaning with --cell lstm" train --data data --cell lstm --hyper-units 4 --out unused
misuse "--encoder-keep has no meaning with --cell gru" train --data data --cell gru --encoder-keep 0.5 --out unused
misuse "--style-width has no meaning with --labels" train --data data --labels --style-width 4 --out unused
misuse "--tau-start has no meaning without --tau-decay" train --data data --tau-start 2 --out unused
misuse "--mu-threshold has no meaning with --mu-forcing none" train --data data --mu-forcing none --mu-threshold 1 --out unused
misuse "--temperature has no meaning with --greedy" generate --out learned --style up --greedy --temperature 1
misuse "--tries has no meaning with --greedy" generate --out learned --style up --greedy --tries 2
misuse "--greedy has no meaning with --beam" reconstruct --out learned data/up/3.mid --beam 3 --greedy
misuse "--top-k has no meaning with --beam" judge --out learned --beam 3 --top-k 2
misuse "outside 1 .. 10000" generate --out learned --style up --count 0
misuse "no-such-run" generate --out no-such-run --style up
misuse "FILE.mid" reconstruct --out learned
misuse "no-such.mid" reconstruct --out learned no-such.mid
echo "not MIDI at all" > text.mid
misuse "text.mid: byte 0: not a MIDI file" transfer --out learned text.mid --style up
head -c 60 data/up/3.mid > cut.mid
misuse "cut.mid" interpolate --out learned data/up/3.mid cut.mid
cp -r data other
mv other/up other/down
refused learned train
misuse "learned other styles: its number 1 is not down" train --resume --out kind1 --data other --epochs 9
misuse "has other styles" judge --out learned --data other
misuse "no-such-folder" train --data no-such-folder --out new
mkdir empty
misuse "no MIDI files there" train --data empty --out new
misuse "no segments of the style polka" train --data data --styles up,polka --out new
misuse "stands there twice" train --data data --styles up,up --out new
misuse "beside every event" train --data data --combine add --style-at every-event --out unused
misuse "cannot be added" train --data data --combine add --style-width 3 --content 4 --out unused
expect "wrong use makes no folder" test ! -e new
mkdir -p mixed/up mixed/leap
cp data/up/*.mid mixed/up
cp data/leap/*.mid mixed/leap
cp text.mid mixed/up/broken.mid
# shellcheck disable=SC2086
expect "a broken file is left out" run train $tiny --cell gru --style-width 4 --data mixed --out mixed-run
expect "and named" says "^left out: .*broken.mid"
for file in config.json best.safetensors; do
    for how in "head -c 90" "true" "echo something else"; do
        rm -rf hurt
        cp -r kind1 hurt
        $how < "kind1/$file" > "hurt/$file" 2> /dev/null
        misuse "hurt/$file" generate --out hurt --style up
    done
done
rm -rf hurt
cp -r kind1 hurt
rm hurt/best.safetensors
misuse "hurt/best.safetensors" generate --out hurt --style up
cp -r kind2/best.safetensors hurt
misuse "describes another model" generate --out hurt --style up
cp kind1/best.safetensors hurt
tr -d '\n' < kind1/config.json | sed 's/"styles": \[[^]]*\]/"styles": []/' > hurt/config.json
misuse "has no list of styles" generate --out hurt --style up
echo "junk" > hurt/judge.safetensors
cp kind1/config.json hurt
misuse "hurt/judge.safetensors" judge --out hurt --count 1
rm -rf hurt
cp -r kind1 hurt
head -c 500 kind1/last.ckpt > hurt/last.ckpt
misuse "hurt/last.ckpt" train --resume --out hurt

finish
