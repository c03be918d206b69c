// AsyncRing: a ring and the loop that drives it, for coroutines, callbacks and futures.
//
// Operations that begin are collected; each turn of the loop submits what has begun as one batch, waits, and hands the completions
// out in the order in which they came. So a hundred coroutines that read cost one entry into the kernel, and nobody's code runs
// while a queue is held. More operations may be under way than the ring has places: the rest begins as others end.
//
//     co_await / Then / Start --> batch --+                          +--> resumes, calls
//                                         |  one turn of the loop    |
//                                         +--> SubmitAndWait --------+
//
// Thread rule: one thread at a time drives it and begins operations; Post, and stop tokens, from any thread (with
// Threading::kOneThread only from the manager's own).
// Lifetime: the manager outlives it. It makes the ring of its pid and destroys it (but see Adopt); nobody else reaps it.
// Destroying it destroys spawned tasks, stops what is under way and closes the descriptors of results that nobody heard of.
// Errors: Create's are CreateRing's. After that everything comes in completions (async_operation.h). A ring that somebody else
// destroys ends all operations as cancelled, and those that begin later with ECANCELED.
//
//   absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(*manager, /*pid=*/7);
//   if (!ring.ok()) return ring.status();
//   absl::Status copied = (*ring)->RunUntilComplete(Copy(**ring, "a", "b"));   // task.h

#ifndef AGENTOS_HANDLERS_ASYNC_RING_H_
#define AGENTOS_HANDLERS_ASYNC_RING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_operation.h"
#include "agentos/handlers/root_task.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"

namespace agentos {

class AsyncRingGroup;

class AsyncRing {
 public:
  // As many operations under way as a ring can have.
  static RingOptions DefaultOptions();

  // Makes the ring of `pid`; AlreadyExists when it has one. Its overflow policy is kBackpressure, whatever the options say:
  // nothing that is awaited may be dropped.
  static absl::StatusOr<std::unique_ptr<AsyncRing>> Create(IoUringManager& manager, Pid pid,
                                                           RingOptions options = DefaultOptions());
  // Uses a ring that the process has already, with what sizes it has, and leaves it there at the end. From now on nobody else
  // reaps it; completions of what others submitted to it are thrown away. NotFound without a ring.
  static absl::StatusOr<std::unique_ptr<AsyncRing>> Adopt(IoUringManager& manager, Pid pid);

  AsyncRing(const AsyncRing&) = delete;
  AsyncRing& operator=(const AsyncRing&) = delete;
  ~AsyncRing();

  Pid pid() const { return pid_; }
  IoUringManager& manager() const { return manager_; }
  // Operations that have begun and whose end nobody has heard of yet.
  size_t under_way() const { return live_; }

