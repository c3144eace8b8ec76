#!/usr/bin/python3
"""BERT, RoBERTa and AST in PyTorch, from files with the names and shapes of public checkpoints.

`python3 towers.py` writes ../fixtures/towers: checkpoints of tiny models and expected.safetensors, what they make.
`python3 towers.py base DIR` writes the same of bert-base-uncased, roberta-base and AST-base (both layouts), 1.6 GB;
run `TOWERS=DIR tests/check_towers` with it.

Weights are random, stored as float32. Models here read them from the files and compute in float64, without dropout.
A case of expected.safetensors holds: config (the order of BERT or AST), eps, the inputs (ids, types and mask, or x),
hidden/0 .. hidden/layers, and last, pooled, logits where the model has them; bert also targets, labels, masked_loss,
next_loss and (tiny) grad/NAME of their sum. bert-tanh reads bert.safetensors,
ast-short and ast-long ast.safetensors, the others the file of their name."""
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import safetensors_io

BERT = "vocabulary width hidden layers heads positions types roberta pad gelu_tanh pooler".split()
AST = ("bands frames patch_bands patch_frames step_bands step_frames width hidden layers heads classes").split()
TINY = dict(vocabulary=20, width=8, hidden=16, layers=2, heads=2, positions=9, types=2, roberta=0, pad=0, gelu_tanh=0, pooler=1)
BASE = dict(vocabulary=30522, width=768, hidden=3072, layers=12, heads=12, positions=512, types=2, roberta=0, pad=0,
            gelu_tanh=0, pooler=1)
TINY_AST = dict(bands=12, frames=40, patch_bands=4, patch_frames=4, step_bands=3, step_frames=3, width=8, hidden=16, layers=2,
                heads=2, classes=3)
BASE_AST = dict(bands=128, frames=1024, patch_bands=16, patch_frames=16, step_bands=10, step_frames=10, width=768, hidden=3072,
                layers=12, heads=12, classes=527)
rng = np.random.default_rng(1)
torch.set_default_dtype(torch.float64)


# --- checkpoints: names and shapes -----------------------------------------------------------------------------------

def linear(name, i, o):
    return {f"{name}.weight": (o, i), f"{name}.bias": (o,)}


def norm(name, d, w="weight", b="bias"):
    return {f"{name}.{w}": (d,), f"{name}.{b}": (d,)}


def bert_names(c):
    """bert-base-uncased: the prefix, gamma and beta, and the heads of pre-training."""
    d, h, v = c["width"], c["hidden"], c["vocabulary"]
    p, legacy = ("roberta", ()) if c["roberta"] else ("bert", ("gamma", "beta"))
    e = f"{p}.embeddings"
    out = {f"{e}.word_embeddings.weight": (v, d), f"{e}.position_embeddings.weight": (c["positions"], d),
           f"{e}.token_type_embeddings.weight": (c["types"], d)} | norm(f"{e}.LayerNorm", d, *legacy)
    for i in range(c["layers"]):
        l = f"{p}.encoder.layer.{i}"
        for k in ("query", "key", "value"):
            out |= linear(f"{l}.attention.self.{k}", d, d)
        out |= linear(f"{l}.attention.output.dense", d, d) | norm(f"{l}.attention.output.LayerNorm", d, *legacy)
        out |= linear(f"{l}.intermediate.dense", d, h) | linear(f"{l}.output.dense", h, d)
        out |= norm(f"{l}.output.LayerNorm", d, *legacy)
    out |= linear(f"{p}.pooler.dense", d, d)
    if c["roberta"]:
        return out
    out["cls.predictions.bias"] = (v,)
    out |= linear("cls.predictions.transform.dense", d, d) | norm("cls.predictions.transform.LayerNorm", d, *legacy)
    out["cls.predictions.decoder.weight"] = (v, d)
    return out | linear("cls.seq_relationship", d, 2)


