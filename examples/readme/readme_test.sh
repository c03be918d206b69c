#!/bin/sh
# Keeps the top-level README true: its commands are CI's, its build lines are the consumer workspace's, its programs are built.
#
# usage: readme_test.sh README CI_SCRIPT FILE_OF_CONSUMER...
set -eu

readme=$1
ci=$2
shift 2
failures=0

fail() {
  echo "$readme: $1" >&2
  failures=$((failures + 1))
}

# The lines of all blocks of one language, each as "MARKER<tab>LINE"; MARKER is the comment before the block, without its ends.
blocks() {
  awk -v language="$1" '
    /^```/ && open { open = 0; marker = ""; next }
    /^```/ { open = 1; wanted = ($0 == "```" language); next }
    open && wanted && NF { print marker "\t" $0; next }
    !open && /^<!-- .* -->$/ { marker = substr($0, 6, length($0) - 9) }
    !open && !/^<!-- / { marker = "" }
  ' "$readme"
}

tab=$(printf '\t')

# Every command that a reader is told to type.
commands=$(blocks sh | cut -f 2-)
[ -n "$commands" ] || fail "there is not one command"
while IFS= read -r command; do
  # CI runs every benchmark for an instant instead: it has no quiet machine to measure on.
  case $command in *//benchmarks:compare*) continue ;; esac
  grep -qF -- "$command" "$ci" || fail "CI does not run: $command"
done <<COMMANDS
$commands
COMMANDS

# Every line that goes into a reader's WORKSPACE or BUILD.
lines=$(blocks python)
[ -n "$lines" ] || fail "there is nothing to depend on the library with"
while IFS="$tab" read -r marker line; do
  file=
  for candidate in "$@"; do
    case $candidate in *"${marker#file: examples/}") file=$candidate ;; esac
  done
  if [ -z "$marker" ] || [ -z "$file" ]; then
    fail "no file is named for: $line"
  elif ! grep -qF -- "$line" "$file"; then
    fail "$marker has no line: $line"
  fi
done <<LINES
$lines
LINES

# A program without a name is one that nobody builds; //examples:readme_first_program builds the only one there is.
built="example: first_program example: way_blocking example: way_callback example: way_coroutine example: way_event_loop"
[ "$(blocks cpp | cut -f 1 | sort -u | paste -sd ' ')" = "$built" ] || fail "a cpp block is not marked as one that is built"

for marker in begin end; do
  [ "$(grep -c "^<!-- figures:$marker -->$" "$readme")" = 1 ] || fail "the marker figures:$marker does not stand there once"
done

[ "$failures" = 0 ]
