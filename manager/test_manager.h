// A manager as the tests of the promises use it: calls that must succeed say so, and a test must leave no descriptor behind.
//
// Thread rule: as the manager it holds.
//
//   TestManager manager(GetParam());
//   manager.MakeRing(kPid, {.sq_size = 4});
//   EXPECT_TRUE(Succeeded(manager.Run(Entry::Nop(kPid, 0))));

#ifndef AGENTOS_MANAGER_TEST_MANAGER_H_
#define AGENTOS_MANAGER_TEST_MANAGER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {

class TestManager {
 public:
  explicit TestManager(IoUringManagerOptions options) {
    // The kernel gives back the locked memory of closed rings when it finds time, which is after the tests before this one.
    const absl::Time patience = absl::Now() + absl::Seconds(20);
    absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create(OnSubject(options));
    while (absl::IsResourceExhausted(manager.status()) && absl::Now() < patience) {
      std::this_thread::yield();
      manager = IoUringManager::Create(OnSubject(options));
    }
    EXPECT_TRUE(manager.ok()) << manager.status();
    manager_ = *std::move(manager);
  }
  explicit TestManager(Threading threading) : TestManager(IoUringManagerOptions{.threading = threading}) {}
  TestManager() : TestManager(IoUringManagerOptions()) {}
  TestManager(const TestManager&) = delete;
  TestManager& operator=(const TestManager&) = delete;

  IoUringManager* operator->() { return manager_.get(); }
  IoUringManager& operator*() { return *manager_; }

  void MakeRing(Pid pid, const RingOptions& options) {
    const absl::Status made = manager_->CreateRing(pid, options);
    EXPECT_TRUE(made.ok()) << made;
  }

  Seq Submit(Entry entry) {
    const Pid pid = entry.pid();
    const absl::StatusOr<Seq> seq = manager_->Submit(pid, std::move(entry));
    EXPECT_TRUE(seq.ok()) << seq.status();
    return seq.value_or(0);
  }

  Done Wait(Pid pid, Seq seq) {
    absl::StatusOr<Done> done = manager_->WaitCompletion(pid, seq, absl::InfiniteDuration());
    EXPECT_TRUE(done.ok()) << done.status();
    return done.ok() ? *std::move(done) : Done();
  }

  Done Run(Entry entry) {
    const Pid pid = entry.pid();
    return Wait(pid, Submit(std::move(entry)));
  }

  std::vector<Done> Reap(Pid pid, std::optional<size_t> max = std::nullopt) {
    absl::StatusOr<std::vector<Done>> done = manager_->ReapCompletions(pid, max);
    EXPECT_TRUE(done.ok()) << done.status();
    return done.ok() ? *std::move(done) : std::vector<Done>();
  }

  // The sequence numbers of what a reaper finds, in order.
  std::vector<Seq> ReapSeqs(Pid pid, std::optional<size_t> max = std::nullopt) {
    std::vector<Seq> seqs;
    for (const Done& done : Reap(pid, max)) seqs.push_back(done.seq);
    return seqs;
  }

  // Collects from the kernel, without taking anything, until so many completions were placed since the manager was made.
  void AwaitPlaced(Pid pid, uint64_t count) {
    while (manager_->Stats().total_completions < count) EXPECT_TRUE(Reap(pid, 0).empty());
  }

  void End() { manager_.reset(); }

 private:
  std::unique_ptr<IoUringManager> manager_;
};

// Whatever a test opens, and whatever a manager opens for it, is closed when the test's own variables are gone.
class LeakChecked {
 protected:
  ~LeakChecked() { EXPECT_EQ(OpenFds(), fds_before_) << "descriptors leaked"; }

 private:
  const size_t fds_before_ = OpenFds();
};

class PromiseTest : public testing::Test, private LeakChecked {};
class ThreadingTest : public testing::TestWithParam<Threading>, private LeakChecked {};

inline std::vector<Seq> SeqsOf(const std::vector<Done>& all) {
  std::vector<Seq> seqs;
  for (const Done& done : all) seqs.push_back(done.seq);
  return seqs;
}

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TEST_MANAGER_H_
