#!/usr/bin/env python3
"""Spectra by PyTorch or SciPy, as "etude-bench --serve --model audio/..." makes them. bench/compare-audio
runs it; it installs nothing.

audio/fft/N: 1024 real transforms of length N, one call each; audio/ffts/N: 64 in a call. audio/won96: 30
seconds of sound to 96 mel bands in decibels, by torch.stft or scipy.fft on frames, and a matrix product;
of the orders in which that can be done, the fastest here is taken.

--reference FILE is what etude-bench --save wrote. Results must agree with it before anything is timed."""
import sys
import time

sys.dont_write_bytecode = True
from serving import arguments, prepared_torch, read_safetensors, serve  # noqa: E402

args = arguments(__doc__, ("torch", "scipy"))
import numpy as np  # noqa: E402

if args.peer == "torch":
    torch = prepared_torch(args.threads)
else:
    import scipy.fft

TRANSFORMS = 1024


def slaney(n, rate, n_fft):
    """The filter bank of won96, [n_fft / 2 + 1, n]"""
    top = 15 + 27 * np.log(rate / 2000) / np.log(6.4)
    m = np.linspace(0, top, n + 2)
    p = np.where(m < 15, 200 * m / 3, 1000 * np.exp((m - 15) * np.log(6.4) / 27))
    f = np.arange(n_fft // 2 + 1)[:, None] * rate / n_fft
    rise, fall = (f - p[:-2]) / (p[1:-1] - p[:-2]), (p[2:] - f) / (p[2:] - p[1:-1])
    return (np.maximum(0, np.minimum(rise, fall)) * 2 / (p[2:] - p[:-2])).astype(np.float32)


def torch_won96(x):
    """-> functions that give [96, frames] or [frames, 96]"""
    x, window, bank = torch.from_numpy(x.copy()), torch.hann_window(512), torch.from_numpy(slaney(96, 16000, 512))
    turned = bank.T.contiguous()

    def power():
        X = torch.stft(x, 512, 256, window=window, center=True, pad_mode="reflect", return_complex=True)
        return torch.view_as_real(X).square().sum(-1)

    def power_abs():
        return torch.stft(x, 512, 256, window=window, center=True, pad_mode="reflect", return_complex=True).abs().square()

    def parts():
        X = torch.stft(x, 512, 256, window=window, center=True, pad_mode="reflect", return_complex=True)
        return X.real.square() + X.imag.square()

    def level(y):
        y = y.clamp_(min=1e-5).log10_().mul_(20)
        return y.clamp_(min=float(y.max()) - 80)

    return {"%s, %s" % (p.__name__, order): (lambda p=p, order=order: level(turned @ p() if order == "bank first" else p().T @ bank))
            for p in (power, power_abs, parts) for order in ("bank first", "frames first")}


def scipy_won96(x):
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)).astype(np.float32)
    bank = slaney(96, 16000, 512)

    def run():
        padded = np.pad(x, 256, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::256]
        X = scipy.fft.rfft(frames * window, workers=args.threads)
        y = 20 * np.log10(np.maximum((X.real ** 2 + X.imag ** 2) @ bank, np.float32(1e-5)))
        return np.maximum(y, y.max() - 80)

    return {"frames": run}


def transforms(x, together):
    n = len(x)
    if args.peer == "torch":
        rows = torch.from_numpy(x.copy())
        rfft = torch.fft.rfft
    else:
        rows = x.copy()
        rfft = scipy.fft.rfft

    def run():
        for _ in range(TRANSFORMS // n):
            if together:
                y = rfft(rows)
            else:
                for row in rows:
                    rfft(row)
        return y if together else rfft(rows)

    return {"": run}


tensors = read_safetensors(args.reference)
x, want = tensors["x"], tensors["y"]
if args.model == "audio/won96":
    variants = torch_won96(x) if args.peer == "torch" else scipy_won96(x)
else:
    variants = transforms(x, args.model.startswith("audio/ffts/"))

best, least, error = None, float("inf"), 0
for name, step in variants.items():
    y = np.asarray(step())
    y = np.stack([y.real, y.imag], -1).reshape(want.shape) if np.iscomplexobj(y) else y if y.shape == want.shape else y.T
    error = max(error, float(np.abs(y - want).max() / np.abs(want).max()))
    for _ in range(5):
        begin = time.process_time()
        step()
        spent = time.process_time() - begin
        if spent < least:
            best, least = name, spent
if not error <= 1e-5:
    sys.exit("spectra.py: %s differs by %.2g relative to the largest" % (args.model, error))
step = variants[best]
serve(step, "agreement %.1e %s" % (error, best))
