// The reading side of a trace recorder: takes events out of the threads' buffers, makes records of them and writes those to a file, or
// keeps them in memory until a flight recorder's dump is wanted.
//
// A thread of its own does so all the time, more often when there is more to do, and at least 50 times a second. Flush and Dump do
// the same at once, on the thread that calls.
//
// Thread rule: any thread. Begin once, before anything else.
// Errors: Begin's are those of TraceFileWriter and sigaction(2); afterwards what cannot be written is lost, counted and logged.
//
//   TraceWriter writer(options, buffers);
//   if (absl::Status begun = writer.Begin(header, false); !begun.ok()) return begun;

#ifndef AGENTOS_MANAGER_TRACE_WRITER_H_
#define AGENTOS_MANAGER_TRACE_WRITER_H_

#include <pthread.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "agentos/manager/dump_signal.h"
#include "agentos/manager/flight_memory.h"
#include "agentos/manager/path_redactor.h"
#include "agentos/manager/trace_assembler.h"
#include "agentos/manager/trace_buffers.h"
#include "agentos/manager/trace_counts.h"
#include "agentos/manager/trace_file_writer.h"
#include "agentos/manager/trace_options.h"

namespace agentos {

struct TraceStats {
  // The file; empty when nothing is recorded.
  std::string path;
  // In the file, or in the memory of a flight recorder and its dumps.
  TraceCounts recorded;
  // Left out because the writer fell behind, or because the file could not be written.
  TraceCounts lost;
  // Of a flight recorder: what newer records have replaced.
  TraceCounts forgotten;
};

class TraceWriter {
 public:
  TraceWriter(TraceOptions options, TraceBuffers& buffers);
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;
  // Writes what is left of a stream.
  ~TraceWriter();

  // `header` is the first record of every file. `find_free_path`: puts a number behind the path when another recording has it, or
  // had it before in this process.
  absl::Status Begin(std::string header, bool find_free_path);

  absl::Status Flush();
  absl::Status Dump();
  // Counts everything that happened before the call.
  TraceStats Stats();

 private:
  static void* Run(void* self);
  void Loop();
  absl::Status OpenStream(bool find_free_path);
  TraceSink& sink();
  // The three below: with work_mutex_ held.
  // Answers how full the fullest buffer was, in bytes.
  size_t Pass();
  absl::Status FlushLocked();
  absl::Status DumpLocked();
  bool WantsDump();
  void Report(const absl::Status& status);

  TraceOptions options_;
  TraceBuffers& buffers_;
  std::string header_;

  // Held while events are taken out and written.
  std::mutex work_mutex_;
  std::unique_ptr<TraceFileWriter> file_;
  std::optional<FlightMemory> memory_;
  std::optional<PathRedactor> redactor_;
  std::optional<TraceAssembler> assembler_;
  std::optional<DumpSignal> signal_;
  TraceCounts lost_in_buffers_;
  bool has_dumped_ = false;
  int64_t reported_ns_ = 0;

  std::mutex stop_mutex_;
  std::condition_variable stop_changed_;
  bool stop_ = false;
  std::optional<pthread_t> thread_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_WRITER_H_
