# Fails when an op of ops.def has no gradient-check samples:
#
#     for f in ops_*.c; do cc -E $f; done | awk -f need_samples.awk ops.def - > stamp
#
# Reads preprocessed sources, so that it does not matter by which macros an op is written.
# Needs nothing beyond POSIX awk.

FILENAME ~ /\.def$/ {
    if (match($0, /^ET_(OP|FN)\([A-Za-z0-9_]+\)/)) {
        name = substr($0, 7, RLENGTH - 7)
        order[++count] = name
    }
    next
}

/^#/ { next }

# An object may begin anywhere in a line and go on over several.
{
    text = text " " $0
    while (1) {
        if (!inside) {
            if (!match(text, /et_op_[A-Za-z0-9_]+[ \t]*=[ \t]*\{/)) {
                text = substr(text, length(text) - 60 > 0 ? length(text) - 60 : 1)
                break
            }
            op = substr(text, RSTART + 6, RLENGTH - 6)
            sub(/[ \t]*=.*/, "", op)
            text = substr(text, RSTART + RLENGTH)
            inside = 1
        }
        end = index(text, "};")
        if (!end)
            break
        has[op] = substr(text, 1, end) ~ /\.samples[ \t]*=/ && substr(text, 1, end) ~ /\.n_samples[ \t]*=/
        text = substr(text, end + 2)
        inside = 0
    }
}

END {
    for (i = 1; i <= count; i++)
        if (!has[order[i]]) {
            print "need_samples.awk: op " order[i] " has no samples (ET_SAMPLES): it cannot be checked" | "cat 1>&2"
            bad = 1
        }
    if (bad) {
        close("cat 1>&2")
        exit 1
    }
    print count " ops have samples"
}
