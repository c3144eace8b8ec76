#!/bin/sh
# Runs of a program that are killed with SIGKILL at random moments and then resumed end with the
# same bits as the one that was left alone.
#
#     kill_resume.sh [COUNT [SEED]]
#
# kills COUNT runs (3), at moments drawn from SEED (1); every third is killed again while it
# resumes. KILL_PROGRAM is the program (examples/genre-rnn), KILL_OPTIONS what its train verb is given.
set -u

count=${1:-3}
seed=${2:-1}
program=${KILL_PROGRAM:-examples/genre-rnn}
options=${KILL_OPTIONS:---task planted --epochs 5 --batch 64 --hidden 6 --attention 4 --dropout 0.2 --mixup 0.3 --crop 48 --patience 9}
dir=$(mktemp -d "${TMPDIR:-/tmp}/etude-kill.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
good=0
bad=0

if ! sleep 0.01 2> /dev/null; then
    echo "this sleep takes whole seconds only: nothing was killed"
    exit 77
fi

# train FOLDER: the run, or what is left of it
train()
{
    # shellcheck disable=SC2086
    exec "$program" train --out "$1" --resume --threads 1 $options > "$dir/output" 2>&1
}

# killed FOLDER SECONDS: the run, killed after that time; fails if it had ended by then
killed()
{
    train "$1" &
    child=$!
    sleep "$2"
    kill -KILL "$child" 2> /dev/null
    wait "$child" 2> /dev/null
    [ $? -eq 137 ]
}

# without_times FOLDER: its log
without_times()
{
    sed 's/, "seconds": [^,}]*//' "$1/log.jsonl"
}

# same FOLDER: it holds what the run that was left alone holds
same()
{
    for file in best.safetensors last.ckpt metrics.json config.json; do
        cmp "$dir/alone/$file" "$1/$file" || return 1
    done
    without_times "$dir/alone" > "$dir/log.alone"
    without_times "$1" > "$dir/log.resumed"
    cmp "$dir/log.alone" "$dir/log.resumed" || return 1
    for file in "$1"/.et-*; do
        [ ! -e "$file" ] || { echo "$file was left"; return 1; }
    done
}

# How long a run takes, in hundredths of a second: it is repeated for a second or two.
runs=0
began=$(date +%s)
while [ "$runs" -eq 0 ] || [ $(($(date +%s) - began)) -lt 2 ]; do
    rm -rf "$dir/alone"
    (train "$dir/alone") || { cat "$dir/output"; echo "# total 0 passed 1 failed"; exit 1; }
    runs=$((runs + 1))
done
length=$((($(date +%s) - began) * 100 / runs))

i=0
while [ "$i" -lt "$count" ]; do
    i=$((i + 1))
    moments=$(awk -v seed="$seed" -v i="$i" -v length_="$length" 'BEGIN {
        srand(seed * 1000 + i)
        rand() # the first hardly depends on the seed in some awks
        printf "%.3f %.3f\n", rand() * length_ / 110, rand() * length_ / 110
    }')
    rm -rf "$dir/run"
    while ! killed "$dir/run" "${moments% *}"; do # too late: anew, and earlier
        rm -rf "$dir/run"
        moments=$(echo "$moments" | awk '{ print $1 * 0.7, $2 }')
    done
    [ $((i % 3)) -ne 0 ] || killed "$dir/run" "${moments#* }" # it may have ended, too
    if (train "$dir/run") && same "$dir/run"; then
        good=$((good + 1))
    else
        bad=$((bad + 1))
        echo "the run killed after $moments s:"
        cat "$dir/output"
    fi
done
echo "# total $good passed $bad failed"
[ "$bad" -eq 0 ] && [ "$good" -gt 0 ]
