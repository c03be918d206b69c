#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/benchmarks/cached_read.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/registered_buffer_pool.h"
#include "agentos/ring/registered_file.h"
#include "agentos/ring/submission_entry.h"

namespace agentos::bench {
namespace {

struct AsItIs {
  SyscallSubmissionEntry&& operator()(SyscallSubmissionEntry&& entry) const { return std::move(entry); }
};

// Runs `exchange` on one filled-in batch after the other. It answers how many completions it placed in `done`.
template <typename Exchange, typename Modify = AsItIs>
void Run(benchmark::State& state, const CachedFile& file, size_t depth, Pid pid, Exchange exchange, Modify modify = {}) {
  BlockOffsets offsets(file, state.thread_index());
  std::vector<SyscallSubmissionEntry> entries(depth);
  std::vector<Seq> seqs(depth);
  std::vector<SyscallCompletionEntry> done(depth);
  int64_t bytes = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < depth; ++i) {
      entries[i] = modify(SyscallSubmissionEntry::Read(pid, file.fd(), kBlockSize, static_cast<int64_t>(offsets.Next()), i));
    }
    const absl::StatusOr<size_t> count = exchange(absl::MakeSpan(entries), absl::MakeSpan(seqs), absl::MakeSpan(done));
    if (!Check(state, count.status())) return;
    bytes += SumValues(absl::MakeSpan(done).first(*count));
  }
  FinishReads(state, depth, bytes);
}

struct BatchExchange {
  IoUringManager& manager;
  Pid pid;
  size_t depth;

  absl::StatusOr<size_t> operator()(absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs,
                                    absl::Span<SyscallCompletionEntry> done) const {
    if (absl::Status status = manager.SubmitBatch(pid, entries, seqs); !status.ok()) return status;
    return manager.WaitCompletions(pid, depth, done, absl::Seconds(10));
  }
};

}  // namespace

void ReadByBatch(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager, Pid pid) {
  Run(state, file, depth, pid, BatchExchange{manager, pid, depth});
}

void ReadByBatchWithTimeouts(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager, Pid pid) {
  Run(state, file, depth, pid, BatchExchange{manager, pid, depth},
      [](SyscallSubmissionEntry&& entry) { return std::move(entry).WithTimeout(absl::Minutes(1)); });
}

void ReadByBatchRegistered(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager, Pid pid) {
  const absl::StatusOr<RegisteredFile> registered = manager.RegisterFile(pid, file.fd());
  if (!Check(state, registered.status())) return;
  const absl::StatusOr<std::shared_ptr<RegisteredBufferPool>> pool = manager.RegisterBuffers(pid, depth, kBlockSize);
  if (!Check(state, pool.status())) return;
  std::vector<PooledBuffer> buffers;
  for (size_t i = 0; i < depth; ++i) {
    absl::StatusOr<PooledBuffer> buffer = (*pool)->Lease();
    if (!Check(state, buffer.status())) return;
    buffers.push_back(*std::move(buffer));
  }
  BlockOffsets offsets(file, state.thread_index());
  const BatchExchange exchange = {manager, pid, depth};
  std::vector<SyscallSubmissionEntry> entries(depth);
  std::vector<Seq> seqs(depth);
  std::vector<SyscallCompletionEntry> done(depth);
  int64_t bytes = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < depth; ++i) {
      entries[i] = SyscallSubmissionEntry::ReadInto(pid, registered->fd(), std::move(buffers[i]), kBlockSize,
                                                    static_cast<int64_t>(offsets.Next()), i);
    }
    const absl::StatusOr<size_t> count = exchange(absl::MakeSpan(entries), absl::MakeSpan(seqs), absl::MakeSpan(done));
    if (!Check(state, count.status())) return;
    bytes += SumValues(absl::MakeSpan(done).first(*count));
    for (size_t i = 0; i < depth; ++i) buffers[i] = done[i].result.TakeBytes().IntoBuffer();
  }
  FinishReads(state, depth, bytes);
}

void ReadBySubmitAndWait(benchmark::State& state, const CachedFile& file, size_t depth, IoUringManager& manager, Pid pid) {
  Run(state, file, depth, pid,
      [&](absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs, absl::Span<SyscallCompletionEntry> done) {
        return manager.SubmitAndWait(pid, entries, seqs, depth, done, absl::Seconds(10));
      });
}

void ReadOne(benchmark::State& state, const CachedFile& file, IoUringManager& manager, Pid pid) {
  BlockOffsets offsets(file, state.thread_index());
  int64_t bytes = 0;
  for (auto _ : state) {
    const absl::StatusOr<Seq> seq =
        manager.Submit(pid, SyscallSubmissionEntry::Read(pid, file.fd(), kBlockSize, static_cast<int64_t>(offsets.Next()), 0));
    if (!Check(state, seq.status())) return;
    const absl::StatusOr<SyscallCompletionEntry> done = manager.WaitCompletion(pid, *seq);
    if (!Check(state, done.status())) return;
    bytes += done->status.is_success() ? done->result.value() : -1;
  }
  FinishReads(state, 1, bytes);
}

}  // namespace agentos::bench
