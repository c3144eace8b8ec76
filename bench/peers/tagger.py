#!/usr/bin/env python3
"""The training step of "etude-bench --model tagger/..." in PyTorch: same model, weights, batch, loss and optimiser.
bench/compare runs it; it installs nothing.

--reference FILE is what etude-bench --save wrote: logits and the losses of three steps in evaluation mode must agree
with it (to 1e-4 of the largest; to 5e-2 where etude-bench multiplies bfloat16) before anything is timed, in training
mode. PyTorch at its best: denormals flushed, q, k and v in one product, the last layer at [CLS] alone, maxima over
frequency by amax, the faster form of Adam, of contiguous and channels-last convolutions in two dimensions the faster;
"tagger/spec-att-bf16" takes the faster of float32 and its own automatic mixed precision. Then each line of standard
input, a number of seconds, is answered as in serving.py.
"""
import itertools
import sys

sys.dont_write_bytecode = True
from serving import agree, arguments, fastest, mixed_precision, prepared_torch, read_tensors, serve, tell_memory  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
import torch.nn.functional as F  # noqa: E402

HEADS = 8
MOST = 5e-2 if args.mixed else 1e-4
tensors = read_tensors(torch, args.reference)
x, labels = tensors.pop("x"), tensors.pop("labels")
logits, losses = tensors.pop("logits"), tensors.pop("losses")
cls = tensors.pop("back_end.cls", None)
layers = sum(name.endswith("attention.self.query.weight") for name in tensors)


class Tagger:
    """The model as functions of named tensors."""

    def __init__(self, training, channels_last):
        self.training = training
        self.drop = (0.4, 0.5) if training else (0.0, 0.0)
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        own = "attention.self."
        p = {n: t for n, t in tensors.items() if own not in n and "running" not in n and "num_batches" not in n}
        for i in range(layers):
            at = "back_end.encoder.layer.%d." % i
            for kind in ("weight", "bias"):
                p[at + "qkv." + kind] = torch.cat([tensors[at + own + n + "." + kind] for n in ("query", "key", "value")])
        self.p = {n: torch.nn.Parameter(t.clone(memory_format=self.format) if t.dim() == 4 else t.clone())
                  for n, t in p.items()}
        self.running = {n: t.clone() for n, t in tensors.items() if "running" in n}

    def linear(self, name, z):
        return F.linear(z, self.p[name + ".weight"], self.p[name + ".bias"])

    def batch_norm(self, name, z):
        return F.batch_norm(z, self.running[name + ".running_mean"], self.running[name + ".running_var"],
                            self.p[name + ".weight"], self.p[name + ".bias"], self.training, 0.1, 1e-5)

    def layer_norm(self, name, z):
        return F.layer_norm(z, z.shape[-1:], self.p[name + ".weight"], self.p[name + ".bias"], 1e-12)

    def conv(self, conv, norm, z, stride=1, pad=None):
        w, b = self.p[conv + ".weight"], self.p[conv + ".bias"]
        pad = w.shape[-1] // 2 if pad is None else pad
        if w.dim() == 4:
            return F.relu(self.batch_norm(norm, F.conv2d(z, w, b, padding=(0, pad))))
        return F.relu(self.batch_norm(norm, F.conv1d(z, w, b, stride, pad)))

    def spec(self, z):
        z = self.batch_norm("front_end.input_bn", z[:, None]).contiguous(memory_format=self.format)
        mean, h = z.mean(2), []
        for i in range(10):
            at = "front_end.layers.%d" % i
            y = self.conv(at + ".conv", at + ".bn", z if i < 6 else mean)
            h.append(y.amax(2) if i < 6 else y)
        return self.conv("front_end.conv1x1", "front_end.bn", torch.cat(h, 1))

    def encode(self, h):
        b, d, t = h.shape
        h = torch.cat([cls.expand(b, 1, d), h.transpose(1, 2)], 1) + positions(t, d)
        for i in range(layers):
            at = "back_end.encoder.layer.%d." % i
            qkv = self.linear(at + "qkv", h).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
            read = 1 if i == layers - 1 else None  # of the last layer
            a = torch.softmax(qkv[0][:, :, :read] @ qkv[1].transpose(-1, -2) * qkv.shape[-1] ** -0.5, -1)
            a = (F.dropout(a, self.drop[0]) @ qkv[2]).transpose(1, 2).flatten(2)
            h = self.layer_norm(at + "attention.output.LayerNorm",
                                h[:, :read] + F.dropout(self.linear(at + "attention.output.dense", a), self.drop[0]))
            y = self.linear(at + "output.dense", F.gelu(self.linear(at + "intermediate.dense", h)))
            h = self.layer_norm(at + "output.LayerNorm", h + F.dropout(y, self.drop[0]))
        return torch.tanh(self.linear("back_end.pooler.dense", h[:, 0]))

    def raw(self, z):
        pad = 0 if args.model == "tagger/sample-cnn" else 1
        h = self.conv("front_end.init_conv.conv", "front_end.init_conv.bn", z[:, None], 3, pad)
        for where in ("front_end", "back_end"):
            for i in itertools.count():
                at = "%s.convs.%d" % (where, i)
                if at + ".conv.weight" not in self.p:
                    break
                h = F.max_pool1d(self.conv(at + ".conv", at + ".bn", h), 3)
        return self.conv("back_end.conv1x1.conv", "back_end.conv1x1.bn", h).amax(2)

    def forward(self):
        h = self.encode(self.spec(x)) if cls is not None else self.raw(x)
        return self.linear("classifier", F.dropout(h, self.drop[1]))


def positions(t, d):
    j, p = torch.arange(d), torch.arange(1, t + 1)[:, None].double()
    angle = p / 10000 ** (2 * (j // 2) / d)
    return torch.cat([torch.zeros(1, d), torch.where(j % 2 == 0, angle.sin(), angle.cos()).float()])


def trainer(foreach, channels_last, autocast, training=True):
    model = Tagger(training, channels_last)
    adam = torch.optim.Adam(model.p.values(), lr=1e-4, foreach=foreach)

    def step():
        adam.zero_grad(set_to_none=True)
        with mixed_precision(torch, autocast):
            y = model.forward()
        loss = F.binary_cross_entropy_with_logits(y.float(), labels)
        loss.backward()
        adam.step()
        return float(loss.detach())
    return model.p, step, model


tell_memory(lambda: trainer(False, False, False))
_, step, model = trainer(False, False, False, False)
with torch.no_grad():
    errors = [agree("logits", logits, model.forward(), MOST)]
errors.append(agree("losses of three steps", losses, torch.tensor([step() for _ in range(3)]), MOST))
del model, step
variants = {"adam loop": trainer(False, False, False)[1], "adam foreach": trainer(True, False, False)[1]}
if cls is not None:
    variants["adam loop channels-last"] = trainer(False, True, False)[1]
if args.autocast:
    variants["adam loop autocast"] = trainer(False, False, True)[1]
best, step = fastest(variants)
serve(step, "agreement %.1e %.1e %s" % (*errors, best))
