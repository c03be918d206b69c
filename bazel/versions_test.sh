#!/bin/bash
# Keeps versions.bzl and its readers together: bazelw understands every line of it, and whatever
# deps.bzl tells people to install is something that bazelw installs.
#
# usage: versions_test.sh BAZELW VERSIONS_BZL DEPS_BZL
set -euo pipefail

bazelw=$1
versions=$2
deps=$3
failures=0

fail() {
  echo "$1" >&2
  failures=$((failures + 1))
}

packages_of() {
  sed -n "/^$1 = {/,/^}/s/^    \"\([^\"]*\)\".*/\1/p" "$versions"
}

entries=$(grep -c '^    ' "$versions")
readable=$(grep -cE '^    "[^"]+": "[^"]+",$' "$versions")
[[ $entries == "$readable" ]] || fail "$versions: an entry does not stand on one line as \"key\": \"value\","

# A copy in which nothing is installed, on a system without apt-get: bazelw must name every package.
copy=$TEST_TMPDIR/copy
mkdir -p "$copy/bazel"
cp "$bazelw" "$copy/bazelw"
sed 's|": "/|": "/nowhere/|' "$versions" >"$copy/bazel/versions.bzl"
for group in build:BUILD_PACKAGES format:FORMAT_PACKAGES; do
  if said=$(PATH=/nowhere "$copy/bazelw" --install "${group%%:*}" 2>&1); then
    fail "bazelw: nothing is installed, and --install ${group%%:*} is content"
  fi
  packages=$(packages_of "${group#*:}")
  [[ -n $packages ]] || fail "$versions: ${group#*:} is empty"
  for package in $packages; do
    [[ " $said " == *" $package "* || $said == *" $package"$'\n'* ]] || fail "bazelw does not name $package; it said: $said"
  done
done

installed=$(packages_of BUILD_PACKAGES)
for package in $(sed -n 's/.*debian_packages\{0,1\} = \[\{0,1\}\(.*\),$/\1/p' "$deps" | tr -d '",[]'); do
  grep -qxF -- "$package" <<<"$installed" || fail "$deps wants $package, which BUILD_PACKAGES does not have"
done

[[ $failures == 0 ]]
