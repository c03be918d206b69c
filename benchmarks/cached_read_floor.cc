#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "agentos/benchmarks/block_buffers.h"
#include "agentos/benchmarks/cached_read.h"

namespace agentos::bench {
namespace {

// Which variant it is must not cost a branch per read.
template <bool kRegisteredFile, bool kRegisteredBuffers>
void Run(benchmark::State& state, const CachedFile& file, size_t depth, FloorRing& ring, BlockBuffers& buffers) {
  BlockOffsets offsets(file, state.thread_index());
  int64_t bytes = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < depth; ++i) {
      io_uring_sqe* sqe = ring.NextSqe();
      const int fd = kRegisteredFile ? 0 : file.fd();
      if constexpr (kRegisteredBuffers) {
        io_uring_prep_read_fixed(sqe, fd, buffers[i], kBlockSize, offsets.Next(), 0);
      } else {
        io_uring_prep_read(sqe, fd, buffers[i], kBlockSize, offsets.Next());
      }
      if constexpr (kRegisteredFile) sqe->flags |= IOSQE_FIXED_FILE;
      sqe->user_data = i;
    }
    size_t seen = 0;
    while (seen < depth) {
      seen += ring.SubmitAndConsume(depth - seen, [&bytes](uint64_t, int32_t result) { bytes += result; });
    }
  }
  FinishReads(state, depth, bytes);
}

// Each read is two entries and two completions.
void RunWithTimeouts(benchmark::State& state, const CachedFile& file, size_t depth, FloorRing& ring, BlockBuffers& buffers) {
  constexpr uint64_t kTimeout = ~uint64_t{0};
  BlockOffsets offsets(file, state.thread_index());
  __kernel_timespec never = {.tv_sec = 60, .tv_nsec = 0};
  int64_t bytes = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < depth; ++i) {
      io_uring_sqe* sqe = ring.NextSqe();
      io_uring_prep_read(sqe, file.fd(), buffers[i], kBlockSize, offsets.Next());
      sqe->flags |= IOSQE_IO_LINK;
      sqe->user_data = i;
      io_uring_sqe* timeout = ring.NextSqe();
      io_uring_prep_link_timeout(timeout, &never, 0);
      timeout->user_data = kTimeout;
    }
    size_t seen = 0;
    while (seen < 2 * depth) {
      seen += ring.SubmitAndConsume(2 * depth - seen, [&bytes](uint64_t user_data, int32_t result) {
        if (user_data != kTimeout) bytes += result;
      });
    }
  }
  FinishReads(state, depth, bytes);
}

bool CheckRegistered(benchmark::State& state, int result) {
  if (result < 0) state.SkipWithError((std::string("io_uring_register: ") + std::strerror(-result)).c_str());
  return result >= 0;
}

}  // namespace

void FinishReads(benchmark::State& state, size_t depth, int64_t bytes) {
  const size_t reads = state.iterations() * depth;
  if (bytes != static_cast<int64_t>(reads * kBlockSize)) state.SkipWithError("a read failed or was short");
  state.SetItemsProcessed(static_cast<int64_t>(reads));
}

void ReadByFloor(benchmark::State& state, const CachedFile& file, size_t depth, const FloorReadOptions& options) {
  std::unique_ptr<FloorRing> ring = FloorRing::Create(state, std::max(64u, static_cast<unsigned>(2 * depth)), options.flags);
  if (ring == nullptr) return;
  BlockBuffers buffers(depth, kBlockSize);
  const int fd = file.fd();
  if (options.registered_file && !CheckRegistered(state, io_uring_register_files(ring->get(), &fd, 1))) return;
  const iovec all = {buffers.data(), buffers.size()};
  if (options.registered_buffers && !CheckRegistered(state, io_uring_register_buffers(ring->get(), &all, 1))) return;
  if (options.timeouts) {
    RunWithTimeouts(state, file, depth, *ring, buffers);
  } else if (options.registered_file && options.registered_buffers) {
    Run<true, true>(state, file, depth, *ring, buffers);
  } else if (options.registered_file) {
    Run<true, false>(state, file, depth, *ring, buffers);
  } else if (options.registered_buffers) {
    Run<false, true>(state, file, depth, *ring, buffers);
  } else {
    Run<false, false>(state, file, depth, *ring, buffers);
  }
}

}  // namespace agentos::bench
