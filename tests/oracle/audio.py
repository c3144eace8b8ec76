"""Writes tests/fixtures/audio/: small sound files as SciPy, Python's own modules and sox write them, the
tables of G.711, and resampled noise.

Sample k (frame by frame, channel by channel) of a file is (5 k - 22) / 32, k = 0 .. 9, in two channels of
five frames at 22050 Hz, which every PCM width holds exactly. g711.au files hold the bytes 0 .. 255."""
import aifc
import audioop
import os
import subprocess
import sunau
import wave

import numpy as np
import torch
from scipy.io import wavfile

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "audio")
os.makedirs(out, exist_ok=True)
values = (5 * np.arange(10) - 22) / 32.0
frames = values.reshape(5, 2)
RATE = 22050


def path(name):
    return os.path.join(out, name)


def pcm(width, big=False):
    raw = b""
    for v in values:
        raw += int(v * 2 ** (8 * width - 1)).to_bytes(width, "big" if big else "little", signed=True)
    return raw


# SciPy: the byte is unsigned.
wavfile.write(path("u8.wav"), RATE, (frames * 128 + 128).astype(np.uint8))
wavfile.write(path("s16.wav"), RATE, (frames * 2 ** 15).astype(np.int16))
wavfile.write(path("s32.wav"), RATE, (frames * 2.0 ** 31).astype(np.int32))
wavfile.write(path("f32.wav"), RATE, frames.astype(np.float32))
wavfile.write(path("f64.wav"), RATE, frames)

with wave.open(path("s24.wav"), "wb") as f:
    f.setnchannels(2)
    f.setsampwidth(3)
    f.setframerate(RATE)
    f.writeframes(pcm(3))

for width in 1, 2, 3, 4:
    with sunau.open(path("s%d.au" % (8 * width)), "wb") as f:
        f.setnchannels(2)
        f.setsampwidth(width)
        f.setframerate(RATE)
        f.setcomptype("NONE", "")
        f.writeframesraw(pcm(width, big=True))
    with aifc.open(path("s%d.aiff" % (8 * width)), "wb") as f:
        f.aiff()
        f.setnchannels(2)
        f.setsampwidth(width)
        f.setframerate(RATE)
        f.writeframesraw(pcm(width, big=True))

with aifc.open(path("s16.aifc"), "wb") as f:
    f.aifc()
    f.setnchannels(2)
    f.setsampwidth(2)
    f.setframerate(RATE)
    f.writeframesraw(pcm(2, big=True))
with aifc.open(path("sowt.aifc"), "wb") as f:
    f.aifc()
    f.setnchannels(2)
    f.setsampwidth(2)
    f.setframerate(RATE)
    f.setcomptype(b"sowt", b"")
    f.writeframesraw(pcm(2, big=True))
for law in "alaw", "ulaw":
    with aifc.open(path(law + ".aifc"), "wb") as f:
        f.aifc()
        f.setnchannels(2)
        f.setsampwidth(2)
        f.setframerate(RATE)
        f.setcomptype(law.encode(), b"")
        f.writeframesraw(pcm(2)) # the codec wants the machine's own order


def sox(name, *options):
    subprocess.run(["sox", "-D", path("f32.wav")] + list(options) + [path(name)], check=True)


sox("extensible24.wav", "-b", "24")
sox("alaw.wav", "-e", "a-law")
sox("mulaw.wav", "-e", "mu-law")
sox("alaw.au", "-e", "a-law")
sox("mulaw.au", "-e", "mu-law")
sox("f32.au", "-e", "floating-point", "-b", "32")
sox("f64.au", "-e", "floating-point", "-b", "64")
sox("little16.au", "-L", "-b", "16")
sox("f32.aifc", "-e", "floating-point", "-b", "32")
sox("f64.aifc", "-e", "floating-point", "-b", "64")

# What G.711's codes stand for, on the scale of 16 bits.
codes = bytes(range(256))
with open(path("g711.csv"), "w") as f:
    f.write("code,alaw,mulaw\n")
    a = np.frombuffer(audioop.alaw2lin(codes, 2), np.int16)
    u = np.frombuffer(audioop.ulaw2lin(codes, 2), np.int16)
    for k in range(256):
        f.write("%d,%d,%d\n" % (k, a[k], u[k]))
for number, law in (27, "alaw"), (1, "mulaw"):
    with open(path("g711-%s.au" % law), "wb") as f:
        f.write(b".snd" + b"".join(int(v).to_bytes(4, "big") for v in (24, 256, number, 8000, 1)) + codes)


# Resampling as a strided convolution over all phases at once, in float64 (torchaudio's way of it).
def resample(x, old, new, zeros=6, roll_off=0.99):
    g = int(np.gcd(old, new))
    old, new = old // g, new // g
    base = min(old, new) * roll_off
    width = int(np.ceil(zeros * old / base))
    t = torch.arange(-width, width + old, dtype=torch.float64)[None] / old
    t = (t + torch.arange(0, -new, -1, dtype=torch.float64)[:, None] / new) * base
    t = t.clamp(-zeros, zeros)
    kernel = torch.sinc(t) * torch.cos(t * np.pi / zeros / 2) ** 2 * base / old
    padded = torch.nn.functional.pad(torch.from_numpy(x)[None, None], (width, width + old))
    y = torch.nn.functional.conv1d(padded, kernel[:, None], stride=old)[0].T.reshape(-1)
    return y[: -(-new * len(x) // old)].numpy()


n = np.arange(300, dtype=np.int64)
noise = ((n * 7919 + n * n * 31) % 1000 / 1000.0 - 0.5).astype(np.float32).astype(np.float64)
for old, new in ((44100, 16000), (48000, 16000), (22050, 16000), (44100, 48000), (22050, 48000), (16000, 44100),
                 (8000, 16000), (44101, 16000)):
    np.save(path("resample-%d-%d.npy" % (old, new)), resample(noise, old, new).astype(np.float32))
