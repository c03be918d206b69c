// A few threads that run jobs which may block: plain system calls on files, where the kernel's ring would be slower.
//
// No thread exists before the first job; each is started when a job comes and no other is idle, up to the bound. Jobs start in
// the order they were added, those of a higher level first; no level is starved (priority_turns.h). A worker takes one at a time, so a job that is
// stuck (a dead network file system) holds up no other as long as one thread is free. A job reports its result by itself; the
// pool knows nothing of it.
//
// The threads are called agentos-file-0, -1, ... and are library threads (library_thread.h).
//
// Thread rule: Add, RemoveQueued and the counters from any thread; Stop and the destructor once nobody else uses the pool any
// more.
// Lifetime: a job is its owner's and must stay valid until `run` was called or RemoveQueued has answered true; the pool does not
// touch it once `run` has begun, which may therefore free it.
// Fork: the threads do not exist in a child; it must neither use nor destroy its copy.
//
//   struct ReadJob : FileWorkers::Job { ... };
//   job.run = [](FileWorkers::Job* self) { ...; };      // on a worker
//   if (!workers.Add(&job, &job, 1)) job.run(&job);      // no thread to be had
//   ...
//   if (!workers.Stop(absl::Seconds(5))) LeakWhatRunningJobsUse();

#ifndef AGENTOS_EXECUTOR_FILE_WORKERS_H_
#define AGENTOS_EXECUTOR_FILE_WORKERS_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "agentos/ring/priority_turns.h"

namespace agentos {

class FileWorkers {
 public:
  static constexpr size_t kLevels = PriorityTurns::kLevels;
  // More would not fit the thread's name, nor any use.
  static constexpr size_t kMaxThreads = 64;

  struct Job {
    void (*run)(Job*) = nullptr;
    // Jobs of the last level start first, those of the first one last: 0 to kLevels - 1.
    uint8_t level = 1;
    Job* next = nullptr;  // the owner's to link a batch for Add; the pool's from then until `run`
    // The pool's.
    Job* previous = nullptr;
    bool queued = false;
  };

  // At most `threads` threads, of 1 to kMaxThreads, called `name`-0 and so on: a literal of at most 12 characters.
  explicit FileWorkers(size_t threads, const char* name = "agentos-file");
  // As Stop without a deadline, unless Stop was called.
  ~FileWorkers();

  FileWorkers(const FileWorkers&) = delete;
  FileWorkers& operator=(const FileWorkers&) = delete;

  // Queues the `count` >= 1 jobs from first to last, which their next fields link. False when there is not one thread and the
  // system refuses to start one: then nothing was queued.
  [[nodiscard]] bool Add(Job* first, Job* last, size_t count);

  // True when the job had not started: it never will. False when it runs, has run or was never added; the job must be valid all
  // the same.
  bool RemoveQueued(Job* job);

  // Ends the threads after the jobs that they run. The queue must be empty. False when a job has not ended by the deadline: its
  // thread is left to itself, and the job with everything it uses must then stay valid for the rest of the process. The pool
  // itself may be destroyed after either answer; nothing else may be called.
  bool Stop(absl::Duration deadline);

  // How many jobs have not started; a moment ago when others add or workers take.
  size_t queued() const;
  // The most threads that there will be. Falls when the system refuses to start more.
  size_t threads() const;

 private:
  struct State;
  struct Start;

  static void* Run(void* argument);
  static bool StartThread(const std::shared_ptr<State>& state);

  // The threads own it too, for those that outlive this object.
  std::shared_ptr<State> state_;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_FILE_WORKERS_H_
