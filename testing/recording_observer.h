// An observer that remembers every word it heard, in order.
//
// Thread rule: any thread, as RingObserver asks; Events copies.
// Lifetime: outlives the manager it is given to.
//
//   RecordingObserver observer;
//   options.observer = &observer;
//   EXPECT_EQ(observer.WordsFor(kPid, seq), "queued dispatched completed");

#ifndef AGENTOS_TESTING_RECORDING_OBSERVER_H_
#define AGENTOS_TESTING_RECORDING_OBSERVER_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agentos/ring/observer.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"

namespace agentos {

struct ObservedEvent {
  std::string word;
  Pid pid = 0;
  Seq seq = 0;
  OperationKind kind = OperationKind::kNone;
  // Of queued only.
  uint64_t user_data = 0;
  // Of completed and cancelled only; what it points to is in the two below.
  ObservedResult result;
  std::string data = {};
  std::string peer_address = {};
};

class RecordingObserver final : public RingObserver {
 public:
  void OnQueued(const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns) override;
  void OnDispatched(Pid pid, Seq seq, OperationKind kind, int64_t queued_ns) override;
  void OnCompleted(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) override;
  void OnCancelled(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) override;
  void OnDropped(Pid pid, Seq seq, OperationKind kind) override;
  void OnRingCreated(Pid pid, const RingOptions& options) override;
  void OnRingDestroyed(Pid pid) override;
  void OnRefused(Pid pid, size_t entries, const absl::Status& why) override;

  std::vector<ObservedEvent> Events() const;
  // What it heard of rings and of refusals, in order: "created 7 256 512", "refused 7 2 INVALID_ARGUMENT", "destroyed 7".
  std::vector<std::string> RingEvents() const;
  // The words for one entry, separated by blanks.
  std::string WordsFor(Pid pid, Seq seq) const;
  // The sequence numbers for which a process's ring said `word`, in order.
  std::vector<Seq> SeqsOf(Pid pid, const std::string& word) const;

 private:
  void Add(ObservedEvent event);
  void AddEnd(const char* word, Pid pid, Seq seq, OperationKind kind, const ObservedResult& result);

  mutable std::mutex mutex_;
  std::vector<ObservedEvent> events_;
  std::vector<std::string> ring_events_;
};

}  // namespace agentos

#endif  // AGENTOS_TESTING_RECORDING_OBSERVER_H_
