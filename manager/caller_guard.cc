#include "agentos/manager/caller_guard.h"

#include <pthread.h>

#include <atomic>

namespace agentos {

namespace {

std::atomic<uint64_t> forks{0};

// Registered once, before the first manager exists.
bool CountForks() {
  static const bool registered = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); }) == 0;
  return registered;
}

}  // namespace

CallerGuard::CallerGuard(Threading threading)
    : forks_((CountForks(), Forks())), owner_(threading == Threading::kOneThread ? ThisThread() : nullptr) {}

uint64_t CallerGuard::Forks() { return forks.load(std::memory_order_relaxed); }

const void* CallerGuard::ThisThread() {
  static thread_local char mark;
  return &mark;
}

absl::Status CallerGuard::ForkedChild() {
  return absl::FailedPreconditionError(
      "this manager belongs to the parent process; a forked child makes one of "
      "its own");
}

absl::Status CallerGuard::WrongThread() {
  return absl::FailedPreconditionError(
      "this manager was made with Threading::kOneThread; only the thread that "
      "made it may call it (use kAnyThread otherwise)");
}

}  // namespace agentos
