// AsyncRingGroup: the rings of many processes, driven by one thread as one: one wait serves all, whoever has something.
//
// Each ring of the group is an AsyncRing of its own, with its own limits; driving any of them (RunOnce, RunUntilComplete, ...) drives
// all. A turn submits what has begun, ring by ring, and costs nothing for rings that have nothing to do.
//
// Thread rule: as AsyncRing: one thread at a time drives the group and begins operations on its rings.
// Lifetime: the manager outlives the group, and the group its rings.
// Errors: as AsyncRing. When somebody else destroys a ring of the group, its operations end when the next one begins on it.
//
//   absl::StatusOr<std::unique_ptr<AsyncRingGroup>> group = AsyncRingGroup::Create(*manager);
//   for (Pid pid : agents) rings.push_back(*(*group)->MakeRing(pid, LimitsOf(pid)));
//   while (working) (*group)->RunOnce();

#ifndef AGENTOS_HANDLERS_ASYNC_RING_GROUP_H_
#define AGENTOS_HANDLERS_ASYNC_RING_GROUP_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/types.h"

namespace agentos {

class AsyncRingGroup {
 public:
  static absl::StatusOr<std::unique_ptr<AsyncRingGroup>> Create(IoUringManager& manager);
  AsyncRingGroup(const AsyncRingGroup&) = delete;
  AsyncRingGroup& operator=(const AsyncRingGroup&) = delete;

  // As AsyncRing::Create, in the group.
  absl::StatusOr<std::unique_ptr<AsyncRing>> MakeRing(Pid pid, RingOptions options = AsyncRing::DefaultOptions());

  // Operations of all rings that have begun and not ended.
  size_t under_way() const;
  // As the methods of AsyncRing of the same names, for all rings.
  size_t RunReady();
  size_t RunOnce(absl::Duration timeout = absl::InfiniteDuration());
  absl::Status RunUntilIdle(absl::Duration timeout = absl::InfiniteDuration());

 private:
  friend class AsyncRing;

  AsyncRingGroup(IoUringManager& manager, RingGroupId id);

  // A ring that has something to be submitted, or mail.
  void NoteBegun(AsyncRing& ring) { begun_.push_back(&ring); }
  void NoteServedMail() { has_served_mail_ = true; }
  void Forget(AsyncRing& ring);
  size_t Turn(size_t min, absl::Duration timeout);
  size_t SubmitBegun();

  IoUringManager& manager_;
  const RingGroupId id_;
  absl::flat_hash_map<Pid, AsyncRing*> rings_;
  std::deque<AsyncRing*> begun_;
  // Since the turn began.
  bool has_served_mail_ = false;
  // For the turns of the outermost loop; a loop within a callback brings its own.
  std::vector<SyscallCompletionEntry> completions_;
  int depth_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_ASYNC_RING_GROUP_H_
