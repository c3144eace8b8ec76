#!/usr/bin/python3
"""Reference values of the ops with PyTorch: `python3 ops.py` writes ../fixtures/ops.safetensors.

A case is named op/variant; tests/parity_cases.h says how the library computes it, and those it does not name are
left out."""
import math
import os
import re

import torch
import torch.nn.functional as F

from cases import Cases, integers, mask, uniform

case = Cases()
r = uniform


def elementwise():
    for name, fn in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
                     "minimum": torch.minimum, "maximum": torch.maximum}.items():
        lo = 0.5 if name == "div" else -1
        for variant, a, b in (("same", (3, 5), (3, 5)), ("broadcast", (2, 1, 5), (3, 1)), ("scalar", (4, 3), ()),
                              ("empty", (0, 3), (1, 3))):
            case(f"{name}/{variant}", fn, r(name, *a), r(name, *b, lo=lo, hi=2))
    case("sum_to_size/3_1_5", lambda x: x.sum_to_size(3, 1, 5), r("sts", 2, 3, 4, 5))
    case("sign/7", torch.sign, r("sign", 7), constant=(0,))
    case("add/bias", torch.add, r("add", 6, 17), r("add", 17))
    case("pow/same", torch.pow, r("pow", 3, 5, lo=0.3, hi=2), r("pow", 3, 5, lo=-2, hi=2))
    case("pow/broadcast", torch.pow, r("pow", 3, 1, lo=0.3, hi=2), r("pow", 5, lo=-2, hi=2))
    case("pow/zeros", torch.pow, torch.tensor([0.0, 0.0, 0.0, 2.0, 1.0]), torch.tensor([0.0, 1.0, 2.0, 0.0, 3.0]))
    case("pow_scalar/cube", lambda x: torch.pow(x, 3.0), r("pow", 3, 5))
    case("pow_scalar/root", lambda x: torch.pow(x, 0.25), r("pow", 3, 5, lo=0.3, hi=2))
    case("add_scalar/plus", lambda x: x + 1.5, r("as", 3, 5))
    case("mul_scalar/minus", lambda x: x * -2.5, r("ms", 3, 5))
    unary = {
        "neg": (torch.neg, -2, 2), "abs": (torch.abs, -2, 2), "square": (torch.square, -2, 2),
        "reciprocal": (torch.reciprocal, 0.3, 2), "exp": (torch.exp, -4, 4), "expm1": (torch.expm1, -2, 2),
        "log": (torch.log, 0.1, 5), "log1p": (torch.log1p, -0.5, 4), "sqrt": (torch.sqrt, 0.1, 5),
        "rsqrt": (torch.rsqrt, 0.1, 5), "sin": (torch.sin, -6, 6), "cos": (torch.cos, -6, 6),
        "tanh": (torch.tanh, -4, 4), "sigmoid": (torch.sigmoid, -8, 8), "erf": (torch.erf, -3, 3),
        "relu": (F.relu, -2, 2), "softplus": (F.softplus, -8, 8), "log_sigmoid": (F.logsigmoid, -8, 8),
        "elu": (F.elu, -3, 3), "gelu": (F.gelu, -4, 4),
        "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), -4, 4),
        "quick_gelu": (lambda x: x * torch.sigmoid(1.702 * x), -4, 4), "silu": (F.silu, -6, 6),
    }
    for name, (fn, lo, hi) in unary.items():
        case(f"{name}/67", fn, r(name, 67, lo=lo, hi=hi))
    case("clamp/both", lambda x: torch.clamp(x, -0.5, 0.75), r("clamp", 4, 7))
    case("geglu/split", lambda x: x.chunk(2, -1)[0] * F.gelu(x.chunk(2, -1)[1]), r("geglu", 3, 8))
    case("where/broadcast", lambda m, a, b: torch.where(m, a, b), mask("where", 3, 5), r("where", 3, 5),
         r("where", 5))
    case("masked_fill/rows", lambda x, m: x.masked_fill(m, -3.5), r("mf", 2, 3, 5), mask("mf", 3, 5))


