#!/usr/bin/env python3
"""The training step of "etude-bench --model NAME" in PyTorch: same model, weights, batch, loss,
clipping and optimiser. bench/compare runs it; it installs nothing.

PyTorch at its best (measured): denormals flushed, time-major input (nn.GRU's own layout), the
Adam variant (loop or foreach) that is faster here, the thread count set for every library; compare
puts an OpenMP build of OpenBLAS and tcmalloc in front where they are installed.

--reference FILE is what etude-bench --save wrote. Logits, the first loss and the losses of five
training steps must agree with it to 1e-4 before anything is timed. Then each line of standard
input, a number of seconds, is answered as in serving.py.
"""
import sys

sys.dont_write_bytecode = True
from serving import agree, arguments, fastest, prepared_torch, read_tensors, serve, tell_memory  # noqa: E402

args = arguments(__doc__)
torch = prepared_torch(args.threads)
from torch import nn  # noqa: E402


class Classifier(nn.Module):
    """x [T, B, F] -> logits [B, K]"""

    def __init__(self, cell, tensors):
        super().__init__()
        gates = {"gru": 3, "lstm": 4, "rnn": 1}[cell]
        hidden = tensors["rnn.weight_hh_l0"].shape[0] // gates
        width = tensors["attention.W.weight"].shape[0]
        layer = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}[cell]
        self.rnn = layer(tensors["rnn.weight_ih_l0"].shape[1], hidden)
        self.attention = nn.ModuleDict({"W": nn.Linear(hidden, width), "v": nn.Linear(width, 1, bias=False)})
        self.classifier = nn.Linear(hidden, tensors["classifier.weight"].shape[0])
        self.load_state_dict({k: v for k, v in tensors.items() if k in self.state_dict()})

    def forward(self, x):
        h, _ = self.rnn(x)
        alpha = torch.softmax(self.attention["v"](torch.tanh(self.attention["W"](h))), 0)
        return self.classifier((alpha * h).sum(0))


tensors = read_tensors(torch, args.reference)
cell = args.model.split("/")[1]
x = tensors["x"].transpose(0, 1).contiguous()
labels = tensors["labels"].long()


def trainer(foreach):
    model = Classifier(cell, tensors)
    params = list(model.parameters())
    adam = torch.optim.Adam(params, lr=1e-3, foreach=foreach)

    def step():
        adam.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        adam.step()
        return loss

    return dict(model.named_parameters()), step, model


tell_memory(lambda: trainer(False))
_, step, model = trainer(False)
with torch.no_grad():
    errors = [agree("logits", tensors["logits"], model(x), 1e-4)]
errors.append(agree("losses of five steps", tensors["losses"], torch.tensor([float(step()) for _ in range(5)]), 1e-4))

best, step = fastest({"adam loop": trainer(False)[1], "adam foreach": trainer(True)[1]}, 12)
serve(step, "agreement %.1e %.1e %s" % (*errors, best))
