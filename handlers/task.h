// Task<T>: a coroutine that gives a T, once, to whoever awaits it.
//
// It begins when it is awaited, spawned or run, not when it is made. Whoever holds the Task owns the coroutine: destroying it at any
// moment, also while it is suspended, destroys its variables, asks the operations that it waits for to stop, and leaves their
// memory to the ring until the kernel has let go of it (P10).
//
// Thread rule: a task runs on the thread that drives the ring it waits for; one thread at a time.
// Errors: an exception that leaves the coroutine is thrown again where it is awaited.
// Stack: a chain of tasks that await one another takes none (coroutine_resumer.h).
//
//   Task<absl::Status> Copy(AsyncRing& ring, std::string from, std::string to) {
//     SyscallCompletionEntry read = co_await ring.ReadFile(from);
//     if (!read.status.is_success()) co_return read.status.ToStatus();
//     SyscallCompletionEntry written = co_await ring.WriteFile(to, read.result.TakeBytes());
//     co_return written.status.ToStatus();
//   }

#ifndef AGENTOS_HANDLERS_TASK_H_
#define AGENTOS_HANDLERS_TASK_H_

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "agentos/handlers/coroutine_resumer.h"

namespace agentos {

template <typename T = void>
class Task;

namespace handlers_internal {

// What the promises of all tasks share.
class TaskPromiseBase {
 public:
  std::suspend_always initial_suspend() noexcept { return {}; }

  struct HandOver {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    void await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      const TaskPromiseBase& promise = ended.promise();
      if (promise.awaiter_ == nullptr || (promise.missing_ != nullptr && --*promise.missing_ > 0)) return;
      HandOverTo(promise.awaiter_);
    }
    void await_resume() const noexcept {}
  };
  HandOver final_suspend() noexcept { return {}; }

  void unhandled_exception() noexcept { exception_ = std::current_exception(); }

  // `missing`, if given, counts what the awaiter waits for: it goes on when that is 0.
  void set_awaiter(std::coroutine_handle<> awaiter, size_t* missing = nullptr) {
    awaiter_ = awaiter;
    missing_ = missing;
  }

 protected:
  void Rethrow() const {
    if (exception_ != nullptr) std::rethrow_exception(exception_);
  }

 private:
  std::coroutine_handle<> awaiter_;
  size_t* missing_ = nullptr;
  std::exception_ptr exception_;
};

template <typename T>
class TaskPromise : public TaskPromiseBase {
 public:
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T TakeResult() {
    Rethrow();
    return *std::move(value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() noexcept {}
  void TakeResult() const { Rethrow(); }
};

}  // namespace handlers_internal

template <typename T>
class [[nodiscard]] Task {
 public:
  using value_type = T;
  using promise_type = handlers_internal::TaskPromise<T>;

  // No coroutine at all: only to be assigned to.
  Task() noexcept = default;
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Destroy();
      coroutine_ = std::exchange(other.coroutine_, nullptr);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { Destroy(); }

  bool valid() const { return coroutine_ != nullptr; }
  // Whether it has come to its end.
  bool done() const { return coroutine_.done(); }

  // Awaiting it runs it and gives its result. Once.
  auto operator co_await() noexcept {
    struct Awaiter : UntilDone {
      T await_resume() { return this->coroutine.promise().TakeResult(); }
    };
    return Awaiter{{coroutine_}};
  }

  // Awaiting this runs the task and leaves its result where it is, for TakeResult.
  auto WhenDone() noexcept {
    struct Awaiter : UntilDone {
      void await_resume() const noexcept {}
    };
    return Awaiter{{coroutine_}};
  }

  // Runs it until it waits for something. `awaiter` goes on when `missing`, which its end lowers by one, is 0 (when_all.h).
  void StartFor(std::coroutine_handle<> awaiter, size_t& missing) {
    coroutine_.promise().set_awaiter(awaiter, &missing);
    ResumeCoroutine(coroutine_);
  }

  // Of a task that is done: what it gave, or the exception that ended it. Once.
  T TakeResult() { return coroutine_.promise().TakeResult(); }

 private:
  friend promise_type;
  using Coroutine = std::coroutine_handle<promise_type>;

  struct UntilDone {
    Coroutine coroutine;
    bool await_ready() const noexcept { return coroutine.done(); }
    void await_suspend(std::coroutine_handle<> awaiter) const noexcept {
      coroutine.promise().set_awaiter(awaiter);
      HandOverTo(coroutine);
    }
  };

  explicit Task(Coroutine coroutine) noexcept : coroutine_(coroutine) {}

  void Destroy() noexcept {
    if (coroutine_ != nullptr) coroutine_.destroy();
  }

  Coroutine coroutine_;
};

namespace handlers_internal {

template <typename T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}

inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

}  // namespace handlers_internal

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_TASK_H_
