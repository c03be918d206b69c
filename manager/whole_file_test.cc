// ReadFile and WriteFile through the manager: P12 on both ways that a whole file may take, the kernel's chain and the workers.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// The kernel's chain reads so much; a larger file goes to a worker (operations.h).
constexpr size_t kChainReads = 61440;

class WholeFileTest : public ManagerTest {
 protected:
  void ExpectContent(const Done& done, absl::string_view content) {
    EXPECT_TRUE(Succeeded(done, static_cast<int64_t>(content.size())));
    EXPECT_TRUE(done.result.data() == content) << "differs from the " << content.size() << " bytes of the file";
  }

  // So many that the kernel and the workers share them.
  static std::vector<Entry> ReadsOf(const std::string& path, size_t count) {
    std::vector<Entry> entries;
    for (size_t i = 0; i < count; ++i) entries.push_back(Entry::ReadFile(kPid, path, i));
    return entries;
  }
};

TEST_P(WholeFileTest, P12ReadsFilesOfEverySizeAroundTheFirstBuffer) {
  for (size_t size :
       {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, kChainReads - 1, kChainReads, kChainReads + 1,
        size_t{65535}, size_t{65536}, size_t{65537}, size_t{131072}, size_t{131073}, size_t{20'000'001}}) {
    SCOPED_TRACE(size);
    const std::string content = Content(size);
    Spill(Path("file"), content);
    ExpectContent(Run(Entry::ReadFile(kPid, Path("file"), 0)), content);
  }
}

TEST_P(WholeFileTest, P12BytesThatAreTakenAreTheSame) {
  for (size_t size : {size_t{100}, size_t{50'000}, size_t{300'000}}) {
    SCOPED_TRACE(size);
    Spill(Path("file"), Content(size));
    Done first = Run(Entry::ReadFile(kPid, Path("file"), 0));
    EXPECT_TRUE(first.result.TakeData() == Content(size));
    Done second = Run(Entry::ReadFile(kPid, Path("file"), 0));
    EXPECT_TRUE(second.result.TakeBytes().view() == Content(size));
  }
}

