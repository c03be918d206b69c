// IoUringAsyncHandler and its registry: thousands of requests on one thread, of one process and of many.

#include "agentos/handlers/io_uring_async_handler.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_syscall_handler.h"
#include "agentos/handlers/syscall.h"
#include "agentos/handlers/task.h"
#include "agentos/handlers/when_any.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class FakeHandler : public AsyncSyscallHandler {
 public:
  using Function = std::function<bool(Pid, const Syscall&, AnswerCallback&)>;
  explicit FakeHandler(Function handle) : handle_(std::move(handle)) {}
  std::string name() const override { return "FakeHandler"; }
  bool Handle(Pid pid, const Syscall& syscall, AnswerCallback& answer) override { return handle_(pid, syscall, answer); }

 private:
  Function handle_;
};

AsyncSyscallHandlerRegistry RegistryOf(FakeHandler::Function handle) {
  return AsyncSyscallHandlerRegistry().Register(std::make_shared<FakeHandler>(std::move(handle)));
}

class IoUringAsyncHandlerTest : public ManagerTest {
 protected:
  void SetUp() override {
    ManagerTest::SetUp();
    shared_ = std::shared_ptr<IoUringManager>(std::move(manager_));
    handler_ = std::make_shared<IoUringAsyncHandler>(shared_);
    registry_.Register(handler_);
  }
  void TearDown() override {
    registry_ = AsyncSyscallHandlerRegistry();
    handler_.reset();
    shared_.reset();
    MakeManager(Options());
    ManagerTest::TearDown();
  }

  std::shared_ptr<IoUringManager> shared_;
  std::shared_ptr<IoUringAsyncHandler> handler_;
  AsyncSyscallHandlerRegistry registry_;
};

TEST_P(IoUringAsyncHandlerTest, AnswersLaterOnTheThreadThatDrivesIt) {
  std::vector<SyscallAnswer> answers;
  const auto keep = [&](SyscallAnswer answer) { answers.push_back(std::move(answer)); };
  registry_.Handle(kPid, Syscall::WriteFile(Path("file"), "content"), AnswerCallback(keep));
  EXPECT_TRUE(answers.empty());
  EXPECT_TRUE(handler_->RunUntilIdle().ok());
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].value(), 7);
  registry_.Handle(kPid, Syscall::ReadFile(Path("missing")), AnswerCallback(keep));
  registry_.Handle(kPid, Syscall::Read(-1, 1, 0), AnswerCallback(keep));
  EXPECT_TRUE(handler_->RunUntilIdle().ok());
  EXPECT_EQ(answers.size(), 3u);
  for (size_t i = 1; i < answers.size(); ++i) EXPECT_TRUE(answers[i].is_error());
}

TEST_P(IoUringAsyncHandlerTest, TenThousandAreUnderWayOnOneThread) {
  constexpr size_t kRequests = 10'000;
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  size_t answered = 0;
  for (size_t i = 0; i < kRequests; ++i) {
    registry_.Handle(kPid, Syscall::Recv(pair.first.get(), 1, 0), AnswerCallback([&](const SyscallAnswer& answer) {
                       EXPECT_EQ(answer.data(), "x");
                       ++answered;
                     }));
  }
  handler_->RunReady();
  EXPECT_EQ(handler_->under_way(), kRequests);
  EXPECT_EQ(shared_->Stats().pending, kRequests);
  const std::string bytes(kRequests, 'x');
  size_t sent = 0;
  while (sent < kRequests) {
    const ssize_t n = send(pair.second.get(), bytes.data(), bytes.size() - sent, MSG_DONTWAIT);
    if (n > 0) sent += static_cast<size_t>(n);
    handler_->RunReady();
  }
  EXPECT_TRUE(handler_->RunUntilIdle().ok());
  EXPECT_EQ(answered, kRequests);
}

