#!/usr/bin/python3
"""Reference trajectories of the optimisers with PyTorch: `python3 optimisers.py` writes
../fixtures/optimisers.safetensors.

Two parameters, 20 steps; the gradient of w at each step is a fixed curve plus 0.3 w, so that a wrong step shows in
all that follow. In a run named ..._late, b is frozen for the first LATE steps. Tensors: a0, b0 (start), curve_a, curve_b [20, ...], NAME/a and NAME/b [20, ...] after each step."""
import os

import torch

import safetensors_io
from cases import as_array, uniform

STEPS = 20
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
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/optimisers.safetensors")
    safetensors_io.write(path, out, {"source": f"PyTorch {torch.__version__}"})