def linear_algebra():
    mm = {"nn": (False, False), "nt": (False, True), "tn": (True, False), "tt": (True, True)}
    for v, (ta, tb) in mm.items():
        a, b = r("matmul", *((7, 5) if ta else (5, 7))), r("matmul", *((9, 7) if tb else (7, 9)))
        case(f"matmul_t/{v}", lambda a, b, ta=ta, tb=tb: (a.mT if ta else a) @ (b.mT if tb else b), a, b)
    case("matmul/batched", torch.matmul, r("matmul", 2, 3, 4, 5), r("matmul", 2, 3, 5, 6))
    case("matmul/broadcast", torch.matmul, r("matmul", 2, 1, 4, 5), r("matmul", 3, 5, 6))
    case("matmul/shared", torch.matmul, r("matmul", 3, 4, 5), r("matmul", 5, 2))
    case("matmul/plain", torch.matmul, r("matmul", 5, 7), r("matmul", 7, 9))
    case("matmul/vectors", torch.matmul, r("matmul", 7), r("matmul", 7))
    case("matmul/vector_right", torch.matmul, r("matmul", 2, 5, 7), r("matmul", 7))
    case("matmul/vector_left", torch.matmul, r("matmul", 7), r("matmul", 2, 7, 3))
    case("matmul_t/batched", lambda a, b: a.mT @ b.mT, r("matmul", 2, 1, 6, 3), r("matmul", 4, 5, 6))
    case("matmul/edges", torch.matmul, r("matmul", 17, 33), r("matmul", 33, 19))
    case("matmul/empty", torch.matmul, r("matmul", 3, 0), r("matmul", 0, 4))
    case("linear/bias", F.linear, r("linear", 6, 5), r("linear", 7, 5), r("linear", 7))
    case("linear/no_bias", F.linear, r("linear", 2, 3, 5), r("linear", 4, 5))
    case("linear/3d", F.linear, r("linear", 2, 3, 5), r("linear", 4, 5), r("linear", 4))
    for name, act in {"relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": F.gelu}.items():
        case(f"linear_act/{name}", lambda x, w, b, act=act: act(F.linear(x, w, b)), r("la", 6, 5), r("la", 7, 5),
             r("la", 7))


def reductions():
    x = r("reduce", 3, 4, 5)
    for name, fn in {"sum": torch.sum, "mean": torch.mean}.items():
        case(f"{name}/all", lambda x, fn=fn: fn(x), x)
        case(f"{name}/0", lambda x, fn=fn: fn(x, 0), x)
        case(f"{name}/1_keep", lambda x, fn=fn: fn(x, 1, keepdim=True), x)
        case(f"{name}/0_2", lambda x, fn=fn: fn(x, (0, 2)), x)
        case(f"{name}/last", lambda x, fn=fn: fn(x, -1), x)
    for name, fn in {"max": torch.max, "min": torch.min}.items():
        case(f"{name}/1", lambda x, fn=fn: tuple(fn(x, 1)), x)
        case(f"{name}/last_keep", lambda x, fn=fn: tuple(fn(x, -1, keepdim=True)), x)
    case("var/last", lambda x: torch.var(x, -1, unbiased=False), x)
    case("var/0_keep", lambda x: torch.var(x, 0, unbiased=False, keepdim=True), x)
    case("var/unbiased", lambda x: torch.var(x, (1, 2), unbiased=True), x)
    case("argmax/last", lambda x: x.argmax(-1), x)
    case("argmax/1_keep", lambda x: x.argmax(1, keepdim=True), x)
    case("sort/1", lambda x: tuple(torch.sort(x, dim=1, stable=True)), x)
    case("sort/descending", lambda x: tuple(torch.sort(x, dim=-1, descending=True, stable=True)), x)
    case("argsort/last", lambda x: torch.sort(x, dim=-1, stable=True)[1], x)
    case("argsort/ties", lambda x: torch.sort(x, dim=0, descending=True, stable=True)[1],
         integers("ties", 9, 2, hi=3).double())
    case("topk/3", lambda x: tuple(torch.topk(x, 3, -1)), x)
    for eps in (1e-12, 1e-5, 1e-3):
        case(f"layer_norm/{eps:g}", lambda x, w, b, eps=eps: F.layer_norm(x, (7,), w, b, eps),
             r("ln", 3, 4, 7), r("ln", 7, lo=0.5, hi=1.5), r("ln", 7))
    case("layer_norm/plain", lambda x: F.layer_norm(x, (7,), eps=1e-5), r("ln", 3, 4, 7))
    case("layer_norm/gain", lambda x, w: F.layer_norm(x, (7,), w, eps=1e-5), r("ln", 5, 7), r("ln", 7))
    case("layer_norm/bias", lambda x, b: F.layer_norm(x, (7,), None, b, eps=1e-5), r("ln", 5, 7), r("ln", 7))
    case("layer_norm_grouped/4",
         lambda x, w, b: F.layer_norm(x.view(3, 4, 5), (5,), eps=1e-3).reshape(3, 20) * w + b, r("ln", 3, 20),
         r("ln", 20), r("ln", 20))
    case("l2_normalize/rows", lambda x: F.normalize(x, dim=-1), r("l2", 4, 6))


