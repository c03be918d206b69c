// A 64 MiB file in the page cache, or read past it, and the offsets at which it is read.
//
// Thread rule: const methods from any thread.

#ifndef AGENTOS_BENCHMARKS_CACHED_FILE_H_
#define AGENTOS_BENCHMARKS_CACHED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "agentos/benchmarks/temp_dir.h"

namespace agentos::bench {

inline constexpr size_t kBlockSize = 4096;

enum class Caching {
  kCached,
  // O_DIRECT: every read is the device's.
  kDirect,
};

class CachedFile {
 public:
  explicit CachedFile(Caching caching = Caching::kCached);
  CachedFile(const CachedFile&) = delete;
  CachedFile& operator=(const CachedFile&) = delete;
  ~CachedFile();

  int fd() const { return fd_; }
  uint64_t blocks() const { return blocks_; }

 private:
  TempDir dir_;
  uint64_t blocks_;
  int fd_;
};

// Makes the file when it is first asked for, so that a filtered run does not pay for it.
class LazyCachedFile {
 public:
  explicit LazyCachedFile(Caching caching = Caching::kCached) : caching_(caching) {}

  // From any thread.
  const CachedFile& Get() {
    std::call_once(made_, [this] { file_ = std::make_unique<CachedFile>(caching_); });
    return *file_;
  }

 private:
  const Caching caching_;
  std::once_flag made_;
  std::unique_ptr<CachedFile> file_;
};

// Random block offsets, the same in every run, others for every thread. They are drawn beforehand, so that drawing them is not
// measured.
class BlockOffsets {
 public:
  BlockOffsets(const CachedFile& file, int thread);
  uint64_t Next() {
    next_ = (next_ + 1) % kDrawn;
    return offsets_[next_];
  }

 private:
  static constexpr size_t kDrawn = 8192;
  std::vector<uint64_t> offsets_;
  size_t next_ = 0;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_CACHED_FILE_H_
