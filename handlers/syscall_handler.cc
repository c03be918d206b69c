#include "agentos/handlers/syscall_handler.h"

#include "agentos/handlers/handler_answers.h"

namespace agentos {

SyscallHandlerRegistry& SyscallHandlerRegistry::Register(std::shared_ptr<SyscallHandler> handler) & {
  if (handler != nullptr) handlers_.push_back(std::move(handler));
  return *this;
}

SyscallAnswer SyscallHandlerRegistry::Handle(Pid pid, const Syscall& syscall) const {
  for (const std::shared_ptr<SyscallHandler>& handler : handlers_) {
    try {
      if (std::optional<SyscallAnswer> answer = handler->Handle(pid, syscall)) return *std::move(answer);
    } catch (...) {
      return handlers_internal::Threw(handler->name(), syscall);
    }
  }
  return handlers_internal::NobodyTakes(syscall, handlers_);
}

}  // namespace agentos
