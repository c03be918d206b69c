// One side's sleep on a word that both sides share, which neither a dead peer nor a lying one can make last.
//
// Whoever wants to sleep declares it in the word, looks once more whether there is really nothing to do, and then sleeps; whoever
// makes something to do looks at the word afterwards. All four are sequentially consistent, so one of the two sees the other:
//
//   sleeper                          waker
//   word = asleep                    the news
//   look for news: none              word? asleep: word = 0, wake
//   sleep while the word is asleep
//
// The peer may write anything into the word. That can cost a wake-up, as a peer that says nothing could as well, but not the one
// that matters: WakeAll is this process's own and goes on until nobody sleeps.
//
// Thread rule: any thread.
// Lifetime: the word outlives the sleeper, the sleeper whoever sleeps.

#ifndef AGENTOS_IPC_SLEEPER_H_
#define AGENTOS_IPC_SLEEPER_H_

#include <atomic>
#include <cstdint>

namespace agentos {

// What a word says about the side that it belongs to.
inline constexpr uint32_t kAwake = 0;
inline constexpr uint32_t kAsleepOnWord = 1;
// In poll(2) or an io_uring, on a descriptor that has to be made readable.
inline constexpr uint32_t kAsleepOnFd = 2;

class Sleeper {
 public:
  explicit Sleeper(std::atomic<uint32_t>* word) : word_(word) {}
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  // Sleeps unless `has_news()`, until somebody wakes or the deadline has passed: then false. May return for no reason.
  template <typename HasNews>
  bool Sleep(int64_t deadline, HasNews has_news) {
    sleeping_.fetch_add(1);
    word_->store(kAsleepOnWord);
    const bool in_time = has_news() || Wait(deadline);
    sleeping_.fetch_sub(1);
    return in_time;
  }

  // Declares that this side sleeps on a descriptor.
  void DeclareOnFd() { word_->store(kAsleepOnFd); }
  void Withdraw() { word_->store(kAwake); }

  // Wakes all sleepers of this process. What `has_news` looks at must have been written before.
  void WakeAll();
  // Those who sleep at this moment.
  void WakeSleepers() {
    if (sleeping_.load() != 0) WakeOnce();
  }

 private:
  bool Wait(int64_t deadline);
  void WakeOnce();

  std::atomic<uint32_t>* const word_;
  std::atomic<int> sleeping_{0};
};

// For the side that makes news: wakes the other side if it sleeps on its word. True when it sleeps on a descriptor, which the
// caller has to make readable.
bool WakeSleeping(std::atomic<uint32_t>& word);
inline bool WakeIfAsleep(std::atomic<uint32_t>& word) { return word.load() != kAwake && WakeSleeping(word); }

}  // namespace agentos

#endif  // AGENTOS_IPC_SLEEPER_H_
