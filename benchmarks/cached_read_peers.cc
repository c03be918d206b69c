#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "agentos/benchmarks/block_buffers.h"
#include "agentos/benchmarks/cached_read.h"

namespace agentos::bench {

void ReadByPlainCalls(benchmark::State& state, const CachedFile& file, size_t depth) {
  BlockBuffers buffers(depth, kBlockSize);
  BlockOffsets offsets(file, state.thread_index());
  int64_t bytes = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < depth; ++i) {
      bytes += pread(file.fd(), buffers[i], kBlockSize, static_cast<off_t>(offsets.Next()));
    }
  }
  FinishReads(state, depth, bytes);
}

void ReadByPool(benchmark::State& state, const CachedFile& file, size_t depth, BatchPool& pool, size_t grain) {
  BlockBuffers buffers(depth, kBlockSize);
  BlockOffsets offsets(file, state.thread_index());
  std::vector<uint64_t> batch(depth);
  std::atomic<int64_t> failed = 0;
  const BatchPool::Job job = [&](size_t i) {
    if (pread(file.fd(), buffers[i], kBlockSize, static_cast<off_t>(batch[i])) != static_cast<ssize_t>(kBlockSize)) ++failed;
  };
  for (auto _ : state) {
    for (uint64_t& offset : batch) offset = offsets.Next();
    pool.Run(depth, grain, job);
  }
  FinishReads(state, depth, (static_cast<int64_t>(state.iterations() * depth) - failed) * static_cast<int64_t>(kBlockSize));
}

}  // namespace agentos::bench
