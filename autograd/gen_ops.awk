# Makes what follows from the list of operators and their sources:
#
#     awk -f gen_ops.awk ops.def ops_*.c > ops.h              the public header
#     awk -v mode=doc -f gen_ops.awk ops.def ops_*.c > ops.md  the table of the manual
#
# ops.def lists the operators, one ET_OP(name) or ET_FN(name) a line; its one-line
# comments become section headings. The sources hold for each a doc comment directly
# followed by the definition, with the name in parentheses:
#
#     /** y = tanh(x). ... */
#     et_tensor *(et_tanh)(et_tensor *x)
#     {
#
# Public types that go with an operator stand, in its source, between the lines
# "/* ops.h: begin */" and "/* ops.h: end */", inside #if 0 ... #endif.
#
# A listed operator without definition or doc comment, a definition that is not
# listed, and one that is defined twice are errors: exit status 1.
# Needs nothing beyond POSIX awk.

function fail(text)
{
    print "gen_ops.awk: " text | "cat 1>&2"
    failed = 1
}

# The comment's text on one line, without its stars; the first paragraph only.
function first_paragraph(comment,    lines, n, i, s, out)
{
    n = split(comment, lines, "\n")
    out = ""
    for (i = 1; i <= n; i++) {
        s = lines[i]
        sub(/^\/\*\*?/, "", s)
        sub(/\*\/[ \t]*$/, "", s)
        sub(/^[ \t]*\*/, "", s)
        gsub(/^[ \t]+|[ \t]+$/, "", s)
        if (s == "" && out != "")
            break
        if (s != "")
            out = out (out == "" ? "" : " ") s
    }
    return out
}

function first_sentence(comment,    s, at)
{
    s = first_paragraph(comment)
    at = match(s, /\.[ ]+[A-Z]/)
    if (at > 0)
        s = substr(s, 1, at)
    return s
}

# Sets param_count, param[] and param_name[] from a prototype without a body.
function split_parameters(proto,    s, i, c, depth, word)
{
    s = substr(proto, index(proto, "(") + 1)
    sub(/\)[ \t\n]*$/, "", s)
    gsub(/[ \t\n]+/, " ", s)
    param_count = 0
    depth = 0
    word = ""
    for (i = 1; i <= length(s) + 1; i++) {
        c = i <= length(s) ? substr(s, i, 1) : ","
        if (c == "," && depth == 0) {
            gsub(/^ +| +$/, "", word)
            param[++param_count] = word
            # The name: what follows "(*" in a pointer to a function, else the last word.
            if (match(word, /\(\*[ ]*[A-Za-z_0-9]+/)) {
                word = substr(word, RSTART, RLENGTH)
                sub(/^\(\*[ ]*/, "", word)
            } else {
                gsub(/\[[^]]*\]/, "", word)
                sub(/ +$/, "", word)
                sub(/^.*[^A-Za-z_0-9]/, "", word)
            }
            param_name[param_count] = word
            word = ""
        } else {
            if (c == "(")
                depth++
            if (c == ")")
                depth--
            word = word c
        }
    }
    if (param_count == 1 && (param[1] == "void" || param[1] == ""))
        param_count = 0
}

