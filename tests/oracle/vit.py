#!/usr/bin/python3
"""The Vision Transformer in PyTorch: `python3 vit.py` writes ../fixtures/vit.safetensors, `python3 vit.py paper FILE`
the same of the paper's configuration (run `VIT_FIXTURE=FILE tests/check_vit` with it).

A case holds: config (the order of FIELDS), x, y (labels), logits, loss [1 + STEPS] (before each AdamW step, and after
the last), and for each parameter NAME either grad/NAME, its whole gradient at the start, or probe/NAME, that gradient's
norm and its product with fill(...). Weights and inputs are a hash of their place, see fill: nothing of them is stored.
All is computed in float64 without dropout."""
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import safetensors_io

FIELDS = ("frames bins channels height width transpose patch_h patch_w step_h step_w d layers heads head_width hidden "
          "act_once pooling head0 head1 classes").split()
FLATTEN, MEAN, CLASS, STATISTICS = 0, 1, 2, 3
SMALL = dict(frames=32, bins=16, channels=1, height=32, width=16, transpose=0, patch_h=8, patch_w=4, step_h=8, step_w=4,
             d=32, layers=2, heads=2, head_width=16, hidden=64, act_once=0, pooling=FLATTEN, head0=64, head1=0, classes=6)
PAPER = dict(SMALL, frames=512, bins=129, height=128, width=32, patch_h=16, patch_w=4, step_h=16, step_w=4, d=128,
             layers=8, heads=4, head_width=128, hidden=256, head0=2048, head1=1024, classes=10)
CASES = {  # the first with whole gradients
    "small": SMALL,
    "class": dict(SMALL, pooling=CLASS, act_once=1, head_width=0, head0=0),
    "mean": dict(SMALL, pooling=MEAN, patch_h=2, patch_w=16, step_h=2, step_w=16),
    "resized": dict(SMALL, frames=50, bins=20, channels=2, head_width=24),
    "transposed": dict(SMALL, frames=16, bins=40, transpose=1, step_h=4, step_w=3, head1=20),
    "wide": dict(SMALL, head_width=40),  # heads wider than the tokens: Etude makes no keys and values
    "statistics": dict(SMALL, pooling=STATISTICS, head0=0),
}
STEPS, BATCH = 20, 4

torch.set_default_dtype(torch.float64)


def fill(t, *shape):
    """Numbers in [-1/2, 1/2), a hash of (t, place): the test computes the same."""
    n = np.arange(math.prod(shape), dtype=np.uint64)
    mask = np.uint64(0xFFFFFFFF)
    h = (n * np.uint64(2654435761) + np.uint64((t + 1) * 2246822519 % 2**32)) & mask
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(2246822519)) & mask
    h ^= h >> np.uint64(13)
    return torch.from_numpy((h.astype(np.float64) / 2**32 - 0.5).reshape(shape))


