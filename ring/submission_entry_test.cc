#include "agentos/ring/submission_entry.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "agentos/ring/result_buffer_pool.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Entry = SyscallSubmissionEntry;

static_assert(!std::is_copy_constructible_v<Entry> && !std::is_copy_assignable_v<Entry>);
static_assert(std::is_nothrow_move_constructible_v<Entry> && std::is_nothrow_move_assignable_v<Entry>);
static_assert(std::is_nothrow_default_constructible_v<Entry>);

constexpr Pid kPid = 7;
constexpr uint64_t kUserData = 0xfedcba9876543210;

// Longer than a std::string keeps inside itself, so that its data() tells whether it was copied.
const char kLong[] = "a text that no std::string keeps inside itself, because it is far too long for that";

template <typename Op>
const Op& As(const Entry& entry) {
  const Op* op = std::get_if<Op>(&entry.operation());
  if (op != nullptr) return *op;
  ADD_FAILURE() << "the entry is a " << OperationName(entry.kind());
  static const Op none;
  return none;
}

std::vector<Entry> OneOfEach() {
  std::vector<Entry> entries;
  entries.push_back(Entry::Nop(kPid, kUserData));
  entries.push_back(Entry::ReadFile(kPid, kLong, kUserData));
  entries.push_back(Entry::WriteFile(kPid, kLong, kLong, kUserData));
  entries.push_back(Entry::Open(kPid, kLong, O_CREAT, 0644, kUserData));
  entries.push_back(Entry::Close(kPid, 3, kUserData));
  entries.push_back(Entry::Read(kPid, 3, 4096, 8192, kUserData));
  entries.push_back(Entry::Write(kPid, 3, kLong, 8192, kUserData));
  entries.push_back(Entry::Fsync(kPid, 3, kUserData));
  entries.push_back(Entry::Lseek(kPid, 3, -5, SEEK_END, kUserData));
  entries.push_back(Entry::Send(kPid, 3, kLong, MSG_MORE, kUserData));
  entries.push_back(Entry::Recv(kPid, 3, 4096, MSG_PEEK, kUserData));
  entries.push_back(Entry::Accept(kPid, 3, kUserData));
  entries.push_back(Entry::Connect(kPid, 3, kLong, kUserData));
  entries.push_back(Entry::SendTo(kPid, 3, kLong, kLong, MSG_MORE, kUserData));
  entries.push_back(Entry::RecvFrom(kPid, 3, 4096, MSG_PEEK, kUserData));
  entries.push_back(Entry::IpcSend(kPid, 8, kLong, kUserData));
  entries.push_back(Entry::IpcRecv(kPid, 4096, kUserData));
  entries.push_back(Entry::Statx(kPid, kLong, 1, 2, kUserData));
  entries.push_back(Entry::Rename(kPid, kLong, kLong, 1, kUserData));
  entries.push_back(Entry::Unlink(kPid, kLong, 1, kUserData));
  entries.push_back(Entry::Mkdir(kPid, kLong, 0755, kUserData));
  entries.push_back(Entry::Fallocate(kPid, 3, 1, 4096, 8192, kUserData));
  entries.push_back(Entry::Ftruncate(kPid, 3, 4096, kUserData));
  entries.push_back(Entry::Splice(kPid, 3, -1, 4, 5, 4096, 1, kUserData));
  entries.push_back(Entry::Socket(kPid, AF_UNIX, SOCK_STREAM, 0, kUserData));
  entries.push_back(Entry::Shutdown(kPid, 3, SHUT_WR, kUserData));
  entries.push_back(Entry::Poll(kPid, 3, 1, kUserData));
  entries.push_back(Entry::Sleep(kPid, absl::Seconds(5), kUserData));
  entries.push_back(Entry::ReadInto(kPid, 3, ResultBufferPool::NewUnpooled(8), 8, 0, kUserData));
  entries.push_back(Entry::RecvInto(kPid, 3, ResultBufferPool::NewUnpooled(8), 8, 0, kUserData));
  entries.push_back(Entry::AcceptMany(kPid, 3, kUserData));
  entries.push_back(Entry::RecvMany(kPid, 3, 0, kUserData));
  entries.push_back(Entry::CopyFileRange(kPid, 3, -1, 4, 5, 4096, kUserData));
  return entries;
}