def grid(c):
    return ((c["bands"] - c["patch_bands"]) // c["step_bands"] + 1, (c["frames"] - c["patch_frames"]) // c["step_frames"] + 1)


def ast_names(c):
    """As Hugging Face has it."""
    d, h, (rows, cols) = c["width"], c["hidden"], grid(c)
    p = "audio_spectrogram_transformer"
    out = {f"{p}.embeddings.cls_token": (1, 1, d), f"{p}.embeddings.distillation_token": (1, 1, d),
           f"{p}.embeddings.position_embeddings": (1, rows * cols + 2, d),
           f"{p}.embeddings.patch_embeddings.projection.weight": (d, 1, c["patch_bands"], c["patch_frames"]),
           f"{p}.embeddings.patch_embeddings.projection.bias": (d,)}
    for i in range(c["layers"]):
        l = f"{p}.encoder.layer.{i}"
        for k in ("query", "key", "value"):
            out |= linear(f"{l}.attention.attention.{k}", d, d)
        out |= linear(f"{l}.attention.output.dense", d, d) | linear(f"{l}.intermediate.dense", d, h)
        out |= linear(f"{l}.output.dense", h, d) | norm(f"{l}.layernorm_before", d) | norm(f"{l}.layernorm_after", d)
    return out | norm(f"{p}.layernorm", d) | norm("classifier.layernorm", d) | linear("classifier.dense", d, c["classes"])


def ast_original_names(c):
    """As the authors have it: packed q, k, v, and two heads that nothing uses."""
    d, h, (rows, cols) = c["width"], c["hidden"], grid(c)
    v = "module.v"
    out = {f"{v}.cls_token": (1, 1, d), f"{v}.dist_token": (1, 1, d), f"{v}.pos_embed": (1, rows * cols + 2, d),
           f"{v}.patch_embed.proj.weight": (d, 1, c["patch_bands"], c["patch_frames"]), f"{v}.patch_embed.proj.bias": (d,)}
    for i in range(c["layers"]):
        b = f"{v}.blocks.{i}"
        out |= norm(f"{b}.norm1", d) | linear(f"{b}.attn.qkv", d, 3 * d) | linear(f"{b}.attn.proj", d, d)
        out |= norm(f"{b}.norm2", d) | linear(f"{b}.mlp.fc1", d, h) | linear(f"{b}.mlp.fc2", h, d)
    unused = 1000 if d > 100 else 6
    out |= norm(f"{v}.norm", d) | linear(f"{v}.head", d, unused) | linear(f"{v}.head_dist", d, unused)
    return out | norm("module.mlp_head.0", d) | linear("module.mlp_head.1", d, c["classes"])


def write(path, shapes):
    """Random numbers of about the size that training leaves: matrices 1/sqrt(fan_in), norms about 1 and 0."""
    arrays = {}
    for name, shape in shapes.items():
        a = rng.standard_normal(shape, dtype=np.float32)
        if len(shape) == 1:
            a *= 0.1
            if "orm" in name and not name.endswith(("bias", "beta")) or "mlp_head.0.weight" in name:
                a += 1
        else:
            a *= 1 / math.sqrt(math.prod(shape[1:])) if "embed" not in name else 0.5
        arrays[name] = a
    if "cls.predictions.decoder.weight" in arrays:
        arrays["cls.predictions.decoder.weight"] = arrays["bert.embeddings.word_embeddings.weight"]
    safetensors_io.write(path, arrays, {"format": "pt"})


# --- models ------------------------------------------------------------------------------------------------------------

def reader(path):
    """A function from a name to the tensor, which is to be trained; .leaves has those that were asked for."""
    arrays, leaves = safetensors_io.read(path), {}

    def get(name):
        if name == "cls.predictions.decoder.weight":
            name = "bert.embeddings.word_embeddings.weight"
        if name not in leaves:
            leaves[name] = torch.from_numpy(np.array(arrays[name], np.float64)).requires_grad_(torch.is_grad_enabled())
        return leaves[name]
    get.leaves = leaves
    return get


def attention(q, k, v, heads, bias=None):
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    a = torch.softmax(s if bias is None else s + bias, -1) @ v
    return a.transpose(1, 2).flatten(2)


def bert(c, eps, get, ids, types, mask):
    d, p = c["width"], "roberta" if c["roberta"] else "bert"
    w, b = ("weight", "bias") if c["roberta"] else ("gamma", "beta")
    lin = lambda name, x: F.linear(x, get(f"{p}.{name}.weight"), get(f"{p}.{name}.bias"))
    ln = lambda name, x: F.layer_norm(x, (d,), get(f"{p}.{name}.LayerNorm.{w}"), get(f"{p}.{name}.LayerNorm.{b}"), eps)
    position = torch.arange(ids.shape[1]).expand_as(ids)
    if c["roberta"]:
        real = (ids != c["pad"]).long()
        position = torch.cumsum(real, 1) * real + c["pad"]
    x = sum(get(f"{p}.embeddings.{n}_embeddings.weight")[i] for n, i in (("word", ids), ("position", position), ("token_type", types)))
    x = ln("embeddings", x)
    hidden = [x]
    bias = (1 - mask[:, None, None, :].double()) * torch.finfo(torch.float64).min
    gelu = (lambda z: F.gelu(z, approximate="tanh")) if c["gelu_tanh"] else F.gelu
    for i in range(c["layers"]):
        l = f"encoder.layer.{i}"
        q, k, v = (lin(f"{l}.attention.self.{n}", x) for n in ("query", "key", "value"))
        x = ln(f"{l}.attention.output", x + lin(f"{l}.attention.output.dense", attention(q, k, v, c["heads"], bias)))
        x = ln(f"{l}.output", x + lin(f"{l}.output.dense", gelu(lin(f"{l}.intermediate.dense", x))))
        hidden.append(x)
    return hidden, {"pooled": torch.tanh(lin("pooler.dense", x[:, 0]))}


def pretraining(c, eps, get, hidden, targets, labels):
    """The losses of masked words (targets, -100: none) and of next sentences."""
    lin = lambda name, x: F.linear(x, get(f"{name}.weight"), get(f"{name}.bias"))
    p = "cls.predictions"
    h = F.layer_norm(F.gelu(lin(f"{p}.transform.dense", hidden[-1])), (c["width"],), get(f"{p}.transform.LayerNorm.gamma"),
                     get(f"{p}.transform.LayerNorm.beta"), eps)
    logits = F.linear(h, get(f"{p}.decoder.weight"), get(f"{p}.bias"))
    pooled = torch.tanh(lin("bert.pooler.dense", hidden[-1][:, 0]))
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), F.cross_entropy(lin("cls.seq_relationship", pooled), labels)


