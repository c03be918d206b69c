// ReadStream and WriteStream on real files, pipes and sockets.

#include "agentos/handlers/file_stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_ring_fixture.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/bytes.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

struct ReadOut {
  std::string content;
  std::vector<size_t> chunks;
  absl::Status status;
};

Task<ReadOut> ReadToEnd(ReadStream& stream) {
  ReadOut all;
  for (;;) {
    const absl::StatusOr<Bytes> chunk = co_await stream.Next();
    all.status = chunk.status();
    if (!chunk.ok() || chunk->empty()) break;
    all.content.append(chunk->data(), chunk->size());
    all.chunks.push_back(chunk->size());
  }
  // And from then on.
  const absl::StatusOr<Bytes> again = co_await stream.Next();
  EXPECT_EQ(again.status(), all.status);
  if (again.ok()) {
    EXPECT_TRUE(again->empty());
  }
  co_return all;
}

class FileStreamTest : public AsyncRingFixture {
 protected:
  Fd OpenFor(const std::string& path, int flags) { return Fd(open(path.c_str(), flags | O_CLOEXEC, 0644)); }
};

TEST_P(FileStreamTest, ReadsFilesOfAllSizesInChunks) {
  for (const size_t size : {0, 1, 99, 100, 101, 1000, 12345}) {
    SCOPED_TRACE(size);
    Spill(Path("file"), Content(size));
    const Fd file = OpenFor(Path("file"), O_RDONLY);
    ReadStream stream(ring(), file.get(), {.chunk_size = 100, .read_ahead = 3});
    const ReadOut all = ring().RunUntilComplete(ReadToEnd(stream));
    EXPECT_TRUE(all.status.ok()) << all.status;
    EXPECT_EQ(all.content, Content(size));
    EXPECT_EQ(all.chunks.size(), (size + 99) / 100);
    EXPECT_EQ(stream.bytes_read(), size);
  }
}

TEST_P(FileStreamTest, ReadsAPartOfAFile) {
  Spill(Path("file"), Content(1000));
  const Fd file = OpenFor(Path("file"), O_RDONLY);
  ReadStream stream(ring(), file.get(), {.chunk_size = 64, .offset = 100, .length = 300});
  EXPECT_EQ(ring().RunUntilComplete(ReadToEnd(stream)).content, Content(1000).substr(100, 300));
  ReadStream nothing(ring(), file.get(), {.length = 0});
  EXPECT_EQ(ring().RunUntilComplete(ReadToEnd(nothing)).content, "");
  ReadStream beyond(ring(), file.get(), {.offset = 5000});
  EXPECT_EQ(ring().RunUntilComplete(ReadToEnd(beyond)).content, "");
}

