#include "agentos/manager/trace_records.h"

#include <algorithm>
#include <cstddef>

#include "agentos/proto/completion_conversion.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/proto/wire_writer.h"

namespace agentos {

namespace {

namespace pb = proto::v1;

// More than any record without its strings.
constexpr size_t kFixedBytes = 16 * WireWriter::kMostNumberBytes;

// Writes one record: `fields` those of the message `kind`.
template <typename Fields>
void Encode(int kind, size_t string_bytes, std::string& record, Fields fields) {
  record.resize(kFixedBytes + string_bytes);
  WireWriter to(record.data());
  uint8_t* message = to.Begin(kind);
  fields(to);
  to.End(message);
  record.resize(static_cast<size_t>(to.end() - record.data()));
}

int64_t Since(uint64_t base_ns, int64_t time_ns) { return time_ns - static_cast<int64_t>(base_ns); }

// A duration; clocks that were read by several threads may disagree by a little.
uint64_t Length(int64_t from_ns, int64_t to_ns) { return static_cast<uint64_t>(std::max<int64_t>(0, to_ns - from_ns)); }

void WritePayload(WireWriter& to, int field, const RecordedEnd& end) {
  if (end.data.empty()) return;
  uint8_t* payload = to.Begin(field);
  to.Unsigned(pb::Payload::kSizeFieldNumber, std::max<uint64_t>(end.data.size(), static_cast<uint64_t>(end.value)));
  to.String(pb::Payload::kDataFieldNumber, end.data);
  to.End(payload);
}

}  // namespace

void EncodeOperation(const RecordedQueued& queued, const RecordedEnd& end, uint64_t base_ns, std::string& record) {
  const size_t strings = queued.entry.size() + end.data.size() + end.peer_address.size();
  Encode(pb::TraceRecord::kOperationFieldNumber, strings, record, [&](WireWriter& to) {
    using Message = pb::Operation;
    to.AnyString(Message::kEntryFieldNumber, queued.entry);
    to.Unsigned(Message::kSeqFieldNumber, queued.seq);
    to.ZigZag(Message::kQueuedFieldNumber, Since(base_ns, queued.queued_ns));
    const int64_t waited_ns = queued.waited_ns.value_or(end.ended_ns - queued.queued_ns);
    to.Unsigned(Message::kWaitedFieldNumber, Length(0, waited_ns));
    to.Unsigned(Message::kTookFieldNumber, Length(queued.queued_ns + waited_ns, end.ended_ns));
    to.ZigZag(Message::kValueFieldNumber, end.value);
    to.Signed(Message::kErrorNumberFieldNumber, end.error_number);
    to.Unsigned(Message::kCancelledFieldNumber, end.cancelled ? 1 : 0);
    WritePayload(to, Message::kPayloadFieldNumber, end);
    to.String(Message::kPeerAddressFieldNumber, end.peer_address);
  });
}

void EncodeQueued(const RecordedQueued& queued, uint64_t base_ns, std::string& record) {
  Encode(pb::TraceRecord::kQueuedFieldNumber, queued.entry.size(), record, [&](WireWriter& to) {
    using Message = pb::Queued;
    to.ZigZag(Message::kTimeFieldNumber, Since(base_ns, queued.queued_ns));
    to.Unsigned(Message::kSeqFieldNumber, queued.seq);
    to.AnyString(Message::kEntryFieldNumber, queued.entry);
    if (queued.waited_ns.has_value()) to.AnyUnsigned(Message::kWaitedFieldNumber, Length(0, *queued.waited_ns));
  });
}

void EncodeCompleted(const RecordedEnd& end, uint64_t base_ns, std::string& record) {
  const size_t strings = end.data.size() + end.peer_address.size();
  Encode(pb::TraceRecord::kCompletedFieldNumber, strings, record, [&](WireWriter& to) {
    to.ZigZag(pb::Completed::kTimeFieldNumber, Since(base_ns, end.ended_ns));
    uint8_t* completion = to.Begin(pb::Completed::kCompletionFieldNumber);
    using Message = pb::Completion;
    to.Unsigned(Message::kPidFieldNumber, end.pid);
    to.Unsigned(Message::kSeqFieldNumber, end.seq);
    to.ZigZag(Message::kValueFieldNumber, end.value);
    to.Signed(Message::kErrorNumberFieldNumber, end.error_number);
    to.Unsigned(Message::kCancelledFieldNumber, end.cancelled ? 1 : 0);
    to.Unsigned(Message::kMoreFieldNumber, end.more ? 1 : 0);
    WritePayload(to, Message::kPayloadFieldNumber, end);
    to.String(Message::kPeerAddressFieldNumber, end.peer_address);
    to.Unsigned(Message::kOperationFieldNumber, ToProto(end.kind));
    to.End(completion);
    to.Unsigned(pb::Completed::kSinceQueuedFieldNumber, Length(end.queued_ns, end.ended_ns));
  });
}

void EncodeDispatched(Pid pid, Seq seq, int64_t queued_ns, int64_t time_ns, uint64_t base_ns, std::string& record) {
  Encode(pb::TraceRecord::kDispatchedFieldNumber, 0, record, [&](WireWriter& to) {
    to.ZigZag(pb::Dispatched::kTimeFieldNumber, Since(base_ns, time_ns));
    to.Unsigned(pb::Dispatched::kPidFieldNumber, pid);
    to.Unsigned(pb::Dispatched::kSeqFieldNumber, seq);
    to.Unsigned(pb::Dispatched::kWaitedFieldNumber, Length(queued_ns, time_ns));
  });
}

void EncodeDropped(Pid pid, Seq seq, int64_t time_ns, uint64_t base_ns, std::string& record) {
  Encode(pb::TraceRecord::kDroppedFieldNumber, 0, record, [&](WireWriter& to) {
    to.ZigZag(pb::Dropped::kTimeFieldNumber, Since(base_ns, time_ns));
    to.Unsigned(pb::Dropped::kPidFieldNumber, pid);
    to.Unsigned(pb::Dropped::kSeqFieldNumber, seq);
  });
}

void EncodeRefused(Pid pid, uint64_t entries, int code, int64_t time_ns, uint64_t base_ns, std::string& record) {
  Encode(pb::TraceRecord::kRefusedFieldNumber, 0, record, [&](WireWriter& to) {
    to.ZigZag(pb::Refused::kTimeFieldNumber, Since(base_ns, time_ns));
    to.Unsigned(pb::Refused::kPidFieldNumber, pid);
    to.Unsigned(pb::Refused::kEntriesFieldNumber, entries);
    to.Signed(pb::Refused::kCodeFieldNumber, code);
  });
}

void EncodeRingCreated(Pid pid, uint64_t sq_size, uint64_t cq_size, int64_t time_ns, uint64_t base_ns, std::string& record) {
  Encode(pb::TraceRecord::kRingCreatedFieldNumber, 0, record, [&](WireWriter& to) {
    to.ZigZag(pb::RingCreated::kTimeFieldNumber, Since(base_ns, time_ns));
    to.Unsigned(pb::RingCreated::kPidFieldNumber, pid);
    to.Unsigned(pb::RingCreated::kSqSizeFieldNumber, sq_size);
    to.Unsigned(pb::RingCreated::kCqSizeFieldNumber, cq_size);
  });
}

void EncodeRingDestroyed(Pid pid, int64_t time_ns, uint64_t base_ns, std::string& record) {
  Encode(pb::TraceRecord::kRingDestroyedFieldNumber, 0, record, [&](WireWriter& to) {
    to.ZigZag(pb::RingDestroyed::kTimeFieldNumber, Since(base_ns, time_ns));
    to.Unsigned(pb::RingDestroyed::kPidFieldNumber, pid);
  });
}

void EncodeLoss(const TraceCounts& lost, int64_t time_ns, uint64_t base_ns, std::string& record) {
  Encode(pb::TraceRecord::kLossFieldNumber, 0, record, [&](WireWriter& to) {
    to.ZigZag(pb::Loss::kTimeFieldNumber, Since(base_ns, time_ns));
    to.Unsigned(pb::Loss::kSubmissionsFieldNumber, lost.submissions);
    to.Unsigned(pb::Loss::kCompletionsFieldNumber, lost.completions);
    to.Unsigned(pb::Loss::kOthersFieldNumber, lost.others);
  });
}

}  // namespace agentos
