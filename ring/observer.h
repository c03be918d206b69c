// Who wants to hear what happens to entries: the trace recorder, a test, a metrics exporter.
//
// An observer hears four words once each per entry, at the edge where the state changes: queued, dispatched, completed (with its
// result; errors included) or cancelled; and dropped when a full completion queue gave up its oldest. Of a multishot entry it
// hears of each completion, the last of which has not `more`. And it hears when a ring is made, when it has gone, and when entries
// are refused. It can neither delay, refuse nor change anything.
//
// Thread rule: called on whichever thread moves the entry, with the lock of its kernel ring held, or that of the manager's
// directory. An implementation is thread-safe, does not block, and never calls back into the manager.
// Lifetime: outlives the manager it is given to. References are valid during the call only.
//
//   class Counter final : public RingObserver {
//     void OnQueued(const SyscallSubmissionEntry&, Seq, int64_t) override { queued_.fetch_add(1); }
//     ...
//   };

#ifndef AGENTOS_RING_OBSERVER_H_
#define AGENTOS_RING_OBSERVER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"

namespace agentos {

// An entry's end as an observer sees it.
struct ObservedResult {
  // 0 unless it is an error.
  int error_number = 0;
  bool cancelled = false;
  int64_t value = 0;
  // Of a multishot entry: further completions follow, this is not its end.
  bool more = false;
  // From acceptance to completion.
  int64_t latency_ns = 0;
  // When it ended, CLOCK_MONOTONIC.
  int64_t ended_ns = 0;
  // What was read or received, wherever it lies. Valid during the call.
  absl::string_view data = {};
  // As a SyscallResult has it. Valid during the call.
  absl::string_view peer_address = {};
};

class RingObserver {
 public:
  virtual ~RingObserver() = default;

  // The process has a ring from now on, or none any more. Of the ring's entries nothing is heard before the one nor after the
  // other.
  virtual void OnRingCreated(Pid /*pid*/, const RingOptions& /*options*/) {}
  virtual void OnRingDestroyed(Pid /*pid*/) {}
  // So many entries that were submitted together were not accepted. The process need not have a ring.
  virtual void OnRefused(Pid /*pid*/, size_t /*entries*/, const absl::Status& /*why*/) {}

  // Accepted by its ring, at `now_ns` of CLOCK_MONOTONIC.
  virtual void OnQueued(const SyscallSubmissionEntry& /*entry*/, Seq /*seq*/, int64_t /*now_ns*/) {}
  // Handed to whoever executes it, some time after `queued_ns`.
  virtual void OnDispatched(Pid /*pid*/, Seq /*seq*/, OperationKind /*kind*/, int64_t /*queued_ns*/) {}
  // The two above in one, as it is for most entries: for observers to whom a call less matters.
  virtual void OnQueuedAndDispatched(const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns) {
    OnQueued(entry, seq, now_ns);
    OnDispatched(entry.pid(), seq, entry.kind(), now_ns);
  }
  // Placed in its ring's completion queue, as success or error.
  virtual void OnCompleted(Pid /*pid*/, Seq /*seq*/, OperationKind /*kind*/, const ObservedResult& /*result*/) {}
  // Placed in its ring's completion queue, as cancelled.
  virtual void OnCancelled(Pid /*pid*/, Seq /*seq*/, OperationKind /*kind*/, const ObservedResult& /*result*/) {}
  // Taken out of a full completion queue, unread. Comes after OnCompleted or OnCancelled of the same entry.
  virtual void OnDropped(Pid /*pid*/, Seq /*seq*/, OperationKind /*kind*/) {}
};

}  // namespace agentos

#endif  // AGENTOS_RING_OBSERVER_H_