def ast(c, eps, get, x, trained):
    """Of a checkpoint in the layout of Hugging Face, made for clips of `trained` frames."""
    p, d, (rows, cols) = "audio_spectrogram_transformer", c["width"], grid(c)
    lin = lambda name, z: F.linear(z, get(f"{name}.weight"), get(f"{name}.bias"))
    ln = lambda name, z: F.layer_norm(z, (d,), get(f"{name}.weight"), get(f"{name}.bias"), eps)
    e = f"{p}.embeddings"
    z = F.conv2d(x.transpose(1, 2)[:, None], get(f"{e}.patch_embeddings.projection.weight"),
                 get(f"{e}.patch_embeddings.projection.bias"), stride=(c["step_bands"], c["step_frames"])).flatten(2).transpose(1, 2)
    table = get(f"{e}.position_embeddings")
    old = grid(dict(c, frames=trained))[1]
    places = table[:, 2:].transpose(1, 2).reshape(1, d, rows, old)
    if old > cols:
        places = places[..., old // 2 - cols // 2:][..., :cols]
    elif old < cols:
        places = F.interpolate(places, size=(rows, cols), mode="bilinear")
    table = torch.cat([table[:, :2], places.flatten(2).transpose(1, 2)], 1)
    B = x.shape[0]
    z = torch.cat([get(f"{e}.cls_token").expand(B, 1, d), get(f"{e}.distillation_token").expand(B, 1, d), z], 1) + table
    hidden = [z]
    for i in range(c["layers"]):
        l = f"{p}.encoder.layer.{i}"
        y = ln(f"{l}.layernorm_before", z)
        q, k, v = (lin(f"{l}.attention.attention.{n}", y) for n in ("query", "key", "value"))
        z = z + lin(f"{l}.attention.output.dense", attention(q, k, v, c["heads"]))
        z = z + lin(f"{l}.output.dense", F.gelu(lin(f"{l}.intermediate.dense", ln(f"{l}.layernorm_after", z))))
        hidden.append(z)
    y = ln(f"{p}.layernorm", z)
    pooled = (y[:, 0] + y[:, 1]) / 2
    return hidden, {"last": y, "pooled": pooled, "logits": lin("classifier.dense", ln("classifier.layernorm", pooled))}


def as_huggingface(get):
    """The authors' layout under the other names, with q, k, v cut apart."""
    def get_as(name):
        old = name.replace("audio_spectrogram_transformer.", "v.").replace("v.embeddings.", "v.").replace("encoder.layer", "blocks")
        for new, was in (("v.layernorm.", "v.norm."), ("layernorm_before", "norm1"), ("layernorm_after", "norm2"),
                         ("intermediate.dense", "mlp.fc1"), ("attention.output.dense", "attn.proj"), ("output.dense", "mlp.fc2"),
                         ("distillation_token", "dist_token"), ("position_embeddings", "pos_embed"),
                         ("patch_embeddings.projection", "patch_embed.proj"), ("classifier.layernorm", "mlp_head.0"),
                         ("classifier.dense", "mlp_head.1")):
            old = old.replace(new, was)
        for part, n in enumerate(("query", "key", "value")):
            if f"attention.attention.{n}" in old:
                return get("module." + old.replace(f"attention.attention.{n}", "attn.qkv")).chunk(3)[part]
        return get("module." + old)
    return get_as


# --- cases ------------------------------------------------------------------------------------------------------------

def stored(out, case, fields, c, eps, inputs, result):
    hidden, more = result
    out |= {f"{case}/config": np.array([c[f] for f in fields], np.int32), f"{case}/eps": np.array([eps])}
    out |= {f"{case}/{k}": v for k, v in inputs.items()}
    out |= {f"{case}/hidden/{i}": h.numpy().astype(np.float32) for i, h in enumerate(hidden)}
    out |= {f"{case}/{k}": v.numpy().astype(np.float32) for k, v in more.items()}


def text_case(out, case, path, c, eps, B, T):
    ids = rng.integers(3, c["vocabulary"], (B, T), dtype=np.int32)
    types = rng.integers(0, c["types"], (B, T), dtype=np.int32)
    mask = np.ones((B, T), np.uint8)
    for b in range(1, B):
        mask[b, T - b * T // (2 * B):] = 0
        ids[b, T - b * T // (2 * B):] = c["pad"]
    t = [torch.from_numpy(a).long() for a in (ids, types, mask)]
    get = reader(path)
    hidden, more = bert(c, eps, get, *t)
    inputs = dict(ids=ids, types=types, mask=mask)
    if case == "bert":
        targets = np.where((rng.random((B, T)) < 0.3) & (mask > 0), rng.integers(3, c["vocabulary"], (B, T)), -100)
        labels = (np.arange(B) % 2).astype(np.int32)
        inputs |= dict(targets=targets.astype(np.int32), labels=labels)
        losses = pretraining(c, eps, get, hidden, torch.from_numpy(targets), torch.from_numpy(labels).long())
        more |= dict(masked_loss=losses[0].detach()[None], next_loss=losses[1].detach()[None])
        if torch.is_grad_enabled():
            sum(losses).backward()
            more |= {f"grad/{name}": leaf.grad for name, leaf in get.leaves.items()}
    stored(out, case, BERT, c, eps, inputs, ([h.detach() for h in hidden], {k: v.detach() for k, v in more.items()}))


def sound_case(out, case, path, c, eps, B, trained, original):
    x = rng.standard_normal((B, c["frames"], c["bands"])).astype(np.float32)
    get = as_huggingface(reader(path)) if original else reader(path)
    stored(out, case, AST, c, eps, dict(x=x), ast(c, eps, get, torch.from_numpy(x).double(), trained))


if __name__ == "__main__":
    base = sys.argv[1:2] == ["base"]
    here = sys.argv[2] if base else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/towers")
    os.makedirs(here, exist_ok=True)
    c, a = (BASE, BASE_AST) if base else (TINY, TINY_AST)
    r = dict(c, roberta=1, pad=1, types=1, **(dict(vocabulary=50265, positions=514) if base else dict(positions=11)))
    path = lambda name: os.path.join(here, f"{name}.safetensors")
    B, T = (2, 64) if base else (3, 9)
    out = {}
    write(path("bert"), bert_names(c))
    with torch.set_grad_enabled(not base):
        text_case(out, "bert", path("bert"), c, 1e-12, B, T)
    with torch.no_grad():
        if not base:
            text_case(out, "bert-tanh", path("bert"), dict(c, gelu_tanh=1), 1e-12, B, T)
        write(path("roberta"), bert_names(r))
        text_case(out, "roberta", path("roberta"), r, 1e-5, B, T)
        write(path("ast"), ast_names(a))
        sound_case(out, "ast", path("ast"), a, 1e-12, 1 if base else 2, a["frames"], False)
        write(path("ast-original"), ast_original_names(a))
        sound_case(out, "ast-original", path("ast-original"), a, 1e-6, 1, a["frames"], True)
        if not base:
            for case, frames in (("ast-short", 25), ("ast-long", 55)):
                sound_case(out, case, path("ast"), dict(a, frames=frames), 1e-12, 1, a["frames"], False)
    safetensors_io.write(path("expected"), out, {"source": f"PyTorch {torch.__version__}"})
