// P11: rings and managers that are destroyed with an entry under way, for each kind of entry that can wait for something that
// never comes: the entry ends in time, and no descriptor, thread, or memory is left. lifetime_test.cc destroys them all at once.

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/test_manager.h"
#include "agentos/ring/registered_buffer_pool.h"
#include "agentos/ring/result_buffer_pool.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr Pid kOther = 8;
constexpr size_t kBuffers = 2;

// Descriptors on which there is nothing to be had, and buffers that can be counted.
class World {
 public:
  World() {
    EXPECT_EQ(mkfifo(Fifo().c_str(), 0600), 0);
    absl::StatusOr<std::shared_ptr<RegisteredBufferPool>> created = RegisteredBufferPool::Create(kBuffers, 4096);
    EXPECT_TRUE(created.ok()) << created.status();
    pool_ = *std::move(created);
    const std::string filler(4096, 'f');
    while (send(full_stream.first.get(), filler.data(), filler.size(), MSG_DONTWAIT) > 0) continue;
    EXPECT_EQ(connect(connected_.get(), Address(), AddressSize()), 0);
  }

  std::string Fifo() const { return dir_.Path("fifo"); }
  const std::string& busy_address() const { return busy_address_; }

  PooledBuffer Lease() const {
    absl::StatusOr<PooledBuffer> buffer = pool_->Lease();
    EXPECT_TRUE(buffer.ok()) << buffer.status();
    return *std::move(buffer);
  }
  // How many buffers of the pool nobody has.
  size_t FreeBuffers() const {
    std::vector<PooledBuffer> leased;
    for (absl::StatusOr<PooledBuffer> buffer; (buffer = pool_->Lease()).ok();) leased.push_back(*std::move(buffer));
    return leased.size();
  }

  Pair pipe = MakePipe();
  Pair nonblocking_pipe = MakePipe(O_NONBLOCK);
  Pair full_pipe = MakeFullPipe();
  Pair stream = MakeSocketPair(SOCK_STREAM);
  Pair full_stream = MakeSocketPair(SOCK_STREAM);
  Pair datagrams = MakeSocketPair(SOCK_DGRAM);
  Pair target = MakePipe();
  std::string address;
  Fd listener = Listen(AF_INET, 8, 0, address);
  Fd client = NewSocket(AF_INET, SOCK_STREAM);
  Fd event = Fd(eventfd(0, EFD_CLOEXEC));

 private:
  const sockaddr* Address() {
    EXPECT_EQ(getsockname(busy_.get(), reinterpret_cast<sockaddr*>(&storage_), &storage_size_), 0);
    return reinterpret_cast<const sockaddr*>(&storage_);
  }
  socklen_t AddressSize() const { return storage_size_; }

  TempDir dir_;
  std::shared_ptr<RegisteredBufferPool> pool_;
  // A listener whose backlog is full of one connection: further ones are not answered.
  std::string busy_address_;
  Fd busy_ = Listen(AF_INET, 0, 0, busy_address_);
  Fd connected_ = NewSocket(AF_INET, SOCK_STREAM);
  sockaddr_storage storage_;
  socklen_t storage_size_ = sizeof(storage_);
};

struct Kind {
  const char* name;
  Entry (*make)(const World&, Pid);
  // Of kinds that take data in: where to put some.
  int (*feed)(const World&) = nullptr;
};

int PipeEnd(const World& w) { return w.pipe.second.get(); }
int StreamEnd(const World& w) { return w.stream.second.get(); }

const Kind kKinds[] = {
    {"Accept", [](const World& w, Pid pid) { return Entry::Accept(pid, w.listener.get(), 0); }},
    {"AcceptMany", [](const World& w, Pid pid) { return Entry::AcceptMany(pid, w.listener.get(), 0); }},
    {"Recv", [](const World& w, Pid pid) { return Entry::Recv(pid, w.stream.first.get(), 10, 0, 0); }, StreamEnd},
    {"RecvOfAll", [](const World& w, Pid pid) { return Entry::Recv(pid, w.stream.first.get(), 4, MSG_WAITALL, 0); }, StreamEnd},
    {"RecvInto", [](const World& w, Pid pid) { return Entry::RecvInto(pid, w.stream.first.get(), w.Lease(), 10, 0, 0); },
     StreamEnd},
    {"RecvMany", [](const World& w, Pid pid) { return Entry::RecvMany(pid, w.stream.first.get(), 0, 0); }, StreamEnd},
    {"RecvFrom", [](const World& w, Pid pid) { return Entry::RecvFrom(pid, w.datagrams.first.get(), 10, 0, 0); },
     [](const World& w) { return w.datagrams.second.get(); }},
    {"ReadOfAPipe", [](const World& w, Pid pid) { return Entry::Read(pid, w.pipe.first.get(), 10, kCurrentPosition, 0); },
     PipeEnd},
    {"ReadOfANonblockingPipe",
     [](const World& w, Pid pid) { return Entry::Read(pid, w.nonblocking_pipe.first.get(), 10, kCurrentPosition, 0); },
     [](const World& w) { return w.nonblocking_pipe.second.get(); }},
    {"ReadOfAnEventfd", [](const World& w, Pid pid) { return Entry::Read(pid, w.event.get(), 8, kCurrentPosition, 0); }},
    {"ReadOfASocket", [](const World& w, Pid pid) { return Entry::Read(pid, w.stream.first.get(), 10, kCurrentPosition, 0); },
     StreamEnd},
    {"ReadInto",
     [](const World& w, Pid pid) { return Entry::ReadInto(pid, w.pipe.first.get(), w.Lease(), 10, kCurrentPosition, 0); },
     PipeEnd},
    {"Splice",
     [](const World& w, Pid pid) { return Entry::Splice(pid, w.pipe.first.get(), -1, w.target.second.get(), -1, 10, 0, 0); },
     PipeEnd},
    {"Poll", [](const World& w, Pid pid) { return Entry::Poll(pid, w.pipe.first.get(), POLLIN, 0); }},
    {"Sleep", [](const World&, Pid pid) { return Entry::Sleep(pid, absl::Hours(1), 0); }},
    {"OpenOfAFifoToRead", [](const World& w, Pid pid) { return Entry::Open(pid, w.Fifo(), O_RDONLY, 0, 0); }},
    {"OpenOfAFifoToWrite", [](const World& w, Pid pid) { return Entry::Open(pid, w.Fifo(), O_WRONLY, 0, 0); }},
    {"Connect", [](const World& w, Pid pid) { return Entry::Connect(pid, w.client.get(), w.busy_address(), 0); }},
    {"Send", [](const World& w, Pid pid) { return Entry::Send(pid, w.full_stream.first.get(), "data", 0, 0); }},
    {"WriteToAPipe", [](const World& w, Pid pid) { return Entry::Write(pid, w.full_pipe.second.get(), "data", -1, 0); }},
    {"WriteToASocket", [](const World& w, Pid pid) { return Entry::Write(pid, w.full_stream.first.get(), "data", -1, 0); }},
    {"IpcRecv", [](const World&, Pid pid) { return Entry::IpcRecv(pid, 10, 0); }},
};

