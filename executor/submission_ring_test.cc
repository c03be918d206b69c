// The contract of SubmissionRing, on each of its implementations: the same entries, the same results.

#include "agentos/executor/submission_ring.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/types/span.h"
#include "agentos/executor/kernel_ring.h"
#include "agentos/executor/thread_pools.h"
#include "agentos/executor/thread_ring.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Result = SubmissionRing::Result;

uint64_t AddressOf(const void* memory) { return reinterpret_cast<uintptr_t>(memory); }

enum class Kind { kKernel, kThreads };

class SubmissionRingTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    Make(64, 64);
    if (ring_ == nullptr) GTEST_SKIP() << "no io_uring here";
  }
  void TearDown() override {
    ring_.reset();
    pools_.reset();
    EXPECT_EQ(OpenFds(), fds_before_);
  }

  void Make(unsigned entries, unsigned completion_entries) {
    ring_.reset();
    if (GetParam() == Kind::kKernel) {
      auto ring = KernelRing::Create({.entries = entries, .completion_entries = completion_entries});
      if (ring.ok()) ring_ = *std::move(ring);
    } else {
      auto ring = ThreadRing::Create({.entries = entries, .completion_entries = completion_entries}, pools_);
      if (ring.ok()) ring_ = *std::move(ring);
    }
  }

  // An entry of this opcode, named `user_data`.
  io_uring_sqe& Add(uint8_t opcode, int fd, uint64_t user_data) {
    io_uring_sqe* sqe = ring_->NextSqe();
    EXPECT_NE(sqe, nullptr);
    sqe->opcode = opcode;
    sqe->fd = fd;
    sqe->user_data = user_data;
    return *sqe;
  }
  io_uring_sqe& AddTransfer(uint8_t opcode, int fd, const void* memory, size_t size, uint64_t user_data) {
    io_uring_sqe& sqe = Add(opcode, fd, user_data);
    sqe.addr = AddressOf(memory);
    sqe.len = static_cast<uint32_t>(size);
    if (opcode == IORING_OP_READ || opcode == IORING_OP_WRITE) sqe.off = static_cast<uint64_t>(-1);
    return sqe;
  }
  io_uring_sqe& AddTimeout(const __kernel_timespec& length, uint64_t user_data) {
    io_uring_sqe& sqe = AddTransfer(IORING_OP_TIMEOUT, -1, &length, 1, user_data);
    return sqe;
  }
  void AddCancel(uint64_t target, uint64_t user_data) { Add(IORING_OP_ASYNC_CANCEL, -1, user_data).addr = target; }

  void Submit() {
    ring_->Publish();
    const unsigned count = ring_->Unsubmitted();
    EXPECT_EQ(ring_->Enter({.submit = count}), static_cast<int>(count));
  }
  // The results that are there, and those of up to `count` in all that come.
  std::map<uint64_t, int32_t> Await(size_t count) {
    std::map<uint64_t, int32_t> values;
    while (values.size() < count) {
      Result result;
      if (ring_->CopyCqes(absl::MakeSpan(&result, 1)) == 1) {
        EXPECT_TRUE(values.emplace(result.user_data, result.value).second) << result.user_data << " ended twice";
      } else if (const int entered = ring_->Enter({.min_complete = 1}); entered < 0 && entered != -EINTR) {
        ADD_FAILURE() << "Enter: " << entered;
        break;
      }
    }
    return values;
  }
  std::map<uint64_t, int32_t> Run(size_t count) {
    Submit();
    return Await(count);
  }
  bool NothingHasCome() { return ring_->Enter({.min_complete = 1, .timeout_ns = 20'000'000}) == -ETIME; }

  const size_t fds_before_ = OpenFds();
  std::shared_ptr<ThreadPools> pools_ = std::make_shared<ThreadPools>();
  std::unique_ptr<SubmissionRing> ring_;
};

using Values = std::map<uint64_t, int32_t>;

