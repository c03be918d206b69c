// IoUringManager: gives every process its own submission queue and completion queue for system calls.
//
// Entries are submitted in batches, executed by the kernel's io_uring, and their results reaped in batches. Which process has
// which ring is known here and nowhere else.
//
// Flow:   caller -> Submit -> ring [submission queue] -> executor -> kernel
//         caller <- Reap / Wait <- ring [completion queue] <- executor
//
// Whoever waits drives the kernel ring itself: there is no thread between a caller and the kernel. Submit starts what it is given
// before it returns; an operation of one kernel step then completes without a further call, one of several steps (a ReadFile of a
// large file, a Write that the kernel cut short) goes on when somebody submits, reaps or waits.
//
// Thread rule: Threading::kAnyThread (the default): every method from any thread. Threading::kOneThread: the creating thread
// only.
// Lifetime: destroying the manager destroys its rings as DestroyRing does. Completions stay readable afterwards. Nobody may be
// inside a method when it is destroyed.
// Fork: a child's calls answer FailedPrecondition; destroying its copy of the manager is harmless.
// Errors: absl::Status for what the library refuses; what the system call said rides in the completion.
// - InvalidArgument: a field is wrong, and is named.
// - ResourceExhausted: no room now, reap and try again.
// - NotFound: no such ring or entry.
// - FailedPrecondition: the ring is being destroyed, or the wrong thread or process called.
//
//   absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create();
//   if (!manager.ok()) return manager.status();
//   absl::StatusOr<Seq> seq = (*manager)->Submit(7, SyscallSubmissionEntry::ReadFile(7, "/etc/hostname", 0));
//   if (!seq.ok()) return seq.status();
//   absl::StatusOr<SyscallCompletionEntry> done = (*manager)->WaitCompletion(7, *seq);

#ifndef AGENTOS_MANAGER_IO_URING_MANAGER_H_
#define AGENTOS_MANAGER_IO_URING_MANAGER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/executor/executor_info.h"
#include "agentos/executor/submission_ring.h"
#include "agentos/manager/io_uring_stats.h"
#include "agentos/manager/ipc_route.h"
#include "agentos/manager/trace_options.h"
#include "agentos/manager/trace_writer.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/observer.h"
#include "agentos/ring/registered_buffer_pool.h"
#include "agentos/ring/registered_file.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"

namespace agentos {

inline constexpr absl::Duration kDefaultWaitTimeout = absl::Seconds(30);

struct IoUringManagerOptions {
  // kAuto probes. The environment variable AGENTOS_URING_EXECUTOR (io_uring | threads) wins over it: the operator's way out.
  ExecutorKind executor = ExecutorKind::kAuto;
  Threading threading = Threading::kAnyThread;
  // Hears of every entry; may be null. Not owned, outlives the manager.
  RingObserver* observer = nullptr;
  // What is recorded of all operations, and where (trace_options.h). The environment variable AGENTOS_URING_TRACE wins over it.
  TraceOptions trace;
  // Kernel rings that the processes share; 0 means one per processor (always one with Threading::kOneThread).
  size_t kernel_rings = 0;
  // Submission entries of each kernel ring; rounded up to a power of two by the kernel. Bounds one batch of kernel entries, not
  // the rings of the processes.
  size_t kernel_ring_entries = 256;
  // Threads that take whole-file work off the callers' hands when there is a lot of it; 0 means one per processor, at most 4.
  // Started when first needed.
  size_t file_workers = 0;
  // From how many bytes on a Send over the internet's protocols may do without a copy, where the kernel can (Linux 6.2); it is
  // left out while the kernel says that it copied all the same (executor/zero_copy_policy.h). The largest number means never.
  size_t zero_copy_send_from = 32768;
  // Makes rings of the program's own kind (executor/submission_ring.h) instead of the executors above: a simulation, mostly.
  // Neither `executor` nor the environment wins over it, for it is no way to execute system calls on some host but part of a
  // test.
  std::function<absl::StatusOr<std::unique_ptr<SubmissionRing>>()> submission_rings = nullptr;
};

class IoUringManager {
 public:
  static absl::StatusOr<std::unique_ptr<IoUringManager>> Create(IoUringManagerOptions options = {});

  IoUringManager(const IoUringManager&) = delete;
  IoUringManager& operator=(const IoUringManager&) = delete;
  ~IoUringManager();

  // Makes a ring for `pid`. AlreadyExists when it has one, InvalidArgument when an option is out of range.
  absl::Status CreateRing(Pid pid, RingOptions options = {});

  // Accepts one entry and starts it. Makes a ring with the default sizes when `pid` has none.
  absl::StatusOr<Seq> Submit(Pid pid, SyscallSubmissionEntry entry);

  // Accepts all entries or none, and starts them with as few kernel entries as possible. Their sequence numbers are contiguous.
  // An empty batch is OK and does nothing.
  absl::StatusOr<std::vector<Seq>> SubmitBatch(Pid pid, std::vector<SyscallSubmissionEntry> entries);

  // The same without an allocation. `seqs` is as long as `entries`, or empty. A refused batch's entries are left as they were.
  absl::Status SubmitBatch(Pid pid, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs);

  // Takes what has completed, oldest first, at most `max`. Never blocks; an empty answer is OK. NotFound without a ring.
  absl::StatusOr<std::vector<SyscallCompletionEntry>> ReapCompletions(Pid pid, std::optional<size_t> max = std::nullopt);

