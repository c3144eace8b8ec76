#!/bin/sh
# Compiles a program against the installed library, through pkg-config, and runs it: in C and
# in C++, with the shared and with the static library, where there are.
# "make installcheck" sets CC, CXX, SANITIZE_FLAGS, PKG_CONFIG, libdir, pkgconfigdir, sysroot.
set -eu

program=$1
if [ -z "$PKG_CONFIG" ]; then
    echo "installcheck: no pkg-config, nothing checked" >&2
    exit 77
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/etude-install.XXXXXX")
trap 'rm -rf "$dir"' EXIT

# Look nowhere else than in what was installed.
PKG_CONFIG_PATH=$pkgconfigdir
PKG_CONFIG_SYSROOT_DIR=$sysroot
LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
DYLD_LIBRARY_PATH=$libdir
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH DYLD_LIBRARY_PATH

cflags=$($PKG_CONFIG --cflags etude)
# try NAME COMPILER...: the libraries' flags are in $libs
try()
{
    name=$1
    shift
    "$@" $SANITIZE_FLAGS $cflags "$dir/program.$suffix" -o "$dir/program" $libs
    echo "installcheck, $name: $("$dir/program")"
}

cp "$program" "$dir/program.c"
cp "$program" "$dir/program.cc"
for kind in shared static; do
    libs=$($PKG_CONFIG --libs etude)
    if [ $kind = static ]; then
        [ -f "$libdir/libetude.a" ] || continue
        libs="$libdir/libetude.a $($PKG_CONFIG --static --libs etude | sed 's/-letude//')"
    fi
    suffix=c
    try "C, $kind" $CC -std=c99
    suffix=cc
    [ -z "$CXX" ] || try "C++, $kind" $CXX
done
