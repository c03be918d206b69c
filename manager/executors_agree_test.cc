// P15: the same program gives the same results on both executors. Every operation on every kind of descriptor, and paths of every
// kind: what each executor makes of it is compared as text.

#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// What a case works on, made anew for each.
struct World {
  TempDir dir;
  // The one that it is about, and what keeps it as it is.
  Fd fd;
  std::vector<Fd> others;
  Pair pipe = MakePipe();
};

struct Kind {
  const char* name;
  std::function<void(World&)> make;
};

struct Case {
  const char* name;
  std::function<Entry(World&, int fd)> make;
};

int OpenFile(World& world, int flags) {
  Spill(world.dir.Path("file"), "0123456789");
  return open(world.dir.Path("file").c_str(), flags | O_CLOEXEC, 0600);
}

void UsePair(World& world, Pair pair, bool first) {
  world.fd = std::move(first ? pair.first : pair.second);
  world.others.push_back(std::move(first ? pair.second : pair.first));
}

std::vector<Kind> Kinds() {
  return {
      {"a file", [](World& w) { w.fd = Fd(OpenFile(w, O_RDWR)); }},
      {"a file to read", [](World& w) { w.fd = Fd(OpenFile(w, O_RDONLY)); }},
      {"a file to write", [](World& w) { w.fd = Fd(OpenFile(w, O_WRONLY)); }},
      {"a file to append to", [](World& w) { w.fd = Fd(OpenFile(w, O_RDWR | O_APPEND)); }},
      {"a file's name", [](World& w) { w.fd = Fd(OpenFile(w, O_PATH)); }},
      {"an empty file", [](World& w) { w.fd = Fd(open(w.dir.Path("empty").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)); }},
      {"a directory", [](World& w) { w.fd = Fd(open(w.dir.Path(".").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }},
      {"a file of /proc", [](World& w) { w.fd = Fd(open("/proc/sys/kernel/ostype", O_RDONLY | O_CLOEXEC)); }},
      {"/dev/null", [](World& w) { w.fd = Fd(open("/dev/null", O_RDWR | O_CLOEXEC)); }},
      {"/dev/zero", [](World& w) { w.fd = Fd(open("/dev/zero", O_RDWR | O_CLOEXEC)); }},
      {"/dev/full", [](World& w) { w.fd = Fd(open("/dev/full", O_RDWR | O_CLOEXEC)); }},
      {"an empty pipe", [](World& w) { UsePair(w, MakePipe(), true); }},
      {"an empty pipe that does not block", [](World& w) { UsePair(w, MakePipe(O_NONBLOCK), true); }},
      {"a pipe with data",
       [](World& w) {
         UsePair(w, MakePipe(), true);
         EXPECT_EQ(write(w.others[0].get(), "0123", 4), 4);
       }},
      {"a pipe to write to", [](World& w) { UsePair(w, MakePipe(), false); }},
      {"a full pipe", [](World& w) { UsePair(w, MakeFullPipe(), false); }},
      {"a pipe that nobody reads",
       [](World& w) {
         UsePair(w, MakePipe(), false);
         w.others.clear();
       }},
      {"a pipe that nobody writes",
       [](World& w) {
         UsePair(w, MakePipe(), true);
         w.others.clear();
       }},
      {"a stream", [](World& w) { UsePair(w, MakeSocketPair(SOCK_STREAM), true); }},
      {"a stream that does not block", [](World& w) { UsePair(w, MakeSocketPair(SOCK_STREAM | SOCK_NONBLOCK), true); }},
      {"a stream with data",
       [](World& w) {
         UsePair(w, MakeSocketPair(SOCK_STREAM), true);
         EXPECT_EQ(write(w.others[0].get(), "0123", 4), 4);
       }},
      {"a stream whose peer is gone",
       [](World& w) {
         UsePair(w, MakeSocketPair(SOCK_STREAM), true);
         w.others.clear();
       }},
      {"a datagram socket", [](World& w) { UsePair(w, MakeSocketPair(SOCK_DGRAM), true); }},
      {"a datagram socket with data",
       [](World& w) {
         UsePair(w, MakeSocketPair(SOCK_DGRAM), true);
         EXPECT_EQ(write(w.others[0].get(), "0123", 4), 4);
       }},
      {"a socket of packets", [](World& w) { UsePair(w, MakeSocketPair(SOCK_SEQPACKET), true); }},
      {"a TCP socket", [](World& w) { w.fd = NewSocket(AF_INET, SOCK_STREAM); }},
      {"a UDP socket", [](World& w) { w.fd = NewSocket(AF_INET, SOCK_DGRAM); }},
      {"a TCP listener",
       [](World& w) {
         std::string address;
         w.fd = Listen(AF_INET, 4, 0, address);
       }},
      {"a TCP listener that does not block",
       [](World& w) {
         std::string address;
         w.fd = Listen(AF_INET, 4, SOCK_NONBLOCK, address);
       }},
      {"an eventfd", [](World& w) { w.fd = Fd(eventfd(0, EFD_CLOEXEC)); }},
      {"an eventfd that has rung", [](World& w) { w.fd = Fd(eventfd(3, EFD_CLOEXEC)); }},
      {"a timerfd", [](World& w) { w.fd = Fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)); }},
      {"an epoll", [](World& w) { w.fd = Fd(epoll_create1(EPOLL_CLOEXEC)); }},
      {"no file", [](World& w) { w.fd = Fd(); }},
  };
}

