#include "agentos/manager/io_uring_manager.h"

#include <glog/logging.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/executor/io_uring_executor.h"
#include "agentos/executor/thread_pool_executor.h"
#include "agentos/manager/caller_guard.h"
#include "agentos/manager/observer_pair.h"
#include "agentos/manager/post_office.h"
#include "agentos/manager/ring_directory.h"
#include "agentos/manager/trace_recorder.h"
#include "agentos/ring/entry_validation.h"

namespace agentos {

namespace {

constexpr char kExecutorVariable[] = "AGENTOS_URING_EXECUTOR";
// What the kernel puts on one (io_uring_setup(2)).
constexpr size_t kMaxKernelRingEntries = 32768;
constexpr char kTraceVariable[] = "AGENTOS_URING_TRACE";

absl::Status NoRing(Pid pid) {
  return absl::NotFoundError(absl::StrCat("pid ", pid, " has no ring; make one with CreateRing or Submit"));
}

absl::Status CheckRange(absl::string_view field, size_t value, size_t least, size_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("IoUringManagerOptions.", field, " is ", value, ": it must be from ", least, " to ", most));
}

absl::Status CheckOptions(const IoUringManagerOptions& options) {
  if (absl::Status s = CheckRange("kernel_rings (0 = one per processor)", options.kernel_rings, 0, 1024); !s.ok()) return s;
  // A chain of four and an entry to cancel it must fit.
  if (absl::Status s = CheckRange("kernel_ring_entries", options.kernel_ring_entries, 8, kMaxKernelRingEntries); !s.ok())
    return s;
  return CheckRange("file_workers (0 = one per processor, at most 4)", options.file_workers, 0, FileWorkers::kMaxThreads);
}

struct Choice {
  ExecutorKind kind;
  // What made the choice: goes into ExecutorInfo::reason.
  std::string by;
};

absl::StatusOr<Choice> ChooseExecutor(ExecutorKind option) {
  if (const char* value = std::getenv(kExecutorVariable); value != nullptr && *value != '\0') {
    const std::string by = absl::StrCat("forced by the environment variable ", kExecutorVariable, "=", value);
    if (absl::string_view(value) == "io_uring") return Choice{ExecutorKind::kIoUring, by};
    if (absl::string_view(value) == "threads") return Choice{ExecutorKind::kThreadPool, by};
    return absl::InvalidArgumentError(absl::StrCat("the environment variable ", kExecutorVariable, " is \"", value,
                                                   "\": it must be io_uring or threads, or unset"));
  }
  return Choice{option, option == ExecutorKind::kAuto ? "chosen by probing" : "forced by IoUringManagerOptions.executor"};
}

// The executor of choice, and what there is to say about it.
absl::StatusOr<std::unique_ptr<RingExecutor>> MakeExecutor(const Choice& choice, const RingExecutor::Options& options,
                                                           IpcExchange* exchange, ExecutorInfo& info) {
  if (choice.kind == ExecutorKind::kCustom) {
    return absl::InvalidArgumentError(
        "IoUringManagerOptions.executor is kCustom: leave it and give rings of your own as submission_rings");
  }
  std::string because = choice.by;
  if (choice.kind != ExecutorKind::kThreadPool) {
    auto executor = MakeIoUringExecutor(options, exchange);
    if (executor.ok()) {
      info = {ExecutorKind::kIoUring, "io_uring", absl::StrCat(because, "; ", DescribeIoUringExecutor(**executor))};
      return executor;
    }
    if (choice.kind == ExecutorKind::kIoUring) {
      return absl::Status(executor.status().code(), absl::StrCat(executor.status().message(), " (io_uring was ", because, ")"));
    }
    because = absl::StrCat("io_uring is not to be had: ", executor.status().message());
    LOG(WARNING) << because << "; system calls are executed by threads instead, which is slower";
  }
  auto executor = MakeThreadPoolExecutor(options, exchange);
  if (executor.ok()) {
    info = {ExecutorKind::kThreadPool, "threads", absl::StrCat(because, "; ", DescribeThreadPoolExecutor(**executor))};
  }
  return executor;
}

// Who hears of entries: the program's observer, the trace's recorder, both or nobody.
struct Observers {
  std::unique_ptr<TraceRecorder> recorder;
  std::unique_ptr<ObserverPair> pair;
  RingObserver* all = nullptr;
  bool by_environment = false;

