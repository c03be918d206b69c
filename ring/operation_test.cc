#include "agentos/ring/operation.h"

#include <cstddef>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// Nothing may throw half-way through the assignment of a variant: it would hold no operation at all.
static_assert(std::is_nothrow_move_constructible_v<Operation> && std::is_nothrow_move_assignable_v<Operation>);

struct Expectation {
  Operation operation;
  OperationKind kind;
  absl::string_view name;
  int fd;
  bool io_bound;
  bool batchable;
};

std::vector<Expectation> EveryOperation() {
  constexpr int kFd = 5;
  std::vector<Expectation> all;
  const auto add = [&](Operation operation, OperationKind kind, absl::string_view name, int fd, bool io_bound, bool batchable) {
    all.push_back({std::move(operation), kind, name, fd, io_bound, batchable});
  };
  add(operation::None{}, OperationKind::kNone, "None", -1, false, false);
  add(operation::Nop{}, OperationKind::kNop, "Nop", -1, false, true);
  add(operation::ReadFile{"path"}, OperationKind::kReadFile, "ReadFile", -1, true, true);
  add(operation::WriteFile{"path", "data"}, OperationKind::kWriteFile, "WriteFile", -1, true, true);
  add(operation::Open{"path", 0, 0}, OperationKind::kOpen, "Open", -1, true, true);
  add(operation::Close{kFd}, OperationKind::kClose, "Close", kFd, false, true);
  add(operation::Read{kFd, 1, 0}, OperationKind::kRead, "Read", kFd, true, true);
  add(operation::Write{kFd, "data", 0}, OperationKind::kWrite, "Write", kFd, true, true);
  add(operation::Fsync{kFd}, OperationKind::kFsync, "Fsync", kFd, true, true);
  // The one that the kernel has no opcode for.
  add(operation::Lseek{kFd, 0, 0}, OperationKind::kLseek, "Lseek", kFd, false, false);
  add(operation::Send{kFd, "data", 0}, OperationKind::kSend, "Send", kFd, true, true);
  add(operation::Recv{kFd, 1, 0}, OperationKind::kRecv, "Recv", kFd, true, true);
  add(operation::Accept{kFd}, OperationKind::kAccept, "Accept", kFd, true, true);
  add(operation::Connect{kFd, "1.2.3.4:80"}, OperationKind::kConnect, "Connect", kFd, true, true);
  add(operation::SendTo{kFd, "data", "1.2.3.4:80", 0}, OperationKind::kSendTo, "SendTo", kFd, true, true);
  add(operation::RecvFrom{kFd, 1, 0}, OperationKind::kRecvFrom, "RecvFrom", kFd, true, true);
  // Those that go through a mailbox and not through the kernel.
  add(operation::IpcSend{7, "data"}, OperationKind::kIpcSend, "IpcSend", -1, true, false);
  add(operation::IpcRecv{1}, OperationKind::kIpcRecv, "IpcRecv", -1, true, false);
  add(operation::Statx{"path", 0, 0}, OperationKind::kStatx, "Statx", -1, true, true);
  add(operation::Rename{"from", "to", 0}, OperationKind::kRename, "Rename", -1, true, true);
  add(operation::Unlink{"path", 0}, OperationKind::kUnlink, "Unlink", -1, true, true);
  add(operation::Mkdir{"path", 0}, OperationKind::kMkdir, "Mkdir", -1, true, true);
  add(operation::Fallocate{kFd, 0, 0, 1}, OperationKind::kFallocate, "Fallocate", kFd, true, true);
  add(operation::Ftruncate{kFd, 0}, OperationKind::kFtruncate, "Ftruncate", kFd, true, true);
  add(operation::Splice{kFd, 0, kFd + 1, 0, 1, 0}, OperationKind::kSplice, "Splice", kFd, true, true);
  add(operation::Socket{1, 2, 0}, OperationKind::kSocket, "Socket", -1, false, true);
  add(operation::Shutdown{kFd, 0}, OperationKind::kShutdown, "Shutdown", kFd, false, true);
  add(operation::Poll{kFd, 1}, OperationKind::kPoll, "Poll", kFd, true, true);
  add(operation::Sleep{absl::Seconds(1)}, OperationKind::kSleep, "Sleep", -1, false, true);
  add(operation::ReadInto{kFd, ResultBufferPool::NewUnpooled(1), 1, 0}, OperationKind::kReadInto, "ReadInto", kFd, true, true);
  add(operation::RecvInto{kFd, ResultBufferPool::NewUnpooled(1), 1, 0}, OperationKind::kRecvInto, "RecvInto", kFd, true, true);
  add(operation::AcceptMany{kFd}, OperationKind::kAcceptMany, "AcceptMany", kFd, true, true);
  add(operation::RecvMany{kFd, 0}, OperationKind::kRecvMany, "RecvMany", kFd, true, true);
  add(operation::CopyFileRange{kFd, 0, kFd + 1, 0, 1}, OperationKind::kCopyFileRange, "CopyFileRange", kFd, true, true);
  return all;
}

