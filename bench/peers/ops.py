#!/usr/bin/env python3
"""One op, attention, or a training step of a stack of encoder blocks in PyTorch: the same as
"etude-bench --serve --model op/..., attention/..., encoder/...". bench/compare runs it; it installs nothing.

--reference FILE is what etude-bench --save wrote: operands, results and gradients, which must agree to 1e-4 of the
largest (Adam's and the encoder's after three steps) before anything is timed. PyTorch at its best: denormals
flushed, and the faster form of Adam. Then each line of standard input, a number of seconds, is answered
as in serving.py.
"""
import sys

sys.dont_write_bytecode = True
from serving import agree, arguments, fastest, prepared_torch, read_tensors, serve, tell_memory  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
import torch.nn.functional as F  # noqa: E402


t = read_tensors(torch, args.reference)
kind, heads = t["call"].tolist()
MOST = 1e-4
ids = t["ids"].long() if "ids" in t else None
(EXP, TANH, SIGMOID, GELU, SOFTMAX, NORM, CROSS, EMBED, ADAM, LINEAR, ATTENTION, ENCODER,
 TURN, ENDS, LARGEST, SORT, FLIP) = range(17)


def attention(q, k, v):
    return torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, -1) @ v


FUNCTIONS = {
    EXP: torch.exp, TANH: torch.tanh, SIGMOID: torch.sigmoid, GELU: F.gelu,
    SOFTMAX: lambda a: torch.softmax(a, -1),
    NORM: lambda a, b, c: F.layer_norm(a, b.shape, b, c, 1e-5),
    CROSS: lambda a: F.cross_entropy(a, ids),
    EMBED: lambda a: F.embedding(ids, a),
    LINEAR: F.linear,
    ATTENTION: attention,
    TURN: lambda a: a.t().contiguous(),
    ENDS: lambda a: a.view(64, -1, a.shape[1]).sum((0, 2)),
    LARGEST: lambda a: a.max(1)[0],
    SORT: lambda a: a.sort(1)[0],
    FLIP: lambda a: a.flip(1),
}


def op_program():
    leaves = [t[name].clone().requires_grad_() for name in ("a", "b", "c") if name in t]

    def step():
        for leaf in leaves:
            leaf.grad = None
        y = FUNCTIONS[kind](*leaves)
        y.backward(t["cotangent"] if "cotangent" in t else None)
        return y
    return leaves, step


def adam_program(foreach):
    weight = torch.nn.Parameter(t["weight"].clone())
    weight.grad = t["a"].clone()
    return weight, torch.optim.Adam([weight], lr=1e-3, foreach=foreach).step


def encoder_program(foreach):
    p = {name: torch.nn.Parameter(v.clone()) for name, v in t.items()
         if name.endswith(".weight") or name.endswith(".bias")}
    params = list(p.values())
    adam = torch.optim.Adam(params, lr=1e-3, foreach=foreach)
    x0, blocks = t["a"], sum(name.startswith("qkv_") for name in p) // 2
    items, tokens, width = x0.shape

    def linear(name, x):
        return F.linear(x, p[name + ".weight"], p[name + ".bias"])

    def norm(name, x):
        return F.layer_norm(x, (width,), p[name + ".weight"], p[name + ".bias"], 1e-5)

    def step():
        adam.zero_grad(set_to_none=True)
        x = x0
        for i in range(blocks):
            qkv = linear("qkv_%d" % i, norm("norm1_%d" % i, x)).view(items, tokens, 3, heads, width // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            y = attention(q, k, v).transpose(1, 2).reshape(items, tokens, width)
            x = x + linear("out_%d" % i, y)
            x = x + linear("down_%d" % i, F.gelu(linear("up_%d" % i, norm("norm2_%d" % i, x))))
        loss = F.cross_entropy(linear("head", norm("norm", x).mean(1)), ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        adam.step()
        return float(loss.detach())
    return p, step


if kind == ADAM:
    weight, step = adam_program(False)
    for _ in range(3):
        step()
    worst = agree("weight", t["y"], weight.detach(), MOST)
    variants = {"": adam_program(False)[1], " adam foreach": adam_program(True)[1]}
elif kind == ENCODER:
    tell_memory(lambda: encoder_program(False))
    step = encoder_program(False)[1]
    worst = agree("losses", t["y"], torch.tensor([step() for _ in range(3)]), MOST)
    variants = {"": encoder_program(False)[1], " adam foreach": encoder_program(True)[1]}
else:
    leaves, step = op_program()
    worst = agree("y", t["y"], step().detach(), MOST)
    for name, leaf in zip("abc", leaves):
        worst = max(worst, agree(name + ".grad", t[name + ".grad"], leaf.grad, MOST))
    variants = {"": step}
best, step = fastest(variants, 7)
serve(step, "agreement %.1e%s" % (worst, best))
