// Memory that is registered with the kernel, lent buffer by buffer.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/registered_buffer_pool.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Pool = std::shared_ptr<RegisteredBufferPool>;

class RegisteredBuffersTest : public ManagerTest {
 protected:
  Pool Register(size_t count, size_t size, Pid pid = kPid) {
    auto pool = manager().RegisterBuffers(pid, count, size);
    EXPECT_TRUE(pool.ok()) << pool.status();
    return pool.ok() ? *pool : nullptr;
  }
  static PooledBuffer Lease(const Pool& pool) {
    auto buffer = pool->Lease();
    EXPECT_TRUE(buffer.ok()) << buffer.status();
    return buffer.ok() ? *std::move(buffer) : PooledBuffer();
  }
};

TEST_P(RegisteredBuffersTest, SaysWhetherTheKernelTookThemAndWhyNot) {
  const Pool pool = Register(4, 5000);
  EXPECT_EQ(pool->count(), 4u);
  EXPECT_EQ(pool->buffer_size(), 8192u);
  if (manager().Executor().kind == ExecutorKind::kIoUring) {
    EXPECT_TRUE(pool->registered()) << pool->reason();
  } else {
    EXPECT_FALSE(pool->registered());
    EXPECT_TRUE(absl::StrContains(pool->reason(), "no registered memory")) << pool->reason();
  }
}

TEST_P(RegisteredBuffersTest, ReadsFillTheBufferThatWasLentAndWritesTakeItBack) {
  const std::string content = Content(10'000);
  Spill(Path("from"), content);
  const Fd from(open(Path("from").c_str(), O_RDONLY | O_CLOEXEC));
  const Fd to(open(Path("to").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const Pool pool = Register(2, 4096);
  for (int64_t offset = 0; offset < 10'000; offset += 4096) {
    PooledBuffer buffer = Lease(pool);
    const char* memory = buffer.data();
    Done done = Run(Entry::ReadInto(kPid, from.get(), std::move(buffer), 4096, offset, 0));
    EXPECT_TRUE(Succeeded(done));
    Bytes bytes = done.result.TakeBytes();
    EXPECT_EQ(bytes.data(), memory) << "copied";
    EXPECT_TRUE(bytes.view() == absl::string_view(content).substr(static_cast<size_t>(offset), 4096));
    const auto size = static_cast<int64_t>(bytes.size());
    EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, to.get(), std::move(bytes), offset, 0)), size));
  }
  EXPECT_TRUE(Slurp(Path("to")) == content);
}

TEST_P(RegisteredBuffersTest, ASocketIsReadIntoAndSentFromThem) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Pool pool = Register(2, 512);
  PooledBuffer out = Lease(pool);
  std::memcpy(out.data(), "hello", 5);
  PooledBuffer in = Lease(pool);
  const char* memory = in.data();
  const Seq received = Submit(Entry::RecvInto(kPid, sockets.first.get(), std::move(in), 512, 0, 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, sockets.second.get(), Bytes(std::move(out), 5), 0, 0)), 5));
  Done done = Wait(received);
  EXPECT_EQ(done.result.data(), "hello");
  EXPECT_EQ(done.result.TakeBytes().data(), memory);
  // A stream is read by ReadInto as well, and a write waits for nobody.
  const Seq read = Submit(Entry::ReadInto(kPid, sockets.first.get(), Lease(pool), 512, kCurrentPosition, 0));
  const Seq behind = Submit(Entry::ReadInto(kPid, sockets.first.get(), Lease(pool), 512, kCurrentPosition, 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, sockets.first.get(), Bytes("?"), kCurrentPosition, 0)), 1));
  ASSERT_EQ(write(sockets.second.get(), "1", 1), 1);
  EXPECT_EQ(Wait(read).result.data(), "1");
  ASSERT_EQ(write(sockets.second.get(), "2", 1), 1);
  EXPECT_EQ(Wait(behind).result.data(), "2");
}

TEST_P(RegisteredBuffersTest, WhenAllAreLentItSaysSoAndOneThatComesBackIsLentAgain) {
  const Pool pool = Register(2, 100);
  PooledBuffer one = Lease(pool);
  const char* memory = one.data();
  const PooledBuffer two = Lease(pool);
  EXPECT_TRUE(Refused(pool->Lease().status(), absl::StatusCode::kResourceExhausted, {"all 2 buffers", "lent"}));
  one.Reset();
  EXPECT_EQ(Lease(pool).data(), memory);
}

TEST_P(RegisteredBuffersTest, P9ACancelledReadGivesItsBufferBack) {
  const Pair pipe = MakePipe();
  const Pool pool = Register(1, 100);
  const Seq seq = Submit(Entry::ReadInto(kPid, pipe.first.get(), Lease(pool), 100, kCurrentPosition, 0));
  EXPECT_FALSE(pool->Lease().ok());
  EXPECT_TRUE(manager().Cancel(kPid, seq).ok());
  EXPECT_TRUE(WasCancelled(Wait(seq)));
  EXPECT_TRUE(pool->Lease().ok());
  EXPECT_TRUE(FailedWith(Run(Entry::ReadInto(kPid, ClosedFd(), Lease(pool), 100, 0, 0)), EBADF));
  EXPECT_TRUE(pool->Lease().ok());
}

