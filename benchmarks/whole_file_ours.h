// Keeps a manager busy with one entry per file: batches of 64, up to 256 under way, one caller thread.
//
// Thread rule: one thread, or the manager's own rule when that is stricter.

#ifndef AGENTOS_BENCHMARKS_WHOLE_FILE_OURS_H_
#define AGENTOS_BENCHMARKS_WHOLE_FILE_OURS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/submission_entry.h"

namespace agentos::bench {

inline constexpr size_t kFileBatch = 64;
inline constexpr size_t kFilesUnderWay = 256;

class WholeFileRun {
 public:
  explicit WholeFileRun(IoUringManager& manager) : manager_(manager), entries_(kFileBatch), done_(kFilesUnderWay) {}

  // Submits make_entry(i) for every i below `count`: the sum of the completions' values.
  template <typename MakeEntry>
  absl::StatusOr<int64_t> Run(size_t count, MakeEntry make_entry) {
    size_t next = 0;
    size_t under_way = 0;
    int64_t bytes = 0;
    while (next < count || under_way > 0) {
      while (next < count && under_way + kFileBatch <= kFilesUnderWay) {
        const size_t size = std::min(kFileBatch, count - next);
        for (size_t i = 0; i < size; ++i) entries_[i] = make_entry(next + i);
        const absl::Status accepted = manager_.SubmitBatch(kPid, absl::MakeSpan(entries_).first(size), absl::Span<Seq>());
        if (!accepted.ok()) return accepted;
        next += size;
        under_way += size;
      }
      const size_t enough = std::min(under_way, kFileBatch);
      const absl::StatusOr<size_t> ended = manager_.WaitCompletions(kPid, enough, absl::MakeSpan(done_), absl::Seconds(30));
      if (!ended.ok()) return ended.status();
      const absl::Span<const SyscallCompletionEntry> fresh = absl::MakeSpan(done_).first(*ended);
      const int64_t sum = SumValues(fresh);
      if (sum < 0) return absl::InternalError(FirstError(fresh));
      bytes += sum;
      under_way -= *ended;
    }
    return bytes;
  }

 private:
  IoUringManager& manager_;
  std::vector<SyscallSubmissionEntry> entries_;
  std::vector<SyscallCompletionEntry> done_;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_WHOLE_FILE_OURS_H_