class TeardownTest : public testing::TestWithParam<std::tuple<Threading, Kind>> {
 protected:
  static Threading threading() { return std::get<0>(GetParam()); }
  static Entry Make(const World& world, Pid pid) { return std::get<1>(GetParam()).make(world, pid); }

  static void Feed(const World& world) { EXPECT_EQ(write(std::get<1>(GetParam()).feed(world), "data", 4), 4); }
  static bool TakesData() { return std::get<1>(GetParam()).feed != nullptr; }

  // The kernel's own threads end when their ring does, which is not at once.
  static void ExpectThreads(size_t count) {
    const absl::Time patience = absl::Now() + absl::Seconds(20);
    while (ThreadCount() > count && absl::Now() < patience) std::this_thread::yield();
    EXPECT_LE(ThreadCount(), count) << "threads left";
  }
};

TEST_P(TeardownTest, P11DestroyRingEndsIt) {
  const World world;
  TestManager manager(threading());
  const size_t fds = OpenFds();
  for (size_t round = 1; round <= 3; ++round) {
    manager.Submit(Make(world, kPid));
    EXPECT_TRUE(manager.Reap(kPid).empty());
    EXPECT_EQ(manager->Stats().pending, 1u);
    const absl::Status destroyed = manager->DestroyRing(kPid);
    EXPECT_TRUE(destroyed.ok()) << destroyed;
    EXPECT_EQ(manager->Stats().pending, 0u);
    EXPECT_EQ(manager->Stats().cancelled, round);
    EXPECT_EQ(world.FreeBuffers(), kBuffers) << "what it was lent came back";
    EXPECT_EQ(OpenFds(), fds);
  }
}

TEST_P(TeardownTest, P11TheManagersDestructorEndsIt) {
  const World world;
  const size_t fds = OpenFds();
  const size_t threads = ThreadCount();
  {
    TestManager manager(threading());
    manager.Submit(Make(world, kPid));
    EXPECT_TRUE(manager.Reap(kPid).empty());
  }
  EXPECT_EQ(world.FreeBuffers(), kBuffers);
  EXPECT_EQ(OpenFds(), fds);
  ExpectThreads(threads);
}

TEST_P(TeardownTest, P11AnEqualOneOfAnotherRingGoesOn) {
  const World world;
  TestManager manager(threading());
  manager.Submit(Make(world, kPid));
  const Seq goes_on = manager.Submit(Make(world, kOther));
  EXPECT_TRUE(manager.Reap(kPid).empty());
  const absl::Status destroyed = manager->DestroyRing(kPid);
  EXPECT_TRUE(destroyed.ok()) << destroyed;
  EXPECT_TRUE(manager.Reap(kOther).empty());
  EXPECT_EQ(manager->Stats().pending, 1u);
  EXPECT_EQ(manager->Stats().cancelled, 1u);
  if (TakesData()) {
    // All of it: the other one must not have taken a part along.
    Feed(world);
    EXPECT_TRUE(Succeeded(manager.Wait(kOther, goes_on), 4));
  }
  EXPECT_TRUE(manager->DestroyRing(kOther).ok());
}

std::string CaseName(const testing::TestParamInfo<TeardownTest::ParamType>& info) {
  const auto& [threading, kind] = info.param;
  return std::string(kind.name) + (threading == Threading::kOneThread ? "OneThread" : "AnyThread");
}

INSTANTIATE_TEST_SUITE_P(Kinds, TeardownTest, testing::Combine(BothThreadings(), testing::ValuesIn(kKinds)), CaseName);

}  // namespace
}  // namespace agentos
