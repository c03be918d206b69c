#include "agentos/manager/ring_directory.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <latch>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "agentos/executor/waiter.h"
#include "agentos/ring/types.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

std::vector<std::unique_ptr<BoundRing>> MakeRings(size_t count) {
  std::vector<std::unique_ptr<BoundRing>> rings(count);
  for (std::unique_ptr<BoundRing>& ring : rings) ring = std::make_unique<BoundRing>(nullptr);
  return rings;
}

std::vector<Pid> Sorted(std::vector<Pid> pids) {
  std::sort(pids.begin(), pids.end());
  return pids;
}

TEST(RingDirectoryTest, FindsWhatIsInItUnderEveryIdAndNothingElse) {
  constexpr Pid kLast = std::numeric_limits<Pid>::max();
  const std::vector<Pid> pids = {0, 1, 2, 63, 64, 0x8000'0000, kLast - 1, kLast};
  const auto rings = MakeRings(pids.size());
  RingDirectory directory;
  EXPECT_TRUE(directory.Pids().empty());
  for (size_t i = 0; i < pids.size(); ++i) {
    EXPECT_EQ(directory.Find(pids[i]), nullptr);
    directory.Insert(pids[i], rings[i].get());
    EXPECT_EQ(directory.size(), i + 1);
  }
  for (size_t i = 0; i < pids.size(); ++i) EXPECT_EQ(directory.Find(pids[i]), rings[i].get()) << pids[i];
  EXPECT_EQ(directory.Find(3), nullptr);
  EXPECT_EQ(Sorted(directory.Pids()), pids);
  for (size_t i = 0; i < pids.size(); ++i) {
    directory.Remove(pids[i]);
    EXPECT_EQ(directory.Find(pids[i]), nullptr) << pids[i];
    EXPECT_EQ(directory.size(), pids.size() - i - 1);
  }
  EXPECT_TRUE(directory.Pids().empty());
}

TEST(RingDirectoryTest, FindsTheNewRingOfAProcessThatCameBack) {
  const auto rings = MakeRings(2);
  RingDirectory directory;
  for (int round = 0; round < 1000; ++round) {
    BoundRing* ring = rings[static_cast<size_t>(round % 2)].get();
    directory.Insert(5, ring);
    ASSERT_EQ(directory.Find(5), ring);
    directory.Remove(5);
    ASSERT_EQ(directory.Find(5), nullptr);
  }
}

TEST(RingDirectoryTest, AgreesWithAMapThroughGrowthAndShrinking) {
  const auto rings = MakeRings(16);
  RingDirectory directory;
  std::map<Pid, BoundRing*> model;
  std::mt19937 random(1);
  for (int step = 0; step < 30'000; ++step) {
    // Up to some thousands, and back to few.
    const bool grow = step / 10'000 != 1 || step % 3 == 0;
    const Pid pid = random() % 8192;
    if (model.count(pid) == 0 && grow) {
      BoundRing* ring = rings[random() % rings.size()].get();
      directory.Insert(pid, ring);
      model[pid] = ring;
    } else if (!grow && !model.empty()) {
      auto it = model.lower_bound(pid);
      if (it == model.end()) it = model.begin();
      directory.Remove(it->first);
      model.erase(it);
    }
    const Pid other = random() % 8192;
    const auto expected = model.find(other);
    ASSERT_EQ(directory.Find(other), expected == model.end() ? nullptr : expected->second) << other;
    ASSERT_EQ(directory.size(), model.size());
  }
  std::vector<Pid> pids;
  for (const auto& [pid, ring] : model) {
    pids.push_back(pid);
    EXPECT_EQ(directory.Find(pid), ring);
  }
  EXPECT_EQ(Sorted(directory.Pids()), pids);
}

// Residents must be found at every moment, whatever is inserted, removed and built anew around them; of the others a reader gets
// their ring or none.
TEST(RingDirectoryTest, IsReadByManyThreadsWhileItChanges) {
  constexpr Pid kResidents = 20;
  constexpr Pid kVisitors = 200;
  constexpr int kReaders = 3;
  constexpr int kRounds = 50;
  const auto rings = MakeRings(kResidents + kVisitors);
  RingDirectory directory;
  for (Pid pid = 0; pid < kResidents; ++pid) directory.Insert(pid, rings[pid].get());

  std::atomic<bool> done{false};
  std::atomic<int> lost{0};
  std::atomic<int> foreign{0};
  std::latch started(kReaders + 1);
  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      started.arrive_and_wait();
      while (!done.load()) {
        for (Pid pid = 0; pid < kResidents + kVisitors; ++pid) {
          const BoundRing* found = directory.Find(pid);
          if (found != rings[pid].get() && (found != nullptr || pid < kResidents))
            (found == nullptr ? lost : foreign).fetch_add(1);
        }
        if (directory.size() < kResidents || directory.Pids().size() < kResidents) lost.fetch_add(1);
      }
    });
  }
  started.arrive_and_wait();
  for (int round = 0; round < kRounds; ++round) {
    for (Pid pid = kResidents; pid < kResidents + kVisitors; ++pid) directory.Insert(pid, rings[pid].get());
    for (Pid pid = kResidents; pid < kResidents + kVisitors; ++pid) directory.Remove(pid);
  }
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(lost.load(), 0);
  EXPECT_EQ(foreign.load(), 0);
  EXPECT_EQ(directory.size(), kResidents);
}

// Ids come and go by the million while few processes live at a time.
TEST(RingDirectoryTest, ItsMemoryGoesWithTheRingsThatLiveTogether) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator does not say what is in use";
  RingDirectory directory;
  BoundRing ring(nullptr);
  const auto churn = [&](Pid first) {
    for (Pid pid = first; pid < first + 300'000; ++pid) {
      directory.Insert(pid * 2654435761u, &ring);
      if (pid >= first + 20) directory.Remove((pid - 20) * 2654435761u);
    }
    for (Pid pid = first + 299'980; pid < first + 300'000; ++pid) directory.Remove(pid * 2654435761u);
  };
  churn(1);
  const size_t before = mallinfo2().uordblks;
  churn(1'000'000);
  EXPECT_EQ(mallinfo2().uordblks, before);
  EXPECT_EQ(directory.size(), 0u);
  EXPECT_EQ(directory.Find(12345), nullptr);
}

}  // namespace
}  // namespace agentos
