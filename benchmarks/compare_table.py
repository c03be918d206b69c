"""From measurements to the table of ratios. Nothing here runs a program.

Ratios are taken within a round, where both sides met the same state of the machine; the table shows their median and their range.
"""

import statistics

from compare_rows import MemoryRow, is_single_threaded


class Samples:
    """Nanoseconds per operation, counters and errors of each contender, one value per round."""

    def __init__(self, cpu_time=False):
        """With cpu_time: the calling thread's processor time, of the contenders that need no other thread."""
        self._cpu_time = cpu_time
        self.times = {}
        self.counters = {}
        self.errors = {}

    def add_report(self, report):
        """Takes in the JSON report of one program in one round."""
        for run in report["benchmarks"]:
            # What Google Benchmark appends (real_time, threads:2) is no part of the name.
            name = "/".join(run["name"].split("/")[:2])
            if run.get("error_occurred"):
                self.errors[name] = run.get("error_message", "failed")
                continue
            nanoseconds = 1e9 / run["items_per_second"]
            if not self._cpu_time:
                self.times.setdefault(name, []).append(nanoseconds)
            elif is_single_threaded(name):
                self.times.setdefault(name, []).append(nanoseconds * run["cpu_time"] / run["real_time"])
            for counter, value in run.items():
                if counter.startswith("bytes_per_") and counter.endswith("_ring"):
                    self.counters.setdefault((name, counter), []).append(value)

    def best(self, base):
        """The contender a base stands for; None when it has no measurement."""
        names = [name for name in self.times if name == base or (base.endswith(":") and name.startswith(base))]
        return min(names, key=lambda name: statistics.median(self.times[name]), default=None)

    def ratios(self, name, base):
        return [a / b for a, b in zip(self.times[name], self.times[base])]


def format_time(nanoseconds):
    for unit, size in [("ms", 1e6), ("us", 1e3)]:
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def _verdict(value, limit):
    return "-" if limit is None else "met" if value <= limit else "MISSED"


def _peer_ratios(samples, peers, base):
    shown = []
    for peer in peers:
        if peer in samples.times:
            shown.append(f"{peer.split(':')[1]} {statistics.median(samples.ratios(peer, base)):.2f}")
    return ", ".join(shown)


def _memory_cells(samples, row):
    values = samples.counters.get((row.ours, row.counter))
    if not values:
        return None
    value = statistics.median(values)
    spread = f"{min(values):.0f}..{max(values):.0f}"
    return [row.label, "", f"{value:.0f} B", "", spread, f"<= {row.limit:.0f} B", _verdict(value, row.limit), ""]


def _time_cells(samples, row):
    base = samples.best(row.base)
    if base is None or row.ours not in samples.times:
        return None
    ratios = samples.ratios(row.ours, base)
    ratio = statistics.median(ratios)
    times = [format_time(statistics.median(samples.times[name])) for name in [base, row.ours]]
    target = "-" if row.limit is None else f"<= {row.limit:.3g}"
    spread = f"{min(ratios):.2f}..{max(ratios):.2f}"
    peers = _peer_ratios(samples, row.peers, base)
    return [row.label] + times + [f"{ratio:.2f}", spread, target, _verdict(ratio, row.limit), peers]


HEADER = ["work", "floor", "ours", "ratio", "spread", "target", "verdict", "peers / floor"]


def table(samples, rows):
    """The lines of a Markdown table, padded so that it reads as text as well. Rows without measurements are left out."""
    lines = [HEADER]
    for row in rows:
        cells = _memory_cells(samples, row) if isinstance(row, MemoryRow) else _time_cells(samples, row)
        if cells is not None:
            lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]


def floors(samples, rows):
    """Which variant was the fastest, for every base that left a choice."""
    bases = [row.base for row in rows if not isinstance(row, MemoryRow) and row.base.endswith(":")]
    chosen = {base: samples.best(base) for base in bases}
    return [f"{base.split('/')[0]}: {best.split(':')[1]}" for base, best in chosen.items() if best is not None]