TEST(Operation, IsOfItsKindAndBearsTheNameOfItsFactory) {
  const std::vector<Expectation> all = EveryOperation();
  ASSERT_EQ(all.size(), kOperationKinds);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(all[i].kind), i) << all[i].name;
    EXPECT_EQ(KindOf(all[i].operation), all[i].kind) << all[i].name;
    EXPECT_EQ(OperationName(all[i].kind), all[i].name);
    EXPECT_EQ(OperationName(all[i].operation), all[i].name);
  }
}

TEST(Operation, SaysHowManyBytesItMoves) {
  EXPECT_EQ(BytesOf(operation::Read{5, 100, 0}), 100u);
  EXPECT_EQ(BytesOf(operation::RecvInto{5, ResultBufferPool::NewUnpooled(8), 8, 0}), 8u);
  EXPECT_EQ(BytesOf(operation::RecvMany{5, 0}), operation::kRecvManyBytes);
  EXPECT_EQ(BytesOf(operation::Write{5, "data", 0}), 4u);
  EXPECT_EQ(BytesOf(operation::WriteFile{"path", "data"}), 4u);
  EXPECT_EQ(BytesOf(operation::Splice{5, 0, 6, 0, 77, 0}), 77u);
  EXPECT_EQ(BytesOf(operation::ReadFile{"path"}), kReadFileBytes);
  for (const size_t none : {BytesOf(operation::Nop{}), BytesOf(operation::IpcSend{7, "data"}), BytesOf(operation::IpcRecv{9}),
                            BytesOf(operation::Fallocate{5, 0, 0, 9}), BytesOf(operation::Ftruncate{5, 9})}) {
    EXPECT_EQ(none, 0u);
  }
}

TEST(Operation, HasANameOfItsOwn) {
  std::set<std::string> names;
  for (size_t i = 0; i < kOperationKinds; ++i) {
    const absl::string_view name = OperationName(static_cast<OperationKind>(i));
    EXPECT_FALSE(name.empty()) << i;
    EXPECT_TRUE(names.insert(std::string(name)).second) << name;
  }
}

TEST(Operation, NamesTheFdItWorksOn) {
  for (const Expectation& expected : EveryOperation()) EXPECT_EQ(FdOf(expected.operation), expected.fd) << expected.name;
}

TEST(Operation, WorksOnTheFdThatItNamesAndACopyOnBoth) {
  for (const Expectation& expected : EveryOperation()) {
    EXPECT_TRUE(expected.fd < 0 || WorksOn(expected.operation, expected.fd)) << expected.name;
    EXPECT_EQ(WorksOn(expected.operation, 6),
              expected.kind == OperationKind::kSplice || expected.kind == OperationKind::kCopyFileRange)
        << expected.name;
    EXPECT_FALSE(WorksOn(expected.operation, 7)) << expected.name;
  }
}

TEST(Operation, WorksOnTheDirectoryThatConfinesIt) {
  for (const Operation& operation : {Operation(operation::Open{"path", 0, 0, 5}), Operation(operation::ReadFile{"path", 5})}) {
    EXPECT_TRUE(WorksOn(operation, 5));
    EXPECT_FALSE(WorksOn(operation, 6));
    // It waits for no readiness of a directory.
    EXPECT_EQ(FdOf(operation), -1);
  }
}

TEST(Operation, HasNoFdUntilItIsGivenOne) {
  EXPECT_EQ(FdOf(operation::Read{}), -1);
  EXPECT_EQ(FdOf(operation::Close{}), -1);
}

TEST(Operation, SaysWhereItsTimeGoes) {
  for (const Expectation& expected : EveryOperation()) {
    EXPECT_EQ(IsIoBound(expected.operation), expected.io_bound) << expected.name;
  }
}

TEST(Operation, SaysWhetherTheKernelTakesItInABatch) {
  for (const Expectation& expected : EveryOperation()) {
    EXPECT_EQ(IsBatchable(expected.operation), expected.batchable) << expected.name;
  }
}

}  // namespace
}  // namespace agentos
