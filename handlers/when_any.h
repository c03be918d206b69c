// WhenAny: goes on with the first of several that ends, and stops the others. WithTimeout: a task that may take only so long.
//
// The others are stopped as anything is that is destroyed while it waits: their variables go, their operations are asked to stop,
// and a descriptor that one of them gives all the same is closed.
//
// Thread rule, lifetime: as Task and AsyncRing.
// Errors: an exception of the first that ends is thrown. An empty vector is a bug: it never ends.
//
//   auto [index, done] = co_await WhenAny(std::move(operations));          // std::vector<AsyncOperation>
//   std::variant<Page, Error> first = co_await WhenAny(Fetch(ring), Watch(ring));
//   absl::StatusOr<Page> page = co_await WithTimeout(ring, Fetch(ring), absl::Seconds(1));

#ifndef AGENTOS_HANDLERS_WHEN_ANY_H_
#define AGENTOS_HANDLERS_WHEN_ANY_H_

#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/task.h"
#include "agentos/handlers/when_all.h"

namespace agentos {

template <typename T>
struct FirstOf {
  size_t index = 0;
  T value;
};

namespace handlers_internal {

class WhenAnyOfMany : public GatherOperations<std::vector<AsyncOperation>, std::vector<GatheredOperation>> {
 public:
  explicit WhenAnyOfMany(std::vector<AsyncOperation> operations) : GatherOperations(Until::kOne, std::move(operations)) {}

  FirstOf<SyscallCompletionEntry> await_resume() { return {last(), std::move(started()[last()].done())}; }
};

// The value of the first task that is done, as the alternative of its place.
template <size_t I, typename Result, typename... T>
Result TakeFirst(std::tuple<Task<T>...>& tasks) {
  auto& task = std::get<I>(tasks);
  if (task.done()) return Result(std::in_place_index<I>, TakeValue(task));
  if constexpr (I + 1 < sizeof...(T)) {
    return TakeFirst<I + 1, Result>(tasks);
  } else {
    std::terminate();
  }
}

}  // namespace handlers_internal

inline auto WhenAny(std::vector<AsyncOperation> operations) { return handlers_internal::WhenAnyOfMany(std::move(operations)); }

template <typename T>
Task<FirstOf<handlers_internal::ValueOf<T>>> WhenAny(std::vector<Task<T>> tasks) {
  co_await handlers_internal::RunTasks(1, tasks);
  size_t first = 0;
  while (!tasks[first].done()) ++first;
  Task<T> ended = std::move(tasks[first]);
  tasks.clear();
  co_return FirstOf<handlers_internal::ValueOf<T>>{first, handlers_internal::TakeValue(ended)};
}

template <typename... T>
requires(sizeof...(T) > 0) Task<std::variant<handlers_internal::ValueOf<T>...>> WhenAny(Task<T>... tasks) {
  std::tuple<Task<T>...> all(std::move(tasks)...);
  co_await std::apply([](Task<T>&... each) { return handlers_internal::RunTasks(1, each...); }, all);
  co_return handlers_internal::TakeFirst<0, std::variant<handlers_internal::ValueOf<T>...>>(all);
}

// The task's value, or DeadlineExceeded: then it was destroyed where it stood.
template <typename T>
Task<absl::StatusOr<T>> WithTimeout(AsyncRing& ring, Task<T> task, absl::Duration timeout) {
  auto sleep = [](AsyncRing& on, absl::Duration duration) -> Task<SyscallCompletionStatus> {
    SyscallCompletionEntry done = co_await on.Sleep(duration);
    co_return std::move(done.status);
  };
  auto first = co_await WhenAny(std::move(task), sleep(ring, timeout));
  if (first.index() == 0) co_return std::get<0>(std::move(first));
  const SyscallCompletionStatus& slept = std::get<1>(first);
  if (!slept.is_success()) co_return slept.ToStatus();
  co_return absl::DeadlineExceededError(absl::StrCat("not done within ", absl::FormatDuration(timeout)));
}

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_WHEN_ANY_H_
