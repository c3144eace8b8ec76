"""Reference values of spectra: writes spectra.csv into the folder given (default: tests/fixtures).

Transforms are PyTorch's and SciPy's in float64, windows and the cosine transform SciPy's. Filter banks
and front ends are written down here once more, by their definitions, with dense matrices in float64.
The signal is a generator's integers and a sine, the same as in tests/spectra_signal.h."""
import csv
import sys

import numpy as np
import scipy.fft
import scipy.signal
import torch

out = sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures"
rows = []


def signal(n):
    state, x = 12345, np.empty(n)
    for j in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        x[j] = 0.25 * ((state >> 8) / 2**23 - 1) + 0.5 * np.sin(0.05 * j)
    return x.astype(np.float32).astype(np.float64)


def keep(what, table, rows_, columns):
    for i in rows_:
        for j in columns:
            rows.append((what, i, j, "%.10g" % table[i, j]))


# windows
for name in ("hann", "hamming", "blackman"):
    table = np.stack([scipy.signal.get_window(name, 11, fftbins=True), scipy.signal.get_window(name, 11, fftbins=False)])
    keep("window/" + name, table, (0, 1), range(0, 11, 2))

# transforms of whole signals
for n in (360, 509, 1021, 1024, 2002):
    X = scipy.fft.rfft(signal(n))
    keep("fft/%d" % n, np.stack([X.real, X.imag]), (0, 1), (0, 1, 7, n // 3, n // 2 - 1, n // 2))

# short-time transforms
for name, n_fft, frame, hop, window, center in (("centred", 64, 64, 16, "hann", True), ("odd", 45, 30, 10, "hamming", True),
                                                ("inside", 100, 100, 33, "blackman", False)):
    w = torch.from_numpy(scipy.signal.get_window(window, frame, fftbins=True))
    X = torch.stft(torch.from_numpy(signal(1000)), n_fft, hop, frame, window=w, center=center, pad_mode="reflect",
                   return_complex=True).numpy().T
    table = np.stack([X.real, X.imag], -1).reshape(len(X), -1)
    keep("stft/" + name, table, (0, 1, len(X) // 2, len(X) - 1), (0, 2, 3, 14, 15, n_fft // 2 * 2 - 2, n_fft // 2 * 2))
    rows.append(("frames/" + name, 0, 0, len(X)))

# cepstra
x = signal(120).reshape(6, 20)
keep("mfcc", scipy.fft.dct(x, type=2, norm="ortho")[:, :13], (0, 5), (0, 1, 5, 12))


def mel_points(bank, n, low, high):
    if bank == "slaney":
        def to(f):
            return 3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

        def back(m):
            return np.where(m < 15, 200 * m / 3, 1000 * np.exp((m - 15) * np.log(6.4) / 27))
    else:
        def to(f):
            return 2595 * np.log10(1 + f / 700)

        def back(m):
            return 700 * (10 ** (m / 2595) - 1)
    p = np.linspace(to(low), to(high), n + 2)
    return p, back(p)


def mel_matrix(bank, n, rate, n_fft, low, high):
    mels, hz = mel_points(bank, n, low, high)
    f = np.arange(n_fft // 2 + 1) * rate / n_fft
    p = hz
    if bank == "kaldi":
        f, p = 2595 * np.log10(1 + f / 700), mels
    rise = (f[None] - p[:-2, None]) / (p[1:-1, None] - p[:-2, None])
    fall = (p[2:, None] - f[None]) / (p[2:, None] - p[1:-1, None])
    m = np.maximum(0, np.minimum(rise, fall))
    if bank == "slaney":
        m *= 2 / (p[2:] - p[:-2])[:, None]
    if bank == "kaldi":
        m[:, -1] = 0
    return m


for bank, n, rate, n_fft, low, high in (("slaney", 96, 16000, 512, 0, 8000), ("htk", 40, 22050, 1024, 30, 11000),
                                        ("kaldi", 128, 16000, 512, 20, 8000)):
    m = mel_matrix(bank, n, rate, n_fft, low, high)
    i = range(0, n, 9)
    for r in i:
        top = int(m[r].argmax())
        for c in (top, top + 1):
            if c < m.shape[1]:
                rows.append(("mel/" + bank, r, c, "%.10g" % m[r, c]))
    rows.append(("melsum/" + bank, 0, 0, "%.10g" % m.sum()))


def power_frames(x, frame, n_fft, hop, ends, symmetric=False, kaldi=False):
    if ends == "centred":
        x = np.pad(x, n_fft // 2, mode="reflect")
        count = 1 + (len(x) - n_fft) // hop
    elif ends == "inside":
        count = 1 + (len(x) - frame) // hop
    else:
        count = -(-len(x) // hop)
        x = np.concatenate([x, np.zeros(frame)])
    w = scipy.signal.get_window("hann", frame, fftbins=not symmetric)
    P = []
    for t in range(count):
        begin = t * hop + ((n_fft - frame) // 2 if ends == "centred" else 0)
        f = x[begin:begin + frame]
        if kaldi:
            f = f - f.mean()
            f = f - 0.97 * np.concatenate([f[:1], f[:-1]])
        P.append(np.abs(np.fft.rfft(f * w, n_fft)) ** 2)
    return np.array(P)


def power_db(x):
    return 10 * np.log10(np.maximum(x, 1e-10))


def raised(x):
    return np.maximum(x, x.max() - 80)


x = signal(16000)
ast = np.log(np.maximum(power_frames(x, 400, 512, 160, "inside", True, True) @
                        mel_matrix("kaldi", 128, 16000, 512, 20, 8000).T, 1.1920929e-7))
won = power_frames(x, 512, 512, 256, "centred")
fbank = mel_matrix("slaney", 96, 16000, 512, 0, 8000).T
clap = power_frames(x, 1024, 1024, 480, "centred")
google = power_frames(x, 400, 512, 160, "padded")
fronts = {
    "won96": raised(20 * np.log10(np.maximum(won @ fbank, 1e-5))),
    "won96:power": raised(power_db(won @ fbank)),
    "ast128": (ast + 4.2677393) / (2 * 4.5689974),
    "ast128:log": ast,
    "laion64": power_db(clap @ mel_matrix("slaney", 64, 48000, 1024, 50, 14000).T),
    "laion64:htk": power_db(clap @ mel_matrix("htk", 64, 48000, 1024, 50, 14000).T),
    "ms64": power_db(power_frames(x, 1024, 1024, 320, "centred") @ mel_matrix("slaney", 64, 44100, 1024, 50, 14000).T),
    "mulan": np.log(np.maximum(google @ mel_matrix("htk", 64, 16000, 512, 60, 7800).T, 1e-6)),
    "mulan:128": np.log(np.maximum(google @ mel_matrix("htk", 128, 16000, 512, 60, 7800).T, 1e-6)),
    "mulan:power": power_frames(x, 24, 128, 12, "centred"),
    "vit129": power_db(power_frames(x, 256, 256, 256, "inside")),
    "mel96": (power_db(power_frames(x, 2048, 2048, 1024, "centred") @
                       mel_matrix("htk", 96, 22050, 2048, 30, 11025).T) + 60) / 110,
    "rnn64": power_db(won @ mel_matrix("slaney", 64, 16000, 512, 0, 8000).T),
}
for name, table in fronts.items():
    frames, bins = table.shape
    keep("front/" + name, table, (0, 1, frames // 2, frames - 1), (0, 1, bins // 3, bins // 2, bins - 2, bins - 1))
    rows.append(("frames/" + name, 0, 0, frames))

with open(out + "/spectra.csv", "w", newline="") as f:
    w = csv.writer(f, lineterminator="\n")
    w.writerow(["what", "row", "column", "value"])
    w.writerows(rows)