std::vector<Case> Cases() {
  return {
      {"Read", [](World&, int fd) { return Entry::Read(kPid, fd, 8, kCurrentPosition, 0); }},
      {"Read at 3", [](World&, int fd) { return Entry::Read(kPid, fd, 8, 3, 0); }},
      {"Read far behind the end", [](World&, int fd) { return Entry::Read(kPid, fd, 8, int64_t{1} << 40, 0); }},
      {"ReadInto",
       [](World&, int fd) { return Entry::ReadInto(kPid, fd, ResultBufferPool::NewUnpooled(8), 8, kCurrentPosition, 0); }},
      {"Write", [](World&, int fd) { return Entry::Write(kPid, fd, "abcdefgh", kCurrentPosition, 0); }},
      {"Write at 3", [](World&, int fd) { return Entry::Write(kPid, fd, "abcdefgh", 3, 0); }},
      {"Write of nothing", [](World&, int fd) { return Entry::Write(kPid, fd, "", 0, 0); }},
      {"Fsync", [](World&, int fd) { return Entry::Fsync(kPid, fd, 0); }},
      {"Lseek", [](World&, int fd) { return Entry::Lseek(kPid, fd, 2, SEEK_SET, 0); }},
      {"Send", [](World&, int fd) { return Entry::Send(kPid, fd, "abc", 0, 0); }},
      {"Send that does not wait", [](World&, int fd) { return Entry::Send(kPid, fd, "abc", MSG_DONTWAIT, 0); }},
      {"Recv", [](World&, int fd) { return Entry::Recv(kPid, fd, 8, 0, 0); }},
      {"Recv that does not wait", [](World&, int fd) { return Entry::Recv(kPid, fd, 8, MSG_DONTWAIT, 0); }},
      {"Recv that peeks", [](World&, int fd) { return Entry::Recv(kPid, fd, 2, MSG_PEEK, 0); }},
      {"RecvInto", [](World&, int fd) { return Entry::RecvInto(kPid, fd, ResultBufferPool::NewUnpooled(8), 8, 0, 0); }},
      {"SendTo", [](World&, int fd) { return Entry::SendTo(kPid, fd, "abc", "127.0.0.1:9", 0, 0); }},
      {"RecvFrom", [](World&, int fd) { return Entry::RecvFrom(kPid, fd, 8, 0, 0); }},
      {"Accept", [](World&, int fd) { return Entry::Accept(kPid, fd, 0); }},
      {"AcceptMany", [](World&, int fd) { return Entry::AcceptMany(kPid, fd, 0); }},
      {"RecvMany", [](World&, int fd) { return Entry::RecvMany(kPid, fd, 0, 0); }},
      {"Connect to nobody", [](World&, int fd) { return Entry::Connect(kPid, fd, "127.0.0.1:1", 0); }},
      {"Connect to no socket", [](World&, int fd) { return Entry::Connect(kPid, fd, "unix:/no/such/socket", 0); }},
      {"Fallocate", [](World&, int fd) { return Entry::Fallocate(kPid, fd, 0, 0, 4096, 0); }},
      {"Fallocate of a hole",
       [](World&, int fd) { return Entry::Fallocate(kPid, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4, 0); }},
      {"Ftruncate", [](World&, int fd) { return Entry::Ftruncate(kPid, fd, 4, 0); }},
      {"Splice from", [](World& w, int fd) { return Entry::Splice(kPid, fd, -1, w.pipe.second.get(), -1, 4, 0, 0); }},
      {"Splice from 2", [](World& w, int fd) { return Entry::Splice(kPid, fd, 2, w.pipe.second.get(), -1, 4, 0, 0); }},
      {"Splice to",
       [](World& w, int fd) {
         EXPECT_EQ(write(w.pipe.second.get(), "pipe", 4), 4);
         return Entry::Splice(kPid, w.pipe.first.get(), -1, fd, -1, 4, 0, 0);
       }},
      {"Shutdown", [](World&, int fd) { return Entry::Shutdown(kPid, fd, SHUT_RDWR, 0); }},
      {"Poll for input", [](World&, int fd) { return Entry::Poll(kPid, fd, POLLIN, 0); }},
      {"Poll for output", [](World&, int fd) { return Entry::Poll(kPid, fd, POLLOUT, 0); }},
      {"Close", [](World&, int fd) { return Entry::Close(kPid, fd, 0); }},
  };
}