TEST(SubmissionEntry, AsksForNothingByDefault) {
  const Entry entry;
  EXPECT_FALSE(entry.has_operation());
  EXPECT_EQ(entry.kind(), OperationKind::kNone);
  EXPECT_EQ(entry.pid(), 0u);
  EXPECT_EQ(entry.user_data(), 0u);
  const std::array<Entry, 4> places;
  for (const Entry& place : places) EXPECT_FALSE(place.has_operation());
}

TEST(SubmissionEntry, P1CarriesProcessAndUserDataOfEveryOperation) {
  const std::vector<Entry> entries = OneOfEach();
  // All but None, in the order of the kinds.
  ASSERT_EQ(entries.size(), kOperationKinds - 1);
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].kind(), static_cast<OperationKind>(i + 1));
    EXPECT_TRUE(entries[i].has_operation());
    EXPECT_EQ(entries[i].pid(), kPid);
    EXPECT_EQ(entries[i].user_data(), kUserData);
  }
}

TEST(SubmissionEntry, CarriesEveryValueOfUserDataAndPid) {
  for (uint64_t word : {uint64_t{0}, uint64_t{1}, std::numeric_limits<uint64_t>::max()}) {
    const Entry entry = Entry::Nop(std::numeric_limits<Pid>::max(), word);
    EXPECT_EQ(entry.user_data(), word);
    EXPECT_EQ(entry.pid(), std::numeric_limits<Pid>::max());
  }
}

TEST(SubmissionEntry, PutsFileOperandsWhereTheyBelong) {
  EXPECT_EQ(As<operation::ReadFile>(Entry::ReadFile(kPid, "p", 0)).path, "p");
  const Entry write_file = Entry::WriteFile(kPid, "p", "d", 0);
  EXPECT_EQ(As<operation::WriteFile>(write_file).path, "p");
  EXPECT_EQ(As<operation::WriteFile>(write_file).data.view(), "d");
  EXPECT_FALSE(As<operation::WriteFile>(write_file).options.atomic);
  EXPECT_FALSE(As<operation::WriteFile>(write_file).options.durable);
  const Entry atomic = Entry::WriteFile(kPid, "p", "d", {.atomic = true}, 5);
  EXPECT_EQ(As<operation::WriteFile>(atomic).path, "p");
  EXPECT_EQ(As<operation::WriteFile>(atomic).data.view(), "d");
  EXPECT_TRUE(As<operation::WriteFile>(atomic).options.atomic);
  EXPECT_FALSE(As<operation::WriteFile>(atomic).options.durable);
  EXPECT_EQ(atomic.user_data(), 5u);
  const Entry open_beneath = Entry::OpenBeneath(kPid, 3, "p", O_WRONLY | O_CREAT, 0600, 5);
  EXPECT_EQ(As<operation::Open>(open_beneath).beneath_fd, 3);
  EXPECT_EQ(As<operation::Open>(open_beneath).path, "p");
  EXPECT_EQ(As<operation::Open>(open_beneath).flags, O_WRONLY | O_CREAT);
  EXPECT_EQ(As<operation::Open>(open_beneath).mode, 0600u);
  EXPECT_EQ(open_beneath.user_data(), 5u);
  const Entry read_beneath = Entry::ReadFileBeneath(kPid, 3, "p", 5);
  EXPECT_EQ(As<operation::ReadFile>(read_beneath).beneath_fd, 3);
  EXPECT_EQ(As<operation::ReadFile>(read_beneath).path, "p");
  EXPECT_EQ(read_beneath.user_data(), 5u);
  const Entry write_beneath = Entry::WriteFileBeneath(kPid, 3, "p", "d", {.durable = true}, 5);
  EXPECT_EQ(As<operation::WriteFile>(write_beneath).beneath_fd, 3);
  EXPECT_EQ(As<operation::WriteFile>(write_beneath).path, "p");
  EXPECT_EQ(As<operation::WriteFile>(write_beneath).data.view(), "d");
  EXPECT_TRUE(As<operation::WriteFile>(write_beneath).options.durable);
  EXPECT_EQ(As<operation::WriteFile>(Entry::WriteFileBeneath(kPid, 3, "p", "d", 5)).beneath_fd, 3);
  // Not even by an fd that is none: Submit refuses it.
  EXPECT_EQ(As<operation::Open>(Entry::OpenBeneath(kPid, -1, "p", 0, 0, 0)).beneath_fd, -1);
  EXPECT_FALSE(As<operation::WriteFile>(write_file).beneath_fd.has_value());
  const Entry open = Entry::Open(kPid, "p", O_WRONLY | O_CREAT, 0600, 0);
  EXPECT_EQ(As<operation::Open>(open).path, "p");
  EXPECT_EQ(As<operation::Open>(open).flags, O_WRONLY | O_CREAT);
  EXPECT_EQ(As<operation::Open>(open).mode, 0600u);
  EXPECT_EQ(As<operation::Close>(Entry::Close(kPid, 3, 0)).fd, 3);
  EXPECT_EQ(As<operation::Fsync>(Entry::Fsync(kPid, 3, 0)).fd, 3);
  const Entry read = Entry::Read(kPid, 3, 4, 5, 0);
  EXPECT_EQ(As<operation::Read>(read).fd, 3);
  EXPECT_EQ(As<operation::Read>(read).size, 4u);
  EXPECT_EQ(As<operation::Read>(read).offset, 5);
  const Entry write = Entry::Write(kPid, 3, "d", 5, 0);
  EXPECT_EQ(As<operation::Write>(write).fd, 3);
  EXPECT_EQ(As<operation::Write>(write).data.view(), "d");
  EXPECT_EQ(As<operation::Write>(write).offset, 5);
  const Entry seek = Entry::Lseek(kPid, 3, -4, SEEK_END, 0);
  EXPECT_EQ(As<operation::Lseek>(seek).fd, 3);
  EXPECT_EQ(As<operation::Lseek>(seek).offset, -4);
  EXPECT_EQ(As<operation::Lseek>(seek).whence, SEEK_END);
}

