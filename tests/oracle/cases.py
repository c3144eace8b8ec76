"""What the oracle scripts share: cases of a function, its inputs, outputs and gradients."""
import zlib

import numpy as np
import torch

import safetensors_io

torch.set_default_dtype(torch.float64)


class Cases:
    """Tensors named CASE/in0, CASE/out0 (values), CASE/c0 (cotangent of out0) and CASE/g0 (gradient of in0;
    there for the inputs that are differentiated)."""

    def __init__(self):
        self.tensors = {}

    def __call__(self, name, fn, *inputs, constant=()):
        """fn maps the inputs to a tensor or a tuple; constant: numbers of real inputs without gradient.
        Real inputs and cotangents are exact in float32, so that the same case serves both types."""
        ins, wanted = [], []
        for i, x in enumerate(inputs):
            x = torch.as_tensor(x)
            if x.is_floating_point():
                x = x.float().double().clone().requires_grad_(i not in constant)
                if i not in constant:
                    wanted.append(i)
            ins.append(x)
            self.tensors[f"{name}/in{i}"] = as_array(x)
        outs = fn(*ins)
        outs = list(outs) if isinstance(outs, (tuple, list)) else [outs]
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        pairs = []
        for k, y in enumerate(outs):
            self.tensors[f"{name}/out{k}"] = as_array(y)
            if y.requires_grad:
                c = torch.as_tensor(rng.uniform(-1, 1, tuple(y.shape))).float().double()
                self.tensors[f"{name}/c{k}"] = as_array(c)
                pairs.append((y, c))
        if pairs and wanted:
            grads = torch.autograd.grad([y for y, _ in pairs], [ins[i] for i in wanted], [c for _, c in pairs],
                                        allow_unused=True)
            for i, g in zip(wanted, grads):
                self.tensors[f"{name}/g{i}"] = as_array(torch.zeros_like(ins[i]) if g is None else g)

    def keep(self, names):
        """Forgets all cases but these."""
        for missing in names - {n.rsplit("/", 1)[0] for n in self.tensors}:  # named, but not made
            print("no case is called", missing)
        self.tensors = {n: a for n, a in self.tensors.items() if n.rsplit("/", 1)[0] in names}

    def write(self, path):
        safetensors_io.write(path, self.tensors, {"source": f"PyTorch {torch.__version__}"})
        print(path, sum(a.nbytes for a in self.tensors.values()), "bytes,", len(self.tensors), "tensors")


def as_array(x):
    """Integers become int32, masks uint8, reals float64."""
    a = x.detach().numpy()
    if a.dtype == np.bool_:
        return a.astype(np.uint8)
    return a.astype(np.int32) if a.dtype == np.int64 else a.astype(np.float64)


_streams = {}


def uniform(name, *shape, lo=-1.0, hi=1.0):
    """Uniform numbers; the same name draws on."""
    rng = _streams.setdefault(name, np.random.default_rng(zlib.crc32(name.encode())))
    return torch.as_tensor(rng.uniform(lo, hi, shape)).float().double()


def integers(name, *shape, lo=0, hi=2):
    rng = _streams.setdefault(name, np.random.default_rng(zlib.crc32(name.encode())))
    return torch.as_tensor(rng.integers(lo, hi, shape))


def mask(name, *shape, p=0.5):
    rng = _streams.setdefault(name, np.random.default_rng(zlib.crc32(name.encode())))
    return torch.as_tensor(rng.uniform(size=shape) < p)
