// The trace recorder: an observer that writes down every operation without holding it up.
//
//     threads that call --> a buffer of their own each --> the writer thread --> file, or memory of a flight recorder
//
// A thread puts what it hears into its own bounded buffer: no lock, no system call, no allocation but that of the buffer itself at its
// first operation. One thread takes it out, brings the halves of each operation together (trace_assembler.h) and writes. When it
// falls behind, events are left out, counted, and a record says how many: what was recorded and what was lost are all there was.
//
// Thread rule: any thread, as RingObserver asks. Start once, before the first operation.
// Lifetime: outlives the manager's rings. In a forked child it must not be destroyed: its thread is the parent's.
// Errors: Start's are those of TraceFileWriter and of sigaction(2), with the path or the field named. After that recording never
// fails: what cannot be written is lost and counted, and a log line says why.
//
//   auto recorder = std::make_unique<TraceRecorder>(options);
//   if (absl::Status started = recorder->Start(executor_info); !started.ok()) return started;
//   ...  // the observer of rings
//   recorder->Flush();  // everything until now can be read

#ifndef AGENTOS_MANAGER_TRACE_RECORDER_H_
#define AGENTOS_MANAGER_TRACE_RECORDER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agentos/executor/executor_info.h"
#include "agentos/manager/trace_buffers.h"
#include "agentos/manager/trace_event.h"
#include "agentos/manager/trace_options.h"
#include "agentos/manager/trace_writer.h"
#include "agentos/ring/observer.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"

namespace agentos {

class TraceRecorder final : public RingObserver {
 public:
  // Precondition: options.Validate() is OK and mode is not kOff.
  explicit TraceRecorder(TraceOptions options);
  TraceRecorder(const TraceRecorder&) = delete;
  TraceRecorder& operator=(const TraceRecorder&) = delete;
  // Writes what is left of a stream. A flight recorder's memory goes with it.
  ~TraceRecorder() override = default;

  // `find_free_path`: puts a number behind the path when another recording has it.
  absl::Status Start(const ExecutorInfo& executor, bool find_free_path = false);

  // Everything that happened before the call is in the file, or in the memory of a flight recorder.
  absl::Status Flush() { return writer_.Flush(); }
  // Of a flight recorder: writes its memory to the file and empties it. FailedPrecondition for a stream.
  absl::Status Dump() { return writer_.Dump(); }

  TraceStats Stats() { return writer_.Stats(); }

  void OnRingCreated(Pid pid, const RingOptions& options) override;
  void OnRingDestroyed(Pid pid) override;
  void OnRefused(Pid pid, size_t entries, const absl::Status& why) override;
  void OnQueued(const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns) override;
  void OnDispatched(Pid pid, Seq seq, OperationKind kind, int64_t queued_ns) override;
  void OnQueuedAndDispatched(const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns) override;
  void OnCompleted(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) override;
  void OnCancelled(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) override;
  void OnDropped(Pid pid, Seq seq, OperationKind kind) override;

 private:
  void NoteBegin(TraceEvent::Type type, const SyscallSubmissionEntry& entry, Seq seq, int64_t now_ns);
  void NoteEnd(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result);
  void NoteOther(const TraceEvent& event, absl::string_view rest);

  const TraceOptions options_;
  TraceBuffers buffers_;
  TraceWriter writer_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_RECORDER_H_
