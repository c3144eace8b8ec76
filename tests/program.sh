# shellcheck shell=sh
# What the tests of programs as users meet them share: a folder for their files, counting, a table. To be read
# by a script (". program.sh") that has set `program` to the program's path, which becomes absolute; the
# current folder is then a new one that is removed at the end. The script's last line is `finish`.

name=$(basename "$program")
dir=$(mktemp -d "${TMPDIR:-/tmp}/etude-$name.XXXXXX") || exit 1
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
brief=${ETUDE_BRIEF:+1} # epochs of long trainings where sanitizers or valgrind watch, who ask how, not what
good=0
bad=0

passed()
{
    good=$((good + 1))
}

# failed WHAT: with what the program printed
failed()
{
    bad=$((bad + 1))
    echo "FAILED: $1"
    sed 's/^/    /' "$dir/output" "$dir/errors"
}

# expect WHAT COMMAND...
expect()
{
    what=$1
    shift
    if "$@"; then
        passed
    else
        failed "$what"
    fi
}

# misuse WORDS ARGUMENTS...: exit status 2 and one line with the words
misuse()
{
    words=$1
    shift
    "$program" "$@" > "$dir/output" 2> "$dir/errors"
    status=$?
    if [ "$status" -eq 2 ] && [ "$(wc -l < "$dir/errors")" -eq 1 ] && grep -qF -- "$words" "$dir/errors" &&
        grep -q "^$name: " "$dir/errors"; then
        passed
    else
        failed "$name $* gave status $status, not 2 with one line about \"$words\""
    fi
}

# refused RUN VERB: a folder that holds a run is refused before any data are read or made
refused()
{
    misuse "$1 already holds a run" "$2" --out "$1"
    expect "at once" test ! -s "$dir/output"
}

# stop_when SIGNAL COMMAND...: sends it to the program in the background, $child, as soon as the command
# succeeds; the program's exit status
stop_when()
{
    by=$1
    shift
    until "$@" || ! kill -0 "$child" 2> /dev/null; do
        sleep 0.01 2> /dev/null || sleep 1
    done
    kill "-$by" "$child" 2> /dev/null
    wait "$child" 2> /dev/null
}

# logged FILE LINES: so many of them at least
logged()
{
    [ "$(wc -l 2> /dev/null < "$1" || echo 0)" -ge "$2" ]
}

# other_files FOLDER NAMES: its files are not those any more
other_files()
{
    [ "$(ls -A "$1")" != "$2" ]
}

# stopped_early FOLDER/RUN ARGUMENTS...: Ctrl-C while data are read or made leaves neither folder behind
stopped_early()
{
    early=$1
    shift
    "$program" train --out "$early" "$@" > "$dir/output" 2> "$dir/errors" &
    child=$!
    stop_when INT test -d "$early"
    expect "$early stopped early" test $? -eq 130
    expect "which is said" says '^stopped before the first epoch$'
    expect "no error" test ! -s "$dir/errors"
    expect "no empty folder" test ! -e "${early%/*}"
}

# stopped_reading FOLDER ARGUMENTS...: SIGTERM while sounds are read leaves no file in the folder; an mp3 among them
# takes a second
stopped_reading()
{
    folder=$1
    shift
    mkdir slow
    printf '#!/bin/sh\nsleep 1\nexit 1\n' > slow/ffmpeg
    chmod +x slow/ffmpeg
    before=$(ls -A "$folder")
    PATH=$dir/slow:$PATH TMPDIR=$dir/$folder "$program" "$@" > "$dir/output" 2> "$dir/errors" &
    child=$!
    stop_when TERM other_files "$folder" "$before"
    expect "stopped while sounds are read" test $? -eq 130
    expect "which is said" says '^stopped$'
    expect "nothing is left of it" test "$(ls -A "$folder")" = "$before"
    rm -r slow
}

