// IoUringAsyncHandler: takes I/O-bound system calls of agents and answers them without a thread that waits for each: thousands may
// be under way on the one thread that drives it.
//
// Each process gets an AsyncRing of its own, with AddProcess or its first request, in one group (async_ring_group.h), so that one wait
// serves all. A ring that the process has already is used as it is, and is the handler's to reap from then on; it is waited for by its
// event_fd, which costs more.
//
// Thread rule: one thread at a time. Answers are called by the thread that drives it (RunReady, RunOnce, RunUntilIdle), or at once
// when a request is refused.
// Lifetime: shares the manager. Destroying it stops what is under way, which is then answered with EIO.
// Errors: what the ring refuses is an error answer.
//
//   auto handler = std::make_shared<IoUringAsyncHandler>(manager);
//   AsyncSyscallHandlerRegistry registry = AsyncSyscallHandlerRegistry().Register(handler);
//   for (const std::string& path : paths) registry.Handle(kPid, Syscall::ReadFile(path), Use);
//   absl::Status all = handler->RunUntilIdle();

#ifndef AGENTOS_HANDLERS_IO_URING_ASYNC_HANDLER_H_
#define AGENTOS_HANDLERS_IO_URING_ASYNC_HANDLER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_ring_group.h"
#include "agentos/handlers/async_syscall_handler.h"
#include "agentos/handlers/io_uring_handler.h"
#include "agentos/handlers/syscall.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/types.h"

namespace agentos {

class IoUringAsyncHandler final : public AsyncSyscallHandler {
 public:
  explicit IoUringAsyncHandler(std::shared_ptr<IoUringManager> manager, TakenOperations taken = TakenOperations::kIoBound);
  ~IoUringAsyncHandler() override;

  std::string name() const override { return "IoUringAsyncHandler"; }
  bool Handle(Pid pid, const Syscall& syscall, AnswerCallback& answer) override;

  // Makes the ring of a process, with limits of its own. AlreadyExists when it has one.
  absl::Status AddProcess(Pid pid, RingOptions limits);

  // The ring of a process that has had requests, for coroutines beside them; null when it has had none.
  AsyncRing* RingOf(Pid pid) const;
  // Ends the requests of a process and forgets it.
  void Forget(Pid pid);

  size_t under_way() const;
  // Submits what has come and answers what has ended, for all processes. Never blocks. How many operations ended.
  size_t RunReady();
  // The same until at least one has ended, or the time is over.
  size_t RunOnce(absl::Duration timeout = absl::InfiniteDuration());
  // Until none is under way. DeadlineExceeded when the time is over before.
  absl::Status RunUntilIdle(absl::Duration timeout = absl::InfiniteDuration());

 private:
  absl::StatusOr<AsyncRing*> FindOrMake(Pid pid);
  absl::StatusOr<AsyncRing*> Make(Pid pid, const RingOptions& limits);
  // Those of adopted rings that have something under way.
  std::vector<AsyncRing*> BusyAdopted() const;
  size_t RunOnceWithAdopted(const std::vector<AsyncRing*>& adopted, absl::Duration timeout);

  const std::shared_ptr<IoUringManager> manager_;
  const TakenOperations taken_;
  // Made with the first ring that is not adopted.
  std::unique_ptr<AsyncRingGroup> group_;
  absl::flat_hash_map<Pid, std::unique_ptr<AsyncRing>> rings_;
  std::vector<AsyncRing*> adopted_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_IO_URING_ASYNC_HANDLER_H_
