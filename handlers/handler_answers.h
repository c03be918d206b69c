// What registries answer when their handlers do not. Private to handlers/.
//
// Thread rule: any thread.

#ifndef AGENTOS_HANDLERS_HANDLER_ANSWERS_H_
#define AGENTOS_HANDLERS_HANDLER_ANSWERS_H_

#include <cerrno>
#include <exception>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentos/handlers/syscall.h"

namespace agentos::handlers_internal {

// `handlers` are pointers to something with a name.
template <typename Handlers>
SyscallAnswer NobodyTakes(const Syscall& syscall, const Handlers& handlers) {
  const std::string asked = absl::StrJoin(handlers, ", ", [](std::string* out, const auto& handler) { *out += handler->name(); });
  return SyscallAnswer::Error(
      absl::StrCat("no handler takes ", syscall.name(),
                   asked.empty() ? std::string("; none is registered") : absl::StrCat("; asked: ", asked)),
      ENOSYS);
}

// Within a catch block: what came of the handler.
inline SyscallAnswer Threw(const std::string& handler, const Syscall& syscall) {
  std::string what = "something that is no std::exception";
  try {
    throw;
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
  }
  return SyscallAnswer::Error(absl::StrCat("the handler ", handler, " threw at ", syscall.name(), ": ", what), EIO);
}

}  // namespace agentos::handlers_internal

#endif  // AGENTOS_HANDLERS_HANDLER_ANSWERS_H_