  // The same into the caller's memory: how many were placed at the beginning of `out`.
  absl::StatusOr<size_t> ReapCompletions(Pid pid, absl::Span<SyscallCompletionEntry> out);

  // Takes the completion of `seq` and leaves the others in order; waits for it when it is still under way. NotFound: unknown or
  // already reaped. DataLoss: dropped by a full completion queue. DeadlineExceeded: the operation goes on.
  absl::StatusOr<SyscallCompletionEntry> WaitCompletion(Pid pid, Seq seq, absl::Duration timeout = kDefaultWaitTimeout);

  // Waits until `min` completions are there and takes at most `max`. At the timeout: what is there, or DeadlineExceeded when
  // nothing is. InvalidArgument when min > max.
  absl::StatusOr<std::vector<SyscallCompletionEntry>> WaitCompletions(Pid pid, size_t min, size_t max, absl::Duration timeout);

  // The same into the caller's memory; `max` is out.size().
  absl::StatusOr<size_t> WaitCompletions(Pid pid, size_t min, absl::Span<SyscallCompletionEntry> out, absl::Duration timeout);

  // A group without rings: those that are made with RingOptions.group are waited for together, by one thread that serves many
  // processes. They share a kernel ring.
  absl::StatusOr<RingGroupId> NewRingGroup();

  // WaitCompletions for all rings of a group, each in its turn; the entries say whose they are. NotFound when there is no such group.
  absl::StatusOr<size_t> WaitGroup(RingGroupId group, size_t min, absl::Span<SyscallCompletionEntry> out, absl::Duration timeout);

  // SubmitBatch and WaitCompletions with one kernel entry for both. When the batch is refused nothing is waited for.
  absl::StatusOr<size_t> SubmitAndWait(Pid pid, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs, size_t min,
                                       absl::Span<SyscallCompletionEntry> out, absl::Duration timeout);

  // Asks an entry to stop. OK means that the request was taken; the entry then completes as cancelled, or with its real result if
  // that came first. NotFound when it is unknown or has completed.
  absl::Status Cancel(Pid pid, Seq seq);

  // Cancel for all of a process's entries: how many were asked to stop.
  absl::StatusOr<size_t> CancelAll(Pid pid);

  // Cancel for those that work on one fd: how many were asked to stop. Closing an fd does not end what is under way on it, this
  // does; call it first. InvalidArgument when fd is negative.
  absl::StatusOr<size_t> CancelFd(Pid pid, int fd);

  // Memory of the process that is registered with the kernel and lent buffer by buffer, for ReadInto, RecvInto, Write and Send.
  // Where it cannot be registered the pool says why and its buffers do all the same. A process without a ring gets one.
  // InvalidArgument names what is out of range. Pins `count` times `size` bytes (RLIMIT_MEMLOCK) until DestroyRing.
  absl::StatusOr<std::shared_ptr<RegisteredBufferPool>> RegisterBuffers(Pid pid, size_t count, size_t size);

  // A file that the process does much with, registered with the kernel: entries that name its fd() take a shorter way. Where it
  // cannot be registered the handle says why and its fd() does all the same. A process without a ring gets one. InvalidArgument
  // when `fd` is not open, ResourceExhausted when there is no descriptor left for the handle's own.
  absl::StatusOr<RegisteredFile> RegisterFile(Pid pid, int fd);

  // A descriptor for the epoll, poll or select of an event loop that the program runs already: readable when there may be
  // something for ReapCompletions, and no longer once that has answered nothing. A process without a ring gets one; every call
  // answers the same. The library's own: do not read from it, do not close it; DestroyRing does. Processes that share a kernel
  // ring wake each other, so it may be readable for nothing. Unimplemented with submission_rings that cannot announce results.
  absl::StatusOr<int> event_fd(Pid pid);

  // For those who join managers of several operating-system processes (ipc/bridge.h): from here on an IpcSend to one of `pids` goes by
  // `route`, until the gateway is destroyed. AlreadyExists when one of them has a ring here or is behind another gateway;
  // FailedPrecondition with Threading::kOneThread. A process behind a gateway gets no ring.
  absl::StatusOr<std::unique_ptr<IpcGateway>> OpenGateway(const std::vector<Pid>& pids, IpcRoute* route);

  // Stops accepting, cancels what is under way, waits until it has ended, and forgets the process. Fds of completions nobody
  // reaped are closed. DeadlineExceeded after RingOptions::destroy_timeout names what could not be stopped; the process is
  // forgotten all the same. NotFound without a ring.
  absl::Status DestroyRing(Pid pid);

  bool HasRing(Pid pid) const;

  // What the ring of a process was made with. NotFound without a ring.
  absl::StatusOr<RingOptions> OptionsOf(Pid pid) const;

  IoUringStats Stats() const;

  // What has been recorded and what was lost. Its path is empty when nothing is recorded.
  TraceStats Trace() const;
  // Everything that happened until now is in the trace's file, or in a flight recorder's memory. FailedPrecondition when nothing is
  // recorded; otherwise what the file system said.
  absl::Status FlushTrace();
  // Writes what a flight recorder has in memory to its file. FailedPrecondition without one.
  absl::Status DumpTrace();

  // Which executor runs, and why.
  ExecutorInfo Executor() const;

 private:
  class Impl;
  explicit IoUringManager(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_IO_URING_MANAGER_H_
