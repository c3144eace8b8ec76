"""Reference values of the metrics, by scikit-learn: writes metrics-input.csv and
metrics-expected.csv into the folder given (default: tests/fixtures).

A hundred items, five classes, four tags. Scores are rounded to two places so that ties
occur; the fourth tag has no positive item and is left out of the means."""
import csv
import sys

import numpy as np
from sklearn import metrics

out = sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures"
rng = np.random.default_rng(7)
N, K, TAGS = 100, 5, 4

truth = rng.integers(0, K, N)
logits = rng.normal(size=(N, K)) + 1.2 * np.eye(K)[truth]
prob = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
prob = np.round(prob, 2)
prob[:, 0] += 1 - prob.sum(1)
prob = np.clip(np.round(prob, 2), 0.01, 1).astype(np.float32)
labels = (rng.random((N, TAGS)) < [0.1, 0.5, 0.8, 0.0]).astype(int)
tags = np.round(rng.normal(size=(N, TAGS)) + labels, 1).astype(np.float32)

with open(out + "/metrics-input.csv", "w", newline="") as f:
    w = csv.writer(f, lineterminator="\n")
    w.writerow(["truth"] + ["p%d" % k for k in range(K)] + ["s%d" % t for t in range(TAGS)] + ["t%d" % t for t in range(TAGS)])
    for i in range(N):
        w.writerow([truth[i]] + ["%.2f" % v for v in prob[i]] + ["%.1f" % v for v in tags[i]] + list(labels[i]))

pred = prob.argmax(1)
rows = [
    ("accuracy", metrics.accuracy_score(truth, pred)),
    ("f1_macro", metrics.f1_score(truth, pred, average="macro")),
    ("f1_micro", metrics.f1_score(truth, pred, average="micro")),
    ("precision_macro", metrics.precision_score(truth, pred, average="macro")),
    ("recall_macro", metrics.recall_score(truth, pred, average="macro")),
    ("log_loss", -np.mean(np.log(prob[np.arange(N), truth].astype(np.float64)))),
]
for k, v in enumerate(metrics.f1_score(truth, pred, average=None)):
    rows.append(("f1_%d" % k, v))
c = metrics.confusion_matrix(truth, pred)
for i in range(K):
    for j in range(K):
        rows.append(("confusion_%d_%d" % (i, j), c[i, j]))
# top_k_accuracy_score breaks ties by class order from the end, so it is counted here by
# the definition: a stable descending order.
order = np.argsort(-prob, axis=1, kind="stable")
for k in (1, 2, 3):
    rows.append(("top_%d" % k, np.mean([truth[i] in order[i, :k] for i in range(N)])))
aucs = [metrics.roc_auc_score(labels[:, t], tags[:, t]) for t in range(3)]
aps = [metrics.average_precision_score(labels[:, t], tags[:, t]) for t in range(3)]
for t in range(3):
    rows.append(("auc_%d" % t, aucs[t]))
    rows.append(("ap_%d" % t, aps[t]))
rows.append(("roc_auc", np.mean(aucs)))
rows.append(("pr_auc", np.mean(aps)))
with open(out + "/metrics-expected.csv", "w", newline="") as f:
    w = csv.writer(f, lineterminator="\n")
    w.writerow(["name", "value"])
    for name, v in rows:
        w.writerow([name, repr(float(v))])