def softmaxes():
    x = r("softmax", 2, 5, 6, lo=-3, hi=3)
    add = r("softmax", 5, 6)
    for name, fn in {"softmax": F.softmax, "log_softmax": F.log_softmax, "logsumexp": torch.logsumexp}.items():
        case(f"{name}/last", lambda x, fn=fn: fn(x, -1), x)
        case(f"{name}/1", lambda x, fn=fn: fn(x, 1), x)
        case(f"{name}/0", lambda x, fn=fn: fn(x, 0), x)
    case("softmax_masked/last", lambda x, m: F.softmax(x + m, -1), x, add, constant=(1,))
    case("softmax_masked/1", lambda x, m: F.softmax(x + m, 1), x, r("softmax", 1, 5, 1), constant=(1,))
    case("logsumexp/keep", lambda x: torch.logsumexp(x, 1, keepdim=True), x)


def indexing():
    case("embedding/2d", lambda w, i: F.embedding(i, w), r("emb", 6, 4), integers("emb", 3, 5, hi=6))
    case("embedding/padding", lambda w, i: F.embedding(i, w, padding_idx=2), r("emb", 6, 4),
         integers("emb", 3, 5, hi=6))
    case("one_hot/5", lambda i: F.one_hot(i, 5).double(), integers("oh", 3, 2, hi=5))
    case("gather/1", lambda x, i: torch.gather(x, 1, i), r("gather", 3, 6, 4), integers("gather", 3, 5, 4, hi=6))
    case("gather/last", lambda x, i: torch.gather(x, -1, i), r("gather", 3, 6), integers("gather", 3, 2, hi=6))
    case("index_select/0", lambda x, i: torch.index_select(x, 0, i), r("is", 5, 3), integers("is", 7, hi=5))
    case("index_select/1", lambda x, i: torch.index_select(x, 1, i), r("is", 2, 5, 3), integers("is", 4, hi=5))
    case("scatter_add/0", lambda x, i, s: x.scatter_add(0, i, s), r("sa", 5, 3), integers("sa", 4, 3, hi=5),
         r("sa", 4, 3))
    case("scatter_add/1", lambda x, i, s: x.scatter_add(1, i, s), r("sa", 2, 5, 3), integers("sa", 2, 7, 3, hi=5),
         r("sa", 2, 7, 3))

    def reverse(x, lengths):
        rows = [torch.cat([x[b, :n].flip(0), x[b, n:]]) for b, n in enumerate(lengths.tolist())]
        return torch.stack(rows)
    case("reverse_by_length/3", reverse, r("rl", 3, 6, 2), torch.tensor([6, 1, 4]))


