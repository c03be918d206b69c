// CopyFile and SendFile between real files, sockets and what cannot be spliced.

#include "agentos/handlers/copy_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_ring_fixture.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/operation.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr uint64_t kAll = uint64_t{1} << 62;

class CopyFileTest : public AsyncRingFixture {
 protected:
  CopyResult Copy(const std::string& from, const std::string& to, CopyOptions options = {}) {
    return ring().RunUntilComplete(CopyFile(ring(), from, to, std::move(options)));
  }
};

TEST_P(CopyFileTest, FilesOfAllSizesArriveWhole) {
  constexpr size_t kMiB = 1 << 20;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, kMiB / 8 - 1, kMiB / 8, kMiB, kMiB + 1, 5 * kMiB + 3}) {
    SCOPED_TRACE(size);
    Spill(Path("from"), Content(size));
    const CopyResult copied = Copy(Path("from"), Path("to"));
    EXPECT_TRUE(copied.status.ok()) << copied.status;
    EXPECT_EQ(copied.bytes, size);
    EXPECT_TRUE(Slurp(Path("to")) == Content(size));
  }
}

TEST_P(CopyFileTest, ProgressRisesToTheSize) {
  Spill(Path("from"), Content(3 << 20));
  uint64_t last = 0;
  CopyOptions options;
  options.chunk_size = 100'000;
  options.progress = [&](uint64_t bytes, uint64_t size) {
    EXPECT_GT(bytes, last);
    EXPECT_EQ(size, 3u << 20);
    last = bytes;
  };
  EXPECT_TRUE(Copy(Path("from"), Path("to"), options).status.ok());
  EXPECT_EQ(last, 3u << 20);
}

