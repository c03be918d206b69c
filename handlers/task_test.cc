#include "agentos/handlers/task.h"

#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "agentos/handlers/coroutine_resumer.h"
#include "agentos/handlers/root_task.h"
#include "agentos/handlers/when_all.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// Runs a task that waits for nothing outside.
template <typename T>
T RunToEnd(Task<T> task) {
  bool done = false;
  const handlers_internal::RootTask root = handlers_internal::RunAsRoot(task, done);
  EXPECT_TRUE(done);
  return task.TakeResult();
}

// Lets a coroutine wait until the test lets it go on.
class Gate {
 public:
  auto Wait() {
    struct Awaiter {
      Gate& gate;
      bool await_ready() const { return false; }
      void await_suspend(std::coroutine_handle<> waiting) const { gate.waiting_.push_back(waiting); }
      void await_resume() const {}
    };
    return Awaiter{*this};
  }
  void Open() {
    for (const std::coroutine_handle<> waiting : std::exchange(waiting_, {})) ResumeCoroutine(waiting);
  }
  size_t waiting() const { return waiting_.size(); }

 private:
  std::vector<std::coroutine_handle<>> waiting_;
};

Task<int> Give(int value) { co_return value; }

Task<int> Add(int a, int b) { co_return co_await Give(a) + co_await Give(b); }

TEST(TaskTest, GivesItsValueToWhoeverAwaitsIt) { EXPECT_EQ(RunToEnd(Add(2, 3)), 5); }

TEST(TaskTest, ValuesMayBeMovableOnly) {
  const auto give = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  EXPECT_EQ(*RunToEnd(give()), 7);
}

TEST(TaskTest, DoesNothingBeforeItIsAwaited) {
  bool ran = false;
  const auto note = [](bool& flag) -> Task<void> {
    flag = true;
    co_return;
  };
  { const Task<void> task = note(ran); }
  EXPECT_FALSE(ran);
  RunToEnd(note(ran));
  EXPECT_TRUE(ran);
}

Task<int> Fail(std::string why) {
  throw std::runtime_error(why);
  co_return 0;
}

TEST(TaskTest, AnExceptionIsThrownWhereItIsAwaited) {
  const auto outer = []() -> Task<std::string> {
    try {
      co_await Fail("inner");
    } catch (const std::runtime_error& e) {
      co_return std::string("caught ") + e.what();
    }
    co_return "";
  };
  EXPECT_EQ(RunToEnd(outer()), "caught inner");
  EXPECT_THROW(RunToEnd(Fail("outer")), std::runtime_error);
}

Task<int> CountDown(int n) {
  if (n == 0) co_return 0;
  co_return 1 + co_await CountDown(n - 1);
}

TEST(TaskTest, AChainOfAMillionTakesNoStack) { EXPECT_EQ(RunToEnd(CountDown(1'000'000)), 1'000'000); }

TEST(TaskTest, AMillionThatEndAtOnceTakeNoStack) {
  const auto loop = []() -> Task<int> {
    int sum = 0;
    for (int i = 0; i < 1'000'000; ++i) sum += co_await Give(1);
    co_return sum;
  };
  EXPECT_EQ(RunToEnd(loop()), 1'000'000);
}

Task<void> HoldUntilOpen(Gate& gate, std::shared_ptr<int> held) {
  co_await gate.Wait();
  *held += 1;
}

TEST(TaskTest, OneThatIsDestroyedWhileItWaitsLetsGoOfItsVariables) {
  Gate gate;
  const auto held = std::make_shared<int>(0);
  bool done = false;
  {
    auto outer = [](Gate& g, std::shared_ptr<int> h) -> Task<void> { co_await HoldUntilOpen(g, std::move(h)); };
    Task<void> task = outer(gate, held);
    const handlers_internal::RootTask root = handlers_internal::RunAsRoot(task, done);
    EXPECT_EQ(gate.waiting(), 1u);
    EXPECT_GT(held.use_count(), 1);
  }
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_FALSE(done);
}

TEST(TaskTest, GoesOnWhereItWaited) {
  Gate gate;
  const auto held = std::make_shared<int>(0);
  bool done = false;
  Task<void> task = HoldUntilOpen(gate, held);
  const handlers_internal::RootTask root = handlers_internal::RunAsRoot(task, done);
  EXPECT_FALSE(done);
  gate.Open();
  EXPECT_TRUE(done);
  EXPECT_EQ(*held, 1);
}

TEST(TaskTest, WhenAllGivesAllInOrderAndWaitsForTheLast) {
  Gate gate;
  bool done = false;
  const auto late = [](Gate& g, int value) -> Task<int> {
    co_await g.Wait();
    co_return value;
  };
  std::vector<Task<int>> tasks;
  tasks.push_back(late(gate, 1));
  tasks.push_back(Give(2));
  tasks.push_back(late(gate, 3));
  Task<std::vector<int>> all = WhenAll(std::move(tasks));
  const handlers_internal::RootTask root = handlers_internal::RunAsRoot(all, done);
  EXPECT_FALSE(done);
  gate.Open();
  ASSERT_TRUE(done);
  EXPECT_EQ(all.TakeResult(), (std::vector<int>{1, 2, 3}));
}

TEST(TaskTest, WhenAllOfDifferentTypesGivesATuple) {
  const auto nothing = []() -> Task<void> { co_return; };
  const auto text = []() -> Task<std::string> { co_return "text"; };
  const auto [number, word, none] = RunToEnd(WhenAll(Give(4), text(), nothing()));
  EXPECT_EQ(number, 4);
  EXPECT_EQ(word, "text");
  static_cast<void>(none);
}

TEST(TaskTest, WhenAllOfNoneIsDone) { EXPECT_TRUE(RunToEnd(WhenAll(std::vector<Task<int>>())).empty()); }

TEST(TaskTest, WhenAllThrowsAfterAllHaveEnded) {
  Gate gate;
  bool done = false;
  const auto held = std::make_shared<int>(0);
  std::vector<Task<void>> tasks;
  tasks.push_back([]() -> Task<void> {
    throw std::runtime_error("first");
    co_return;
  }());
  tasks.push_back(HoldUntilOpen(gate, held));
  Task<void> all = WhenAll(std::move(tasks));
  const handlers_internal::RootTask root = handlers_internal::RunAsRoot(all, done);
  EXPECT_FALSE(done);
  gate.Open();
  EXPECT_TRUE(done);
  EXPECT_EQ(*held, 1);
  EXPECT_THROW(all.TakeResult(), std::runtime_error);
}

}  // namespace
}  // namespace agentos