TEST(SubmissionEntry, PutsSocketOperandsWhereTheyBelong) {
  const Entry send = Entry::Send(kPid, 3, "d", MSG_MORE, 0);
  EXPECT_EQ(As<operation::Send>(send).fd, 3);
  EXPECT_EQ(As<operation::Send>(send).data.view(), "d");
  EXPECT_EQ(As<operation::Send>(send).flags, MSG_MORE);
  const Entry recv = Entry::Recv(kPid, 3, 4, MSG_PEEK, 0);
  EXPECT_EQ(As<operation::Recv>(recv).fd, 3);
  EXPECT_EQ(As<operation::Recv>(recv).size, 4u);
  EXPECT_EQ(As<operation::Recv>(recv).flags, MSG_PEEK);
  EXPECT_EQ(As<operation::Accept>(Entry::Accept(kPid, 3, 0)).fd, 3);
  const Entry connect = Entry::Connect(kPid, 3, "a", 0);
  EXPECT_EQ(As<operation::Connect>(connect).fd, 3);
  EXPECT_EQ(As<operation::Connect>(connect).address, "a");
  const Entry send_to = Entry::SendTo(kPid, 3, "d", "a", MSG_MORE, 0);
  EXPECT_EQ(As<operation::SendTo>(send_to).fd, 3);
  EXPECT_EQ(As<operation::SendTo>(send_to).data.view(), "d");
  EXPECT_EQ(As<operation::SendTo>(send_to).address, "a");
  EXPECT_EQ(As<operation::SendTo>(send_to).flags, MSG_MORE);
  const Entry recv_from = Entry::RecvFrom(kPid, 3, 4, MSG_PEEK, 0);
  EXPECT_EQ(As<operation::RecvFrom>(recv_from).fd, 3);
  EXPECT_EQ(As<operation::RecvFrom>(recv_from).size, 4u);
  EXPECT_EQ(As<operation::RecvFrom>(recv_from).flags, MSG_PEEK);
}

