"""Writes and reads safetensors files with NumPy alone."""
import json
import struct

import numpy as np

NAMES = {np.dtype("float64"): "F64", np.dtype("float32"): "F32", np.dtype("int64"): "I64", np.dtype("int32"): "I32",
         np.dtype("uint8"): "U8"}


def write(path, tensors, metadata):
    """tensors: name -> array of one of the types above."""
    header, at = {"__metadata__": metadata}, 0
    arrays = {name: np.asarray(a, order="C") for name, a in tensors.items()}  # keeps scalars 0-dimensional
    for name, a in arrays.items():
        header[name] = {"dtype": NAMES[a.dtype], "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in arrays.values():
            f.write(a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes())


def read(path):
    """name -> array, mapped from the file."""
    types = {v: np.dtype(k).newbyteorder("<") for k, v in ((str(k), v) for k, v in NAMES.items())}
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
    header.pop("__metadata__", None)
    return {name: np.memmap(path, types[e["dtype"]], "r", 8 + n + e["data_offsets"][0], tuple(e["shape"]) or (1,))
            for name, e in header.items()}
