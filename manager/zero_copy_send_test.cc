// Sends that the kernel may do without a copy.

#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/socket_address.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class ZeroCopySendTest : public ManagerTest {
 protected:
  void SetUp() override {
    ManagerTest::SetUp();
    // Whether the next send is tried is decided for each kernel ring, and a thread that moves to another processor uses that one's.
    ASSERT_EQ(sched_getaffinity(0, sizeof(everywhere_), &everywhere_), 0);
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<size_t>(sched_getcpu()), &here);
    ASSERT_EQ(sched_setaffinity(0, sizeof(here), &here), 0);
    IoUringManagerOptions options = Options();
    options.zero_copy_send_from = 20'000;
    MakeManager(options);
  }
  void TearDown() override {
    EXPECT_EQ(sched_setaffinity(0, sizeof(everywhere_), &everywhere_), 0);
    ManagerTest::TearDown();
  }

  // Connected over TCP: the first sends.
  static Pair Connected() {
    std::string address;
    const Fd listener = Listen(AF_INET, 4, 0, address);
    Pair pair;
    pair.first = NewSocket(AF_INET, SOCK_STREAM);
    const auto parsed = ParseSocketAddress(address);
    EXPECT_TRUE(parsed.ok());
    EXPECT_EQ(connect(pair.first.get(), reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->length), 0);
    pair.second = Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_GE(pair.second.get(), 0);
    return pair;
  }

  bool OnIoUring() { return manager().Executor().kind == ExecutorKind::kIoUring; }

 private:
  cpu_set_t everywhere_;
};

TEST_P(ZeroCopySendTest, P13LargeSendsArriveWhole) {
  Pair tcp = Connected();
  const std::string content = Content(3'000'000);
  std::string received;
  std::thread reader([&] { received = ReadAll(tcp.second.get(), 2 * content.size()); });
  EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, tcp.first.get(), Bytes(std::string(content)), 0, 0)), 3'000'000));
  EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, tcp.first.get(), Bytes(std::string(content)), 0, 0)), 3'000'000));
  reader.join();
  EXPECT_TRUE(received == content + content);
  const IoUringStats stats = manager().Stats();
  EXPECT_EQ(stats.bytes, 6'000'000u);
  // A loopback device hands the data to the receiver, so the kernel copies it, says so, and the next is sent in the ordinary way.
  EXPECT_EQ(stats.zero_copy_sends, OnIoUring() ? 1u : 0u);
}

TEST_P(ZeroCopySendTest, ManyAtOnceKeepTheirData) {
  const Pair tcp = Connected();
  constexpr size_t kSends = 200;
  std::string expected;
  std::vector<Entry> entries;
  for (size_t i = 0; i < kSends; ++i) {
    const std::string data(20'000 + i, static_cast<char>('a' + i % 26));
    expected += data;
    Entry entry = Entry::Send(kPid, tcp.first.get(), Bytes(std::string(data)), 0, i);
    // Of several sends under way on one stream the parts may mix.
    entries.push_back(i + 1 < kSends ? std::move(entry).WithLink() : std::move(entry));
  }
  std::string received;
  std::thread reader([&] { received = ReadAll(tcp.second.get(), expected.size()); });
  for (const Done& done : RunBatch(std::move(entries))) {
    EXPECT_TRUE(Succeeded(done, 20'000 + static_cast<int64_t>(done.user_data)));
  }
  reader.join();
  EXPECT_TRUE(received == expected);
  if (OnIoUring()) {
    const IoUringStats stats = manager().Stats();
    EXPECT_GE(stats.zero_copy_sends, 1u);
    EXPECT_LE(stats.zero_copy_sends, 4u);
  }
}

TEST_P(ZeroCopySendTest, FromRegisteredMemoryToo) {
  const Pair tcp = Connected();
  const auto pool = manager().RegisterBuffers(kPid, 1, 65'536);
  ASSERT_TRUE(pool.ok());
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<PooledBuffer> buffer = (*pool)->Lease();
    // The kernel may still read the one before.
    while (!buffer.ok()) {
      Reapable();
      buffer = (*pool)->Lease();
    }
    std::memset(buffer->data(), 'a' + i, 65'536);
    EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, tcp.first.get(), Bytes(*std::move(buffer), 65'536), 0, 0)), 65'536));
    EXPECT_TRUE(ReadAll(tcp.second.get(), 65'536) == std::string(65'536, static_cast<char>('a' + i)));
  }
}

TEST_P(ZeroCopySendTest, SmallSendsAndOtherProtocolsAreOrdinary) {
  const Pair tcp = Connected();
  const Pair local = MakeSocketPair(SOCK_STREAM);
  EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, tcp.first.get(), Bytes(std::string(19'999, 'x')), 0, 0)), 19'999));
  EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, local.first.get(), Bytes(std::string(50'000, 'x')), 0, 0)), 50'000));
  EXPECT_EQ(manager().Stats().zero_copy_sends, 0u);
  // And they do not keep others from being tried.
  EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, tcp.first.get(), Bytes(std::string(50'000, 'x')), 0, 0)), 50'000));
  EXPECT_EQ(manager().Stats().zero_copy_sends, OnIoUring() ? 1u : 0u);
}

TEST_P(ZeroCopySendTest, P9CancelledHalfWayItEndsAtOnce) {
  const Pair tcp = Connected();
  // More than the two sockets hold.
  const Seq seq = Submit(Entry::Send(kPid, tcp.first.get(), Bytes(std::string(size_t{64} << 20, 'x')), 0, 0));
  EXPECT_EQ(Reapable(), 0u);
  ASSERT_TRUE(manager().Cancel(kPid, seq).ok());
  const Done done = Wait(seq);
  EXPECT_TRUE(done.status.is_cancelled() || done.result.value() > 0);
}

TEST_P(ZeroCopySendTest, AGonePeerIsAnErrorWithoutASignal) {
  Pair tcp = Connected();
  const SigpipeCounter signals;
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(setsockopt(tcp.second.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
  tcp.second.Reset();
  const Done reset = Run(Entry::Send(kPid, tcp.first.get(), Bytes(std::string(50'000, 'x')), 0, 0));
  EXPECT_TRUE(FailedWith(reset, ECONNRESET));
  EXPECT_TRUE(FailedWith(Run(Entry::Send(kPid, tcp.first.get(), Bytes(std::string(50'000, 'x')), 0, 0)), EPIPE));
  EXPECT_EQ(signals.count(), 0);
}

TEST_P(ZeroCopySendTest, P4BytesInFlightAreGivenBack) {
  const Pair tcp = Connected();
  RingOptions options;
  options.max_bytes_in_flight = 100'000;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  for (int i = 0; i < 10; ++i) {
    const Seq seq = Submit(Entry::Send(kPid, tcp.first.get(), Bytes(std::string(90'000, 'x')), 0, 0));
    EXPECT_EQ(ReadAll(tcp.second.get(), 90'000).size(), 90'000u);
    EXPECT_TRUE(Succeeded(Wait(seq), 90'000));
  }
}

INSTANTIATE_TEST_SUITE_P(Threading, ZeroCopySendTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
