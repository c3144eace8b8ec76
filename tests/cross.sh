#!/bin/sh
# The suite on another kind of processor, run by QEMU's user-mode emulator.
#
#     tests/cross.sh ARCH [BUILD-DIR [PROGRAM...]]
#
# ARCH is Debian's name of it: arm64 (the NEON kernels), s390x (big-endian). PROGRAMs are suites, such as
# check_npy; without any, all are run; with ETUDE_BRIEF=1, of many alike cases a part. Needs a cross
# compiler (gcc-aarch64-linux-gnu, gcc-s390x-linux-gnu), whose C library is in SYSROOT (/usr/HOST), and
# qemu-user. The Check library for ARCH is taken from CHECK_DIR, a folder with usr/include and usr/lib, or
# else downloaded with apt-get into the build folder, whose package lists are its own: the system stays as
# it is. The sources must have their `configure` (./bootstrap) and must not be built in place.
set -eu

arch=${1:?usage: tests/cross.sh arm64 or s390x [BUILD-DIR [PROGRAM...]]}
case $arch in
arm64) host=aarch64-linux-gnu; emulator=qemu-aarch64 ;;
s390x) host=s390x-linux-gnu; emulator=qemu-s390x ;;
*) echo "cross: no rule for $arch" >&2; exit 2 ;;
esac
top=$(cd "$(dirname "$0")/.." && pwd)
build=${2:-build-$arch}
[ $# -lt 2 ] || shift
shift
for tool in "$host-gcc" "$emulator"; do
    command -v "$tool" > /dev/null || { echo "cross: $tool is missing" >&2; exit 77; }
done
[ -x "$top/configure" ] || { echo "cross: run ./bootstrap or autoreconf -fi first" >&2; exit 2; }
mkdir -p "$build"
cd "$build"
build=$(pwd)

# Check's static library, without asking the system to know another architecture.
check=${CHECK_DIR:-$build/check}
if [ ! -d "$check/usr/include" ]; then
    lists=$build/apt
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial" "$check"
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    echo "deb http://deb.debian.org/debian $suite main" > "$lists/sources.list"
    : > "$lists/status"
    own_apt()
    {
        (cd "$lists" && apt-get -q -o APT::Architecture="$arch" -o APT::Architectures="$arch" \
            -o Dir::Etc::sourcelist="$lists/sources.list" -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::State::lists="$lists/lists" -o Dir::State::status="$lists/status" -o Dir::Cache="$lists/cache" \
            -o APT::Sandbox::User=root "$@")
    }
    own_apt update
    own_apt download check libsubunit-dev
    for package in "$lists"/*.deb; do
        dpkg-deb -x "$package" "$check"
    done
fi

# Without shared libraries the test programs are what the emulator can run, not libtool's scripts.
if [ ! -f Makefile ]; then
    "$top/configure" -q --host="$host" --disable-shared CC="$host-gcc" PKG_CONFIG=false \
        CHECK_CFLAGS="-I$check/usr/include" \
        CHECK_LIBS="-L$check/usr/lib/$host -lcheck -lsubunit -lrt -lm -lpthread"
fi
jobs=${JOBS:-2}
CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-100} # emulation is some fifty times slower
ETUDE_EMULATED=1 # tests of what the emulator has not are left out
export CK_TIMEOUT_MULTIPLIER ETUDE_EMULATED
make -s -j"$jobs" all # first, for it may have to make the Makefile again, with much to say
programs=
for name; do
    programs="$programs tests/$name"
done
if [ -z "$programs" ]; then
    printf 'include Makefile\nprint-programs:\n\t@echo $(check_PROGRAMS)\n' > programs.mk
    programs=$(make -s -f programs.mk print-programs)
fi
# shellcheck disable=SC2086
make -s -j"$jobs" $programs
failed=0
for program in $programs; do
    if srcdir=$top "$emulator" -L "${SYSROOT:-/usr/$host}" "./$program" > "$program.cross" 2>&1; then
        result=passed
    else
        result=FAILED
        failed=$((failed + 1))
    fi
    printf '%-28s %s  %s\n' "$program" "$result" "$(grep '^[0-9]*%' "$program.cross" | tail -1)"
    [ "$result" = passed ] || grep -v '^[0-9]*%\|^Running' "$program.cross" | head -20
done
echo "cross: $arch: $failed programs failed"
[ "$failed" -eq 0 ]
