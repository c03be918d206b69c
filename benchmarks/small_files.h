// Many small files of 1 to 16 KiB, their sizes drawn from a fixed seed: what whole-file reads read and file creation makes.
//
// Thread rule: const methods from any thread.

#ifndef AGENTOS_BENCHMARKS_SMALL_FILES_H_
#define AGENTOS_BENCHMARKS_SMALL_FILES_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "agentos/benchmarks/temp_dir.h"

namespace agentos::bench {

inline constexpr size_t kSmallestFile = size_t{1} << 10;
inline constexpr size_t kLargestFile = size_t{16} << 10;

// The sizes of the first `count` files, the same in every run.
std::vector<size_t> SmallFileSizes(size_t count);

// Makes directories for `count` files under `root`, 100 files in each, and names the files.
std::vector<std::string> MakeSmallFileTree(const std::string& root, size_t count);

// Exits the program when the file cannot be written.
void WriteWholeFile(const std::string& path, const char* data, size_t size);

// Files that exist and are in the page cache.
class SmallFiles {
 public:
  SmallFiles(Place place, size_t count);

  const std::vector<std::string>& paths() const { return paths_; }
  size_t count() const { return paths_.size(); }
  // Of all files together; a contender that read less did not do the work.
  size_t total_bytes() const { return total_bytes_; }

 private:
  TempDir dir_;
  std::vector<std::string> paths_;
  size_t total_bytes_ = 0;
};

// Makes the files when they are first asked for, so that a filtered run does not pay for them.
class LazySmallFiles {
 public:
  LazySmallFiles(Place place, size_t count) : place_(place), count_(count) {}
  const SmallFiles& Get() {
    if (files_ == nullptr) files_ = std::make_unique<SmallFiles>(place_, count_);
    return *files_;
  }

 private:
  const Place place_;
  const size_t count_;
  std::unique_ptr<SmallFiles> files_;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_SMALL_FILES_H_
