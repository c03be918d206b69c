#include "agentos/handlers/root_task.h"

#include <glog/logging.h>

#include <exception>
#include <utility>

namespace agentos::handlers_internal {

struct SpawnedTask {
  struct promise_type : SpawnedTasks::Node {
    SpawnedTask get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    // Its end is the end of the coroutine: nobody holds it.
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
    ~promise_type() { list->Unlink(*this); }
  };
  std::coroutine_handle<promise_type> coroutine;
};

namespace {

SpawnedTask RunSpawned(Task<void> task) {
  try {
    co_await task;
  } catch (const std::exception& e) {
    LOG(ERROR) << "an exception ended a spawned task: " << e.what();
  } catch (...) {
    LOG(ERROR) << "an exception that is no std::exception ended a spawned task";
  }
}

}  // namespace

void SpawnedTasks::Start(Task<void> task) {
  const std::coroutine_handle<SpawnedTask::promise_type> coroutine = RunSpawned(std::move(task)).coroutine;
  coroutine.promise().coroutine = coroutine;
  Link(coroutine.promise());
  ResumeCoroutine(coroutine);
}

void SpawnedTasks::DestroyAll() {
  while (first_ != nullptr) first_->coroutine.destroy();
}

void SpawnedTasks::Link(Node& node) {
  node.list = this;
  node.next = first_;
  if (first_ != nullptr) first_->previous = &node;
  first_ = &node;
  ++size_;
}

void SpawnedTasks::Unlink(Node& node) {
  (node.previous == nullptr ? first_ : node.previous->next) = node.next;
  if (node.next != nullptr) node.next->previous = node.previous;
  --size_;
}

}  // namespace agentos::handlers_internal
