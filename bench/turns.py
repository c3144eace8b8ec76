"""What bench/compare and bench/compare-audio share: programs that stand ready and work in turns."""
import glob
import os
import shutil
import statistics
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")


def count(text):
    """The value of an option as a number from 1 on."""
    n = int(text)
    if n < 1:
        raise ValueError(text)
    return n


def counts(text):
    """The same of a list: 1,2,..."""
    return [count(t) for t in text.split(",")]


def seconds(text):
    """A time as the benches take it; comparing with NaN fails."""
    t = float(text)
    if not 0 < t <= 1e6:
        raise ValueError(text)
    return t


def find_python(wanted, module):
    """An interpreter with the module: the one that is wanted, or the first of the usual ones."""
    for p in [wanted] if wanted else ["python3", "/usr/bin/python3"]:
        p = shutil.which(p)
        if p and subprocess.run([p, "-c", "import " + module], capture_output=True).returncode == 0:
            return p
    sys.exit("compare: no python3 with %s (Debian: python3-%s)" % (module, module))


def peer_environment(libs):
    """What makes PyTorch fastest, and the words that say so; libs: a folder to look in first, or ''."""
    env, used = dict(os.environ), []
    for d in [d for d in [libs] if d] + glob.glob("/usr/lib/*-linux-gnu") + ["/usr/lib"]:
        blas, tc = os.path.join(d, "openblas-openmp"), glob.glob(os.path.join(d, "libtcmalloc_minimal.so.*"))
        if os.path.isdir(blas) and "OpenBLAS-openmp" not in used:
            env["LD_LIBRARY_PATH"] = ":".join(p for p in (blas, env.get("LD_LIBRARY_PATH")) if p)
            used.append("OpenBLAS-openmp")
        if tc and "tcmalloc" not in used:
            env["LD_PRELOAD"] = sorted(tc)[0]
            used.append("tcmalloc")
    return env, used


class Server:
    """A program that works for as many seconds as it is told."""

    def __init__(self, command, env=None):
        self.p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.greeting = self.p.stdout.readline().strip()
        if not self.greeting.startswith("ready"):
            sys.exit("compare: %s failed" % " ".join(command))

    def turn(self, seconds):
        """-> (median wall, least wall, mean cpu) seconds of a step, and the cores that others used meanwhile."""
        b0, t0, own0 = busy(), time.perf_counter(), used(self.p.pid)
        self.p.stdin.write("%g\n" % seconds)
        self.p.stdin.flush()
        answer = self.p.stdout.readline().split()
        if len(answer) != 4:
            sys.exit("compare: %s ended" % self.p.args[0])
        others = ((busy() - b0) - (used(self.p.pid) - own0)) / (time.perf_counter() - t0)
        return [float(v) for v in answer[1:]] + [max(0.0, others)]

    def end(self):
        self.p.stdin.close()
        self.p.wait()


def busy():
    """Seconds that all processors together have worked, or 0 where the system does not tell."""
    try:
        with open("/proc/stat") as f:
            v = [int(x) for x in f.readline().split()[1:9]]
        return (v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / TICK
    except OSError:
        return 0.0


def used(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            v = f.read().rsplit(")", 1)[1].split()
        return (int(v[11]) + int(v[12])) / TICK
    except OSError:
        return 0.0


def median(values):
    return statistics.median(values) if values else float("nan")


def percentile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]
