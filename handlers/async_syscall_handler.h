// AsyncSyscallHandler: answers system calls of agents later, without a thread that waits; AsyncSyscallHandlerRegistry: asks such
// handlers in order.
//
// Thread rule: a registry is filled first; Handle on any thread that its handlers allow. A callback is called once, on the thread
// that drives the handler which took the request, or on the caller's before Handle has returned.
// Lifetime: a registry shares its handlers; requests under way keep nothing of it.
// Errors: as in syscall_handler.h. A handler that lets the callback go without an answer has it answered with EIO. One that keeps
// it for ever: Call, with a timeout around it (when_any.h).
//
//   auto handler = std::make_shared<IoUringAsyncHandler>(manager);
//   AsyncSyscallHandlerRegistry registry = AsyncSyscallHandlerRegistry().Register(handler);
//   registry.Handle(kPid, Syscall::ReadFile("/etc/hostname"), [](SyscallAnswer answer) { Use(answer.data()); });
//   SyscallAnswer answer = co_await registry.Call(kPid, Syscall::ReadFile("/etc/hostname"));

#ifndef AGENTOS_HANDLERS_ASYNC_SYSCALL_HANDLER_H_
#define AGENTOS_HANDLERS_ASYNC_SYSCALL_HANDLER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "agentos/handlers/syscall.h"
#include "agentos/handlers/task.h"
#include "agentos/ring/types.h"

namespace agentos {

// Where an answer goes. One that is destroyed without having been called answers for itself.
class AnswerCallback {
 public:
  AnswerCallback(absl::AnyInvocable<void(SyscallAnswer)> call);  // NOLINT(google-explicit-constructor): a lambda is one
  AnswerCallback(AnswerCallback&& other) noexcept;
  AnswerCallback& operator=(AnswerCallback&& other) noexcept;
  ~AnswerCallback();

  // The first answer counts; those after it are thrown away.
  void operator()(SyscallAnswer answer);

 private:
  void GiveUp() noexcept;

  absl::AnyInvocable<void(SyscallAnswer)> call_;
};

class AsyncSyscallHandler {
 public:
  virtual ~AsyncSyscallHandler() = default;

  // Its name, for people.
  virtual std::string name() const = 0;
  // True: it has taken the request and moved `answer` away, to be called now or later. False: it has left `answer` alone.
  virtual bool Handle(Pid pid, const Syscall& syscall, AnswerCallback& answer) = 0;
};

class AsyncSyscallHandlerRegistry {
 public:
  // After those that are registered already. A null one is none.
  AsyncSyscallHandlerRegistry& Register(std::shared_ptr<AsyncSyscallHandler> handler) &;
  AsyncSyscallHandlerRegistry&& Register(std::shared_ptr<AsyncSyscallHandler> handler) && {
    return std::move(Register(std::move(handler)));
  }

  // Has the request answered by the first handler that takes it, or by the registry.
  void Handle(Pid pid, const Syscall& syscall, AnswerCallback answer) const;

  // The same, to be awaited. Its coroutine may be destroyed meanwhile: the answer then goes nowhere.
  Task<SyscallAnswer> Call(Pid pid, Syscall syscall) const;

  size_t size() const { return handlers_.size(); }

 private:
  std::vector<std::shared_ptr<AsyncSyscallHandler>> handlers_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_ASYNC_SYSCALL_HANDLER_H_
