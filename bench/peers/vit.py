#!/usr/bin/env python3
"""The training step of "etude-bench --model vit/paper" in PyTorch: same model, weights, batch, loss and optimiser.
bench/compare runs it; it installs nothing.

--reference FILE is what etude-bench --save wrote: logits and the losses of three steps without dropout must agree with
it (to 1e-4 of the largest; to 5e-2 where etude-bench multiplies bfloat16) before anything is timed, with dropout.
PyTorch at its best: denormals flushed, q, k and v in one product, the faster form of AdamW; "vit/paper-bf16" takes
the faster of float32 and its own automatic mixed precision. Then each line of standard input, a number of
seconds, is answered as in serving.py.
"""
import sys

sys.dont_write_bytecode = True
from serving import agree, arguments, fastest, mixed_precision, prepared_torch, read_tensors, serve, tell_memory  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
import torch.nn.functional as F  # noqa: E402

LAYERS, HEADS, IMAGE, PATCH = 8, 4, (128, 32), (16, 4)
MOST = 5e-2 if args.mixed else 1e-4
tensors = read_tensors(torch, args.reference)
x, labels = tensors.pop("x"), tensors.pop("labels").long()
logits, losses = tensors.pop("logits"), tensors.pop("losses")
for name in [n for n in tensors if n.startswith("resize_")]:
    del tensors[name]  # PyTorch's own interpolation is used


def parameters():
    """The tensors by name, those of q, k and v side by side."""
    p = {name: t for name, t in tensors.items() if ".attn.q." not in name and ".attn.k." not in name and ".attn.v." not in name}
    for i in range(LAYERS):
        for kind in ("weight", "bias"):
            p["blocks.%d.attn.qkv.%s" % (i, kind)] = torch.cat(
                [tensors["blocks.%d.attn.%s.%s" % (i, n, kind)] for n in "qkv"])
    return {name: torch.nn.Parameter(t.clone()) for name, t in p.items()}


def forward(p, training):
    def linear(name, z):
        return F.linear(z, p[name + ".weight"], p[name + ".bias"])

    def norm(name, z):
        return F.layer_norm(z, z.shape[-1:], p[name + ".weight"], p[name + ".bias"], 1e-6)

    def drop(z, rate):
        return F.dropout(z, rate, training)

    image = F.interpolate(x[:, None], size=IMAGE, mode="bilinear", align_corners=False)
    rows, cols = IMAGE[0] // PATCH[0], IMAGE[1] // PATCH[1]
    patches = image.view(-1, rows, PATCH[0], cols, PATCH[1]).transpose(2, 3).reshape(len(x), rows * cols, -1)
    z = linear("patch.proj", patches) + p["patch.pos"]
    for i in range(LAYERS):
        b = "blocks.%d" % i
        qkv = linear(b + ".attn.qkv", norm(b + ".ln1", z)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        a = drop(torch.softmax(qkv[0] @ qkv[1].transpose(-1, -2) * qkv.shape[-1] ** -0.5, -1), 0.1) @ qkv[2]
        z = z + drop(linear(b + ".attn.o", a.transpose(1, 2).flatten(2)), 0.1)
        y = drop(F.gelu(linear(b + ".mlp.0", norm(b + ".ln2", z))), 0.1)
        z = z + drop(F.gelu(linear(b + ".mlp.1", y)), 0.1)
    y = norm("ln", z).flatten(1)
    for i in range(2):
        y = F.gelu(linear("head.%d" % i, drop(y, 0.5)))
    return linear("head.out", drop(y, 0.5))


def trainer(foreach, training, autocast):
    p = parameters()
    adam = torch.optim.AdamW(p.values(), lr=1e-4, weight_decay=1e-4, foreach=foreach)

    def step():
        adam.zero_grad(set_to_none=True)
        with mixed_precision(torch, autocast):
            y = forward(p, training)
        loss = F.cross_entropy(y.float(), labels)
        loss.backward()
        adam.step()
        return float(loss.detach())
    return p, step


tell_memory(lambda: trainer(False, True, False))
p, step = trainer(False, False, False)
with torch.no_grad():
    errors = [agree("logits", logits, forward(p, False), MOST)]
errors.append(agree("losses of three steps", losses, torch.tensor([step() for _ in range(3)]), MOST))
del p, step
variants = {"adam loop": trainer(False, True, False)[1], "adam foreach": trainer(True, True, False)[1]}
if args.autocast:
    variants["adam loop autocast"] = trainer(False, True, True)[1]
best, step = fastest(variants)
serve(step, "agreement %.1e %.1e %s" % (*errors, best))