TEST_P(RegisteredBuffersTest, P10BuffersOutliveTheirPoolTheRingAndTheManager) {
  Pair pipe = MakePipe();
  Pool pool = Register(2, 4096);
  PooledBuffer kept = Lease(pool);
  std::memset(kept.data(), 'k', kept.capacity());
  const Seq seq = Submit(Entry::ReadInto(kPid, pipe.first.get(), Lease(pool), 4096, kCurrentPosition, 0));
  pool.reset();
  ASSERT_EQ(write(pipe.second.get(), "late", 4), 4);
  Done done = Wait(seq);
  EXPECT_TRUE(manager().DestroyRing(kPid).ok());
  EXPECT_EQ(kept.data()[4095], 'k');
  pipe = Pair();
  EndManager();
  EXPECT_EQ(done.result.data(), "late");
  EXPECT_EQ(kept.data()[0], 'k');
}

// The registration ended with the ring; the memory is ordinary memory from then on.
TEST_P(RegisteredBuffersTest, BuffersOfADestroyedRingAndOfOtherProcessesWork) {
  Spill(Path("file"), "content");
  const Fd file(open(Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  const Pool gone = Register(1, 4096, 8);
  const Pool others = Register(1, 4096, 9);
  EXPECT_TRUE(manager().DestroyRing(8).ok());
  for (const Pool& pool : {gone, others}) {
    EXPECT_EQ(Run(Entry::ReadInto(kPid, file.get(), Lease(pool), 4096, 0, 0)).result.data(), "content");
  }
  // Its place is another's now.
  const Pool next = Register(1, 4096, 10);
  for (const Pool& pool : {gone, others, next}) {
    EXPECT_EQ(Run(Entry::ReadInto(10, file.get(), Lease(pool), 4096, 0, 0), 10).result.data(), "content");
  }
}

TEST_P(RegisteredBuffersTest, ManyRingsRegisterAndTheirPlacesComeBack) {
  for (int round = 0; round < 3; ++round) {
    std::vector<Pool> pools;
    for (Pid pid = 100; pid < 500; ++pid) pools.push_back(Register(1, 512, pid));
    for (Pid pid = 100; pid < 500; ++pid) EXPECT_TRUE(manager().DestroyRing(pid).ok());
  }
}

TEST_P(RegisteredBuffersTest, P16WhatIsOutOfRangeIsNamed) {
  using Code = absl::StatusCode;
  EXPECT_TRUE(Refused(manager().RegisterBuffers(kPid, 0, 10).status(), Code::kInvalidArgument, {"count is 0"}));
  EXPECT_TRUE(Refused(manager().RegisterBuffers(kPid, 100'000, 10).status(), Code::kInvalidArgument, {"count is 100000"}));
  EXPECT_TRUE(Refused(manager().RegisterBuffers(kPid, 1, 0).status(), Code::kInvalidArgument, {"size is 0"}));
  EXPECT_TRUE(Refused(manager().RegisterBuffers(kPid, 1, SIZE_MAX).status(), Code::kInvalidArgument, {"size is"}));
  EXPECT_TRUE(Refused(manager().RegisterBuffers(kPid, 65536, 1 << 20).status(), Code::kInvalidArgument, {"more than"}));
  const Pool pool = Register(1, 512);
  EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::ReadInto(kPid, 0, PooledBuffer(), 10, 0, 0)).status(), Code::kInvalidArgument,
                      {"ReadInto.buffer", "empty"}));
  EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::ReadInto(kPid, 0, Lease(pool), 513, 0, 0)).status(), Code::kInvalidArgument,
                      {"ReadInto.size", "513", "512"}));
  EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::RecvInto(kPid, -1, Lease(pool), 10, 0, 0)).status(), Code::kInvalidArgument,
                      {"RecvInto.fd"}));
  EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::RecvInto(kPid, 0, Lease(pool), 0, 0, 0)).status(), Code::kInvalidArgument,
                      {"RecvInto.size"}));
  EXPECT_TRUE(pool->Lease().ok()) << "a refused entry keeps no buffer once it is gone";
}

TEST_P(RegisteredBuffersTest, P16WithoutLockedMemoryThePoolSaysSoAndWorks) {
  const Threading threading = GetParam();
  // A process with threads is no parent for one that starts some.
  EndManager();
  const std::string answer = RunInChild([&]() -> std::string {
    const rlimit none = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) return "setrlimit";
    // Root may lock what it likes, unless it is root of a sandbox only, which can become nobody else.
    const bool limited = setresuid(65534, 65534, 65534) == 0;
    auto manager = IoUringManager::Create({.threading = threading, .kernel_rings = 1});
    if (!manager.ok()) return manager.status().ToString();
    const auto pool = (*manager)->RegisterBuffers(kPid, 16, 1 << 20);
    if (!pool.ok()) return pool.status().ToString();
    if ((*pool)->registered() && limited) return "16 MiB were locked";
    if (!(*pool)->registered() && (*manager)->Executor().kind == ExecutorKind::kIoUring &&
        !absl::StrContains((*pool)->reason(), "RLIMIT_MEMLOCK, 1048576")) {
      return (*pool)->reason();
    }
    const Fd zero(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    const auto seq = (*manager)->Submit(kPid, Entry::ReadInto(kPid, zero.get(), *(*pool)->Lease(), 4096, 0, 0));
    if (!seq.ok()) return seq.status().ToString();
    const auto done = (*manager)->WaitCompletion(kPid, *seq);
    return done.ok() && done->result.value() == 4096 ? "" : "the read failed";
  });
  EXPECT_EQ(answer, "");
}

INSTANTIATE_TEST_SUITE_P(Threading, RegisteredBuffersTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
