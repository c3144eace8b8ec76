#!/usr/bin/python3
"""CLAP and MuLan in PyTorch, from files with the names and shapes of public checkpoints.

`python3 clap.py` writes ../fixtures/clap: weights of small models and expected.safetensors, what they make.
`python3 clap.py base DIR [NAME...]` writes the same of the papers' sizes (all of them: 4.3 GB); run
`CLAP=DIR tests/check_clap` with it.

Weights are random, stored as float32, made in the order in which the model first asks for them. Models compute in
float64, in evaluation mode (but for cases whose name ends in -train, which read the same weights: batch norms use the
batch). NAME-laion.safetensors holds the same weights under the names of LAION's checkpoints, and what else these have. A case of expected.safetensors holds: x, ids, mask, longer (CLAP with fusion), audio and text (unit vectors), loss,
and of those in GRADIENTS grad/NAME, the gradient of the loss."""
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import safetensors_io

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


class Weights:
    """Tensors by name, made when first asked for."""

    def __init__(self, seed, grad):
        self.rng, self.grad, self.all = np.random.default_rng(seed), grad, {}

    def __call__(self, name, *shape, kind="matrix"):
        if name not in self.all:
            a = self.rng.standard_normal(shape, dtype=np.float32)
            if kind == "matrix":
                a *= np.float32(1 / math.sqrt(max(1, math.prod(shape[1:]))))
            elif kind == "table":
                a *= np.float32(0.3)
            elif kind == "gain":
                a = 1 + np.float32(0.1) * a
            elif kind in ("bias", "mean"):
                a *= np.float32(0.1)
            elif kind == "variance":
                a = np.float32(1) + np.float32(0.3) * np.abs(a)
            elif kind == "scale":
                a = np.float32(1.5) + np.float32(0.1) * a
            t = torch.from_numpy(np.asarray(a, np.float32).astype(np.float64).reshape(shape))
            self.all[name] = t.requires_grad_(self.grad and kind not in ("variance", "mean"))
        return self.all[name]


class Model:
    def __init__(self, w, training=False):
        self.w, self.training = w, training

    def linear(self, name, x, out, bias=True):
        return F.linear(x, self.w(f"{name}.weight", out, x.shape[-1]), self.w(f"{name}.bias", out, kind="bias") if bias else None)

    def projections(self, p, names, x, out):
        return [self.linear(f"{p}.{n}", x, out) for n in names]

    def norm(self, name, x, eps):
        d = x.shape[-1]
        return F.layer_norm(x, (d,), self.w(f"{name}.weight", d, kind="gain"), self.w(f"{name}.bias", d, kind="bias"), eps)

    def batch_norm(self, name, x):
        """Channels along axis 1."""
        c = x.shape[1]
        w, b = self.w(f"{name}.weight", c, kind="gain"), self.w(f"{name}.bias", c, kind="bias")
        mean, var = self.w(f"{name}.running_mean", c, kind="mean"), self.w(f"{name}.running_var", c, kind="variance")
        if self.training:
            return F.batch_norm(x, None, None, w, b, True, 0.1, 1e-5)
        return F.batch_norm(x, mean, var, w, b, False, 0.1, 1e-5)

    def conv(self, name, x, out, size, stride=1, pad=0, bias=False):
        w = self.w(f"{name}.weight", out, x.shape[1], *size)
        return F.conv2d(x, w, self.w(f"{name}.bias", out, kind="bias") if bias else None, stride, pad)


def attend(q, k, v, heads, add=None, scale=None):
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(-3, -2) for t in (q, k, v))
    s = q @ k.mT * (scale or 1 / math.sqrt(q.shape[-1]))
    return ((s if add is None else s + add).softmax(-1) @ v).transpose(-3, -2).flatten(-2)


# --- texts --------------------------------------------------------------------------------------------------------

