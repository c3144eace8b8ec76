#!/bin/sh
# genre-rnn as a user meets it: it learns, evaluates and explains; the same seed gives the same
# bits at any thread count; wrong use gives one line and exit status 2; a run that was stopped or
# killed goes on. make runs this in the build folder; GENRE_RNN is the program
# (examples/genre-rnn), srcdir the source folder.
set -u

program=${GENRE_RNN:-examples/genre-rnn}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/program.sh
. "$here/program.sh"

plain="--epochs 1 --batch 96 --hidden 4"
small="$plain --attention 4"

# --- the planted task ----------------------------------------------------------------------

expect "training" run train --task planted --out learned --epochs "${brief:-4}"
expect "accuracy" learned "$(figure learned valid accuracy)" 0.99
expect "attention on the event" learned "$(figure learned valid attention_mass)" 0.9
expect "training with bfloat16" run train --task planted --out mixed --epochs "${brief:-4}" --precision bfloat16
expect "accuracy with bfloat16" learned "$(figure mixed valid accuracy)" 0.99
expect "attention with bfloat16" learned "$(figure mixed valid attention_mass)" 0.9
expect "other weights with bfloat16" sh -c '! cmp -s learned/best.safetensors mixed/best.safetensors'
expect "evaluation" run eval --out learned
expect "accuracy on other items" learned "$(figure learned test accuracy)" 0.99
expect "explanation" run explain --out learned --count 2
expect "intervals" test "$(grep -c 'weight 0' "$dir/output")" -eq 10
expect "pages" grep -q "</html>" learned/report.html learned/explain.html
expect "pages without a network" sh -c '! grep -Eq "(src|href)=\"?(http|//)" learned/report.html learned/explain.html'
expect "training without --out" run train --task planted $small
expect "a profile" run train --task planted $small --out profiled --profile profiled/step.json
expect "its table" grep -q '^gru  *backward ' "$dir/output"
expect "its trace" grep -q '"traceEvents"' profiled/step.json
expect "a profile that is no option of the run" sh -c '! grep -q profile profiled/config.json'
expect "its folder" test -f runs/genre-rnn/report.html

# --- the built-in corpus ---------------------------------------------------------------------

pieces="--songs 5 --epochs 2 --hidden 8 --attention 4 --dropout 0"
# shellcheck disable=SC2086
expect "training on the built-in corpus" run train --out pieces $pieces
expect "playing it" grep -q "^playing the built-in corpus" "$dir/output"
expect "its size" grep -q "^60 training and 20 validation items of 94 frames, 64 features, 10 classes" "$dir/output"
# shellcheck disable=SC2086
expect "training on the built-in corpus with 3 threads" "$program" train --out pieces3 $pieces --threads 3 \
    > "$dir/output" 2> "$dir/errors"
expect "bits of the corpus with 3 threads" same_bits pieces pieces3
expect "evaluation on other pieces" run eval --out pieces
expect "their number" test "$(figure pieces test n)" -eq 20
expect "explanation of a piece" run explain --out pieces --item jazz.00004.1
expect "its name" grep -q "^jazz.00004.1: " "$dir/output"
misuse "outside 5 .. 10000" train --songs 4
misuse "not one of corpus|planted" train --task jazz

# What the model can be: each word of each option, and some together.
n=0
while read -r words; do
    n=$((n + 1))
    # shellcheck disable=SC2086
    expect "train $words" run train --task planted --out "kind$n" $plain $words
    expect "eval of $words" run eval --out "kind$n"
done << 'END'
--cell rnn --score dot
--cell gru --score general --attention 4 --bidirectional
--cell lstm --score additive --attention 4
--cell lstm --bidirectional --attend-input
--cell rnn --pooling last --bidirectional
--cell gru --pooling mean
--cell gru --attend-input --score general
--cell lstm --pooling last --dropout 0.3 --input-dropout 0.1
--crop 32 --shift 2 --mixup 0.4 --smoothing 0.1 --weight-decay 0.01 --patience 1 --seed 0
--cell lstm --pooling mean --lr 0.01 --config paper
END

# --- the same bits -----------------------------------------------------------------------------

for threads in 1 2 3 8; do
    # shellcheck disable=SC2086
    expect "training with $threads threads" "$program" train --task planted --out "threads$threads" $small --hidden 20 \
        --dropout 0.2 --mixup 0.2 --seed 5 --threads $threads > "$dir/output" 2> "$dir/errors"
    [ "$threads" = 1 ] || expect "bits with $threads threads" same_bits threads1 "threads$threads"
