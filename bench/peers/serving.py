"""What the peers share: their options, the file that etude-bench wrote, working as their standard input says."""
import argparse
import json
import os
import sys
import time


def arguments(doc, peers=None):
    """The command line. The thread count is set for every library: call it before one that has threads is
    imported. With peers, which of them is meant."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if peers:
        parser.add_argument("--peer", choices=peers, required=True)
    parser.add_argument("--model", required=True, help="the row of bench/compare: gtzan/gru, conv/1d-128, audio/won96, ...")
    parser.add_argument("--reference", required=True, metavar="FILE")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    return args


def prepared_torch(threads):
    """PyTorch with its threads set and denormals flushed."""
    import torch
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    return torch


def read_safetensors(path):
    """name -> array"""
    import numpy as np  # here, because it loads OpenBLAS, which reads its number of threads then
    kinds = {"F32": np.float32, "F64": np.float64, "I32": np.int32}
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    return {name: np.frombuffer(data[slice(*e["data_offsets"])], dtype=kinds[e["dtype"]]).reshape(e["shape"]).copy()
            for name, e in header.items() if name != "__metadata__"}


def read_tensors(torch, path):
    """name -> tensor"""
    return {name: torch.from_numpy(a) for name, a in read_safetensors(path).items()}


def serve(step, greeting):
    """Says that it is ready; then each line of standard input, a number of seconds, calls step() for so long.
    The answer is the number of steps and, in seconds, the median by the wall, the shortest, and the mean by the
    processor's clock."""
    print("ready " + greeting, flush=True)
    for line in sys.stdin:
        walls, cpu0, end = [], time.process_time(), time.perf_counter() + float(line)
        while len(walls) < 3 or time.perf_counter() < end:
            begin = time.perf_counter()
            step()
            walls.append(time.perf_counter() - begin)
        cpu = (time.process_time() - cpu0) / len(walls)
        print("%d %.9f %.9f %.9f" % (len(walls), sorted(walls)[len(walls) // 2], min(walls), cpu), flush=True)
