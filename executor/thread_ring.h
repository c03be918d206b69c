// A SubmissionRing without io_uring, for hosts that refuse it: the same entries and results, executed by plain system calls.
//
//     Enter, on the caller's thread: every entry is tried at once, with calls that cannot wait (direct_calls.h)
//        |            |                      |
//        done         a file, not in memory  a socket, a pipe: not ready
//        |            |                      |
//        |            a thread of            FdWatches, on the ring's poller thread (epoll):
//        |            ThreadPools            tried again when the fd is ready
//        v            v                      v
//     completion queue; whoever waits in Enter is woken
//
// So a read of cached data costs its system call and nothing else, ten thousand sockets take one thread, and what blocks has
// threads of its own, up to a bound, from which ASYNC_CANCEL gets it back (thread_interrupt.h). Timers run on the poller.
//
// Understood: the opcodes of direct_calls.h, POLL_ADD, TIMEOUT (relative or absolute, without a count), ASYNC_CANCEL by
// user_data, links and hard links, IOSQE_ASYNC. There are no direct descriptors and no registered memory.
//
// Differences from io_uring that a user of SubmissionRing can see: Enter executes what it takes before it returns, EINTR never
// ends its wait, and a ring may be destroyed while entries are under way: it waits for the threads that are in a call.
//
// Thread rule, lifetime, errors: SubmissionRing's.
// Source: preadv2(2), epoll(7), timerfd_create(2).
//
//   auto pools = std::make_shared<ThreadPools>();
//   absl::StatusOr<std::unique_ptr<ThreadRing>> ring = ThreadRing::Create({.entries = 64}, pools);

#ifndef AGENTOS_EXECUTOR_THREAD_RING_H_
#define AGENTOS_EXECUTOR_THREAD_RING_H_

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "agentos/executor/direct_calls.h"
#include "agentos/executor/fd_watches.h"
#include "agentos/executor/ring_memory.h"
#include "agentos/executor/submission_ring.h"
#include "agentos/executor/thread_pools.h"

namespace agentos {

class ThreadRing : public SubmissionRing {
 public:
  struct Options {
    // Both are rounded up to powers of two.
    unsigned entries = 256;
    unsigned completion_entries = 4096;
  };

  static absl::StatusOr<std::unique_ptr<ThreadRing>> Create(const Options& options, std::shared_ptr<ThreadPools> pools);
  ~ThreadRing() override;

  int Enter(const EnterArguments& arguments) override;
  bool Supports(unsigned opcode) const override;
  int RegisterBuffer(unsigned /*index*/, absl::Span<char> /*memory*/) override { return -EOPNOTSUPP; }
  std::vector<int> OwnFds() const override;
  std::string Features() const override;
  bool Announce(int event_fd) override;
  bool CanWake() const override { return true; }
  void Wake(uint64_t user_data) override;

 private:
  struct Op;
  using Lock = std::unique_lock<std::mutex>;
  // Jobs that are to be handed to a pool once the lock is given up.
  struct NewJobs {
    FileWorkers::Job* first = nullptr;
    FileWorkers::Job* last = nullptr;
    size_t count = 0;
  };

  ThreadRing(const Options& options, std::shared_ptr<ThreadPools> pools, std::unique_ptr<FdWatches> watches, int timer_fd);

  // Taking entries.
  int Take(unsigned most);
  bool IsForeign(const io_uring_sqe& sqe);
  Op* NewOp(const io_uring_sqe& sqe);
  void Free(Op* op);

  // Under way; all with the lock held.
  void Issue(Op* op, Lock& lock);
  void Begin(Op* op, const Attempt& attempt);
  void BeginPoll(Op* op);
  void BeginTimeout(Op* op);
  void BeginJob(Op* op, bool slow);
  int32_t Cancel(uint64_t user_data);
  void Stop(Op* op);

  // Ending. False: the watch that the op was in is gone.
  bool Finish(Op* op, int32_t value);
  void FinishAndArm(Op* op, int32_t value);
  void EndChain(Op* op, int32_t value);
  void Post(uint64_t user_data, int32_t value);
  // What has become possible meanwhile: followers of links, new jobs. Releases the lock in between.
  void Settle(Lock& lock);

  // On other threads.
  static void RunJob(FileWorkers::Job* job);
  void Execute(Op* op);
  static void* RunPoller(void* self);
  void Poll();
  void Serve(FdWatch& watch, uint32_t events, Lock& lock);
  void RunTimers();
  void SetTimer();

  const std::shared_ptr<ThreadPools> pools_;

  RingMemory memory_;

  // Held while entries are taken, also during the calls that execute them at once.
  std::mutex submit_mutex_;

  // Guards all that follows, and the completion side of the queues.
  std::mutex mutex_;
  std::condition_variable completed_;
  size_t waiting_ = 0;
  // Written to at each result; -1 as long as nobody wants it.
  int announce_fd_ = -1;
  absl::flat_hash_map<uint64_t, Op*> by_user_data_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::vector<Op*> free_ops_;
  // Members of chains whose turn has come.
  std::vector<Op*> followers_;
  NewJobs new_file_jobs_;
  NewJobs new_slow_jobs_;
  // Jobs made and not ended.
  size_t jobs_ = 0;
  std::condition_variable job_ended_;
  // Running ones that were asked to stop.
  std::vector<Op*> interrupted_;

  const std::unique_ptr<FdWatches> watches_;
  uint64_t round_ = 0;
  std::multimap<int64_t, Op*> timers_;
  const int timer_fd_;
  // What timer_fd_ is set to; 0 when it is not.
  int64_t timer_set_ns_ = 0;
  bool stopping_ = false;
  bool has_poller_ = false;
  pthread_t poller_{};
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_THREAD_RING_H_