def parameters(c):
    """Names and shapes in the order of the state dict."""
    d, inner = c["d"], c["heads"] * (c["head_width"] or c["d"] // c["heads"])
    rows, cols = (c["height"] - c["patch_h"]) // c["step_h"] + 1, (c["width"] - c["patch_w"]) // c["step_w"] + 1
    cls = c["pooling"] == CLASS
    out = {"patch.pos": (rows * cols + cls, d)}
    if cls:
        out["patch.cls"] = (d,)
    linear = lambda name, i, o: out.update({f"{name}.weight": (o, i), f"{name}.bias": (o,)})
    norm = lambda name: out.update({f"{name}.weight": (d,), f"{name}.bias": (d,)})
    linear("patch.proj", c["channels"] * c["patch_h"] * c["patch_w"], d)
    for i in range(c["layers"]):
        norm(f"blocks.{i}.ln1")
        for k in "qkv":
            linear(f"blocks.{i}.attn.{k}", d, inner)
        linear(f"blocks.{i}.attn.o", inner, d)
        norm(f"blocks.{i}.ln2")
        linear(f"blocks.{i}.mlp.0", d, c["hidden"])
        linear(f"blocks.{i}.mlp.1", c["hidden"], d)
    norm("ln")
    width = rows * cols * d if c["pooling"] == FLATTEN else 2 * d if c["pooling"] == STATISTICS else d
    for i in range(2):
        if c[f"head{i}"]:
            linear(f"head.{i}", width, c[f"head{i}"])
            width = c[f"head{i}"]
    linear("head.out", width, c["classes"])
    return out


def start(name, t, shape):
    """Weights about as large as Glorot's, layer norms about 1 and 0."""
    values = fill(t, *shape)
    if len(shape) == 2 and "pos" not in name:
        return values * math.sqrt(24 / sum(shape))
    if ".ln" in f".{name}" and name.endswith("weight"):
        return 1 + 0.2 * values
    return 0.2 * values


def forward(c, p, x):
    linear = lambda name, z: F.linear(z, p[f"{name}.weight"], p[f"{name}.bias"])
    norm = lambda name, z: F.layer_norm(z, (c["d"],), p[f"{name}.weight"], p[f"{name}.bias"], 1e-6)
    B = x.shape[0]
    image = x.reshape(B, c["frames"], c["channels"], c["bins"]).transpose(1, 2)
    if c["transpose"]:
        image = image.transpose(2, 3)
    image = F.interpolate(image, size=(c["height"], c["width"]), mode="bilinear", align_corners=False)
    area = c["channels"] * c["patch_h"] * c["patch_w"]
    kernel = p["patch.proj.weight"].reshape(c["d"], c["channels"], c["patch_h"], c["patch_w"])
    z = F.conv2d(image, kernel, p["patch.proj.bias"], stride=(c["step_h"], c["step_w"])).flatten(2).transpose(1, 2)
    assert kernel[0].numel() == area
    if c["pooling"] == CLASS:
        z = torch.cat([p["patch.cls"].expand(B, 1, -1), z], 1)
    z = z + p["patch.pos"]
    for i in range(c["layers"]):
        b = f"blocks.{i}"
        y = norm(f"{b}.ln1", z)
        q, k, v = (linear(f"{b}.attn.{n}", y).unflatten(-1, (c["heads"], -1)).transpose(1, 2) for n in "qkv")
        a = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), -1) @ v
        z = z + linear(f"{b}.attn.o", a.transpose(1, 2).flatten(2))
        y = linear(f"{b}.mlp.1", F.gelu(linear(f"{b}.mlp.0", norm(f"{b}.ln2", z))))
        z = z + (y if c["act_once"] else F.gelu(y))
    y = norm("ln", z)
    deviation = torch.sqrt(y.var(1, unbiased=False) + 1e-6)
    y = {FLATTEN: y.flatten(1), MEAN: y.mean(1), CLASS: y[:, 0], STATISTICS: torch.cat([y.mean(1), deviation], 1)}[c["pooling"]]
    for i in range(2):
        if c[f"head{i}"]:
            y = F.gelu(linear(f"head.{i}", y))
    return linear("head.out", y)


def case(c, whole):
    p = {n: start(n, t, s).requires_grad_() for t, (n, s) in enumerate(parameters(c).items())}
    x = 2 * fill(1000, BATCH, c["frames"], c["channels"] * c["bins"])
    y = torch.arange(BATCH) % c["classes"]
    out = {"config": np.array([c[f] for f in FIELDS], np.int32)}
    optimiser = torch.optim.AdamW(p.values(), lr=1e-3, weight_decay=1e-4)
    losses = []
    for step in range(STEPS + 1):
        optimiser.zero_grad()
        logits = forward(c, p, x)
        loss = F.cross_entropy(logits, y)
        losses.append(loss.item())
        if step == STEPS:
            break
        loss.backward()
        if step == 0:
            out["logits"] = logits.detach().numpy()
            for t, (n, v) in enumerate(p.items()):
                if whole:
                    out[f"grad/{n}"] = v.grad.numpy().astype(np.float32)
                probe = (v.grad * fill(2000 + t, *v.shape)).sum()
                out[f"probe/{n}"] = np.array([v.grad.norm().item(), probe.item()])
        optimiser.step()
    out["loss"] = np.array(losses)
    return out


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    paper = sys.argv[1:2] == ["paper"]
    path = sys.argv[2] if paper else os.path.join(here, "../fixtures/vit.safetensors")
    tensors = {}
    for name, c in {"paper": PAPER}.items() if paper else CASES.items():
        tensors |= {f"{name}/{k}": v for k, v in case(c, name in ("small", "paper")).items()}
    safetensors_io.write(path, tensors, {"source": f"PyTorch {torch.__version__}"})
