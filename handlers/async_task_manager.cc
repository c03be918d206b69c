#include "agentos/handlers/async_task_manager.h"

#include <glog/logging.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentos/handlers/process_supervisor.h"

namespace agentos {

namespace {

using handlers_internal::ProcessSupervisor;

absl::Status CheckRange(absl::string_view field, size_t value, size_t least, size_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("AsyncTaskManagerOptions.", field, " is ", value, ": it must be from ", least, " to ", most));
}

absl::Status CheckOptions(const AsyncTaskManagerOptions& options) {
  if (absl::Status s = CheckRange("threads", options.threads, 1, 1024); !s.ok()) return s;
  if (absl::Status s = CheckRange("processes", options.processes, 1, 1024); !s.ok()) return s;
  if (options.now == nullptr) return absl::InvalidArgumentError("AsyncTaskManagerOptions.now is empty: it must be a clock");
  const auto is_negative = [](absl::Duration duration) { return duration < absl::ZeroDuration(); };
  if (is_negative(options.result_lifetime) || is_negative(options.grace) || is_negative(options.shutdown_timeout)) {
    return absl::InvalidArgumentError("AsyncTaskManagerOptions.result_lifetime, grace and shutdown_timeout must not be negative");
  }
  return absl::OkStatus();
}

absl::Status CheckRequest(const ProcessRequest& request) {
  if (request.argv.empty() || request.argv.front().empty()) {
    return absl::InvalidArgumentError("ProcessRequest.argv is empty: its first string must be the program");
  }
  std::vector<const std::string*> strings = {&request.working_directory};
  for (const std::string& argument : request.argv) strings.push_back(&argument);
  if (request.environment.has_value()) {
    for (const std::string& variable : *request.environment) {
      if (variable.find('=') == std::string::npos) {
        return absl::InvalidArgumentError(
            absl::StrCat("ProcessRequest.environment has \"", variable, "\": it must be NAME=value"));
      }
      strings.push_back(&variable);
    }
  }
  for (const std::string* string : strings) {
    if (string->find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("ProcessRequest has a string with a NUL in it, which no program can be given");
    }
  }
  if (request.timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("ProcessRequest.timeout is ", absl::FormatDuration(request.timeout), ": it must be positive"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view AsyncTaskStateName(AsyncTaskState state) {
  switch (state) {
    case AsyncTaskState::kQueued:
      return "queued";
    case AsyncTaskState::kRunning:
      return "running";
    case AsyncTaskState::kSucceeded:
      return "succeeded";
    case AsyncTaskState::kFailed:
      return "failed";
    case AsyncTaskState::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

class AsyncTaskManager::Impl : public std::enable_shared_from_this<AsyncTaskManager::Impl> {
 public:
  explicit Impl(AsyncTaskManagerOptions options)
      : options_(std::move(options)), supervisor_(options_.rings, options_.ring_pid, options_.grace) {}

  absl::StatusOr<AsyncTaskId> Spawn(Pid pid, std::string name, TaskFunction function) {
    if (!function) return absl::InvalidArgumentError("the function of the task is empty");
    std::unique_lock<std::mutex> lock(mutex_);
    absl::StatusOr<Record*> record = Add(pid, std::move(name));
    if (!record.ok()) return record.status();
    (*record)->function = std::move(function);
    functions_.push_back((*record)->status.id);
    const AsyncTaskId id = (*record)->status.id;
    if (idle_threads_ < functions_.size() && threads_ < options_.threads) StartThread();
    work_.notify_one();
    return id;
  }

  absl::StatusOr<AsyncTaskId> SpawnProcess(Pid pid, ProcessRequest request) {
    if (absl::Status status = CheckRequest(request); !status.ok()) return status;
    std::unique_lock<std::mutex> lock(mutex_);
    absl::StatusOr<Record*> record = Add(pid, request.argv.front());
    if (!record.ok()) return record.status();
    (*record)->request = std::move(request);
    const AsyncTaskId id = (*record)->status.id;
    programs_.push_back(id);
    StartPrograms(lock);
    return id;
  }

  absl::StatusOr<AsyncTaskStatus> Status(AsyncTaskId id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Expire();
    const auto found = tasks_.find(id);
    if (found == tasks_.end() || found->second.forgotten) return Unknown(id);
    return found->second.status;
  }

  absl::StatusOr<AsyncTaskStatus> Wait(AsyncTaskId id, absl::Duration timeout) {
    std::unique_lock<std::mutex> lock(mutex_);
    Expire();
    std::optional<AsyncTaskStatus> ended;
    bool unknown = false;
    const auto is_over = [&] {
      const auto found = tasks_.find(id);
      unknown = found == tasks_.end() || found->second.forgotten;
      if (!unknown && found->second.status.has_ended()) ended = found->second.status;
      return unknown || ended.has_value();
    };
    if (timeout == absl::InfiniteDuration()) {
      ended_.wait(lock, is_over);
    } else {
      ended_.wait_for(lock, absl::ToChronoNanoseconds(std::max(timeout, absl::ZeroDuration())), is_over);
    }
    if (ended.has_value()) return *std::move(ended);
    if (unknown) return Unknown(id);
    return absl::DeadlineExceededError(absl::StrCat("task ", id, " is still under way"));
  }

  std::vector<AsyncTaskStatus> List(Pid pid) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Expire();
    std::vector<AsyncTaskStatus> all;
    for (const auto& [id, record] : tasks_) {
      if (record.status.pid == pid && !record.forgotten) all.push_back(record.status);
    }
    return all;
  }

  absl::Status Cancel(AsyncTaskId id) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto found = tasks_.find(id);
    if (found == tasks_.end() || found->second.forgotten) return Unknown(id);
    if (found->second.status.has_ended()) {
      return absl::FailedPreconditionError(
          absl::StrCat("task ", id, " has ", AsyncTaskStateName(found->second.status.state), " already"));
    }
    RequestStop(lock, id);
    return absl::OkStatus();
  }

  size_t EndProcess(Pid pid) {
    std::unique_lock<std::mutex> lock(mutex_);
    std::vector<AsyncTaskId> going;
    for (auto& [id, record] : tasks_) {
      if (record.status.pid != pid || record.forgotten) continue;
      record.forgotten = true;
      if (!record.status.has_ended()) going.push_back(id);
    }
    std::erase_if(results_, [&](AsyncTaskId id) { return Forget(id); });
    for (const AsyncTaskId id : going) RequestStop(lock, id);
    ended_.notify_all();
    return going.size();
  }

  AsyncTaskStats Stats() {
    const std::lock_guard<std::mutex> lock(mutex_);
    Expire();
    AsyncTaskStats stats = stats_;
    stats.queued = queued();
    stats.running = running_;
    stats.results = results_.size();
    return stats;
  }

  absl::Status Shutdown() {
    std::unique_lock<std::mutex> lock(mutex_);
    shutting_down_ = true;
    std::vector<AsyncTaskId> going;
    for (const auto& [id, record] : tasks_) {
      if (!record.status.has_ended()) going.push_back(id);
    }
    for (const AsyncTaskId id : going) RequestStop(lock, id);
    work_.notify_all();
    lock.unlock();
    // Ends the programs, each within its grace; what that calls takes the lock.
    supervisor_.Stop();
    lock.lock();
    thread_ended_.wait_for(lock, absl::ToChronoNanoseconds(options_.shutdown_timeout), [this] { return threads_ == 0; });
    std::vector<std::string> left;
    for (const auto& [id, record] : tasks_) {
      if (record.status.state != AsyncTaskState::kRunning) continue;
      left.push_back(absl::StrCat(record.status.name, " (task ", id, " of pid ", record.status.pid, ")"));
    }
    if (left.empty()) return absl::OkStatus();
    return absl::DeadlineExceededError(
        absl::StrCat("functions that ignore their cancellation go on, each on its thread: ", absl::StrJoin(left, ", ")));
  }

 private:
  struct Record {
    AsyncTaskStatus status;
    std::stop_source stop;
    // What is to be done, until it is.
    TaskFunction function;
    ProcessRequest request;
    // Its process has ended: nobody hears of it any more.
    bool forgotten = false;
  };

  static absl::Status Unknown(AsyncTaskId id) {
    return absl::NotFoundError(absl::StrCat("task ", id, " is unknown, or its result is not kept any more"));
  }

  size_t queued() const { return functions_.size() + programs_.size(); }

  absl::StatusOr<Record*> Add(Pid pid, std::string name) {
    Expire();
    absl::Status refused;
    if (shutting_down_) {
      refused = absl::FailedPreconditionError("the task manager is shutting down");
    } else if (queued() >= options_.max_queued) {
      refused = absl::ResourceExhaustedError(
          absl::StrCat(queued(), " tasks wait already; try again later or raise AsyncTaskManagerOptions.max_queued"));
    }
    if (!refused.ok()) {
      ++stats_.rejected;
      return refused;
    }
    ++stats_.spawned;
    const AsyncTaskId id = ++last_id_;
    Record& record = tasks_[id];
    record.status.id = id;
    record.status.pid = pid;
    record.status.name = std::move(name);
    record.status.queued = options_.now();
    return &record;
  }

  void StartThread() {
    ++threads_;
    // Signals are for the program's own threads.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread thread([self = shared_from_this()] { self->RunFunctions(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(thread.native_handle(), "agentos-task");
    thread.detach();
  }

  void RunFunctions() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      ++idle_threads_;
      work_.wait(lock, [this] { return !functions_.empty() || shutting_down_; });
      --idle_threads_;
      if (functions_.empty()) break;
      const AsyncTaskId id = functions_.front();
      functions_.pop_front();
      Record& record = tasks_.at(id);
      BeginRunning(record);
      TaskFunction function = std::move(record.function);
      TaskContext context(id, record.status.pid, record.stop.get_token(),
                          [this, id](double fraction, std::string message) { SetProgress(id, fraction, std::move(message)); });
      lock.unlock();
      absl::StatusOr<std::string> result = Call(function, context);
      // What it holds goes before anybody hears that it has ended.
      function = nullptr;
      lock.lock();
      std::string output = result.ok() ? *std::move(result) : std::string();
      End(id, result.status(), std::move(output), std::nullopt);
    }
    --threads_;
    thread_ended_.notify_all();
  }

  static absl::StatusOr<std::string> Call(TaskFunction& function, TaskContext& context) {
    try {
      return function(context);
    } catch (const std::exception& e) {
      return absl::InternalError(absl::StrCat("the task threw: ", e.what()));
    } catch (...) {
      return absl::InternalError("the task threw something that is no std::exception");
    }
  }

  void SetProgress(AsyncTaskId id, double fraction, std::string message) {
    const std::lock_guard<std::mutex> lock(mutex_);
    AsyncTaskStatus& status = tasks_.at(id).status;
    // NaN is no progress.
    status.fraction = fraction > 0 ? std::min(fraction, 1.0) : 0;
    status.message = std::move(message);
  }

  void StartPrograms(std::unique_lock<std::mutex>& lock) {
    while (!programs_.empty() && running_programs_ < options_.processes) {
      const AsyncTaskId id = programs_.front();
      programs_.pop_front();
      Record& record = tasks_.at(id);
      BeginRunning(record);
      ++running_programs_;
      ProcessRequest request = std::move(record.request);
      const std::stop_token stop = record.stop.get_token();
      // It may be called before Run has returned.
      lock.unlock();
      const absl::Status started = supervisor_.Run(
          std::move(request), stop, [this, id](ProcessSupervisor::Outcome outcome) { OnProgramEnd(id, std::move(outcome)); });
      lock.lock();
      if (started.ok()) continue;
      --running_programs_;
      End(id, started, "", std::nullopt);
    }
  }

  void OnProgramEnd(AsyncTaskId id, ProcessSupervisor::Outcome outcome) {
    std::unique_lock<std::mutex> lock(mutex_);
    --running_programs_;
    std::string output = outcome.result.has_value() ? outcome.result->standard_output : std::string();
    End(id, outcome.status, std::move(output), std::move(outcome.result));
    StartPrograms(lock);
  }

  void BeginRunning(Record& record) {
    record.status.state = AsyncTaskState::kRunning;
    record.status.started = options_.now();
    ++running_;
  }

  void End(AsyncTaskId id, const absl::Status& status, std::string output, std::optional<ProcessResult> process) {
    Record& record = tasks_.at(id);
    if (record.status.state == AsyncTaskState::kRunning) --running_;
    if (status.ok()) {
      record.status.state = AsyncTaskState::kSucceeded;
      record.status.fraction = 1;
      ++stats_.succeeded;
    } else if (absl::IsCancelled(status)) {
      record.status.state = AsyncTaskState::kCancelled;
      ++stats_.cancelled;
    } else {
      record.status.state = AsyncTaskState::kFailed;
      ++stats_.failed;
    }
    record.status.status = status;
    record.status.output = std::move(output);
    record.status.process = std::move(process);
    record.status.ended = options_.now();
    if (!Forget(id)) results_.push_back(id);
    Expire();
    ended_.notify_all();
  }

  // Drops the record of one that has ended and that nobody may hear of. Whether it did.
  bool Forget(AsyncTaskId id) {
    const auto found = tasks_.find(id);
    if (!found->second.forgotten || !found->second.status.has_ended()) return false;
    tasks_.erase(found);
    return true;
  }

  void RequestStop(std::unique_lock<std::mutex>& lock, AsyncTaskId id) {
    const auto found = tasks_.find(id);
    if (found == tasks_.end()) return;
    found->second.status.cancel_requested = true;
    if (found->second.status.state == AsyncTaskState::kQueued) {
      std::erase(functions_, id);
      std::erase(programs_, id);
      return End(id, absl::CancelledError("cancelled before it began"), "", std::nullopt);
    }
    // What hears of it may take the lock.
    std::stop_source stop = found->second.stop;
    lock.unlock();
    stop.request_stop();
    lock.lock();
  }

  // Lets go of results that are too old, or too many.
  void Expire() {
    const absl::Time oldest = options_.now() - options_.result_lifetime;
    while (!results_.empty() && (results_.size() > options_.max_results || tasks_.at(results_.front()).status.ended < oldest)) {
      tasks_.erase(results_.front());
      results_.pop_front();
      ++stats_.expired;
    }
  }

  const AsyncTaskManagerOptions options_;
  ProcessSupervisor supervisor_;

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable ended_;
  std::condition_variable thread_ended_;
  bool shutting_down_ = false;
  AsyncTaskId last_id_ = 0;
  std::map<AsyncTaskId, Record> tasks_;
  // Those that wait, in order.
  std::deque<AsyncTaskId> functions_;
  std::deque<AsyncTaskId> programs_;
  // Those that have ended, in order.
  std::deque<AsyncTaskId> results_;
  size_t threads_ = 0;
  size_t idle_threads_ = 0;
  size_t running_ = 0;
  size_t running_programs_ = 0;
  AsyncTaskStats stats_;
};

absl::StatusOr<std::unique_ptr<AsyncTaskManager>> AsyncTaskManager::Create(AsyncTaskManagerOptions options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  return std::unique_ptr<AsyncTaskManager>(new AsyncTaskManager(std::make_shared<Impl>(std::move(options))));
}

AsyncTaskManager::AsyncTaskManager(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

AsyncTaskManager::~AsyncTaskManager() {
  if (absl::Status status = Shutdown(); !status.ok()) LOG(WARNING) << status.message();
}

absl::StatusOr<AsyncTaskId> AsyncTaskManager::Spawn(Pid pid, std::string name, TaskFunction function) {
  return impl_->Spawn(pid, std::move(name), std::move(function));
}

absl::StatusOr<AsyncTaskId> AsyncTaskManager::SpawnProcess(Pid pid, ProcessRequest request) {
  return impl_->SpawnProcess(pid, std::move(request));
}

absl::StatusOr<AsyncTaskStatus> AsyncTaskManager::Status(AsyncTaskId id) const { return impl_->Status(id); }

absl::StatusOr<AsyncTaskStatus> AsyncTaskManager::Wait(AsyncTaskId id, absl::Duration timeout) {
  return impl_->Wait(id, timeout);
}

std::vector<AsyncTaskStatus> AsyncTaskManager::List(Pid pid) const { return impl_->List(pid); }

absl::Status AsyncTaskManager::Cancel(AsyncTaskId id) { return impl_->Cancel(id); }

size_t AsyncTaskManager::EndProcess(Pid pid) { return impl_->EndProcess(pid); }

AsyncTaskStats AsyncTaskManager::Stats() const { return impl_->Stats(); }

absl::Status AsyncTaskManager::Shutdown() { return impl_->Shutdown(); }

}  // namespace agentos
