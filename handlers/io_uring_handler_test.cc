// IoUringHandler and the registry: system calls of agents, blocking and not, on real rings.

#include "agentos/handlers/io_uring_handler.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "agentos/handlers/syscall.h"
#include "agentos/handlers/syscall_handler.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// Does with each request what the test says.
class FakeHandler : public SyscallHandler {
 public:
  explicit FakeHandler(std::function<std::optional<SyscallAnswer>(Pid, const Syscall&)> handle) : handle_(std::move(handle)) {}
  std::string name() const override { return "FakeHandler"; }
  std::optional<SyscallAnswer> Handle(Pid pid, const Syscall& syscall) override { return handle_(pid, syscall); }

 private:
  std::function<std::optional<SyscallAnswer>(Pid, const Syscall&)> handle_;
};

class IoUringHandlerTest : public ManagerTest {
 protected:
  void SetUp() override {
    ManagerTest::SetUp();
    shared_ = std::shared_ptr<IoUringManager>(std::move(manager_));
  }
  void TearDown() override {
    shared_.reset();
    MakeManager(Options());
    ManagerTest::TearDown();
  }

  std::shared_ptr<IoUringManager> shared_;
};

TEST_P(IoUringHandlerTest, BlockingItAnswersWhenTheOperationHasEnded) {
  IoUringHandler handler(shared_, /*blocking=*/true);
  const std::optional<SyscallAnswer> written = handler.Handle(kPid, Syscall::WriteFile(Path("file"), "content"));
  ASSERT_TRUE(written.has_value());
  EXPECT_EQ(written->value(), 7);
  EXPECT_EQ(handler.Handle(kPid, Syscall::ReadFile(Path("file")))->data(), "content");
  const std::optional<SyscallAnswer> missing = handler.Handle(kPid, Syscall::ReadFile(Path("missing")));
  EXPECT_EQ(missing->error_number(), ENOENT);
  EXPECT_NE(missing->message().find("missing"), absl::string_view::npos);
  EXPECT_EQ(handler.Handle(kPid, Syscall::Read(-1, 10, 0))->error_number(), EINVAL);
}

TEST_P(IoUringHandlerTest, NonBlockingItAnswersWithATaskThatIsPolledAndWaitedFor) {
  IoUringHandler handler(shared_, /*blocking=*/false);
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  const std::optional<SyscallAnswer> answer = handler.Handle(kPid, Syscall::Recv(pair.first.get(), 10, 0));
  ASSERT_TRUE(answer.has_value() && answer->is_pending());
  EXPECT_FALSE(handler.Poll(kPid, answer->task()).has_value());
  EXPECT_TRUE(handler.Wait(kPid, answer->task(), absl::ZeroDuration()).is_pending());
  ASSERT_EQ(send(pair.second.get(), "hello", 5, 0), 5);
  EXPECT_EQ(handler.Wait(kPid, answer->task()).data(), "hello");
  // Given once.
  EXPECT_TRUE(handler.Poll(kPid, answer->task())->is_error());
  EXPECT_TRUE(handler.Wait(kPid, 12345).is_error());
}

TEST_P(IoUringHandlerTest, ATaskCanBeCancelled) {
  IoUringHandler handler(shared_, /*blocking=*/false);
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  const std::optional<SyscallAnswer> answer = handler.Handle(kPid, Syscall::Recv(pair.first.get(), 10, 0));
  ASSERT_TRUE(handler.Cancel(kPid, answer->task()).ok());
  EXPECT_EQ(handler.Wait(kPid, answer->task()).error_number(), ECANCELED);
}

