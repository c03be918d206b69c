#include "agentos/executor/position_order.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agentos/ring/submission_entry.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Entry = SyscallSubmissionEntry;

class PositionOrderTest : public testing::Test {
 protected:
  void SetUp() override {
    Spill(directory_.Path("file"), "content");
    file_ = Fd(open(directory_.Path("file").c_str(), O_RDWR | O_CLOEXEC));
    pipe_ = MakePipe();
  }

  Slot& Make(Entry entry) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->entry = std::move(entry);
    return *slots_.back();
  }
  Slot& Read(int fd) { return Make(Entry::Read(1, fd, 1, kCurrentPosition, 0)); }
  Slot& Write(int fd) { return Make(Entry::Write(1, fd, Bytes("x"), kCurrentPosition, 0)); }
  Slot& Seek(int fd) { return Make(Entry::Lseek(1, fd, 0, SEEK_SET, 0)); }

  TempDir directory_;
  Fd file_;
  Pair pipe_;
  PositionOrder order_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> ready_;
};

TEST_F(PositionOrderTest, OfOneFileOneAtATimeInOrder) {
  Slot& read = Read(file_.get());
  Slot& write = Write(file_.get());
  Slot& seek = Seek(file_.get());
  EXPECT_TRUE(order_.Acquire(read));
  EXPECT_FALSE(order_.Acquire(write));
  EXPECT_FALSE(order_.Acquire(seek));
  EXPECT_EQ(write.progress.place, SlotPlace::kParked);
  order_.Release(read, ready_);
  EXPECT_EQ(ready_, std::vector<Slot*>{&write});
  order_.Release(write, ready_);
  EXPECT_EQ(ready_, (std::vector<Slot*>{&write, &seek}));
}

TEST_F(PositionOrderTest, AStreamIsReadAndWrittenAtOnceButReadInOrder) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const int fd = sockets.first.get();
  Slot& first = Read(fd);
  Slot& second = Read(fd);
  EXPECT_TRUE(order_.Acquire(first));
  EXPECT_TRUE(order_.Acquire(Write(fd)));
  EXPECT_FALSE(order_.Acquire(second));
  order_.Release(first, ready_);
  EXPECT_EQ(ready_, std::vector<Slot*>{&second});
}

TEST_F(PositionOrderTest, ANumberThatIsUsedAgainIsAnotherFile) {
  Slot& old = Read(pipe_.first.get());
  EXPECT_TRUE(order_.Acquire(old));
  ASSERT_EQ(dup3(file_.get(), pipe_.first.get(), O_CLOEXEC), pipe_.first.get());
  Slot& fresh = Read(pipe_.first.get());
  Slot& behind = Write(pipe_.first.get());
  EXPECT_TRUE(order_.Acquire(fresh));
  EXPECT_FALSE(order_.Acquire(behind));
  order_.Release(old, ready_);
  EXPECT_TRUE(ready_.empty());
  order_.Release(fresh, ready_);
  EXPECT_EQ(ready_, std::vector<Slot*>{&behind});
}

TEST_F(PositionOrderTest, OneThatIsWithdrawnHoldsUpNobody) {
  Slot& read = Read(file_.get());
  Slot& write = Write(file_.get());
  Slot& last = Read(file_.get());
  EXPECT_TRUE(order_.Acquire(read));
  EXPECT_FALSE(order_.Acquire(write));
  EXPECT_FALSE(order_.Acquire(last));
  order_.Withdraw(write, ready_);
  EXPECT_TRUE(ready_.empty());
  order_.Release(read, ready_);
  EXPECT_EQ(ready_, std::vector<Slot*>{&last});
}

TEST_F(PositionOrderTest, OneThatIsWithdrawnLetsGoWhomItHeldUp) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  Slot& read = Read(sockets.first.get());
  Slot& second = Read(sockets.first.get());
  EXPECT_TRUE(order_.Acquire(read));
  EXPECT_FALSE(order_.Acquire(second));
  order_.Withdraw(second, ready_);
  EXPECT_TRUE(ready_.empty());
  // Nobody is parked any more, so nobody is behind anybody.
  EXPECT_TRUE(order_.Acquire(Write(sockets.first.get())));
  EXPECT_FALSE(order_.Acquire(second));
  order_.Release(read, ready_);
  EXPECT_EQ(ready_, std::vector<Slot*>{&second});
}

