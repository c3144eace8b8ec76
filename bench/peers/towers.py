#!/usr/bin/env python3
"""The steps of "etude-bench --model bert/forward, bert/last-5, bert/last-5-cls, ast/forward (and -bf16)" in PyTorch: same weights, input,
loss and optimiser. bench/compare runs it; it installs nothing.

--reference FILE is what etude-bench --save wrote: hidden states, and the losses of three training steps without dropout,
must agree with it (to 1e-4 of the largest; to 5e-2 where etude-bench multiplies bfloat16) before anything is timed.
PyTorch at its best: denormals flushed, q, k and v in one product, the faster form of Adam, no graph below the trained
layers, in "-cls" the last layer at the first token alone; "-bf16" takes the faster of float32 and its own automatic
mixed precision. Then each line of standard input, a number of seconds, is answered as in serving.py."""
import sys

sys.dont_write_bytecode = True
from serving import agree, arguments, fastest, mixed_precision, prepared_torch, read_tensors, serve, tell_memory  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
import torch.nn.functional as F  # noqa: E402

LAYERS, HEADS, EPS, TRAINED = 12, 12, 1e-12, 5
MOST = 5e-2 if args.mixed else 1e-4
sound, training, cls = args.model.startswith("ast/"), "last-5" in args.model, "-cls" in args.model
p = read_tensors(torch, args.reference)
x, target, reference, losses = p.pop("x"), p.pop("target", None), p.pop("hidden"), p.pop("losses", None)
x = x if sound else x.long()
inner = "attention" if sound else "self"
for i in range(LAYERS):
    for kind in ("weight", "bias"):
        names = ["encoder.layer.%d.attention.%s.%s.%s" % (i, inner, n, kind) for n in ("query", "key", "value")]
        p["encoder.layer.%d.qkv.%s" % (i, kind)] = torch.cat([p.pop(n) for n in names])


def linear(p, name, z):
    return F.linear(z, p[name + ".weight"], p[name + ".bias"])


def norm(p, name, z):
    return F.layer_norm(z, z.shape[-1:], p[name + ".weight"], p[name + ".bias"], EPS)


def attention(p, layer, z, drop, first=None):
    """Of the first tokens alone, where `first` says how many."""
    if first is None:
        qkv = linear(p, layer + ".qkv", z).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    else:
        w, b, d = p[layer + ".qkv.weight"], p[layer + ".qkv.bias"], z.shape[-1]
        q = F.linear(z[:, :first], w[:d], b[:d]).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        qkv = q, *F.linear(z, w[d:], b[d:]).unflatten(-1, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
    a = drop(torch.softmax(qkv[0] @ qkv[1].transpose(-1, -2) * qkv[0].shape[-1] ** -0.5, -1)) @ qkv[2]
    return linear(p, layer + ".attention.output.dense", a.transpose(1, 2).flatten(2))


def mlp(p, layer, z):
    return linear(p, layer + ".output.dense", F.gelu(linear(p, layer + ".intermediate.dense", z)))


def bert(p, dropping, first=None):
    e = "embeddings."
    z = F.embedding(x, p[e + "word_embeddings.weight"]) + p[e + "position_embeddings.weight"][:x.shape[1]]
    z = norm(p, e + "LayerNorm", z + p[e + "token_type_embeddings.weight"][0])
    for i in range(LAYERS):
        layer = "encoder.layer.%d" % i
        on = dropping and i >= LAYERS - TRAINED
        drop = (lambda t: F.dropout(t, 0.1)) if on else (lambda t: t)
        some = first if i == LAYERS - 1 else None
        z = norm(p, layer + ".attention.output.LayerNorm", z[:, :some] + drop(attention(p, layer, z, drop, some)))
        z = norm(p, layer + ".output.LayerNorm", z + drop(mlp(p, layer, z)))
    return z


def ast(p, _):
    e = "embeddings."
    w = p[e + "patch_embeddings.projection.weight"]
    z = F.conv2d(x.transpose(1, 2)[:, None], w, p[e + "patch_embeddings.projection.bias"], stride=(10, 10))
    z = torch.cat([p[e + "cls_token"], p[e + "distillation_token"], z.flatten(2).transpose(1, 2)], 1)
    z = z + p[e + "position_embeddings"]
    for i in range(LAYERS):
        layer = "encoder.layer.%d" % i
        z = z + attention(p, layer, norm(p, layer + ".layernorm_before", z), lambda t: t)
        z = z + mlp(p, layer, norm(p, layer + ".layernorm_after", z))
    return norm(p, "layernorm", z)


def forward_only(autocast):
    def step():
        with torch.inference_mode(), mixed_precision(torch, autocast):
            return (ast if sound else bert)(p, False)
    return step


def trainer(foreach, dropping, autocast):
    own = dict(p)
    for i in range(LAYERS - TRAINED, LAYERS):
        for name in [n for n in p if n.startswith("encoder.layer.%d." % i)]:
            own[name] = torch.nn.Parameter(p[name].clone())
    trained = {name: t for name, t in own.items() if t.requires_grad}
    adam = torch.optim.Adam(trained.values(), lr=1e-4, foreach=foreach)

    def step():
        adam.zero_grad(set_to_none=True)
        with mixed_precision(torch, autocast):
            z = bert(own, dropping, 1 if cls else None)
        loss = F.mse_loss(z[:, 0].float(), target)
        loss.backward()
        adam.step()
        return float(loss.detach())
    return trained, step


if training:
    tell_memory(lambda: trainer(False, True, False))
errors = [agree("hidden states", reference, forward_only(False)(), MOST)]
if training:
    step = trainer(False, False, False)[1]
    errors.append(agree("losses of three steps", losses, torch.tensor([step() for _ in range(3)]), MOST))
    variants = {" adam loop": trainer(False, True, False)[1], " adam foreach": trainer(True, True, False)[1]}
    if args.autocast:
        variants[" adam loop autocast"] = trainer(False, True, True)[1]
else:
    variants = {"": forward_only(False)}
    if args.autocast:
        variants[" autocast"] = forward_only(True)
best, step = fastest(variants)
serve(step, "agreement " + " ".join("%.1e" % e for e in errors) + best)
