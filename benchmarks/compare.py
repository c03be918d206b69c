#!/usr/bin/env python3
"""Runs every benchmark and prints the ratios: ours over liburing by hand, and over what one would use instead.

    ./bazelw run -c opt //benchmarks:compare
    ./bazelw run -c opt //benchmarks:compare -- --repetitions 9 --filter 'cached|NOP'

Each round runs every program once, forward and backward in turn, so that drift of the machine meets all contenders alike.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import compare_rows
import compare_table

# Not resolved: in Bazel's output tree this is a link, and the programs lie beside the link.
BESIDE = os.path.dirname(os.path.abspath(sys.argv[0]))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="rounds; the table shows medians (default: 5)")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only the lines of the table whose work matches")
    parser.add_argument("--min-time", type=float, default=0.1, metavar="SECONDS", help="per contender and round (default: 0.1)")
    directory = os.environ.get("AGENTOS_BENCH_DIR")
    parser.add_argument("--dir", default=directory, help="for the files on disk (default: $TMPDIR or /tmp)")
    cpu_time_help = "the caller's processor time in place of the wall clock, where it is the only thread: for a busy machine"
    parser.add_argument("--cpu-time", action="store_true", help=cpu_time_help)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
    arguments = parser.parse_args()
    if arguments.repetitions < 1:
        parser.error("--repetitions must be at least 1")
    try:
        arguments.filter = re.compile(arguments.filter, re.IGNORECASE)
    except re.error as error:
        parser.error(f"--filter: {error}")
    if arguments.dir is not None and not os.path.isdir(arguments.dir):
        parser.error(f"--dir: {arguments.dir} is not a directory")
    return arguments


def run_program(program, works, arguments, reverse, environment):
    """One round of one program: its JSON report."""
    report = os.path.join(environment["AGENTOS_BENCH_DIR"], "report.json")
    command = [
        os.path.join(BESIDE, program),
        f"--benchmark_filter=^({'|'.join(works)})/",
        f"--benchmark_min_time={0 if arguments.quick else arguments.min_time}",
        f"--benchmark_out={report}",
        "--benchmark_out_format=json",
    ]
    command += ["--quick"] if arguments.quick else []
    command += ["--reverse"] if reverse else []
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    # A contender that failed is in the report; without a report the program itself did.
    if not os.path.exists(report):
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr}")
    with open(report, encoding="utf-8") as file:
        result = json.load(file)
    os.remove(report)
    return result


def measure(rows, arguments, environment):
    works = sorted({work for row in rows for work in compare_rows.works_of(row)})
    samples = compare_table.Samples(arguments.cpu_time)
    context = {}
    for number in range(arguments.repetitions):
        for program, prefixes in compare_rows.PROGRAMS.items():
            mine = [work for work in works if any((work + "/").startswith(prefix) for prefix in prefixes)]
            if not mine:
                continue
            print(f"round {number + 1} of {arguments.repetitions}: {program}", file=sys.stderr, flush=True)
            report = run_program(program, mine, arguments, number % 2 == 1, environment)
            samples.add_report(report)
            context = report["context"]
    return samples, context


def file_system(path):
    done = subprocess.run(["stat", "--file-system", "--format=%T", path], stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def machine(context, environment):
    kernel = " ".join([os.uname().sysname, os.uname().release, os.uname().machine])
    load = " ".join(f"{value:.2f}" for value in context["load_avg"])
    disk = file_system(environment["AGENTOS_BENCH_DIR"])
    cores = f"{context['num_cpus']} cores at {context['mhz_per_cpu']} MHz"
    return f"{cores}, {kernel}, {context['compiler']}, disk: {disk}, load {load}"


def main():
    arguments = parse_arguments()
    if not os.path.exists(os.path.join(BESIDE, "nop_benchmark")):
        root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
        bazelw = os.path.join(root, "bazelw")
        os.chdir(root)
        os.execv(bazelw, [bazelw, "run", "-c", "opt", "//benchmarks:compare", "--"] + sys.argv[1:])
    rows = [row for row in compare_rows.all_rows() if arguments.filter.search(" ".join([row.label] + compare_rows.works_of(row)))]
    if arguments.cpu_time:
        rows = [row for row in rows if all(compare_rows.is_single_threaded(name) for name in row.names())]
    if not rows:
        sys.exit("no line of the table matches")
    disk = tempfile.mkdtemp(prefix="agentos_compare.", dir=arguments.dir)
    memory = tempfile.mkdtemp(prefix="agentos_compare.", dir="/dev/shm")
    environment = dict(os.environ, AGENTOS_BENCH_DIR=disk, AGENTOS_BENCH_SHM_DIR=memory, AGENTOS_BENCH_KEEP="1")
    try:
        samples, context = measure(rows, arguments, environment)
        print(machine(context, environment))
    finally:
        for directory in [disk, memory]:
            shutil.rmtree(directory, ignore_errors=True)
    clock = "processor time" if arguments.cpu_time else "time"
    print(f"medians of {arguments.repetitions} rounds, {clock} per operation; ratio = ours / floor, smaller is better\n")
    print("\n".join(compare_table.table(samples, rows)))
    print("\nfastest variant of each floor: " + "; ".join(compare_table.floors(samples, rows)))
    if arguments.quick:
        print("\nWARNING: the figures mean nothing: --quick measures tiny sizes")
    if context["optimized"] != "yes":
        print("\nWARNING: the figures mean nothing: the build is not optimized (-c opt is missing)")
    for name, error in samples.errors.items():
        print(f"\nFAILED: {name}: {error}")
    return 1 if samples.errors else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
