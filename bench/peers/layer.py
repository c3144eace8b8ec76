#!/usr/bin/env python3
"""One layer, forward and backward, in PyTorch: the same as "etude-bench --serve --model conv/..., pool/...,
norm/...". bench/compare runs it; it installs nothing.

--reference FILE is what etude-bench --save wrote: operands, result and gradients, which must agree to 1e-4 of the
largest before anything is timed. PyTorch at its best: denormals flushed, and for convolutions whichever of plain and
channels-last memory is faster. Then each line of standard input, a number of seconds, is answered as in
serving.py.
"""
import sys

sys.dont_write_bytecode = True
from serving import agree, arguments, fastest, prepared_torch, read_tensors, serve  # noqa: E402

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


leaves, step = program(False)
worst = agree("y", t["y"], step(), 1e-4)
for name, leaf in zip(("x", "weight", "bias"), leaves):
    if leaf is not None and leaf.grad is not None:
        worst = max(worst, agree(name + ".grad", t[name + ".grad"], leaf.grad, 1e-4))

variants = {"plain": program(False)[1]}
if two:
    variants["channels-last"] = program(True)[1]
best, step = fastest(variants, 7)
serve(step, "agreement %.1e %s" % (worst, best))