def bert(m, p, c, ids, mask):
    d, (b, t) = c["width"], ids.shape
    if c.get("roberta"):
        real = (ids != 1).long()
        place = torch.cumsum(real, 1) * real + 1
    else:
        place = torch.arange(t).expand(b, t)
    e = f"{p}.embeddings"
    x = m.w(f"{e}.word_embeddings.weight", c["vocabulary"], d, kind="table")[ids.long()]
    x = x + m.w(f"{e}.position_embeddings.weight", c["positions"], d, kind="table")[place]
    x = x + m.w(f"{e}.token_type_embeddings.weight", c["types"], d, kind="table")[0]
    x = m.norm(f"{e}.LayerNorm", x, c["eps"])
    hide = (1 - mask.to(x.dtype))[:, None, None] * -1e30
    for i in range(c["layers"]):
        l = f"{p}.encoder.layer.{i}"
        q, k, v = m.projections(f"{l}.attention.self", ("query", "key", "value"), x, d)
        y = m.linear(f"{l}.attention.output.dense", attend(q, k, v, c["heads"], hide), d)
        x = m.norm(f"{l}.attention.output.LayerNorm", x + y, c["eps"])
        y = m.linear(f"{l}.output.dense", F.gelu(m.linear(f"{l}.intermediate.dense", x, c["hidden"])), d)
        x = m.norm(f"{l}.output.LayerNorm", x + y, c["eps"])
    if c["pooler"]:
        pooled = torch.tanh(m.linear(f"{p}.pooler.dense", x[:, 0], d))
    return x[:, 0], pooled if c["pooler"] else None


# --- sounds -------------------------------------------------------------------------------------------------------