  // Says what was wrong with the trace by the name that it was asked for under.
  absl::Status Explain(const absl::Status& status) const {
    if (status.ok() || !by_environment) return status;
    return absl::Status(status.code(), absl::StrCat("the environment variable ", kTraceVariable, ": ", status.message()));
  }
};

absl::StatusOr<Observers> MakeObservers(RingObserver* program, TraceOptions trace) {
  Observers observers;
  if (const char* path = std::getenv(kTraceVariable); path != nullptr && *path != '\0') {
    observers.by_environment = true;
    trace.mode = TraceMode::kStream;
    trace.path = path;
    trace.dump_signal = 0;
    trace.dump_when_slower = absl::InfiniteDuration();
  }
  if (absl::Status status = trace.Validate(); !status.ok()) return observers.Explain(status);
  observers.all = program;
  if (trace.mode == TraceMode::kOff) return observers;
  observers.recorder = std::make_unique<TraceRecorder>(std::move(trace));
  observers.all = observers.recorder.get();
  if (program != nullptr) {
    observers.pair = std::make_unique<ObserverPair>(*program, *observers.recorder);
    observers.all = observers.pair.get();
  }
  return observers;
}

absl::Status NotRecording() {
  return absl::FailedPreconditionError(
      absl::StrCat("nothing is recorded; set IoUringManagerOptions.trace or the environment variable ", kTraceVariable));
}

absl::Status WrongSeqs(absl::Span<const Seq> seqs, absl::Span<const SyscallSubmissionEntry> entries) {
  return absl::InvalidArgumentError(absl::StrCat(
      "seqs has room for ", seqs.size(), " sequence numbers: it must be as long as the batch (", entries.size(), ") or empty"));
}

// Names the entry of a batch that is wrong.
absl::Status AtIndex(const absl::Status& status, size_t index) {
  return absl::Status(status.code(), absl::StrCat("entry ", index, " of the batch: ", status.message()));
}

}  // namespace

class IoUringManager::Impl {
 public:
  Impl(Threading threading, Observers observers, std::unique_ptr<PostOffice> post_office, std::unique_ptr<RingExecutor> executor,
       ExecutorInfo info)
      : guard_(threading),
        observers_(std::move(observers)),
        observer_(observers_.all),
        info_(std::move(info)),
        post_office_(std::move(post_office)),
        executor_(std::move(executor)) {}

  ~Impl() {
    if (absl::Status status = guard_.Check(); !status.ok()) {
      // Threads, locks and kernel rings are somebody else's, the parent process's or another thread's: touch nothing.
      if (!guard_.InForkedChild()) LOG(ERROR) << "the manager is leaked: " << status.message();
      static_cast<void>(executor_.release());
      static_cast<void>(post_office_.release());
      static_cast<void>(observers_.recorder.release());
      static_cast<void>(observers_.pair.release());
      return;
    }
    for (Pid pid : directory_.Pids()) {
      if (absl::Status status = DestroyRing(pid); !status.ok()) LOG(WARNING) << status.message();
    }
    if (absl::Status status = executor_->Shutdown(); !status.ok()) LOG(WARNING) << status.message();
  }

