#include "agentos/testing/recording_observer.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace agentos {

void RecordingObserver::Add(ObservedEvent event) {
  std::lock_guard<std::mutex> lock(mutex_);
  events_.push_back(std::move(event));
}

void RecordingObserver::OnQueued(const SyscallSubmissionEntry& entry, Seq seq, int64_t /*now_ns*/) {
  Add({"queued", entry.pid(), seq, entry.kind(), entry.user_data(), {}});
}

void RecordingObserver::OnDispatched(Pid pid, Seq seq, OperationKind kind, int64_t /*queued_ns*/) {
  Add({"dispatched", pid, seq, kind, 0, {}});
}

void RecordingObserver::AddEnd(const char* word, Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) {
  ObservedEvent event = {word, pid, seq, kind, 0, result};
  event.data = std::string(result.data);
  event.peer_address = std::string(result.peer_address);
  event.result.data = event.result.peer_address = {};
  Add(std::move(event));
}

void RecordingObserver::OnCompleted(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) {
  AddEnd("completed", pid, seq, kind, result);
}

void RecordingObserver::OnCancelled(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) {
  AddEnd("cancelled", pid, seq, kind, result);
}

void RecordingObserver::OnDropped(Pid pid, Seq seq, OperationKind kind) { Add({"dropped", pid, seq, kind, 0, {}}); }

void RecordingObserver::OnRingCreated(Pid pid, const RingOptions& options) {
  std::lock_guard<std::mutex> lock(mutex_);
  ring_events_.push_back(absl::StrCat("created ", pid, " ", options.sq_size, " ", options.cq_size));
}

void RecordingObserver::OnRingDestroyed(Pid pid) {
  std::lock_guard<std::mutex> lock(mutex_);
  ring_events_.push_back(absl::StrCat("destroyed ", pid));
}

void RecordingObserver::OnRefused(Pid pid, size_t entries, const absl::Status& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  ring_events_.push_back(absl::StrCat("refused ", pid, " ", entries, " ", absl::StatusCodeToString(why.code())));
}

std::vector<std::string> RecordingObserver::RingEvents() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return ring_events_;
}

std::vector<ObservedEvent> RecordingObserver::Events() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return events_;
}

std::string RecordingObserver::WordsFor(Pid pid, Seq seq) const {
  std::string words;
  for (const ObservedEvent& event : Events()) {
    if (event.pid == pid && event.seq == seq) words += (words.empty() ? "" : " ") + event.word;
  }
  return words;
}

std::vector<Seq> RecordingObserver::SeqsOf(Pid pid, const std::string& word) const {
  std::vector<Seq> seqs;
  for (const ObservedEvent& event : Events()) {
    if (event.pid == pid && event.word == word) seqs.push_back(event.seq);
  }
  return seqs;
}

}  // namespace agentos