TEST_P(IoUringHandlerTest, TakesIoBoundOperationsAndPassesTheRestOn) {
  IoUringHandler handler(shared_, /*blocking=*/true);
  EXPECT_FALSE(handler.Handle(kPid, Syscall::Sleep(absl::Seconds(1))).has_value());
  EXPECT_FALSE(handler.Handle(kPid, Syscall::Close(ClosedFd())).has_value());
  EXPECT_FALSE(handler.Handle(kPid, Syscall::GetProcessInfo(kPid)).has_value());
  EXPECT_FALSE(handler.Handle(kPid, Syscall::Named("Llm", "")).has_value());
  IoUringHandler all(shared_, /*blocking=*/true, TakenOperations::kAll);
  EXPECT_EQ(all.Handle(kPid, Syscall::Close(ClosedFd()))->error_number(), EBADF);
  EXPECT_TRUE(all.Handle(kPid, Syscall::Sleep(absl::Milliseconds(1)))->is_success());
  EXPECT_FALSE(all.Handle(kPid, Syscall::GetProcessInfo(kPid)).has_value());
}

TEST_P(IoUringHandlerTest, TheRegistryAsksInOrder) {
  SyscallHandlerRegistry registry;
  registry
      .Register(std::make_shared<FakeHandler>([](Pid pid, const Syscall& syscall) -> std::optional<SyscallAnswer> {
        if (pid == 666) return SyscallAnswer::PermissionDenied("666 may do nothing");
        if (syscall.process_info() != nullptr) return SyscallAnswer::Success(syscall.process_info()->about);
        return std::nullopt;
      }))
      .Register(nullptr)
      .Register(std::make_shared<IoUringHandler>(shared_, /*blocking=*/true));
  EXPECT_EQ(registry.size(), 2u);
  EXPECT_TRUE(registry.Handle(666, Syscall::ReadFile("/etc/hostname")).is_permission_denied());
  EXPECT_EQ(registry.Handle(kPid, Syscall::GetProcessInfo(3)).value(), 3);
  EXPECT_TRUE(registry.Handle(kPid, Syscall::WriteFile(Path("file"), "x")).is_success());
  const SyscallAnswer nobody = registry.Handle(kPid, Syscall::Named("Llm", "prompt"));
  EXPECT_EQ(nobody.error_number(), ENOSYS);
  EXPECT_EQ(nobody.message(), "no handler takes Llm; asked: FakeHandler, IoUringHandler");
}

TEST_P(IoUringHandlerTest, ARegistryWithoutHandlersSaysSo) {
  const SyscallAnswer answer = SyscallHandlerRegistry().Handle(kPid, Syscall::ReadFile("/p"));
  EXPECT_EQ(answer.error_number(), ENOSYS);
  EXPECT_EQ(answer.message(), "no handler takes ReadFile; none is registered");
}

TEST_P(IoUringHandlerTest, AHandlerThatThrowsIsAnErrorThatNamesIt) {
  SyscallHandlerRegistry registry;
  registry.Register(std::make_shared<FakeHandler>([](Pid, const Syscall& syscall) -> std::optional<SyscallAnswer> {
    if (syscall.name() == "odd") throw 5;
    throw std::runtime_error("broken");
  }));
  const SyscallAnswer answer = registry.Handle(kPid, Syscall::ReadFile("/p"));
  EXPECT_EQ(answer.error_number(), EIO);
  EXPECT_EQ(answer.message(), "the handler FakeHandler threw at ReadFile: broken");
  EXPECT_TRUE(registry.Handle(kPid, Syscall::Named("odd", "")).is_error());
}

TEST_P(IoUringHandlerTest, ManyThreadsCallABlockingHandler) {
  if (GetParam() == Threading::kOneThread) GTEST_SKIP() << "one thread makes all calls";
  IoUringHandler handler(shared_, /*blocking=*/true);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string path = Path(std::to_string(t) + "-" + std::to_string(i));
        EXPECT_TRUE(handler.Handle(kPid, Syscall::WriteFile(path, path))->is_success());
        EXPECT_EQ(handler.Handle(kPid, Syscall::ReadFile(path))->data(), path);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Threading, IoUringHandlerTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
