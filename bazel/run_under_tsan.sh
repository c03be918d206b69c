#!/bin/sh
# Runs a program built with gcc's ThreadSanitizer. libtsan of gcc 12 expects mappings where only a
# kernel with at most 28 random bits puts them, and aborts with "unexpected memory mapping" elsewhere.
bits=$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)
if [ "$bits" -le 28 ]; then
  exec "$@"
fi
if setarch --addr-no-randomize true 2>/dev/null; then
  exec setarch --addr-no-randomize "$@"
fi
echo >&2 "ThreadSanitizer cannot run here: vm.mmap_rnd_bits is $bits and this container may not turn" \
  "address randomisation off. As root of the host: sysctl vm.mmap_rnd_bits=28"
exit 1