done
# shellcheck disable=SC2086
expect "training again" run train --task planted --out again $small --hidden 20 --dropout 0.2 --mixup 0.2 --seed 5
expect "bits of the same seed" same_bits threads1 again
# shellcheck disable=SC2086
expect "another seed" run train --task planted --out other $small --hidden 20 --dropout 0.2 --mixup 0.2 --seed 6
expect "bits of another seed" sh -c '! cmp -s again/best.safetensors other/best.safetensors'

# --- tables of the form of GTZAN -----------------------------------------------------------------

# segments FOLDER TRACKS-OF-A-GENRE
segments()
{
    mkdir -p "$1"
    awk -v each="$2" 'BEGIN {
        split("0 1 4 7 9", genre)
        line = "track,segment,genre_id,split"
        split("chroma_stft rms rolloff spectral_bandwidth spectral_centroid zero_crossing_rate", base)
        for (i = 1; i <= 6; i++)
            line = line "," base[i] "_mean," base[i] "_var"
        line = line ",tempo"
        for (i = 1; i <= 20; i++)
            line = line ",mfcc" i "_mean,mfcc" i "_var"
        print line
        srand(1)
        for (g = 1; g <= 5; g++)
            for (i = 0; i < each; i++)
                for (s = 0; s < 10; s++) {
                    line = "track" g "-" i "," s "," genre[g] "," (i % 3 == 2 ? "valid" : "train")
                    for (f = 0; f < 53; f++)
                        line = line sprintf(",%.4f", 2 + rand() + (f % 5 == g - 1 ? 2 : 0))
                    print line
                }
    }' > "$1/features3_seq.csv"
}

spectrogram ten 6 10
segments five 6
cp -r ten both
cp five/features3_seq.csv both/
tables="--hidden 12 --attention 4 --batch 8 --mixup 0 --epochs 8 --lr 0.01"
# shellcheck disable=SC2086
expect "spectrograms" run train --out spectrograms --data ten $tables
expect "accuracy on spectrograms" at_least "$(figure spectrograms valid accuracy)" 0.9
expect "eval of spectrograms" run eval --out spectrograms
expect "explain of spectrograms" run explain --out spectrograms --item jazz.00001
expect "its name" grep -q "^jazz.00001: jazz" "$dir/output"
# shellcheck disable=SC2086
expect "segments" run train --out segments --data five $tables
expect "accuracy on segments" at_least "$(figure segments valid accuracy)" 0.9
expect "their preprocessing" grep -q '"colour": 0.7' segments/config.json
expect "a test set" run eval --out segments --data both
expect "all of it was judged" test "$(figure segments test n)" -eq 30
expect "explain of segments" run explain --out segments --data both --count 1

# What belongs to a recording is taken off; --colour says how much, and a run that is read or gone on with
# has what it began with. A run from before there was the option has none of it.
tested=$(figure segments test loss)
rm -rf hurt
cp -r segments hurt
sed 's/"colour": 0.7/"colour": 0.2/' segments/config.json > hurt/config.json
expect "eval with another colour" run eval --out hurt --data both
expect "eval obeys the colour" test "$tested" != "$(figure hurt test loss)"
sed '/"preprocessing"/,/}/s/"colour": 0.7/"colour": 2/' segments/config.json > hurt/config.json
misuse 'that value of the preprocessing "colour"' eval --out hurt --data both
misuse "--colour differs from the run" train --resume --out segments --colour 0.5
# shellcheck disable=SC2086
expect "colour left as it is" run train --out plainly --data five $tables --colour 0 --epochs 2
# shellcheck disable=SC2086
expect "all of it taken off" run train --out bare --data five $tables --colour 1 --epochs 2
expect "other weights" sh -c '! cmp -s plainly/best.safetensors bare/best.safetensors'
expect "its resuming" run train --out bare --resume --epochs 3
expect "with its preprocessing" test "$(grep -c '"colour": 1,' bare/config.json)" -eq 2
sed '/"colour"/d' plainly/config.json > old.json
cp old.json plainly/config.json
expect "an old run goes on" run train --out plainly --resume --epochs 3
expect "with its colour" grep -q '"colour": 0,' plainly/config.json
expect "its eval" run eval --out plainly --data both
tested=$(figure plainly test loss)
sed '/"colour"/d' plainly/config.json > old.json
cp old.json plainly/config.json
expect "eval of an old run" run eval --out plainly --data both
expect "as it was prepared" test "$tested" = "$(figure plainly test loss)"

