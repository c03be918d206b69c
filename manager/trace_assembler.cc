#include "agentos/manager/trace_assembler.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "agentos/proto/entry.pb.h"

namespace agentos {

namespace {

template <typename T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

constexpr size_t kRest = sizeof(TraceEvent);

}  // namespace

void TraceAssembler::Append(TraceSink::Encode encode, const TraceCounts& counts, uint64_t now_ns) {
  recorded_ += counts;
  absl::Status appended = sink_.Append(encode, counts, now_ns);
  if (!appended.ok() && error_.ok()) error_ = std::move(appended);
}

void TraceAssembler::Add(const char* event, size_t size, uint64_t now_ns) {
  const auto head = Load<TraceEvent>(event);
  const char* rest = event + kRest;
  switch (head.type) {
    case TraceEvent::Type::kQueued:
    case TraceEvent::Type::kStarted:
      return AddBegin(head, absl::string_view(rest, size - kRest), now_ns);
    case TraceEvent::Type::kEnded:
      return AddEnd(head, Load<EndEvent>(rest), {}, {}, now_ns);
    case TraceEvent::Type::kEndedWithData: {
      const char* data = rest + sizeof(EndEvent) + sizeof(EndData);
      const auto sizes = Load<EndData>(rest + sizeof(EndEvent));
      return AddEnd(head, Load<EndEvent>(rest), absl::string_view(data, sizes.data_size),
                    absl::string_view(data + sizes.data_size, sizes.peer_size), now_ns);
    }
    case TraceEvent::Type::kDispatched: {
      const auto waited_ns = Load<EndEvent>(rest).latency_ns;
      if (const auto found = begun_.find(Key{head.pid, head.seq, head.time_ns}); found != begun_.end()) {
        found->second.waited_ns = waited_ns;
        recorded_.others += 1;
        return;
      }
      return Append(
          [&](uint64_t base_ns, std::string& to) {
            EncodeDispatched(head.pid, head.seq, head.time_ns, head.time_ns + waited_ns, base_ns, to);
          },
          {.others = 1}, now_ns);
    }
    case TraceEvent::Type::kDropped:
      return Append([&](uint64_t base_ns, std::string& to) { EncodeDropped(head.pid, head.seq, head.time_ns, base_ns, to); },
                    {.others = 1}, now_ns);
    case TraceEvent::Type::kRefused: {
      const auto entries = Load<uint64_t>(rest);
      return Append(
          [&](uint64_t base_ns, std::string& to) { EncodeRefused(head.pid, entries, head.error, head.time_ns, base_ns, to); },
          {.others = 1}, now_ns);
    }
    case TraceEvent::Type::kRingCreated: {
      const auto sq_size = Load<uint64_t>(rest);
      const auto cq_size = Load<uint64_t>(rest + sizeof(uint64_t));
      return Append(
          [&](uint64_t base_ns, std::string& to) { EncodeRingCreated(head.pid, sq_size, cq_size, head.time_ns, base_ns, to); },
          {.others = 1}, now_ns);
    }
    case TraceEvent::Type::kRingDestroyed:
      destroyed_.push_back({head.pid, head.time_ns, pass_});
      return;
  }
}

void TraceAssembler::AddBegin(const TraceEvent& event, absl::string_view entry, uint64_t now_ns) {
  const Key key = {event.pid, event.seq, event.time_ns};
  const auto begun = begun_.try_emplace(key).first;
  if (event.type == TraceEvent::Type::kStarted) begun->second.waited_ns = 0;
  begun->second.entry.assign(entry.begin(), entry.end());
  if (ended_.empty()) [[likely]] {
    return;
  }
  // Its thread's events come after those of the thread that heard of the end.
  const auto ended = ended_.find(key);
  if (ended == ended_.end()) return;
  RecordOperation(key, begun->second, ended->second.Get(), now_ns);
  begun_.erase(begun);
  ended_.erase(ended);
}

void TraceAssembler::AddEnd(const TraceEvent& event, const EndEvent& tail, absl::string_view data, absl::string_view peer_address,
                            uint64_t now_ns) {
  const RecordedEnd end = {.pid = event.pid,
                           .seq = event.seq,
                           .queued_ns = event.time_ns,
                           .ended_ns = event.time_ns + tail.latency_ns,
                           .kind = event.kind,
                           .value = tail.value,
                           .error_number = event.error,
                           .cancelled = event.cancelled,
                           .more = event.more,
                           .data = data,
                           .peer_address = peer_address};
  slowest_ns_ = std::max(slowest_ns_, tail.latency_ns);
  const Key key = {event.pid, event.seq, event.time_ns};
  const auto found = begun_.find(key);
  if (end.more) {
    // Each of its completions by itself.
    if (found != begun_.end()) {
      RecordBegun(key, found->second, now_ns);
      begun_.erase(found);
    }
    return RecordEnded(end, now_ns);
  }
  if (found == begun_.end()) {
    ended_[key] = {end, std::string(end.data), std::string(end.peer_address), pass_};
    return;
  }
  RecordOperation(key, found->second, end, now_ns);
  begun_.erase(found);
}

void TraceAssembler::RecordOperation(const Key& key, const Begun& begun, RecordedEnd end, uint64_t now_ns) {
  std::string peer;
  Redact(end, peer);
  const RecordedQueued queued = Describe(key, begun);
  Append([&](uint64_t base_ns, std::string& to) { EncodeOperation(queued, end, base_ns, to); },
         {.submissions = 1, .completions = 1}, now_ns);
}

void TraceAssembler::Redact(RecordedEnd& end, std::string& memory) const {
  if (redactor_ == nullptr || end.peer_address.empty()) return;
  memory = redactor_->Address(end.peer_address);
  end.peer_address = memory;
}

RecordedQueued TraceAssembler::Describe(const Key& key, const Begun& begun) {
  RecordedQueued queued = {.seq = key.seq,
                           .queued_ns = key.queued_ns,
                           .waited_ns = begun.waited_ns,
                           .entry = absl::string_view(begun.entry.data(), begun.entry.size())};
  if (redactor_ != nullptr) {
    proto::v1::Entry entry;
    // What it cannot read it does not pass on either.
    if (entry.ParseFromArray(begun.entry.data(), static_cast<int>(begun.entry.size()))) redactor_->Redact(entry);
    redacted_ = entry.SerializeAsString();
    queued.entry = redacted_;
  }
  return queued;
}

void TraceAssembler::RecordBegun(const Key& key, const Begun& begun, uint64_t now_ns) {
  const RecordedQueued queued = Describe(key, begun);
  Append([&](uint64_t base_ns, std::string& to) { EncodeQueued(queued, base_ns, to); }, {.submissions = 1}, now_ns);
}

void TraceAssembler::RecordEnded(RecordedEnd end, uint64_t now_ns) {
  std::string peer;
  Redact(end, peer);
  Append([&](uint64_t base_ns, std::string& to) { EncodeCompleted(end, base_ns, to); }, CountOfEnd(end.more), now_ns);
}

void TraceAssembler::RecordDestroyed(Pid pid, int64_t time_ns, uint64_t now_ns) {
  Append([&](uint64_t base_ns, std::string& to) { EncodeRingDestroyed(pid, time_ns, base_ns, to); }, {.others = 1}, now_ns);
}

void TraceAssembler::EndPass(uint64_t now_ns) {
  for (auto it = ended_.begin(); it != ended_.end();) {
    if (it->second.pass == pass_) {
      ++it;
      continue;
    }
    RecordEnded(it->second.Get(), now_ns);
    ended_.erase(it++);
  }
  if (!destroyed_.empty() && destroyed_.front().pass < pass_) {
    // Nothing of theirs may come after them.
    FlushUnderWay(now_ns);
    const auto last = std::find_if(destroyed_.begin(), destroyed_.end(), [&](const Destroyed& d) { return d.pass == pass_; });
    for (auto it = destroyed_.begin(); it != last; ++it) RecordDestroyed(it->pid, it->time_ns, now_ns);
    destroyed_.erase(destroyed_.begin(), last);
  }
  ++pass_;
}

void TraceAssembler::FlushUnderWay(uint64_t now_ns) {
  for (const auto& [key, begun] : begun_) RecordBegun(key, begun, now_ns);
  begun_.clear();
}

void TraceAssembler::Finish(uint64_t now_ns) {
  // One for what came in the last, one for what waited for it.
  EndPass(now_ns);
  EndPass(now_ns);
  FlushUnderWay(now_ns);
}

int64_t TraceAssembler::TakeSlowest() { return std::exchange(slowest_ns_, 0); }

absl::Status TraceAssembler::TakeError() { return std::exchange(error_, absl::OkStatus()); }

}  // namespace agentos
