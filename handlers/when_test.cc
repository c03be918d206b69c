// WhenAll, WhenAny and WithTimeout on real rings.

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_ring_fixture.h"
#include "agentos/handlers/task.h"
#include "agentos/handlers/when_all.h"
#include "agentos/handlers/when_any.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class WhenTest : public AsyncRingFixture {};

Task<std::string> Receive(AsyncRing& ring, int fd, [[maybe_unused]] std::shared_ptr<int> held = nullptr) {
  Done done = co_await ring.Recv(fd, 100);
  co_return done.result.TakeData();
}

Task<size_t> ReadLength(AsyncRing& ring, std::string path) {
  const Done done = co_await ring.ReadFile(path);
  co_return done.result.data().size();
}

TEST_P(WhenTest, AllOfABatchOfOperations) {
  const auto batch = [](AsyncRing& on, std::string one, std::string two) -> Task<void> {
    std::vector<AsyncOperation> writes;
    writes.push_back(on.WriteFile(one, std::string("1")));
    writes.push_back(on.WriteFile(two, std::string("22")));
    const std::vector<Done> written = co_await WhenAll(std::move(writes));
    EXPECT_EQ(written.size(), 2u);
    EXPECT_TRUE(Succeeded(written[0], 1));
    EXPECT_TRUE(Succeeded(written[1], 2));
    const auto [first, second] = co_await WhenAll(ReadLength(on, one), ReadLength(on, two));
    EXPECT_EQ(first, 1u);
    EXPECT_EQ(second, 2u);
  };
  ring().RunUntilComplete(batch(ring(), Path("1"), Path("2")));
}

TEST_P(WhenTest, AllOfNoOperations) {
  const auto none = []() -> Task<size_t> { co_return (co_await WhenAll(std::vector<AsyncOperation>())).size(); };
  EXPECT_EQ(ring().RunUntilComplete(none()), 0u);
}

TEST_P(WhenTest, AnyGivesTheFirstOperationAndStopsTheOthers) {
  std::vector<Pair> pairs;
  for (int i = 0; i < 3; ++i) pairs.push_back(MakeSocketPair(SOCK_STREAM));
  const auto any = [](AsyncRing& on, const std::vector<Pair>& from) -> Task<size_t> {
    std::vector<AsyncOperation> receives;
    for (const Pair& pair : from) receives.push_back(on.Recv(pair.first.get(), 10));
    auto [index, done] = co_await WhenAny(std::move(receives));
    EXPECT_EQ(done.result.data(), "x");
    co_return index;
  };
  ASSERT_EQ(send(pairs[1].second.get(), "x", 1, 0), 1);
  EXPECT_EQ(ring().RunUntilComplete(any(ring(), pairs)), 1u);
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  // Those that were stopped have taken nothing.
  ASSERT_EQ(send(pairs[0].second.get(), "y", 1, 0), 1);
  EXPECT_EQ(ring().RunUntilComplete(Receive(ring(), pairs[0].first.get())), "y");
}

TEST_P(WhenTest, AnyOfTasksDestroysTheOthers) {
  const Pair quiet = MakeSocketPair(SOCK_STREAM);
  const Pair busy = MakeSocketPair(SOCK_STREAM);
  const auto held = std::make_shared<int>(0);
  ASSERT_EQ(send(busy.second.get(), "busy", 4, 0), 4);
  std::vector<Task<std::string>> tasks;
  tasks.push_back(Receive(ring(), quiet.first.get(), held));
  tasks.push_back(Receive(ring(), busy.first.get()));
  const FirstOf<std::string> first = ring().RunUntilComplete(WhenAny(std::move(tasks)));
  EXPECT_EQ(first.index, 1u);
  EXPECT_EQ(first.value, "busy");
  EXPECT_EQ(held.use_count(), 1);
}

TEST_P(WhenTest, AnyOfDifferentTypesGivesAVariant) {
  const Pair quiet = MakeSocketPair(SOCK_STREAM);
  Spill(Path("file"), "12345");
  const std::variant<std::string, size_t> first =
      ring().RunUntilComplete(WhenAny(Receive(ring(), quiet.first.get()), ReadLength(ring(), Path("file"))));
  ASSERT_EQ(first.index(), 1u);
  EXPECT_EQ(std::get<1>(first), 5u);
}

TEST_P(WhenTest, AnyDoesNotEvenBeginWhatComesAfterOneThatIsDoneAtOnce) {
  bool began = false;
  const auto note = [](bool& flag) -> Task<int> {
    flag = true;
    co_return 2;
  };
  const auto at_once = []() -> Task<int> { co_return 1; };
  std::vector<Task<int>> tasks;
  tasks.push_back(at_once());
  tasks.push_back(note(began));
  EXPECT_EQ(ring().RunUntilComplete(WhenAny(std::move(tasks))).value, 1);
  EXPECT_FALSE(began);
}

TEST_P(WhenTest, AnyThrowsWhatTheFirstThrew) {
  const Pair quiet = MakeSocketPair(SOCK_STREAM);
  const auto fail = []() -> Task<std::string> {
    throw std::runtime_error("first");
    co_return "";
  };
  std::vector<Task<std::string>> tasks;
  tasks.push_back(Receive(ring(), quiet.first.get()));
  tasks.push_back(fail());
  EXPECT_THROW(ring().RunUntilComplete(WhenAny(std::move(tasks))), std::runtime_error);
}

TEST_P(WhenTest, ATaskThatTakesTooLongIsGivenUp) {
  const Pair quiet = MakeSocketPair(SOCK_STREAM);
  const auto held = std::make_shared<int>(0);
  const absl::StatusOr<std::string> late =
      ring().RunUntilComplete(WithTimeout(ring(), Receive(ring(), quiet.first.get(), held), absl::Milliseconds(2)));
  EXPECT_TRUE(Refused(late.status(), absl::StatusCode::kDeadlineExceeded, {"2ms"}));
  EXPECT_EQ(held.use_count(), 1);
}

TEST_P(WhenTest, ATaskInTimeGivesItsValue) {
  Spill(Path("file"), "123");
  const absl::StatusOr<size_t> length =
      ring().RunUntilComplete(WithTimeout(ring(), ReadLength(ring(), Path("file")), absl::Hours(1)));
  ASSERT_TRUE(length.ok()) << length.status();
  EXPECT_EQ(*length, 3u);
}

TEST_P(WhenTest, P9AnOpenThatLosesLeavesNoDescriptor) {
  Spill(Path("file"), "x");
  const size_t fds = OpenFds();
  const auto race = [](AsyncRing& on, std::string path) -> Task<void> {
    for (int i = 0; i < 100; ++i) {
      std::vector<AsyncOperation> opens;
      opens.push_back(on.Nop());
      opens.push_back(on.Open(path, O_RDONLY));
      opens.push_back(on.Socket(AF_UNIX, SOCK_STREAM));
      auto [index, done] = co_await WhenAny(std::move(opens));
      if (index > 0) co_await on.Close(static_cast<int>(done.result.value()));
    }
  };
  ring().RunUntilComplete(race(ring(), Path("file")));
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  EXPECT_EQ(OpenFds(), fds);
}

INSTANTIATE_TEST_SUITE_P(Threading, WhenTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
