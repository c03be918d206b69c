#include "agentos/executor/nosignal_writes.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace agentos {

namespace {

// A pipe that nobody reads: a kernel without the flag refuses it before it would raise the signal.
bool Ask() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  close(ends[0]);
  char byte = 0;
  const iovec vector = {&byte, 1};
  const bool knows = pwritev2(ends[1], &vector, 1, -1, kRwfNosignal) < 0 && errno == EPIPE;
  close(ends[1]);
  return knows;
}

}  // namespace

bool HasNosignalWrites() {
  static const bool has = Ask();
  return has;
}

}  // namespace agentos
