#include "agentos/executor/file_workers.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <fstream>
#include <functional>
#include <future>
#include <initializer_list>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ring/priority_turns.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The directories in /proc of this process's workers.
std::vector<std::string> WorkerTasks() {
  std::vector<std::string> tasks;
  DIR* dir = opendir("/proc/self/task");
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] == '.') continue;
    std::string task = absl::StrCat("/proc/self/task/", entry->d_name);
    if (absl::StartsWith(FirstLine(task + "/comm"), "agentos-file-")) tasks.push_back(std::move(task));
  }
  closedir(dir);
  return tasks;
}

// Runs a function of its own.
struct FunctionJob : FileWorkers::Job {
  explicit FunctionJob(std::function<void()> body) : function(std::move(body)) {
    run = [](FileWorkers::Job* self) { static_cast<FunctionJob*>(self)->function(); };
  }
  std::function<void()> function;
};

// Holds its worker until it is let go. Declared before the pool, which waits for its end when it is destroyed.
struct GateJob : FileWorkers::Job {
  GateJob() {
    run = [](FileWorkers::Job* self) {
      auto* gate = static_cast<GateJob*>(self);
      // Once let go, a stuck job's owner may destroy it, but for this.
      const std::shared_ptr<std::latch> last = gate->ended;
      gate->begun.count_down();
      gate->open.wait();
      last->count_down();
    };
  }
  std::latch begun{1};
  std::latch open{1};
  std::shared_ptr<std::latch> ended = std::make_shared<std::latch>(1);
};

bool AddOne(FileWorkers& workers, FileWorkers::Job& job) { return workers.Add(&job, &job, 1); }

void Link(std::vector<FunctionJob>& jobs) {
  for (size_t i = 0; i + 1 < jobs.size(); ++i) jobs[i].next = &jobs[i + 1];
}

class FileWorkersTest : public testing::Test {
 protected:
  // A thread that was joined can be seen in /proc for a moment longer.
  void SetUp() override {
    while (!WorkerTasks().empty()) std::this_thread::yield();
  }

  static void WaitUntilAllSleep() {
    for (const std::string& task : WorkerTasks()) {
      while (!absl::StrContains(FirstLine(task + "/stat"), ") S ")) std::this_thread::yield();
    }
  }
};

TEST_F(FileWorkersTest, NoThreadBeforeTheFirstJob) {
  FileWorkers workers(2);
  EXPECT_EQ(WorkerTasks().size(), 0u);
  EXPECT_EQ(workers.threads(), 2u);
  EXPECT_EQ(workers.queued(), 0u);
}

TEST_F(FileWorkersTest, StartsAThreadOnlyWhenNoneIsIdleAndNoMoreThanItMay) {
  GateJob first;
  GateJob second;
  GateJob third;
  FileWorkers workers(2);
  ASSERT_TRUE(AddOne(workers, first));
  first.begun.wait();
  EXPECT_EQ(WorkerTasks().size(), 1u);
  ASSERT_TRUE(AddOne(workers, second));
  second.begun.wait();
  EXPECT_EQ(WorkerTasks().size(), 2u);
  ASSERT_TRUE(AddOne(workers, third));
  EXPECT_EQ(workers.queued(), 1u);
  EXPECT_EQ(WorkerTasks().size(), 2u);
  // The stuck first job holds up nothing as long as the other thread goes on.
  second.open.count_down();
  third.begun.wait();
  EXPECT_EQ(workers.queued(), 0u);
  third.open.count_down();
  first.open.count_down();
}

TEST_F(FileWorkersTest, ALoneCallerNeedsOneThread) {
  FileWorkers workers(4);
  for (int i = 0; i < 100; ++i) {
    std::latch done(1);
    FunctionJob job([&] { done.count_down(); });
    ASSERT_TRUE(AddOne(workers, job));
    done.wait();
    // A thread that is still on its way to wait does not count as idle.
    WaitUntilAllSleep();
  }
  EXPECT_EQ(WorkerTasks().size(), 1u);
}

