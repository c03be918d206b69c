#include "agentos/executor/fd_watches.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>

#include "agentos/executor/held_fds.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class FdWatchesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto watches = FdWatches::Create(&held_);
    ASSERT_TRUE(watches.ok()) << watches.status();
    watches_ = *std::move(watches);
  }
  void TearDown() override {
    watches_.reset();
    EXPECT_EQ(OpenFds(), fds_before_);
  }

  // The watch that an event has come for, and the event; null when there is none.
  FdWatch* Event(uint32_t* events) {
    epoll_event event = {};
    if (epoll_wait(watches_->fd(), &event, 1, 0) != 1) return nullptr;
    *events = event.events;
    return watches_->Find(event.data.u64);
  }

  const size_t fds_before_ = OpenFds();
  HeldFds held_;
  std::unique_ptr<FdWatches> watches_;
};

TEST_F(FdWatchesTest, ServesThoseThatWaitForOneFileInTheirOrderByOneDescriptor) {
  const Pair pipe = MakePipe();
  FdWaiting first;
  FdWaiting second;
  ASSERT_EQ(watches_->Add(first, pipe.first.get(), POLLIN), 0);
  const size_t fds = OpenFds();
  ASSERT_EQ(watches_->Add(second, pipe.first.get(), POLLIN), 0);
  EXPECT_EQ(OpenFds(), fds);
  EXPECT_EQ(first.watch, second.watch);
  uint32_t events = 0;
  EXPECT_EQ(Event(&events), nullptr);
  ASSERT_EQ(write(pipe.second.get(), "x", 1), 1);
  FdWatch* watch = Event(&events);
  ASSERT_EQ(watch, first.watch);
  EXPECT_EQ(FdWatches::NextReady(*watch, events, 1), &first);
  EXPECT_EQ(FdWatches::NextReady(*watch, events, 1), &second) << "each has one turn in a round";
  EXPECT_EQ(FdWatches::NextReady(*watch, events, 1), nullptr);
  EXPECT_EQ(Event(&events), nullptr) << "an event disarms";
  watches_->Arm(*watch);
  EXPECT_EQ(Event(&events), watch) << "the data is still there";
  EXPECT_TRUE(watches_->Remove(first));
  EXPECT_FALSE(watches_->Remove(second));
}

TEST_F(FdWatchesTest, LetsNobodyPassOneThatIsBusyInTheSameDirection) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  FdWaiting reads;
  FdWaiting reads_too;
  FdWaiting writes;
  FdWaiting looks;
  looks.only_looks = true;
  ASSERT_EQ(watches_->Add(reads, sockets.first.get(), POLLIN), 0);
  ASSERT_EQ(watches_->Add(reads_too, sockets.first.get(), POLLIN), 0);
  ASSERT_EQ(watches_->Add(writes, sockets.first.get(), POLLOUT), 0);
  ASSERT_EQ(watches_->Add(looks, sockets.first.get(), POLLIN), 0);
  reads.busy = true;
  FdWatch& watch = *reads.watch;
  EXPECT_EQ(FdWatches::NextReady(watch, POLLIN | POLLOUT, 1), &writes);
  EXPECT_EQ(FdWatches::NextReady(watch, POLLIN | POLLOUT, 1), &looks);
  EXPECT_EQ(FdWatches::NextReady(watch, POLLIN | POLLOUT, 1), nullptr);
  reads.busy = false;
  EXPECT_EQ(FdWatches::NextReady(watch, POLLIN, 2), &reads);
  EXPECT_EQ(FdWatches::NextReady(watch, POLLHUP, 3), &reads) << "errors concern all";
  for (FdWaiting* waiting : {&reads, &reads_too, &writes}) EXPECT_TRUE(watches_->Remove(*waiting));
  EXPECT_FALSE(watches_->Remove(looks));
}

// Two eventfds share an inode; only the kernel's own table tells them apart.
TEST_F(FdWatchesTest, KeepsTheFileWhateverBecomesOfItsNumber) {
  Fd first(eventfd(0, EFD_CLOEXEC));
  const int number = first.get();
  const Fd kept(fcntl(number, F_DUPFD_CLOEXEC, 0));
  FdWaiting old;
  ASSERT_EQ(watches_->Add(old, number, POLLIN), 0);
  first.Reset();
  const Fd second(eventfd(0, EFD_CLOEXEC));
  ASSERT_EQ(second.get(), number);
  FdWaiting fresh;
  ASSERT_EQ(watches_->Add(fresh, number, POLLIN), 0);
  EXPECT_NE(old.watch, fresh.watch);
  const uint64_t one = 1;
  ASSERT_EQ(write(kept.get(), &one, sizeof(one)), 8);
  uint32_t events = 0;
  EXPECT_EQ(Event(&events), old.watch);
  EXPECT_EQ(Event(&events), nullptr);
  ASSERT_EQ(write(second.get(), &one, sizeof(one)), 8);
  EXPECT_EQ(Event(&events), fresh.watch);
  EXPECT_FALSE(watches_->Remove(old));
  FdWaiting again;
  ASSERT_EQ(watches_->Add(again, number, POLLIN), 0);
  EXPECT_EQ(again.watch, fresh.watch);
  EXPECT_TRUE(watches_->Remove(fresh));
  EXPECT_FALSE(watches_->Remove(again));
}

TEST_F(FdWatchesTest, FindsNobodyForAnEventOfAWatchThatIsGone) {
  const Pair pipe = MakePipe();
  FdWaiting waiting;
  ASSERT_EQ(watches_->Add(waiting, pipe.first.get(), POLLIN), 0);
  const uint64_t id = waiting.watch->id;
  EXPECT_FALSE(watches_->Remove(waiting));
  EXPECT_EQ(watches_->Find(id), nullptr);
  ASSERT_EQ(watches_->Add(waiting, pipe.first.get(), POLLIN), 0);
  EXPECT_NE(waiting.watch->id, id);
  EXPECT_FALSE(watches_->Remove(waiting));
}

TEST_F(FdWatchesTest, SaysWhatCannotBeWaitedFor) {
  const TempDir dir;
  Spill(dir.Path("file"), "x");
  const Fd file(open(dir.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  FdWaiting waiting;
  EXPECT_EQ(watches_->Add(waiting, file.get(), POLLIN), -EPERM);
  EXPECT_EQ(watches_->Add(waiting, ClosedFd(), POLLIN), -EBADF);
  EXPECT_EQ(waiting.watch, nullptr);
}

}  // namespace
}  // namespace agentos