  absl::Status CreateRing(Pid pid, const RingOptions& options) {
    if (absl::Status status = options.Validate(); !status.ok()) return status;
    std::lock_guard<std::mutex> lock(directory_mutex_);
    if (directory_.Find(pid) != nullptr) return absl::AlreadyExistsError(absl::StrCat("pid ", pid, " has a ring already"));
    if (post_office_->IsBehindRoute(pid)) {
      return absl::FailedPreconditionError(
          absl::StrCat("pid ", pid, " is a process of another manager: a gateway leads to it, so it has no ring here"));
    }
    if (options.group != 0 && !executor_->HasGroup(options.group)) {
      return absl::InvalidArgumentError(
          absl::StrCat("RingOptions.group is ", options.group, ": there is no such group; make one with NewRingGroup"));
    }
    BoundRing* ring = executor_->MakeRing(pid, options);
    // Before anybody finds it and has more to say.
    if (observer_ != nullptr) observer_->OnRingCreated(pid, options);
    directory_.Insert(pid, ring);
    post_office_->Open(pid, options);
    return absl::OkStatus();
  }

  // The ring of `pid`, made with the default options when it has none.
  absl::StatusOr<BoundRing*> FindOrMake(Pid pid) {
    for (;;) {
      if (BoundRing* ring = directory_.Find(pid); ring != nullptr) return ring;
      absl::Status made = CreateRing(pid, RingOptions());
      if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
    }
  }

  // Runs `call` on the ring of `pid`.
  template <typename Call>
  auto WithRing(Pid pid, Call call) -> decltype(call(std::declval<BoundRing&>())) {
    if (absl::Status status = guard_.Check(); !status.ok()) return status;
    BoundRing* ring = directory_.Find(pid);
    if (ring == nullptr) return NoRing(pid);
    return call(*ring);
  }

  // Entries are not accepted, and why.
  absl::Status Reject(Pid pid, size_t count, absl::Status why) {
    if (absl::Status status = guard_.Check(); !status.ok()) return status;
    rejected_.fetch_add(count, std::memory_order_relaxed);
    if (observer_ != nullptr) observer_->OnRefused(pid, count, why);
    return why;
  }

