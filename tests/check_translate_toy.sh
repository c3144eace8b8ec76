#!/bin/sh
# translate-toy as a user meets it: it learns to reverse sequences, is judged, translates; a text task from a table made
# here; bits at any thread count, resuming, and wrong use. make runs this in the build folder; TRANSLATE_TOY is the
# program (examples/translate-toy).
set -u

program=${TRANSLATE_TOY:-examples/translate-toy}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/program.sh
. "$here/program.sh"

# 800 steps of 64: the published small task.
expect "learns to reverse" run train --out learned
expect "exact matches" at_least "$(figure learned valid exact)" 0.95
refused learned train
expect "evaluates by beam search" run eval --out learned --judge 50
expect "exact matches of the beam" at_least "$(figure learned test exact)" 0.95
expect "by one translation" run eval --out learned --judge 1
expect "which is one" says ' 1 translation: exact'
expect "a report with translations" grep -q "made</th>" learned/report.html
expect "translates" run translate --out learned abcdefgh hgfeabab
expect "the first text" says '^hgfedcba$'
expect "the second text" says '^babaefgh$'
expect "translates greedily" run translate --out learned abcdabcd --beam 1
expect "the same" says '^dcbadcba$'

# The same seed gives the same bits; a run that is gone on with too.
expect "short run" run train --out one --epochs 2 --dropout 0.1
"$program" train --out two --epochs 2 --dropout 0.1 --threads 3 > /dev/null 2>&1
expect "the same with three threads" cmp -s one/best.safetensors two/best.safetensors
expect "begins" run train --out three --epochs 1 --dropout 0.1
expect "goes on" run train --out three --epochs 2 --resume
expect "as if never stopped" cmp -s one/last.ckpt three/last.ckpt
expect "log of two epochs" test "$(wc -l < three/log.jsonl)" -eq 2

# A table like that of MusicCaps: the caption says the aspects in another order.
mkdir data
awk 'BEGIN {
    print "ytid,start_s,end_s,split,aspects,caption"
    split("calm loud sad happy", mood); split("piano guitar violin flute drums", what); split("slow fast", tempo)
    for (i = 0; i < 200; i++) {
        m = mood[i % 4 + 1]; w = what[int(i / 4) % 5 + 1]; t = tempo[int(i / 20) % 2 + 1]
        printf "id%d,0,10,%s,%s; %s; %s tempo,\"A %s %s plays, %s. It is heard.\"\n", i, i % 9 ? "train" : "eval", m, w, t, t, w, m
    }
}' > data/musiccaps.csv
expect "learns captions" run train --data data --out captions --epochs 16 --batch 16 --warmup 60 --width 32 --length 16 \
    --vocabulary 300 --pre-norm --dropout 0 --judge 20
expect "BLEU" at_least "$(figure captions valid bleu)" 0.9
expect "a caption" run translate --out captions "sad; flute; slow tempo"
expect "in words" says '^a slow flute plays, sad\.$'
expect "judges captions" run eval --out captions --judge 10 --beam 3

misuse "letters a to i" translate --out learned abcz
misuse "nothing to translate" translate --out learned ""
misuse "letters a to i" translate --out learned abcdefghiab
misuse "musiccaps.csv" train --data . --out bad
misuse "5 heads do not divide a width of 32" train --out bad --heads 5
misuse "a width of 15 is odd" train --out bad --width 15 --heads 5
misuse "no-such-run" eval --out no-such-run
misuse "beam" eval --out learned --beam 65
misuse "--length-penalty is an option of eval, not of train" train --out bad --length-penalty 1
misuse "--length-penalty has no meaning with --beam 1" eval --out learned --beam 1 --length-penalty 1
misuse "--length-penalty has no meaning with --beam 1" translate --out learned abc --beam 1 --length-penalty 1
misuse "--vocabulary has no meaning without --data" train --out refused --vocabulary 300
misuse "--length has no meaning without --data" train --out refused --length 16
expect "which is told before a folder is made" test ! -e refused
misuse "learned learned to reverse sequences: judge it without --data" eval --out learned --data data

# Other captions are read with the run's own words, in judging and in going on.
mkdir other
awk -F, 'NR == 1 || /piano|flute|eval/' data/musiccaps.csv | sed 's/guitar/zither/g' > other/musiccaps.csv
expect "one more epoch" run train --data data --out onward --epochs 1 --batch 16 --length 16 --vocabulary 300 --judge 20
cp onward/vocab.txt words
expect "judged with other captions" run eval --out onward --data other --judge 10
expect "gone on with other captions" run train --resume --out onward --data other --epochs 2
expect "the words are the run's" cmp words onward/vocab.txt
printf 'ytid,split,aspects\n1,train,a\n' > data/musiccaps.csv
misuse "caption" train --data data --out worse
printf 'ytid,split,aspects,caption\n1,train,a,b\n' > data/musiccaps.csv
misuse "rows of both parts" train --data data --out worst
sed 's/"width": 32/"width": 64/' learned/config.json > one/config.json
misuse "config.json describes another model" eval --out one

# A run is overwritten only by one that begins.
cp learned/best.safetensors before
misuse "musiccaps.csv" train --data . --out learned --overwrite
misuse "5 heads" train --out learned --heads 5 --overwrite
expect "the old run is there" cmp before learned/best.safetensors
expect "and can be used" run translate --out learned abcdefgh
rm captions/vocab.txt
misuse "vocab.txt" translate --out captions calm

finish
