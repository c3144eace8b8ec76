"""What the peers share: their options, the file that etude-bench wrote, working as their standard input says."""
import argparse
import contextlib
import ctypes
import gc
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
    parser.add_argument("--precision", choices=("best", "float32"), default="best",
                        help="best: a row \"-bf16\" takes automatic mixed precision where that is faster (default)")
    args = parser.parse_args()
    args.mixed = args.model.endswith("bf16")  # etude-bench multiplies bfloat16
    args.autocast = args.mixed and args.precision == "best"
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


def agree(what, ours, theirs, most):
    """-> the largest difference relative to the largest number of theirs; where that is above most, the end."""
    error = float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max())
    if not error <= most:
        sys.exit("%s: %s: differs by %.2g relative to the largest" % (os.path.basename(sys.argv[0]), what, error))
    return error


def mixed_precision(torch, on):
    """In a "with": PyTorch's automatic mixed precision, or nothing."""
    return torch.cpu.amp.autocast() if on else contextlib.nullcontext()


def megabytes(field):
    """Resident memory: VmRSS, that of now; VmHWM, the most since clear_refs was written."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field)) / 1024


def tell_memory(make):
    """make() -> (_, step, ..). Where bench/compare asks for it (it has malloc give every large block back at once, so
    that resident memory is what is in use): prints the MiB that a step takes more, at most, than what is there between
    two of them, which is weights, gradients, moments, batch and what the libraries keep; and ends the program."""
    if "ETUDE_TELL_MEMORY" not in os.environ:
        return
    step, beyond = make()[1], []
    for _ in range(3):
        step()
    for _ in range(3):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
        before = megabytes("VmRSS")
        step()
        beyond.append(megabytes("VmHWM") - before)
    print("ready, %.1f MiB beyond" % sorted(beyond)[1])
    sys.exit()


def cpu_seconds(step, times):
    """A step's median time by the processor's clock."""
    spent = []
    for _ in range(times):
        begin = time.process_time()
        step()
        spent.append(time.process_time() - begin)
    return sorted(spent)[times // 2]


def fastest(variants, times=3):
    """name -> step: (the quickest's name, its step); the others are given up, and with them their memory."""
    best = min(variants, key=lambda name: cpu_seconds(variants[name], times))
    step = variants.pop(best)
    variants.clear()
    return best, step


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
