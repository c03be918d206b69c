// A peer that writes random words into everything it can map, while it talks and while it is talked to.
// AGENTOS_IPC_MUTATIONS says how many words.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ipc/channel.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ipc/channel_test_support.h"
#include "agentos/ipc/listener.h"
#include "agentos/ipc/received_view.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos::ipc {
namespace {

uint64_t Mutations() {
  uint64_t wanted = 0;
  const char* const text = std::getenv("AGENTOS_IPC_MUTATIONS");
  if (text != nullptr && absl::SimpleAtoi(text, &wanted)) return wanted;
  return kSanitized ? 30'000 : 100'000;
}

struct Words {
  uint64_t* begin = nullptr;
  size_t count = 0;
  bool is_data = false;
};

// All memory that this process shares with the peer and may write.
std::vector<Words> SharedWords() {
  std::vector<Words> all;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (!absl::StrContains(line, "memfd:agentos-ipc-") || !absl::StrContains(line, "rw-s")) continue;
    const uintptr_t begin = std::stoull(line, nullptr, 16);
    const uintptr_t end = std::stoull(line.substr(line.find('-') + 1), nullptr, 16);
    all.push_back({reinterpret_cast<uint64_t*>(begin), (end - begin) / sizeof(uint64_t), absl::StrContains(line, "ipc-data")});
  }
  return all;
}

class Liar {
 public:
  explicit Liar(uint64_t seed) : random_(seed), words_(SharedWords()) {}

  void Mutate() {
    const Words& words = words_[random_() % words_.size()];
    // What lies in the first lines decides most, and data decides nothing.
    const size_t reach = words.is_data || random_() % 2 == 0 ? std::min<size_t>(words.count, 128) : words.count;
    std::atomic_ref<uint64_t> word(words.begin[random_() % reach]);
    const uint64_t now = word.load(std::memory_order_relaxed);
    switch (random_() % 6) {
      case 0:
        return word.store(random_());
      case 1:
        return word.store(now + random_() % 5 - 2);
      case 2:
        return word.store(now ^ uint64_t{1} << random_() % 64);
      case 3:
        return word.store(random_() % 8);
      case 4:
        return word.store(words.begin[random_() % reach]);
      case 5:
        // Says that this side sleeps, in all the ways.
        return word.store((random_() % 3) << 32 | random_() % 3);
    }
  }
  uint64_t random() { return random_(); }

 private:
  std::mt19937_64 random_;
  const std::vector<Words> words_;
};

bool IsNamed(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsFailedPrecondition(status) || absl::IsUnavailable(status) ||
         absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status);
}

bool IsOver(const absl::Status& status) {
  return !status.ok() && !absl::IsResourceExhausted(status) && !absl::IsDeadlineExceeded(status);
}

// A little of everything that a channel does; what comes is read to its last byte. How the channel ended, or OK.
absl::Status Use(Channel& channel, uint64_t random, uint64_t& sum) {
  static constexpr size_t kSizes[] = {0, 40, 112, 113, 4096, 65536};
  static const std::string content(65536, 'x');
  const absl::Duration timeout = random % 16 == 0 ? absl::Microseconds(50) : absl::ZeroDuration();
  absl::Status status;
  switch (random / 16 % 4) {
    case 0:
      status = channel.Send(absl::string_view(content).substr(0, kSizes[random / 64 % 6]), random, timeout);
      break;
    case 1: {
      absl::StatusOr<LoanedBuffer> buffer = channel.Loan(kSizes[random / 64 % 6], timeout);
      status = buffer.ok() ? channel.Send(*std::move(buffer), random, timeout) : buffer.status();
      break;
    }
    case 2: {
      absl::StatusOr<ReceivedView> view = channel.Receive(timeout);
      status = view.status();
      if (view.ok()) {
        for (const char c : view->view()) sum += static_cast<unsigned char>(c);
      }
      break;
    }
    case 3: {
      const absl::StatusOr<bool> armed = channel.ArmFd();
      status = armed.status();
      sum += channel.Stats().classes.size();
      break;
    }
  }
  EXPECT_TRUE(status.ok() || IsNamed(status)) << status;
  return IsOver(status) ? status : absl::OkStatus();
}

TEST(HostilePeerTest, ItsLiesCostItsOwnChannelOnly) {
  const std::string address = absl::StrCat("unix:@agentos-hostile-", getpid());
  auto* const mutations =
      new (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<uint64_t>(0);
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listen(address, SmallOptions());
  ASSERT_TRUE(listener.ok()) << listener.status();

  // Comes again whenever it has been found out. Its own side has to bear its lies, too.
  const std::unique_ptr<Peer> hostile = Peer::WithSocket([&](int) -> std::string {
    std::mt19937_64 random(7);
    uint64_t sum = 0;
    while (*mutations < Mutations()) {
      absl::StatusOr<std::unique_ptr<Channel>> channel = ipc::Connect(address, SmallOptions());
      if (!channel.ok()) return channel.status().ToString();
      Liar liar(random());
      const uint64_t honest = random() % 20;
      for (uint64_t i = 0; i < honest; ++i) Use(**channel, random(), sum).IgnoreError();
      for (int i = 0; i < 100; ++i) {
        liar.Mutate();
        mutations->fetch_add(1);
        if (random() % 4 == 0) Use(**channel, random(), sum).IgnoreError();
      }
    }
    return testing::Test::HasFailure() ? "an error without a name" : "";
  });
  Peer honest([](Channel& channel) -> std::string {
    for (;;) {
      absl::StatusOr<ReceivedView> view = channel.Receive();
      if (!view.ok()) return absl::IsFailedPrecondition(view.status()) ? "" : view.status().ToString();
      if (absl::Status sent = channel.Send(view->view()); !sent.ok()) return sent.ToString();
    }
  });
  const std::unique_ptr<Channel> quiet = honest.Connect();
  ASSERT_NE(quiet, nullptr) << honest.why();

  std::mt19937_64 random(11);
  uint64_t sum = 0;
  int lies_found = 0;
  while (*mutations < Mutations()) {
    absl::StatusOr<std::unique_ptr<Channel>> channel = (*listener)->Accept(absl::Milliseconds(100));
    if (!channel.ok()) {
      EXPECT_TRUE(absl::IsDeadlineExceeded(channel.status())) << channel.status();
      continue;
    }
    absl::Status end;
    while (end.ok()) end = Use(**channel, random(), sum);
    lies_found += absl::IsDataLoss(end) ? 1 : 0;
    EXPECT_EQ((*channel)->status(), end);
    ASSERT_TRUE(quiet->Send("anybody there?").ok());
    absl::StatusOr<ReceivedView> answer = quiet->Receive();
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->view(), "anybody there?");
  }
  // One that has connected and was not accepted any more.
  listener->reset();
  EXPECT_GT(lies_found, 0);
  quiet->Close();
  EXPECT_EQ(honest.AwaitEnd(), "");
  const std::string said = hostile->AwaitEnd();
  EXPECT_TRUE(said.empty() || absl::StrContains(said, "UNAVAILABLE")) << said;
  munmap(mutations, 4096);
}

}  // namespace
}  // namespace agentos::ipc
