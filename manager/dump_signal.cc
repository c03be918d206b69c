#include "agentos/manager/dump_signal.h"

#include <signal.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

constexpr int kSignals = 65;

std::atomic<uint32_t> arrived[kSignals];
static_assert(std::atomic<uint32_t>::is_always_lock_free, "a handler may touch nothing else");

std::mutex install_mutex;
uint32_t users[kSignals];
struct sigaction before[kSignals];

void Count(int signal) { arrived[signal].fetch_add(1, std::memory_order_relaxed); }

}  // namespace

absl::StatusOr<DumpSignal> DumpSignal::Install(int signal) {
  if (signal < 1 || signal >= kSignals) {
    return absl::InvalidArgumentError(absl::StrCat("dump_signal is ", signal, ": there is no such signal"));
  }
  std::lock_guard<std::mutex> lock(install_mutex);
  if (users[signal] == 0) {
    struct sigaction action = {};
    if (sigaction(signal, nullptr, &action) == 0 && (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)) {
      return absl::FailedPreconditionError(
          absl::StrCat("dump_signal is ", signal, ": the program has a handler for it already; choose another one"));
    }
    action = {};
    action.sa_handler = &Count;
    action.sa_flags = SA_RESTART;
    if (sigaction(signal, &action, &before[signal]) != 0) {
      return absl::InvalidArgumentError(absl::StrCat("dump_signal is ", signal, ": it cannot be handled"));
    }
  }
  ++users[signal];
  return DumpSignal(signal, arrived[signal].load(std::memory_order_relaxed));
}

DumpSignal::DumpSignal(DumpSignal&& other) noexcept : signal_(std::exchange(other.signal_, 0)), seen_(other.seen_) {}

DumpSignal::~DumpSignal() {
  if (signal_ == 0) return;
  std::lock_guard<std::mutex> lock(install_mutex);
  if (--users[signal_] > 0) return;
  struct sigaction now = {};
  if (sigaction(signal_, nullptr, &now) == 0 && now.sa_handler == &Count) sigaction(signal_, &before[signal_], nullptr);
}

bool DumpSignal::TakeArrived() {
  const uint32_t now = arrived[signal_].load(std::memory_order_relaxed);
  return std::exchange(seen_, now) != now;
}

}  // namespace agentos
