#!/usr/bin/python3
"""Music taggers in PyTorch, written for themselves: `python3 tagger.py` writes ../fixtures/tagger.safetensors.

For each of the six models, in tiny sizes: NAME/module.(state dict), NAME/x, NAME/logits in training, NAME/loss,
NAME/grad.(parameter) of two parameters, running statistics after that step as NAME/after.(buffer), NAME/eval in
evaluation with them; with attention NAME/weights0, weights1 and NAME/contributions by their literal definition."""
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import safetensors_io

torch.manual_seed(0)
BANDS, FRAMES, SAMPLES, C, TAGS = 12, 20, 324, 1, 3
TALL, TEMPORAL = (10, 4), (9, 7, 5, 3)
RAW, WIDE, DENSE, LONG = (3, 4), 6, 5, (5, 6)
WIDTH, HIDDEN, HEADS, LAYERS = 8, 12, 2, 2


class ConvNorm(nn.Module):
    def __init__(self, conv, bn):
        super().__init__()
        self.conv, self.bn = conv, bn

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def conv1(i, o, k, **kw):
    return nn.Conv1d(i, o, k, padding=k // 2, **kw)


class Spec(nn.Module):
    width = 29 * C

    def __init__(self, att):
        super().__init__()
        self.input_bn = nn.BatchNorm2d(1)
        layers = []
        for height in TALL:
            for out, w in ((C, 7), (2 * C, 3), (4 * C, 1)):
                layers.append(ConvNorm(nn.Conv2d(1, out, (height, w), padding=(0, w // 2)), nn.BatchNorm2d(out)))
        for i, k in enumerate(TEMPORAL):
            layers.append(ConvNorm(conv1(1, C << i, k), nn.BatchNorm1d(C << i)))
        self.layers = nn.ModuleList(layers)
        self.att = att
        if att:
            self.conv1x1, self.bn = nn.Conv1d(self.width, WIDTH, 1), nn.BatchNorm1d(WIDTH)

    def forward(self, x):
        x = self.input_bn(x[:, None])
        h = [layer(x).amax(2) for layer in self.layers[:6]] + [layer(x.mean(2)) for layer in self.layers[6:]]
        h = torch.cat(h, 1)
        return F.relu(self.bn(self.conv1x1(h))) if self.att else h


class Raw(nn.Module):
    width = RAW[-1]

    def __init__(self, att):
        super().__init__()
        self.init_conv = ConvNorm(nn.Conv1d(1, RAW[0], 3, stride=3, padding=1), nn.BatchNorm1d(RAW[0]))
        ins = (RAW[0],) + RAW
        self.convs = nn.ModuleList(ConvNorm(conv1(i, o, 3), nn.BatchNorm1d(o)) for i, o in zip(ins, RAW))
        self.conv1x1 = ConvNorm(conv1(self.width, WIDTH, 7), nn.BatchNorm1d(WIDTH)) if att else None

    def forward(self, x):
        h = self.init_conv(x[:, None])
        for conv in self.convs:
            h = F.max_pool1d(conv(h), 3)
        return self.conv1x1(h) if self.conv1x1 else h


class CnnP(nn.Module):
    out = DENSE

    def __init__(self, width):
        super().__init__()
        self.conv1, self.bn1 = conv1(width, WIDE, 7), nn.BatchNorm1d(WIDE)
        self.conv2, self.bn2 = conv1(WIDE, WIDE, 7), nn.BatchNorm1d(WIDE)
        self.conv3, self.bn3 = conv1(WIDE, WIDE, 7), nn.BatchNorm1d(WIDE)
        self.dense, self.bn4 = nn.Linear(2 * WIDE, DENSE), nn.BatchNorm1d(DENSE)

    def forward(self, x):
        r1 = F.relu(self.bn1(self.conv1(x)))
        r2 = F.max_pool1d(F.relu(self.bn2(self.conv2(r1))) + r1, 2)
        r3 = F.relu(self.bn3(self.conv3(r2))) + r2
        return F.relu(self.bn4(self.dense(torch.cat([r3.amax(2), r3.mean(2)], 1))))


class CnnL(nn.Module):
    out = LONG[-1]

    def __init__(self, width):
        super().__init__()
        ins = (width,) + LONG
        self.convs = nn.ModuleList(ConvNorm(conv1(i, o, 3), nn.BatchNorm1d(o)) for i, o in zip(ins, LONG))
        self.conv1x1 = ConvNorm(conv1(LONG[-1], LONG[-1], 1), nn.BatchNorm1d(LONG[-1]))

    def forward(self, x):
        for conv in self.convs:
            x = F.max_pool1d(conv(x), 3)
        return self.conv1x1(x).amax(2)


def holder(**modules):
    m = nn.Module()
    for name, child in modules.items():
        m.add_module(name, child)
    return m


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        d = WIDTH
        self.attention = holder(self=holder(query=nn.Linear(d, d), key=nn.Linear(d, d), value=nn.Linear(d, d)),
                                output=holder(dense=nn.Linear(d, d), LayerNorm=nn.LayerNorm(d, 1e-12)))
        self.intermediate = holder(dense=nn.Linear(d, HIDDEN))
        self.output = holder(dense=nn.Linear(HIDDEN, d), LayerNorm=nn.LayerNorm(d, 1e-12))

    def forward(self, x, replace=None):
        own, out = self.attention._modules["self"], self.attention._modules["output"]
        q, k, v = (getattr(own, n)(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for n in ("query", "key", "value"))
        p = torch.softmax(q @ k.transpose(2, 3) / (WIDTH / HEADS) ** 0.5, -1)
        self.p = p
        if replace is not None:
            p = torch.zeros_like(p)
            p[..., replace] = 1
        x = out.LayerNorm(x + out.dense((p @ v).transpose(1, 2).flatten(2)))
        return self.output.LayerNorm(x + self.output.dense(F.gelu(self.intermediate.dense(x))))


class Att(nn.Module):
    out = WIDTH

    def __init__(self, width):
        super().__init__()
        self.encoder = holder(layer=nn.ModuleList(Layer() for _ in range(LAYERS)))
        self.pooler = holder(dense=nn.Linear(WIDTH, WIDTH))

    def forward(self, x, replace=None):
        b, d, t = x.shape
        cls = torch.as_tensor(np.random.RandomState(0).random_sample(d)).float().double()
        x = torch.cat([cls.expand(b, 1, d), x.transpose(1, 2)], 1)
        j, p = torch.arange(d), torch.arange(1, t + 1)[:, None]
        angle = p / 10000 ** (2 * (j // 2) / d)
        x = x + torch.cat([torch.zeros(1, d), torch.where(j % 2 == 0, angle.sin(), angle.cos())])
        for i, layer in enumerate(self.encoder.layer):
            x = layer(x, replace if i == LAYERS - 1 else None)
        return torch.tanh(self.pooler.dense(x[:, 0]))


class Tagger(nn.Module):
    def __init__(self, front, back):
        super().__init__()
        self.front_end = front(back is Att)
        self.back_end = back(front.width)
        self.classifier = nn.Linear(back.out, TAGS)

    def forward(self, x, **options):
        return self.classifier(self.back_end(self.front_end(x), **options))


out = {}
torch.set_default_dtype(torch.float64)
for front, f in (("spec", Spec), ("raw", Raw)):
    for back, b in (("cnn_p", CnnP), ("cnn_l", CnnL), ("att", Att)):
        name, model = f"{front}_{back}", Tagger(f, b)
        for p in model.parameters():  # exact in float32; norms away from their first values
            if p.dim() == 1:
                p.data += 0.2 * torch.rand(p.shape)
            p.data = p.data.float().double()
        for key, v in model.state_dict().items():
            out[f"{name}/module.{key}"] = v.numpy().astype(np.int32 if v.dtype == torch.int64 else np.float32)
        x = torch.randn((4, BANDS, FRAMES) if f is Spec else (4, SAMPLES)).float().double()
        y = (torch.rand(4, TAGS) < 0.5).double()
        logits = model(x)
        loss = F.binary_cross_entropy_with_logits(logits, y)
        loss.backward()
        out[f"{name}/x"], out[f"{name}/y"] = x.numpy().astype(np.float32), y.numpy().astype(np.float32)
        out[f"{name}/logits"], out[f"{name}/loss"] = logits.detach().numpy(), loss.detach().numpy()
        params = dict(model.named_parameters())
        for key in (list(params)[0], [k for k in params if "conv" in k and k.endswith("weight")][1], "classifier.weight"):
            out[f"{name}/grad.{key}"] = params[key].grad.numpy()
        for key, v in model.named_buffers():
            if "running" in key:
                out[f"{name}/after.{key}"] = v.numpy().copy()
        model.eval()
        with torch.no_grad():
            out[f"{name}/eval"] = model(x).numpy()
            if b is Att:
                for i, layer in enumerate(model.back_end.encoder.layer):
                    out[f"{name}/weights{i}"] = layer.p.numpy()
                steps = layer.p.shape[-1]
                rows = [torch.sigmoid(model(x[:1], replace=t))[0] for t in range(steps)]
                out[f"{name}/contributions"] = torch.stack(rows).numpy()
here = os.path.dirname(os.path.abspath(__file__))
path = os.path.join(here, "../fixtures/tagger.safetensors")
safetensors_io.write(path, out, {"source": f"PyTorch {torch.__version__}"})
print(path, sum(a.nbytes for a in out.values()), "bytes,", len(out), "tensors")
