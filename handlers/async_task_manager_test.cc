// AsyncTaskManager: functions on its threads, from their beginning to the end of what is kept of them.

#include "agentos/handlers/async_task_manager.h"

#include <atomic>
#include <latch>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr Pid kPid = 7;
using Code = absl::StatusCode;

std::unique_ptr<AsyncTaskManager> MakeTasks(AsyncTaskManagerOptions options = {}) {
  absl::StatusOr<std::unique_ptr<AsyncTaskManager>> tasks = AsyncTaskManager::Create(std::move(options));
  EXPECT_TRUE(tasks.ok()) << tasks.status();
  return *std::move(tasks);
}

AsyncTaskId Spawn(AsyncTaskManager& tasks, TaskFunction function, Pid pid = kPid) {
  const absl::StatusOr<AsyncTaskId> id = tasks.Spawn(pid, "task", std::move(function));
  EXPECT_TRUE(id.ok()) << id.status();
  return id.value_or(0);
}

AsyncTaskStatus Wait(AsyncTaskManager& tasks, AsyncTaskId id) {
  absl::StatusOr<AsyncTaskStatus> status = tasks.Wait(id);
  EXPECT_TRUE(status.ok()) << status.status();
  return status.ok() ? *std::move(status) : AsyncTaskStatus();
}

absl::StatusOr<std::string> AwaitCancel(TaskContext& context) {
  std::latch cancelled(1);
  const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.count_down(); });
  cancelled.wait();
  return absl::CancelledError("noticed");
}

TEST(AsyncTaskManagerTest, AFunctionGivesItsOutput) {
  const auto tasks = MakeTasks();
  const AsyncTaskId id = Spawn(*tasks, [](TaskContext& context) -> absl::StatusOr<std::string> {
    EXPECT_EQ(context.pid(), kPid);
    context.SetProgress(0.5, "half");
    return "output";
  });
  const AsyncTaskStatus ended = Wait(*tasks, id);
  EXPECT_EQ(ended.state, AsyncTaskState::kSucceeded);
  EXPECT_EQ(ended.output, "output");
  EXPECT_EQ(ended.message, "half");
  EXPECT_EQ(ended.fraction, 1);
  EXPECT_LE(ended.queued, ended.started);
  EXPECT_LE(ended.started, ended.ended);
}

TEST(AsyncTaskManagerTest, ProgressIsSeenWhileItRuns) {
  const auto tasks = MakeTasks();
  std::latch told(1);
  std::latch go_on(1);
  const AsyncTaskId id = Spawn(*tasks, [&](TaskContext& context) -> absl::StatusOr<std::string> {
    context.SetProgress(std::numeric_limits<double>::quiet_NaN(), "");
    context.SetProgress(-1, "");
    context.SetProgress(7, "beyond");
    told.count_down();
    go_on.wait();
    return "";
  });
  told.wait();
  const absl::StatusOr<AsyncTaskStatus> running = tasks->Status(id);
  ASSERT_TRUE(running.ok());
  EXPECT_EQ(running->state, AsyncTaskState::kRunning);
  EXPECT_EQ(running->fraction, 1);
  EXPECT_EQ(running->message, "beyond");
  EXPECT_TRUE(Refused(tasks->Wait(id, absl::ZeroDuration()).status(), Code::kDeadlineExceeded));
  go_on.count_down();
  EXPECT_TRUE(Wait(*tasks, id).has_ended());
}

TEST(AsyncTaskManagerTest, FailuresAndExceptionsAreResults) {
  const auto tasks = MakeTasks();
  const AsyncTaskId failed =
      Spawn(*tasks, [](TaskContext&) -> absl::StatusOr<std::string> { return absl::NotFoundError("nothing there"); });
  const AsyncTaskId threw = Spawn(*tasks, [](TaskContext&) -> absl::StatusOr<std::string> { throw std::runtime_error("boom"); });
  const AsyncTaskId odd = Spawn(*tasks, [](TaskContext&) -> absl::StatusOr<std::string> { throw 5; });
  EXPECT_EQ(Wait(*tasks, failed).status, absl::NotFoundError("nothing there"));
  EXPECT_EQ(Wait(*tasks, threw).status.message(), "the task threw: boom");
  EXPECT_EQ(Wait(*tasks, odd).state, AsyncTaskState::kFailed);
  EXPECT_EQ(tasks->Stats().failed, 3u);
}

