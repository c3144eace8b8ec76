#!/usr/bin/env python3
"""The training step of "etude-bench --model style/paper" (or style/gru; -half: the same step, of which only Etude
computes a part again) in PyTorch: same model, weights, batch, loss, clipping and optimiser. bench/compare runs it; it
installs nothing.

PyTorch at its best: denormals flushed; the HyperLSTM as a scripted module whose input products and joined weights stand
before the loop over time, one layer norm for the four gates; nn.GRU for the other cell; the faster form of Adam.
--reference FILE is what etude-bench --save wrote: logits and the losses of three steps in evaluation mode must agree with
it to 1e-3 of the largest before anything is timed, in training mode (draws of content, style and dropout are each
program's own).
"""
import math
import sys
from typing import Tuple

sys.dont_write_bytecode = True
from serving import agree, arguments, fastest, prepared_torch, read_tensors, serve, tell_memory  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402

PITCHES, STEPS, TAU = 88, 32, 0.02
KEEP = {"enc_fw": 0.5, "enc_bw": 0.5, "dec": 0.8}
K, STEP, KL_WEIGHT, MU = 1800.0, 20000, 0.8, 1.3
BETA = 1 - K / (K + math.exp(STEP / K))
tensors = read_tensors(torch, args.reference)
x, labels = tensors.pop("x").long(), tensors.pop("labels").long()
logits, losses = tensors.pop("logits"), tensors.pop("losses")


@torch.jit.script
def gates(pre: Tensor, c: Tensor, gamma: Tensor, beta: Tensor, gamma_c: Tensor, beta_c: Tensor, keep: float) -> Tuple[Tensor, Tensor]:
    n = c.shape[1]
    a = torch.layer_norm(pre.view(pre.shape[0], 4, n), [n], None, None, 1e-3).flatten(1) * gamma + beta
    i, j, f, o = a.chunk(4, 1)
    candidate = torch.tanh(j)
    if keep < 1.0:
        candidate = torch.dropout(candidate, 1 - keep, True)
    c = c * torch.sigmoid(f + 1) + torch.sigmoid(i) * candidate
    return torch.tanh(torch.layer_norm(c, [n], gamma_c, beta_c, 1e-3)) * torch.sigmoid(o), c


@torch.jit.script
def hyper_lstm(xw: Tensor, xi: Tensor, h: Tensor, u: Tensor, c: Tensor, cu: Tensor, W_hh: Tensor, inner: Tensor, bias: Tensor,
               zw: Tensor, zb: Tensor, alpha: Tensor, ln: Tuple[Tensor, Tensor, Tensor, Tensor],
               hln: Tuple[Tensor, Tensor, Tensor, Tensor], keep: float) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    out = []
    B, n = h.shape
    for t in range(xw.shape[0]):
        u, cu = gates(torch.addmm(xi[t], torch.cat([h, u], 1), inner), cu, hln[0], hln[1], hln[2], hln[3], 1.0)
        z = torch.addmm(zb, u, zw).view(B, 12, -1).transpose(0, 1)
        scale = torch.bmm(z, alpha)
        hw = torch.mm(h, W_hh).view(B, 4, n).transpose(0, 1)
        pre = torch.addcmul(torch.addcmul(scale[8:], scale[4:8], hw), scale[:4], xw[t].view(B, 4, n).transpose(0, 1))
        h, c = gates(pre.transpose(0, 1).reshape(B, 4 * n) + bias, c, ln[0], ln[1], ln[2], ln[3], keep)
        out.append(h)
    return torch.stack(out), h, u, c, cu


NORM = ("ln_gamma", "ln_beta", "lnc_gamma", "lnc_beta")


