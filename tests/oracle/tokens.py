"""Reference values of the tokenisers, from a second implementation of their rules on Python's own strings.

    /usr/bin/python3 tests/oracle/tokens.py DATA > tests/fixtures/tokens.json

DATA is the folder of real data (bert_vocab/vocab.txt, musiccaps/musiccaps.csv). Written: texts with their words and
numbers; of all captions counts and an FNV-1a hash of the numbers, and the number of tokens of the first ones; the
same for byte-level BPE, whose merges are learned from the captions here."""
import csv
import json
import re
import sys
import unicodedata as u

CJK = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
       (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]
SPECIALS = re.compile(r"(\[PAD\]|\[UNK\]|\[CLS\]|\[SEP\]|\[MASK\])")


def bert_words(text):
    kept = []
    for ch in text:
        cat = u.category(ch)
        if ch in "\t\n\r" or cat == "Zs":
            kept.append(" ")
        elif ord(ch) in (0, 0xFFFD) or cat in ("Cc", "Cf"):
            continue
        elif any(a <= ord(ch) <= b for a, b in CJK):
            kept.append(" %s " % ch)
        else:
            kept.append(ch)
    for word in "".join(kept).split():
        word = "".join(c for c in u.normalize("NFD", word.lower()) if u.category(c) != "Mn")
        part = ""
        for c in word:
            if c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" or u.category(c).startswith("P"):
                if part:
                    yield part
                yield c
                part = ""
            else:
                part += c
        if part:
            yield part


def wordpiece(vocabulary, text):
    out = []
    for k, span in enumerate(SPECIALS.split(text)):
        if k % 2:
            out.append(vocabulary[span])
            continue
        for word in bert_words(span):
            pieces, rest, mark = [], word, ""
            while rest and len(word) <= 100:
                n = len(rest)
                while n and mark + rest[:n] not in vocabulary:
                    n -= 1
                if not n:
                    break
                pieces.append(vocabulary[mark + rest[:n]])
                rest, mark = rest[n:], "##"
            out += [vocabulary["[UNK]"]] if rest else pieces
    return out


def fnv(h, numbers):
    for v in numbers:
        for b in v.to_bytes(4, "little"):
            h = (h ^ b) * 0x100000001B3 % 2 ** 64
    return h


def kind(c):
    if c == " ":
        return "_"
    if c in "\t\n\x0b\x0c\r\x85" or u.category(c)[0] == "Z":
        return "S"
    return {"L": "L", "N": "N"}.get(u.category(c)[0], "O")


KINDS = re.compile("_?L+|_?N+|_?O+|[_S]+(?![LNO])|[_S]+")
SHORT = re.compile("'(?:s|t|re|ve|m|ll|d)")


def gpt2_words(text):
    kinds, i = "".join(map(kind, text)), 0
    while i < len(text):
        end = (SHORT.match(text, i) or KINDS.match(kinds, i)).end()
        yield text[i:end].encode("utf-8", "surrogateescape")
        i = end


VISIBLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = {b: chr(b) for b in VISIBLE}
BYTES.update({b: chr(256 + k) for k, b in enumerate(b for b in range(256) if b not in BYTES)})


