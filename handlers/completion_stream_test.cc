// CompletionStream and AsyncGenerator: many values, one after the other, from sockets that give them when they like.

#include "agentos/handlers/completion_stream.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "agentos/handlers/async_generator.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_ring_fixture.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/socket_address.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class CompletionStreamTest : public AsyncRingFixture {};

Fd ConnectTo(const std::string& address) {
  Fd client = NewSocket(AF_INET, SOCK_STREAM);
  const auto parsed = ParseSocketAddress(address);
  EXPECT_TRUE(parsed.ok());
  EXPECT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->length), 0);
  return client;
}

Task<std::optional<Done>> Next(CompletionStream& stream) { co_return co_await stream.Next(); }

TEST_P(CompletionStreamTest, GivesWhatComesUntilTheEndOfTheConnection) {
  Pair pair = MakeSocketPair(SOCK_STREAM);
  CompletionStream stream(ring(), Entry::RecvMany(kPid, pair.first.get(), 0, 9));
  for (const char* word : {"one", "two", "three"}) {
    ASSERT_GT(send(pair.second.get(), word, std::string(word).size(), 0), 0);
    const std::optional<Done> done = ring().RunUntilComplete(Next(stream));
    ASSERT_TRUE(done.has_value());
    EXPECT_EQ(done->result.data(), word);
    EXPECT_EQ(done->user_data, 9u);
  }
  pair.second = Fd();
  EXPECT_TRUE(Succeeded(*ring().RunUntilComplete(Next(stream)), 0));
  EXPECT_FALSE(ring().RunUntilComplete(Next(stream)).has_value());
  EXPECT_FALSE(ring().RunUntilComplete(Next(stream)).has_value());
}

TEST_P(CompletionStreamTest, AnErrorIsTheLast) {
  CompletionStream stream(ring(), Entry::RecvMany(kPid, ClosedFd(), 0, 0));
  EXPECT_TRUE(FailedWith(*ring().RunUntilComplete(Next(stream)), EBADF));
  EXPECT_FALSE(ring().RunUntilComplete(Next(stream)).has_value());
}

TEST_P(CompletionStreamTest, CancelEndsIt) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  CompletionStream stream(ring(), Entry::RecvMany(kPid, pair.first.get(), 0, 0));
  ring().Sleep(absl::Milliseconds(1)).Then([&](const Done&) { stream.Cancel(); });
  EXPECT_FALSE(ring().RunUntilComplete(Next(stream)).has_value());
  EXPECT_FALSE(ring().RunUntilComplete(Next(stream)).has_value());
}

TEST_P(CompletionStreamTest, CancelBeforeItBeganLetsNothingBegin) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  CompletionStream stream(ring(), Entry::RecvMany(kPid, pair.first.get(), 0, 0));
  stream.Cancel();
  EXPECT_FALSE(ring().RunUntilComplete(Next(stream)).has_value());
  EXPECT_EQ(ring().under_way(), 0u);
}

TEST_P(CompletionStreamTest, ASlowConsumerGetsAllInOrderAndMemoryIsBounded) {
  const Pair pair = MakeSocketPair(SOCK_SEQPACKET);
  CompletionStream stream(ring(), Entry::RecvMany(kPid, pair.first.get(), 0, 0));
  constexpr int kMessages = 5000;
  int sent = 0;
  int received = 0;
  const auto send_some = [&] {
    for (int i = 0; i < 200 && sent < kMessages; ++i) {
      const std::string message = std::to_string(sent);
      if (send(pair.second.get(), message.data(), message.size(), MSG_DONTWAIT) < 0) return;
      ++sent;
    }
  };
  while (received < kMessages) {
    send_some();
    // The stream's completions come while nobody asks for them.
    for (int i = 0; i < 3; ++i) ring().RunReady();
    for (int i = 0; i < 50 && received < sent; ++i) {
      const std::optional<Done> done = ring().RunUntilComplete(Next(stream));
      ASSERT_TRUE(done.has_value());
      ASSERT_EQ(done->result.data(), std::to_string(received));
      ++received;
    }
  }
}

TEST_P(CompletionStreamTest, ConnectionsThatNobodyTookAreClosed) {
  std::string address;
  const Fd listener = Listen(AF_INET, 16, 0, address);
  const size_t fds = OpenFds();
  std::vector<Fd> clients;
  {
    CompletionStream connections(ring(), Entry::AcceptMany(kPid, listener.get(), 0));
    for (int i = 0; i < 5; ++i) clients.push_back(ConnectTo(address));
    const std::optional<Done> first = ring().RunUntilComplete(Next(connections));
    ASSERT_TRUE(first.has_value());
    const Fd connection(static_cast<int>(first->result.value()));
    for (int i = 0; i < 3; ++i) ring().RunReady();
  }
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  clients.clear();
  EXPECT_EQ(OpenFds(), fds);
}

TEST_P(CompletionStreamTest, MayOutliveItsRing) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  CompletionStream stream(ring(), Entry::RecvMany(kPid, pair.first.get(), 0, 0));
  Task<std::optional<Done>> next = Next(stream);
  bool done = false;
  const handlers_internal::RootTask root = handlers_internal::RunAsRoot(next, done);
  ring().RunReady();
  EndRing();
  EXPECT_FALSE(done);
}

AsyncGenerator<int> CountTo(AsyncRing& ring, int end) {
  for (int i = 1; i <= end; ++i) {
    if (i % 2 == 0) co_await ring.Nop();
    co_yield i;
  }
}

Task<int> Sum(AsyncGenerator<int> numbers) {
  int sum = 0;
  while (const std::optional<int> number = co_await numbers.Next()) sum += *number;
  EXPECT_FALSE((co_await numbers.Next()).has_value());
  co_return sum;
}

TEST_P(CompletionStreamTest, AGeneratorGivesValuesAndMayWaitInBetween) {
  EXPECT_EQ(ring().RunUntilComplete(Sum(CountTo(ring(), 100))), 5050);
  EXPECT_EQ(ring().RunUntilComplete(Sum(CountTo(ring(), 0))), 0);
}

AsyncGenerator<int> FailAfter(int count) {
  for (int i = 0; i < count; ++i) co_yield i;
  throw std::runtime_error("generator");
}

TEST_P(CompletionStreamTest, AGeneratorThrowsItsExceptionOnceAndHasEnded) {
  const auto consume = [](AsyncGenerator<int> numbers) -> Task<std::string> {
    std::string log;
    try {
      while (const std::optional<int> number = co_await numbers.Next()) log += std::to_string(*number);
    } catch (const std::runtime_error& e) {
      log += e.what();
    }
    if (!(co_await numbers.Next()).has_value()) log += ".";
    co_return log;
  };
  EXPECT_EQ(ring().RunUntilComplete(consume(FailAfter(3))), "012generator.");
}

INSTANTIATE_TEST_SUITE_P(Threading, CompletionStreamTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