// The sleeper that the first job wakes is not there for the second, even before it is up.
TEST_F(FileWorkersTest, AWokenThreadIsNoLongerIdle) {
  for (int round = 0; round < 500; ++round) {
    GateJob first;
    GateJob second;
    FileWorkers workers(2);
    std::latch done(1);
    FunctionJob warm_up([&] { done.count_down(); });
    ASSERT_TRUE(AddOne(workers, warm_up));
    done.wait();
    WaitUntilAllSleep();
    ASSERT_TRUE(AddOne(workers, first));
    ASSERT_TRUE(AddOne(workers, second));
    first.begun.wait();
    second.begun.wait();
    first.open.count_down();
    second.open.count_down();
  }
}

TEST_F(FileWorkersTest, ABatchWakesAsManyThreadsAsItHasJobs) {
  GateJob gates[4];
  FileWorkers workers(2);
  for (GateJob* pair : {&gates[0], &gates[2]}) {
    pair[0].next = &pair[1];
    ASSERT_TRUE(workers.Add(&pair[0], &pair[1], 2));
    for (int i = 0; i < 2; ++i) pair[i].begun.wait();
    for (int i = 0; i < 2; ++i) pair[i].open.count_down();
    for (int i = 0; i < 2; ++i) pair[i].ended->wait();
    WaitUntilAllSleep();
  }
}

TEST_F(FileWorkersTest, ThreadsAreNamedAndBlockSignalsButFaults) {
  FileWorkers workers(2);
  std::vector<std::string> names(2);
  sigset_t blocked;
  std::latch both(2);
  std::vector<FunctionJob> jobs;
  for (int i = 0; i < 2; ++i) {
    jobs.emplace_back([&, i] {
      char name[16];
      pthread_getname_np(pthread_self(), name, sizeof(name));
      names[i] = name;
      if (i == 0) pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
      both.arrive_and_wait();
    });
  }
  Link(jobs);
  ASSERT_TRUE(workers.Add(&jobs[0], &jobs[1], 2));
  both.wait();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"agentos-file-0", "agentos-file-1"}));
  for (const int signal : {SIGTERM, SIGINT, SIGPIPE, SIGUSR1, SIGALRM, SIGIO, SIGCHLD}) {
    EXPECT_EQ(sigismember(&blocked, signal), 1) << signal;
  }
  for (const int signal : {SIGSEGV, SIGBUS, SIGSYS}) EXPECT_EQ(sigismember(&blocked, signal), 0) << signal;
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGTERM), 0);
}