TEST_P(IoUringAsyncHandlerTest, ManyProcessesAreServedByOneThread) {
  constexpr Pid kProcesses = 50;
  std::vector<Pair> pairs;
  std::vector<Pid> order;
  for (Pid pid = 0; pid < kProcesses; ++pid) {
    pairs.push_back(MakeSocketPair(SOCK_STREAM));
    registry_.Handle(pid, Syscall::Recv(pairs.back().first.get(), 1, 0),
                     AnswerCallback([&order, pid](const SyscallAnswer&) { order.push_back(pid); }));
  }
  handler_->RunReady();
  for (Pid i = 0; i < kProcesses; ++i) {
    const Pid pid = (i * 7) % kProcesses;
    ASSERT_EQ(send(pairs[pid].second.get(), "x", 1, 0), 1);
    handler_->RunOnce();
    while (order.size() <= i) handler_->RunOnce();
    EXPECT_EQ(order.back(), pid);
  }
  EXPECT_EQ(handler_->RunOnce(), 0u);
}

TEST_P(IoUringAsyncHandlerTest, ARingThatTheProcessHasIsUsedAndLeftToIt) {
  RingOptions options;
  options.sq_size = 8;
  options.cq_size = 8;
  ASSERT_TRUE(shared_->CreateRing(kPid, options).ok());
  size_t answered = 0;
  for (int i = 0; i < 100; ++i) {
    registry_.Handle(kPid, Syscall::WriteFile(Path("file"), "x"), AnswerCallback([&](const SyscallAnswer& answer) {
                       EXPECT_TRUE(answer.is_success());
                       ++answered;
                     }));
  }
  EXPECT_TRUE(handler_->RunUntilIdle().ok());
  EXPECT_EQ(answered, 100u);
  EXPECT_EQ(shared_->Stats().dropped, 0u);
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  int let_go = 0;
  registry_.Handle(kPid, Syscall::Recv(pair.first.get(), 1, 0), AnswerCallback([&](const SyscallAnswer& answer) {
                     EXPECT_EQ(answer.error_number(), EIO);
                     ++let_go;
                   }));
  handler_->RunReady();
  handler_->Forget(kPid);
  EXPECT_EQ(let_go, 1);
  EXPECT_TRUE(shared_->HasRing(kPid));
  EXPECT_EQ(shared_->Stats().pending, 0u);
  EXPECT_TRUE(shared_->Submit(kPid, Entry::Nop(kPid, 5)).ok());
  EXPECT_EQ(shared_->WaitCompletions(kPid, 1, 1, absl::InfiniteDuration())->at(0).user_data, 5u);
}

TEST_P(IoUringAsyncHandlerTest, AProcessMayHaveLimitsAndBeBesideAnAdoptedOne) {
  ASSERT_TRUE(handler_->AddProcess(1, {.sq_size = 4, .cq_size = 4, .max_in_flight = 1}).ok());
  EXPECT_TRUE(Refused(handler_->AddProcess(1, {}), absl::StatusCode::kAlreadyExists));
  ASSERT_TRUE(shared_->CreateRing(2).ok());
  std::vector<Pair> pairs;
  std::vector<Pid> order;
  for (Pid pid = 0; pid < 4; ++pid) {
    pairs.push_back(MakeSocketPair(SOCK_STREAM));
    registry_.Handle(pid, Syscall::Recv(pairs.back().first.get(), 1, 0),
                     AnswerCallback([&order, pid](const SyscallAnswer&) { order.push_back(pid); }));
  }
  EXPECT_EQ(handler_->RunOnce(absl::Milliseconds(1)), 0u);
  for (const Pid pid : {3, 2, 0, 1}) {
    ASSERT_EQ(send(pairs[pid].second.get(), "x", 1, 0), 1);
    while (order.empty() || order.back() != pid) handler_->RunOnce();
  }
}

