#!/bin/sh
# Runs a benchmark program long enough to see that every case of it works. The arguments are the
# program and further arguments of its own.
program=$1
shift
exec "$program" --benchmark_min_time=0.0001 --benchmark_repetitions=1 "$@"