TEST(SubmissionEntry, PutsIpcOperandsWhereTheyBelong) {
  const Entry send = Entry::IpcSend(kPid, 8, "d", 0);
  EXPECT_EQ(As<operation::IpcSend>(send).target, 8u);
  EXPECT_EQ(As<operation::IpcSend>(send).data.view(), "d");
  EXPECT_EQ(As<operation::IpcRecv>(Entry::IpcRecv(kPid, 4, 0)).size, 4u);
}

TEST(SubmissionEntry, MovesEveryOperationAndLeavesNothing) {
  for (Entry& source : OneOfEach()) {
    const OperationKind kind = source.kind();
    SCOPED_TRACE(std::string(OperationName(kind)));
    Entry made = std::move(source);
    EXPECT_FALSE(source.has_operation());
    EXPECT_EQ(made.kind(), kind);
    EXPECT_EQ(made.pid(), kPid);
    EXPECT_EQ(made.user_data(), kUserData);

    Entry assigned = Entry::ReadFile(1, kLong, 2);
    assigned = std::move(made);
    EXPECT_FALSE(made.has_operation());
    EXPECT_EQ(assigned.kind(), kind);
    EXPECT_EQ(assigned.pid(), kPid);
    EXPECT_EQ(assigned.user_data(), kUserData);

    Entry& same = assigned;
    assigned = std::move(same);
    EXPECT_EQ(assigned.kind(), kind);
  }
}

TEST(SubmissionEntry, PutsTheOperandsOfTheFurtherOperationsWhereTheyBelong) {
  const Entry statx = Entry::Statx(kPid, "p", 1, 2, 0);
  EXPECT_EQ(As<operation::Statx>(statx).path, "p");
  EXPECT_EQ(As<operation::Statx>(statx).flags, 1);
  EXPECT_EQ(As<operation::Statx>(statx).mask, 2u);
  const Entry rename = Entry::Rename(kPid, "f", "t", 1, 0);
  EXPECT_EQ(As<operation::Rename>(rename).from, "f");
  EXPECT_EQ(As<operation::Rename>(rename).to, "t");
  EXPECT_EQ(As<operation::Rename>(rename).flags, 1u);
  const Entry unlink = Entry::Unlink(kPid, "p", 1, 0);
  EXPECT_EQ(As<operation::Unlink>(unlink).path, "p");
  EXPECT_EQ(As<operation::Unlink>(unlink).flags, 1);
  const Entry mkdir = Entry::Mkdir(kPid, "p", 0700, 0);
  EXPECT_EQ(As<operation::Mkdir>(mkdir).path, "p");
  EXPECT_EQ(As<operation::Mkdir>(mkdir).mode, 0700u);
  const Entry fallocate = Entry::Fallocate(kPid, 3, 1, 4, 5, 0);
  EXPECT_EQ(As<operation::Fallocate>(fallocate).fd, 3);
  EXPECT_EQ(As<operation::Fallocate>(fallocate).mode, 1);
  EXPECT_EQ(As<operation::Fallocate>(fallocate).offset, 4);
  EXPECT_EQ(As<operation::Fallocate>(fallocate).size, 5);
  const Entry ftruncate = Entry::Ftruncate(kPid, 3, 4, 0);
  EXPECT_EQ(As<operation::Ftruncate>(ftruncate).fd, 3);
  EXPECT_EQ(As<operation::Ftruncate>(ftruncate).size, 4);
  const Entry splice = Entry::Splice(kPid, 3, 4, 5, 6, 7, 1, 0);
  EXPECT_EQ(As<operation::Splice>(splice).from_fd, 3);
  EXPECT_EQ(As<operation::Splice>(splice).from_offset, 4);
  EXPECT_EQ(As<operation::Splice>(splice).to_fd, 5);
  EXPECT_EQ(As<operation::Splice>(splice).to_offset, 6);
  EXPECT_EQ(As<operation::Splice>(splice).size, 7u);
  EXPECT_EQ(As<operation::Splice>(splice).flags, 1u);
  const Entry socket = Entry::Socket(kPid, 1, 2, 3, 0);
  EXPECT_EQ(As<operation::Socket>(socket).domain, 1);
  EXPECT_EQ(As<operation::Socket>(socket).type, 2);
  EXPECT_EQ(As<operation::Socket>(socket).protocol, 3);
  const Entry shutdown = Entry::Shutdown(kPid, 3, SHUT_WR, 0);
  EXPECT_EQ(As<operation::Shutdown>(shutdown).fd, 3);
  EXPECT_EQ(As<operation::Shutdown>(shutdown).how, SHUT_WR);
  const Entry poll = Entry::Poll(kPid, 3, 4, 0);
  EXPECT_EQ(As<operation::Poll>(poll).fd, 3);
  EXPECT_EQ(As<operation::Poll>(poll).events, 4u);
  EXPECT_EQ(As<operation::Sleep>(Entry::Sleep(kPid, absl::Seconds(5), 0)).duration, absl::Seconds(5));
}