TEST_P(IoUringAsyncHandlerTest, PassesOnWhatIsNotIoBound) {
  int answers = 0;
  registry_.Handle(kPid, Syscall::Sleep(absl::Seconds(1)), AnswerCallback([&](const SyscallAnswer& answer) {
                     EXPECT_EQ(answer.error_number(), ENOSYS);
                     EXPECT_EQ(answer.message(), "no handler takes Sleep; asked: IoUringAsyncHandler");
                     ++answers;
                   }));
  EXPECT_EQ(answers, 1);
  AsyncSyscallHandlerRegistry().Handle(kPid, Syscall::ReadFile("/p"), AnswerCallback([&](const SyscallAnswer& answer) {
                                         EXPECT_EQ(answer.message(), "no handler takes ReadFile; none is registered");
                                         ++answers;
                                       }));
  EXPECT_EQ(answers, 2);
}

TEST_P(IoUringAsyncHandlerTest, ACallIsAwaited) {
  const auto write_and_read = [](const AsyncSyscallHandlerRegistry& registry, std::string path) -> Task<std::string> {
    const SyscallAnswer written = co_await registry.Call(kPid, Syscall::WriteFile(path, "content"));
    EXPECT_TRUE(written.is_success());
    const SyscallAnswer read = co_await registry.Call(kPid, Syscall::ReadFile(path));
    co_return std::string(read.data());
  };
  // The first request makes the ring that the task runs on.
  registry_.Handle(kPid, Syscall::ReadFile("/etc/hostname"), AnswerCallback([](const SyscallAnswer&) {}));
  EXPECT_EQ(handler_->RingOf(kPid)->RunUntilComplete(write_and_read(registry_, Path("file"))), "content");
}

TEST_P(IoUringAsyncHandlerTest, AHandlerThatThrowsOrLetsGoIsAnsweredFor) {
  std::vector<std::string> messages;
  const auto keep = [&](const SyscallAnswer& answer) {
    EXPECT_EQ(answer.error_number(), EIO);
    messages.emplace_back(answer.message());
  };
  RegistryOf([](Pid, const Syscall&, AnswerCallback&) -> bool {
    throw std::runtime_error("broken");
  }).Handle(kPid, Syscall::ReadFile("/p"), AnswerCallback(keep));
  RegistryOf([](Pid, const Syscall&, AnswerCallback& answer) -> bool {
    const AnswerCallback taken = std::move(answer);
    return true;
  }).Handle(kPid, Syscall::ReadFile("/p"), AnswerCallback(keep));
  RegistryOf([](Pid, const Syscall&, AnswerCallback& answer) -> bool {
    const AnswerCallback taken = std::move(answer);
    throw std::runtime_error("after it took it");
  }).Handle(kPid, Syscall::ReadFile("/p"), AnswerCallback(keep));
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0], "the handler FakeHandler threw at ReadFile: broken");
  EXPECT_EQ(messages[1], "the handler that took the request let go of it without an answer");
}

TEST_P(IoUringAsyncHandlerTest, AHandlerThatNeverAnswersIsGivenUpByATimeout) {
  std::vector<AnswerCallback> kept;
  const AsyncSyscallHandlerRegistry registry = RegistryOf([&](Pid, const Syscall&, AnswerCallback& answer) {
    kept.push_back(std::move(answer));
    return true;
  });
  absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(*shared_, kPid + 1);
  ASSERT_TRUE(ring.ok());
  const absl::StatusOr<SyscallAnswer> answer =
      (*ring)->RunUntilComplete(WithTimeout(**ring, registry.Call(kPid, Syscall::ReadFile("/p")), absl::Milliseconds(2)));
  EXPECT_TRUE(Refused(answer.status(), absl::StatusCode::kDeadlineExceeded));
  // Too late: nobody is there any more.
  kept[0](SyscallAnswer::Success(1));
}

INSTANTIATE_TEST_SUITE_P(Threading, IoUringAsyncHandlerTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
