// SyscallHandler: answers system calls of agents, or passes them on; SyscallHandlerRegistry: asks handlers in order.
//
// Thread rule: a registry is filled first and used by any threads then; its handlers are called by whatever thread asks.
// Lifetime: a registry shares its handlers.
// Errors: a request that nobody takes is answered with ENOSYS, one whose handler throws with EIO; the answer names the handler.
// A handler that does not return keeps its caller: who cannot afford that asks async_syscall_handler.h with a timeout.
//
//   SyscallHandlerRegistry registry;
//   registry.Register(std::make_shared<Policy>()).Register(std::make_shared<IoUringHandler>(manager, /*blocking=*/true));
//   SyscallAnswer answer = registry.Handle(kPid, Syscall::ReadFile("/etc/hostname"));

#ifndef AGENTOS_HANDLERS_SYSCALL_HANDLER_H_
#define AGENTOS_HANDLERS_SYSCALL_HANDLER_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agentos/handlers/syscall.h"
#include "agentos/ring/types.h"

namespace agentos {

class SyscallHandler {
 public:
  virtual ~SyscallHandler() = default;

  // Its name, for people.
  virtual std::string name() const = 0;
  // The answer, or nothing: the next handler may take it.
  virtual std::optional<SyscallAnswer> Handle(Pid pid, const Syscall& syscall) = 0;
};

class SyscallHandlerRegistry {
 public:
  // After those that are registered already. A null one is none.
  SyscallHandlerRegistry& Register(std::shared_ptr<SyscallHandler> handler) &;
  SyscallHandlerRegistry&& Register(std::shared_ptr<SyscallHandler> handler) && {
    return std::move(Register(std::move(handler)));
  }

  // The answer of the first handler that has one.
  SyscallAnswer Handle(Pid pid, const Syscall& syscall) const;

  size_t size() const { return handlers_.size(); }

 private:
  std::vector<std::shared_ptr<SyscallHandler>> handlers_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_SYSCALL_HANDLER_H_
