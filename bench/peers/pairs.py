#!/usr/bin/env python3
"""The steps of "etude-bench --model pairs/..." in PyTorch: the models of tests/oracle/clap.py with the same weights, input,
loss and optimiser in float32. bench/compare runs it; it installs nothing.

--reference FILE is what etude-bench --save wrote: what a tower answers, and the losses of three training steps, must agree
with it (to 1e-4 of the largest; losses to 1e-3) before anything is timed. PyTorch at its best: denormals flushed, q, k and v
in one product, tables and masks of windows made once for forward passes, the faster of both memory layouts, the faster form
of Adam. Then each line of standard input, a number of seconds, is answered as in serving.py."""
import functools
import os
import sys

sys.dont_write_bytecode = True
from serving import agree, arguments, fastest, prepared_torch, read_tensors, serve  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/oracle"))
import clap as oracle  # noqa: E402

torch.set_default_dtype(torch.float32)
torch.set_num_threads(args.threads)
oracle.shift_mask = functools.lru_cache(oracle.shift_mask)
p = read_tensors(torch, args.reference)
x, ids, answer, losses = p.pop("x"), p.pop("ids", None), p.pop("answer", p.pop("logits", None)), p.pop("losses", None)
kind, training = args.model.split("/")[1], args.model.endswith("small")
BERT = dict(vocabulary=32, width=32, hidden=64, layers=2, heads=2, positions=14, types=2, eps=1e-12, pooler=True)
data = {"x": x, "ids": ids, "mask": None if ids is None else torch.ones_like(ids)}


class Weights:
    def __init__(self, tensors):
        self.all = tensors

    def __call__(self, name, *shape, kind=None):
        return self.all[name]


class Fused(oracle.Model):
    """Three projections of one input are one product."""

    @functools.lru_cache(None)
    def joined(self, p, names):
        return [torch.cat([self.w(f"{p}.{n}.{k}") for n in names]) for k in ("weight", "bias")]

    def projections(self, p, names, x, d):
        if torch.is_grad_enabled():
            w, b = (torch.cat([self.w(f"{p}.{n}.{k}") for n in names]) for k in ("weight", "bias"))
        else:
            w, b = self.joined(p, names)
        return oracle.F.linear(x, w, b).chunk(3, -1)


def run(m):
    if kind == "clap-small":
        c = dict(oracle.CLAP, joint=32, one_scale=True, text=BERT, cnn14=dict(widths=(8, 16, 32), embedding=64))
        return oracle.clap(m, c, data)[1:]
    if kind == "mulan-small":
        return oracle.mulan(m, dict(text=BERT, resnet=dict(width=8, blocks=(1, 1, 1, 1)), latent=16), data)[1:]
    if kind == "htsat":
        return oracle.htsat(m, "t", oracle.BIG_SWIN, x[:, None]), None
    if kind == "cnn14":
        return oracle.cnn14(m, "t", oracle.BIG_CNN, x), None
    if kind == "resnet50":
        return oracle.resnet(m, "t", dict(width=64, blocks=(3, 4, 6, 3)), x), None
    return oracle.mulan_compact_audio(m, oracle.BASE["mulan-compact"][1], x), None


def forward(layout):
    own = {k if training or kind == "compact" else "t." + k: v.to(memory_format=layout) if v.ndim == 4 else v for k, v in p.items()}
    m = Fused(Weights(own))

    def step():
        with torch.inference_mode():
            return run(m)[0]
    return step


def trainer(foreach, layout):
    own = {k: torch.nn.Parameter(v.to(memory_format=layout) if v.ndim == 4 else v.clone())
           if v.is_floating_point() and "running" not in k else v.clone() for k, v in p.items()}
    adam = torch.optim.Adam([v for v in own.values() if isinstance(v, torch.nn.Parameter)], lr=1e-3, foreach=foreach)
    m = Fused(Weights(own))

    def step(training=True):
        m.training = training
        adam.zero_grad(set_to_none=True)
        loss = run(m)[1]
        loss.backward()
        adam.step()
        return float(loss.detach())
    return step


layouts = {"": torch.contiguous_format, " channels last": torch.channels_last}
errors = [agree("answers", answer, forward(layouts[""])(), 1e-4)]
if training:
    step = trainer(False, layouts[""])
    errors.append(agree("losses of three steps", losses, torch.tensor([step(False) for _ in range(3)]), 1e-3))
    variants = {" adam " + form + name: trainer(form == "foreach", layout)
                for form in ("loop", "foreach") for name, layout in layouts.items()}
else:
    variants = {name: forward(layout) for name, layout in layouts.items()}
best, step = fastest(variants)
serve(step, "agreement " + " ".join("%.1e" % e for e in errors) + best)