# A table without splits, or with others: eval judges every row, train splits for itself.
mkdir plain renamed
cp ten/spec128x57.npy plain
cut -d, -f1-4 ten/tracks.csv > plain/tracks.csv
cp ten/spec128x57.npy renamed
sed 's/valid$/test/' ten/tracks.csv > renamed/tracks.csv
expect "eval of the run's own table" run eval --out spectrograms --data ten
expect "which is no test" says '^all: 60 items'
expect "nor called so" test "$(figure spectrograms all n)" -eq 60 -a -z "$(figure spectrograms test n)"
expect "eval without splits" run eval --out spectrograms --data plain
expect "all of it" test "$(figure spectrograms test n)" -eq 60
expect "eval with other splits" run eval --out spectrograms --data renamed
# shellcheck disable=SC2086
expect "training without a validation split" run train --out renamed-run --data renamed $tables --epochs 1

# --- wrong use -------------------------------------------------------------------------------------

misuse "say what to do"
misuse "did you mean train?" trian
misuse "there are train, eval, explain" sing
misuse "a verb comes first" --epochs 3
misuse "unknown option --epoch; did you mean --epochs?" train --task planted --epoch 3
misuse "--epochs needs a value" train --task planted --epochs
misuse "outside 1 .. 1000000" train --task planted --epochs 0
misuse "not a whole number" train --task planted --epochs 1.5
misuse "outside 1 .. 65536" train --task planted --hidden 0
misuse "outside 1 .. 65536" train --task planted --batch -1
misuse "not a finite number" train --task planted --lr nan
misuse "not a finite number" train --task planted --lr fast
misuse "outside" train --task planted --lr 0
misuse "outside 0 .. 0.99" train --task planted --dropout 1
misuse "outside 0 .. 0.9" train --task planted --smoothing 1
misuse "outside 1 .. 256" train --task planted --threads 0
misuse "too large" train --task planted --seed 99999999999999999999
misuse "not one of gru|lstm|rnn" train --task planted --cell tape
misuse "not one of additive|dot|general" train --task planted --score loud
misuse "not one of attention|last|mean" train --task planted --pooling max
misuse "not one of small|paper" train --task planted --config huge
misuse "not one of auto|spectrogram|segments" train --task planted --table chairs
misuse "takes no value" train --task planted --resume=yes
misuse "unexpected argument" train --task planted data
misuse "the value is empty" train --task planted --out ""
misuse "needs --out DIR" eval
misuse "needs --out DIR" explain
misuse "is an option of train, not of eval" eval --out learned --cell lstm
misuse "is an option of explain, not of train" train --task planted --item x
misuse "is an option of explain, not of eval" eval --out learned --count 1
misuse "outside 1 .. 1000" explain --out learned --count 0
misuse "no item is called" explain --out learned --item nobody
misuse "--resume needs --out" train --task planted --resume
misuse "--overwrite needs --out" train --task planted --overwrite
misuse "--task has no meaning with --data" train --task planted --data ten --out new
misuse "--songs has no meaning with --data" train --songs 5 --data ten --out new
misuse "--songs has no meaning with --task planted" train --songs 5 --task planted --out new
misuse "--table has no meaning without --data" train --table segments --out new
misuse "--score has no meaning with --pooling mean" train --task planted --pooling mean --score dot --out new
misuse "--attend-input has no meaning with --pooling last" train --task planted --pooling last --attend-input --out new
misuse "--attention has no meaning with --score dot" train --task planted --score dot --attention 4 --out new
misuse "exclude each other" train --task planted --out learned --resume --overwrite
refused learned train
misuse "--hidden differs from the run" train --task planted --out learned --resume --hidden 3
misuse "--seed differs from the run" train --task planted --out learned --resume --seed 3
misuse "No such file" eval --out nowhere
misuse "a file of that name is in the way" train --task planted --out learned/log.jsonl
misuse "no/such: cannot create a file beside it" train --task planted --out new --profile no/such
misuse "no GTZAN tables there" train --data nowhere --out new
misuse "no GTZAN tables there" train --data learned --out new
misuse "no GTZAN tables there" train --data ten/tracks.csv --out new
misuse "files of the table segments are not there" train --data ten --table segments --out new
misuse "outside 0 .. 1" train --data five --colour 1.5 --out new
misuse "not a finite number" train --data five --colour much --out new
misuse "--colour is for the features of segments" train --data ten --colour 0.5 --out new
misuse "--colour is for the features of segments" train --task planted --colour 0.5 --out new
misuse "--shift is for spectra" train --data five --shift 2 --out new
misuse "files of the table spectrogram are not there" train --data five --table spectrogram --out new
misuse "files of the table spectrogram are not there" eval --out spectrograms --data five
misuse "files of the table segments are not there" eval --out segments --data ten
misuse "learned the built-in task" eval --out learned --data ten
misuse "no GTZAN tables there" train --data nowhere --out learned --overwrite
misuse "--shift 128: the spectra have 128 bands" train --data ten --shift 128 --out new
expect "wrong data makes no folder" test ! -e new
expect "wrong data does not cost the old run" test -f learned/best.safetensors

