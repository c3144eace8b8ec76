#!/usr/bin/python3
"""How hard is a corpus of clips?  Classifies them by band statistics.

  corpus_baseline.py DIR [--splits N]

DIR is a tree of genres, DIR/GENRE/GENRE.SONG.CLIP.wav, as `music-data make-corpus` writes it. A clip's features are the mean
and the standard deviation over time of 40 log mel bands. A random forest and a logistic regression are
trained on three fifths of the songs and judged on the others, N times; both should get between 0.5 and
0.9: neither hopeless nor trivial. Needs numpy, scipy and sklearn.
"""
import argparse
import glob
import os

import numpy as np
import scipy.io.wavfile
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

WINDOW, HOP, BANDS = 1024, 512, 40


def mel_bank(rate):
    def hz(mel):
        return 700 * (np.exp(mel / 1127) - 1)

    edges = hz(np.linspace(0, 1127 * np.log(1 + rate / 2 / 700), BANDS + 2))
    f = np.arange(WINDOW // 2 + 1) * rate / WINDOW
    up = (f - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - f) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(up, down))


def features(path):
    rate, x = scipy.io.wavfile.read(path)
    x = x.astype(np.float64)
    if x.ndim == 2:
        x = x.mean(axis=1)
    if np.abs(x).max() > 2:
        x /= 32768
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames)) ** 2
    bands = 10 * np.log10(power @ mel_bank(rate).T + 1e-8)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0)])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("dir")
    p.add_argument("--splits", type=int, default=5)
    a = p.parse_args()
    paths = sorted(glob.glob(os.path.join(a.dir, "*", "*.wav")))
    x = np.array([features(path) for path in paths])
    y = np.array([os.path.basename(os.path.dirname(path)) for path in paths])
    songs = np.array([os.path.basename(path).rsplit(".", 2)[0] for path in paths])
    models = {
        "random forest": lambda s: RandomForestClassifier(300, random_state=s),
        "logistic regression": lambda s: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
    }
    print(f"{len(paths)} clips, {len(set(songs))} songs, {len(set(y))} genres, {x.shape[1]} features")
    for name, make in models.items():
        scores, single = [], []
        splits = GroupShuffleSplit(a.splits, test_size=0.4, random_state=0).split(x, y, songs)
        for s, (train, test) in enumerate(splits):
            model = make(s).fit(x[train], y[train])
            scores.append(model.score(x[test], y[test]))
        print(f"{name:20s} accuracy {np.mean(scores):.3f} +- {np.std(scores):.3f}")
    best = max(
        np.mean([RandomForestClassifier(30, random_state=0).fit(x[train][:, [f]], y[train]).score(x[test][:, [f]], y[test])
                 for train, test in GroupShuffleSplit(1, test_size=0.4, random_state=0).split(x, y, songs)])
        for f in range(x.shape[1]))
    print(f"best single feature  accuracy {best:.3f}")


main()
