#include "agentos/handlers/async_syscall_handler.h"

#include <cerrno>
#include <coroutine>
#include <optional>

#include "agentos/handlers/call_and_log.h"
#include "agentos/handlers/coroutine_resumer.h"
#include "agentos/handlers/handler_answers.h"

namespace agentos {

AnswerCallback::AnswerCallback(absl::AnyInvocable<void(SyscallAnswer)> call) : call_(std::move(call)) {}

AnswerCallback::AnswerCallback(AnswerCallback&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}

AnswerCallback& AnswerCallback::operator=(AnswerCallback&& other) noexcept {
  if (this != &other) {
    GiveUp();
    call_ = std::exchange(other.call_, nullptr);
  }
  return *this;
}

AnswerCallback::~AnswerCallback() { GiveUp(); }

void AnswerCallback::GiveUp() noexcept {
  if (call_) (*this)(SyscallAnswer::Error("the handler that took the request let go of it without an answer", EIO));
}

void AnswerCallback::operator()(SyscallAnswer answer) {
  absl::AnyInvocable<void(SyscallAnswer)> call = std::exchange(call_, nullptr);
  if (!call) return;
  handlers_internal::CallAndLog("the receiver of an answer", [&] { call(std::move(answer)); });
}

AsyncSyscallHandlerRegistry& AsyncSyscallHandlerRegistry::Register(std::shared_ptr<AsyncSyscallHandler> handler) & {
  if (handler != nullptr) handlers_.push_back(std::move(handler));
  return *this;
}

void AsyncSyscallHandlerRegistry::Handle(Pid pid, const Syscall& syscall, AnswerCallback answer) const {
  for (const std::shared_ptr<AsyncSyscallHandler>& handler : handlers_) {
    // Out of the handler's reach, so that there is somebody to tell when it throws after it has taken the callback.
    auto shared = std::make_shared<AnswerCallback>(std::move(answer));
    AnswerCallback lent([shared](SyscallAnswer given) { (*shared)(std::move(given)); });
    try {
      if (handler->Handle(pid, syscall, lent)) return;
    } catch (...) {
      return (*shared)(handlers_internal::Threw(handler->name(), syscall));
    }
    answer = std::move(*shared);
  }
  answer(handlers_internal::NobodyTakes(syscall, handlers_));
}

Task<SyscallAnswer> AsyncSyscallHandlerRegistry::Call(Pid pid, Syscall syscall) const {
  // Shared by this coroutine, which may go, and the callback, which may come late.
  struct Meeting {
    std::optional<SyscallAnswer> answer;
    std::coroutine_handle<> awaiter;
  };
  struct Awaiter {
    Meeting& meeting;
    bool await_ready() const { return meeting.answer.has_value(); }
    void await_suspend(std::coroutine_handle<> awaiter) const { meeting.awaiter = awaiter; }
    SyscallAnswer await_resume() const { return *std::move(meeting.answer); }
  };
  // Says that the coroutine is not there any more.
  struct Leave {
    std::shared_ptr<Meeting> meeting;
    ~Leave() { meeting->awaiter = nullptr; }
  };
  const Leave here{std::make_shared<Meeting>()};
  Handle(pid, syscall, AnswerCallback([meeting = here.meeting](SyscallAnswer answer) {
           meeting->answer = std::move(answer);
           if (meeting->awaiter != nullptr) ResumeCoroutine(std::exchange(meeting->awaiter, nullptr));
         }));
  co_return co_await Awaiter{*here.meeting};
}

}  // namespace agentos
