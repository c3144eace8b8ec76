#!/bin/sh
# The programs in the manual compile, run and print what the text says they print.
#
# A fence "```c program=NAME" is a program, or a piece of one: pieces of one name in one file are
# put together in their order. "```text output=NAME" is what it must print. Each program is
# linked to the library of the build and run in a folder of its own.
# make sets srcdir, CC, CPPFLAGS, DOC_CFLAGS and LIBTOOL, and runs this in the build's top folder.
set -u

top=${srcdir:-.}
dir=$(mktemp -d "${TMPDIR:-/tmp}/etude-docs.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
good=0
bad=0

# <etude/etude.h>, as it is when installed
header=etude.h
[ -f "$header" ] || header=$top/etude.h
mkdir "$dir/include" "$dir/include/etude" && cp "$header" "$dir/include/etude/etude.h" || exit 1

failed()
{
    bad=$((bad + 1))
    echo "$page, program $name: $1"
    cat "$2"
}

for page in "$top"/README.md "$top"/doc/*.md; do
    pieces=$dir/$(basename "$page" .md)
    mkdir "$pieces" || exit 1
    awk -v dir="$pieces" -v page="$page" '
        /^ *```/ {
            file = ""
            if (open) {
                open = 0
                next
            }
            open = 1
            if (match($0, /program=[A-Za-z0-9_]+/)) {
                file = dir "/" substr($0, RSTART + 8, RLENGTH - 8) ".c"
                printf "#line %d \"%s\"\n", NR + 1, page > file
            } else if (match($0, /output=[A-Za-z0-9_]+/)) {
                file = dir "/" substr($0, RSTART + 7, RLENGTH - 7) ".expected"
            }
            next
        }
        file { print > file }' "$page"
    for program in "$pieces"/*.c; do
        [ -f "$program" ] || continue
        name=$(basename "$program" .c)
        mkdir "$pieces/$name" || exit 1
        if ! $CC $CPPFLAGS -I"$dir/include" $DOC_CFLAGS -c "$program" -o "$pieces/$name.o" > "$pieces/log" 2>&1 ||
            ! $LIBTOOL --silent --tag=CC --mode=link $CC $DOC_CFLAGS -static "$pieces/$name.o" libetude.la \
                -o "$pieces/$name/run" -lm > "$pieces/log" 2>&1; then
            failed "does not compile" "$pieces/log"
        elif ! (cd "$pieces/$name" && ./run) > "$pieces/$name.out" 2> "$pieces/log"; then
            failed "fails" "$pieces/log"
        elif [ -f "$pieces/$name.expected" ] && ! diff "$pieces/$name.expected" "$pieces/$name.out" > "$pieces/log"; then
            failed "prints something else" "$pieces/log"
        else
            good=$((good + 1))
        fi
    done
done
echo "# total $good passed $bad failed"
[ "$bad" -eq 0 ] && [ "$good" -gt 0 ]
