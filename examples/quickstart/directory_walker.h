// The regular files under a directory, a batch at a time, so that a tree of any size is walked in little memory.
//
// Symbolic links are not followed, except when the root itself is one. What cannot be listed is a failure, not the end.
//
// Thread rule: externally synchronised.
//
//   DirectoryWalker walker("/usr/include", DirectoryWalker::Skip::kNothing);
//   for (auto files = walker.Next(64, 1 << 20); !files.empty(); files = walker.Next(64, 1 << 20)) ...

#ifndef AGENTOS_EXAMPLES_QUICKSTART_DIRECTORY_WALKER_H_
#define AGENTOS_EXAMPLES_QUICKSTART_DIRECTORY_WALKER_H_

#include <dirent.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "agentos/examples/quickstart/failure_list.h"

namespace agentos::quickstart {

struct FoundFile {
  std::string path;
  // What the file system says; files of /proc and /sys say anything.
  uint64_t size = 0;
};

class DirectoryWalker {
 public:
  enum class Skip { kNothing, kVersionControlAndBuildOutput };

  DirectoryWalker(std::string root, Skip skip);

  // At most `max_files` files, and no further one once their sizes reach `max_bytes`. Empty only when there are no more.
  std::vector<FoundFile> Next(size_t max_files, uint64_t max_bytes);

  const FailureList& failures() const { return failures_; }

 private:
  struct CloseDirectory {
    void operator()(DIR* directory) const { closedir(directory); }
  };

  bool OpenNextDirectory();
  void Visit(const dirent& entry, std::vector<FoundFile>* files);
  bool IsSkipped(absl::string_view name) const;
  void AddFailure(const std::string& path, int error_number);

  const std::string root_;
  const Skip skip_;
  std::vector<std::string> unvisited_;
  std::string current_path_;
  std::unique_ptr<DIR, CloseDirectory> current_;
  FailureList failures_;
};

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_DIRECTORY_WALKER_H_
