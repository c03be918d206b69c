#!/bin/bash
# Runs an event-loop example on each executor: it must read what it wrote, and its own loop must have ticked meanwhile.
set -euo pipefail

for executor in io_uring threads; do
  output="$(AGENTOS_URING_EXECUTOR="${executor}" "$1")"
  echo "${executor}: ${output}"
  [[ "${output}" == *'read "round 3" after '*' ticks'*done ]]
  [[ "${output}" != *'read "round 3" after 0 ticks'* ]]
done