  // Checks entries and runs `call` on the ring that they go to, or rejects them.
  template <typename Call>
  auto WithEntries(Pid pid, absl::Span<const SyscallSubmissionEntry> entries, Call call)
      -> decltype(call(std::declval<BoundRing&>())) {
    if (absl::Status status = guard_.Check(); !status.ok()) return status;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (absl::Status status = ValidateEntry(pid, entries[i]); !status.ok()) {
        return Reject(pid, entries.size(), entries.size() == 1 ? status : AtIndex(status, i));
      }
      if (entries[i].drain() && i > 0 && entries[i - 1].link() != Link::kNone) [[unlikely]] {
        const char* why = "it is a drain in the middle of a chain; make the first of the chain the drain";
        return Reject(pid, entries.size(), AtIndex(absl::InvalidArgumentError(why), i));
      }
    }
    if (entries.back().link() != Link::kNone) [[unlikely]] {
      const char* why = "it is linked to the next one, but the batch ends with it";
      return Reject(pid, entries.size(), AtIndex(absl::InvalidArgumentError(why), entries.size() - 1));
    }
    absl::StatusOr<BoundRing*> ring = FindOrMake(pid);
    if (!ring.ok()) return ring.status();
    auto result = call(**ring);
    // Accepted ones were moved from; a call that waits as well may fail after that.
    if (!result.ok() && entries.front().has_operation()) return Reject(pid, entries.size(), StatusOf(result));
    return result;
  }

  absl::Status DestroyRing(Pid pid) {
    return WithRing(pid, [&](BoundRing& ring) -> absl::Status {
      absl::Status status = executor_->Destroy(ring, pid);
      // Another thread is, or was, quicker with the very same thing.
      if (absl::IsNotFound(status) || absl::IsFailedPrecondition(status)) return status;
      std::vector<IpcDelivery> deliveries;
      {
        std::lock_guard<std::mutex> lock(directory_mutex_);
        post_office_->Close(pid, deliveries);
        directory_.Remove(pid);
        if (observer_ != nullptr) observer_->OnRingDestroyed(pid);
      }
      Complete(deliveries);
      executor_->ReleaseRing(&ring);
      return status;
    });
  }

  absl::StatusOr<std::unique_ptr<IpcGateway>> OpenGateway(const std::vector<Pid>& pids, IpcRoute* route) {
    if (absl::Status status = guard_.Check(); !status.ok()) return status;
    if (route == nullptr) return absl::InvalidArgumentError("route is null");
    if (guard_.IsForOneThread()) {
      return absl::FailedPreconditionError(
          "messages from elsewhere come by threads of their own; make the manager with Threading::kAnyThread");
    }
    std::lock_guard<std::mutex> lock(directory_mutex_);
    if (const std::optional<Pid> taken = post_office_->OpenRoute(route, pids); taken.has_value()) {
      return absl::AlreadyExistsError(
          absl::StrCat("pid ", *taken, " has a ring here, or is behind another gateway; destroy that, or name another process"));
    }
    return std::make_unique<Gateway>(*this, route);
  }

  IoUringStats Stats() const {
    IoUringStats stats;
    stats.active_rings = directory_.size();
    stats.rejected = rejected_.load(std::memory_order_relaxed);
    if (!guard_.Check().ok()) return stats;
    const LaneCounters counters = executor_->Counters();
    stats.total_submissions = counters.submissions;
    stats.total_completions = counters.completions;
    stats.multishot_completions = counters.multishot_completions;
    stats.zero_copy_sends = counters.zero_copy_sends;
    stats.zero_copy_copied = counters.zero_copy_copied;
    stats.receive_buffer_exhaustions = counters.receive_buffer_exhaustions;
    stats.pending = counters.submissions - counters.completions;
    stats.errors = counters.errors;
    stats.cancelled = counters.cancelled;
    stats.dropped = counters.dropped;
    stats.bytes = counters.bytes;
    stats.kernel_entries = counters.kernel_entries;
    stats.completions_by_operation = counters.completions_by_operation;
    const auto percentile = [&](double fraction) {
      return absl::Nanoseconds(static_cast<int64_t>(counters.latency.Percentile(fraction)));
    };
    stats.latency_p50 = percentile(0.5);
    stats.latency_p90 = percentile(0.9);
    stats.latency_p99 = percentile(0.99);
    stats.latency_p999 = percentile(0.999);
    stats.latency_max = absl::Nanoseconds(static_cast<int64_t>(counters.latency.max()));
    return stats;
  }

  // The recorder, which is there as long as this is.
  absl::StatusOr<TraceRecorder*> Recorder() const {
    if (absl::Status status = guard_.Check(); !status.ok()) return status;
    if (observers_.recorder == nullptr) return NotRecording();
    return observers_.recorder.get();
  }

  const CallerGuard& guard() const { return guard_; }
  RingExecutor& executor() { return *executor_; }
  const RingDirectory& directory() const { return directory_; }
  const ExecutorInfo& info() const { return info_; }

 private:
  class Gateway final : public IpcGateway {
   public:
    Gateway(Impl& impl, IpcRoute* route) : impl_(impl), route_(route) {}
    ~Gateway() override {
      if (impl_.guard_.InForkedChild()) return;
      std::vector<IpcDelivery> deliveries;
      impl_.post_office_->CloseRoute(route_, deliveries);
      impl_.Complete(deliveries);
    }
    Delivered Deliver(Pid from, Pid to, Bytes& data) override {
      std::vector<IpcDelivery> deliveries;
      const Delivered delivered = impl_.post_office_->Deliver(route_, from, to, data, deliveries);
      impl_.Complete(deliveries);
      return delivered;
    }
    bool CarryWaiting() override {
      std::vector<IpcDelivery> deliveries;
      const bool any_waits = impl_.post_office_->CarryWaiting(route_, deliveries);
      impl_.Complete(deliveries);
      return any_waits;
    }

   private:
    Impl& impl_;
    IpcRoute* const route_;
  };

  void Complete(std::vector<IpcDelivery>& deliveries) {
    for (IpcDelivery& delivery : deliveries) executor_->CompleteIpc(std::move(delivery));
  }

  static const absl::Status& StatusOf(const absl::Status& status) { return status; }
  static const absl::Status& StatusOf(const absl::StatusOr<size_t>& result) { return result.status(); }

  const CallerGuard guard_;
  Observers observers_;
  RingObserver* const observer_;
  const ExecutorInfo info_;
  std::unique_ptr<PostOffice> post_office_;
  std::unique_ptr<RingExecutor> executor_;

  // Guards changes of the directory and keeps it in step with the post office.
  std::mutex directory_mutex_;
  RingDirectory directory_;
  std::atomic<uint64_t> rejected_{0};
};