TEST_F(FileWorkersTest, StartsInTheOrderAdded) {
  GateJob gate;
  FileWorkers workers(1);
  ASSERT_TRUE(AddOne(workers, gate));
  gate.begun.wait();
  std::vector<int> order;
  std::latch done(9);
  std::vector<FunctionJob> jobs;
  for (int i = 0; i < 9; ++i) {
    jobs.emplace_back([&, i] {
      order.push_back(i);
      done.count_down();
    });
  }
  // Batches of 1, 3 and 5.
  Link(jobs);
  ASSERT_TRUE(workers.Add(&jobs[0], &jobs[0], 1));
  ASSERT_TRUE(workers.Add(&jobs[1], &jobs[3], 3));
  ASSERT_TRUE(workers.Add(&jobs[4], &jobs[8], 5));
  EXPECT_EQ(workers.queued(), 9u);
  gate.open.count_down();
  done.wait();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST_F(FileWorkersTest, P6StartsUrgentJobsFirstAndStarvesNone) {
  GateJob gate;
  std::vector<int> started;
  std::vector<FunctionJob> jobs;
  constexpr int kUrgent = 40;
  for (int i = 0; i < kUrgent + 2; ++i) jobs.emplace_back([&started, i] { started.push_back(i); });
  // The first two are background and normal work, added before the urgent.
  jobs[0].level = 0;
  for (size_t i = 2; i < jobs.size(); ++i) jobs[i].level = 2;
  {
    FileWorkers workers(1);
    ASSERT_TRUE(AddOne(workers, gate));
    gate.begun.wait();
    Link(jobs);
    ASSERT_TRUE(workers.Add(&jobs.front(), &jobs.back(), jobs.size()));
    gate.open.count_down();
    while (workers.queued() > 0) std::this_thread::yield();
  }
  ASSERT_EQ(started.size(), jobs.size());
  EXPECT_EQ(started[0], 2);
  const auto place = [&](int job) { return std::find(started.begin(), started.end(), job) - started.begin(); };
  EXPECT_EQ(place(0), static_cast<int>(PriorityTurns::kPatience));
  EXPECT_EQ(place(1), static_cast<int>(PriorityTurns::kPatience) + 1);
}

// Jobs that note that they ran, for one thread that a gate keeps busy until all are queued.
class FileWorkersOrderTest : public FileWorkersTest {
 protected:
  void SetUp() override {
    FileWorkersTest::SetUp();
    ASSERT_TRUE(AddOne(workers_, gate_));
    gate_.begun.wait();
  }
  void TearDown() override {
    // What a failed test has left.
    for (FunctionJob& job : jobs_) workers_.RemoveQueued(&job);
    if (!open_) gate_.open.count_down();
    FileWorkersTest::TearDown();
  }

  void Make(std::initializer_list<uint8_t> levels) {
    for (const uint8_t level : levels) {
      jobs_.emplace_back([this, i = static_cast<int>(jobs_.size())] {
        order_.push_back(i);
        done_->count_down();
      });
      jobs_.back().level = level;
    }
  }
  // From first to last, both included, as one batch.
  bool Add(size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) jobs_[i].next = &jobs_[i + 1];
    return workers_.Add(&jobs_[first], &jobs_[last], last - first + 1);
  }
  std::vector<int> OrderOf(size_t count) {
    EXPECT_EQ(workers_.queued(), count);
    done_ = std::make_unique<std::latch>(static_cast<ptrdiff_t>(count));
    open_ = true;
    gate_.open.count_down();
    done_->wait();
    return order_;
  }

  std::deque<FunctionJob> jobs_;
  GateJob gate_;
  bool open_ = false;
  std::vector<int> order_;
  std::unique_ptr<std::latch> done_;
  FileWorkers workers_{1};
};

TEST_F(FileWorkersOrderTest, P6BatchesThatMixLevelsStartByLevelThenInTheOrderAdded) {
  Make({0, 1, 2, 2, 0, 1, 1, 2, 0});
  ASSERT_TRUE(Add(0, 3));
  ASSERT_TRUE(Add(4, 4));
  ASSERT_TRUE(Add(5, 8));
  EXPECT_EQ(OrderOf(9), (std::vector<int>{2, 3, 7, 1, 5, 6, 0, 4, 8}));
}

TEST_F(FileWorkersOrderTest, JobsOfEveryLevelCanBeRemovedFromEveryPlace) {
  // Job i is of level i % 3 and in place i / 3 there.
  Make({0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2});
  ASSERT_TRUE(Add(0, 14));
  // The first, the last and the middle one of each; then what is added comes behind what is left.
  for (const size_t i : {0u, 1u, 2u, 12u, 13u, 14u, 6u, 7u, 8u}) EXPECT_TRUE(workers_.RemoveQueued(&jobs_[i])) << i;
  for (const size_t i : {0u, 14u, 7u}) EXPECT_FALSE(workers_.RemoveQueued(&jobs_[i])) << i;
  Make({0, 2});
  ASSERT_TRUE(Add(15, 16));
  EXPECT_EQ(OrderOf(8), (std::vector<int>{5, 11, 16, 4, 10, 3, 9, 15}));
}

