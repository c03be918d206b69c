// The threads that a set of ThreadRings shares.
//
// Two lanes, so that what takes long cannot keep short things waiting: content and names of files, which a device gives soon, and
// calls that may take long or for ever (opens that wait, fsync, accept).
//
// Thread rule: any thread.
// Lifetime: shared by the rings; the threads end with the last of them.

#ifndef AGENTOS_EXECUTOR_THREAD_POOLS_H_
#define AGENTOS_EXECUTOR_THREAD_POOLS_H_

#include <cstddef>

#include "agentos/executor/file_workers.h"
#include "agentos/executor/held_fds.h"

namespace agentos {

struct ThreadPools {
  static constexpr size_t kFileThreads = 4;
  static constexpr size_t kSlowThreads = FileWorkers::kMaxThreads;

  FileWorkers files{kFileThreads, "agentos-file"};
  FileWorkers slow{kSlowThreads, "agentos-slow"};
  HeldFds held;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_THREAD_POOLS_H_
