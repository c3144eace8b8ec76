"""Writes unicode_tables.h from Python's unicodedata:

    /usr/bin/python3 datasets/gen_unicode.py > datasets/unicode_tables.h

Tables, all sorted by code point:
  classes    runs (first << 8 | class bits): what unicode.h names ET_UC_...
  combining  runs (first << 8 | combining class)
  lower      runs {first, last, step, delta}: simple lower case
  composed   code << 42 | first part << 21 | second part or 0: one step of canonical decomposition
Hangul syllables decompose by rule and are left out. What a character is for the final sigma (cased,
ignored) is seen from what str.lower makes of a sigma behind it."""
import sys
import unicodedata as u

LAST = 0x110000
CONTROL, SPACE, MARK, PUNCTUATION, LETTER, NUMBER, CASED, IGNORED = (1 << i for i in range(8))


def bits(cp):
    if 0xD800 <= cp < 0xE000:
        return 0
    c = chr(cp)
    cat = u.category(c)
    b = 0
    b |= CONTROL * (cat in ("Cc", "Cf"))
    b |= SPACE * (cat in ("Zs", "Zl", "Zp") or 9 <= cp <= 13 or cp == 0x85)
    b |= MARK * (cat == "Mn")
    b |= PUNCTUATION * (cat[0] == "P" or 33 <= cp <= 47 or 58 <= cp <= 64 or 91 <= cp <= 96 or 123 <= cp <= 126)
    b |= LETTER * (cat[0] == "L")
    b |= NUMBER * (cat[0] == "N")
    cased = (c + "\u03a3").lower()[-1] == "\u03c2"
    through = ("a" + c + "\u03a3").lower()[-1] == "\u03c2"
    b |= CASED * cased
    b |= IGNORED * (through and not cased)
    return b


def runs(f):
    out, before = [], None
    for cp in range(LAST):
        v = f(cp)
        if v != before:
            out.append(cp << 8 | v)
            before = v
    return out


def lower_runs():
    pairs = [(cp, ord(chr(cp).lower())) for cp in range(LAST)
             if not 0xD800 <= cp < 0xE000 and chr(cp).lower() != chr(cp) and len(chr(cp).lower()) == 1]
    longer = [cp for cp in range(LAST) if not 0xD800 <= cp < 0xE000 and len(chr(cp).lower()) > 1]
    assert longer == [0x130], longer  # unicode.c knows it
    out, i = [], 0
    while i < len(pairs):
        cp, low = pairs[i]
        j, step = i + 1, 1
        if j < len(pairs) and pairs[j][0] - cp in (1, 2) and pairs[j][1] - pairs[j][0] == low - cp:
            step = pairs[j][0] - cp
            while j < len(pairs) and pairs[j][0] - pairs[j - 1][0] == step and pairs[j][1] - pairs[j][0] == low - cp:
                j += 1
        out.append((cp, pairs[j - 1][0], step, low - cp))
        i = j
    return out


def decompositions():
    for cp in range(LAST):
        d = u.decomposition(chr(cp))
        if d and not d.startswith("<"):
            parts = [int(x, 16) for x in d.split()]
            assert len(parts) in (1, 2)
            yield cp, parts[0], parts[1] if len(parts) == 2 else 0


def table(declaration, items):
    print("\n%s = {" % declaration)
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 108:
            print(line)
            line = "   "
        line += " " + item + ","
    print(line + "\n};")


print("/* Made by gen_unicode.py from version %s of the Unicode character database. */" % u.unidata_version)
table("static const uint32_t classes[]", ["0x%x" % r for r in runs(bits)])
table("static const uint32_t combining[]", ["0x%x" % r for r in runs(lambda cp: u.combining(chr(cp)))])
table("static const struct lower_run {\n    uint32_t first, last, step;\n    int32_t delta;\n} lower[]",
      ["{0x%x, 0x%x, %d, %d}" % r for r in lower_runs()])
table("static const uint64_t composed[]", ["0x%x" % (c << 42 | a << 21 | b) for c, a, b in decompositions()])