# Damaged tables.
# damaged WORDS FILE COMMAND...: a data folder whose FILE is what the command makes of it
damaged()
{
    words=$1
    file=$2
    shift 2
    rm -rf hurt
    cp -r both hurt
    "$@" < "both/$file" > "hurt/$file"
    case $file in
    features*) rm hurt/tracks.csv ;;
    esac
    misuse "$words" train --data hurt --out new
}
damaged "spec128x57.npy" spec128x57.npy dd bs=1000 count=1 2> /dev/null
damaged "spec128x57.npy" spec128x57.npy dd bs=9 count=1 2> /dev/null
damaged "spec128x57.npy" spec128x57.npy true
damaged "spec128x57.npy" spec128x57.npy over 65 "57, 128"
damaged "tracks.csv" tracks.csv dd bs=1005 count=1 2> /dev/null
damaged "tracks.csv" tracks.csv true
damaged "tracks.csv" tracks.csv sed 's/blues.00001/blues.00000/'
damaged "not one of the ten genres" tracks.csv sed 's/,disco,/,polka,/'
damaged "track" tracks.csv sed '1s/track/title/'
damaged "features3_seq.csv" features3_seq.csv dd bs=5003 count=1 2> /dev/null
damaged "features3_seq.csv" features3_seq.csv true
damaged "features3_seq.csv" features3_seq.csv sed 's/track2-2,3,1/track2-2,3,none/'
damaged "'nan' is not a finite number" features3_seq.csv sed 's/^\(track2-2,3,.*\),[^,]*$/\1,nan/'
damaged "1e+39 is too large" features3_seq.csv sed 's/^\(track2-2,3,.*\),[^,]*$/\1,1e39/'
damaged "tempo" features3_seq.csv sed '1s/tempo/pace/'
damaged "no track has the split" features3_seq.csv sed 's/,train,/,learn,/'
damaged "too few tracks" features3_seq.csv sed 11q
expect "damaged data makes no folder" test ! -e new

# Damaged run folders.
broken kind1 eval config.json
broken kind1 eval best.safetensors
broken kind1 eval metrics.json
broken kind1 explain config.json
broken kind1 explain best.safetensors
broken kind1 "train --resume" config.json
broken kind1 "train --resume" last.ckpt
for file in config.json best.safetensors; do
    rm -rf hurt
    cp -r kind1 hurt
    rm "hurt/$file"
    misuse "$file" eval --out hurt
done
rm -rf hurt
cp -r kind1 hurt
rm hurt/config.json
misuse "config.json" train --task planted --resume --out hurt
sed 's/"genre-rnn"/"other-program"/' kind1/config.json > hurt/config.json
misuse "was made by other-program" eval --out hurt
sed 's/"hidden": 4/"hidden": 5/' kind1/config.json > hurt/config.json
misuse "does not fit the module" eval --out hurt
sed 's/"cell": "rnn"/"cell": 3/' kind1/config.json > hurt/config.json
misuse "cell" eval --out hurt
cp kind2/best.safetensors kind1/config.json hurt
misuse "does not fit the module" eval --out hurt

