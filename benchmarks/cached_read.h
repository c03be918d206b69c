// 4 KiB reads of a file at random offsets, `depth` at a time: one function per contender.
//
// Each runs until `state` has enough and skips it with the cause when a read fails or is short.
//
// Thread rule: several threads may run the same function at once, each with its own state.

#ifndef AGENTOS_BENCHMARKS_CACHED_READ_H_
#define AGENTOS_BENCHMARKS_CACHED_READ_H_

#include <cstddef>

#include "agentos/benchmarks/batch_pool.h"
#include "agentos/benchmarks/cached_file.h"
#include "agentos/benchmarks/floor_ring.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/types.h"
#include "benchmark/benchmark.h"

namespace agentos::bench {

struct FloorReadOptions {
  RingFlags flags = RingFlags::kDefault;
  bool registered_file = false;
  bool registered_buffers = false;
  // A link timeout behind each read, which never passes.
  bool timeouts = false;
};

void ReadByFloor(benchmark::State& state, const CachedFile& file, size_t depth, const FloorReadOptions& options);

// SubmitBatch, then WaitCompletions.
void ReadByBatch(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager, Pid pid);
// The same with a timeout on each read, which never passes.
void ReadByBatchWithTimeouts(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager, Pid pid);
// The same with everything registered that can be: the file, and memory that goes from each result into the next entry.
void ReadByBatchRegistered(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager, Pid pid);
// SubmitAndWait.
void ReadBySubmitAndWait(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager, Pid pid);
// Submit, then WaitCompletion; depth is 1.
void ReadOne(benchmark::State& state, const CachedFile& file, IoUringManager& manager, Pid pid);

void ReadByPlainCalls(benchmark::State& state, const CachedFile& file, size_t depth);
// A pool's thread takes `grain` reads at a time.
void ReadByPool(benchmark::State& state, const CachedFile& file, size_t depth, BatchPool& pool, size_t grain);

// libuv and its pool of 4 threads, in a process of its own; with manual time.
void ReadByLibuv(benchmark::State& state, const CachedFile& file, size_t depth);

// Tells the state what was done; skips it when fewer bytes came than were asked for.
void FinishReads(benchmark::State& state, size_t depth, int64_t bytes);

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_CACHED_READ_H_
