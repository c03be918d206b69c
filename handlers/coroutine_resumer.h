// Runs coroutines that hand over to one another, on a stack that stays as it is.
//
// A coroutine that awaits another one, or ends and lets its awaiter go on, says who is next and returns; the loop below resumes
// that one. C++20's symmetric transfer promises as much, but compilers keep the promise only when they optimise, and not under
// sanitizers; a chain of a million steps must not depend on that.
//
// Thread rule: each thread has its own.
//
//   ResumeCoroutine(handle);   // from a loop: returns when nobody is next
//   HandOverTo(handle);        // in await_suspend: the last thing that it does

#ifndef AGENTOS_HANDLERS_COROUTINE_RESUMER_H_
#define AGENTOS_HANDLERS_COROUTINE_RESUMER_H_

#include <coroutine>
#include <utility>

namespace agentos {

namespace handlers_internal {

struct Resumer {
  bool running = false;
  std::coroutine_handle<> next;
};

inline thread_local constinit Resumer resumer;

}  // namespace handlers_internal

// Runs the coroutine until it is suspended, and then whomever it handed over to, and so on. May be called by a running coroutine;
// then it is one level deeper.
inline void ResumeCoroutine(std::coroutine_handle<> handle) {
  handlers_internal::Resumer& resumer = handlers_internal::resumer;
  const bool outer = std::exchange(resumer.running, true);
  const std::coroutine_handle<> outer_next = std::exchange(resumer.next, nullptr);
  while (handle != nullptr) {
    handle.resume();
    handle = std::exchange(resumer.next, nullptr);
  }
  resumer.next = outer_next;
  resumer.running = outer;
}

// The coroutine is resumed as soon as the one that runs has returned: at once, when none does.
inline void HandOverTo(std::coroutine_handle<> handle) {
  handlers_internal::Resumer& resumer = handlers_internal::resumer;
  if (resumer.running) {
    resumer.next = handle;
  } else {
    ResumeCoroutine(handle);
  }
}

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_COROUTINE_RESUMER_H_
