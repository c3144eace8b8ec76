#!/usr/bin/python3
"""The Transformer in PyTorch: writes ../fixtures/encoder_decoder.safetensors.

Two cases, post (post-norm) and pre (pre-norm): the weights of torch.nn.Transformer and of the shared embedding in
float64 under the names of its state dict, source and target tokens, source lengths, logits, the loss with label
smoothing 0.1, and every gradient under grad/."""
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors_io

V, D, H, FF, LAYERS, B, S, T, PAD = 7, 8, 2, 12, 2, 3, 5, 4, 0

torch.set_default_dtype(torch.float64)


def positions(n):
    angle = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, D, 2) / D)
    return torch.stack((angle.sin(), angle.cos()), -1).reshape(n, D)


def case(name, norm_first, out):
    torch.manual_seed(5)
    net = torch.nn.Transformer(D, H, LAYERS, LAYERS, FF, dropout=0.0, batch_first=True, norm_first=norm_first)
    embedding = torch.nn.Parameter(torch.randn(V, D) * 0.4)
    for p in net.parameters():
        torch.nn.init.normal_(p, 0.1, 0.4)
    source, target = torch.randint(1, V, (B, S)), torch.randint(1, V, (B, T + 1))
    lengths = torch.tensor([5, 2, 4])
    target[1, 3:] = PAD
    padding = torch.arange(S)[None] >= lengths[:, None]
    embed = lambda ids: F.embedding(ids, embedding) * math.sqrt(D) + positions(ids.shape[1])
    given, wanted = target[:, :-1], target[:, 1:]
    states = net(embed(source), embed(given), tgt_mask=net.generate_square_subsequent_mask(T),
                 src_key_padding_mask=padding, memory_key_padding_mask=padding)
    logits = states @ embedding.T
    loss = F.cross_entropy(logits.reshape(-1, V), wanted.reshape(-1), ignore_index=PAD, label_smoothing=0.1)
    loss.backward()
    named = dict(net.named_parameters(), **{"embedding.weight": embedding})
    for key, p in named.items():
        out[f"{name}/{key}"] = p.detach().numpy()
        out[f"{name}/grad/{key}"] = p.grad.numpy()
    for key, ids in (("source", source), ("target", target), ("lengths", lengths)):
        out[f"{name}/{key}"] = ids.numpy().astype(np.int32)
    out[f"{name}/logits"] = logits.detach().numpy()
    out[f"{name}/loss"] = loss.detach().numpy()


tensors = {}
case("post", False, tensors)
case("pre", True, tensors)
folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
safetensors_io.write(os.path.join(folder, "encoder_decoder.safetensors"), tensors, {"made by": "encoder_decoder.py, PyTorch " + torch.__version__})
