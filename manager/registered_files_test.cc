// Files that are registered with the kernel, and entries that name them.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/registered_file.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class RegisteredFilesTest : public ManagerTest {
 protected:
  RegisteredFile Register(int fd, Pid pid = kPid) {
    auto file = manager().RegisterFile(pid, fd);
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : RegisteredFile();
  }
  bool OnIoUring() { return manager().Executor().kind == ExecutorKind::kIoUring; }
};

TEST_P(RegisteredFilesTest, SaysWhetherTheKernelTookItAndWhyNot) {
  const Pair pipe = MakePipe();
  const RegisteredFile file = Register(pipe.first.get());
  EXPECT_GE(file.fd(), 0);
  EXPECT_NE(file.fd(), pipe.first.get());
  if (OnIoUring()) {
    EXPECT_TRUE(file.registered()) << file.reason();
  }
  if (!file.registered()) {
    EXPECT_TRUE(absl::StrContains(file.reason(), "no registered files")) << file.reason();
  }
}

TEST_P(RegisteredFilesTest, P14EveryOperationOfAFileTakesIt) {
  Spill(Path("file"), "0123456789");
  const Fd fd(open(Path("file").c_str(), O_RDWR | O_CLOEXEC));
  const RegisteredFile file = Register(fd.get());
  EXPECT_EQ(Run(Entry::Read(kPid, file.fd(), 4, 2, 0)).result.data(), "2345");
  EXPECT_EQ(Run(Entry::Read(kPid, file.fd(), 4, kCurrentPosition, 0)).result.data(), "0123");
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, file.fd(), "x", 0, 0)), 1));
  EXPECT_TRUE(Succeeded(Run(Entry::Lseek(kPid, file.fd(), 1, SEEK_SET, 0)), 1));
  EXPECT_EQ(Run(Entry::Read(kPid, file.fd(), 2, kCurrentPosition, 0)).result.data(), "12");
  EXPECT_TRUE(Succeeded(Run(Entry::Fsync(kPid, file.fd(), 0))));
  EXPECT_TRUE(Succeeded(Run(Entry::Fallocate(kPid, file.fd(), 0, 0, 20, 0))));
  EXPECT_TRUE(Succeeded(Run(Entry::Ftruncate(kPid, file.fd(), 10, 0))));
  const Pair pipe = MakePipe();
  const RegisteredFile end = Register(pipe.second.get());
  EXPECT_TRUE(Succeeded(Run(Entry::Splice(kPid, file.fd(), 0, end.fd(), -1, 10, 0, 0)), 10));
  EXPECT_EQ(ReadAll(pipe.first.get(), 10), "x123456789");
  // Paths have nothing to do with it, whatever their directory's number.
  EXPECT_TRUE(Succeeded(Run(Entry::ReadFile(kPid, Path("file"), 0)), 10));
}

TEST_P(RegisteredFilesTest, P14SocketsToo) {
  std::string address;
  const Fd listening = Listen(AF_INET, 4, 0, address);
  const RegisteredFile listener = Register(listening.get());
  const Seq accept = Submit(Entry::Accept(kPid, listener.fd(), 0));
  const Seq many = Submit(Entry::Poll(kPid, listener.fd(), 1, 0));
  const Fd socket = NewSocket(AF_INET, SOCK_STREAM);
  const RegisteredFile client = Register(socket.get());
  EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, client.fd(), address, 0))));
  EXPECT_TRUE(Succeeded(Wait(many)));
  const Done accepted = Wait(accept);
  ASSERT_TRUE(Succeeded(accepted));
  const Fd server(static_cast<int>(accepted.result.value()));
  const Seq received = Submit(Entry::RecvMany(kPid, client.fd(), 0, 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, server.get(), "hello", 0, 0)), 5));
  EXPECT_EQ(Wait(received).result.data(), "hello");
  EXPECT_TRUE(Succeeded(Run(Entry::Shutdown(kPid, client.fd(), SHUT_RDWR, 0))));
  EXPECT_TRUE(Succeeded(Wait(received), 0));
}

TEST_P(RegisteredFilesTest, ANonblockingFileIsWaitedFor) {
  const Pair pipe = MakePipe(O_NONBLOCK);
  const RegisteredFile file = Register(pipe.first.get());
  const Seq read = Submit(Entry::Read(kPid, file.fd(), 8, kCurrentPosition, 0));
  EXPECT_EQ(Reapable(), 0u);
  ASSERT_EQ(write(pipe.second.get(), "late", 4), 4);
  EXPECT_EQ(Wait(read).result.data(), "late");
}

TEST_P(RegisteredFilesTest, OutlivesTheDescriptorItWasMadeFrom) {
  Pair pipe = MakePipe();
  RegisteredFile file = Register(pipe.second.get());
  pipe.second.Reset();
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, file.fd(), "kept", kCurrentPosition, 0)), 4));
  file = RegisteredFile();
  // Nobody has the writing end any more, the kernel neither.
  EXPECT_EQ(ReadAll(pipe.first.get(), 100), "kept");
}