TEST(AsyncTaskManagerTest, ThreadsAreBoundedAndReused) {
  const auto tasks = MakeTasks({.threads = 3});
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::vector<AsyncTaskId> ids;
  for (int i = 0; i < 100; ++i) {
    ids.push_back(Spawn(*tasks, [&](TaskContext&) -> absl::StatusOr<std::string> {
      const int now = ++running;
      int seen = most.load();
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      --running;
      return "";
    }));
  }
  for (const AsyncTaskId id : ids) EXPECT_EQ(Wait(*tasks, id).state, AsyncTaskState::kSucceeded);
  EXPECT_LE(most.load(), 3);
  EXPECT_EQ(tasks->Stats().succeeded, 100u);
}

TEST(AsyncTaskManagerTest, ARunningOneIsToldToStopAndAQueuedOneNeverBegins) {
  const auto tasks = MakeTasks({.threads = 1});
  const AsyncTaskId running = Spawn(*tasks, AwaitCancel);
  bool began = false;
  const AsyncTaskId queued = Spawn(*tasks, [&](TaskContext&) -> absl::StatusOr<std::string> {
    began = true;
    return "";
  });
  EXPECT_TRUE(tasks->Cancel(queued).ok());
  EXPECT_EQ(Wait(*tasks, queued).state, AsyncTaskState::kCancelled);
  EXPECT_TRUE(tasks->Cancel(running).ok());
  const AsyncTaskStatus ended = Wait(*tasks, running);
  EXPECT_EQ(ended.state, AsyncTaskState::kCancelled);
  EXPECT_TRUE(ended.cancel_requested);
  EXPECT_FALSE(began);
  EXPECT_TRUE(Refused(tasks->Cancel(running), Code::kFailedPrecondition, {"cancelled already"}));
  EXPECT_TRUE(Refused(tasks->Cancel(999), Code::kNotFound));
}

TEST(AsyncTaskManagerTest, OneThatIgnoresItsCancellationIsNamedAndLeftToItsThread) {
  auto go_on = std::make_shared<std::latch>(1);
  auto ended = std::make_shared<std::latch>(1);
  {
    const auto tasks = MakeTasks({.shutdown_timeout = absl::Milliseconds(1)});
    std::latch began(1);
    const absl::StatusOr<AsyncTaskId> id = tasks->Spawn(kPid, "stubborn", [&, go_on, ended](TaskContext& context) {
      began.count_down();
      go_on->wait();
      // The manager has gone; this must still be harmless.
      context.SetProgress(0.9, "late");
      ended->count_down();
      return absl::StatusOr<std::string>("late");
    });
    ASSERT_TRUE(id.ok());
    began.wait();
    EXPECT_TRUE(tasks->Cancel(*id).ok());
    EXPECT_EQ(tasks->Status(*id)->state, AsyncTaskState::kRunning);
    EXPECT_TRUE(Refused(tasks->Shutdown(), Code::kDeadlineExceeded, {"stubborn (task 1 of pid 7)"}));
    EXPECT_TRUE(Refused(tasks->Spawn(kPid, "late", AwaitCancel).status(), Code::kFailedPrecondition));
  }
  go_on->count_down();
  ended->wait();
}

TEST(AsyncTaskManagerTest, WaitingTasksAreBounded) {
  const auto tasks = MakeTasks({.threads = 1, .max_queued = 2});
  std::latch began(1);
  const AsyncTaskId running = Spawn(*tasks, [&](TaskContext& context) {
    began.count_down();
    return AwaitCancel(context);
  });
  began.wait();
  Spawn(*tasks, AwaitCancel);
  Spawn(*tasks, AwaitCancel);
  EXPECT_TRUE(Refused(tasks->Spawn(kPid, "one too many", AwaitCancel).status(), Code::kResourceExhausted, {"max_queued"}));
  EXPECT_EQ(tasks->Stats().rejected, 1u);
  EXPECT_EQ(tasks->Stats().queued, 2u);
  EXPECT_TRUE(tasks->Cancel(running).ok());
}

