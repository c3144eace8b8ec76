#!/bin/sh
# Each public header compiles alone, as C99, C11 and C++, without a warning.
# make sets CC, CXX, CPPFLAGS and PUBLIC_HEADERS.
set -u

dir=$(mktemp -d "${TMPDIR:-/tmp}/etude-headers.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
good=0
bad=0

# compile LANGUAGE COMPILER OPTIONS...: the header in $header
compile()
{
    language=$1
    shift
    if "$@" -Wall -Wextra -pedantic -Werror $CPPFLAGS -c "$dir/alone.$suffix" -o "$dir/alone.o" 2> "$dir/errors"; then
        good=$((good + 1))
    else
        bad=$((bad + 1))
        echo "$header as $language:"
        cat "$dir/errors"
    fi
}

for header in $PUBLIC_HEADERS; do
    for suffix in c cc; do
        echo "#include \"$header\"" > "$dir/alone.$suffix"
        echo "int nothing_else;" >> "$dir/alone.$suffix"
    done
    suffix=c
    compile C99 $CC -std=c99
    compile C11 $CC -std=c11
    if [ -n "${CXX:-}" ]; then
        suffix=cc
        compile C++ $CXX -std=c++11
    fi
done
[ -n "${CXX:-}" ] || echo "no C++ compiler: headers were compiled as C alone"
echo "# total $good passed $bad failed"
[ "$bad" -eq 0 ] && [ "$good" -gt 0 ]