# How the data is prepared stands in config.json; eval obeys it, or says what it does not know.
rm -rf hurt
cp -r learned hurt
expect "preprocessing in config.json" grep -q '"preprocessing": {' hurt/config.json
expect "eval as trained" run eval --out hurt
before=$(figure hurt test loss)
sed 's/"clip": 0/"clip": 0.5/' learned/config.json > hurt/config.json
expect "eval with another preprocessing" run eval --out hurt
expect "eval obeys the preprocessing" test "$before" != "$(figure hurt test loss)"
sed 's/"centre": false/"centre": true/' learned/config.json > hurt/config.json
expect "eval with centred items" run eval --out hurt
expect "eval obeys the centring" test "$before" != "$(figure hurt test loss)"
sed 's/"centre_features": false/"centre_features": true/' learned/config.json > hurt/config.json
expect "eval with centred features" run eval --out hurt
expect "eval obeys their centring" test "$before" != "$(figure hurt test loss)"
sed 's/"centre"/"whiten"/' learned/config.json > hurt/config.json
misuse 'does not know the preprocessing "whiten"' eval --out hurt
misuse 'does not know the preprocessing "whiten"' train --resume --out hurt
sed 's/"standardize": "feature"/"standardize": "element"/' learned/config.json > hurt/config.json
misuse 'that value of the preprocessing "standardize"' eval --out hurt
sed 's/"log_variances": false/"log_variances": true/' learned/config.json > hurt/config.json
misuse 'that value of the preprocessing "log_variances"' explain --out hurt

# Where nothing can be written.
if [ -w /dev/full ]; then
    for command in --help "train --help" --version; do
        # shellcheck disable=SC2086
        "$program" $command > /dev/full 2> "$dir/errors"
        expect "$command on a full disk" test $? -eq 1
    done
    "$program" explain --out learned --threads 1 > /dev/full 2> "$dir/errors"
    expect "explain on a full disk" test $? -eq 1
fi
rm -rf hurt
cp -r kind1 hurt
chmod a-w hurt
if touch hurt/file 2> /dev/null; then
    chmod u+w hurt # the superuser may
else
    misuse "hurt" train --task planted --out hurt/new
    misuse "hurt" eval --out hurt
    misuse "hurt" train --task planted --out hurt --resume --epochs 3
    chmod u+w hurt
fi

# A full disk is no fault of what was given. A limit on the size of files, of which the program does not die,
# stands in for one.
rm -rf full
(
    ulimit -f 4
    "$program" train --task planted --out full --epochs 1 --hidden 8 --threads 1 > /dev/null 2> "$dir/errors"
)
expect "no room for the checkpoint" test $? -eq 1
expect "one line about the room" test "$(grep -c 'cannot write: File too large' "$dir/errors")" -eq 1

# Going on where there is nothing yet is beginning, which one line says.
rm -rf fresh
expect "resuming nothing" run train --task planted --out fresh --resume --epochs 1 --hidden 2 --attention 2
expect "a line that says so" grep -q '^fresh has no run to go on with: a new one begins$' "$dir/output"
expect "resuming something" run train --task planted --out fresh --resume --epochs 2
expect "no such line" test "$(grep -c 'no run to go on' "$dir/output")" -eq 0

# --- stopped and killed ------------------------------------------------------------------------

stopped="--epochs 4 --batch 96 --hidden 4 --attention 4"
# shellcheck disable=SC2086
expect "a run left alone" run train --task planted --out alone $stopped
for signal in INT TERM; do
    rm -rf stop
    # shellcheck disable=SC2086
    "$program" train --task planted --out stop $stopped --threads 1 --profile stop.json \
        > "$dir/output" 2> "$dir/errors" &
    child=$!
    stop_when $signal test -f stop/log.jsonl
    status=$?
    if [ "$status" -eq 130 ]; then
        expect "how to resume after SIG$signal" grep -q "train --out stop --resume" "$dir/output"
    else
        expect "SIG$signal came after the end" test "$status" -eq 0 -a "$(wc -l < stop/log.jsonl)" -eq 4
    fi
    expect "its profile after SIG$signal" grep -q '"traceEvents"' stop.json
    rm -f stop.json
    expect "resuming after SIG$signal" run train --task planted --out stop --resume
    expect "bits after SIG$signal" same_bits alone stop
done

stopped_early corpus/run --songs 2000

KILL_PROGRAM=$program sh "$here/kill_resume.sh" 4 > "$dir/output" 2>&1
status=$?
: > "$dir/errors"
[ "$status" -eq 77 ] || expect "runs that were killed" test "$status" -eq 0

finish