// A clock that goes on when the test wants it.
class FakeClock {
 public:
  absl::Time Now() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    const std::lock_guard<std::mutex> lock(mutex_);
    now_ += by;
  }

 private:
  mutable std::mutex mutex_;
  absl::Time now_ = absl::UnixEpoch();
};

TEST(AsyncTaskManagerTest, ResultsAreKeptForABoundedTimeAndNumber) {
  FakeClock clock;
  const auto tasks =
      MakeTasks({.threads = 1, .max_results = 3, .result_lifetime = absl::Minutes(1), .now = [&] { return clock.Now(); }});
  std::vector<AsyncTaskId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(Spawn(*tasks, [](TaskContext&) { return absl::StatusOr<std::string>(""); }));
  Wait(*tasks, ids.back());
  EXPECT_TRUE(Refused(tasks->Status(ids[0]).status(), Code::kNotFound));
  EXPECT_TRUE(Refused(tasks->Wait(ids[1]).status(), Code::kNotFound));
  EXPECT_TRUE(tasks->Status(ids[2]).ok());
  clock.Advance(absl::Seconds(61));
  EXPECT_TRUE(tasks->List(kPid).empty());
  EXPECT_EQ(tasks->Stats().expired, 5u);
  EXPECT_EQ(tasks->Stats().results, 0u);
}

TEST(AsyncTaskManagerTest, ListsByProcessAndForgetsAProcessThatEnds) {
  const auto tasks = MakeTasks({.threads = 2});
  const AsyncTaskId done = Spawn(*tasks, [](TaskContext&) { return absl::StatusOr<std::string>(""); });
  Wait(*tasks, done);
  std::latch began(1);
  const AsyncTaskId running = Spawn(*tasks, [&](TaskContext& context) {
    began.count_down();
    return AwaitCancel(context);
  });
  began.wait();
  const AsyncTaskId other = Spawn(
      *tasks, [](TaskContext&) { return absl::StatusOr<std::string>(""); }, kPid + 1);
  EXPECT_EQ(tasks->List(kPid).size(), 2u);
  EXPECT_EQ(tasks->List(kPid)[0].id, done);
  EXPECT_EQ(tasks->EndProcess(kPid), 1u);
  EXPECT_TRUE(tasks->List(kPid).empty());
  EXPECT_TRUE(Refused(tasks->Wait(running).status(), Code::kNotFound));
  EXPECT_EQ(Wait(*tasks, other).state, AsyncTaskState::kSucceeded);
  EXPECT_EQ(tasks->EndProcess(12345), 0u);
}

TEST(AsyncTaskManagerTest, BadOptionsAndFunctionsAreNamed) {
  EXPECT_TRUE(Refused(AsyncTaskManager::Create({.threads = 0}).status(), Code::kInvalidArgument, {"threads", "0"}));
  EXPECT_TRUE(Refused(AsyncTaskManager::Create({.processes = 5000}).status(), Code::kInvalidArgument, {"processes", "5000"}));
  EXPECT_TRUE(Refused(AsyncTaskManager::Create({.grace = -absl::Seconds(1)}).status(), Code::kInvalidArgument, {"grace"}));
  EXPECT_TRUE(Refused(AsyncTaskManager::Create({.now = nullptr}).status(), Code::kInvalidArgument, {"now"}));
  EXPECT_TRUE(Refused(MakeTasks()->Spawn(kPid, "empty", nullptr).status(), Code::kInvalidArgument, {"function"}));
}

TEST(AsyncTaskManagerTest, EndsItsThreadsAndLetsGoOfWhatTasksHeld) {
  const auto held = std::make_shared<int>(0);
  const size_t threads = ThreadCount();
  {
    const auto tasks = MakeTasks();
    for (int i = 0; i < 20; ++i) Spawn(*tasks, [held](TaskContext&) { return absl::StatusOr<std::string>(""); });
  }
  EXPECT_EQ(held.use_count(), 1);
  while (ThreadCount() > threads) std::this_thread::yield();
}

}  // namespace
}  // namespace agentos
