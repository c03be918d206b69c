#!/bin/bash
# Serves a directory and asks for it by curl: the program as its user meets it.
set -euo pipefail

server="$1"
work="$(mktemp -d "${TEST_TMPDIR:-/tmp}/http.XXXXXX")"
mkdir "${work}/root"
head -c 1000000 /dev/urandom > "${work}/root/data.bin"
echo hello > "${work}/root/hello.txt"

"${server}" --root="${work}/root" --address=127.0.0.1:0 > "${work}/out" &
pid=$!
trap 'kill -9 "${pid}" 2> /dev/null || true' EXIT
until grep -q http:// "${work}/out"; do kill -0 "${pid}"; done
url="$(grep -o 'http://[0-9.:]*/' "${work}/out")"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

curl -fsS "${url}data.bin" | cmp - "${work}/root/data.bin" || fail "the file differs"
curl -fsS -r 10-19 "${url}data.bin" | cmp - <(tail -c +11 "${work}/root/data.bin" | head -c 10) || fail "the range differs"
[[ "$(curl -s -o /dev/null -w '%{http_code}' "${url}missing")" == 404 ]] || fail "not 404"
[[ "$(curl -s -o /dev/null -w '%{http_code}' --path-as-is "${url}../../etc/passwd")" == 400 ]] || fail "not 400"
curl -fsSI "${url}hello.txt" | grep -q 'Content-Length: 6' || fail "HEAD"
[[ "$(curl -fsS "${url}hello.txt" "${url}hello.txt" -w '%{num_connects}\n' | paste -sd' ')" == "hello 1 hello 0" ]] || fail "keep-alive"

kill -TERM "${pid}"
wait "${pid}" || fail "it did not end well"
trap - EXIT
grep -q ' requests on ' "${work}/out" || fail "no sum: $(cat "${work}/out")"
[[ "$("${server}" --rot=x 2>&1 || true)" == *--root* ]] || fail "no suggestion"
rm -r "${work}"