TEST_P(FileStreamTest, NeverReadsFurtherAheadThanItMay) {
  Spill(Path("file"), Content(10'000));
  const Fd file = OpenFor(Path("file"), O_RDONLY);
  ReadStream stream(ring(), file.get(), {.chunk_size = 10, .read_ahead = 4});
  const auto next = [](ReadStream& from) -> Task<size_t> { co_return (co_await from.Next())->size(); };
  for (int i = 1; i <= 20; ++i) {
    EXPECT_EQ(ring().RunUntilComplete(next(stream)), 10u);
    for (int turn = 0; turn < 3; ++turn) ring().RunReady();
    EXPECT_LE(manager().Stats().total_submissions, static_cast<uint64_t>(i + 4));
  }
}

TEST_P(FileStreamTest, AFileThatShrinksEndsWhereItEnds) {
  Spill(Path("file"), Content(1000));
  const Fd file = OpenFor(Path("file"), O_RDONLY);
  ReadStream stream(ring(), file.get(), {.chunk_size = 100, .read_ahead = 1});
  const auto shrink = [](ReadStream& from, std::string path) -> Task<std::string> {
    std::string all((co_await from.Next())->view());
    EXPECT_EQ(truncate(path.c_str(), 250), 0);
    for (;;) {
      const absl::StatusOr<Bytes> chunk = co_await from.Next();
      EXPECT_TRUE(chunk.ok());
      if (chunk->empty()) co_return all;
      all.append(chunk->data(), chunk->size());
    }
  };
  // One chunk had been read ahead by then, whole.
  EXPECT_EQ(ring().RunUntilComplete(shrink(stream, Path("file"))).substr(0, 250), Content(1000).substr(0, 250));
  EXPECT_LE(stream.bytes_read(), 300u);
}

TEST_P(FileStreamTest, ReadsPipesAndSocketsUntilTheirEnd) {
  Pair pipe = MakePipe();
  ASSERT_EQ(write(pipe.second.get(), "hello", 5), 5);
  ReadStream stream(ring(), pipe.first.get(), {.chunk_size = 3});
  const auto next = [](ReadStream& from) -> Task<std::string> {
    const absl::StatusOr<Bytes> chunk = co_await from.Next();
    co_return std::string(chunk->view());
  };
  EXPECT_EQ(ring().RunUntilComplete(next(stream)), "hel");
  pipe.second = Fd();
  EXPECT_EQ(ring().RunUntilComplete(ReadToEnd(stream)).content, "lo");
}

TEST_P(FileStreamTest, AnErrorEndsItAndIsAnsweredAgain) {
  const Fd directory = OpenFor("/", O_RDONLY | O_DIRECTORY);
  ReadStream stream(ring(), directory.get());
  const ReadOut all = ring().RunUntilComplete(ReadToEnd(stream));
  EXPECT_FALSE(all.status.ok());
  EXPECT_EQ(stream.bytes_read(), 0u);
}

TEST_P(FileStreamTest, AStopTokenEndsItAsCancelled) {
  const Pair pipe = MakePipe();
  std::stop_source stop;
  ReadStream stream(ring(), pipe.first.get(), {.stop = stop.get_token()});
  ring().Sleep(absl::Milliseconds(1)).Then([&](const Done&) { stop.request_stop(); });
  EXPECT_TRUE(absl::IsCancelled(ring().RunUntilComplete(ReadToEnd(stream)).status));
}

Task<absl::Status> WriteChunks(WriteStream& stream, std::vector<std::string> chunks) {
  for (std::string& chunk : chunks) {
    if (absl::Status status = co_await stream.Write(std::move(chunk)); !status.ok()) {
      static_cast<void>(co_await stream.Finish());
      co_return status;
    }
  }
  co_return co_await stream.Finish();
}

TEST_P(FileStreamTest, WritesInOrderFromAnOffsetOn) {
  Spill(Path("file"), "0123456789");
  const Fd file = OpenFor(Path("file"), O_WRONLY);
  WriteStream stream(ring(), file.get(), {.write_behind = 2, .offset = 2});
  EXPECT_TRUE(ring().RunUntilComplete(WriteChunks(stream, {"ab", "", "cd", "e", "fghijk"})).ok());
  EXPECT_EQ(Slurp(Path("file")), "01abcdefghijk");
  EXPECT_EQ(stream.bytes_written(), 11u);
}

TEST_P(FileStreamTest, AppendsInOrder) {
  Spill(Path("file"), "begin ");
  const Fd file = OpenFor(Path("file"), O_WRONLY | O_APPEND);
  const std::string content = Content(500000);
  WriteStream stream(ring(), file.get(), {.write_behind = 16});
  const absl::Status status = ring().RunUntilComplete([](WriteStream& to, const std::string& all) -> Task<absl::Status> {
    for (size_t i = 0; i < all.size(); i += 1000) {
      if (absl::Status written = co_await to.Write(Bytes(all.substr(i, 1000))); !written.ok()) co_return written;
    }
    co_return co_await to.Finish();
  }(stream, content));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Slurp(Path("file")) == "begin " + content);
}

TEST_P(FileStreamTest, WritesToASocketInOrderAndWithBackPressure) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  WriteStream stream(ring(), pair.first.get());
  std::vector<std::string> chunks;
  std::string expected;
  for (int i = 0; i < 300; ++i) {
    chunks.push_back(std::string(10'000, static_cast<char>('a' + i % 26)));
    expected += chunks.back();
  }
  bool written = false;
  ring().Spawn([](WriteStream& to, std::vector<std::string> all, bool& done) -> Task<void> {
    EXPECT_TRUE((co_await WriteChunks(to, std::move(all))).ok());
    done = true;
  }(stream, std::move(chunks), written));
  std::string received;
  while (received.size() < expected.size()) {
    ring().RunReady();
    EXPECT_LE(ring().under_way(), 1u);
    char buffer[65536];
    const ssize_t n = recv(pair.second.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n > 0) received.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_EQ(received, expected);
  while (!written) ring().RunOnce();
  EXPECT_EQ(stream.bytes_written(), expected.size());
}

TEST_P(FileStreamTest, AnErrorIsToldOnceAndForAllAndTheCountIsExact) {
  Pair pipe = MakePipe();
  WriteStream stream(ring(), pipe.second.get());
  EXPECT_TRUE(ring().RunUntilComplete(WriteChunks(stream, {"12345"})).ok());
  pipe.first = Fd();
  const absl::Status broken = ring().RunUntilComplete(WriteChunks(stream, {"6", "7", "8"}));
  EXPECT_FALSE(broken.ok());
  EXPECT_EQ(ring().RunUntilComplete(WriteChunks(stream, {"9"})), broken);
  EXPECT_EQ(stream.bytes_written(), 5u);
}

TEST_P(FileStreamTest, OnAFullDiskTheCountIsExact) {
  // /dev/full is a device: one chunk at a time, and none of them arrives.
  const Fd full = OpenFor("/dev/full", O_WRONLY);
  WriteStream stream(ring(), full.get());
  const absl::Status status = ring().RunUntilComplete(WriteChunks(stream, {"1", "2"}));
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(stream.bytes_written(), 0u);
}

TEST_P(FileStreamTest, DestroyingStreamsStopsThem) {
  const Pair pipe = MakePipe();
  {
    ReadStream stream(ring(), pipe.first.get());
    Task<ReadOut> reading = ReadToEnd(stream);
    bool done = false;
    const handlers_internal::RootTask root = handlers_internal::RunAsRoot(reading, done);
    ring().RunReady();
    EXPECT_EQ(ring().under_way(), 1u);
  }
  EXPECT_TRUE(ring().RunUntilIdle().ok());
}

INSTANTIATE_TEST_SUITE_P(Threading, FileStreamTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
