// Two observers where there is room for one.
//
// Thread rule: as RingObserver's.
// Lifetime: both outlive it.

#ifndef AGENTOS_MANAGER_OBSERVER_PAIR_H_
#define AGENTOS_MANAGER_OBSERVER_PAIR_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "agentos/ring/observer.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"

namespace agentos {

class ObserverPair final : public RingObserver {
 public:
  ObserverPair(RingObserver& first, RingObserver& second) : first_(first), second_(second) {}

  void OnRingCreated(Pid pid, const RingOptions& options) override {
    first_.OnRingCreated(pid, options);
    second_.OnRingCreated(pid, options);
  }
  void OnRingDestroyed(Pid pid) override {
    first_.OnRingDestroyed(pid);
    second_.OnRingDestroyed(pid);
  }
  void OnRefused(Pid pid, size_t entries, const absl::Status& why) override {
    first_.OnRefused(pid, entries, why);
    second_.OnRefused(pid, entries, why);
  }
  void OnQueued(const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns) override {
    first_.OnQueued(entry, seq, now_ns);
    second_.OnQueued(entry, seq, now_ns);
  }
  void OnDispatched(Pid pid, Seq seq, OperationKind kind, int64_t queued_ns) override {
    first_.OnDispatched(pid, seq, kind, queued_ns);
    second_.OnDispatched(pid, seq, kind, queued_ns);
  }
  void OnQueuedAndDispatched(const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns) override {
    first_.OnQueuedAndDispatched(entry, seq, now_ns);
    second_.OnQueuedAndDispatched(entry, seq, now_ns);
  }
  void OnCompleted(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) override {
    first_.OnCompleted(pid, seq, kind, result);
    second_.OnCompleted(pid, seq, kind, result);
  }
  void OnCancelled(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) override {
    first_.OnCancelled(pid, seq, kind, result);
    second_.OnCancelled(pid, seq, kind, result);
  }
  void OnDropped(Pid pid, Seq seq, OperationKind kind) override {
    first_.OnDropped(pid, seq, kind);
    second_.OnDropped(pid, seq, kind);
  }

 private:
  RingObserver& first_;
  RingObserver& second_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_OBSERVER_PAIR_H_
