"""What the peers share: working as their standard input says."""
import sys
import time


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