TEST_P(CopyFileTest, ReplacesALongerFileAndKeepsItsMode) {
  Spill(Path("from"), "short");
  Spill(Path("to"), Content(100'000));
  ASSERT_EQ(chmod(Path("to").c_str(), 0600), 0);
  EXPECT_EQ(Copy(Path("from"), Path("to"), {.durable = true}).bytes, 5u);
  EXPECT_EQ(Slurp(Path("to")), "short");
  struct stat status {};
  ASSERT_EQ(stat(Path("to").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  ASSERT_EQ(chmod(Path("from").c_str(), 0755), 0);
  EXPECT_TRUE(Copy(Path("from"), Path("new")).status.ok());
  ASSERT_EQ(stat(Path("new").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0755u);
}

TEST_P(CopyFileTest, WhatCannotBeCopiedIsAnErrorAndHarmsNothing) {
  Spill(Path("file"), "content");
  EXPECT_TRUE(absl::IsNotFound(Copy(Path("missing"), Path("to")).status));
  EXPECT_NE(access(Path("to").c_str(), F_OK), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(Copy("/tmp", Path("to")).status));
  EXPECT_FALSE(Copy(Path("file"), Path("no/such/directory")).status.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Copy(Path("file"), Path("file")).status));
  ASSERT_EQ(symlink(Path("file").c_str(), Path("link").c_str()), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(Copy(Path("file"), Path("link")).status));
  EXPECT_EQ(Slurp(Path("file")), "content");
}

TEST_P(CopyFileTest, FilesThatSayTheyAreEmptyAreCopiedToo) {
  const CopyResult copied = Copy("/proc/cpuinfo", Path("to"));
  EXPECT_TRUE(copied.status.ok()) << copied.status;
  EXPECT_GT(copied.bytes, 100u);
  EXPECT_EQ(Slurp(Path("to")).size(), copied.bytes);
}

TEST_P(CopyFileTest, WhereTheKernelCannotCopyByItselfTheBytesGoAnotherWay) {
  const std::string content = Content(1 << 20);
  Spill(Path("from"), content);
  Spill(Path("to"), "begin ");
  const Fd from(open(Path("from").c_str(), O_RDONLY | O_CLOEXEC));
  const Fd to(open(Path("to").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  const CopyResult appended = ring().RunUntilComplete(CopyRange(ring(), from.get(), 0, to.get(), 0, kAll));
  EXPECT_TRUE(appended.status.ok()) << appended.status;
  EXPECT_EQ(appended.bytes, content.size());
  EXPECT_TRUE(Slurp(Path("to")) == "begin " + content);
  // A file system of another kind than that of any directory.
  const Fd memory(memfd_create("copy", MFD_CLOEXEC));
  const CopyResult crossed = ring().RunUntilComplete(CopyRange(ring(), from.get(), 0, memory.get(), 0, kAll));
  EXPECT_TRUE(crossed.status.ok()) << crossed.status;
  EXPECT_TRUE(Slurp(absl::StrCat("/proc/self/fd/", memory.get())) == content);
}

TEST_P(CopyFileTest, AChunkMayBeLargerThanWhatOneCallMoves) {
  const std::string content = Content(1 << 20);
  Spill(Path("from"), content);
  CopyOptions options;
  options.chunk_size = ~size_t{0};
  const CopyResult copied = ring().RunUntilComplete(CopyFile(ring(), Path("from"), Path("to"), std::move(options)));
  EXPECT_TRUE(copied.status.ok()) << copied.status;
  EXPECT_TRUE(Slurp(Path("to")) == content);
  // Not by a way that is slower.
  EXPECT_GT(manager().Stats().completions_by_operation[static_cast<size_t>(OperationKind::kCopyFileRange)], 0u);
}

TEST_P(CopyFileTest, AFullDeviceIsAnErrorWithAnExactCount) {
  Spill(Path("from"), Content(1 << 20));
  const CopyResult copied = Copy(Path("from"), "/dev/full");
  EXPECT_TRUE(absl::IsResourceExhausted(copied.status)) << copied.status;
  EXPECT_EQ(copied.bytes, 0u);
}

TEST_P(CopyFileTest, AStopTokenEndsItAndTheCountIsWhatArrived) {
  constexpr size_t kSize = 8 << 20;
  Spill(Path("from"), Content(kSize));
  std::stop_source stop;
  CopyOptions options;
  options.chunk_size = 64 << 10;
  options.stop = stop.get_token();
  options.progress = [&](uint64_t bytes, uint64_t) {
    if (bytes >= 1 << 20) stop.request_stop();
  };
  const CopyResult copied = Copy(Path("from"), Path("to"), options);
  EXPECT_TRUE(absl::IsCancelled(copied.status)) << copied.status;
  EXPECT_LT(copied.bytes, kSize);
  EXPECT_TRUE(Slurp(Path("to")).substr(0, copied.bytes) == Content(kSize).substr(0, copied.bytes));
}

TEST_P(CopyFileTest, ACopyThatIsDestroyedLeavesNothingBehind) {
  Spill(Path("from"), Content(4 << 20));
  {
    Task<CopyResult> copy = CopyFile(ring(), Path("from"), Path("to"));
    bool done = false;
    const handlers_internal::RootTask root = handlers_internal::RunAsRoot(copy, done);
    for (int i = 0; i < 3; ++i) ring().RunReady();
  }
  EXPECT_TRUE(ring().RunUntilIdle().ok());
}

TEST_P(CopyFileTest, SendsAPartOfAFileToASocketInOrder) {
  const std::string content = Content(3 << 20);
  Spill(Path("from"), content);
  const Fd file(open(Path("from").c_str(), O_RDONLY | O_CLOEXEC));
  struct Part {
    int64_t offset;
    uint64_t length;
  };
  for (const Part part : {Part{0, kAll}, Part{100, 2 << 20}, Part{7, 10}, Part{1 << 20, 128 << 10}, Part{4 << 20, 10}}) {
    SCOPED_TRACE(part.offset);
    const Pair pair = MakeSocketPair(SOCK_STREAM);
    CopyResult sent;
    bool done = false;
    ring().Spawn([](Task<CopyResult> sending, CopyResult& result, bool& ended) -> Task<void> {
      result = co_await sending;
      ended = true;
    }(SendFile(ring(), file.get(), part.offset, part.length, pair.first.get()), sent, done));
    std::string received;
    while (!done || received.size() < sent.bytes) {
      ring().RunReady();
      char buffer[65536];
      const ssize_t n = recv(pair.second.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (n > 0) received.append(buffer, static_cast<size_t>(n));
    }
    const auto offset = static_cast<size_t>(part.offset);
    const std::string expected = offset > content.size() ? "" : content.substr(offset, part.length);
    EXPECT_TRUE(sent.status.ok()) << sent.status;
    EXPECT_EQ(sent.bytes, expected.size());
    EXPECT_TRUE(received == expected);
  }
}

TEST_P(CopyFileTest, APeerThatLeavesIsAnError) {
  Spill(Path("from"), Content(8 << 20));
  const Fd file(open(Path("from").c_str(), O_RDONLY | O_CLOEXEC));
  Pair pair = MakeSocketPair(SOCK_STREAM);
  const SigpipeCounter sigpipes;
  pair.second = Fd();
  const CopyResult sent = ring().RunUntilComplete(SendFile(ring(), file.get(), 0, kAll, pair.first.get()));
  EXPECT_FALSE(sent.status.ok());
  EXPECT_EQ(sigpipes.count(), 0);
}

INSTANTIATE_TEST_SUITE_P(Threading, CopyFileTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
