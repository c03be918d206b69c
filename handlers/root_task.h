// The coroutines at the bottom: those that no other coroutine awaits. Private to handlers/.
//
// Thread rule: as AsyncRing.

#ifndef AGENTOS_HANDLERS_ROOT_TASK_H_
#define AGENTOS_HANDLERS_ROOT_TASK_H_

#include <coroutine>
#include <cstddef>
#include <exception>
#include <utility>

#include "agentos/handlers/coroutine_resumer.h"
#include "agentos/handlers/task.h"

namespace agentos::handlers_internal {

// Runs a task and says when it is done. It must not outlive the task and the flag.
class RootTask {
 public:
  struct promise_type {
    RootTask get_return_object() { return RootTask(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    // The task keeps its exception for whoever takes its result.
    void unhandled_exception() noexcept { std::terminate(); }
  };

  RootTask(RootTask&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  RootTask& operator=(RootTask&&) = delete;
  ~RootTask() {
    if (coroutine_ != nullptr) coroutine_.destroy();
  }

  void Start() const { ResumeCoroutine(coroutine_); }

 private:
  explicit RootTask(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};

template <typename T>
RootTask WatchTask(Task<T>& task, bool& done) {
  co_await task.WhenDone();
  done = true;
}

template <typename T>
RootTask RunAsRoot(Task<T>& task, bool& done) {
  RootTask root = WatchTask(task, done);
  root.Start();
  return root;
}

// Tasks that run until they end, or until the list is destroyed.
class SpawnedTasks {
 public:
  SpawnedTasks() = default;
  SpawnedTasks(const SpawnedTasks&) = delete;
  SpawnedTasks& operator=(const SpawnedTasks&) = delete;
  ~SpawnedTasks() { DestroyAll(); }

  void Start(Task<void> task);
  void DestroyAll();
  size_t size() const { return size_; }

  // One of them, in the list.
  struct Node {
    SpawnedTasks* list = nullptr;
    Node* next = nullptr;
    Node* previous = nullptr;
    std::coroutine_handle<> coroutine;
  };

 private:
  friend struct SpawnedTask;
  void Link(Node& node);
  void Unlink(Node& node);

  Node* first_ = nullptr;
  size_t size_ = 0;
};

}  // namespace agentos::handlers_internal

#endif  // AGENTOS_HANDLERS_ROOT_TASK_H_
