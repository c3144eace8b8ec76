#!/usr/bin/python3
"""The style VAE in PyTorch, row by row and step by step: `python3 style_vae.py` writes ../fixtures/style_vae.safetensors.

For each model, in tiny sizes and float64: NAME/module.(state dict, exact in float32), the batch NAME/x, lengths, labels,
NAME/mean, logvar, alpha (not in the baseline), logits (0 behind a row's end), NAME/terms (total, pitch, dt, dur, kl, style,
mu) at training step 90 in evaluation mode, where nothing is drawn, and NAME/grad.(parameter) of all parameters."""
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors_io

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
P, D, S, E, UNITS, K, EMB, HEAD, CONTENT, STYLE = 6, 3, 3, 2, 4, 3, 2, 5, 3, 2
LENGTHS, LABELS, STEP, BETA_K, KL_WEIGHT = [6, 4, 2, 5], [2, 0, 1, 2], 90, 30.0, 0.8
GATES = "ijfo"
MODELS = {  # cell, baseline, z_c + z_s, style beside every event, threshold, half the sum
    "hyper": ("hyper", False, False, False, 1.3, False),
    "hyper_always": ("hyper", False, False, True, 3.0, True),
    "lstm": ("lstm", False, True, False, 1.3, False),
    "gru": ("gru", False, False, True, 1.3, False),
    "gru_label": ("gru", True, False, False, 0.0, False),
}


def norm_lstm_shapes(m, n):
    return {"W_xh": (m, 4 * n), "W_hh": (n, 4 * n), "ln_gamma": (4 * n,), "ln_beta": (4 * n,), "lnc_gamma": (n,), "lnc_beta": (n,)}


def cell_shapes(cell, m):
    if cell == "gru":
        return {"weight_ih_l0": (3 * UNITS, m), "weight_hh_l0": (3 * UNITS, UNITS), "bias_ih_l0": (3 * UNITS,),
                "bias_hh_l0": (3 * UNITS,)}
    s = norm_lstm_shapes(m, UNITS)
    if cell == "hyper":
        s["bias"] = (4 * UNITS,)
        s.update({"hyper." + k: v for k, v in norm_lstm_shapes(m + UNITS, K).items()})
        for source in "xh":
            for g in GATES:
                one = f"norm.{g}{source}."
                s.update({one + "zw_w": (K, EMB), one + "zw_b": (EMB,), one + "alpha": (EMB, UNITS)})
                if source == "h":
                    s.update({one + "zb_w": (K, EMB), one + "beta": (EMB, UNITS)})
    return s


def shapes(cell, label, add, always):
    features, state = E + 2 * (D + 1), {"hyper": 2 * (UNITS + K), "lstm": 2 * UNITS, "gru": UNITS}[cell]
    style = S if label else CONTENT if add else STYLE
    s = {"pitch_embedding": (P + 1, E)}
    if not label:
        s["style_codebook"] = (S, style)
    for net, m in (("enc_fw", features), ("enc_bw", features), ("dec", features + (style if always else 0))):
        s.update({f"{net}.{k}": v for k, v in cell_shapes(cell, m).items()})
    dense = {"cont_head": (HEAD, 2 * state), "z_mean": (CONTENT, HEAD), "z_logvar": (CONTENT, HEAD),
             "dec_init": (state, CONTENT if add else CONTENT + style), "logits": (P + 1 + 2 * (D + 1), UNITS)}
    if not label:
        dense.update({"cat_head": (HEAD, 2 * state), "z_cat": (S, HEAD)})
    for k, v in dense.items():
        s[k + ".weight"], s[k + ".bias"] = v, v[:1]
    return s


def finish(pre, c, w, n):
    """Layer norm gate by gate, then the gates."""
    parts = []
    for g in range(4):
        at = slice(g * n, (g + 1) * n)
        parts.append(F.layer_norm(pre[at], [n], w("ln_gamma")[at], w("ln_beta")[at], 1e-3))
    i, j, f, o = parts
    c = c * torch.sigmoid(f + 1) + torch.sigmoid(i) * torch.tanh(j)
    return torch.tanh(F.layer_norm(c, [n], w("lnc_gamma"), w("lnc_beta"), 1e-3)) * torch.sigmoid(o), c


def step(cell, w, x, s):
    """One event x through a cell; s is its whole state."""
    if cell == "gru":
        a, b = w("weight_ih_l0") @ x + w("bias_ih_l0"), w("weight_hh_l0") @ s[0] + w("bias_hh_l0")
        (ar, az, an), (br, bz, bn) = a.chunk(3), b.chunk(3)
        r, z = torch.sigmoid(ar + br), torch.sigmoid(az + bz)
        return [(1 - z) * torch.tanh(an + r * bn) + z * s[0]]
    if cell == "lstm":
        h, c = s
        return list(finish(x @ w("W_xh") + h @ w("W_hh"), c, w, UNITS))
    h, u, c, cu = s
    both = torch.cat([x, h])
    u, cu = finish(both @ w("hyper.W_xh") + u @ w("hyper.W_hh"), cu, lambda k: w("hyper." + k), K)
    pre = []
    for g, name in enumerate(GATES):
        at = slice(g * UNITS, (g + 1) * UNITS)

        def scale(source):
            n = f"norm.{name}{source}."
            return (u @ w(n + "zw_w") + w(n + "zw_b")) @ w(n + "alpha")
        shift = (u @ w(f"norm.{name}h.zb_w")) @ w(f"norm.{name}h.beta")
        pre.append(scale("x") * (x @ w("W_xh"))[at] + scale("h") * (h @ w("W_hh"))[at] + shift + w("bias")[at])
    h, c = finish(torch.cat(pre), c, w, UNITS)
    return [h, u, c, cu]


