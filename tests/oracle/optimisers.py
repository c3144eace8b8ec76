#!/usr/bin/python3
"""Reference trajectories of the optimisers with PyTorch: `python3 optimisers.py` writes
../fixtures/optimisers.safetensors.

SWATS is the class below, after Keskar and Socher (arXiv 1712.07628), algorithm 1. Two parameters, 20 steps; the gradient of w at each step is a fixed curve plus 0.3 w, so that a wrong step shows in
all that follow. In a run named ..._late, b is frozen for the first LATE steps. Tensors: a0, b0 (start), curve_a, curve_b [20, ...], NAME/a and NAME/b [20, ...] after each step."""
import os

import torch

import safetensors_io
from cases import as_array, uniform

STEPS = 20


class Swats:
    """Adam until the rate that SGD would need has settled, then SGD with momentum."""

    def __init__(self, params, lr, switch_eps, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        self.params = list(params)
        self.lr, self.switch_eps, self.betas, self.eps, self.decay = lr, switch_eps, betas, eps, weight_decay
        self.m = [torch.zeros_like(p) for p in self.params]
        self.a = [torch.zeros_like(p) for p in self.params]
        self.v = [torch.zeros_like(p) for p in self.params]
        self.k, self.mean, self.rate = 0, 0.0, None

    @torch.no_grad()
    def step(self):
        self.k += 1
        b1, b2 = self.betas
        grads = [p.grad + self.decay * p for p in self.params]
        if self.rate is not None:
            for p, g, v in zip(self.params, grads, self.v):
                v.mul_(b1).add_(g)
                p.sub_((1 - b1) * self.rate * v)
            return
        pp = pg = 0.0
        for p, g, m, a in zip(self.params, grads, self.m, self.a):
            m.mul_(b1).add_((1 - b1) * g)
            a.mul_(b2).add_((1 - b2) * g * g)
            move = -self.lr * (m / (1 - b1**self.k)) / ((a / (1 - b2**self.k)).sqrt() + self.eps)
            p.add_(move)
            pp += float((move * move).sum())
            pg += float((move * g).sum())
        if pg != 0:
            gamma = pp / -pg
            self.mean = b2 * self.mean + (1 - b2) * gamma
            estimate = self.mean / (1 - b2**self.k)
            if self.k > 1 and abs(estimate - gamma) < self.switch_eps and estimate > 0:
                self.rate, self.at = estimate, self.k


RUNS = {
    "sgd": (torch.optim.SGD, dict(lr=0.1)),
    "sgd_decay": (torch.optim.SGD, dict(lr=0.1, weight_decay=0.05)),
    "sgd_momentum": (torch.optim.SGD, dict(lr=0.05, momentum=0.9)),
    "sgd_momentum_decay": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, weight_decay=0.05)),
    "sgd_nesterov": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01)),
    "adam": (torch.optim.Adam, dict(lr=0.02)),
    "adam_decay": (torch.optim.Adam, dict(lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05)),
    "adamw": (torch.optim.AdamW, dict(lr=0.02, weight_decay=0.1)),
    "adam_late": (torch.optim.Adam, dict(lr=0.02, weight_decay=0.05)),
    "swats": (Swats, dict(lr=0.02, switch_eps=1e-3, weight_decay=0.05)),
    "swats_never": (Swats, dict(lr=0.02, switch_eps=1e-12)),
    "sgd_late": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, nesterov=True)),
}
LATE = 7

if __name__ == "__main__":
    start = {"a": uniform("opt", 3, 4), "b": uniform("opt", 5)}
    curve = {"a": uniform("opt", STEPS, 3, 4), "b": uniform("opt", STEPS, 5)}
    out = {f"{n}0": as_array(v) for n, v in start.items()}
    out |= {f"curve_{n}": as_array(v) for n, v in curve.items()}
    for name, (make, options) in RUNS.items():
        params = {n: v.clone().requires_grad_() for n, v in start.items()}
        optimiser = make(params.values(), **options)
        path = {n: [] for n in params}
        for step in range(STEPS):
            for n, p in params.items():
                frozen = n == "b" and name.endswith("_late") and step < LATE
                p.grad = None if frozen else curve[n][step] + 0.3 * p.detach()
            optimiser.step()
            for n, p in params.items():
                path[n].append(p.detach().clone())
        out |= {f"{name}/{n}": as_array(torch.stack(v)) for n, v in path.items()}
        if make is Swats:
            out[f"{name}/switch"] = as_array(torch.tensor([optimiser.at, optimiser.rate] if optimiser.rate else [0.0, 0.0]).double())
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/optimisers.safetensors")
    safetensors_io.write(path, out, {"source": f"PyTorch {torch.__version__}"})
