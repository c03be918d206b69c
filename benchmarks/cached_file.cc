#include "agentos/benchmarks/cached_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/small_files.h"

namespace agentos::bench {

CachedFile::CachedFile(Caching caching) : dir_(Place::kDisk), blocks_(Scaled(size_t{64} << 20, size_t{1} << 20) / kBlockSize) {
  const std::string path = dir_.path() + "/blocks";
  const std::string content(blocks_ * kBlockSize, 'x');
  WriteWholeFile(path, content.data(), content.size());
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | (caching == Caching::kDirect ? O_DIRECT : 0));
  if (fd_ < 0) DieOfErrno(path);
  // Writeback during a measurement would be measured with it.
  if (fsync(fd_) != 0) DieOfErrno(path);
}

CachedFile::~CachedFile() { close(fd_); }

BlockOffsets::BlockOffsets(const CachedFile& file, int thread) : offsets_(kDrawn) {
  std::mt19937_64 random(20261122 + static_cast<uint64_t>(thread));
  std::uniform_int_distribution<uint64_t> block(0, file.blocks() - 1);
  for (uint64_t& offset : offsets_) offset = block(random) * kBlockSize;
}

}  // namespace agentos::bench
