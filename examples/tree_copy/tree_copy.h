// Copies a directory tree through one ring: many files at a time, each read and written whole, large ones in chunks.
//
// Files, directories, symbolic links and permission bits are copied; owners, times and hard links are not, as by `cp -r`. What is
// neither (sockets, FIFOs, devices) is skipped and named.
//
// Thread rule: as AsyncRing.
// Errors: one file's do not end the copy; they are listed. The status is that of the whole: what kept it from beginning.
//
//   const TreeCopyResult copied = ring.RunUntilComplete(CopyTree(ring, "/usr/include", "/tmp/include"));

#ifndef AGENTOS_EXAMPLES_TREE_COPY_TREE_COPY_H_
#define AGENTOS_EXAMPLES_TREE_COPY_TREE_COPY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/task.h"

namespace agentos {

struct TreeCopyResult {
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t links = 0;
  uint64_t bytes = 0;
  // What went wrong, or was skipped, with its path.
  std::vector<std::string> problems;
  absl::Status status;
};

struct TreeCopyOptions {
  // Files under way at a time.
  size_t parallel = 256;
  // Called after each batch of files.
  std::function<void(const TreeCopyResult& so_far)> progress = nullptr;
  // Ends the copy as cancelled, between two batches.
  std::stop_token stop = {};
};

// `to` is made when it is missing; files that are there already are replaced.
Task<TreeCopyResult> CopyTree(AsyncRing& ring, std::string from, std::string to, TreeCopyOptions options = {});

}  // namespace agentos

#endif  // AGENTOS_EXAMPLES_TREE_COPY_TREE_COPY_H_