# Handles one declaration at file level, text up to its first { or ;.
function declaration(text, doc, where,    name, proto)
{
    if (!match(text, /^[A-Za-z_][^({;]*\(et_[A-Za-z0-9_]+\)[ \t]*\(/))
        return
    sub(/[ \t\n]*[{;][^\n]*$/, "", text)
    match(text, /\(et_[A-Za-z0-9_]+\)/)
    name = substr(text, RSTART + 4, RLENGTH - 5)
    # Continuation lines move left by the two parentheses that go.
    proto = substr(text, 1, RSTART - 1) substr(text, RSTART + 1, RLENGTH - 2) substr(text, RSTART + RLENGTH)
    gsub(/\n  /, "\n", proto)
    if (name in prototype) {
        fail(where ": et_" name " is defined twice")
        return
    }
    prototype[name] = proto
    comment_of[name] = doc
    place[name] = where
    source_of[name] = FILENAME
}

FNR == 1 {
    is_list = (FILENAME ~ /\.def$/)
    in_comment = in_public = 0
    doc = pending = text = ""
}

{ sub(/\r$/, "") }

# --- the list -------------------------------------------------------------------

is_list && /^\/\*.*\*\/[ \t]*$/ {
    section = $0
    sub(/^\/\*+[ \t]*/, "", section)
    sub(/[ \t]*\*\/[ \t]*$/, "", section)
    sub(/:.*$/, "", section)
    next
}

is_list && /^ET_(OP|FN)\([A-Za-z0-9_]+\)/ {
    composed = /^ET_FN/
    name = $0
    sub(/^ET_(OP|FN)\(/, "", name)
    sub(/\).*$/, "", name)
    if (name in listed)
        fail(FILENAME ":" FNR ": " name " is listed twice")
    else {
        listed[name] = 1
        order[++count] = name
        section_of[count] = section
        composed_of[name] = composed
    }
    next
}

is_list { next }

# --- the sources ------------------------------------------------------------------

/^\/\* ops\.h: begin \*\/[ \t]*$/ {
    in_public = 1
    public = public "\n"
    next
}

/^\/\* ops\.h: end \*\/[ \t]*$/ {
    in_public = 0
    next
}

in_public {
    public = public $0 "\n"
    next
}

in_comment {
    doc = doc "\n" $0
    if ($0 ~ /\*\//) {
        in_comment = 0
        pending = is_doc ? doc : ""
    }
    next
}

/^\/\*/ {
    text = ""
    is_doc = /^\/\*\*/
    doc = $0
    if ($0 ~ /\*\//)
        pending = is_doc ? doc : ""
    else
        in_comment = 1
    next
}

/^[ \t]*$/ || /^#/ || /^\}/ || /^[A-Z_0-9]+\(.*\)[ \t]*;?[ \t]*$/ {
    text = pending = ""
    next
}

# A declaration starts in the first column and goes on to its { or ;.
text != "" || /^[A-Za-z_]/ {
    if (text == "")
        where = FILENAME ":" FNR
    text = text (text == "" ? "" : "\n") $0
    if ($0 ~ /[{;]/) {
        declaration(text, pending, where)
        text = pending = ""
    }
}

# --- the results --------------------------------------------------------------------

function check(    i, name)
{
    if (count == 0)
        fail("no operator is listed")
    for (i = 1; i <= count; i++) {
        name = order[i]
        if (!(name in prototype))
            fail("et_" name " is listed, but no source defines (et_" name ")(...)")
        else if (comment_of[name] == "")
            fail(place[name] ": et_" name " has no doc comment (/** ... */) directly above it")
    }
    for (name in prototype)
        if (!(name in listed))
            fail(place[name] ": et_" name " is defined, but not listed in ops.def")
}

# The call that notes its caller's place, and the macro over it. The place is noted inside of a
# function since operands, which may note places of their own, are evaluated before.
function write_call(name,    i, head, call)
{
    split_parameters(prototype[name])
    if (param_count == 0 || param[param_count] == "...")
        return
    head = substr(prototype[name], 1, index(prototype[name], "(") - 1)
    gsub(/[ \t\n]+/, " ", head)
    sub(/ ?et_[A-Za-z0-9_]+$/, (head ~ /\* ?et_[A-Za-z0-9_]+$/ ? "" : " ") "et_at_" name, head)
    head = head "(const char *et_file, int et_line"
    call = "(et_" name ")("
    for (i = 1; i <= param_count; i++) {
        head = head ", " param[i]
        call = call (i == 1 ? "" : ", ") param_name[i]
    }
    print "static inline " head ")"
    print "{"
    print "    et_here(et_file, et_line);"
    print "    " (head ~ /^void et_/ ? "" : "return ") call ");"
    print "}"
    print "#define et_" name "(...) et_at_" name "(__FILE__, __LINE__, __VA_ARGS__)"
}

function write_header(    i, name)
{
    print "/* Every operator. Made by gen_ops.awk from ops.def and the ops_*.c files. */"
    print "#ifndef ETUDE_AUTOGRAD_OPS_H"
    print "#define ETUDE_AUTOGRAD_OPS_H"
    print ""
    print "#include \"autograd/autograd.h\""
    print "#include \"tensor/rng.h\""
    print "#include \"tensor/tensor.h\""
    print ""
    print "#ifdef __cplusplus"
    print "extern \"C\" {"
    print "#endif"
    printf "%s", public
    for (i = 1; i <= count; i++) {
        name = order[i]
        if (section_of[i] != "" && section_of[i] != section_of[i - 1])
            print "\n/* --- " section_of[i] " --- */"
        print "\n" comment_of[name]
        print prototype[name] ";"
    }
    print ""
    print "/* Calls note their place in the source, for messages. Define ET_NO_PLACES to call the"
    print " * functions alone; (et_add)(a, b) does so once. */"
    print "#ifndef ET_NO_PLACES"
    for (i = 1; i <= count; i++)
        write_call(order[i])
    print "#endif"
    print ""
    print "#ifdef __cplusplus"
    print "}"
    print "#endif"
    print ""
    print "#endif"
}

function write_doc(    i, k, name, call, text)
{
    print "# The operators"
    print ""
    print "Made from `autograd/ops.def` and the doc comments of the sources. Shapes, dtypes and errors of each are"
    print "in `autograd/ops.h`; one that is marked (c) is composed of others."
    for (i = 1; i <= count; i++) {
        name = order[i]
        if (i == 1 || section_of[i] != section_of[i - 1]) {
            print ""
            if (section_of[i] != "")
                print "## " toupper(substr(section_of[i], 1, 1)) substr(section_of[i], 2) "\n"
            print "| operator | | source |"
            print "|---|---|---|"
        }
        split_parameters(prototype[name])
        call = ""
        for (k = 1; k <= param_count; k++)
            call = call (k == 1 ? "" : ", ") param_name[k]
        text = first_sentence(comment_of[name])
        gsub(/\|/, "\\|", text)
        print "| `et_" name "(" call ")`" (composed_of[name] ? " (c)" : "") " | " text " | `" source_of[name] "` |"
    }
}

END {
    check()
    if (failed) {
        close("cat 1>&2")
        exit 1
    }
    if (mode == "doc")
        write_doc()
    else
        write_header()
}
