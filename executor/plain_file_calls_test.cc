#include "agentos/executor/plain_file_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/result_buffer_pool.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

size_t CountOpenFds() {
  size_t count = 0;
  DIR* dir = opendir("/proc/self/fd");
  while (readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count;
}

// Content in which no part equals another of the same length, so that a piece in the wrong place shows.
std::string Content(size_t size) {
  std::string content(size, '\0');
  for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>((i * 131 + (i >> 8) * 17 + (i >> 16)) & 0xff);
  return content;
}

// What another program would find.
std::string Slurp(const std::string& path) {
  std::string content;
  FILE* file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return "<no file>";
  char part[4096];
  for (size_t got; (got = std::fread(part, 1, sizeof(part), file)) > 0;) content.append(part, got);
  std::fclose(file);
  return content;
}

void Spill(const std::string& path, const std::string& content) {
  FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fwrite(content.data(), 1, content.size(), file), content.size());
  ASSERT_EQ(std::fclose(file), 0);
}

// A directory for each test, and a check that no descriptor stays open.
class PlainFileCallsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/plain_file_calls_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    fds_before_ = CountOpenFds();
  }
  void TearDown() override {
    EXPECT_EQ(CountOpenFds(), fds_before_);
    ASSERT_EQ(std::system(absl::StrCat("rm -r '", directory_, "'").c_str()), 0);
  }

  std::string Path(absl::string_view name) const { return absl::StrCat(directory_, "/", name); }

  static FileCallResult Read(const std::string& path, size_t max_size = kNoLimit, size_t first_buffer = kFirstReadSize) {
    return ReadWholeFile({.path = path.c_str()}, max_size, ResultBufferPool::NewUnpooled(first_buffer));
  }
  static FileCallResult Write(const std::string& path, absl::string_view data) {
    return WriteWholeFile({.path = path.c_str()}, data);
  }

  static void ExpectError(const FileCallResult& result, int error_number) {
    EXPECT_EQ(result.error_number, error_number);
    EXPECT_EQ(result.data.size(), 0u);
  }

  static void ExpectContent(const FileCallResult& result, const std::string& content) {
    EXPECT_EQ(result.error_number, 0);
    EXPECT_EQ(result.value, static_cast<int64_t>(content.size()));
    EXPECT_TRUE(result.data.view() == content) << "of " << content.size() << " bytes";
  }

  std::string directory_;
  size_t fds_before_ = 0;
};

TEST_F(PlainFileCallsTest, P12ReadsFilesOfEverySizeAroundTheBuffers) {
  for (const size_t buffer : {size_t{4096}, kFirstReadSize}) {
    for (const size_t size : {size_t{0}, size_t{1}, buffer - 1, buffer, buffer + 1, buffer + 4095, buffer + 4096, buffer + 4097,
                              2 * buffer, 2 * buffer + 1, size_t{5'000'000}}) {
      const std::string content = Content(size);
      Spill(Path("file"), content);
      ExpectContent(Read(Path("file"), kNoLimit, buffer), content);
    }
  }
}

TEST_F(PlainFileCallsTest, P12FileThatFitsStaysInTheGivenBuffer) {
  Spill(Path("file"), Content(4096));
  PooledBuffer buffer = ResultBufferPool::NewUnpooled(4096);
  const char* memory = buffer.data();
  const FileCallResult result = ReadWholeFile({.path = Path("file").c_str()}, kNoLimit, std::move(buffer));
  ExpectContent(result, Content(4096));
  EXPECT_EQ(result.data.data(), memory);
}

