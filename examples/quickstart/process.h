// One AgentOS process as the quickstart sees it: its ring, and a tally of what went through it.
//
// Thread rule: one thread at a time; two processes may be used from two threads.
// Lifetime: the manager outlives it.
// Errors: what the library refused, or DeadlineExceeded. What a system call said rides in its completion.
//
//   absl::StatusOr<SyscallResult> file = process.RunToSuccess(SyscallSubmissionEntry::ReadFile(process.pid(), path, 0));

#ifndef AGENTOS_EXAMPLES_QUICKSTART_PROCESS_H_
#define AGENTOS_EXAMPLES_QUICKSTART_PROCESS_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"

namespace agentos::quickstart {

struct Tally {
  uint64_t submissions = 0;
  uint64_t completions = 0;
  uint64_t bytes = 0;
  // Completions that were errors or cancelled.
  uint64_t errors = 0;
  // Spent in the calls that submit and wait.
  absl::Duration time;

  Tally& operator+=(const Tally& other);
};

class Process {
 public:
  // `timeout` bounds each wait.
  Process(IoUringManager* manager, Pid pid, absl::Duration timeout) : manager_(manager), pid_(pid), timeout_(timeout) {}

  Pid pid() const { return pid_; }
  const Tally& tally() const { return tally_; }

  // Submits all and waits for all; in order of completion. What does not end in time is cancelled; what does not end even then is
  // missing from the answer.
  absl::StatusOr<std::vector<SyscallCompletionEntry>> RunBatch(std::vector<SyscallSubmissionEntry> entries);

  // Submits one and waits for it. An error is a completion like any other.
  absl::StatusOr<SyscallCompletionEntry> Run(SyscallSubmissionEntry entry);

  // The two halves of Run, for an entry that waits for what somebody else does in between.
  absl::StatusOr<Seq> Start(SyscallSubmissionEntry entry);
  absl::StatusOr<SyscallCompletionEntry> Finish(Seq seq);

  // The same for an entry that must succeed: its result, or its error as a status.
  absl::StatusOr<SyscallResult> RunToSuccess(SyscallSubmissionEntry entry);
  absl::StatusOr<SyscallResult> FinishToSuccess(Seq seq);

 private:
  // Takes completions until all of `seqs` are there or the time is up.
  absl::Status Collect(const std::vector<Seq>& seqs, absl::Duration timeout, std::vector<SyscallCompletionEntry>* done);
  void Count(const SyscallCompletionEntry& done);

  IoUringManager* const manager_;
  const Pid pid_;
  const absl::Duration timeout_;
  Tally tally_;
  // A completion does not say of which operation it is.
  std::unordered_map<Seq, OperationKind> under_way_;
};

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_PROCESS_H_
