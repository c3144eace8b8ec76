#!/bin/sh
# Adds up the single tests of all test programs that "make check" has run in a build directory.
#
#     totals.sh BUILD_DIR...
#
# prints "N passed, N failed" and fails if a test has. A program that says nothing of its tests,
# or failed in spite of what it says (a crash, a leak), counts as one. Programs that were
# skipped do not count.
set -u

for build in "$@"; do
    for result in "$build"/tests/*.trs; do
        [ -f "$result" ] || continue
        echo "@ $(sed -n 's/^:global-test-result: //p' "$result")"
        log=${result%.trs}.log
        if [ -f "$log" ]; then
            cat "$log"
            echo
        fi
    done
done | awk '
    function finish()
    {
        if (result == "SKIP" || result == "")
            return
        if (result != "PASS" && result != "XFAIL" && bad == 0)
            bad = 1
        else if (good + bad == 0)
            good = 1
        passed += good
        failed += bad
    }
    /^@ / {
        finish()
        result = $2
        good = bad = 0
    }
    # Check: "97%: Checks: 40, Failures: 1, Errors: 0"
    /^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
        n = split($0, part, /[^0-9]+/)
        bad += part[3] + part[4]
        good += part[2] - part[3] - part[4]
    }
    # Others: "# total 12 passed 0 failed"
    /^# total [0-9]+ passed [0-9]+ failed/ {
        good += $3
        bad += $5
    }
    END {
        finish()
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0 || passed == 0
    }'