// Paths, each in a directory of its own with a file, a directory, a FIFO, a loop of links and a link to nowhere.
std::vector<std::string> Names() {
  return {"file",       "directory",           "fifo", "loop",       "nowhere", "none", "file/below",
          "none/below", std::string(300, 'n'), ".",    "locked/file"};
}

std::vector<Case> PathCases(const std::string& name) {
  const auto path = [name](World& w) { return w.dir.Path(name); };
  return {
      {"ReadFile", [path](World& w, int) { return Entry::ReadFile(kPid, path(w), 0); }},
      {"WriteFile", [path](World& w, int) { return Entry::WriteFile(kPid, path(w), "new", 0); }},
      {"Open to read", [path](World& w, int) { return Entry::Open(kPid, path(w), O_RDONLY | O_NONBLOCK, 0, 0); }},
      {"Open to write", [path](World& w, int) { return Entry::Open(kPid, path(w), O_WRONLY | O_NONBLOCK, 0, 0); }},
      {"Open to wait", [path](World& w, int) { return Entry::Open(kPid, path(w), O_RDONLY, 0, 0); }},
      {"Open to make",
       [path](World& w, int) { return Entry::Open(kPid, path(w), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, 0); }},
      {"Open no link", [path](World& w, int) { return Entry::Open(kPid, path(w), O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, 0); }},
      {"Open a directory", [path](World& w, int) { return Entry::Open(kPid, path(w), O_RDONLY | O_DIRECTORY, 0, 0); }},
      {"Statx", [path](World& w, int) { return Entry::Statx(kPid, path(w), 0, 0x1, 0); }},
      {"Rename", [path](World& w, int) { return Entry::Rename(kPid, path(w), w.dir.Path("renamed"), 0, 0); }},
      {"Rename onto", [path](World& w, int) { return Entry::Rename(kPid, w.dir.Path("file"), path(w), 0, 0); }},
      {"Unlink", [path](World& w, int) { return Entry::Unlink(kPid, path(w), 0, 0); }},
      {"Unlink of a directory", [path](World& w, int) { return Entry::Unlink(kPid, path(w), 0x200, 0); }},
      {"Mkdir", [path](World& w, int) { return Entry::Mkdir(kPid, path(w), 0700, 0); }},
  };
}

class Runner {
 public:
  Runner(ExecutorKind executor, Threading threading)
      : manager_(IoUringManagerOptions{.executor = executor, .threading = threading, .kernel_rings = 1}) {}

  // "5 \"0123\"", "EBADF", "ETIMEDOUT" of what would wait.
  std::string Run(Entry entry, absl::Duration patience) {
    const OperationKind kind = entry.kind();
    const Seq seq = manager_.Submit(std::move(entry).WithTimeout(patience));
    std::string all;
    for (bool more = true; more;) {
      const Done done = manager_.Wait(kPid, seq);
      more = done.more;
      absl::StrAppend(&all, Describe(kind, done), more ? ", then " : "");
    }
    return all;
  }

