#include "agentos/ipc/sleeper.h"

#include <sched.h>

#include "agentos/ipc/futex.h"

namespace agentos {

bool Sleeper::Wait(int64_t deadline) { return FutexWait(*word_, kAsleepOnWord, deadline); }

void Sleeper::WakeOnce() {
  word_->store(kAwake);
  FutexWake(*word_);
}

void Sleeper::WakeAll() {
  while (sleeping_.load() != 0) {
    WakeOnce();
    // Who was about to sleep when the word was cleared, and the peer said "asleep" again, sleeps by the next turn.
    sched_yield();
  }
}

bool WakeSleeping(std::atomic<uint32_t>& word) {
  const uint32_t asleep = word.exchange(kAwake);
  if (asleep == kAsleepOnFd) return true;
  if (asleep != kAwake) FutexWake(word);
  return false;
}

}  // namespace agentos
