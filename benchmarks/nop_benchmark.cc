// What an entry costs by itself: batches of NOPs, filled in, submitted and their completions consumed.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/floor_ring.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/ring/submission_entry.h"

namespace agentos::bench {
namespace {

constexpr size_t kBatches[] = {1, 32, 256};

void Floor(benchmark::State& state, size_t batch, RingFlags flags) {
  std::unique_ptr<FloorRing> ring = FloorRing::Create(state, 256, flags);
  if (ring == nullptr) return;
  uint64_t sum = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < batch; ++i) {
      io_uring_sqe* sqe = ring->NextSqe();
      io_uring_prep_nop(sqe);
      sqe->user_data = i;
    }
    ring->SubmitAndConsume(batch, [&sum](uint64_t user_data, int32_t result) { sum += user_data + result; });
  }
  if (sum != state.iterations() * (batch * (batch - 1) / 2)) state.SkipWithError("a NOP is missing or failed");
  state.SetItemsProcessed(state.iterations() * batch);
}

// The caller's memory, and the batch that is filled in anew each time.
struct OurBatch {
  explicit OurBatch(size_t size) : entries(size), seqs(size), done(size) {}

  void Fill() {
    for (size_t i = 0; i < entries.size(); ++i) entries[i] = SyscallSubmissionEntry::Nop(kPid, i);
  }
  void Consume() {
    for (const SyscallCompletionEntry& each : done) sum += each.user_data + (each.status.is_success() ? 0 : 1);
  }
  bool Complete(size_t rounds) const { return sum == rounds * (entries.size() * (entries.size() - 1) / 2); }

  std::vector<SyscallSubmissionEntry> entries;
  std::vector<Seq> seqs;
  std::vector<SyscallCompletionEntry> done;
  uint64_t sum = 0;
};

void SubmitThenReap(benchmark::State& state, size_t size, Threading threading) {
  std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
  if (manager == nullptr) return;
  OurBatch batch(size);
  for (auto _ : state) {
    batch.Fill();
    if (!Check(state, manager->SubmitBatch(kPid, absl::MakeSpan(batch.entries), absl::MakeSpan(batch.seqs)))) return;
    if (!Check(state, ReapExactly(*manager, kPid, absl::MakeSpan(batch.done)))) return;
    batch.Consume();
  }
  if (!batch.Complete(state.iterations())) state.SkipWithError("a NOP is missing or failed");
  state.SetItemsProcessed(state.iterations() * size);
}

void SubmitAndWait(benchmark::State& state, size_t size, Threading threading) {
  std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
  if (manager == nullptr) return;
  OurBatch batch(size);
  for (auto _ : state) {
    batch.Fill();
    absl::StatusOr<size_t> count = manager->SubmitAndWait(kPid, absl::MakeSpan(batch.entries), absl::MakeSpan(batch.seqs), size,
                                                          absl::MakeSpan(batch.done), absl::Seconds(10));
    if (!Check(state, count.status())) return;
    batch.Consume();
  }
  if (!batch.Complete(state.iterations())) state.SkipWithError("a NOP is missing or failed");
  state.SetItemsProcessed(state.iterations() * size);
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  const bool floor_available = FloorAvailable();
  for (size_t size : kBatches) {
    const std::string work = "nop_" + std::to_string(size);
    if (floor_available) {
      for (RingFlags flags : kAllRingFlags) {
        catalog.Add(work, Role::kFloor, RingFlagsName(flags),
                    [size, flags](benchmark::State& state) { Floor(state, size, flags); });
      }
    }
    for (Threading threading : kAllThreadings) {
      catalog.Add(work, Role::kOurs, ThreadingName(threading),
                  [size, threading](benchmark::State& state) { SubmitThenReap(state, size, threading); });
      catalog.Add(work, Role::kOurs, ThreadingName(threading) + "_submit_and_wait",
                  [size, threading](benchmark::State& state) { SubmitAndWait(state, size, threading); });
    }
  }
}

}  // namespace agentos::bench
