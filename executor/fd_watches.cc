#include "agentos/executor/fd_watches.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/status/status.h"

namespace agentos {

namespace {

// These are reported whether asked for or not.
constexpr uint32_t kAlways = POLLERR | POLLHUP;

// Goes over those that may be tried: nobody is trying before them, in their direction. `visit` says whether to go on.
template <typename Visit>
void ForEachFree(const FdWatch& watch, Visit visit) {
  bool busy_in = false;
  bool busy_out = false;
  for (FdWaiting* waiting = watch.first; waiting != nullptr; waiting = waiting->next) {
    bool& busy = (waiting->events & POLLOUT) != 0 ? busy_out : busy_in;
    const bool is_free = !waiting->busy && (waiting->only_looks || !busy);
    busy |= waiting->busy;
    if (is_free && !visit(*waiting)) return;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<FdWatches>> FdWatches::Create(HeldFds* held) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return absl::ErrnoToStatus(errno, "epoll_create1");
  const int identity = epoll_create1(EPOLL_CLOEXEC);
  if (identity < 0) {
    const int error = errno;
    close(epoll);
    return absl::ErrnoToStatus(error, "epoll_create1");
  }
  return std::unique_ptr<FdWatches>(new FdWatches(held, epoll, identity));
}

FdWatches::~FdWatches() {
  close(identity_);
  close(epoll_);
}

FdWatch* FdWatches::FindOrMake(int fd, int& error) {
  const auto [found, is_new] = by_fd_.try_emplace(fd, nullptr);
  epoll_event nothing = {};
  if (!is_new && epoll_ctl(identity_, EPOLL_CTL_MOD, fd, &nothing) == 0) return found->second;
  auto watch = std::make_unique<FdWatch>();
  watch->id = ++last_id_;
  watch->fd = fd;
  watch->held = held_->Hold(fd);
  // Out of descriptors: the program's own will do, as long as it stays open.
  if (watch->held < 0) watch->held = fd;
  epoll_event event = {.events = EPOLLONESHOT, .data = {.u64 = watch->id}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, watch->held, &event) != 0) {
    error = -errno;
    if (watch->held != fd) held_->Release(watch->held);
    if (is_new) by_fd_.erase(fd);
    return nullptr;
  }
  // It may be there still, from a time when the same file had the same number.
  epoll_ctl(identity_, EPOLL_CTL_ADD, fd, &nothing);
  by_id_[watch->id] = watch.get();
  return by_fd_[fd] = watch.release();
}

int FdWatches::Add(FdWaiting& waiting, int fd, uint32_t events) {
  int error = 0;
  FdWatch* watch = FindOrMake(fd, error);
  if (watch == nullptr) return error;
  waiting.watch = watch;
  waiting.events = events;
  waiting.busy = false;
  waiting.next = nullptr;
  waiting.previous = watch->last;
  (watch->last == nullptr ? watch->first : watch->last->next) = &waiting;
  watch->last = &waiting;
  // Not counted anew for each of a thousand that wait for one file.
  if (watch->armed == 0 || (watch->armed & events) != events) Arm(*watch);
  return 0;
}

FdWaiting* FdWatches::NextReady(FdWatch& watch, uint32_t events, uint64_t round) {
  watch.armed = 0;
  FdWaiting* found = nullptr;
  ForEachFree(watch, [&](FdWaiting& waiting) {
    if (waiting.round == round || (events & (waiting.events | kAlways)) == 0) return true;
    found = &waiting;
    return false;
  });
  if (found != nullptr) found->round = round;
  return found;
}

bool FdWatches::Remove(FdWaiting& waiting) {
  FdWatch& watch = *waiting.watch;
  (waiting.previous == nullptr ? watch.first : waiting.previous->next) = waiting.next;
  (waiting.next == nullptr ? watch.last : waiting.next->previous) = waiting.previous;
  waiting.watch = nullptr;
  if (watch.first != nullptr) return true;
  Drop(watch);
  return false;
}

uint32_t FdWatches::WantedOf(const FdWatch& watch) {
  uint32_t wanted = 0;
  ForEachFree(watch, [&](const FdWaiting& waiting) {
    wanted |= waiting.events;
    return true;
  });
  return wanted;
}

void FdWatches::Arm(FdWatch& watch) {
  const uint32_t wanted = WantedOf(watch);
  // A file that is armed with nothing still reports errors: leave it alone until whoever is busy comes back.
  if (wanted == watch.armed || wanted == 0) return;
  watch.armed = wanted;
  Control(watch, EPOLL_CTL_MOD, wanted | EPOLLONESHOT);
}

int FdWatches::Control(FdWatch& watch, int operation, uint32_t events) {
  epoll_event event = {.events = events, .data = {.u64 = watch.id}};
  return epoll_ctl(epoll_, operation, watch.held, &event);
}

void FdWatches::Drop(FdWatch& watch) {
  Control(watch, EPOLL_CTL_DEL, 0);
  const auto found = by_fd_.find(watch.fd);
  if (found != by_fd_.end() && found->second == &watch) {
    // The program may be closing that number at this moment, or another file may have it: then there is nothing to be found under
    // it. Not by the C library's function, whose use of a number that another thread closes a race detector would report.
    syscall(SYS_epoll_ctl, identity_, EPOLL_CTL_DEL, watch.fd, nullptr);
    by_fd_.erase(found);
  }
  by_id_.erase(watch.id);
  if (watch.held != watch.fd) held_->Release(watch.held);
  delete &watch;
}

}  // namespace agentos