TEST_F(FileWorkersTest, RemovedJobsDoNotRunAndTheOthersDo) {
  GateJob gate;
  FileWorkers workers(1);
  ASSERT_TRUE(AddOne(workers, gate));
  gate.begun.wait();
  std::vector<int> order;
  std::latch done(4);
  std::vector<FunctionJob> jobs;
  for (int i = 0; i < 8; ++i) {
    jobs.emplace_back([&, i] {
      order.push_back(i);
      done.count_down();
    });
  }
  FunctionJob never_added([] {});
  EXPECT_FALSE(workers.RemoveQueued(&never_added));
  EXPECT_FALSE(workers.RemoveQueued(&gate));
  Link(jobs);
  ASSERT_TRUE(workers.Add(&jobs[0], &jobs[5], 6));
  // The last, the first, one in the middle, its neighbour; then more behind them.
  for (const int i : {5, 0, 2, 3}) EXPECT_TRUE(workers.RemoveQueued(&jobs[i])) << i;
  EXPECT_FALSE(workers.RemoveQueued(&jobs[2]));
  EXPECT_EQ(workers.queued(), 2u);
  ASSERT_TRUE(workers.Add(&jobs[6], &jobs[7], 2));
  gate.open.count_down();
  done.wait();
  EXPECT_EQ(order, (std::vector<int>{1, 4, 6, 7}));
  for (FunctionJob& job : jobs) EXPECT_FALSE(workers.RemoveQueued(&job));
}

TEST_F(FileWorkersTest, ARemovedJobCanBeAddedAgain) {
  GateJob gate;
  FileWorkers workers(1);
  ASSERT_TRUE(AddOne(workers, gate));
  gate.begun.wait();
  std::latch done(1);
  FunctionJob job([&] { done.count_down(); });
  ASSERT_TRUE(AddOne(workers, job));
  ASSERT_TRUE(workers.RemoveQueued(&job));
  EXPECT_EQ(workers.queued(), 0u);
  ASSERT_TRUE(AddOne(workers, job));
  gate.open.count_down();
  done.wait();
}

TEST_F(FileWorkersTest, AJobMayDeleteItself) {
  FileWorkers workers(2);
  struct SelfOwned : FileWorkers::Job {
    std::promise<void> done;
  };
  for (int i = 0; i < 1000; ++i) {
    auto* job = new SelfOwned;
    std::future<void> done = job->done.get_future();
    job->run = [](FileWorkers::Job* self) {
      std::promise<void> last = std::move(static_cast<SelfOwned*>(self)->done);
      delete static_cast<SelfOwned*>(self);
      last.set_value();
    };
    ASSERT_TRUE(AddOne(workers, *job));
    done.wait();
  }
}