TEST_P(RegisteredFilesTest, WhatIsUnderWayGoesOnWhenTheHandleIsGone) {
  const Pair pipe = MakePipe();
  Seq read = 0;
  {
    const RegisteredFile file = Register(pipe.first.get());
    read = Submit(Entry::Read(kPid, file.fd(), 8, kCurrentPosition, 0));
    EXPECT_EQ(Reapable(), 0u);
  }
  ASSERT_EQ(write(pipe.second.get(), "late", 4), 4);
  EXPECT_EQ(Wait(read).result.data(), "late");
}

TEST_P(RegisteredFilesTest, ANumberThatIsUsedAgainIsTheNewFile) {
  Spill(Path("one"), "one");
  Spill(Path("two"), "two");
  for (int i = 0; i < 3; ++i) {
    for (const std::string name : {"one", "two"}) {
      const Fd fd(open(Path(name).c_str(), O_RDONLY | O_CLOEXEC));
      const RegisteredFile file = Register(fd.get());
      EXPECT_EQ(Run(Entry::Read(kPid, file.fd(), 3, 0, 0)).result.data(), name);
    }
    // The same numbers, not registered.
    const Fd fd(open(Path("two").c_str(), O_RDONLY | O_CLOEXEC));
    const Fd copy(dup(fd.get()));
    EXPECT_EQ(Run(Entry::Read(kPid, copy.get(), 3, 0, 0)).result.data(), "two");
  }
}

TEST_P(RegisteredFilesTest, ACloseOfItIsRefused) {
  const Pair pipe = MakePipe();
  const RegisteredFile file = Register(pipe.second.get());
  if (!file.registered()) GTEST_SKIP() << file.reason();
  EXPECT_TRUE(FailedWith(Run(Entry::Close(kPid, file.fd(), 0)), EBADF));
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, file.fd(), "x", kCurrentPosition, 0)), 1));
}

TEST_P(RegisteredFilesTest, MoreThanTheKernelHasPlacesForDoAllTheSame) {
  const Pair pipe = MakePipe();
  std::vector<RegisteredFile> files;
  for (int i = 0; i < 400; ++i) files.push_back(Register(pipe.second.get()));
  if (OnIoUring()) {
    EXPECT_TRUE(files.front().registered());
    EXPECT_TRUE(absl::StrContains(files.back().reason(), "are taken")) << files.back().reason();
  }
  for (const RegisteredFile& file : files) {
    EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, file.fd(), "x", kCurrentPosition, 0)), 1));
  }
  const bool first = files.front().registered();
  files.clear();
  EXPECT_EQ(Register(pipe.second.get()).registered(), first);
}

TEST_P(RegisteredFilesTest, P11HandlesOutliveTheRingAndTheManager) {
  Pair pipe = MakePipe();
  RegisteredFile first = Register(pipe.second.get());
  ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  // Another process has the ring now.
  RegisteredFile second = Register(pipe.second.get(), kPid + 1);
  first = RegisteredFile();
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid + 1, second.fd(), "x", kCurrentPosition, 0), kPid + 1), 1));
  manager_.reset();
  EXPECT_EQ(write(second.fd(), "y", 1), 1);
  second = RegisteredFile();
  pipe.second.Reset();
  EXPECT_EQ(ReadAll(pipe.first.get(), 10), "xy");
  pipe = Pair();
  MakeManager(Options());
}

TEST_P(RegisteredFilesTest, P16GivenBackOnAnotherThreadItIsClosedLater) {
  Pair pipe = MakePipe();
  RegisteredFile file = Register(pipe.second.get());
  pipe.second.Reset();
  std::thread([&] { file = RegisteredFile(); }).join();
  // Whatever the manager does next, and its end at the latest; the fixture counts.
  const Pair other = MakePipe();
  Register(other.first.get());
  EXPECT_EQ(ReadAll(pipe.first.get(), 1), "");
}

TEST_P(RegisteredFilesTest, WhatIsNoFileIsRefusedByName) {
  using Code = absl::StatusCode;
  EXPECT_TRUE(Refused(manager().RegisterFile(kPid, -1).status(), Code::kInvalidArgument, {"fd is -1"}));
  EXPECT_TRUE(Refused(manager().RegisterFile(kPid, ClosedFd()).status(), Code::kInvalidArgument, {"not open"}));
  for (const int fd : ExecutorFds()) {
    EXPECT_TRUE(Refused(manager().RegisterFile(kPid, fd).status(), Code::kInvalidArgument, {"the library's own"})) << fd;
  }
  const Pair pipe = MakePipe();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const absl::Status status = manager().RegisterFile(kPid, pipe.first.get()).status();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(Refused(status, Code::kResourceExhausted, {"RLIMIT_NOFILE"}));
}

INSTANTIATE_TEST_SUITE_P(Threading, RegisteredFilesTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
