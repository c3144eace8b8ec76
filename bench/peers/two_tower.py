#!/usr/bin/env python3
"""The training step of "etude-bench --model two-tower/small" in PyTorch: same towers, weights, batch, loss and optimiser.
bench/compare runs it; it installs nothing.

--reference FILE is what etude-bench --save wrote: similarities and the losses of three steps must agree with it (to 1e-4
of the largest; to 5e-2 where etude-bench multiplies bfloat16) before anything is timed. PyTorch at its best: denormals
flushed, q, k and v in one product, the faster form of Adam; "two-tower/small-bf16" takes the faster of float32 and its
own automatic mixed precision. Then each line of standard input, a number of seconds, is answered as in serving.py.
"""
import sys

sys.dont_write_bytecode = True
from serving import agree, arguments, fastest, mixed_precision, prepared_torch, read_tensors, serve, tell_memory  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
import torch.nn.functional as F  # noqa: E402

LAYERS, HEADS = 4, 4
MOST = 5e-2 if args.mixed else 1e-4
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
        with mixed_precision(torch, autocast):
            f, g = tower(p, "text", words), tower(p, "audio", frames)
        return f.float() @ g.float().t() / 0.07

    def step():
        adam.zero_grad(set_to_none=True)
        s = forward()
        loss = F.cross_entropy(s, labels) + F.cross_entropy(s.t(), labels)
        loss.backward()
        adam.step()
        return float(loss.detach())
    return p, step, forward


tell_memory(lambda: trainer(False, False))
_, step, forward = trainer(False, False)
with torch.no_grad():
    errors = [agree("similarities", similarity, forward(), MOST)]
errors.append(agree("losses of three steps", losses, torch.tensor([step() for _ in range(3)]), MOST))
variants = {"adam loop": trainer(False, False)[1], "adam foreach": trainer(True, False)[1]}
if args.autocast:
    variants["adam loop autocast"] = trainer(False, True)[1]
best, step = fastest(variants, 5)
serve(step, "agreement %.1e %.1e %s" % (*errors, best))
