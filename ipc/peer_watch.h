// Tells of the death of other processes at once, without asking: one thread for all channels of this process sleeps on their
// pidfds.
//
// A thread, because whoever waits for a message sleeps on a word of shared memory, and the kernel has no call that sleeps on a
// word and on a pidfd. It exists while something is watched.
//
// Thread rule: any thread, but not from a mourner. A forked child watches anew and never touches what its parent watches.
// Lifetime: a mourner that is gone is not called. Once Forget has returned the pidfd may be closed.
// Errors: Watch answers what the system refused.
// Source: pidfd_open(2), epoll(7).
//
//   absl::StatusOr<uint64_t> watch = PeerWatch::Instance().Watch(pidfd, mourner);
//   PeerWatch::Instance().Forget(*watch);

#ifndef AGENTOS_IPC_PEER_WATCH_H_
#define AGENTOS_IPC_PEER_WATCH_H_

#include <pthread.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/ipc/fork_guard.h"
#include "agentos/ring/unique_fd.h"

namespace agentos {

class Mourner {
 public:
  virtual ~Mourner() = default;
  // Once, on the watching thread.
  virtual void PeerDied() = 0;
};

class PeerWatch {
 public:
  // Of this process.
  static PeerWatch& Instance();
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

  absl::StatusOr<uint64_t> Watch(int pidfd, std::weak_ptr<Mourner> mourner);
  void Forget(uint64_t watch);

 private:
  struct Watched {
    int pidfd = -1;
    std::weak_ptr<Mourner> mourner;
  };

  PeerWatch() = default;

  static void* Run(void* self);
  void WatchUntilStopped();
  absl::Status Start();
  void Stop();

  const ForkGuard guard_;
  // Held while the thread is started or stopped.
  std::mutex life_;
  pthread_t thread_{};
  UniqueFd epoll_;
  UniqueFd stop_;

  std::mutex mutex_;
  std::map<uint64_t, Watched> watched_;
  // 0 stands for stop_.
  uint64_t next_ = 1;
};

}  // namespace agentos

#endif  // AGENTOS_IPC_PEER_WATCH_H_