def merge(word, pair):
    out, i = [], 0
    while i < len(word):
        if tuple(word[i:i + 2]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def learn(rows, counts, known, size, least, joined=lambda a, b: a + b):
    """Joins pairs until `known` has `size` texts; rows are changed."""
    pairs, where, merges = {}, {}, []

    def note(w, sign):
        for p in zip(rows[w], rows[w][1:]):
            pairs[p] = pairs.get(p, 0) + sign * counts[w]
            where.setdefault(p, set()).add(w)

    for w in range(len(rows)):
        note(w, 1)
    while len(known) < size:
        most = max(pairs.values(), default=0)
        if most < max(least, 1):
            break
        best = min(p for p, n in pairs.items() if n == most)
        merges.append(best)
        known[joined(*best)] = known.get(joined(*best), len(known))
        for w in sorted(where[best]):
            note(w, -1)
            word, i = [], 0
            while i < len(rows[w]):
                if tuple(rows[w][i:i + 2]) == best:
                    word.append(joined(*best))
                    i += 2
                else:
                    word.append(rows[w][i])
                    i += 1
            rows[w] = word
            note(w, 1)
    return merges


def tally(words):
    count = {}
    for w in words:
        count[w] = count.get(w, 0) + 1
    return count


def bpe(ranks, vocabulary, text):
    out = []
    for word in gpt2_words(text):
        parts = [BYTES[b] for b in word]
        while True:
            known = [p for p in zip(parts, parts[1:]) if p in ranks]
            if not known:
                break
            parts = merge(parts, min(known, key=ranks.get))
        out += [vocabulary[p] for p in parts]
    return out


def text_of(data):
    return data.decode("utf-8", "surrogateescape")


CASES = [b"hello world", b"Don't stop!", "Caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u0130stanbul".encode(),
         "caf\u0065\u0301 e\u0323\u0302 \u1ec7".encode(), "\u03a3\u03a3 \u039f\u0394\u039f\u03a3 \u03a3 \u039f\u03a3.".encode(),
         "\u6d41\u884c\u97f3\u4e50 pop\u97f3 \u3053\u3093\u306b \uc74c\uc545 \ufa10".encode(),
         b"tab\tnew\nline\r\x00nul\x07bell\x7fdel\xc2\xadsoft", "zero\u200bwidth no\u00a0break\u3000wide\u2028line".encode(),
         b"$5.99 (approx.) #1 a_b `x` ~^|<>=+", "\u201cquoted\u201d \u2014 dash\u2026 \u00a1hola! \u00bfqu\u00e9?".encode(),
         b"a" * 100, b"a" * 101, b"x" + b"\xc3\xa9" * 100, b"bad \xff\xfe utf \xc3 \xed\xa0\x80 \xf4\x90\x80\x80 end\xe2\x82",
         b"[CLS] a [MASK]song[SEP] [mask] [PAD][UNK]", "\U0001f3b5 music \U0001d11e \u266a".encode(), b"", b"   ",
         "\ufffd\ufeffbom".encode(), "\u1e9e\u00df STRA\u00dfE \ufb01n \u2163".encode(),
         "\u0915\u094d\u0937\u093f \u0639\u064e\u0631\u0628\u064a\u064c \u05e9\u05c1\u05dc\u05d5\u05dd".encode(),
         b"I'm you're we've he'll she'd it's can't 'sup ''s  two  spaces \n\n x\n", b" lead  trail  ", b"1980s 4/4 120bpm \xc2\xbd x\xc2\xb2",
         "\u00e9t\u00e9 d'\u00e9tude, op.\u00a010 n\u00ba 3".encode()]

if __name__ == "__main__":
    data = sys.argv[1]
    captions = [r["caption"] for r in csv.DictReader(open(data + "/musiccaps/musiccaps.csv", encoding="utf-8", newline=""))]
    vocabulary = {line.rstrip("\n"): i for i, line in enumerate(open(data + "/bert_vocab/vocab.txt", encoding="utf-8"))}
    rows = [wordpiece(vocabulary, c) for c in captions]
    h = 0xCBF29CE484222325
    for r in rows:
        h = fnv(h, r)
    result = {"wordpiece": {"captions": len(rows), "tokens": sum(map(len, rows)), "unknown": sum(r.count(100) for r in rows),
                            "hash": "%016x" % h, "first": [len(r) for r in rows[:40]],
                            "cases": [{"text": c.hex(), "words": list(bert_words(text_of(c).encode("utf-8", "surrogateescape").decode("utf-8", "ignore"))),
                                       "ids": wordpiece(vocabulary, c.decode("utf-8", "ignore"))} for c in CASES]}}

    count = tally(w for c in captions for w in gpt2_words(c))
    known = {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>"] + [BYTES[b] for b in range(256)])}
    merges = learn([[BYTES[b] for b in w] for w in count], list(count.values()), known, 1499, 2)
    known["<mask>"] = len(known)
    ranks = {p: i for i, p in enumerate(merges)}
    h, total, cache = 0xCBF29CE484222325, 0, {}
    for c in captions:
        r = bpe(ranks, known, c)
        h, total = fnv(h, r), total + len(r)
    result["bpe"] = {"size": len(known), "merges": len(merges), "first": [a + " " + b for a, b in merges[:12]],
                     "tokens": total, "hash": "%016x" % h,
                     "merges_hash": "%016x" % fnv(0xCBF29CE484222325, [known[x] for m in merges for x in m]),
                     "cases": [{"text": c.hex(), "ids": bpe(ranks, known, text_of(c))} for c in CASES]}

    count = tally(w for c in captions for w in bert_words(c))
    order = sorted(count, key=lambda w: (-count[w], w))[:500]
    pieces = {t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    for t in sorted({("##" if i else "") + ch for w in count for i, ch in enumerate(w)}):
        pieces[t] = len(pieces)
    learn([[("##" if i else "") + ch for i, ch in enumerate(w)] for w in count], list(count.values()), pieces, 800, 2,
          lambda a, b: a + b[2:])
    result["words"] = {"first": order[:20], "last": order[-1], "different": len(count)}
    texts = sorted(pieces, key=pieces.get)
    result["pieces"] = {"size": len(texts), "hash": "%016x" % fnv(0xCBF29CE484222325, "\n".join(texts).encode()),
                        "last": texts[-8:]}
    json.dump(result, sys.stdout, indent=1, ensure_ascii=True)
    print()
