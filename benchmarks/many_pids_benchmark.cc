// 1,000 cached reads under way at once, submitted one by one and collected one by one by one thread: on 1,000 processes with one
// each, and on a single process. The difference is what spreading work over many processes costs.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/block_buffers.h"
#include "agentos/benchmarks/cached_read.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/ring/submission_entry.h"

namespace agentos::bench {
namespace {

struct Setting {
  Threading threading;
  bool many_pids;
  // WaitCompletion for each entry's sequence number, else ReapCompletions for each process.
  bool wait;

  Pid PidOf(size_t i) const { return many_pids ? static_cast<Pid>(i) : 0; }
};

absl::StatusOr<SyscallCompletionEntry> Collect(IoUringManager& manager, const Setting& setting, Pid pid, Seq seq) {
  if (setting.wait) return manager.WaitCompletion(pid, seq);
  SyscallCompletionEntry done;
  if (absl::Status status = ReapExactly(manager, pid, absl::MakeSpan(&done, 1)); !status.ok()) return status;
  return done;
}

void Ours(benchmark::State& state, const CachedFile& file, const Setting& setting) {
  const size_t under_way = Scaled(1000, 20);
  std::unique_ptr<IoUringManager> manager = MakeManager(state, setting.threading);
  if (manager == nullptr) return;
  // The single process needs room for all; the many keep the default, which is what a program would give them.
  RingOptions options;
  if (!setting.many_pids) options.sq_size = options.cq_size = under_way;
  for (size_t i = 0; i < (setting.many_pids ? under_way : 1); ++i) {
    if (!Check(state, manager->CreateRing(setting.PidOf(i), options))) return;
  }
  BlockOffsets offsets(file, 0);
  std::vector<Seq> seqs(under_way);
  int64_t bytes = 0;
  const auto round = [&] {
    for (size_t i = 0; i < under_way; ++i) {
      const Pid pid = setting.PidOf(i);
      const absl::StatusOr<Seq> seq =
          manager->Submit(pid, SyscallSubmissionEntry::Read(pid, file.fd(), kBlockSize, static_cast<int64_t>(offsets.Next()), i));
      if (!Check(state, seq.status())) return false;
      seqs[i] = *seq;
    }
    for (size_t i = 0; i < under_way; ++i) {
      const absl::StatusOr<SyscallCompletionEntry> done = Collect(*manager, setting, setting.PidOf(i), seqs[i]);
      if (!Check(state, done.status())) return false;
      bytes += done->status.is_success() ? done->result.value() : -1;
    }
    return true;
  };
  // Warms the memory of every ring and every result.
  if (!round()) return;
  bytes = 0;
  for (auto _ : state) {
    if (!round()) return;
  }
  FinishReads(state, under_way, bytes);
}

void Floor(benchmark::State& state, const CachedFile& file, RingFlags flags) {
  const size_t under_way = Scaled(1000, 20);
  std::unique_ptr<FloorRing> ring = FloorRing::Create(state, 1024, flags);
  if (ring == nullptr) return;
  BlockBuffers buffers(under_way, kBlockSize);
  BlockOffsets offsets(file, 0);
  int64_t bytes = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < under_way; ++i) {
      io_uring_prep_read(ring->NextSqe(), file.fd(), buffers[i], kBlockSize, offsets.Next());
      io_uring_submit(ring->get());
    }
    size_t seen = 0;
    while (seen < under_way) {
      seen += ring->SubmitAndConsume(static_cast<unsigned>(under_way - seen),
                                     [&bytes](uint64_t, int32_t result) { bytes += result; });
    }
  }
  FinishReads(state, under_way, bytes);
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  const auto file = std::make_shared<LazyCachedFile>();
  for (bool many_pids : {false, true}) {
    const std::string work = many_pids ? "reads_of_1000_pids" : "reads_of_1_pid";
    for (RingFlags flags : kAllRingFlags) {
      if (many_pids || !FloorAvailable()) continue;
      catalog.Add(work, Role::kFloor, RingFlagsName(flags), [=](benchmark::State& state) { Floor(state, file->Get(), flags); });
    }
    for (Threading threading : kAllThreadings) {
      for (bool wait : {true, false}) {
        const Setting setting = {threading, many_pids, wait};
        catalog.Add(work, Role::kOurs, ThreadingName(threading) + (wait ? "_wait" : "_reap"),
                    [=](benchmark::State& state) { Ours(state, file->Get(), setting); });
      }
    }
  }
}

}  // namespace agentos::bench