def windows_of(x, w):
    b, h, ww, c = x.shape
    return x.view(b, h // w, w, ww // w, w, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, w * w, c)


def map_of(y, b, side, w):
    return y.view(b, side // w, side // w, w, w, -1).permute(0, 1, 3, 2, 4, 5).reshape(b, side, side, -1)


def shift_mask(side, w):
    """As the original: numbered regions of the rolled map, cut into windows."""
    img = torch.zeros(1, side, side, 1)
    cuts = (slice(0, -w), slice(-w, -(w // 2)), slice(-(w // 2), None))
    for i, (a, b) in enumerate((a, b) for a in cuts for b in cuts):
        img[:, a, b] = i
    win = windows_of(img, w).squeeze(-1)
    return torch.where(win[:, None] != win[:, :, None], -100.0, 0.0)


def swin_block(m, p, x, w, heads, shift, eps):
    b, side, _, d = x.shape
    h = m.norm(f"{p}.layernorm_before", x, eps)
    if shift:
        h = torch.roll(h, (-shift, -shift), (1, 2))
    h = windows_of(h, w)
    table = m.w(f"{p}.attention.self.relative_position_bias_table", (2 * w - 1) ** 2, heads, kind="table")
    place = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(w), indexing="ij")).flatten(1)
    diff = (place[:, :, None] - place[:, None]).permute(1, 2, 0) + w - 1
    bias = table[diff[..., 0] * (2 * w - 1) + diff[..., 1]].permute(2, 0, 1)[None]
    if shift:
        bias = (bias + shift_mask(side, w)[:, None]).repeat(b, 1, 1, 1)
    q, k, v = m.projections(f"{p}.attention.self", ("query", "key", "value"), h, d)
    h = m.linear(f"{p}.attention.output.dense", attend(q, k, v, heads, bias), d)
    h = map_of(h, b, side, w)
    if shift:
        h = torch.roll(h, (shift, shift), (1, 2))
    x = x + h
    h = F.gelu(m.linear(f"{p}.intermediate.dense", m.norm(f"{p}.layernorm_after", x, eps), 4 * d))
    return x + m.linear(f"{p}.output.dense", h, d)


def fusion(m, p, x, r):
    both, d = x + r, x.shape[1]

    def branch(name, y, first):
        y = F.relu(m.batch_norm(f"{p}.{name}.{first + 1}", m.conv(f"{p}.{name}.{first}", y, d // 4, (1, 1), bias=True)))
        return m.batch_norm(f"{p}.{name}.{first + 4}", m.conv(f"{p}.{name}.{first + 3}", y, d, (1, 1), bias=True))
    w = torch.sigmoid(branch("local_att", both, 0) + branch("global_att", both.mean((2, 3), keepdim=True), 1))
    return 2 * x * w + 2 * r * (1 - w)


def htsat(m, p, c, x, longer=None):
    """x [B, C, T, F]"""
    b, ch, _, bands = x.shape
    ratio, size, eps, k = c["image"] // bands, c["image"], 1e-5, c["patch"]
    x = m.batch_norm(f"{p}.batch_norm", x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    if x.shape[2] < size * ratio:
        x = F.interpolate(x, (size * ratio, bands), mode="bicubic", align_corners=True)
    x = torch.stack(x.split(size, 2), 2).transpose(3, 4).reshape(b, ch, size, size)
    d = c["width"]
    y = m.conv(f"{p}.patch_embed.proj", x[:, :1], d, (k, k), k, bias=True)
    if c["fusion"]:
        side, at = size // k, longer.bool()
        local = [m.conv(f"{p}.patch_embed.mel_conv2d", x[at, i:i + 1], d, (k, 3 * k), (k, 3 * k), bias=True) for i in (1, 2, 3)]
        local = torch.cat(local, -1)
        local = F.pad(local, (0, side - local.shape[-1]))
        y = y.clone()
        y[at] = fusion(m, f"{p}.patch_embed.fusion_model", y[at], local)
    x = m.norm(f"{p}.patch_embed.norm", y.permute(0, 2, 3, 1), eps)
    for i, (depth, heads) in enumerate(zip(c["depths"], c["heads"])):
        side = x.shape[1]
        w = min(side, c["window"])
        for j in range(depth):
            x = swin_block(m, f"{p}.layers.{i}.blocks.{j}", x, w, heads, w // 2 if j % 2 and side > w else 0, eps)
        if i < len(c["depths"]) - 1:
            x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
            x = m.linear(f"{p}.layers.{i}.downsample.reduction", m.norm(f"{p}.layers.{i}.downsample.norm", x, eps),
                         x.shape[-1] // 2, False)
    return m.norm(f"{p}.norm", x, eps).flatten(1, 2).mean(1)


def cnn14(m, p, c, x):
    """x [B, T, F]"""
    x = m.batch_norm(f"{p}.bn0", x.mT).mT[:, None]
    for i, width in enumerate(c["widths"]):
        for j in (1, 2):
            x = F.relu(m.batch_norm(f"{p}.conv_block{i + 1}.bn{j}", m.conv(f"{p}.conv_block{i + 1}.conv{j}", x, width, (3, 3), 1, 1)))
        if i < len(c["widths"]) - 1:
            x = F.avg_pool2d(x, 2)
    x = x.mean(3)
    return F.relu(m.linear(f"{p}.fc1", x.max(2)[0] + x.mean(2), c["embedding"]))


def resnet(m, p, c, x):
    """x [B, T, F]"""
    x = F.relu(m.batch_norm(f"{p}.bn1", m.conv(f"{p}.conv1", x[:, None], c["width"], (7, 7), 2, 3)))
    x = F.max_pool2d(x, 3, 2, 1)
    for s, count in enumerate(c["blocks"]):
        width = c["width"] * 2**s
        for i in range(count):
            b, stride = f"{p}.layer{s + 1}.{i}", 2 if s and not i else 1
            y = F.relu(m.batch_norm(f"{b}.bn1", m.conv(f"{b}.conv1", x, width, (1, 1))))
            y = F.relu(m.batch_norm(f"{b}.bn2", m.conv(f"{b}.conv2", y, width, (3, 3), stride, 1)))
            y = m.batch_norm(f"{b}.bn3", m.conv(f"{b}.conv3", y, 4 * width, (1, 1)))
            if stride > 1 or x.shape[1] != 4 * width:
                x = m.batch_norm(f"{b}.downsample.1", m.conv(f"{b}.downsample.0", x, 4 * width, (1, 1), stride))
            x = F.relu(x + y)
    return x.mean((2, 3))


def ast(m, p, c, x):
    """x [B, T, F]"""
    d, b = c["width"], x.shape[0]
    x = m.conv(f"{p}.embeddings.patch_embeddings.projection", x.mT[:, None], d, (c["patch"],) * 2, c["step"], bias=True)
    x = x.flatten(2).mT
    tokens = [m.w(f"{p}.embeddings.{n}_token", 1, 1, d, kind="table").expand(b, 1, d) for n in ("cls", "distillation")]
    x = torch.cat([*tokens, x], 1)
    x = x + m.w(f"{p}.embeddings.position_embeddings", 1, x.shape[1], d, kind="table")
    for i in range(c["layers"]):
        l = f"{p}.encoder.layer.{i}"
        h = m.norm(f"{l}.layernorm_before", x, c["eps"])
        q, k, v = m.projections(f"{l}.attention.attention", ("query", "key", "value"), h, d)
        x = x + m.linear(f"{l}.attention.output.dense", attend(q, k, v, c["heads"]), d)
        h = F.gelu(m.linear(f"{l}.intermediate.dense", m.norm(f"{l}.layernorm_after", x, c["eps"]), c["hidden"]))
        x = x + m.linear(f"{l}.output.dense", h, d)
    return m.norm(f"{p}.layernorm", x, c["eps"])[:, :2].mean(1)


# --- whole models -------------------------------------------------------------------------------------------------

def unit(x):
    return F.normalize(x, dim=-1)


def cross_entropies(logits):
    y = torch.arange(len(logits))
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.mT, y)) / 2


def clap(m, c, data):
    ms = c["microsoft"]
    tower = "audio_encoder.base" if ms else "audio_model.audio_encoder"
    first, pooled = bert(m, "caption_encoder.base" if ms else "text_model", c["text"], data["ids"], data["mask"])
    if "htsat" in c:
        x = data["x"] if c["htsat"]["fusion"] else data["x"][:, None]
        g = htsat(m, tower, c["htsat"], x, data.get("longer"))
    else:
        g = cnn14(m, tower, c["cnn14"], data["x"])

    def head(name, x):
        j = c["joint"]
        if not ms:
            return m.linear(f"{name}_projection.linear2", F.relu(m.linear(f"{name}_projection.linear1", x, j)), j)
        name = f"{'caption' if name == 'text' else name}_encoder.projection"
        p = m.linear(f"{name}.linear1", x, j, False)
        return m.norm(f"{name}.layer_norm", p + m.linear(f"{name}.linear2", F.gelu(p), j, False), 1e-5)
    f, g = unit(head("text", first if ms else pooled)), unit(head("audio", g))
    scale = m.w("logit_scale" if ms else "logit_scale_a", kind="scale").exp()
    if not ms and not c.get("one_scale"):
        m.w("logit_scale_t", kind="scale")
    return f, g, cross_entropies(f @ g.mT * scale)


def mulan(m, c, data):
    first, _ = bert(m, "text", c["text"], data["ids"], data["mask"])
    g = resnet(m, "audio", c["resnet"], data["x"]) if "resnet" in c else ast(m, "audio", c["ast"], data["x"])
    f, g = unit(m.linear("text_projection", first, c["latent"])), unit(m.linear("audio_projection", g, c["latent"]))
    h = torch.exp(f @ g.mT * m.w("logit_scale", kind="scale").exp())
    off = h * (1 - torch.eye(len(h)))
    return f, g, -torch.log(h.diagonal() / (off.sum(0) + off.sum(1))).mean()


def compact_layers(m, p, c, x, bias):
    d, inner = c["width"], c["heads"] * c["head_width"]
    gain = lambda name, x: F.layer_norm(x, (d,), m.w(f"{name}.gamma", d, kind="gain"))
    for i in range(c["layers"]):
        a, f = f"{p}.transformer.layers.{i}.0", f"{p}.transformer.layers.{i}.1"
        h = gain(f"{a}.norm", x)
        q, (k, v) = m.linear(f"{a}.to_q", h, inner, False), m.linear(f"{a}.to_kv", h, 2 * inner, False).chunk(2, -1)
        q, k, v = (t.unflatten(-1, (c["heads"], -1)).transpose(1, 2) for t in (q, k, v))
        q = unit(q) * m.w(f"{a}.q_scale", c["head_width"], kind="gain")
        k = unit(k) * m.w(f"{a}.k_scale", c["head_width"], kind="gain")
        y = ((q @ k.mT * 8 + bias).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + m.linear(f"{a}.to_out.0", y, d, False)
        u, gate = m.linear(f"{f}.1", gain(f"{f}.0", x), 2 * c["hidden"], False).chunk(2, -1)
        x = x + m.linear(f"{f}.4", u * F.gelu(gate), d, False)
    return gain(f"{p}.norm", x)


def mulan_compact_audio(m, c, x):
    d, k = c["width"], c["patch"]
    rows, cols = x.shape[1] // k, x.shape[2] // k
    x = x[:, :rows * k, :cols * k].unflatten(1, (rows, k)).unflatten(3, (cols, k)).permute(0, 1, 3, 2, 4).flatten(3)
    x = m.norm("audio.to_patch_tokens.1", x, 1e-5)
    x = m.norm("audio.to_patch_tokens.3", m.linear("audio.to_patch_tokens.2", x, d), 1e-5)
    omega = 10000 ** (-torch.arange(d // 4) / (d // 4 - 1))
    ys, xs = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    xs, ys = xs[..., None] * omega, ys[..., None] * omega
    x = (x + torch.cat([xs.sin(), xs.cos(), ys.sin(), ys.cos()], -1)).flatten(1, 2)
    grid = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij"), -1).flatten(0, 1).to(x.dtype)
    h, n = grid[:, None] - grid[None], "audio.dynamic_pos_bias_mlp"
    h = F.silu(m.linear(f"{n}.2", F.silu(m.linear(f"{n}.0", h, c["offsets"])), c["offsets"]))
    bias = m.linear(f"{n}.4", h, c["heads"]).permute(2, 0, 1)
    g = compact_layers(m, "audio", c, x, bias).mean(1)
    return unit(m.linear("audio_to_latents", g, c["latent"]))


def mulan_compact(m, c, data):
    d, g = c["width"], mulan_compact_audio(m, c, data["x"])
    ids = data["ids"].long()
    b, t = ids.shape
    x = m.w("text.token_emb.weight", c["vocabulary"], d, kind="table")[ids] + m.w("text.pos_emb.weight", c["positions"], d, kind="table")[:t]
    x = torch.cat([m.w("text.cls_token", d, kind="table").expand(b, 1, d), x], 1)
    hide = torch.cat([torch.zeros(b, 1), (ids == 0) * -1e30], 1)[:, None, None]
    f = compact_layers(m, "text", c, x, hide)[:, 0]
    f = unit(m.linear("text_to_latents", f, c["latent"]))
    s = f @ g.mT * m.w("temperature", 1, kind="scale").exp()
    off = torch.exp(s) * (1 - torch.eye(b))
    return f, g, (-s.diagonal() + (torch.log(off.sum(0)) + torch.log(off.sum(1))) / 2).mean()


# --- cases --------------------------------------------------------------------------------------------------------

BERT = dict(vocabulary=12, width=8, hidden=12, layers=2, heads=2, positions=9, types=2, eps=1e-12, pooler=True)
ROBERTA = dict(BERT, types=1, eps=1e-5, roberta=True)
SWIN = dict(image=32, patch=2, width=8, window=4, depths=(2, 2), heads=(2, 4), fusion=False)
CNN = dict(widths=(4, 6), embedding=10)
CLAP = dict(microsoft=False, joint=6)
AST = dict(width=8, hidden=12, layers=2, heads=2, patch=4, step=(3, 3), eps=1e-12)
COMPACT = dict(width=8, layers=2, heads=2, head_width=4, hidden=6, patch=4, offsets=5, vocabulary=12, positions=9, latent=6)
SMALL = {  # model, configuration, spectrograms [frames, bands]
    "clap-htsat": (clap, dict(CLAP, text=ROBERTA, htsat=SWIN), (61, 16)),
    "clap-fusion": (clap, dict(CLAP, text=ROBERTA, htsat=dict(SWIN, fusion=True)), (4, 64, 16)),
    "clap-cnn14": (clap, dict(CLAP, text=ROBERTA, cnn14=CNN), (21, 7)),
    "clap-cnn14-train": (clap, dict(CLAP, text=ROBERTA, cnn14=CNN), (21, 7)),
    "clap-microsoft": (clap, dict(CLAP, text=BERT, cnn14=CNN, microsoft=True), (21, 7)),
    "mulan-resnet": (mulan, dict(text=BERT, resnet=dict(width=2, blocks=(1, 2, 1, 1)), latent=5), (40, 33)),
    "mulan-resnet-train": (mulan, dict(text=BERT, resnet=dict(width=2, blocks=(1, 2, 1, 1)), latent=5), (70, 67)),
    "mulan-ast": (mulan, dict(text=BERT, ast=AST, latent=5), (14, 11)),
    "mulan-compact": (mulan_compact, COMPACT, (9, 14)),
}
GRADIENTS = ("clap-fusion", "clap-cnn14-train", "clap-microsoft", "mulan-resnet-train", "mulan-ast", "mulan-compact")
BIG = dict(vocabulary=30522, width=768, hidden=3072, layers=12, heads=12, positions=512, types=2, eps=1e-12, pooler=True)
BIG_ROBERTA = dict(BIG, vocabulary=50265, positions=514, types=1, eps=1e-5, roberta=True)
BIG_SWIN = dict(image=256, patch=4, width=96, window=8, depths=(2, 2, 6, 2), heads=(4, 8, 16, 32), fusion=False)
BIG_CLAP = dict(microsoft=False, joint=512)
BIG_CNN = dict(widths=(64, 128, 256, 512, 1024, 2048), embedding=2048)
BASE = {
    "clap-htsat": (clap, dict(BIG_CLAP, text=BIG_ROBERTA, htsat=BIG_SWIN), (1001, 64)),
    "clap-fusion": (clap, dict(BIG_CLAP, text=BIG_ROBERTA, htsat=dict(BIG_SWIN, fusion=True)), (4, 1001, 64)),
    "clap-htsat-base": (clap, dict(BIG_CLAP, text=BIG_ROBERTA, htsat=dict(BIG_SWIN, width=128, depths=(2, 2, 12, 2))), (1001, 64)),
    "clap-cnn14": (clap, dict(BIG_CLAP, text=BIG_ROBERTA, cnn14=BIG_CNN), (1001, 64)),
    "clap-microsoft": (clap, dict(BIG_CLAP, text=BIG, cnn14=BIG_CNN, microsoft=True, joint=1024), (690, 64)),
    "mulan-resnet": (mulan, dict(text=BIG, resnet=dict(width=64, blocks=(3, 4, 6, 3)), latent=128), (1000, 64)),
    "mulan-ast": (mulan, dict(text=BIG, ast=dict(AST, width=768, hidden=3072, layers=12, heads=12, patch=16, step=(10, 10)),
                              latent=128), (1024, 128)),
    "mulan-compact": (mulan_compact, dict(width=512, layers=6, heads=8, head_width=64, hidden=1365, patch=16, offsets=128,
                                          vocabulary=49408, positions=256, latent=128), (65, 1000)),
}


def inputs(name, config, shape, seed, base):
    g = np.random.default_rng(seed)
    count, length = (2, 24) if base else (4, 7)
    vocabulary = config["text"]["vocabulary"] if "text" in config else config["vocabulary"]
    ids = g.integers(3, vocabulary, (count, length)).astype(np.int32)
    mask = np.ones((count, length), np.uint8)
    pad = 1 if config.get("text", {}).get("roberta") else 0
    ids[1, length // 2:], mask[1, length // 2:] = pad, 0
    data = {"x": g.standard_normal((count, *shape)).astype(np.float32), "ids": ids, "mask": mask}
    if len(shape) == 3:
        data["longer"] = np.array([1, 0] * (count // 2), np.uint8)
    return data


def laion(tensors, c):
    """A checkpoint of LAION-AI/CLAP as its training script leaves it: tensors of the names above under the names there,
    with everything else that such a file holds."""
    g, out = np.random.default_rng(7), {}
    table = (("text_model", "text_branch"), ("audio_model.audio_encoder", "audio_branch"), ("batch_norm", "bn0"),
             ("layernorm_before", "norm1"), ("layernorm_after", "norm2"), ("projection.linear1", "projection.0"),
             ("projection.linear2", "projection.2"))
    swin = (("attention.self", "attn"), ("attention.output.dense", "attn.proj"), ("intermediate.dense", "mlp.fc1"),
            ("output.dense", "mlp.fc2"))

    def name(key):
        for old, new in table + (swin if ".blocks." in key else ()):
            key = key.replace(old, new)
        return "module." + key
    for key, a in tensors.items():
        if ".blocks." in key and ".query." in key:
            three = [tensors[key.replace("query", n)] for n in ("query", "key", "value")]
            out[name(key).replace("query", "qkv")] = np.concatenate(three)
        elif not (".blocks." in key and (".key." in key or ".value." in key)):
            out[name(key)] = a
        if key.endswith("running_var"):
            out[name(key).replace("running_var", "num_batches_tracked")] = np.array(5, np.int64)

    def more(key, *shape):
        out["module." + key] = g.standard_normal(shape, dtype=np.float32)
    for kind in ("real", "imag"):
        more(f"audio_branch.spectrogram_extractor.stft.conv_{kind}.weight", 3, 1, 4)
    more("audio_branch.logmel_extractor.melW", 3, 2)
    out["module.text_branch.embeddings.position_ids"] = np.arange(c["text"]["positions"])[None]
    for tower in ("text", "audio"):
        for i in (0, 3):
            more(f"{tower}_transform.sequential.{i}.weight", c["joint"], c["joint"])
            more(f"{tower}_transform.sequential.{i}.bias", c["joint"])
    if "cnn14" in c:
        more("audio_branch.fc_audioset.weight", 3, c["cnn14"]["embedding"])
        more("audio_branch.fc_audioset.bias", 3)
        return out
    h = c["htsat"]
    n = h["window"] ** 2
    for i, (depth, width) in enumerate(zip(h["depths"], (h["width"], 2 * h["width"]))):
        for j in range(depth):
            out[f"module.audio_branch.layers.{i}.blocks.{j}.attn.relative_position_index"] = g.integers(0, 9, (n, n))
            if j % 2:
                more(f"audio_branch.layers.{i}.blocks.{j}.attn_mask", 4, n, n)
    more("audio_branch.tscam_conv.weight", 3, width, h["image"] // h["patch"] // 2 // (h["image"] // 16), 3)
    more("audio_branch.tscam_conv.bias", 3)
    more("audio_branch.head.weight", 3, 3)
    more("audio_branch.head.bias", 3)
    return out


def main(cases, folder, base):
    expected = {}
    os.makedirs(folder, exist_ok=True)
    for number, (name, (model, config, shape)) in enumerate(cases.items()):
        weights_of = name.removesuffix("-train")
        w = Weights(list(cases).index(weights_of), not base)
        data = inputs(name, config, shape, 100 + number, base)
        tensors = {k: torch.from_numpy(v.astype(np.float64) if k == "x" else v) for k, v in data.items()}
        with torch.set_grad_enabled(not base):
            f, g, loss = model(Model(w, name.endswith("-train")), config, tensors)
        if not base:
            loss.backward()
        expected.update({f"{name}/{k}": v for k, v in data.items()})
        expected.update({f"{name}/{k}": v.detach().numpy() for k, v in (("text", f), ("audio", g), ("loss", loss))})
        for k, v in w.all.items():
            if v.grad is not None and name in GRADIENTS:
                expected[f"{name}/grad/{k}"] = v.grad.numpy().astype(np.float32)
        if name == weights_of:
            weights = {k: v.detach().numpy().astype(np.float32) for k, v in w.all.items()}
            safetensors_io.write(os.path.join(folder, f"{name}.safetensors"), weights, {"format": "pt"})
            if name in ("clap-fusion", "clap-cnn14") and not base:
                safetensors_io.write(os.path.join(folder, f"{name}-laion.safetensors"), laion(weights, config), {"format": "pt"})
        print(name, sum(v.numel() for k, v in w.all.items() if "running" not in k), "parameters, loss", float(loss))
        del w
    safetensors_io.write(os.path.join(folder, "expected.safetensors"), expected, {"made by": "tests/oracle/clap.py"})


if __name__ == "__main__":
    if sys.argv[1:2] == ["base"]:
        wanted = sys.argv[3:] or list(BASE)
        main({k: v for k, v in BASE.items() if k in wanted}, sys.argv[2], True)
    else:
        here = os.path.dirname(os.path.abspath(__file__))
        main(SMALL, os.path.join(here, "../fixtures/clap"), False)