// Some operations are moved by a way of their own: their operands must come along all the same.
TEST(SubmissionEntry, MovesTheOperandsAlong) {
  Entry read = Entry::Read(kPid, 3, 4, 5, 0);
  const Entry moved_read = std::move(read);
  EXPECT_EQ(As<operation::Read>(moved_read).fd, 3);
  EXPECT_EQ(As<operation::Read>(moved_read).size, 4u);
  EXPECT_EQ(As<operation::Read>(moved_read).offset, 5);
  Entry recv = Entry::Recv(kPid, 3, 4, MSG_PEEK, 0);
  const Entry moved_recv = std::move(recv);
  EXPECT_EQ(As<operation::Recv>(moved_recv).fd, 3);
  EXPECT_EQ(As<operation::Recv>(moved_recv).size, 4u);
  EXPECT_EQ(As<operation::Recv>(moved_recv).flags, MSG_PEEK);
  Entry connect = Entry::Connect(kPid, 3, kLong, 0);
  const Entry moved_connect = std::move(connect);
  EXPECT_EQ(As<operation::Connect>(moved_connect).fd, 3);
  EXPECT_EQ(As<operation::Connect>(moved_connect).address, kLong);
}

TEST(SubmissionEntry, AssignsEveryOperationToEveryOther) {
  for (size_t from = 0; from < kOperationKinds - 1; ++from) {
    for (size_t to = 0; to < kOperationKinds - 1; ++to) {
      std::vector<Entry> targets = OneOfEach();
      targets[to] = std::move(OneOfEach()[from]);
      EXPECT_EQ(targets[to].kind(), static_cast<OperationKind>(from + 1)) << "to " << to;
    }
  }
}

TEST(SubmissionEntry, NeverCopiesItsOperands) {
  std::string path = kLong;
  std::string data = kLong;
  const char* const path_at = path.data();
  const char* const data_at = data.data();
  Entry entry = Entry::WriteFile(kPid, std::move(path), std::move(data), 0);
  Entry moved = std::move(entry);
  Entry assigned;
  assigned = std::move(moved);
  EXPECT_EQ(As<operation::WriteFile>(assigned).path.data(), path_at);
  EXPECT_EQ(As<operation::WriteFile>(assigned).data.data(), data_at);
}

TEST(SubmissionEntry, LetsItsOperandsGoWhenClearedReplacedOrDestroyed) {
  ResultBufferPool* const pool = ResultBufferPool::Create();
  PooledBuffer buffer = pool->Acquire(4096);
  const char* const place = buffer.data();
  // The pool has this one buffer: it hands it out again exactly when the entry has let it go.
  const auto back = [&] {
    buffer = pool->Acquire(4096);
    return buffer.data() == place;
  };

  Entry entry = Entry::Send(kPid, 3, Bytes(std::move(buffer), 1), 0, 0);
  entry.Clear();
  EXPECT_FALSE(entry.has_operation());
  EXPECT_TRUE(back());

  entry = Entry::Send(kPid, 3, Bytes(std::move(buffer), 1), 0, 0);
  entry = Entry::Nop(kPid, 0);
  EXPECT_TRUE(back());

  { const Entry destroyed = Entry::Send(kPid, 3, Bytes(std::move(buffer), 1), 0, 0); }
  EXPECT_TRUE(back());

  entry = Entry::Send(kPid, 3, Bytes(std::move(buffer), 1), 0, 0);
  EXPECT_FALSE(back());
  pool->Close();
}

}  // namespace
}  // namespace agentos
