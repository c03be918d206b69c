// Does the operations of a plan again.
//
// What had ended when an operation was submitted in the trace has ended when it is submitted again, and nothing else is waited for: so
// what depends on each other stays in order, and what ran side by side does so again.
//
// Thread rule: one thread at a time.
// Errors: a Status when the manager refuses something or the root cannot be opened. What the operations themselves say is a result.
//
//   ReplayRun run(*manager, {.root = "/tmp/sandbox", .speed = 0});
//   absl::StatusOr<std::vector<ReplayedOperation>> done = run.Run(plan);

#ifndef AGENTOS_TOOLS_REPLAY_RUN_H_
#define AGENTOS_TOOLS_REPLAY_RUN_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/proto/entry.pb.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/types.h"
#include "agentos/tools/replay_plan.h"

namespace agentos {

struct ReplayRunOptions {
  // The directory that paths lie beneath; empty: they are as they were.
  std::string root;
  // How many times as fast as recorded; 0 is as fast as possible.
  double speed = 0;
  // Asked between operations; true ends it.
  std::function<bool()> is_cancelled = nullptr;
};

struct ReplayedOperation {
  // False: it had an obstacle, or the replay ended before.
  bool ran = false;
  int64_t value = 0;
  int error_number = 0;
  bool cancelled = false;
  // From its submission to its completion's being seen.
  int64_t took_ns = 0;
  std::string data;
};

class ReplayRun {
 public:
  ReplayRun(IoUringManager& manager, ReplayRunOptions options) : manager_(manager), options_(std::move(options)) {}
  ReplayRun(const ReplayRun&) = delete;
  ReplayRun& operator=(const ReplayRun&) = delete;
  // Closes what the trace did not.
  ~ReplayRun();

  // One for each of the plan's, in its order.
  absl::StatusOr<std::vector<ReplayedOperation>> Run(const std::vector<PlannedOperation>& plan);

 private:
  struct UnderWay {
    size_t index;
    Pid pid;
    Seq seq;
    int64_t submitted_ns;
    // When it ended in the trace.
    int64_t recorded_end_ns;
  };

  absl::Status OpenRoot();
  absl::StatusOr<SyscallSubmissionEntry> Make(const TracedOperation& traced, bool is_last) const;
  absl::Status Move(std::string* path, bool& is_beneath) const;
  absl::Status SubmitChain(const std::vector<PlannedOperation>& plan, size_t begin, size_t end);
  // Waits for what had ended in the trace by then.
  absl::Status Await(const std::vector<PlannedOperation>& plan, int64_t recorded_ns);
  absl::Status Finish(const std::vector<PlannedOperation>& plan, const UnderWay& one);

  IoUringManager& manager_;
  const ReplayRunOptions options_;
  int root_fd_ = -1;
  std::string canonical_root_;
  // The trace's descriptors, and ours.
  std::map<int, int> fds_;
  // By their recorded end.
  std::multimap<int64_t, UnderWay> under_way_;
  std::vector<ReplayedOperation> results_;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_REPLAY_RUN_H_
