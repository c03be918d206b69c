#include "agentos/manager/trace_recorder.h"

#include <cstring>
#include <new>
#include <utility>

#include "agentos/manager/event_buffer.h"
#include "agentos/manager/trace_assembler.h"
#include "agentos/manager/trace_counts.h"
#include "agentos/manager/trace_header.h"
#include "agentos/proto/entry_encoding.h"
#include "agentos/ring/monotonic_clock.h"

namespace agentos {

TraceRecorder::TraceRecorder(TraceOptions options)
    : options_(std::move(options)), buffers_(options_.thread_buffer_bytes), writer_(options_, buffers_) {}

absl::Status TraceRecorder::Start(const ExecutorInfo& executor, bool find_free_path) {
  return writer_.Begin(MakeTraceHeader(options_, executor), find_free_path);
}

void TraceRecorder::NoteBegin(TraceEvent::Type type, const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns) {
  EventBuffer* mine = buffers_.Mine();
  const size_t most = sizeof(TraceEvent) + MostEncodedBytes(entry, options_.payload_bytes);
  char* to = mine != nullptr ? mine->Reserve(most) : nullptr;
  if (to == nullptr) return buffers_.Lose(mine, {.submissions = 1});
  new (to) TraceEvent{.pid = entry.pid(), .seq = seq, .time_ns = now_ns, .type = type, .kind = entry.kind()};
  const char* end = EncodeEntry(entry, options_.payload_bytes, to + sizeof(TraceEvent));
  mine->Commit(static_cast<size_t>(end - to));
}

void TraceRecorder::NoteEnd(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) {
  EventBuffer* mine = buffers_.Mine();
  const absl::string_view data = result.data.substr(0, options_.payload_bytes);
  const absl::string_view peer = result.peer_address;
  const bool has_data = data.size() + peer.size() > 0;
  const size_t size = sizeof(TraceEvent) + sizeof(EndEvent) + (has_data ? sizeof(EndData) + data.size() + peer.size() : 0);
  char* to = mine != nullptr ? mine->Reserve(size) : nullptr;
  if (to == nullptr) return buffers_.Lose(mine, CountOfEnd(result.more));
  new (to) TraceEvent{.pid = pid,
                      .seq = seq,
                      .time_ns = result.ended_ns - result.latency_ns,
                      .type = has_data ? TraceEvent::Type::kEndedWithData : TraceEvent::Type::kEnded,
                      .kind = kind,
                      .cancelled = result.cancelled,
                      .more = result.more,
                      .error = result.error_number};
  new (to + sizeof(TraceEvent)) EndEvent{.value = result.value, .latency_ns = result.latency_ns};
  if (has_data) [[unlikely]] {
    char* rest = to + sizeof(TraceEvent) + sizeof(EndEvent);
    new (rest) EndData{.data_size = static_cast<uint32_t>(data.size()), .peer_size = static_cast<uint32_t>(peer.size())};
    rest += sizeof(EndData);
    if (!data.empty()) std::memcpy(rest, data.data(), data.size());
    if (!peer.empty()) std::memcpy(rest + data.size(), peer.data(), peer.size());
  }
  mine->Commit(size);
}

void TraceRecorder::NoteOther(const TraceEvent& event, absl::string_view rest) {
  EventBuffer* mine = buffers_.Mine();
  char* to = mine != nullptr ? mine->Reserve(sizeof(event) + rest.size()) : nullptr;
  if (to == nullptr) return buffers_.Lose(mine, {.others = 1});
  new (to) TraceEvent(event);
  if (!rest.empty()) std::memcpy(to + sizeof(event), rest.data(), rest.size());
  mine->Commit(sizeof(event) + rest.size());
}

namespace {

template <typename T>
absl::string_view BytesOf(const T& value) {
  return absl::string_view(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

void TraceRecorder::OnQueued(const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns) {
  NoteBegin(TraceEvent::Type::kQueued, entry, seq, now_ns);
}

void TraceRecorder::OnQueuedAndDispatched(const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns) {
  NoteBegin(TraceEvent::Type::kStarted, entry, seq, now_ns);
}

void TraceRecorder::OnDispatched(Pid pid, Seq seq, OperationKind kind, int64_t queued_ns) {
  const EndEvent waited = {.latency_ns = MonotonicNanos() - queued_ns};
  NoteOther({.pid = pid, .seq = seq, .time_ns = queued_ns, .type = TraceEvent::Type::kDispatched, .kind = kind}, BytesOf(waited));
}

void TraceRecorder::OnCompleted(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) {
  NoteEnd(pid, seq, kind, result);
}

void TraceRecorder::OnCancelled(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) {
  NoteEnd(pid, seq, kind, result);
}

void TraceRecorder::OnDropped(Pid pid, Seq seq, OperationKind kind) {
  NoteOther({.pid = pid, .seq = seq, .time_ns = MonotonicNanos(), .type = TraceEvent::Type::kDropped, .kind = kind}, {});
}

void TraceRecorder::OnRefused(Pid pid, size_t entries, const absl::Status& why) {
  const uint64_t count = entries;
  NoteOther({.pid = pid, .time_ns = MonotonicNanos(), .type = TraceEvent::Type::kRefused, .error = why.raw_code()},
            BytesOf(count));
}

void TraceRecorder::OnRingCreated(Pid pid, const RingOptions& options) {
  const uint64_t sizes[] = {options.sq_size, options.cq_size};
  NoteOther({.pid = pid, .time_ns = MonotonicNanos(), .type = TraceEvent::Type::kRingCreated}, BytesOf(sizes));
}

void TraceRecorder::OnRingDestroyed(Pid pid) {
  NoteOther({.pid = pid, .time_ns = MonotonicNanos(), .type = TraceEvent::Type::kRingDestroyed}, {});
}

}  // namespace agentos