  // The operations, with the operands of the system calls: operation.h says what each does and gives.
  AsyncOperation ReadFile(std::string path) { return Run(Entry::ReadFile(pid_, std::move(path), 0)); }
  AsyncOperation WriteFile(std::string path, Bytes data, operation::WriteFile::Options options = {}) {
    return Run(Entry::WriteFile(pid_, std::move(path), std::move(data), options, 0));
  }
  AsyncOperation Open(std::string path, int flags, mode_t mode = 0) {
    return Run(Entry::Open(pid_, std::move(path), flags, mode, 0));
  }
  AsyncOperation OpenBeneath(int directory_fd, std::string path, int flags, mode_t mode = 0) {
    return Run(Entry::OpenBeneath(pid_, directory_fd, std::move(path), flags, mode, 0));
  }
  AsyncOperation Close(int fd) { return Run(Entry::Close(pid_, fd, 0)); }
  AsyncOperation Read(int fd, size_t size, int64_t offset) { return Run(Entry::Read(pid_, fd, size, offset, 0)); }
  AsyncOperation Write(int fd, Bytes data, int64_t offset) { return Run(Entry::Write(pid_, fd, std::move(data), offset, 0)); }
  AsyncOperation Fsync(int fd) { return Run(Entry::Fsync(pid_, fd, 0)); }
  AsyncOperation Lseek(int fd, int64_t offset, int whence) { return Run(Entry::Lseek(pid_, fd, offset, whence, 0)); }
  AsyncOperation Send(int fd, Bytes data, int flags = 0) { return Run(Entry::Send(pid_, fd, std::move(data), flags, 0)); }
  AsyncOperation Recv(int fd, size_t size, int flags = 0) { return Run(Entry::Recv(pid_, fd, size, flags, 0)); }
  AsyncOperation Accept(int fd) { return Run(Entry::Accept(pid_, fd, 0)); }
  AsyncOperation Connect(int fd, std::string address) { return Run(Entry::Connect(pid_, fd, std::move(address), 0)); }
  AsyncOperation SendTo(int fd, Bytes data, std::string address, int flags = 0) {
    return Run(Entry::SendTo(pid_, fd, std::move(data), std::move(address), flags, 0));
  }
  AsyncOperation RecvFrom(int fd, size_t size, int flags = 0) { return Run(Entry::RecvFrom(pid_, fd, size, flags, 0)); }
  AsyncOperation IpcSend(Pid target, Bytes data) { return Run(Entry::IpcSend(pid_, target, std::move(data), 0)); }
  AsyncOperation IpcRecv(size_t size) { return Run(Entry::IpcRecv(pid_, size, 0)); }
  AsyncOperation Statx(std::string path, int flags, uint32_t mask) {
    return Run(Entry::Statx(pid_, std::move(path), flags, mask, 0));
  }
  AsyncOperation Rename(std::string from, std::string to, uint32_t flags = 0) {
    return Run(Entry::Rename(pid_, std::move(from), std::move(to), flags, 0));
  }
  AsyncOperation Unlink(std::string path, int flags = 0) { return Run(Entry::Unlink(pid_, std::move(path), flags, 0)); }
  AsyncOperation Mkdir(std::string path, mode_t mode) { return Run(Entry::Mkdir(pid_, std::move(path), mode, 0)); }
  AsyncOperation Fallocate(int fd, int mode, int64_t offset, int64_t size) {
    return Run(Entry::Fallocate(pid_, fd, mode, offset, size, 0));
  }
  AsyncOperation Ftruncate(int fd, int64_t size) { return Run(Entry::Ftruncate(pid_, fd, size, 0)); }
  AsyncOperation Splice(int from_fd, int64_t from_offset, int to_fd, int64_t to_offset, size_t size, uint32_t flags = 0) {
    return Run(Entry::Splice(pid_, from_fd, from_offset, to_fd, to_offset, size, flags, 0));
  }
  AsyncOperation CopyFileRange(int from_fd, int64_t from_offset, int to_fd, int64_t to_offset, size_t size) {
    return Run(Entry::CopyFileRange(pid_, from_fd, from_offset, to_fd, to_offset, size, 0));
  }
  AsyncOperation Socket(int domain, int type, int protocol = 0) { return Run(Entry::Socket(pid_, domain, type, protocol, 0)); }
  AsyncOperation Shutdown(int fd, int how) { return Run(Entry::Shutdown(pid_, fd, how, 0)); }
  AsyncOperation Poll(int fd, uint32_t events) { return Run(Entry::Poll(pid_, fd, events, 0)); }
  AsyncOperation Sleep(absl::Duration duration) { return Run(Entry::Sleep(pid_, duration, 0)); }
  AsyncOperation Nop() { return Run(Entry::Nop(pid_, 0)); }
  // Any entry of this pid. Its user_data comes back. Multishot ones want a CompletionStream.
  AsyncOperation Run(SyscallSubmissionEntry entry) { return AsyncOperation(*this, std::move(entry)); }

  // Runs the task to its end, and whatever else there is to do meanwhile; gives its result, or throws what it threw. Waits for
  // ever when nothing is under way that could let it go on.
  template <typename T>
  T RunUntilComplete(Task<T> task) {
    bool done = false;
    const handlers_internal::RootTask root = handlers_internal::RunAsRoot(task, done);
    DriveUntil(done);
    return task.TakeResult();
  }

  // Runs the task until it waits for something first, and then beside whatever else the loop does. The ring owns it. An exception
  // that leaves it is logged.
  void Spawn(Task<void> task);
  size_t spawned() const { return spawned_.size(); }

