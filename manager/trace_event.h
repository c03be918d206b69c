// What a thread notes of an operation while the operation waits: the events that a recorder's buffers hold. They never leave the
// process.
//
// Thread rule: values.

#ifndef AGENTOS_MANAGER_TRACE_EVENT_H_
#define AGENTOS_MANAGER_TRACE_EVENT_H_

#include <cstdint>

#include "agentos/ring/operation.h"
#include "agentos/ring/types.h"

namespace agentos {

// Times are those of CLOCK_MONOTONIC in nanoseconds.
struct TraceEvent {
  enum class Type : uint8_t {
    // Followed by the entry, as EncodeEntry writes it.
    kQueued,
    // The same of one that started at once.
    kStarted,
    kDispatched,
    // Followed by an EndEvent.
    kEnded,
    // The same, followed by an EndData and what that counts.
    kEndedWithData,
    kDropped,
    // Followed by a uint64_t: how many entries.
    kRefused,
    // Followed by two uint64_t: the sizes of its queues.
    kRingCreated,
    kRingDestroyed,
  };

  // EventBuffer's.
  uint32_t size = 0;
  Pid pid = 0;
  Seq seq = 0;
  // Of an operation: when it was accepted, so that (pid, seq, queued_ns) is never used twice. Of everything else: when it happened.
  int64_t time_ns = 0;
  Type type = Type::kQueued;
  OperationKind kind = OperationKind::kNone;
  bool cancelled = false;
  bool more = false;
  // Of an end: the errno. Of a refusal: the absl::StatusCode.
  int32_t error = 0;
};
static_assert(sizeof(TraceEvent) == 32);

struct EndEvent {
  int64_t value = 0;
  // Since it was accepted; of kDispatched as well, without the value.
  int64_t latency_ns = 0;
};

struct EndData {
  // So much of what was read or received, then the peer's address.
  uint32_t data_size = 0;
  uint32_t peer_size = 0;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_EVENT_H_
