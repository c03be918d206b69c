#!/bin/sh
# Runs the README's first program and expects what the README says it prints.
set -eu
output=$("$1")
printf '%s\n' "$output"
printf '%s\n' "$output" | grep -q '^/etc/os-release: [1-9][0-9]* bytes$'
printf '%s\n' "$output" | grep -q '^/no/such/file: ReadFile(/no/such/file): No such file or directory (ENOENT)$'
