// What other threads want of an AsyncRing's loop: calls, and operations to stop. Private to handlers/.
//
// The loop says when it is about to sleep, and is woken by a Nop in its ring: once for however many messages.
//
// Thread rule: Post and Stop from any thread; the rest from the loop's.
// Lifetime: shared by the loop and the stop tokens that may still tell it something; after Close nobody is told.

#ifndef AGENTOS_HANDLERS_RING_MAILBOX_H_
#define AGENTOS_HANDLERS_RING_MAILBOX_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/types.h"

namespace agentos::handlers_internal {

class RingMailbox {
 public:
  // user_data of the Nop that wakes the loop.
  static constexpr uint64_t kWakeUp = ~uint64_t{0};

  RingMailbox(IoUringManager* manager, Pid pid) : manager_(manager), pid_(pid) {}

  void Post(absl::AnyInvocable<void()> call) {
    Add([&](Messages& messages) { messages.calls.push_back(std::move(call)); });
  }
  // `token` names an operation of the loop.
  void Stop(uint64_t token) {
    Add([&](Messages& messages) { messages.stops.push_back(token); });
  }

  // The loop looks at its mail before it sleeps again. False: it must not sleep now, there is mail.
  bool MaySleep() {
    awake_.store(false, std::memory_order_seq_cst);
    if (!has_mail_.load(std::memory_order_seq_cst)) return true;
    awake_.store(true, std::memory_order_relaxed);
    return false;
  }
  void WakesUp() { awake_.store(true, std::memory_order_relaxed); }

  struct Messages {
    std::vector<absl::AnyInvocable<void()>> calls;
    std::vector<uint64_t> stops;
  };
  bool has_mail() const { return has_mail_.load(std::memory_order_relaxed); }
  Messages Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    has_mail_.store(false, std::memory_order_relaxed);
    return std::exchange(messages_, {});
  }

  void Close() {
    const std::lock_guard<std::mutex> lock(mutex_);
    manager_ = nullptr;
  }

 private:
  template <typename Change>
  void Add(Change change) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (manager_ == nullptr) return;
    change(messages_);
    has_mail_.store(true, std::memory_order_seq_cst);
    if (awake_.exchange(true, std::memory_order_seq_cst)) return;
    // The loop leaves room for it. A ring that is gone needs no waking.
    static_cast<void>(manager_->Submit(pid_, SyscallSubmissionEntry::Nop(pid_, kWakeUp)));
  }

  std::mutex mutex_;
  IoUringManager* manager_;
  const Pid pid_;
  Messages messages_;
  std::atomic<bool> has_mail_{false};
  std::atomic<bool> awake_{false};
};

}  // namespace agentos::handlers_internal

#endif  // AGENTOS_HANDLERS_RING_MAILBOX_H_