TEST_F(PlainFileCallsTest, P12ReadsWithoutAGivenBuffer) {
  Spill(Path("file"), Content(100'000));
  ExpectContent(ReadWholeFile({.path = Path("file").c_str()}, kNoLimit, PooledBuffer()), Content(100'000));
}

TEST_F(PlainFileCallsTest, P12LimitIsInclusive) {
  for (const size_t limit : {size_t{0}, size_t{10}, size_t{4095}, size_t{4096}, size_t{8192}, size_t{100'000}}) {
    SCOPED_TRACE(limit);
    Spill(Path("file"), Content(limit));
    ExpectContent(Read(Path("file"), limit, 4096), Content(limit));
    Spill(Path("file"), Content(limit + 1));
    ExpectError(Read(Path("file"), limit, 4096), EFBIG);
  }
}

TEST_F(PlainFileCallsTest, P12FileFarAboveTheLimitIsNotReadToFindOut) {
  Spill(Path("file"), "");
  ASSERT_EQ(truncate(Path("file").c_str(), int64_t{1} << 36), 0);
  const FileCallResult result = Read(Path("file"), int64_t{1} << 35);
  ExpectError(result, EFBIG);
  EXPECT_LT(result.value, 1 << 20);
}

TEST_F(PlainFileCallsTest, P12ReadsProcFilesThatSayZero) {
  const FileCallResult status = Read("/proc/self/status");
  EXPECT_EQ(status.error_number, 0);
  EXPECT_NE(status.data.view().find("\nPid:\t"), absl::string_view::npos);
  EXPECT_EQ(status.value, static_cast<int64_t>(status.data.size()));
  ExpectError(Read("/proc/self/status", 100), EFBIG);
}

TEST_F(PlainFileCallsTest, P12ReadsProcFileLargerThanTheFirstBuffer) {
  // Every other page with another protection makes a line of each in /proc/self/maps.
  constexpr size_t kPages = 6000;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* area = mmap(nullptr, kPages * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(area, MAP_FAILED);
  for (size_t i = 0; i < kPages; i += 2) ASSERT_EQ(mprotect(static_cast<char*>(area) + i * page, page, PROT_NONE), 0);

  const FileCallResult result = Read("/proc/self/maps");
  EXPECT_EQ(result.error_number, 0);
  EXPECT_GT(result.data.size(), kFirstReadSize);
  // Lines in order without a gap or an overlap prove that no piece is lost or doubled.
  const absl::string_view text = result.data.view();
  ASSERT_TRUE(!text.empty() && text.back() == '\n');
  const uintptr_t first = reinterpret_cast<uintptr_t>(area);
  size_t lines_of_area = 0;
  uint64_t end_before = 0;
  for (absl::string_view line : absl::StrSplit(text.substr(0, text.size() - 1), '\n')) {
    unsigned long start = 0;
    unsigned long end = 0;
    ASSERT_EQ(std::sscanf(std::string(line).c_str(), "%lx-%lx ", &start, &end), 2) << line;
    ASSERT_GE(start, end_before);
    ASSERT_GT(end, start);
    end_before = end;
    if (start >= first && end <= first + kPages * page) ++lines_of_area;
  }
  EXPECT_GE(lines_of_area, kPages - 2);
  munmap(area, kPages * page);
}

TEST_F(PlainFileCallsTest, P12ReadsSysfsFileThatSaysAPage) {
  const std::string path = "/sys/kernel/mm/transparent_hugepage/enabled";
  struct stat status;
  if (stat(path.c_str(), &status) != 0) GTEST_SKIP() << "no " << path;
  const std::string content = Slurp(path);
  ASSERT_LT(content.size(), static_cast<size_t>(status.st_size));
  ExpectContent(Read(path), content);
  // Above what the first buffer takes its size becomes a hint, which must not be believed either: neither for the memory nor as a
  // proof that it is too large.
  ASSERT_GT(content.size(), 16u);
  ExpectContent(Read(path, kNoLimit, 16), content);
  ExpectContent(Read(path, content.size(), 16), content);
  ExpectError(Read(path, content.size() - 1, 16), EFBIG);
}

TEST_F(PlainFileCallsTest, P12ReadsAFileThatGrowsMeanwhile) {
  constexpr size_t kStart = 200'000;
  constexpr size_t kEnd = 8'000'000;
  const std::string content = Content(kEnd);
  for (int round = 0; round < 5; ++round) {
    Spill(Path("file"), content.substr(0, kStart));
    std::atomic<bool> begun{false};
    std::thread appender([&] {
      const int fd = open(Path("file").c_str(), O_WRONLY | O_APPEND);
      for (size_t at = kStart; at < kEnd; at += 10'000) {
        if (write(fd, content.data() + at, 10'000) != 10'000) break;
        begun = true;
        begun.notify_one();
      }
      close(fd);
    });
    begun.wait(false);
    const FileCallResult result = Read(Path("file"));
    appender.join();
    EXPECT_EQ(result.error_number, 0);
    EXPECT_GE(result.data.size(), kStart + 10'000);
    EXPECT_TRUE(content.substr(0, result.data.size()) == result.data.view());
  }
}

TEST_F(PlainFileCallsTest, P12ReadsAFileThatShrinksMeanwhile) {
  const std::string content = Content(3'000'000);
  for (int round = 0; round < 2; ++round) {
    Spill(Path("file"), content);
    std::atomic<bool> begun{false};
    std::thread shortener([&] {
      for (off_t size = 3'000'000; size > 0; size -= 30'000) {
        if (truncate(Path("file").c_str(), size) != 0) break;
        begun = true;
        begun.notify_one();
      }
    });
    begun.wait(false);
    const FileCallResult result = Read(Path("file"));
    shortener.join();
    EXPECT_EQ(result.error_number, 0);
    ASSERT_LE(result.data.size(), content.size());
    // The kernel clears the rest of the page at the new end, which a read that is just there may see.
    size_t wrong = 0;
    for (size_t i = 0; i < result.data.size(); ++i) {
      const char byte = result.data.data()[i];
      if (byte != content[i] && byte != '\0') ++wrong;
    }
    EXPECT_EQ(wrong, 0u);
  }
}

TEST_F(PlainFileCallsTest, P12FifoWithoutWriterIsEmpty) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  ExpectContent(Read(Path("fifo")), "");
}

TEST_F(PlainFileCallsTest, P12FifoWithSilentWriterIsEagain) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  const int writer = open(Path("fifo").c_str(), O_RDWR);
  ExpectError(Read(Path("fifo")), EAGAIN);
  ASSERT_EQ(write(writer, "abc", 3), 3);
  const FileCallResult result = Read(Path("fifo"));
  ExpectError(result, EAGAIN);
  EXPECT_EQ(result.value, 3);
  close(writer);
}

TEST_F(PlainFileCallsTest, P12ErrorsOfOpenAndRead) {
  ASSERT_EQ(symlink(Path("nowhere").c_str(), Path("dangling").c_str()), 0);
  ASSERT_EQ(symlink(Path("loop").c_str(), Path("loop").c_str()), 0);
  Spill(Path("file"), "x");
  ExpectError(Read(directory_), EISDIR);
  ExpectError(Read(Path("missing")), ENOENT);
  ExpectError(Read(Path("dangling")), ENOENT);
  ExpectError(Read(Path("loop")), ELOOP);
  ExpectError(Read(Path("file/below")), ENOTDIR);
  ExpectError(Read(Path(std::string(300, 'n'))), ENAMETOOLONG);
  ExpectError(Read(""), ENOENT);
  ExpectError(Write(directory_, "x"), EISDIR);
  ExpectError(Write(Path("missing/file"), "x"), ENOENT);
  ExpectError(Write(Path("file/below"), "x"), ENOTDIR);
  EXPECT_EQ(Slurp(Path("file")), "x");
}

TEST_F(PlainFileCallsTest, P12PermissionDenied) {
  Spill(Path("file"), "x");
  ASSERT_EQ(chmod(Path("file").c_str(), 0), 0);
  // Root may read everything.
  constexpr uid_t kNobody = 65534;
  const uid_t user = geteuid();
  if (user == 0 && seteuid(kNobody) != 0) GTEST_SKIP() << "root cannot become another user here";
  const FileCallResult read = Read(Path("file"));
  const FileCallResult written = Write(Path("file"), "y");
  ASSERT_EQ(seteuid(user), 0);
  ExpectError(read, EACCES);
  ExpectError(written, EACCES);
}

TEST_F(PlainFileCallsTest, P12OutOfDescriptorsIsEmfile) {
  Spill(Path("file"), "x");
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = dup(0);
  close(lowest_free);
  const rlimit none = {static_cast<rlim_t>(lowest_free), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const FileCallResult read = Read(Path("file"));
  const FileCallResult written = Write(Path("file"), "y");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ExpectError(read, EMFILE);
  ExpectError(written, EMFILE);
  EXPECT_EQ(Slurp(Path("file")), "x");
}

TEST_F(PlainFileCallsTest, P12OutOfMemoryIsEnomem) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator ends the process instead";
  Spill(Path("file"), "");
  ASSERT_EQ(truncate(Path("file").c_str(), int64_t{1} << 30), 0);
  unsigned long pages = 0;
  ASSERT_EQ(std::sscanf(Slurp("/proc/self/statm").c_str(), "%lu", &pages), 1);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  const rlimit little = {pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{16} << 20), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &little), 0);
  const FileCallResult result = Read(Path("file"));
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  ExpectError(result, ENOMEM);
}

TEST_F(PlainFileCallsTest, WritesAndReadsBack) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{3'000'000}}) {
    const std::string content = Content(size);
    const FileCallResult result = Write(Path(absl::StrCat("file", size)), content);
    EXPECT_EQ(result.error_number, 0);
    EXPECT_EQ(result.value, static_cast<int64_t>(size));
    EXPECT_TRUE(Slurp(Path(absl::StrCat("file", size))) == content);
    ExpectContent(Read(Path(absl::StrCat("file", size))), content);
  }
}

TEST_F(PlainFileCallsTest, WriteTruncatesALongerFile) {
  Spill(Path("file"), Content(10'000));
  EXPECT_EQ(Write(Path("file"), "short").value, 5);
  EXPECT_EQ(Slurp(Path("file")), "short");
}

TEST_F(PlainFileCallsTest, WriteCreatesWith0644AndTheUmask) {
  const mode_t before = umask(0);
  EXPECT_EQ(Write(Path("open"), "x").error_number, 0);
  umask(027);
  EXPECT_EQ(Write(Path("masked"), "x").error_number, 0);
  umask(before);
  struct stat status;
  ASSERT_EQ(stat(Path("open").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644u);
  ASSERT_EQ(stat(Path("masked").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST_F(PlainFileCallsTest, WriteReportsAFullDevice) {
  const FileCallResult result = Write("/dev/full", "x");
  ExpectError(result, ENOSPC);
  EXPECT_EQ(result.value, 0);
}

TEST_F(PlainFileCallsTest, WriteThatFailsHalfWayCountsWhatWent) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler_before = signal(SIGXFSZ, SIG_IGN);
  const rlimit little = {60'000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &little), 0);
  const FileCallResult result = Write(Path("file"), Content(100'000));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler_before);
  ExpectError(result, EFBIG);
  EXPECT_EQ(result.value, 60'000);
  EXPECT_TRUE(Slurp(Path("file")) == Content(60'000));
}

TEST_F(PlainFileCallsTest, WriteToFifoNeverHangs) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  ExpectError(Write(Path("fifo"), "x"), ENXIO);

  const int reader = open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK);
  const FileCallResult fits = Write(Path("fifo"), "hello");
  EXPECT_EQ(fits.error_number, 0);
  char text[5];
  EXPECT_EQ(read(reader, text, 5), 5);
  const FileCallResult too_much = Write(Path("fifo"), Content(10'000'000));
  ExpectError(too_much, EAGAIN);
  EXPECT_GT(too_much.value, 0);
  close(reader);
}

TEST_F(PlainFileCallsTest, P14WriteToAFifoWhoseReaderLeavesRaisesNoSignal) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  const std::string path = Path("fifo");
  std::atomic<bool> done{false};
  // A reader that comes and goes: sooner or later it goes between the writer's open and its write.
  std::thread reader([&] {
    while (!done) close(open(path.c_str(), O_RDONLY | O_NONBLOCK));
  });
  size_t broken = 0;
  for (int i = 0; i < 1'000'000 && broken == 0; ++i) {
    const FileCallResult result = Write(path, "x");
    if (result.error_number == EPIPE) {
      ++broken;
    } else if (result.error_number != 0 && result.error_number != ENXIO) {
      ADD_FAILURE() << result.error_number;
      break;
    }
  }
  done = true;
  reader.join();
  EXPECT_EQ(broken, 1u);
  sigset_t pending;
  sigset_t blocked;
  ASSERT_EQ(sigpending(&pending), 0);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &blocked), 0);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
  EXPECT_EQ(sigismember(&blocked, SIGPIPE), 0);
}

// A lease makes an open with O_NONBLOCK fail with EAGAIN, which is none of the caller's concern.
TEST_F(PlainFileCallsTest, P13WaitsForALeaseToBeGivenBack) {
  Spill(Path("file"), "leased");
  sigset_t io;
  sigemptyset(&io);
  sigaddset(&io, SIGIO);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &io, nullptr), 0);
  for (const bool write : {false, true}) {
    const int holder = open(Path("file").c_str(), O_RDWR);
    if (fcntl(holder, F_SETLEASE, F_WRLCK) != 0) {
      close(holder);
      GTEST_SKIP() << "this file system has no leases";
    }
    FileCallResult result;
    std::thread opener([&] { result = write ? Write(Path("file"), "anew") : Read(Path("file")); });
    int number = 0;
    EXPECT_EQ(sigwait(&io, &number), 0);
    EXPECT_EQ(fcntl(holder, F_SETLEASE, F_UNLCK), 0);
    opener.join();
    close(holder);
    EXPECT_EQ(result.error_number, 0);
    EXPECT_EQ(result.data.view(), write ? "" : "leased");
  }
  EXPECT_EQ(Slurp(Path("file")), "anew");
}

TEST_F(PlainFileCallsTest, TruncatesAsThePlainCallAndReportsItsErrors) {
  Spill(Path("file"), "0123456789");
  const int fd = open(Path("file").c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_EQ(TruncateFile(fd, 4).error_number, 0);
  EXPECT_EQ(Slurp(Path("file")), "0123");
  EXPECT_EQ(TruncateFile(fd, 5).error_number, 0);
  EXPECT_EQ(Slurp(Path("file")), std::string("0123\0", 5));
  EXPECT_EQ(TruncateFile(fd, -1).error_number, EINVAL);
  close(fd);
  EXPECT_EQ(TruncateFile(fd, 0).error_number, EBADF);
}

}  // namespace
}  // namespace agentos