TEST_P(SubmissionRingTest, ReadsAndWritesFilesAtOffsetsAndAtTheirOwnPosition) {
  const TempDir dir;
  const Fd file(open(dir.Path("file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  AddTransfer(IORING_OP_WRITE, file.get(), "0123456789", 10, 1);
  EXPECT_EQ(Run(1), (Values{{1, 10}}));
  char at[4];
  char end[8];
  char next[4];
  AddTransfer(IORING_OP_READ, file.get(), at, 4, 2).off = 3;
  AddTransfer(IORING_OP_READ, file.get(), end, 8, 3).off = 6;
  EXPECT_EQ(Run(2), (Values{{2, 4}, {3, 4}}));
  EXPECT_EQ(std::string(at, 4), "3456");
  EXPECT_EQ(std::string(end, 4), "6789");
  ASSERT_EQ(lseek(file.get(), 8, SEEK_SET), 8);
  AddTransfer(IORING_OP_READ, file.get(), next, 4, 4);
  EXPECT_EQ(Run(1), (Values{{4, 2}}));
  EXPECT_EQ(lseek(file.get(), 0, SEEK_CUR), 10);
}

TEST_P(SubmissionRingTest, WhatIsNotInMemoryIsReadWhole) {
  const TempDir dir;
  const std::string content = Content(1 << 20);
  Spill(dir.Path("file"), content);
  const Fd file(open(dir.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(fsync(file.get()), 0);
  std::string memory(content.size(), ' ');
  for (off_t dropped : {off_t{0}, off_t{1 << 19}}) {
    ASSERT_EQ(posix_fadvise(file.get(), dropped, 0, POSIX_FADV_DONTNEED), 0);
    AddTransfer(IORING_OP_READ, file.get(), memory.data(), memory.size(), 1).off = 0;
    EXPECT_EQ(Run(1), (Values{{1, 1 << 20}}));
    EXPECT_TRUE(memory == content);
  }
}

TEST_P(SubmissionRingTest, AReadOfAPipeWaitsForDataAndTakesWhatIsThere) {
  const Pair pipe = MakePipe();
  char memory[10];
  // A stream ignores the offset.
  AddTransfer(IORING_OP_READ, pipe.first.get(), memory, 10, 1).off = 5;
  Submit();
  EXPECT_TRUE(NothingHasCome());
  ASSERT_EQ(write(pipe.second.get(), "data", 4), 4);
  EXPECT_EQ(Await(1), (Values{{1, 4}}));
  EXPECT_EQ(std::string(memory, 4), "data");
}

// io_uring serves the one that came last first.
TEST_P(SubmissionRingTest, EntriesThatWaitForOneSocketEachGetTheirPart) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  char memory[3][1];
  for (uint64_t i = 0; i < 3; ++i) AddTransfer(IORING_OP_RECV, sockets.first.get(), memory[i], 1, i);
  Submit();
  EXPECT_TRUE(NothingHasCome());
  ASSERT_EQ(write(sockets.second.get(), "abc", 3), 3);
  EXPECT_EQ(Await(3), (Values{{0, 1}, {1, 1}, {2, 1}}));
  std::string parts = {memory[0][0], memory[1][0], memory[2][0]};
  if (GetParam() == Kind::kKernel) std::sort(parts.begin(), parts.end());
  EXPECT_EQ(parts, "abc");
}

TEST_P(SubmissionRingTest, WaitAllGoesOnUntilAllIsThereOrTheEnd) {
  Pair sockets = MakeSocketPair(SOCK_STREAM);
  char memory[6];
  iovec vector = {memory, 6};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  for (const bool as_message : {false, true}) {
    io_uring_sqe& sqe = as_message ? AddTransfer(IORING_OP_RECVMSG, sockets.first.get(), &message, 1, 1)
                                   : AddTransfer(IORING_OP_RECV, sockets.first.get(), memory, 6, 1);
    sqe.msg_flags = MSG_WAITALL;
    Submit();
    for (const char* part : {"ab", "cd"}) {
      ASSERT_EQ(write(sockets.second.get(), part, 2), 2);
      EXPECT_TRUE(NothingHasCome());
    }
    ASSERT_EQ(write(sockets.second.get(), "ef", 2), 2);
    EXPECT_EQ(Await(1), (Values{{1, 6}}));
    EXPECT_EQ(std::string(memory, 6), "abcdef");
  }
  AddTransfer(IORING_OP_RECV, sockets.first.get(), memory, 6, 2).msg_flags = MSG_WAITALL;
  Submit();
  ASSERT_EQ(write(sockets.second.get(), "xyz", 3), 3);
  sockets.second.Reset();
  EXPECT_EQ(Await(1), (Values{{2, 3}}));
}

TEST_P(SubmissionRingTest, ASendThatMustBeWholeWaitsForRoomAndIsCountedOnce) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const std::string content = Content(3 << 20);
  AddTransfer(IORING_OP_SEND, sockets.first.get(), content.data(), content.size(), 1).msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
  Submit();
  EXPECT_TRUE(ReadAll(sockets.second.get(), content.size()) == content);
  EXPECT_EQ(Await(1), (Values{{1, 3 << 20}}));
}

TEST_P(SubmissionRingTest, AnAcceptWaitsAndTheListenerStaysBlocking) {
  std::string address;
  const Fd listener = Listen(AF_INET, 8, 0, address);
  const int flags = fcntl(listener.get(), F_GETFL);
  for (uint64_t i = 0; i < 2; ++i) Add(IORING_OP_ACCEPT, listener.get(), i).accept_flags = SOCK_CLOEXEC;
  Submit();
  EXPECT_TRUE(NothingHasCome());
  std::vector<Fd> clients;
  sockaddr_storage peer;
  socklen_t size = sizeof(peer);
  ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&peer), &size), 0);
  for (int i = 0; i < 2; ++i) {
    clients.push_back(NewSocket(AF_INET, SOCK_STREAM));
    io_uring_sqe& sqe = AddTransfer(IORING_OP_CONNECT, clients.back().get(), &peer, 0, 10 + static_cast<uint64_t>(i));
    sqe.off = size;
  }
  const Values values = Run(4);
  EXPECT_EQ(values.at(10), 0);
  EXPECT_EQ(values.at(11), 0);
  for (const uint64_t i : {0, 1}) {
    const Fd accepted(values.at(i));
    EXPECT_GE(accepted.get(), 0);
  }
  EXPECT_EQ(fcntl(listener.get(), F_GETFL), flags);
}

