#!/bin/bash
# The quickstart gives the same results on every executor: with io_uring, on threads by request, and where seccomp forbids io_uring.
set -euo pipefail
readonly without_io_uring=$1 quickstart=$2

tree=$(mktemp -d "${TEST_TMPDIR:-/tmp}/quickstart_tree.XXXXXX")
trap 'rm -rf "$tree"' EXIT
for i in 1 2 3 4 5 6 7 8; do seq "$((i * 1000))" >"$tree/file$i"; done

fail() {
  echo >&2 "$1"
  exit 1
}

# What a run found, without the times, ports, names and counts that differ from run to run.
results() {
  sed -nE -e 's/ in [0-9.]+ [a-zµ]+, listing.*//' -e 's/127\.0\.0\.1:[0-9]+/ADDRESS/g' -e 's#/[^ ]*/summary\.txt#SUMMARY#' \
    -e '/^(Read files|Write result|TCP echo|IPC message|An error|submissions|completions|errors|cancelled|dropped|  )/p'
}

expect_executor() {
  grep -qE "^Executor +$2" <<<"$3" || fail "$1: not on $2: $(grep ^Executor <<<"$3")"
}

by_request=$(AGENTOS_URING_EXECUTOR=threads "$quickstart" "$tree") || fail "on threads it failed"
expect_executor "by request" "threads: forced by .*AGENTOS_URING_EXECUTOR=threads" "$by_request"

for refusal in EPERM ENOSYS; do
  log=$tree.log
  confined=$("$without_io_uring" "--errno=$refusal" "$quickstart" "$tree" 2>"$log") || fail "$refusal: it failed: $(cat "$log")"
  expect_executor "$refusal" "threads: io_uring is not to be had: io_uring_setup: $refusal" "$confined"
  [[ $(grep -c "io_uring_setup: $refusal" "$log") == 1 ]] || fail "$refusal: not one line of log: $(cat "$log")"
  [[ $(results <<<"$confined") == "$(results <<<"$by_request")" ]] || fail "$refusal: other results: $confined"
  "$without_io_uring" "--errno=$refusal" env AGENTOS_URING_EXECUTOR=io_uring "$quickstart" "$tree" 2>"$log" >&2 &&
    fail "$refusal: io_uring could be forced"
  grep -q "io_uring_setup: $refusal" "$log" || fail "$refusal: forcing io_uring does not say why it fails: $(cat "$log")"
  rm -f "$log"
done

if with_io_uring=$(AGENTOS_URING_EXECUTOR=io_uring "$quickstart" "$tree" 2>/dev/null); then
  expect_executor "io_uring" "io_uring: forced by" "$with_io_uring"
  diff <(results <<<"$with_io_uring") <(results <<<"$by_request") || fail "the executors differ"
else
  echo "no io_uring here: only the threads were compared"
fi