absl::StatusOr<std::unique_ptr<IoUringManager>> IoUringManager::Create(IoUringManagerOptions options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  absl::StatusOr<Choice> choice = ChooseExecutor(options.executor);
  if (!choice.ok()) return choice.status();
  absl::StatusOr<Observers> observers = MakeObservers(options.observer, std::move(options.trace));
  if (!observers.ok()) return observers.status();
  auto post_office = std::make_unique<PostOffice>();
  RingExecutor::Options executor_options;
  executor_options.threading = options.threading;
  executor_options.observer = observers->all;
  executor_options.rings = options.kernel_rings;
  executor_options.ring_entries = options.kernel_ring_entries;
  executor_options.file_workers = options.file_workers;
  executor_options.zero_copy_send_from = options.zero_copy_send_from;
  ExecutorInfo info;
  absl::StatusOr<std::unique_ptr<RingExecutor>> executor =
      options.submission_rings != nullptr ? RingExecutor::Create(executor_options, options.submission_rings, post_office.get())
                                          : MakeExecutor(*choice, executor_options, post_office.get(), info);
  if (options.submission_rings != nullptr && executor.ok()) {
    info = {ExecutorKind::kCustom, "custom", absl::StrCat("IoUringManagerOptions.submission_rings; ", (*executor)->Features())};
  }
  if (!executor.ok()) return executor.status();
  if (observers->recorder != nullptr) {
    const absl::Status started = observers->recorder->Start(info, /*find_free_path=*/observers->by_environment);
    if (!started.ok()) return observers->Explain(started);
    LOG(INFO) << "operations are recorded to " << observers->recorder->Stats().path;
  }
  return std::unique_ptr<IoUringManager>(new IoUringManager(std::make_unique<Impl>(
      options.threading, *std::move(observers), std::move(post_office), *std::move(executor), std::move(info))));
}

