// AsyncGenerator<T>: a coroutine that gives many values, each when it is asked for, and may wait in between.
//
// Thread rule, lifetime: as Task. Destroying it destroys the coroutine where it stands.
// Errors: an exception that leaves the coroutine is thrown by the Next that it answers; there is nothing after it.
//
//   AsyncGenerator<std::string> Lines(AsyncRing& ring, int fd);
//
//   AsyncGenerator<std::string> lines = Lines(ring, fd);
//   while (std::optional<std::string> line = co_await lines.Next()) Use(*line);

#ifndef AGENTOS_HANDLERS_ASYNC_GENERATOR_H_
#define AGENTOS_HANDLERS_ASYNC_GENERATOR_H_

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "agentos/handlers/coroutine_resumer.h"

namespace agentos {

template <typename T>
class [[nodiscard]] AsyncGenerator {
 public:
  class promise_type {
   public:
    AsyncGenerator get_return_object() { return AsyncGenerator(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }

    struct HandOver {
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<promise_type> from) const noexcept { HandOverTo(from.promise().consumer_); }
      void await_resume() const noexcept {}
    };
    HandOver final_suspend() noexcept { return {}; }
    HandOver yield_value(T value) {
      value_.emplace(std::move(value));
      return {};
    }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { exception_ = std::current_exception(); }

   private:
    friend class AsyncGenerator;
    std::coroutine_handle<> consumer_;
    std::optional<T> value_;
    std::exception_ptr exception_;
  };

  AsyncGenerator(AsyncGenerator&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  AsyncGenerator& operator=(AsyncGenerator&& other) noexcept {
    if (this != &other) {
      Destroy();
      coroutine_ = std::exchange(other.coroutine_, nullptr);
    }
    return *this;
  }
  AsyncGenerator(const AsyncGenerator&) = delete;
  AsyncGenerator& operator=(const AsyncGenerator&) = delete;
  ~AsyncGenerator() { Destroy(); }

  // Awaiting it gives the next value; nothing at the end, and from then on.
  auto Next() {
    struct Awaiter {
      std::coroutine_handle<promise_type> coroutine;
      bool await_ready() const noexcept { return coroutine.done(); }
      void await_suspend(std::coroutine_handle<> consumer) const noexcept {
        coroutine.promise().consumer_ = consumer;
        HandOverTo(coroutine);
      }
      std::optional<T> await_resume() {
        promise_type& promise = coroutine.promise();
        if (promise.exception_ != nullptr) std::rethrow_exception(std::exchange(promise.exception_, nullptr));
        return std::exchange(promise.value_, std::nullopt);
      }
    };
    return Awaiter{coroutine_};
  }

 private:
  explicit AsyncGenerator(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

  void Destroy() noexcept {
    if (coroutine_ != nullptr) coroutine_.destroy();
  }

  std::coroutine_handle<promise_type> coroutine_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_ASYNC_GENERATOR_H_
