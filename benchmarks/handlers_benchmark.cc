// Cached 4 KiB reads as a program writes them: by coroutines, callbacks and handlers, beside the same reads in batches.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agentos/benchmarks/cached_file.h"
#include "agentos/benchmarks/cached_read.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_syscall_handler.h"
#include "agentos/handlers/io_uring_async_handler.h"
#include "agentos/handlers/syscall.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/io_uring_manager.h"

namespace agentos::bench {
namespace {

// What all readers of one run share.
struct Reads {
  explicit Reads(const CachedFile& cached) : file(cached), offsets(cached, 0) {}

  int64_t NextOffset() { return static_cast<int64_t>(offsets.Next()); }
  void Count(int64_t value) {
    bytes += value;
    ++done;
  }

  const CachedFile& file;
  BlockOffsets offsets;
  int64_t bytes = 0;
  uint64_t done = 0;
};

Task<void> ReadForEver(AsyncRing& ring, Reads& reads) {
  for (;;) {
    const SyscallCompletionEntry done = co_await ring.Read(reads.file.fd(), kBlockSize, reads.NextOffset());
    reads.Count(done.result.value());
  }
}

void BeginWithCallback(AsyncRing& ring, Reads& reads) {
  ring.Read(reads.file.fd(), kBlockSize, reads.NextOffset()).Then([&](const SyscallCompletionEntry& done) {
    reads.Count(done.result.value());
    BeginWithCallback(ring, reads);
  });
}

void BeginWithHandler(const AsyncSyscallHandlerRegistry& registry, Reads& reads) {
  registry.Handle(kPid, Syscall::Read(reads.file.fd(), kBlockSize, reads.NextOffset()),
                  AnswerCallback([&](const SyscallAnswer& answer) {
                    // The last ones are answered with an error, when the handler is destroyed.
                    if (!answer.is_success()) return;
                    reads.Count(answer.value());
                    BeginWithHandler(registry, reads);
                  }));
}

// Drives `run_once` until `depth` more reads have ended, each time.
template <typename RunOnce>
void Measure(benchmark::State& state, Reads& reads, size_t depth, RunOnce run_once) {
  const uint64_t before = reads.done;
  const int64_t bytes_before = reads.bytes;
  uint64_t target = before;
  for (auto _ : state) {
    target += depth;
    while (reads.done < target) run_once();
  }
  // More may have ended than were asked for; all of them count.
  if (reads.bytes - bytes_before != static_cast<int64_t>((reads.done - before) * kBlockSize)) {
    return state.SkipWithError("a read failed or was short");
  }
  state.SetItemsProcessed(static_cast<int64_t>(reads.done - before));
}

std::unique_ptr<AsyncRing> MakeRing(benchmark::State& state, IoUringManager& manager) {
  absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(manager, kPid);
  return Check(state, ring.status()) ? *std::move(ring) : nullptr;
}

void ReadByCoroutines(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager) {
  Reads reads(file);
  const std::unique_ptr<AsyncRing> ring = MakeRing(state, manager);
  if (ring == nullptr) return;
  for (size_t i = 0; i < depth; ++i) ring->Spawn(ReadForEver(*ring, reads));
  Measure(state, reads, depth, [&] { ring->RunOnce(); });
}

void ReadByCallbacks(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager) {
  Reads reads(file);
  const std::unique_ptr<AsyncRing> ring = MakeRing(state, manager);
  if (ring == nullptr) return;
  for (size_t i = 0; i < depth; ++i) BeginWithCallback(*ring, reads);
  Measure(state, reads, depth, [&] { ring->RunOnce(); });
}

void ReadByHandler(benchmark::State& state, const CachedFile& file, size_t depth, std::shared_ptr<IoUringManager> manager) {
  Reads reads(file);
  auto handler = std::make_shared<IoUringAsyncHandler>(std::move(manager));
  const AsyncSyscallHandlerRegistry registry = AsyncSyscallHandlerRegistry().Register(handler);
  for (size_t i = 0; i < depth; ++i) BeginWithHandler(registry, reads);
  Measure(state, reads, depth, [&] { handler->RunOnce(); });
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  const auto file = std::make_shared<LazyCachedFile>();
  for (const Threading threading : kAllThreadings) {
    const std::string name = ThreadingName(threading);
    catalog.Add("read_by_batch_32", Role::kOurs, name, [file, threading](benchmark::State& state) {
      const CachedFile& cached = file->Get();
      const std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
      if (manager != nullptr) ReadByBatch(state, cached, 32, *manager, kPid);
    });
    for (const size_t depth : {size_t{1}, size_t{32}, size_t{10'000}}) {
      catalog.Add("read_by_coroutine_" + std::to_string(depth), Role::kOurs, name, [=](benchmark::State& state) {
        const CachedFile& cached = file->Get();
        const std::unique_ptr<IoUringManager> manager = MakeManager(state, threading);
        if (manager != nullptr) ReadByCoroutines(state, cached, depth, *manager);
      });
    }
    catalog.Add("read_by_callback_32", Role::kOurs, name, [file, threading](benchmark::State& state) {
      const CachedFile& cached = file->Get();
      const std::unique_ptr<IoUringManager> manager = MakeManager(state, threading);
      if (manager != nullptr) ReadByCallbacks(state, cached, 32, *manager);
    });
    for (const size_t depth : {size_t{32}, size_t{10'000}}) {
      catalog.Add("read_by_handler_" + std::to_string(depth), Role::kOurs, name, [=](benchmark::State& state) {
        const CachedFile& cached = file->Get();
        std::shared_ptr<IoUringManager> manager = MakeManager(state, threading);
        if (manager != nullptr) ReadByHandler(state, cached, depth, std::move(manager));
      });
    }
  }
}

}  // namespace agentos::bench
