// IoUringHandler: takes I/O-bound system calls of agents and has the rings of an IoUringManager execute them.
//
// Blocking, it answers when the operation has ended. Non-blocking, it answers at once with a task, which is polled or waited for
// later; an answer that nobody fetches is the ring's to keep, and to drop when its completion queue is full.
//
// Thread rule: as the manager's: with Threading::kAnyThread any thread.
// Lifetime: shares the manager. Rings of processes are made when needed and are not destroyed by it.
// Errors: what the ring refuses is an error answer.
//
//   IoUringHandler handler(manager, /*blocking=*/false);
//   std::optional<SyscallAnswer> answer = handler.Handle(kPid, Syscall::ReadFile("/etc/hostname"));
//   if (answer && answer->is_pending()) SyscallAnswer done = handler.Wait(kPid, answer->task(), absl::Seconds(1));

#ifndef AGENTOS_HANDLERS_IO_URING_HANDLER_H_
#define AGENTOS_HANDLERS_IO_URING_HANDLER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/handlers/syscall.h"
#include "agentos/handlers/syscall_handler.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/types.h"

namespace agentos {

// Which operations a handler of rings takes; it passes the rest on.
enum class TakenOperations : uint8_t {
  // Those whose time goes to a device, a file system or a peer.
  kIoBound,
  // All that rings can execute: also Close, Lseek, Socket, Shutdown, Sleep and Nop. For programs without other handlers.
  kAll,
};

class IoUringHandler final : public SyscallHandler {
 public:
  IoUringHandler(std::shared_ptr<IoUringManager> manager, bool blocking, TakenOperations taken = TakenOperations::kIoBound);

  std::string name() const override { return "IoUringHandler"; }
  std::optional<SyscallAnswer> Handle(Pid pid, const Syscall& syscall) override;

  // The answer, or nothing as long as the task is under way. An answer is given once: then the task is unknown, which is an error
  // answer.
  std::optional<SyscallAnswer> Poll(Pid pid, SyscallTaskId task);
  // The answer; at the timeout one that is_pending(), and the task goes on.
  SyscallAnswer Wait(Pid pid, SyscallTaskId task, absl::Duration timeout = kDefaultWaitTimeout);
  // Asks a task to stop; its answer still has to be fetched.
  absl::Status Cancel(Pid pid, SyscallTaskId task) { return manager_->Cancel(pid, task); }

 private:
  const std::shared_ptr<IoUringManager> manager_;
  const bool blocking_;
  const TakenOperations taken_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_IO_URING_HANDLER_H_