TEST_P(SubmissionRingTest, AcceptOfWhatDoesNotListenIsAnErrorAtOnce) {
  const Fd stream = NewSocket(AF_INET, SOCK_STREAM);
  const Fd datagrams = NewSocket(AF_INET, SOCK_DGRAM);
  const Pair pipe = MakePipe();
  Add(IORING_OP_ACCEPT, stream.get(), 1);
  Add(IORING_OP_ACCEPT, datagrams.get(), 2);
  Add(IORING_OP_ACCEPT, pipe.first.get(), 3);
  Add(IORING_OP_ACCEPT, 9999, 4);
  EXPECT_EQ(Run(4), (Values{{1, -EINVAL}, {2, -EOPNOTSUPP}, {3, -ENOTSOCK}, {4, -EBADF}}));
}

TEST_P(SubmissionRingTest, OpensWaitForAFifosOtherEndAndAreCancelled) {
  const TempDir dir;
  const std::string path = dir.Path("fifo");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  for (const bool cancelled : {true, false}) {
    io_uring_sqe& sqe = Add(IORING_OP_OPENAT, AT_FDCWD, 1);
    sqe.addr = AddressOf(path.c_str());
    sqe.open_flags = O_RDONLY | O_CLOEXEC;
    sqe.flags = IOSQE_ASYNC;
    Submit();
    EXPECT_TRUE(NothingHasCome());
    if (cancelled) {
      AddCancel(1, 2);
      const Values values = Run(2);
      EXPECT_TRUE(values.at(2) == -EALREADY || values.at(2) == 0) << values.at(2);
      // The kernel lets its own code for "begin again" out.
      EXPECT_TRUE(values.at(1) == -ECANCELED || values.at(1) == -EINTR || values.at(1) == -512) << values.at(1);
    } else {
      const Fd writer(open(path.c_str(), O_WRONLY | O_CLOEXEC));
      const Fd reader(Await(1).at(1));
      EXPECT_GE(reader.get(), 0);
      EXPECT_EQ(fcntl(reader.get(), F_GETFL) & O_NONBLOCK, 0);
    }
  }
}

