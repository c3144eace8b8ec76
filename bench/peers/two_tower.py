#!/usr/bin/env python3
"""The training step of "etude-bench --model two-tower/small" in PyTorch: same towers, weights, batch, loss and optimiser.
bench/compare runs it; it installs nothing.

--reference FILE is what etude-bench --save wrote: similarities and the losses of three steps must agree with it (to 1e-4
of the largest; to 5e-2 where etude-bench multiplies bfloat16) before anything is timed. PyTorch at its best: denormals
flushed, q, k and v in one product, the faster form of Adam; "two-tower/small-bf16" takes the faster of float32 and its
own automatic mixed precision. Then each line of standard input, a number of seconds, is answered as in rnn_attention.py.
"""
import contextlib
import sys
import time

sys.dont_write_bytecode = True
from serving import arguments, prepared_torch, read_tensors, serve  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
import torch.nn.functional as F  # noqa: E402

LAYERS, HEADS = 4, 4
mixed = args.model.endswith("bf16")
tensors = read_tensors(torch, args.reference)
words, frames = tensors.pop("words").long(), tensors.pop("frames_of_sounds")
similarity, losses = tensors.pop("similarity"), tensors.pop("losses")
labels = torch.arange(len(words))


def tower(p, name, z):
    def linear(part, z):
        return F.linear(z, p[name + "." + part + ".weight"], p[name + "." + part + ".bias"])

    def norm(part, z):
        return F.layer_norm(z, z.shape[-1:], p[name + "." + part + ".weight"], p[name + "." + part + ".bias"], 1e-5)

    z = F.embedding(z, p["text.words.weight"]) if name == "text" else linear("frames", z)
    z = z + p[name + ".position"]
    for i in range(LAYERS):
        b = "blocks.%d" % i
        q, k, v = linear(b + ".attn.qkv", norm(b + ".ln1", z)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        a = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), -1) @ v
        z = z + linear(b + ".attn.o", a.transpose(1, 2).flatten(2))
        z = z + linear(b + ".mlp.1", F.gelu(linear(b + ".mlp.0", norm(b + ".ln2", z))))
    return F.normalize(linear("out", norm("ln", z).mean(1)), dim=-1)


def trainer(foreach, autocast):
    p = {name: torch.nn.Parameter(t.clone()) for name, t in tensors.items()}
    adam = torch.optim.Adam(p.values(), lr=1e-3, foreach=foreach)

    def forward():
        with torch.cpu.amp.autocast() if autocast else contextlib.nullcontext():
            f, g = tower(p, "text", words), tower(p, "audio", frames)
        return f.float() @ g.float().t() / 0.07

    def step():
        adam.zero_grad(set_to_none=True)
        s = forward()
        loss = F.cross_entropy(s, labels) + F.cross_entropy(s.t(), labels)
        loss.backward()
        adam.step()
        return float(loss.detach())
    return forward, step


def check(what, ours, theirs):
    error = float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max())
    if not error <= (5e-2 if mixed else 1e-4):
        sys.exit("two_tower.py: %s differ by %.2g relative to the largest" % (what, error))
    return error


def seconds(step):
    times = []
    for _ in range(5):
        begin = time.process_time()
        step()
        times.append(time.process_time() - begin)
    return sorted(times)[2]


forward, step = trainer(False, False)
with torch.no_grad():
    errors = [check("similarities", similarity, forward())]
errors.append(check("losses of three steps", losses, torch.tensor([step() for _ in range(3)])))
choices = [(False, False), (True, False)] + ([(False, True)] if mixed else [])
variants = {c: trainer(*c)[1] for c in choices}
best = min(variants, key=lambda c: seconds(variants[c]))
step = variants.pop(best)
variants.clear()
serve(step, "agreement %.1e %.1e adam %s%s" % (errors[0], errors[1], "foreach" if best[0] else "loop",
                                              " autocast" if best[1] else ""))
