// What waits for which fd, on one epoll: for each file a queue, served in the order in which they came.
//
// A file is watched through a descriptor of our own (held_fds.h), so that it stays the same file whatever the program does with
// its number, and io_uring's rule holds: what waits keeps the file open. Several who wait for one file share that descriptor.
// Whether an fd still is the file that is watched under its number is asked of a second epoll, whose entries the kernel finds by
// number and file together.
//
// An event disarms the file; Arm puts it back with what is still waited for.
//
// Thread rule: externally synchronised. epoll_wait on fd() needs no lock.
// Lifetime: a Waiting stays valid from Add to Remove.
// Errors: -errno; -EPERM for files that epoll does not know (regular ones).
// Source: epoll(7), epoll_ctl(2).
//
//   watches.Add(waiting, fd, POLLIN);
//   epoll_wait(watches.fd(), ...);
//   FdWatch* watch = watches.Find(event.data.u64);         // null: nobody waits any more
//   while ((waiting = watches.NextReady(*watch, event.events, round)) != nullptr) { ...; watches.Remove(*waiting); }
//   watches.Arm(*watch);

#ifndef AGENTOS_EXECUTOR_FD_WATCHES_H_
#define AGENTOS_EXECUTOR_FD_WATCHES_H_

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "agentos/executor/held_fds.h"

namespace agentos {

struct FdWatch;

// One that waits: the base of whoever uses the watches.
struct FdWaiting {
  FdWatch* watch = nullptr;
  FdWaiting* next = nullptr;
  FdWaiting* previous = nullptr;
  // POLLIN and so on.
  uint32_t events = 0;
  // It only wants to know (a poll), and takes nothing away from others.
  bool only_looks = false;
  // Somebody is trying right now: nobody behind it may, for the same direction.
  bool busy = false;
  // The round of NextReady that it had its turn in.
  uint64_t round = 0;
};

struct FdWatch {
  uint64_t id = 0;
  int fd = -1;    // the program's number for the file when the watch began
  int held = -1;  // ours
  FdWaiting* first = nullptr;
  FdWaiting* last = nullptr;
  uint32_t armed = 0;
};

class FdWatches {
 public:
  // `held` outlives the watches.
  static absl::StatusOr<std::unique_ptr<FdWatches>> Create(HeldFds* held);
  ~FdWatches();
  FdWatches(const FdWatches&) = delete;
  FdWatches& operator=(const FdWatches&) = delete;

  int fd() const { return epoll_; }
  int identity_fd() const { return identity_; }

  // 0: `waiting` is behind the others of its file, which is armed. -EPERM: this file cannot be waited for.
  int Add(FdWaiting& waiting, int fd, uint32_t events);

  // What an event's data.u64 names; null when it is gone since.
  FdWatch* Find(uint64_t id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
  }

  // The next that `events` concern and that has not had its turn in `round`; null when there is none.
  static FdWaiting* NextReady(FdWatch& watch, uint32_t events, uint64_t round);

  // False when it was the last one of its watch, which is gone then.
  bool Remove(FdWaiting& waiting);

  // After an event: lets the next one come.
  void Arm(FdWatch& watch);

 private:
  FdWatches(HeldFds* held, int epoll, int identity) : held_(held), epoll_(epoll), identity_(identity) {}

  FdWatch* FindOrMake(int fd, int& error);
  static uint32_t WantedOf(const FdWatch& watch);
  int Control(FdWatch& watch, int operation, uint32_t events);
  void Drop(FdWatch& watch);

  HeldFds* const held_;
  const int epoll_;
  const int identity_;
  // By the program's number. One whose number has become another file's is in no map, and goes with the last that waits for it.
  absl::flat_hash_map<int, FdWatch*> by_fd_;
  // Ids are never used twice. 0 is nobody's.
  absl::flat_hash_map<uint64_t, FdWatch*> by_id_;
  uint64_t last_id_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_FD_WATCHES_H_