  // One turn: submits what has begun and hands out what has completed. Never blocks. How many completions there were.
  size_t RunReady();
  // Turns until at least one completion was handed out, or the time is over. How many there were.
  size_t RunOnce(absl::Duration timeout = absl::InfiniteDuration());
  // Turns until nothing is under way. DeadlineExceeded when the time is over before.
  absl::Status RunUntilIdle(absl::Duration timeout = absl::InfiniteDuration());

  // For a program that has an event loop already: when it is readable call RunReady, which also belongs after whatever begins
  // operations elsewhere in that loop. As IoUringManager::event_fd.
  absl::StatusOr<int> event_fd() { return manager_.event_fd(pid_); }

  // Lets the loop call it, soon. Any thread.
  void Post(absl::AnyInvocable<void()> call);

 private:
  using Entry = SyscallSubmissionEntry;
  friend class PendingOperation;
  friend class AsyncOperation;
  friend class AsyncRingGroup;
  friend class CompletionStream;
  friend class OperationHandle;

  // An operation between its beginning and its last completion.
  struct Place {
    // Null: nobody wants to hear of it any more.
    PendingOperation* operation = nullptr;
    // 0: it was not submitted yet.
    Seq seq = 0;
    uint64_t user_data = 0;
    uint32_t generation = 0;
    uint32_t next_free = 0;
    OperationKind kind = OperationKind::kNone;
    bool live = false;
    bool cancel_requested = false;
  };

  AsyncRing(IoUringManager& manager, Pid pid, const RingOptions& options, bool owns_ring);
  void StopAll();
  static void LetGo(Place& place);

  // The token that names it; nothing when the ring is being destroyed, and it has not begun.
  std::optional<uint64_t> Begin(PendingOperation& operation, SyscallSubmissionEntry entry);
  void Abandon(PendingOperation& operation) noexcept;
  void RequestCancel(uint32_t place);
  uint64_t TokenOf(uint32_t place) const { return uint64_t{places_[place].generation} << 32 | place; }
  uint32_t TakePlace();
  void FreePlace(uint32_t place);

  void DriveUntil(const bool& done);
  // Serves what came from elsewhere and submits what has begun; waits for nothing. How many operations ended by that.
  size_t SubmitBegun();
  void NoteBegun();
  // Submits, waits for `min` completions at most until the timeout, and hands out what is there.
  size_t Turn(size_t min, absl::Duration timeout);
  size_t TurnInto(std::vector<SyscallCompletionEntry>& out, size_t min, absl::Duration timeout);
  // How many entries of the batch the ring has room for now, without cutting a chain.
  size_t NextBatch() const;
  // How many there were.
  size_t DropUnwanted();
  void OnAccepted(size_t count);
  // Each: how many operations have ended by it.
  size_t OnRefusal(const absl::Status& status);
  size_t RefuseFirstChain(const absl::Status& why);
  void Refuse(SyscallSubmissionEntry entry, const absl::Status& why);
  size_t EndAll();
  bool HandOut(SyscallCompletionEntry& done);
  void Conclude(uint32_t place, SyscallCompletionStatus status);
  void ServeMailbox();

  IoUringManager& manager_;
  const Pid pid_;
  const bool owns_ring_;
  // Set when it is driven together with others.
  AsyncRingGroup* group_ = nullptr;
  // Whether the group knows that there is something to submit.
  bool has_begun_ = false;
  // The most entries that the ring may hold.
  const size_t room_;
  const std::shared_ptr<handlers_internal::RingMailbox> mailbox_;

  // Entries that have begun and were not submitted: from batch_begin_ on.
  std::vector<SyscallSubmissionEntry> batch_;
  size_t batch_begin_ = 0;
  // How many of those nobody wants any more.
  size_t unwanted_ = 0;
  std::vector<Seq> seqs_;
  // Submitted, not completed.
  size_t accepted_ = 0;
  size_t live_ = 0;
  bool ring_gone_ = false;
  bool closing_ = false;

  std::vector<Place> places_;
  uint32_t first_free_;

  // For the turns of the outermost loop; a loop within a callback brings its own.
  std::vector<SyscallCompletionEntry> completions_;
  int depth_ = 0;

  handlers_internal::SpawnedTasks spawned_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_ASYNC_RING_H_
