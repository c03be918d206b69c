// What the fuzzers of traces share: files that are nowhere on a disk, and a look at a trace in every way that the tools have.
//
// Whatever the bytes are, a tool says something about them and stops; what it writes is well-formed. What does not hold stops the
// process.
//
// Thread rule: one thread.
//
//   MemoryFile file(bytes);
//   const TraceSeen seen = ShowInEveryWay(file.path());

#ifndef AGENTOS_TOOLS_FUZZ_SUPPORT_H_
#define AGENTOS_TOOLS_FUZZ_SUPPORT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace agentos {

// A file that is gone with its owner.
class MemoryFile {
 public:
  explicit MemoryFile(absl::string_view bytes);
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile();

  const std::string& path() const { return path_; }

 private:
  const int fd_;
  const std::string path_;
};

struct TraceSeen {
  // Whether the files could be opened and read to their end.
  bool is_readable = false;
  size_t items = 0;
  size_t operations = 0;
};

// Reads, and nothing more.
TraceSeen ReadThrough(const std::vector<std::string>& paths);

// The same bytes through a pipe. Precondition: at most 64 KiB.
TraceSeen ReadThroughPipe(absl::string_view bytes);

// Every format, every sum and every kind of filter.
TraceSeen ShowInEveryWay(const std::string& path);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_FUZZ_SUPPORT_H_
