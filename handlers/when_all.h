// WhenAll: waits for several at once: operations as one batch, or tasks side by side.
//
// Nothing is left behind: it goes on when the last has ended, whatever became of them. Destroying who awaits it stops all.
//
// Thread rule, lifetime: as Task and AsyncRing.
// Errors: operations say theirs in their completions. When tasks end by exceptions the first in order is thrown, after all have
// ended.
//
//   std::vector<SyscallCompletionEntry> all = co_await WhenAll(std::move(operations));   // std::vector<AsyncOperation>
//   std::vector<size_t> sizes = co_await WhenAll(std::move(tasks));                      // std::vector<Task<size_t>>
//   auto [config, length] = co_await WhenAll(LoadConfig(ring), CountLines(ring));        // Task<Config>, Task<size_t>
//
// A chain: operations that are linked are one when they begin together.
//
//   auto [written, synced] = co_await WhenAll(ring.Write(fd, data, 0).WithLink(), ring.Fsync(fd));

#ifndef AGENTOS_HANDLERS_WHEN_ALL_H_
#define AGENTOS_HANDLERS_WHEN_ALL_H_

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "agentos/handlers/async_operation.h"
#include "agentos/handlers/coroutine_resumer.h"
#include "agentos/handlers/task.h"
#include "agentos/ring/completion_entry.h"

namespace agentos {

namespace handlers_internal {

// What all operations of one WhenAll or WhenAny share.
struct Gathering {
  std::coroutine_handle<> awaiter;
  // The awaiter goes on when this is 0.
  size_t missing = 0;
  // Which one ended last.
  size_t last = 0;
};

class GatheredOperation final : public PendingOperation {
 public:
  void Start(AsyncOperation operation, Gathering& gathering, size_t index) {
    gathering_ = &gathering;
    index_ = index;
    std::move(operation).StartFor(*this, stop_);
  }
  SyscallCompletionEntry& done() { return done_; }

 private:
  void OnCompletion(SyscallCompletionEntry& done) override {
    stop_.reset();
    done_ = std::move(done);
    gathering_->last = index_;
    if (--gathering_->missing == 0) ResumeCoroutine(gathering_->awaiter);
  }

  Gathering* gathering_ = nullptr;
  size_t index_ = 0;
  SyscallCompletionEntry done_;
  std::optional<StopCallback> stop_;
};

// Awaits operations, which never end while they begin. `Operations` and `Started` are vectors or arrays.
template <typename Operations, typename Started>
class GatherOperations {
 public:
  // How many have to end: all of them, or one.
  enum class Until { kAll, kOne };

  GatherOperations(Until until, Operations operations) : operations_(std::move(operations)) {
    if constexpr (requires { started_.resize(1); }) started_ = Started(operations_.size());
    gathering_.missing = until == Until::kAll ? operations_.size() : 1;
  }

  bool await_ready() const noexcept { return operations_.empty(); }
  void await_suspend(std::coroutine_handle<> awaiter) {
    gathering_.awaiter = awaiter;
    for (size_t i = 0; i < operations_.size(); ++i) started_[i].Start(std::move(operations_[i]), gathering_, i);
  }

 protected:
  Started& started() { return started_; }
  // Which one ended last.
  size_t last() const { return gathering_.last; }

 private:
  Operations operations_;
  Started started_;
  Gathering gathering_;
};

class WhenAllOfMany : public GatherOperations<std::vector<AsyncOperation>, std::vector<GatheredOperation>> {
 public:
  explicit WhenAllOfMany(std::vector<AsyncOperation> operations) : GatherOperations(Until::kAll, std::move(operations)) {}

  std::vector<SyscallCompletionEntry> await_resume() {
    std::vector<SyscallCompletionEntry> all;
    all.reserve(started().size());
    for (GatheredOperation& operation : started()) all.push_back(std::move(operation.done()));
    return all;
  }
};

template <size_t N>
class WhenAllOfFew : public GatherOperations<std::array<AsyncOperation, N>, std::array<GatheredOperation, N>> {
 public:
  using Base = GatherOperations<std::array<AsyncOperation, N>, std::array<GatheredOperation, N>>;
  explicit WhenAllOfFew(std::array<AsyncOperation, N> operations) : Base(Base::Until::kAll, std::move(operations)) {}

  std::array<SyscallCompletionEntry, N> await_resume() {
    std::array<SyscallCompletionEntry, N> all;
    for (size_t i = 0; i < N; ++i) all[i] = std::move(this->started()[i].done());
    return all;
  }
};

// Runs tasks side by side until `wanted` of them have ended, or the first of them when that is enough for `wanted`.
template <typename... Tasks>
class RunTasks {
 public:
  RunTasks(size_t wanted, Tasks&... tasks) : tasks_(tasks...), wanted_(wanted) {}

  bool await_ready() const noexcept { return wanted_ == 0; }
  bool await_suspend(std::coroutine_handle<> awaiter) {
    // One more, so that nobody goes on while some have not begun.
    missing_ = wanted_ + 1;
    std::apply([&](Tasks&... task) { (StartUnlessEnough(task, awaiter), ...); }, tasks_);
    return --missing_ > 0;
  }
  void await_resume() const noexcept {}

 private:
  template <typename T>
  void StartUnlessEnough(Task<T>& task, std::coroutine_handle<> awaiter) {
    if (missing_ > 1) task.StartFor(awaiter, missing_);
  }
  template <typename T>
  void StartUnlessEnough(std::vector<Task<T>>& tasks, std::coroutine_handle<> awaiter) {
    for (Task<T>& task : tasks) StartUnlessEnough(task, awaiter);
  }

  std::tuple<Tasks&...> tasks_;
  const size_t wanted_;
  size_t missing_ = 0;
};

// What a task gives, as a member of a tuple or a variant.
template <typename T>
using ValueOf = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename T>
ValueOf<T> TakeValue(Task<T>& task) {
  if constexpr (std::is_void_v<T>) {
    task.TakeResult();
    return {};
  } else {
    return task.TakeResult();
  }
}

}  // namespace handlers_internal

inline auto WhenAll(std::vector<AsyncOperation> operations) { return handlers_internal::WhenAllOfMany(std::move(operations)); }

template <std::same_as<AsyncOperation>... More>
auto WhenAll(AsyncOperation first, More... more) {
  using Operations = std::array<AsyncOperation, 1 + sizeof...(More)>;
  return handlers_internal::WhenAllOfFew<1 + sizeof...(More)>(Operations{std::move(first), std::move(more)...});
}

template <typename T>
Task<std::vector<T>> WhenAll(std::vector<Task<T>> tasks) {
  co_await handlers_internal::RunTasks(tasks.size(), tasks);
  std::vector<T> values;
  values.reserve(tasks.size());
  for (Task<T>& task : tasks) values.push_back(task.TakeResult());
  co_return values;
}

inline Task<void> WhenAll(std::vector<Task<void>> tasks) {
  co_await handlers_internal::RunTasks(tasks.size(), tasks);
  for (Task<void>& task : tasks) task.TakeResult();
}

template <typename... T>
requires(sizeof...(T) > 0) Task<std::tuple<handlers_internal::ValueOf<T>...>> WhenAll(Task<T>... tasks) {
  co_await handlers_internal::RunTasks(sizeof...(T), tasks...);
  co_return std::tuple<handlers_internal::ValueOf<T>...>{handlers_internal::TakeValue(tasks)...};
}

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_WHEN_ALL_H_