TEST_P(SubmissionRingTest, OpensGiveBlockingDescriptorsAndTheErrnoOfThePlainCall) {
  const TempDir dir;
  Spill(dir.Path("file"), "x");
  const std::string paths[] = {dir.Path("file"), dir.Path("none"), dir.Path("file") + "/below", std::string(300, 'n')};
  for (uint64_t i = 0; i < 4; ++i) {
    io_uring_sqe& sqe = Add(IORING_OP_OPENAT, AT_FDCWD, i);
    sqe.addr = AddressOf(paths[i].c_str());
    sqe.open_flags = O_RDWR | O_APPEND | O_CLOEXEC;
  }
  const Values values = Run(4);
  const Fd file(values.at(0));
  EXPECT_EQ(fcntl(file.get(), F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND);
  EXPECT_EQ(fcntl(file.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(values.at(1), -ENOENT);
  EXPECT_EQ(values.at(2), -ENOTDIR);
  EXPECT_EQ(values.at(3), -ENAMETOOLONG);
}

TEST_P(SubmissionRingTest, PollsSayWhatThereIsAndWaitForTheRest) {
  Pair sockets = MakeSocketPair(SOCK_STREAM);
  Add(IORING_OP_POLL_ADD, sockets.first.get(), 1).poll32_events = POLLOUT;
  Add(IORING_OP_POLL_ADD, sockets.first.get(), 2).poll32_events = POLLIN;
  Add(IORING_OP_POLL_ADD, 9999, 3).poll32_events = POLLIN;
  Values values = Run(2);
  EXPECT_EQ(values.at(1) & POLLOUT, POLLOUT);
  EXPECT_EQ(values.at(3), -EBADF);
  EXPECT_TRUE(NothingHasCome());
  ASSERT_EQ(write(sockets.second.get(), "x", 1), 1);
  EXPECT_EQ(Await(1).at(2) & POLLIN, POLLIN);
  Add(IORING_OP_POLL_ADD, sockets.first.get(), 4).poll32_events = POLLPRI;
  Submit();
  EXPECT_TRUE(NothingHasCome());
  sockets.second.Reset();
  EXPECT_NE(Await(1).at(4) & (POLLHUP | POLLRDHUP), 0);
}

TEST_P(SubmissionRingTest, TimeoutsEndInTheirOrderAlsoThosePast) {
  const __kernel_timespec longer = {0, 30'000'000};
  const __kernel_timespec shorter = {0, 10'000'000};
  const __kernel_timespec past = {1, 0};
  const __kernel_timespec wrong = {0, -1};
  AddTimeout(longer, 1);
  AddTimeout(shorter, 2);
  AddTimeout(past, 3).timeout_flags = IORING_TIMEOUT_ABS;
  AddTimeout(wrong, 4);
  Submit();
  std::vector<uint64_t> order;
  while (order.size() < 4) {
    Result result;
    if (ring_->CopyCqes(absl::MakeSpan(&result, 1)) == 1) {
      order.push_back(result.user_data);
      EXPECT_EQ(result.value, result.user_data == 4 ? -EINVAL : -ETIME) << result.user_data;
    } else {
      ring_->Enter({.min_complete = 1});
    }
  }
  EXPECT_EQ(order[2], 2u);
  EXPECT_EQ(order[3], 1u);
}

TEST_P(SubmissionRingTest, CancelsWhatWaitsAndSaysWhenThereIsNothing) {
  const Pair pipe = MakePipe();
  const __kernel_timespec hour = {3600, 0};
  char memory[1];
  AddTransfer(IORING_OP_READ, pipe.first.get(), memory, 1, 1);
  Add(IORING_OP_POLL_ADD, pipe.first.get(), 2).poll32_events = POLLIN;
  AddTimeout(hour, 3);
  Submit();
  EXPECT_TRUE(NothingHasCome());
  for (uint64_t i = 1; i <= 4; ++i) AddCancel(i, 10 + i);
  const Values values = Run(7);
  for (uint64_t i = 1; i <= 3; ++i) {
    EXPECT_EQ(values.at(i), -ECANCELED) << i;
    EXPECT_EQ(values.at(10 + i), 0) << i;
  }
  EXPECT_EQ(values.at(14), -ENOENT);
}

TEST_P(SubmissionRingTest, LinksStopAtAFailureAndHardLinksDoNot) {
  const __kernel_timespec short_time = {0, 1'000'000};
  Add(IORING_OP_NOP, -1, 1).flags = IOSQE_IO_LINK;
  Add(IORING_OP_FSYNC, 9999, 2).flags = IOSQE_IO_LINK;
  Add(IORING_OP_NOP, -1, 3).flags = IOSQE_IO_LINK;
  Add(IORING_OP_NOP, -1, 4);
  AddTimeout(short_time, 5).flags = IOSQE_IO_HARDLINK;
  Add(IORING_OP_NOP, -1, 6);
  EXPECT_EQ(Run(6), (Values{{1, 0}, {2, -EBADF}, {3, -ECANCELED}, {4, -ECANCELED}, {5, -ETIME}, {6, 0}}));
}

TEST_P(SubmissionRingTest, KeepsResultsThatFindNoPlace) {
  Make(4, 4);
  for (uint64_t i = 0; i < 40; ++i) {
    Add(IORING_OP_NOP, -1, i);
    Submit();
  }
  EXPECT_TRUE(ring_->NeedsGetEvents());
  for (uint64_t i = 0; i < 40; ++i) {
    if (!ring_->HasCqes()) {
      ASSERT_EQ(ring_->Enter({.get_events = true}), 0);
    }
    Result result;
    ASSERT_EQ(ring_->CopyCqes(absl::MakeSpan(&result, 1)), 1u) << i;
    EXPECT_EQ(result.user_data, i);
  }
  EXPECT_FALSE(ring_->NeedsGetEvents());
}

TEST_P(SubmissionRingTest, RefusesWhatItDoesNotKnow) {
  Add(200, -1, 1);
  AddTransfer(IORING_OP_READ, 9999, nullptr, 1, 2);
  char byte;
  AddTransfer(IORING_OP_READ, 0, &byte, 1, 3).flags = IOSQE_FIXED_FILE;
  const Values values = Run(3);
  EXPECT_EQ(values.at(1), -EINVAL);
  EXPECT_EQ(values.at(2), -EBADF);
  EXPECT_EQ(values.at(3), -EBADF);
}

TEST_P(SubmissionRingTest, AnEntryKeepsTheFileItBeganWith) {
  Pair sockets = MakeSocketPair(SOCK_STREAM);
  char memory[4];
  AddTransfer(IORING_OP_RECV, sockets.first.get(), memory, 4, 1);
  Submit();
  EXPECT_TRUE(NothingHasCome());
  const int number = sockets.first.get();
  sockets.first.Reset();
  // Another file of the same number, which has data.
  const Pair other = MakeSocketPair(SOCK_STREAM);
  const Fd reused(other.first.get() == number ? -1 : fcntl(other.first.get(), F_DUPFD_CLOEXEC, number));
  ASSERT_EQ(write(other.second.get(), "none", 4), 4);
  EXPECT_TRUE(NothingHasCome());
  ASSERT_EQ(write(sockets.second.get(), "mine", 4), 4);
  EXPECT_EQ(Await(1), (Values{{1, 4}}));
  EXPECT_EQ(std::string(memory, 4), "mine");
}

// Eventfds all have the same inode.
TEST_P(SubmissionRingTest, TwoFilesOfOneNumberAndKindAreToldApart) {
  uint64_t values[2] = {};
  Fd first(eventfd(0, EFD_CLOEXEC));
  const int number = first.get();
  const Fd kept(fcntl(number, F_DUPFD_CLOEXEC, 0));
  AddTransfer(IORING_OP_READ, number, &values[0], 8, 1);
  Submit();
  EXPECT_TRUE(NothingHasCome());
  first.Reset();
  const Fd second(eventfd(0, EFD_CLOEXEC));
  ASSERT_EQ(second.get(), number);
  AddTransfer(IORING_OP_READ, number, &values[1], 8, 2);
  Submit();
  const uint64_t seven = 7;
  ASSERT_EQ(write(second.get(), &seven, 8), 8);
  EXPECT_EQ(Await(1), (Values{{2, 8}}));
  ASSERT_EQ(write(kept.get(), &seven, 8), 8);
  EXPECT_EQ(Await(1), (Values{{1, 8}}));
}

TEST_P(SubmissionRingTest, LetsManyThreadsEnterAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 500;
  std::mutex lock;
  std::atomic<int> ended{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        {
          const std::lock_guard<std::mutex> held(lock);
          if (io_uring_sqe* sqe = ring_->NextSqe()) sqe->opcode = IORING_OP_NOP;
          ring_->Publish();
        }
        ring_->Enter({.submit = 1, .min_complete = 1, .timeout_ns = 1'000'000});
        const std::lock_guard<std::mutex> held(lock);
        Result results[8];
        ended += static_cast<int>(ring_->CopyCqes(absl::MakeSpan(results)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Submit();
  while (ended < kThreads * kRounds) {
    Result results[8];
    const size_t n = ring_->CopyCqes(absl::MakeSpan(results));
    ended += static_cast<int>(n);
    if (n == 0) {
      ASSERT_EQ(ring_->Enter({.min_complete = 1, .timeout_ns = 5'000'000'000}), 0) << ended;
    }
  }
  EXPECT_EQ(ended, kThreads * kRounds);
}

std::string KindName(const testing::TestParamInfo<Kind>& kind) { return kind.param == Kind::kKernel ? "Kernel" : "Threads"; }

INSTANTIATE_TEST_SUITE_P(Rings, SubmissionRingTest, testing::Values(Kind::kKernel, Kind::kThreads), KindName);

}  // namespace
}  // namespace agentos