// The peer answers only what it is asked, so a write must not wait for reads, nor for another way round.
TEST_F(PositionOrderTest, WhatIsParkedOnAStreamHoldsUpOnlyItsOwnKind) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const int fd = sockets.first.get();
  Slot* reads[] = {&Read(fd), &Read(fd), &Read(fd)};
  Slot* writes[] = {&Write(fd), &Write(fd), &Write(fd)};
  EXPECT_TRUE(order_.Acquire(*reads[0]));
  EXPECT_FALSE(order_.Acquire(*reads[1]));
  EXPECT_FALSE(order_.Acquire(*reads[2]));
  EXPECT_TRUE(order_.Acquire(*writes[0]));
  EXPECT_FALSE(order_.Acquire(*writes[1]));
  EXPECT_FALSE(order_.Acquire(*writes[2]));
  // Parked in the order read, read, write, write: the end of a write passes the reads, and one write only.
  order_.Release(*writes[0], ready_);
  EXPECT_EQ(ready_, std::vector<Slot*>{writes[1]});
  order_.Withdraw(*reads[1], ready_);
  EXPECT_EQ(ready_.size(), 1u) << "the first read is still under way";
  order_.Release(*reads[0], ready_);
  EXPECT_EQ(ready_, (std::vector<Slot*>{writes[1], reads[2]}));
  order_.Release(*writes[1], ready_);
  EXPECT_EQ(ready_, (std::vector<Slot*>{writes[1], reads[2], writes[2]}));
}

// One with a position is read and written in turn, whatever is parked.
TEST_F(PositionOrderTest, WhatIsParkedOnAFileHoldsUpEverybody) {
  Slot& read = Read(file_.get());
  Slot& second = Read(file_.get());
  Slot& write = Write(file_.get());
  EXPECT_TRUE(order_.Acquire(read));
  EXPECT_FALSE(order_.Acquire(second));
  EXPECT_FALSE(order_.Acquire(write));
  order_.Release(read, ready_);
  EXPECT_EQ(ready_, std::vector<Slot*>{&second});
}

TEST_F(PositionOrderTest, ASeekOfAStreamTakesNothingFromWhoHoldsIt) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  Slot& read = Read(sockets.first.get());
  Slot& seek = Seek(sockets.first.get());
  EXPECT_TRUE(order_.Acquire(read));
  EXPECT_TRUE(order_.Acquire(seek)) << "it fails at once";
  EXPECT_TRUE(read.progress.holds_position);
  EXPECT_FALSE(seek.progress.holds_position);
  EXPECT_FALSE(order_.Acquire(Read(sockets.first.get())));
}

TEST_F(PositionOrderTest, DescriptorsAreFilesOfTheirOwn) {
  const Fd other(dup(file_.get()));
  const int fds[] = {file_.get(), other.get(), pipe_.first.get(), pipe_.second.get()};
  std::vector<Slot*> holders;
  for (const int fd : fds) {
    holders.push_back(&Read(fd));
    EXPECT_TRUE(order_.Acquire(*holders.back()));
    EXPECT_FALSE(order_.Acquire(Read(fd)));
  }
  // In any order: each lets go only its own.
  for (const size_t i : {2u, 0u, 3u, 1u}) {
    ready_.clear();
    order_.Release(*holders[i], ready_);
    ASSERT_EQ(ready_.size(), 1u);
    EXPECT_EQ(FdOf(ready_[0]->entry.operation()), fds[i]);
    EXPECT_TRUE(ready_[0]->progress.holds_position);
    order_.Release(*ready_[0], ready_);
  }
}

TEST_F(PositionOrderTest, WhatNamesItsOwnOffsetIsNoConcern) {
  EXPECT_FALSE(PositionOrder::Concerns(Entry::Read(1, 3, 1, 0, 0).operation()));
  EXPECT_FALSE(PositionOrder::Concerns(Entry::Nop(1, 0).operation()));
  EXPECT_TRUE(PositionOrder::Concerns(Entry::Lseek(1, 3, 0, SEEK_CUR, 0).operation()));
}

}  // namespace
}  // namespace agentos