def loss_of(p, x, cell, label, add, always, threshold, half):
    sizes = {"hyper": (UNITS, K, UNITS, K), "lstm": (UNITS, UNITS), "gru": (UNITS,)}[cell]

    def dense(name, v):
        return p[name + ".weight"] @ v + p[name + ".bias"]

    def feature(e):
        return torch.cat([p["pitch_embedding"][int(e[0])], F.one_hot(torch.tensor([int(e[1]), int(e[2])]), D + 1).double().flatten()])

    def last(net, events):
        s = [torch.zeros(n) for n in sizes]
        for e in events:
            s = step(cell, lambda k: p[f"{net}.{k}"], feature(e), s)
        return s

    out = {"mean": [], "logvar": [], "alpha": [], "logits": torch.zeros(len(LENGTHS), max(LENGTHS), P + 1 + 2 * (D + 1))}
    ce, style, rows = [0.0, 0.0, 0.0], 0.0, []
    for b, n in enumerate(LENGTHS):
        heard = x[b, :n - 1]
        states = torch.cat(last("enc_fw", heard) + last("enc_bw", heard.flip(0)))
        content = torch.relu(dense("cont_head", states))
        mean, logvar = dense("z_mean", content), dense("z_logvar", content)
        if label:
            z_s = F.one_hot(torch.tensor(LABELS[b]), S).double()
        else:
            alpha = dense("z_cat", torch.relu(dense("cat_head", states)))
            style = style - torch.log_softmax(alpha, 0)[LABELS[b]] / len(LENGTHS)
            z_s = p["style_codebook"][int(alpha.argmax())]
            out["alpha"].append(alpha)
        z = mean + z_s if add else torch.cat([mean, z_s])
        first = dense("dec_init", z)
        s = list((F.elu(first) if cell == "hyper" else torch.tanh(first)).split(sizes))
        for t in range(n):
            now = torch.cat([p["pitch_embedding"][0], torch.zeros(2 * (D + 1))]) if t == 0 else feature(x[b, t - 1])
            s = step(cell, lambda k: p[f"dec.{k}"], torch.cat([now, z_s]) if always else now, s)
            y = dense("logits", s[0])
            out["logits"][b, t] = y
            for g, (i, j) in enumerate([(0, P + 1), (P + 1, P + D + 2), (P + D + 2, len(y))]):
                if x[b, t, g] >= 0:
                    ce[g] = ce[g] - torch.log_softmax(y[i:j], 0)[int(x[b, t, g])] / sum(LENGTHS)
        out["mean"].append(mean)
        out["logvar"].append(logvar)
    mean, logvar = out["mean"], out["logvar"] = torch.stack(out["mean"]), torch.stack(out["logvar"])
    out["alpha"] = torch.stack(out["alpha"]) if out["alpha"] else None
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(mean, torch.exp(0.5 * logvar)),
                                           torch.distributions.Normal(0.0, 1.0)).mean()
    spread = ((mean - mean.mean(0)) ** 2).sum() / len(LENGTHS)
    mu = torch.clamp(threshold - (spread / 2 if half else spread / CONTENT), min=0) if threshold else torch.zeros(())
    beta = 1 - BETA_K / (BETA_K + math.exp(STEP / BETA_K))
    total = 3 * ce[0] + ce[1] + ce[2] + KL_WEIGHT * beta * kl + style + mu
    return total, [total, *ce, kl, torch.as_tensor(style), mu], out


store = {}
for name, options in MODELS.items():
    p = {k: (0.6 * torch.randn(v)).float().double().requires_grad_() for k, v in shapes(*options[:4]).items()}
    x = torch.stack([torch.randint(P, (len(LENGTHS), max(LENGTHS))), *torch.randint(D + 1, (2, len(LENGTHS), max(LENGTHS)))], -1)
    for b, n in enumerate(LENGTHS):
        x[b, n - 1] = torch.tensor([P, -1, -1])
        x[b, n:] = 0
    total, terms, out = loss_of(p, x, *options)
    total.backward()
    store[f"{name}/x"] = x.numpy().astype(np.float32)
    store[f"{name}/lengths"], store[f"{name}/labels"] = np.array(LENGTHS, np.int32), np.array(LABELS, np.int32)
    store[f"{name}/terms"] = np.array([float(t) for t in terms])
    for k, v in out.items():
        if v is not None:
            store[f"{name}/{k}"] = v.detach().numpy()
    for k, v in p.items():
        store[f"{name}/module.{k}"] = v.detach().numpy().astype(np.float32)
        store[f"{name}/grad.{k}"] = v.grad.numpy()
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/style_vae.safetensors")
safetensors_io.write(path, store, {"source": f"PyTorch {torch.__version__}"})
print(path, sum(a.nbytes for a in store.values()), "bytes,", len(store), "tensors")