def shapes():
    x = r("shape", 2, 3, 4)
    case("reshape/6_4", lambda x: x.reshape(6, 4), x)
    case("reshape/copy", lambda x: x.permute(2, 0, 1).reshape(8, 3), x)
    case("view/2_12", lambda x: x.view(2, 12), x)
    case("permute/2_0_1", lambda x: x.permute(2, 0, 1), x)
    case("transpose/0_2", lambda x: x.transpose(0, 2), x)
    case("expand/5_2_3", lambda x: x.expand(5, 2, 3), r("expand", 2, 1))
    case("contiguous/permuted", lambda x: x.permute(1, 0, 2).contiguous(), x)
    case("flatten/1_2", lambda x: x.flatten(1, 2), x)
    case("dropout/eval", lambda x: F.dropout(x, 0.3, False), x)
    case("squeeze/1", lambda x: x.squeeze(1), r("sq", 3, 1, 2))
    case("unsqueeze/1", lambda x: x.unsqueeze(1), r("sq", 3, 2))
    case("slice/1", lambda x: x[:, 1:3], x)
    case("slice/step", lambda x: x[:, :, 1:-1:2], r("shape", 2, 3, 7))
    case("select/1", lambda x: x[:, -2], x)
    case("split/uneven", lambda x: torch.split(x, 3, -1), x)
    case("chunk/3", lambda x: torch.chunk(x, 3, 1), x)
    case("concat/1", lambda a, b, c: torch.cat([a, b, c], 1), r("cat", 2, 3), r("cat", 2, 1), r("cat", 2, 4))
    case("concat/last", lambda a, b: torch.cat([a, b], -1), r("cat", 2, 3, 2), r("cat", 2, 3, 5))
    case("stack/1", lambda a, b: torch.stack([a, b], 1), r("stack", 2, 3), r("stack", 2, 3))
    case("stack/last", lambda a, b: torch.stack([a, b], -1), r("stack", 2, 3), r("stack", 2, 3))
    case("flip/0_2", lambda x: x.flip(0, 2), x)
    case("roll/two", lambda x: torch.roll(x, (1, -2), (0, 2)), x)
    case("repeat/2_1_3", lambda x: x.repeat(2, 1, 3), x)
    case("pad/constant", lambda x: F.pad(x, (1, 2, 0, 1), value=0.5), x)
    case("pad/reflect", lambda x: F.pad(x, (2, 1), mode="reflect"), x)
    case("pad/replicate", lambda x: F.pad(x, (2, 3), mode="replicate"), x)
    case("cast/same", lambda x: x * 1, x)

    def patchify(x, h, w):  # [B, C, H, W] -> [B, H/h * W/w, C h w]
        b, c, hh, ww = x.shape
        x = x.view(b, c, hh // h, h, ww // w, w).permute(0, 2, 4, 1, 3, 5)
        return x.reshape(b, (hh // h) * (ww // w), c * h * w)
    case("patchify/2_3", lambda x: patchify(x, 2, 3), r("patch", 2, 3, 4, 6))
    case("unpatchify/2_3", lambda p: F.fold(p.transpose(1, 2), (4, 6), (2, 3), stride=(2, 3)), r("patch", 2, 4, 18))
    for variant, x, size, step in (("overlap", r("patch", 2, 2, 7, 4), (3, 2), (2, 1)),
                                   ("rest", r("patch", 1, 2, 5, 7), (2, 3), (2, 3))):
        case(f"patches/{variant}", lambda x, a=size, b=step: F.unfold(x, a, stride=b).transpose(1, 2), x)

    def windows(x, w, shift):  # [B, H, W, C] -> [B (H/w) (W/w), w w, C]
        b, hh, ww, c = x.shape
        x = torch.roll(x, (-shift, -shift), (1, 2)).view(b, hh // w, w, ww // w, w, c)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, w * w, c)

    def unwindows(y, hh, ww, w, shift):
        x = y.view(-1, hh // w, ww // w, w, w, y.shape[-1]).permute(0, 1, 3, 2, 4, 5)
        return torch.roll(x.reshape(-1, hh, ww, y.shape[-1]), (shift, shift), (1, 2))

    def merge(x):
        return torch.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)

    def relative(table, h, w):
        place = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")).flatten(1)
        d = place[:, :, None] - place[:, None] + torch.tensor([h - 1, w - 1])[:, None, None]
        return table[d[0] * (2 * w - 1) + d[1]].permute(2, 0, 1)[None]
    for shift in (0, 1):
        case(f"window_partition/{shift}", lambda x, s=shift: windows(x, 2, s), r("window", 2, 4, 6, 3))
        case(f"window_reverse/{shift}", lambda x, s=shift: unwindows(x, 4, 6, 2, s), r("unwindow", 12, 4, 3))
    case("patch_merge/4_6", merge, r("merge", 2, 4, 6, 3))
    case("relative_bias/2_3", lambda t: relative(t, 2, 3), r("relative", 15, 2))
    resize = lambda x, mode, align, *size: F.interpolate(x, size, mode=mode, align_corners=align)
    for mode in ("bilinear", "bicubic"):
        for align in (False, True):
            case(f"resize/{mode}_{'aligned' if align else 'areas'}", lambda x, m=mode, a=align: resize(x, m, a, 7, 3),
                 r("resize", 2, 2, 5, 6))
    case("resize/one", lambda x: resize(x, "bicubic", True, 1, 6), r("resize1", 1, 2, 5, 6))
    case("resize/line", lambda x: resize(x, "linear", False, 11), r("resize2", 2, 3, 4))
    case("drop_path/eval", lambda x: F.dropout(x, 0.3, False), x)


def positions():
    def sinusoid(n, d):
        t, i = torch.arange(n).double()[:, None], torch.arange(d // 2).double()
        angle = t / 10000 ** (2 * i / d)
        return torch.stack([angle.sin(), angle.cos()], -1).reshape(n, d)
    case("sinusoidal_positions/9_8", lambda x: x * 0 + sinusoid(9, 8), torch.zeros(()), constant=(0,))

    def sinusoid_2d(h, w, d):
        y, x = torch.meshgrid(torch.arange(h).double(), torch.arange(w).double(), indexing="ij")
        omega = 10000 ** (-torch.arange(d // 4).double() / (d // 4 - 1))
        x, y = x.flatten()[:, None] * omega, y.flatten()[:, None] * omega
        return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], 1)
    case("sinusoidal_positions_2d/3_4", lambda x: x * 0 + sinusoid_2d(3, 4, 16), torch.zeros(()), constant=(0,))

    def fit(x, rows, cols):  # [R, C, D]
        for dim, size in ((0, rows), (1, cols)):
            if size <= x.shape[dim]:
                x = x.narrow(dim, x.shape[dim] // 2 - size // 2, size)
            else:
                shape = [size if d == dim else x.shape[d] for d in (0, 1)]
                x = F.interpolate(x.permute(2, 0, 1)[None], shape, mode="bilinear")[0].permute(1, 2, 0)
        return x
    for variant, size in (("crop", (3, 5)), ("stretch", (7, 13)), ("both", (2, 9))):
        case(f"fit_positions/{variant}", lambda x, s=size: fit(x, *s), r("fit", 4, 6, 3))


def losses():
    logits = r("ce", 6, 5, lo=-2, hi=2)
    labels = integers("ce", 6, hi=5)
    ignored = labels.clone()
    ignored[2] = ignored[4] = -100
    weight = r("ce", 5, lo=0.2, hi=2)
    case("cross_entropy/mean", F.cross_entropy, logits, labels)
    case("cross_entropy/sequence", lambda x, t: F.cross_entropy(x.flatten(0, 1), t.flatten()),
         r("ce", 2, 3, 5, lo=-2, hi=2), integers("ce", 2, 3, hi=5))
    for variant, t, options in (("smooth", labels, dict(label_smoothing=0.1)), ("ignore", ignored, {}),
                                ("ignore_smooth", ignored, dict(label_smoothing=0.2)),
                                ("sum", labels, dict(reduction="sum")), ("none", labels, dict(reduction="none"))):
        case(f"cross_entropy_with/{variant}", lambda x, t, o=options: F.cross_entropy(x, t, **o), logits, t)
    case("cross_entropy_with/weight", lambda x, t, w: F.cross_entropy(x, t, w), logits, ignored, weight, constant=(2,))
    case("cross_entropy_with/weight_smooth", lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.1), logits,
         ignored, weight, constant=(2,))
    soft = F.softmax(r("ce", 6, 5), -1)
    case("cross_entropy_soft/mean", F.cross_entropy, logits, soft)
    case("cross_entropy_soft/none", lambda x, t: F.cross_entropy(x, t, reduction="none"), logits, soft)
    case("bce_with_logits/mean", F.binary_cross_entropy_with_logits, r("bce", 4, 5, lo=-6, hi=6),
         r("bce", 4, 5, lo=0, hi=1), constant=(1,))
    case("bce_with_logits/none", lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"),
         r("bce", 4, 5, lo=-60, hi=60), mask("bce", 4, 5).double(), constant=(1,))
    case("mse/mean", F.mse_loss, r("mse", 4, 5), r("mse", 4, 5))
    case("mse/sum", lambda a, b: F.mse_loss(a, b, reduction="sum"), r("mse", 4, 5), r("mse", 4, 5))
    case("gaussian_kl/each", lambda m, v: torch.distributions.kl_divergence(
        torch.distributions.Normal(m, (0.5 * v).exp()), torch.distributions.Normal(0.0, 1.0)), r("kl", 4, 3), r("kl", 4, 3))
    case("clip_loss/4", lambda s: 0.5 * (F.cross_entropy(s, torch.arange(4)) + F.cross_entropy(s.T, torch.arange(4))),
         r("clip", 4, 4, lo=-3, hi=3))


def contrasts():
    x = r("contrast", 4, 4, lo=-3, hi=3)
    eye = torch.eye(4).bool()

    def off(s):
        return s.masked_fill(eye, -math.inf)
    case("mulan_loss/4", lambda s: (torch.cat([off(s), off(s).T], 1).logsumexp(1) - s.diag()).mean(), x)
    case("decoupled_loss/4",
         lambda s: (0.5 * (off(s).logsumexp(1) + off(s).logsumexp(0)) - s.diag()).mean(), x)
    case("sigmoid_pair_loss/4", lambda s: -F.logsigmoid((2 * eye.double() - 1) * s).sum() / 4, x)
    t = torch.tensor(2.5)
    case("scale_logits/exp", lambda s, t: s * t.exp().clamp(max=100), x, t)
    case("scale_logits/held", lambda s, t: s * t.exp().clamp(max=100), x, t + 3)
    case("scale_logits/divide", lambda s, t: s / t, x, t)
    mu = r("mu", 6, 3)
    case("latent_variance/mean", lambda m: m.var(0, unbiased=False).mean(), mu)
    case("latent_variance/half_sum", lambda m: ((m - m.mean(0)) ** 2).sum() / (2 * len(m)), mu)
    case("mu_forcing/below", lambda m: (1.3 - m.var(0, unbiased=False).mean()).clamp(min=0), mu)


def attention():
    def sdpa(q, k, v, m=None, causal=False, seen=None):
        s = q @ k.mT / math.sqrt(q.shape[-1])
        if m is not None:
            s = s + m
        if causal:
            s = s.masked_fill(torch.ones(s.shape[-2:]).triu(1).bool(), -math.inf)
        if seen is not None:
            s = s.masked_fill(~seen, -math.inf)
        p = s.softmax(-1).nan_to_num(0.0) if seen is not None else s.softmax(-1)
        return p @ v, p
    q, k, v = r("att", 2, 3, 4, 5), r("att", 2, 3, 6, 5), r("att", 2, 3, 6, 7)
    bias = r("att", 2, 1, 1, 6, lo=-4, hi=0)
    seen = mask("att", 2, 1, 4, 6, p=0.7)
    s = [r("att", 2, 2, 5, 3) for _ in range(3)]
    case("attention/cross", lambda *x: sdpa(*x)[0], q, k, v)
    case("attention/bias", lambda *x: sdpa(*x)[0], q, k, v, bias)
    case("attention/mask", lambda q, k, v, m: sdpa(q, k, v, seen=m.bool())[0], q, k, v, seen)
    case("attention/causal", lambda *x: sdpa(*x, causal=True)[0], *s)
    every = r("att2", 2, 1, 4, 6)
    case("attention/every_second", lambda q, k, v, m: sdpa(q, k, v, m.repeat(2, 1, 1, 1))[0], r("att3", 4, 2, 4, 5),
         r("att4", 4, 2, 6, 5), r("att5", 4, 2, 6, 3), every)
    case("attention/merged", lambda *x: sdpa(*x)[0].transpose(1, 2).flatten(2), q, k, v)
    case("attention/scale", lambda q, k, v: ((0.3 * q @ k.mT).softmax(-1) @ v), q, k, v)
    case("attention/given", lambda q, k, v, w: w @ v, q, k, v, r("att", 2, 3, 4, 6, lo=0, hi=1))
    case("attention_weights/bias", sdpa, q, k, v, bias)
    case("attention_weights/causal", lambda *x: sdpa(*x, causal=True), *s)

    def packed(x, causal=False):
        q, k, v = x.view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return sdpa(q, k, v, causal=causal)[0]
    case("attention_qkv/plain", packed, r("qkv", 2, 5, 24))
    case("attention_qkv/causal_merged", lambda x: packed(x, True).transpose(1, 2).flatten(2), r("qkv", 2, 5, 24))

    def additive(h, w, b, v, valid):
        e = torch.tanh(F.linear(h, w, b)) @ v
        a = e.masked_fill(~valid, -math.inf).softmax(-1)
        return (a[..., None] * h).sum(1), a
    valid = torch.arange(5)[None] < torch.tensor([5, 2, 4])[:, None]
    case("additive_attention/masked", additive, r("additive", 3, 5, 4), r("additive", 6, 4),
         r("additive", 6), r("additive", 6), valid)

    def scores(u, w, b, v):
        return F.linear(torch.tanh(F.linear(u, w, b)), v.view(1, -1))[..., 0]
    case("additive_scores/sequences", scores, r("scores", 3, 5, 4), r("scores", 6, 4), r("scores", 6), r("scores", 6))
    case("additive_scores/row", scores, r("scores", 7, 4), r("scores", 5, 4), r("scores", 5), r("scores", 1, 5))
    case("additive_scores/no_bias", lambda u, w, v: scores(u, w, None, v), r("scores", 2, 3, 5), r("scores", 4, 5),
         r("scores", 4))
    case("additive_scores/one_state", scores, r("scores", 4), r("scores", 3, 4), r("scores", 3), r("scores", 3))
    case("additive_scores/many_states", scores, r("scores", 300, 3), r("scores", 2, 3), r("scores", 2), r("scores", 2))

    mha = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    state = [r("mha", *p.shape, lo=-0.5, hi=0.5) for p in mha.parameters()]

    def multi_head(x, y, wi, bi, wo, bo):
        out, prob = F.multi_head_attention_forward(
            x.transpose(0, 1), y.transpose(0, 1), y.transpose(0, 1), 8, 2, wi, bi, None, None, False, 0.0, wo, bo,
            average_attn_weights=False)
        return out.transpose(0, 1), prob
    case("multi_head_attention/cross", multi_head, r("mha", 2, 4, 8), r("mha", 2, 5, 8), *state)


def recurrent():
    """Inputs: x [B,T,F], h0 [B,H], (c0,) w_ih, w_hh, b_ih, b_hh, (lengths). The reverse direction is the second half
    of a bidirectional layer."""
    make = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    for kind in make:
        for variant, reverse, lengths in (("forward", False, None), ("reverse", True, None),
                                          ("lengths", False, (5, 1, 3)), ("reverse_lengths", True, (2, 5, 4))):
            net = make[kind](3, 4, batch_first=True, bidirectional=reverse)
            names = [n for n, _ in net.named_parameters() if n.endswith("_reverse") == reverse]
            params = [r(kind, *p.shape, lo=-0.6, hi=0.6) for n, p in net.named_parameters() if n in names]
            states = [r(kind, 3, 4) for _ in range(2 if kind == "lstm" else 1)]

            def run(x, *rest, net=net, names=names, lengths=lengths, reverse=reverse, n=len(states)):
                both = [torch.stack([torch.zeros_like(s), s] if reverse else [s]) for s in rest[:n]]
                if lengths:
                    x = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), True, False)
                given = dict(zip(names, rest[n:n + 4]))
                net._flat_weights = [given.get(name, w) for name, w in net.named_parameters()]
                y, end = net(x, both[0] if n == 1 else tuple(both))
                if lengths:
                    y = torch.nn.utils.rnn.pad_packed_sequence(y, True, total_length=5)[0]
                return y[..., -4:], *(s[-1] for s in (end if n == 2 else [end]))
            case(f"{kind}/{variant}", run, r(kind, 3, 5, 3), *states, *params,
                 *([torch.tensor(lengths)] if lengths else []))
    case("rnn/relu", lambda x, h0, wi, wh, bi, bh: torch.rnn_relu(x, h0[None], [wi, wh, bi, bh], True, 1, 0.0, False,
                                                                  False, True)[0],
         r("relu", 2, 4, 3), r("relu", 2, 5), r("relu", 5, 3), r("relu", 5, 5), r("relu", 5), r("relu", 5))
    case("gru/no_bias", lambda x, wi, wh: torch.gru(x, torch.zeros(1, 2, 4), [wi, wh], False, 1, 0.0, False, False,
                                                    True)[0],
         r("nb", 2, 3, 5), r("nb", 12, 5), r("nb", 12, 4))


def convolution():
    one = {"same": (17, 3, 1, 1), "third": (20, 3, 3, 1), "long": (33, 7, 1, 3), "point": (5, 1, 1, 0),
           "block": (530, 3, 1, 1)}
    for v, (length, k, stride, pad) in one.items():
        case(f"conv1d/{v}", lambda x, w, b, stride=stride, pad=pad: F.conv1d(x, w, b, stride, pad),
             r("conv1d", 2, 3, length), r("conv1d", 5, 3, k), r("conv1d", 5))
    case("conv1d/no_bias", lambda x, w: F.conv1d(x, w), r("conv1d", 1, 2, 6), r("conv1d", 3, 2, 3))
    two = {"same": (6, 7, 3, 3, 1, 1), "half": (7, 8, 3, 3, 2, 1), "seventh": (9, 10, 7, 7, 2, 3),
           "patches": (8, 8, 4, 4, 4, 0), "overlapping": (9, 12, 4, 6, 3, 0), "rows": (3, 112, 3, 3, 1, 1)}
    for v, (h, w, kh, kw, stride, pad) in two.items():
        case(f"conv2d/{v}", lambda x, w, b, stride=stride, pad=pad: F.conv2d(x, w, b, stride, pad),
             r("conv2d", 2, 2, h, w), r("conv2d", 3, 2, kh, kw), r("conv2d", 3))
    case("conv2d/tall", lambda x, w, b: F.conv2d(x, w, b, padding=(0, 3)), r("conv2d", 2, 1, 12, 32),
         r("conv2d", 4, 1, 10, 7), r("conv2d", 4))
    case("conv2d/uneven", lambda x, w, b: F.conv2d(x, w, b, (2, 3), (1, 0)), r("conv2d", 2, 2, 6, 11),
         r("conv2d", 3, 2, 3, 2), r("conv2d", 3))


def pooling():
    case("max_pool1d/third", lambda x: F.max_pool1d(x, 3), r("pool", 2, 3, 110))
    case("max_pool1d/half", lambda x: F.max_pool1d(x, 2), r("pool", 2, 3, 37))
    case("max_pool1d/padded", lambda x: F.max_pool1d(x, 5, 3, 2), r("pool", 2, 2, 20))
    case("max_pool2d/half", lambda x: F.max_pool2d(x, 3, 2, 1), r("pool", 2, 2, 9, 40))
    case("max_pool2d/tiles", lambda x: F.max_pool2d(x, 2), r("pool", 2, 2, 5, 36))
    case("avg_pool1d/quarter", lambda x: F.avg_pool1d(x, 4), r("pool", 2, 3, 18))
    case("avg_pool1d/over", lambda x: F.avg_pool1d(x, 3, 2), r("pool", 2, 3, 18))
    case("avg_pool2d/half", lambda x: F.avg_pool2d(x, 2), r("pool", 2, 2, 5, 7))
    case("avg_pool2d/over", lambda x: F.avg_pool2d(x, (2, 3), (1, 2)), r("pool", 2, 2, 5, 7))
    case("global_max_pool/image", lambda x: F.adaptive_max_pool2d(x, 1).flatten(1), r("pool", 2, 3, 4, 5))
    case("global_avg_pool/sequence", lambda x: F.adaptive_avg_pool1d(x, 1).flatten(1), r("pool", 2, 3, 7))


def batch_norms():
    def train(x, w, b):
        mean, var = torch.zeros(3), torch.ones(3)
        y = F.batch_norm(x, mean, var, w, b, True, 0.1, 1e-5)
        return y, mean, var

    for v, shape in {"image": (2, 3, 4, 5), "sequence": (4, 3, 19), "vectors": (6, 3)}.items():
        case(f"batch_norm/{v}", train, r("bn", *shape), r("bn", 3), r("bn", 3))
    case("batch_norm/evaluation", lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b, False, 0.1, 1e-3),
         r("bn", 2, 3, 5), r("bn", 3), r("bn", 3, lo=0.5, hi=2), r("bn", 3), r("bn", 3), constant=(1, 2))
    case("batch_norm_relu/image", lambda x, w, b: F.relu(F.batch_norm(x, None, None, w, b, True, 0.1, 1e-5)),
         r("bnr", 2, 3, 4, 5), r("bnr", 3), r("bnr", 3))
    case("batch_norm_relu_max_pool/image",
         lambda x, w, b: F.max_pool2d(F.relu(F.batch_norm(x, None, None, w, b, True, 0.1, 1e-5)), (2, 3)),
         r("bnp", 2, 3, 4, 19), r("bnp", 3), r("bnp", 3))
    case("batch_norm_axis/last", lambda x, w, b: F.batch_norm(x.mT, None, None, w, b, True, 0.1, 1e-5).mT,
         r("bna", 2, 7, 3), r("bna", 3), r("bna", 3))


if __name__ == "__main__":
    elementwise()
    linear_algebra()
    reductions()
    softmaxes()
    indexing()
    shapes()
    positions()
    losses()
    contrasts()
    attention()
    recurrent()
    convolution()
    pooling()
    batch_norms()
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../parity_cases.h")) as f:
        case.keep(set(re.findall(r'^CASES?\("([^"]+)"', f.read(), re.M)))
    case.write(os.path.join(here, "../fixtures/ops.safetensors"))
