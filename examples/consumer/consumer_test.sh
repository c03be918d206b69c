#!/bin/sh
# Runs the program on a file of known size and on one that does not exist.
set -eu

program=$1
file=$TEST_TMPDIR/file
printf '0123456789' >"$file"

output=$("$program" "$file")
[ "$output" = "$file: 10 bytes" ] || { echo "unexpected output: $output" >&2; exit 1; }

if output=$("$program" "$TEST_TMPDIR/absent"); then
  echo "an absent file is not reported: $output" >&2
  exit 1
fi
case $output in
  *"No such file or directory"*) ;;
  *) echo "the reason is missing: $output" >&2; exit 1 ;;
esac