TEST_P(WholeFileTest, P12ReadsFilesWhoseSizeIsNoHint) {
  for (const char* path :
       {"/proc/version", "/proc/filesystems", "/proc/self/limits", "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/devices/system/cpu/online", "/proc/sys/kernel/ostype"}) {
    SCOPED_TRACE(path);
    if (access(path, R_OK) != 0) continue;
    const std::string content = Slurp(path);
    EXPECT_FALSE(content.empty());
    ExpectContent(Run(Entry::ReadFile(kPid, path, 0)), content);
  }
  // Larger than the first buffer, and read in pieces by the kernel.
  const std::string symbols = Slurp("/proc/kallsyms");
  if (symbols.size() > 100'000) ExpectContent(Run(Entry::ReadFile(kPid, "/proc/kallsyms", 0)), symbols);
  EXPECT_TRUE(Succeeded(Run(Entry::ReadFile(kPid, "/dev/null", 0)), 0));
}

TEST_P(WholeFileTest, P12FollowsSymbolicLinksAndReadsSparseFiles) {
  Spill(Path("file"), "behind the link");
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  ExpectContent(Run(Entry::ReadFile(kPid, Path("link"), 0)), "behind the link");
  Spill(Path("sparse"), "");
  ASSERT_EQ(truncate(Path("sparse").c_str(), 1'000'000), 0);
  ExpectContent(Run(Entry::ReadFile(kPid, Path("sparse"), 0)), std::string(1'000'000, '\0'));
}

TEST_P(WholeFileTest, P12TheLimitIsInclusiveAndBeyondItIsEFBIG) {
  Pid pid = 100;
  for (size_t limit : {size_t{1}, size_t{4095}, kChainReads - 1, kChainReads, kChainReads + 1, size_t{65536}, size_t{200'000}}) {
    SCOPED_TRACE(limit);
    RingOptions options;
    options.max_file_size = limit;
    ASSERT_TRUE(manager().CreateRing(++pid, options).ok());
    Spill(Path("file"), Content(limit));
    ExpectContent(Run(Entry::ReadFile(pid, Path("file"), 0), pid), Content(limit));
    for (size_t more : {size_t{1}, size_t{100'000}}) {
      Spill(Path("file"), Content(limit + more));
      const Done done = Run(Entry::ReadFile(pid, Path("file"), 0), pid);
      EXPECT_TRUE(FailedWith(done, EFBIG));
      EXPECT_TRUE(absl::IsResourceExhausted(done.status.ToStatus()));
      EXPECT_TRUE(done.result.data().empty());
    }
  }
  RingOptions options;
  options.max_file_size = 5;
  ASSERT_TRUE(manager().CreateRing(++pid, options).ok());
  EXPECT_TRUE(FailedWith(Run(Entry::ReadFile(pid, "/proc/version", 0), pid), EFBIG));
}

TEST_P(WholeFileTest, P12AFileFarAboveTheLimitIsNotReadToFindOut) {
  Spill(Path("file"), "");
  ASSERT_EQ(truncate(Path("file").c_str(), int64_t{1} << 40), 0);
  EXPECT_TRUE(FailedWith(Run(Entry::ReadFile(kPid, Path("file"), 0)), EFBIG));
}

TEST_P(WholeFileTest, P12AFileThatGrowsIsAPrefixAndNoShorterThanItWas) {
  const std::string content = Content(2'000'000);
  for (size_t at_first : {size_t{0}, size_t{60'000}, size_t{500'000}}) {
    SCOPED_TRACE(at_first);
    Spill(Path("file"), absl::string_view(content).substr(0, at_first));
    std::atomic<size_t> written{at_first};
    std::thread writer([&] {
      const Fd fd(open(Path("file").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
      while (written < content.size()) {
        const size_t part = std::min<size_t>(10'007, content.size() - written);
        if (write(fd.get(), content.data() + written, part) != static_cast<ssize_t>(part)) break;
        written += part;
      }
    });
    for (bool whole = false; !whole;) {
      const size_t before = written;
      const Done done = Run(Entry::ReadFile(kPid, Path("file"), 0));
      EXPECT_TRUE(Succeeded(done));
      EXPECT_GE(done.result.data().size(), before);
      EXPECT_TRUE(done.result.data() == absl::string_view(content).substr(0, done.result.data().size()));
      whole = before == content.size() || HasFailure();
    }
    writer.join();
  }
}

TEST_P(WholeFileTest, P12AFileThatShrinksIsAPrefix) {
  const std::string content = Content(500'000);
  std::atomic<bool> stop{false};
  Spill(Path("file"), content);
  std::thread cutter([&] {
    const Fd fd(open(Path("file").c_str(), O_RDWR | O_CLOEXEC));
    while (!stop) {
      for (off_t size : {400'000, 65'536, 61'440, 1000, 0}) EXPECT_EQ(ftruncate(fd.get(), size), 0);
      EXPECT_EQ(pwrite(fd.get(), content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
    }
  });
  for (int i = 0; i < 300 && !HasFailure(); ++i) {
    const Done done = Run(Entry::ReadFile(kPid, Path("file"), 0));
    EXPECT_TRUE(Succeeded(done));
    // Cut and refilled between two reads, a part may be zeros or belong to a later filling: each byte has its value or none.
    const absl::string_view data = done.result.data();
    EXPECT_LE(data.size(), content.size());
    size_t wrong = 0;
    for (size_t k = 0; k < data.size(); ++k) wrong += data[k] == content[k] || data[k] == '\0' ? 0 : 1;
    EXPECT_EQ(wrong, 0u);
  }
  stop = true;
  cutter.join();
}

TEST_P(WholeFileTest, P12AFifoWithoutAWriterIsEmpty) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  for (const Done& done : RunBatch(ReadsOf(Path("fifo"), 20))) EXPECT_TRUE(Succeeded(done, 0));
}

TEST_P(WholeFileTest, P12WhatIsNoReadableFileIsAnErrorThatNamesIt) {
  Spill(Path("file"), "");
  ASSERT_EQ(symlink("loop", Path("loop").c_str()), 0);
  const struct {
    std::string path;
    int error_number;
  } kCases[] = {{Path(""), EISDIR},
                {Path("missing"), ENOENT},
                {Path("file/below"), ENOTDIR},
                {Path("loop"), ELOOP},
                {Path(std::string(256, 'n')), ENAMETOOLONG}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.path);
    const Done done = Run(Entry::ReadFile(kPid, c.path, 3));
    EXPECT_TRUE(FailedWith(done, c.error_number));
    EXPECT_EQ(done.user_data, 3u);
    EXPECT_TRUE(done.result.data().empty());
    EXPECT_TRUE(absl::StrContains(done.status.error_message(), "ReadFile"));
    EXPECT_TRUE(absl::StrContains(done.status.error_message(), c.path));
  }
}

// Large enough that the kernel and the workers share it; a kernel ring that holds two chains at once makes it come in pieces.
TEST_P(WholeFileTest, P12ABatchOfHundredsOfFilesGivesEachItsOwnContent) {
  constexpr size_t kFiles = 300;
  std::vector<std::string> contents;
  for (size_t i = 0; i < kFiles; ++i) {
    contents.push_back(absl::StrCat("file ", i, Content(i % 7 == 0 ? 70'000 + i : i * 31)));
    Spill(Path(absl::StrCat(i)), contents.back());
  }
  for (size_t kernel_ring_entries : {size_t{256}, size_t{8}}) {
    SCOPED_TRACE(kernel_ring_entries);
    IoUringManagerOptions options = Options();
    options.kernel_ring_entries = kernel_ring_entries;
    options.file_workers = 2;
    MakeManager(options);
    RingOptions ring;
    ring.sq_size = kFiles;
    ring.cq_size = kFiles;
    ASSERT_TRUE(manager().CreateRing(kPid, ring).ok());
    for (int round = 0; round < 3; ++round) {
      std::vector<Entry> entries;
      for (size_t i = 0; i < kFiles; ++i) {
        // Every tenth file is not there.
        entries.push_back(Entry::ReadFile(kPid, Path(i % 10 == 3 ? "missing" : absl::StrCat(i)), i));
      }
      ASSERT_TRUE(manager().SubmitBatch(kPid, std::move(entries)).ok());
      const absl::StatusOr<std::vector<Done>> all = manager().WaitCompletions(kPid, kFiles, kFiles, absl::Seconds(60));
      ASSERT_TRUE(all.ok()) << all.status();
      ASSERT_EQ(all->size(), kFiles);
      std::vector<int> seen(kFiles, 0);
      for (const Done& done : *all) {
        const size_t i = done.user_data;
        ++seen[i];
        if (i % 10 == 3) {
          EXPECT_TRUE(FailedWith(done, ENOENT));
        } else {
          ExpectContent(done, contents[i]);
        }
      }
      EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<ptrdiff_t>(kFiles));
    }
  }
}

TEST_P(WholeFileTest, P12ReadAndWriteOfManyFilesInOneBatch) {
  constexpr size_t kFiles = 100;
  std::vector<Entry> entries;
  for (size_t i = 0; i < kFiles; ++i) {
    entries.push_back(Entry::WriteFile(kPid, Path(absl::StrCat(i)), Bytes(absl::StrCat(i, Content(i * 999))), i));
  }
  for (const Done& done : RunBatch(std::move(entries))) EXPECT_TRUE(Succeeded(done));
  for (size_t i = 0; i < kFiles; ++i) EXPECT_EQ(Slurp(Path(absl::StrCat(i))), absl::StrCat(i, Content(i * 999))) << i;
}

TEST_P(WholeFileTest, P10APathThatTheCallerDestroysIsStillRead) {
  Spill(Path("file"), "content");
  for (const std::string& path : {Path("file"), std::string("/proc/version")}) {
    SCOPED_TRACE(path);
    const std::string content = Slurp(path);
    std::vector<Entry> entries(200);
    {
      auto own = std::make_unique<std::string>(path);
      for (Entry& entry : entries) entry = Entry::ReadFile(kPid, *own, 0);
      own->assign(own->size(), 'x');
    }
    std::vector<Seq> seqs(entries.size());
    ASSERT_TRUE(manager().SubmitBatch(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs)).ok());
    for (Entry& entry : entries) entry = Entry::ReadFile(kPid, std::string(path.size(), 'y'), 0);
    entries.clear();
    entries.shrink_to_fit();
    for (Seq seq : seqs) ExpectContent(Wait(seq), content);
  }
}

TEST_P(WholeFileTest, P12WritesFilesOfEverySize) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{65537}, size_t{20'000'001}}) {
    SCOPED_TRACE(size);
    const std::string content = Content(size);
    EXPECT_TRUE(Succeeded(Run(Entry::WriteFile(kPid, Path("file"), Bytes(content), 0)), static_cast<int64_t>(size)));
    EXPECT_TRUE(Slurp(Path("file")) == content);
  }
}

TEST_P(WholeFileTest, P12WriteFileTruncatesAndKeepsTheModeOfAFileThatIsThere) {
  Spill(Path("file"), Content(10'000));
  ASSERT_EQ(chmod(Path("file").c_str(), 0600), 0);
  EXPECT_TRUE(Succeeded(Run(Entry::WriteFile(kPid, Path("file"), Bytes("short"), 0)), 5));
  EXPECT_EQ(Slurp(Path("file")), "short");
  struct stat status;
  ASSERT_EQ(stat(Path("file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_P(WholeFileTest, P12WriteFileCreatesWith0644AndTheUmask) {
  for (mode_t mask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
    SCOPED_TRACE(mask);
    const mode_t before = umask(mask);
    EXPECT_TRUE(Succeeded(Run(Entry::WriteFile(kPid, Path(absl::StrCat("file", mask)), Bytes("x"), 0)), 1));
    umask(before);
    struct stat status;
    ASSERT_EQ(stat(Path(absl::StrCat("file", mask)).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0644u & ~mask);
  }
}

TEST_P(WholeFileTest, P12WriteFileReportsWhatItCouldNotWrite) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(FailedWith(Run(Entry::WriteFile(kPid, Path("fifo"), Bytes("x"), 0)), ENXIO)) << "a FIFO that nobody reads";
  const Done full = Run(Entry::WriteFile(kPid, "/dev/full", Bytes("x"), 5));
  EXPECT_TRUE(FailedWith(full, ENOSPC));
  EXPECT_EQ(full.user_data, 5u);
  EXPECT_TRUE(absl::StrContains(full.status.error_message(), "/dev/full"));
  EXPECT_TRUE(FailedWith(Run(Entry::WriteFile(kPid, Path(""), Bytes("x"), 0)), EISDIR));
  EXPECT_TRUE(FailedWith(Run(Entry::WriteFile(kPid, Path("missing/file"), Bytes("x"), 0)), ENOENT));
  EXPECT_TRUE(Succeeded(Run(Entry::WriteFile(kPid, "/dev/null", Bytes("x"), 0)), 1));
}

TEST_P(WholeFileTest, P13WriteFileToAFifoWhoseReaderGoesRaisesNoSignal) {
  const SigpipeCounter sigpipes;
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  for (int i = 0; i < 20; ++i) {
    Fd reader(open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    const Seq seq = Submit(Entry::WriteFile(kPid, Path("fifo"), Bytes(Content(1 << 20)), 0));
    reader.Reset();
    const Done done = Wait(seq);
    EXPECT_TRUE(done.status.is_error());
    const int error_number = done.status.error_number();
    EXPECT_TRUE(error_number == ENXIO || error_number == EPIPE || error_number == EAGAIN) << done.status.error_message();
  }
  EXPECT_EQ(sigpipes.count(), 0);
}

TEST_P(WholeFileTest, P12AFifoWithASilentWriterIsEAGAIN) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  const Fd writer(open(Path("fifo").c_str(), O_RDWR | O_CLOEXEC));
  for (const Done& done : RunBatch(ReadsOf(Path("fifo"), 20))) EXPECT_TRUE(FailedWith(done, EAGAIN)) << "a silent writer";
  ASSERT_EQ(write(writer.get(), "some", 4), 4);
  EXPECT_TRUE(FailedWith(Run(Entry::ReadFile(kPid, Path("fifo"), 0)), EAGAIN)) << "a writer that has not said everything";
}

INSTANTIATE_TEST_SUITE_P(Threading, WholeFileTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
