// The records of a trace as bytes: agentos/proto/trace.proto, written without building messages.
//
// Thread rule: free functions without state.
//
//   std::string record;
//   EncodeOperation(operation, end, base_ns, record);

#ifndef AGENTOS_MANAGER_TRACE_RECORDS_H_
#define AGENTOS_MANAGER_TRACE_RECORDS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "agentos/manager/trace_counts.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/types.h"

namespace agentos {

// An operation as it was accepted. Times are those of CLOCK_MONOTONIC.
struct RecordedQueued {
  Seq seq = 0;
  int64_t queued_ns = 0;
  // nullopt: it has not started.
  std::optional<int64_t> waited_ns;
  // The bytes of a proto::v1::Entry.
  absl::string_view entry;
};

struct RecordedEnd {
  Pid pid = 0;
  Seq seq = 0;
  int64_t queued_ns = 0;
  int64_t ended_ns = 0;
  OperationKind kind = OperationKind::kNone;
  int64_t value = 0;
  int error_number = 0;
  bool cancelled = false;
  bool more = false;
  // What was kept of what was read or received.
  absl::string_view data;
  absl::string_view peer_address;
};

// Each replaces `record`. `base_ns` is what times in the record count from.
void EncodeOperation(const RecordedQueued& queued, const RecordedEnd& end, uint64_t base_ns, std::string& record);
void EncodeQueued(const RecordedQueued& queued, uint64_t base_ns, std::string& record);
void EncodeCompleted(const RecordedEnd& end, uint64_t base_ns, std::string& record);
void EncodeDispatched(Pid pid, Seq seq, int64_t queued_ns, int64_t time_ns, uint64_t base_ns, std::string& record);
void EncodeDropped(Pid pid, Seq seq, int64_t time_ns, uint64_t base_ns, std::string& record);
void EncodeRefused(Pid pid, uint64_t entries, int code, int64_t time_ns, uint64_t base_ns, std::string& record);
void EncodeRingCreated(Pid pid, uint64_t sq_size, uint64_t cq_size, int64_t time_ns, uint64_t base_ns, std::string& record);
void EncodeRingDestroyed(Pid pid, int64_t time_ns, uint64_t base_ns, std::string& record);
void EncodeLoss(const TraceCounts& lost, int64_t time_ns, uint64_t base_ns, std::string& record);

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_RECORDS_H_
