#include "agentos/testing/recording_observer.h"

#include <utility>

namespace agentos {

void RecordingObserver::Add(ObservedEvent event) {
  std::lock_guard<std::mutex> lock(mutex_);
  events_.push_back(std::move(event));
}

void RecordingObserver::OnQueued(const SyscallSubmissionEntry& entry, Seq seq) {
  Add({"queued", entry.pid(), seq, entry.kind(), entry.user_data(), {}});
}

void RecordingObserver::OnDispatched(Pid pid, Seq seq, OperationKind kind) { Add({"dispatched", pid, seq, kind, 0, {}}); }

void RecordingObserver::OnCompleted(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) {
  Add({"completed", pid, seq, kind, 0, result});
}

void RecordingObserver::OnCancelled(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) {
  Add({"cancelled", pid, seq, kind, 0, result});
}

void RecordingObserver::OnDropped(Pid pid, Seq seq, OperationKind kind) { Add({"dropped", pid, seq, kind, 0, {}}); }

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