# run ARGUMENTS...: with one thread, its answers in files, its exit status
run()
{
    "$program" "$@" --threads 1 > "$dir/output" 2> "$dir/errors"
}

# says PATTERN: what the last run printed
says()
{
    grep -qE -- "$1" "$dir/output"
}

# figure RUN SECTION NAME: from metrics.json
figure()
{
    awk -v section="\"$2\":" -v name="\"$3\":" '
        $2 == "{" { inside = $1 == section }
        inside && $1 == name { sub(/,$/, "", $2); print $2; exit }' "$1/metrics.json"
}

# at_least NUMBER LIMIT
at_least()
{
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 >= b + 0) }' || { echo "$1 is less than $2"; return 1; }
}

# learned NUMBER LIMIT: at_least, after a training that was not brief
learned()
{
    if [ -n "$brief" ]; then
        at_least "$1" 0
    else
        at_least "$1" "$2"
    fi
}

# same_bits RUN RUN: but for the times in the log
same_bits()
{
    for file in best.safetensors last.ckpt metrics.json; do
        cmp "$1/$file" "$2/$file" || return 1
    done
    for folder in "$1" "$2"; do
        sed 's/, "seconds": [^,}]*//' "$folder/log.jsonl" > "$folder/log.without"
    done
    cmp "$1/log.without" "$2/log.without"
}

# broken RUN VERB FILE: of a copy of the run the file is cut, emptied, and replaced by something else; the verb says so
broken()
{
    for how in "dd bs=90 count=1" "true" "echo something else"; do
        rm -rf hurt
        cp -r "$1" hurt
        # shellcheck disable=SC2086
        $how < "$1/$3" > "hurt/$3" 2> /dev/null
        # shellcheck disable=SC2086
        misuse "hurt/$3" $2 --out hurt
    done
}

# over AT WORDS: the file that comes in, which need not be text, with the words over its bytes from AT on
over()
{
    dd bs="$1" count=1 2> /dev/null
    dd bs="${#2}" count=1 > /dev/null 2>&1
    printf '%s' "$2"
    cat
}

# spectrogram FOLDER TRACKS-OF-A-GENRE GENRES: GTZAN's table of spectrograms, of tracks whose genre shows in its bands
spectrogram()
{
    mkdir -p "$1"
    awk -v each="$2" -v genres="$3" 'BEGIN {
        split("blues classical country disco hiphop jazz metal pop reggae rock", name)
        print "row,track,genre,genre_id,split"
        for (g = 0; g < genres; g++)
            for (i = 0; i < each; i++)
                printf "%d,%s.%05d,%s,%d,%s\n", row++, name[g + 1], i, name[g + 1], g, i % 3 == 2 ? "valid" : "train"
    }' > "$1/tracks.csv"
    {
        printf '\223NUMPY\001\000\166\000'
        printf "%-117s\n" "{'descr': '|u1', 'fortran_order': False, 'shape': ($(($2 * $3)), 128, 57), }"
        g=0
        while [ "$g" -lt "$3" ]; do
            i=0
            while [ "$i" -lt "$2" ]; do
                level=$((i + 2)) # some differ from others
                dd if=/dev/zero bs=57 count=$((g * 12)) 2> /dev/null | tr '\000' "\\04$((level % 8))"
                dd if=/dev/zero bs=57 count=12 2> /dev/null | tr '\000' "\\30$((level % 8))"
                dd if=/dev/zero bs=57 count=$((116 - g * 12)) 2> /dev/null | tr '\000' "\\04$((level % 8))"
                i=$((i + 1))
            done
            g=$((g + 1))
        done
    } > "$1/spec128x57.npy"
}

# The exit status of the script.
finish()
{
    echo "# total $good passed $bad failed"
    [ "$bad" -eq 0 ] && [ "$good" -gt 0 ]
}

cd "$(dirname "$program")" || exit 1
program=$(pwd)/$name
cd - > /dev/null || exit 1
cd "$dir" || exit 1