 private:
  static std::string Describe(OperationKind kind, const Done& done) {
    const bool makes_fd = kind == OperationKind::kOpen || kind == OperationKind::kAccept || kind == OperationKind::kAcceptMany;
    if (!done.status.is_success())
      return absl::StrCat("error ", done.status.error_number(), done.status.is_cancelled() ? " cancelled" : "");
    if (makes_fd) {
      const Fd made(static_cast<int>(done.result.value()));
      return absl::StrCat("an fd with flags ", fcntl(made.get(), F_GETFL), " and ", fcntl(made.get(), F_GETFD));
    }
    const bool is_statx = done.result.data().size() == 256;
    return absl::StrCat(done.result.value(), " \"", is_statx ? "statx" : done.result.data(), "\" ", done.result.peer_address());
  }

  TestManager manager_;
};

class ExecutorsAgreeTest : public testing::TestWithParam<Threading> {
 protected:
  void SetUp() override {
    const auto with = IoUringManager::Create({.executor = ExecutorKind::kIoUring});
    if (!with.ok()) GTEST_SKIP() << with.status();
    if (getenv("AGENTOS_URING_EXECUTOR") != nullptr) GTEST_SKIP() << "AGENTOS_URING_EXECUTOR decides for one of them";
  }

  void Compare(const std::string& name, const std::function<void(World&)>& make, const Case& one) {
    // io_uring waits for an epoll to be ready before it would find that it cannot be read nor written.
    const std::string operation = one.name;
    if (name == "an epoll" && (operation.rfind("Read", 0) == 0 || operation.rfind("Write", 0) == 0)) return;
    std::string results[2];
    // What would wait ends by its timeout. On a busy machine something else may, too: then both get more time.
    for (const absl::Duration patience : {absl::Milliseconds(15), absl::Milliseconds(300), absl::Seconds(10)}) {
      for (const bool threads : {false, true}) results[threads] = Run(threads ? threads_ : kernel_, make, one, patience);
      if (results[0] == results[1]) break;
    }
    EXPECT_EQ(results[0], results[1]) << one.name << " of " << name << ": io_uring, then threads";
    ++cases_;
  }

  static std::string Run(Runner& runner, const std::function<void(World&)>& make, const Case& one, absl::Duration patience) {
    World world;
    make(world);
    const int fd = world.fd.get() < 0 ? ClosedFd() : world.fd.get();
    std::string result = runner.Run(one.make(world, fd), patience);
    if (std::string(one.name) == "Close" && fd == world.fd.get()) {
      // Its owner closes the number once more: it has to be somebody's.
      const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (null != fd) {
        dup3(null, fd, O_CLOEXEC);
        close(null);
      }
    }
    return result;
  }

  Runner kernel_{ExecutorKind::kIoUring, GetParam()};
  Runner threads_{ExecutorKind::kThreadPool, GetParam()};
  int cases_ = 0;
};

TEST_P(ExecutorsAgreeTest, P15OnEveryOperationOfEveryKindOfDescriptor) {
  for (const Kind& kind : Kinds()) {
    for (const Case& one : Cases()) Compare(kind.name, kind.make, one);
  }
  std::cout << cases_ << " cases\n";
  EXPECT_GE(cases_, 900);
}

TEST_P(ExecutorsAgreeTest, P15OnEveryOperationOfEveryKindOfPath) {
  const auto make = [](World& world) {
    Spill(world.dir.Path("file"), "content");
    EXPECT_EQ(mkdir(world.dir.Path("directory").c_str(), 0700), 0);
    EXPECT_EQ(mkdir(world.dir.Path("locked").c_str(), 0), 0);
    EXPECT_EQ(mkfifo(world.dir.Path("fifo").c_str(), 0600), 0);
    EXPECT_EQ(symlink("loop", world.dir.Path("loop").c_str()), 0);
    EXPECT_EQ(symlink("none", world.dir.Path("nowhere").c_str()), 0);
  };
  for (const std::string& name : Names()) {
    for (const Case& one : PathCases(name)) Compare(name, make, one);
  }
  std::cout << cases_ << " cases\n";
  EXPECT_GE(cases_, 150);
}

INSTANTIATE_TEST_SUITE_P(Threading, ExecutorsAgreeTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
