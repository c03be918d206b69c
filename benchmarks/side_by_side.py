"""What the scripts that run whole programs side by side share: rounds that alternate, medians, and a table.

A program that is missing is named with the package that has it; the others are measured all the same.
"""

import argparse
import shutil
import statistics
import sys


def parser_of(description, rounds):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds, in each of which everybody has a turn ({rounds})")
    return parser


def find(program, package):
    """The program's path; None, and a word about it, when it is not installed."""
    path = shutil.which(program)
    if path is None:
        print(f"{program} is not installed (package {package}): left out", file=sys.stderr)
    return path


def measure(contenders, rounds):
    """Calls each of {name: function} once a round; answers {name: [results]}."""
    results = {name: [] for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            results[name].append(run())
        line = ", ".join(f"{name} {values[-1]:.4g}" for name, values in results.items())
        print(f"round {number + 1}: {line}", file=sys.stderr)
    return results


def table(title, results, ours, unit, larger_is_better):
    """The medians, and ours over everybody else's: above 1 means that ours is ahead."""
    medians = {name: statistics.median(values) for name, values in results.items()}
    lines = [title]
    for name, median in medians.items():
        ahead = medians[ours] / median if larger_is_better else median / medians[ours]
        beside = "" if name == ours else f"  {ours} is {ahead:.2f} times as fast"
        lines.append(f"  {name:<18} {median:>12.4g} {unit}{beside}")
    return "\n".join(lines)