IoUringManager::IoUringManager(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

IoUringManager::~IoUringManager() = default;

absl::Status IoUringManager::CreateRing(Pid pid, RingOptions options) {
  if (absl::Status status = impl_->guard().Check(); !status.ok()) return status;
  return impl_->CreateRing(pid, options);
}

absl::StatusOr<Seq> IoUringManager::Submit(Pid pid, SyscallSubmissionEntry entry) {
  Seq seq = 0;
  const absl::Status status = SubmitBatch(pid, absl::MakeSpan(&entry, 1), absl::MakeSpan(&seq, 1));
  if (!status.ok()) return status;
  return seq;
}

absl::StatusOr<std::vector<Seq>> IoUringManager::SubmitBatch(Pid pid, std::vector<SyscallSubmissionEntry> entries) {
  std::vector<Seq> seqs(entries.size());
  const absl::Status status = SubmitBatch(pid, absl::MakeSpan(entries), absl::MakeSpan(seqs));
  if (!status.ok()) return status;
  return seqs;
}

absl::Status IoUringManager::SubmitBatch(Pid pid, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs) {
  if (!seqs.empty() && seqs.size() != entries.size()) return impl_->Reject(pid, entries.size(), WrongSeqs(seqs, entries));
  if (entries.empty()) return impl_->guard().Check();
  return impl_->WithEntries(pid, entries, [&](BoundRing& ring) { return impl_->executor().Submit(ring, pid, entries, seqs); });
}

absl::StatusOr<std::vector<SyscallCompletionEntry>> IoUringManager::ReapCompletions(Pid pid, std::optional<size_t> max) {
  return impl_->WithRing(pid, [&](BoundRing& ring) -> absl::StatusOr<std::vector<SyscallCompletionEntry>> {
    absl::StatusOr<size_t> there = impl_->executor().CountCompleted(ring, pid);
    if (!there.ok()) return there.status();
    std::vector<SyscallCompletionEntry> out(std::min(*there, max.value_or(*there)));
    absl::StatusOr<size_t> taken = impl_->executor().Reap(ring, pid, absl::MakeSpan(out));
    if (!taken.ok()) return taken.status();
    out.resize(*taken);
    return out;
  });
}

absl::StatusOr<size_t> IoUringManager::ReapCompletions(Pid pid, absl::Span<SyscallCompletionEntry> out) {
  return impl_->WithRing(pid, [&](BoundRing& ring) { return impl_->executor().Reap(ring, pid, out); });
}

absl::StatusOr<SyscallCompletionEntry> IoUringManager::WaitCompletion(Pid pid, Seq seq, absl::Duration timeout) {
  Deadline deadline(timeout);
  return impl_->WithRing(pid, [&](BoundRing& ring) { return impl_->executor().WaitOne(ring, pid, seq, deadline); });
}

absl::StatusOr<std::vector<SyscallCompletionEntry>> IoUringManager::WaitCompletions(Pid pid, size_t min, size_t max,
                                                                                    absl::Duration timeout) {
  if (min > max) return absl::InvalidArgumentError(absl::StrCat("min is ", min, ": it must not be larger than max, ", max));
  return impl_->WithRing(pid, [&](BoundRing& ring) -> absl::StatusOr<std::vector<SyscallCompletionEntry>> {
    Deadline deadline(timeout);
    for (;;) {
      absl::StatusOr<size_t> there = impl_->executor().AwaitCount(ring, pid, min, deadline);
      if (!there.ok()) return there.status();
      std::vector<SyscallCompletionEntry> out(std::min(*there, max));
      absl::StatusOr<size_t> taken = impl_->executor().Reap(ring, pid, absl::MakeSpan(out));
      if (!taken.ok()) return taken.status();
      out.resize(*taken);
      // Another thread may have reaped in between; then there is time to wait on, or there is not.
      if (!out.empty() || min == 0) return out;
    }
  });
}

absl::StatusOr<size_t> IoUringManager::WaitCompletions(Pid pid, size_t min, absl::Span<SyscallCompletionEntry> out,
                                                       absl::Duration timeout) {
  if (min > out.size()) {
    return absl::InvalidArgumentError(absl::StrCat("min is ", min, ": it must not be larger than the memory for ", out.size()));
  }
  Deadline deadline(timeout);
  return impl_->WithRing(pid, [&](BoundRing& ring) { return impl_->executor().WaitMany(ring, pid, min, out, deadline); });
}

absl::StatusOr<RingGroupId> IoUringManager::NewRingGroup() {
  if (absl::Status status = impl_->guard().Check(); !status.ok()) return status;
  return impl_->executor().MakeGroup();
}

absl::StatusOr<size_t> IoUringManager::WaitGroup(RingGroupId group, size_t min, absl::Span<SyscallCompletionEntry> out,
                                                 absl::Duration timeout) {
  if (absl::Status status = impl_->guard().Check(); !status.ok()) return status;
  if (min > out.size()) {
    return absl::InvalidArgumentError(absl::StrCat("min is ", min, ": it must not be larger than the memory for ", out.size()));
  }
  if (!impl_->executor().HasGroup(group)) return absl::NotFoundError(absl::StrCat("there is no group ", group, " of rings"));
  Deadline deadline(timeout);
  return impl_->executor().WaitGroup(group, min, out, deadline);
}

absl::StatusOr<size_t> IoUringManager::SubmitAndWait(Pid pid, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs,
                                                     size_t min, absl::Span<SyscallCompletionEntry> out, absl::Duration timeout) {
  if (min > out.size()) {
    return impl_->Reject(
        pid, entries.size(),
        absl::InvalidArgumentError(absl::StrCat("min is ", min, ": it must not be larger than the memory for ", out.size())));
  }
  if (!seqs.empty() && seqs.size() != entries.size()) return impl_->Reject(pid, entries.size(), WrongSeqs(seqs, entries));
  if (entries.empty()) return WaitCompletions(pid, min, out, timeout);
  Deadline deadline(timeout);
  return impl_->WithEntries(pid, entries, [&](BoundRing& ring) {
    return impl_->executor().SubmitAndWait(ring, pid, entries, seqs, min, out, deadline);
  });
}

absl::Status IoUringManager::Cancel(Pid pid, Seq seq) {
  return impl_->WithRing(pid, [&](BoundRing& ring) { return impl_->executor().Cancel(ring, pid, seq); });
}

absl::StatusOr<size_t> IoUringManager::CancelAll(Pid pid) {
  return impl_->WithRing(pid, [&](BoundRing& ring) { return impl_->executor().CancelAll(ring, pid); });
}

absl::StatusOr<size_t> IoUringManager::CancelFd(Pid pid, int fd) {
  if (fd < 0) return absl::InvalidArgumentError(absl::StrCat("fd is ", fd, ": it must not be negative"));
  return impl_->WithRing(pid, [&](BoundRing& ring) { return impl_->executor().CancelAll(ring, pid, fd); });
}

absl::StatusOr<std::shared_ptr<RegisteredBufferPool>> IoUringManager::RegisterBuffers(Pid pid, size_t count, size_t size) {
  if (absl::Status status = impl_->guard().Check(); !status.ok()) return status;
  absl::StatusOr<BoundRing*> ring = impl_->FindOrMake(pid);
  if (!ring.ok()) return ring.status();
  return impl_->executor().RegisterBuffers(**ring, pid, count, size);
}

absl::StatusOr<RegisteredFile> IoUringManager::RegisterFile(Pid pid, int fd) {
  if (absl::Status status = impl_->guard().Check(); !status.ok()) return status;
  if (fd < 0) return absl::InvalidArgumentError(absl::StrCat("fd is ", fd, ": it must not be negative"));
  absl::StatusOr<BoundRing*> ring = impl_->FindOrMake(pid);
  if (!ring.ok()) return ring.status();
  return impl_->executor().RegisterFile(**ring, pid, fd);
}

absl::StatusOr<int> IoUringManager::event_fd(Pid pid) {
  if (absl::Status status = impl_->guard().Check(); !status.ok()) return status;
  absl::StatusOr<BoundRing*> ring = impl_->FindOrMake(pid);
  if (!ring.ok()) return ring.status();
  return impl_->executor().EventFd(**ring, pid);
}

absl::StatusOr<std::unique_ptr<IpcGateway>> IoUringManager::OpenGateway(const std::vector<Pid>& pids, IpcRoute* route) {
  return impl_->OpenGateway(pids, route);
}

absl::Status IoUringManager::DestroyRing(Pid pid) { return impl_->DestroyRing(pid); }

absl::StatusOr<RingOptions> IoUringManager::OptionsOf(Pid pid) const {
  return impl_->WithRing(pid, [&](BoundRing& ring) { return impl_->executor().OptionsOf(ring, pid); });
}

bool IoUringManager::HasRing(Pid pid) const { return impl_->directory().Find(pid) != nullptr; }

IoUringStats IoUringManager::Stats() const { return impl_->Stats(); }

TraceStats IoUringManager::Trace() const {
  absl::StatusOr<TraceRecorder*> recorder = impl_->Recorder();
  return recorder.ok() ? (*recorder)->Stats() : TraceStats();
}

absl::Status IoUringManager::FlushTrace() {
  absl::StatusOr<TraceRecorder*> recorder = impl_->Recorder();
  return recorder.ok() ? (*recorder)->Flush() : recorder.status();
}

absl::Status IoUringManager::DumpTrace() {
  absl::StatusOr<TraceRecorder*> recorder = impl_->Recorder();
  return recorder.ok() ? (*recorder)->Dump() : recorder.status();
}

ExecutorInfo IoUringManager::Executor() const { return impl_->info(); }

}  // namespace agentos