def run_hyper(p, name, z, state, training):
    """z [T, B, in] -> states [T, B, n] and the last of each kind"""
    def w(what):
        return p[name + "." + what]
    m, n = w("W_xh").shape[0], w("W_hh").shape[0]
    k = w("hyper.W_hh").shape[0]
    if state is None:
        state = [z.new_zeros(z.shape[1], n), z.new_zeros(z.shape[1], k), z.new_zeros(z.shape[1], n), z.new_zeros(z.shape[1], k)]
    sources = ["ix", "jx", "fx", "ox", "ih", "jh", "fh", "oh"]
    zw = torch.cat([w("norm.%s.zw_w" % s) for s in sources] + [w("norm.%s.zb_w" % s) for s in sources[4:]], 1)
    zb = torch.cat([w("norm.%s.zw_b" % s) for s in sources] + [z.new_zeros(zw.shape[1] // 3)])
    alpha = torch.stack([w("norm.%s.alpha" % s) for s in sources] + [w("norm.%s.beta" % s) for s in sources[4:]])
    inner = torch.cat([w("hyper.W_xh")[m:], w("hyper.W_hh")])
    return hyper_lstm(z @ w("W_xh"), z @ w("hyper.W_xh")[:m], state[0], state[1], state[2], state[3], w("W_hh"), inner, w("bias"),
                      zw, zb, alpha, tuple(w(s) for s in NORM), tuple(w("hyper." + s) for s in NORM),
                      KEEP[name] if training else 1.0)


def run_gru(p, name, z, state, training):
    flat = [p["%s.%s_l0" % (name, s)] for s in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    h0 = z.new_zeros(1, z.shape[1], flat[1].shape[1]) if state is None else state[0][None]
    y, h = torch._VF.gru(z, h0, flat, True, 1, 0.0, training, False, False)
    return y, h[0]


run = run_gru if args.model.startswith("style/gru") else run_hyper


def forward(p, training):
    def linear(name, z):
        return F.linear(z, p[name + ".weight"], p[name + ".bias"])

    e = x.transpose(0, 1)
    one = torch.cat([F.one_hot(e[:, :, g], STEPS + 1).float() for g in (1, 2)], -1)
    f = torch.cat([F.embedding(e[:, :, 0], p["pitch_embedding"]), one], -1)
    heard = f[:-1]
    s = torch.cat(run(p, "enc_fw", heard, None, training)[1:] + run(p, "enc_bw", heard.flip(0), None, training)[1:], -1)
    content = torch.relu(linear("cont_head", s))
    mean, logvar = linear("z_mean", content), linear("z_logvar", content)
    alpha = linear("z_cat", torch.relu(linear("cat_head", s)))
    if training:
        z_c = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        cat = F.gumbel_softmax(alpha, TAU)
    else:
        z_c, cat = mean, F.one_hot(alpha.argmax(-1), alpha.shape[1]).float()
    first = linear("dec_init", torch.cat([z_c, cat @ p["style_codebook"]], -1))
    if run is run_hyper:
        n, k = p["dec.W_hh"].shape[0], p["dec.hyper.W_hh"].shape[0]
        state = F.elu(first).split([n, k, n, k], 1)
    else:
        state = [torch.tanh(first)]
    start = torch.cat([p["pitch_embedding"][:1], one.new_zeros(1, 2 * (STEPS + 1))], -1).expand(1, f.shape[1], -1)
    y = linear("logits", run(p, "dec", torch.cat([start, f[:-1]]), state, training)[0])
    events = float(e.shape[0] * e.shape[1])
    l = [F.cross_entropy(y[:, :, a:b].flatten(0, 1), (e[:, :, g] if g == 0 else e[:, :, g].where(e[:, :, 0] < PITCHES, -1 * torch.ones_like(
        e[:, :, g]))).flatten(), ignore_index=-1, reduction="sum") / events
         for g, (a, b) in enumerate([(0, PITCHES + 1), (PITCHES + 1, PITCHES + STEPS + 2), (PITCHES + STEPS + 2, y.shape[-1])])]
    kl = (-0.5 * (1 + logvar - mean * mean - logvar.exp())).mean()
    mu = torch.relu(MU - (mean - mean.mean(0)).square().mean())
    return y.transpose(0, 1), 3 * l[0] + l[1] + l[2] + KL_WEIGHT * BETA * kl + F.cross_entropy(alpha, labels) + mu


def trainer(foreach, training):
    p = {name: torch.nn.Parameter(t.clone()) for name, t in tensors.items()}
    adam = torch.optim.Adam(p.values(), lr=5e-4, foreach=foreach)

    def step():
        adam.zero_grad(set_to_none=True)
        loss = forward(p, training)[1]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        adam.step()
        return float(loss.detach())
    return p, step


tell_memory(lambda: trainer(False, True))
p, step = trainer(False, False)
with torch.no_grad():
    errors = [agree("logits", logits, forward(p, False)[0], 1e-3)]
errors.append(agree("losses of three steps", losses, torch.tensor([step() for _ in range(3)]), 1e-3))
del p, step
best, step = fastest({"adam loop": trainer(False, True)[1], "adam foreach": trainer(True, True)[1]})
serve(step, "agreement %.1e %.1e %s" % (*errors, best))