TEST_F(FileWorkersTest, ManyThreadsAddAndRemoveAndEachJobEndsOnce) {
  struct CountedJob : FileWorkers::Job {
    std::atomic<int> runs{0};
    std::latch* all = nullptr;
    bool removed = false;
  };
  constexpr size_t kCallers = 4;
  constexpr size_t kEach = 25'000;
  std::vector<CountedJob> jobs(kCallers * kEach);
  std::latch all(kCallers * kEach);
  {
    FileWorkers workers(3);
    std::vector<std::thread> callers;
    for (size_t caller = 0; caller < kCallers; ++caller) {
      callers.emplace_back([&, caller] {
        CountedJob* own = &jobs[caller * kEach];
        for (size_t i = 0; i < kEach;) {
          const size_t count = std::min<size_t>(1 + i % 40, kEach - i);
          for (size_t k = i; k < i + count; ++k) {
            own[k].all = &all;
            own[k].next = &own[k + 1];
            own[k].run = [](FileWorkers::Job* self) {
              auto* job = static_cast<CountedJob*>(self);
              job->runs.fetch_add(1);
              job->all->count_down();
            };
          }
          ASSERT_TRUE(workers.Add(&own[i], &own[i + count - 1], count));
          // Sometimes the last of the batch, which may or may not have run.
          i += count;
          if (i % 3 == 0 && workers.RemoveQueued(&own[i - 1])) {
            own[i - 1].removed = true;
            all.count_down();
          }
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
    all.wait();
    EXPECT_EQ(workers.queued(), 0u);
  }
  size_t removed = 0;
  for (const CountedJob& job : jobs) {
    ASSERT_EQ(job.runs.load(), job.removed ? 0 : 1);
    removed += job.removed ? 1 : 0;
  }
  RecordProperty("removed", static_cast<int>(removed));
}

// Jobs that come one by one to threads that have just fallen asleep: a lost wake-up would hang here.
TEST_F(FileWorkersTest, NoWakeUpIsLost) {
  FileWorkers workers(2);
  for (int i = 0; i < 5000; ++i) {
    std::latch done(2);
    FunctionJob first([&] { done.count_down(); });
    FunctionJob second([&] { done.count_down(); });
    ASSERT_TRUE(AddOne(workers, first));
    ASSERT_TRUE(AddOne(workers, second));
    done.wait();
  }
}

TEST_F(FileWorkersTest, StopWaitsForWhatRuns) {
  FileWorkers workers(2);
  std::atomic<bool> ended{false};
  std::latch begun(1);
  std::latch open(1);
  FunctionJob job([&] {
    begun.count_down();
    open.wait();
    ended = true;
  });
  ASSERT_TRUE(AddOne(workers, job));
  begun.wait();
  std::thread opener([&] { open.count_down(); });
  EXPECT_TRUE(workers.Stop(absl::Minutes(10)));
  EXPECT_TRUE(ended);
  opener.join();
}

TEST_F(FileWorkersTest, StopWithoutThreadsIsAtOnce) {
  FileWorkers workers(2);
  EXPECT_TRUE(workers.Stop(absl::ZeroDuration()));
}

TEST_F(FileWorkersTest, StopGivesUpAStuckJobWithoutTouchingItsThread) {
  GateJob stuck;
  {
    FileWorkers workers(2);
    ASSERT_TRUE(AddOne(workers, stuck));
    stuck.begun.wait();
    EXPECT_FALSE(workers.Stop(absl::Milliseconds(20)));
  }
  // The thread outlives the pool and ends by itself.
  EXPECT_EQ(WorkerTasks().size(), 1u);
  const std::shared_ptr<std::latch> ended = stuck.ended;
  stuck.open.count_down();
  ended->wait();
  while (!WorkerTasks().empty()) std::this_thread::yield();
}

TEST(FileWorkersDeathTest, StopWithQueuedJobsIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FileWorkers workers(1);
        GateJob gate;
        FunctionJob waiting([] {});
        if (AddOne(workers, gate) && AddOne(workers, waiting)) workers.Stop(absl::ZeroDuration());
      },
      "empty");
}

TEST_F(FileWorkersTest, AnswersFalseWhenTheSystemRefusesTheFirstThread) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer ends the process when it is refused memory";
  unsigned long pages = 0;
  ASSERT_EQ(std::sscanf(FirstLine("/proc/self/statm").c_str(), "%lu", &pages), 1);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  // Too little for another stack. glibc keeps stacks of ended threads, so the bound asks for more threads than it can have kept.
  const rlimit little = {pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{1} << 20), before.rlim_max};

  GateJob gate;
  FileWorkers workers(2);
  FunctionJob never([] { ADD_FAILURE(); });
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_getattr_default_np(&attributes), 0);
  size_t stack_before = 0;
  ASSERT_EQ(pthread_attr_getstacksize(&attributes, &stack_before), 0);
  // Larger than what glibc may have kept from the threads of earlier tests.
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, size_t{64} << 20), 0);
  ASSERT_EQ(pthread_setattr_default_np(&attributes), 0);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &little), 0);
  const bool added = AddOne(workers, never);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_FALSE(added);
  EXPECT_FALSE(workers.RemoveQueued(&never));
  EXPECT_EQ(workers.queued(), 0u);

  // With one thread the rest is done by that one.
  ASSERT_TRUE(AddOne(workers, gate));
  gate.begun.wait();
  unsigned long pages_now = 0;
  ASSERT_EQ(std::sscanf(FirstLine("/proc/self/statm").c_str(), "%lu", &pages_now), 1);
  const rlimit little_more = {pages_now * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{1} << 20), before.rlim_max};
  std::latch done(1);
  FunctionJob second([&] { done.count_down(); });
  ASSERT_EQ(setrlimit(RLIMIT_AS, &little_more), 0);
  const bool added_second = AddOne(workers, second);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_TRUE(added_second);
  EXPECT_EQ(workers.threads(), 1u);
  gate.open.count_down();
  done.wait();
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, stack_before), 0);
  ASSERT_EQ(pthread_setattr_default_np(&attributes), 0);
  pthread_attr_destroy(&attributes);
}

}  // namespace
}  // namespace agentos
