#include "agentos/executor/held_fds.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <thread>
#include <vector>

#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

// Changes how many descriptors the process may have while it lives.
class FdLimit {
 public:
  explicit FdLimit(rlim_t limit) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit now = before_;
    now.rlim_cur = limit;
    holds_ = setrlimit(RLIMIT_NOFILE, &now) == 0;
  }
  ~FdLimit() { setrlimit(RLIMIT_NOFILE, &before_); }
  bool holds() const { return holds_; }

 private:
  rlimit before_;
  bool holds_ = false;
};

TEST(HeldFdsTest, KnowsItsOwn) {
  HeldFds held;
  const Pair pipe = MakePipe();
  const int copy = held.Hold(pipe.first.get());
  ASSERT_GE(copy, 0);
  EXPECT_TRUE(held.IsHeld(copy));
  EXPECT_FALSE(held.IsHeld(pipe.first.get()));
  EXPECT_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
  held.Release(copy);
  EXPECT_FALSE(held.IsHeld(copy));
  EXPECT_FALSE(IsOpen(copy));
}

TEST(HeldFdsTest, KeepsTheFileWhateverBecomesOfItsNumber) {
  HeldFds held;
  Pair pipe = MakePipe();
  const int copy = held.Hold(pipe.first.get());
  ASSERT_GE(copy, 0);
  pipe.first.Reset();
  ASSERT_EQ(write(pipe.second.get(), "kept", 4), 4);
  EXPECT_EQ(ReadAll(copy, 4), "kept");
  held.Release(copy);
}

TEST(HeldFdsTest, HoldsOneFileManyTimesAndReleasesEachByItself) {
  HeldFds held;
  const Pair pipe = MakePipe();
  const size_t fds = OpenFds();
  std::vector<int> copies;
  // More than one word of the table has numbers.
  for (int i = 0; i < 200; ++i) copies.push_back(held.Hold(pipe.first.get()));
  EXPECT_EQ(OpenFds(), fds + copies.size());
  for (const int copy : copies) EXPECT_TRUE(held.IsHeld(copy)) << copy;
  for (size_t i = 0; i < copies.size(); i += 2) held.Release(copies[i]);
  for (size_t i = 0; i < copies.size(); ++i) EXPECT_EQ(held.IsHeld(copies[i]), i % 2 == 1) << i;
  for (size_t i = 1; i < copies.size(); i += 2) held.Release(copies[i]);
  EXPECT_EQ(OpenFds(), fds);
}

TEST(HeldFdsTest, ANumberIsFreeForOthersOnceItWasReleased) {
  HeldFds held;
  const Pair pipe = MakePipe();
  const int copy = held.Hold(pipe.first.get());
  held.Release(copy);
  const Fd others(fcntl(pipe.second.get(), F_DUPFD_CLOEXEC, copy));
  ASSERT_EQ(others.get(), copy);
  EXPECT_FALSE(held.IsHeld(others.get()));
}

TEST(HeldFdsTest, SaysWhyItCannot) {
  HeldFds held;
  EXPECT_EQ(held.Hold(ClosedFd()), -EBADF);
  EXPECT_EQ(held.Hold(-1), -EBADF);
  const Pair pipe = MakePipe();
  const size_t fds = OpenFds();
  {
    const FdLimit one(1);
    ASSERT_TRUE(one.holds());
    EXPECT_EQ(held.Hold(pipe.first.get()), -EMFILE);
  }
  EXPECT_EQ(OpenFds(), fds);
  const int copy = held.Hold(pipe.first.get());
  EXPECT_GE(copy, 0) << "a refusal leaves nothing behind";
  held.Release(copy);
}

TEST(HeldFdsTest, NumbersThatTheTableHasNoPlaceForAreNobodys) {
  HeldFds held;
  for (const int fd : {-1, -64, std::numeric_limits<int>::min(), 65536, 65537, 1 << 30, std::numeric_limits<int>::max()}) {
    EXPECT_FALSE(held.IsHeld(fd)) << fd;
  }
}

TEST(HeldFdsTest, HoldsAndReleasesBeyondTheTable) {
  constexpr int kFirstBeyond = 65536;
  const FdLimit many(kFirstBeyond + 10);
  if (!many.holds()) GTEST_SKIP() << "this process may not have so many descriptors";
  const Pair pipe = MakePipe();
  HeldFds held;
  // As one that Hold would get when all numbers below are taken.
  const int copy = fcntl(pipe.first.get(), F_DUPFD_CLOEXEC, kFirstBeyond);
  ASSERT_EQ(copy, kFirstBeyond);
  EXPECT_FALSE(held.IsHeld(copy)) << "not protected, but nothing else goes wrong";
  held.Release(copy);
  EXPECT_FALSE(IsOpen(copy));
  // The last that the table has a place for.
  const Fd last(fcntl(pipe.first.get(), F_DUPFD_CLOEXEC, kFirstBeyond - 1));
  ASSERT_EQ(last.get(), kFirstBeyond - 1);
  EXPECT_FALSE(held.IsHeld(last.get()));
}

TEST(HeldFdsTest, ThreadsHoldAndReleaseAtOnce) {
  HeldFds held;
  const Pair pipe = MakePipe();
  const size_t fds = OpenFds();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 2000; ++round) {
        const int one = held.Hold(pipe.first.get());
        const int two = held.Hold(pipe.second.get());
        EXPECT_TRUE(held.IsHeld(one));
        EXPECT_TRUE(held.IsHeld(two));
        held.Release(one);
        EXPECT_TRUE(held.IsHeld(two)) << "the bits of one word do not disturb each other";
        held.Release(two);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(OpenFds(), fds);
  for (int fd = 0; fd < 1000; ++fd) EXPECT_FALSE(held.IsHeld(fd)) << fd;
}

}  // namespace
}  // namespace agentos
