#include "agentos/executor/ring_events.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "absl/status/status.h"

namespace agentos {

namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

// Takes what is in an eventfd or timerfd; that there is nothing is no error.
void Drain(int fd) {
  uint64_t count;
  [[maybe_unused]] const ssize_t taken = read(fd, &count, sizeof(count));
}

absl::Status Watch(int epoll_fd, int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? absl::OkStatus() : absl::ErrnoToStatus(errno, "epoll_ctl");
}

}  // namespace

absl::StatusOr<std::unique_ptr<LaneEvents>> LaneEvents::Create() {
  UniqueFd bell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell) return absl::ErrnoToStatus(errno, "eventfd");
  UniqueFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return absl::ErrnoToStatus(errno, "timerfd_create");
  return std::unique_ptr<LaneEvents>(new LaneEvents(std::move(bell), std::move(timer)));
}

LaneEvents::LaneEvents(UniqueFd bell, UniqueFd timer) : bell_(std::move(bell)), timer_(std::move(timer)) {}

void LaneEvents::Quiet() { Drain(bell_.get()); }

void LaneEvents::SetTimer(int64_t at_ns) {
  if (at_ns == timer_set_ns_) return;
  timer_set_ns_ = at_ns;
  const itimerspec at = {.it_interval = {}, .it_value = {.tv_sec = at_ns / kNanosPerSecond, .tv_nsec = at_ns % kNanosPerSecond}};
  // Fails only for times that are none. Setting it also takes what it has rung.
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &at, nullptr);
}

absl::StatusOr<std::unique_ptr<RingEvents>> RingEvents::Create(const LaneEvents& lane) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return absl::ErrnoToStatus(errno, "epoll_create1");
  UniqueFd ready(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ready) return absl::ErrnoToStatus(errno, "eventfd");
  for (const int fd : {ready.get(), lane.bell_fd(), lane.timer_fd()}) {
    if (absl::Status watched = Watch(epoll.get(), fd); !watched.ok()) return watched;
  }
  return std::unique_ptr<RingEvents>(new RingEvents(std::move(epoll), std::move(ready)));
}

RingEvents::RingEvents(UniqueFd epoll, UniqueFd ready) : epoll_(std::move(epoll)), ready_(std::move(ready)) {}

void RingEvents::Show(bool readable) {
  if (readable == shown_) return;
  shown_ = readable;
  if (!readable) return Drain(ready_.get());
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(ready_.get(), &one, sizeof(one));
}

}  // namespace agentos
