#!/usr/bin/env python3
"""One layer, forward and backward, in PyTorch: the same as "etude-bench --serve --model conv/..., pool/...,
norm/...". bench/compare runs it; it installs nothing.

--reference FILE is what etude-bench --save wrote: operands, result and gradients, which must agree to 1e-4 of the
largest before anything is timed. PyTorch at its best: denormals flushed, and for convolutions whichever of plain and
channels-last memory is faster. Then each line of standard input, a number of seconds, is answered as in
rnn_attention.py.
"""
import sys
import time

sys.dont_write_bytecode = True
from serving import arguments, prepared_torch, read_tensors, serve  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
import torch.nn.functional as F  # noqa: E402


t = read_tensors(torch, args.reference)
kind, kh, kw, sh, sw, ph, pw, first = t["call"].tolist()
two = t["x"].dim() == 4


def layer(x, weight, bias):
    if kind == 0:
        return F.conv2d(x, weight, bias, (sh, sw), (ph, pw)) if two else F.conv1d(x, weight, bias, sw, pw)
    if kind == 1:
        return F.max_pool2d(x, (kh, kw), (sh, sw), (ph, pw)) if two else F.max_pool1d(x, kw, sw, pw)
    return F.batch_norm(x, None, None, weight, bias, True, 0.1, 1e-5)


def program(channels_last):
    def form(v):
        return v.to(memory_format=torch.channels_last) if channels_last and v.dim() == 4 else v
    leaves = [form(t[name].clone()) if name in t else None for name in ("x", "weight", "bias")]
    cotangent = form(t["cotangent"].clone())
    for i, leaf in enumerate(leaves):
        if leaf is not None and not (i == 0 and first):
            leaf.requires_grad_()

    def step():
        for leaf in leaves:
            if leaf is not None:
                leaf.grad = None
        y = layer(*leaves)
        y.backward(cotangent)
        return y
    return leaves, step


def check(what, ours, theirs):
    error = float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max())
    if not error <= 1e-4:
        sys.exit("layer.py: %s differs by %.2g relative to the largest" % (what, error))
    return error


leaves, step = program(False)
worst = check("y", t["y"], step())
for name, leaf in zip(("x", "weight", "bias"), leaves):
    if leaf is not None and leaf.grad is not None:
        worst = max(worst, check(name + ".grad", t[name + ".grad"], leaf.grad))


def seconds(step):
    times = []
    for _ in range(7):
        begin = time.process_time()
        step()
        times.append(time.process_time() - begin)
    return sorted(times)[len(times) // 2]


variants = {last: program(last)[1] for last in ((False, True) if two else (False,))}
best = min(variants, key=lambda last: seconds(variants[last]))
step = variants[best]
serve(step, "agreement %.1e %s" % (worst, "channels-last" if best else "plain"))
