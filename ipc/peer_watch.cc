#include "agentos/ipc/peer_watch.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "agentos/executor/library_thread.h"

namespace agentos {

PeerWatch& PeerWatch::Instance() {
  static std::mutex mutex;
  static PeerWatch* instance = nullptr;
  const std::lock_guard<std::mutex> lock(mutex);
  // A child's copy of its parent's is left as it is: its thread and its descriptors are the parent's.
  if (instance == nullptr || instance->guard_.InForkedChild()) instance = new PeerWatch();
  return *instance;
}

absl::Status PeerWatch::Start() {
  epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return absl::ErrnoToStatus(errno, "epoll_create1");
  stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  if (!stop_) return absl::ErrnoToStatus(errno, "eventfd");
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = 0}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0) return absl::ErrnoToStatus(errno, "epoll_ctl");
  if (!StartLibraryThread(&thread_, &Run, this))
    return absl::ResourceExhaustedError("pthread_create: no thread to watch the peer");
  return absl::OkStatus();
}

void PeerWatch::Stop() {
  const uint64_t one = 1;
  // An eventfd that nobody reads takes a single 1.
  if (write(stop_.get(), &one, sizeof(one)) == sizeof(one)) pthread_join(thread_, nullptr);
  epoll_ = UniqueFd();
  stop_ = UniqueFd();
}

absl::StatusOr<uint64_t> PeerWatch::Watch(int pidfd, std::weak_ptr<Mourner> mourner) {
  const std::lock_guard<std::mutex> life(life_);
  bool first = false;
  uint64_t watch = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    first = watched_.empty();
    watch = next_++;
  }
  if (first) {
    if (absl::Status status = Start(); !status.ok()) return status;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    watched_[watch] = {pidfd, std::move(mourner)};
  }
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = watch}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd, &event) == 0) return watch;
  const int error = errno;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    watched_.erase(watch);
  }
  if (first) Stop();
  return absl::ErrnoToStatus(error, "epoll_ctl on a pidfd");
}

void PeerWatch::Forget(uint64_t watch) {
  const std::lock_guard<std::mutex> life(life_);
  bool last = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = watched_.find(watch);
    if (found == watched_.end()) return;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.pidfd, nullptr);
    watched_.erase(found);
    last = watched_.empty();
  }
  if (last) Stop();
}

void* PeerWatch::Run(void* self) {
  NameLibraryThread("agentos-peers");
  static_cast<PeerWatch*>(self)->WatchUntilStopped();
  return nullptr;
}

void PeerWatch::WatchUntilStopped() {
  for (;;) {
    epoll_event event{};
    if (epoll_wait(epoll_.get(), &event, 1, -1) != 1) continue;
    const uint64_t watch = event.data.u64;
    if (watch == 0) return;
    std::shared_ptr<Mourner> mourner;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = watched_.find(watch);
      if (found == watched_.end()) continue;
      // The dead stay dead, and readable.
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.pidfd, nullptr);
      mourner = found->second.mourner.lock();
    }
    if (mourner != nullptr) mourner->PeerDied();
  }
}

}  // namespace agentos
