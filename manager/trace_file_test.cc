// What TraceFileWriter writes and TraceFileReader reads, together.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/manager/trace_file_reader.h"
#include "agentos/manager/trace_file_writer.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr char kHeader[] = "the header";

// One record: a number and enough to make it `size` long.
std::string Record(int number, size_t size = 100) {
  std::string record = absl::StrCat(number, " ");
  record.resize(std::max(size, record.size()), '.');
  return record;
}

struct ReadBack {
  // Without headers.
  std::vector<int> numbers;
  size_t headers = 0;
  size_t good = 0;
  size_t bad = 0;
  uint64_t missing = 0;
  // Of what the records say.
  uint64_t lost = 0;
  std::vector<uint64_t> sequences;
};

ReadBack Read(const std::string& path) {
  ReadBack all;
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_GE(fd.get(), 0) << path;
  TraceFileReader reader(fd.get());
  for (TraceFileReader::Item item;;) {
    const absl::StatusOr<bool> more = reader.Next(item);
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.value_or(false)) return all;
    all.missing += item.missing;
    if (item.state != BlockState::kGood) {
      ++all.bad;
      continue;
    }
    ++all.good;
    all.sequences.push_back(item.block.sequence());
    for (absl::string_view record; item.block.Next(record);) {
      int number = -1;
      if (record == kHeader) {
        ++all.headers;
      } else if (proto::v1::TraceRecord loss;
                 loss.ParseFromArray(record.data(), static_cast<int>(record.size())) && loss.has_loss()) {
        all.lost += loss.loss().submissions();
      } else {
        EXPECT_TRUE(absl::SimpleAtoi(record.substr(0, record.find(' ')), &number)) << record;
        all.numbers.push_back(number);
      }
    }
  }
}

std::vector<int> Range(int from, int to) {
  std::vector<int> numbers;
  for (int i = from; i < to; ++i) numbers.push_back(i);
  return numbers;
}

class TraceFileTest : public testing::Test {
 protected:
  std::unique_ptr<TraceFileWriter> Make(TraceFileOptions options = {}) {
    options.path = path();
    auto writer = TraceFileWriter::Create(options, kHeader, /*now_ns=*/0);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return writer.ok() ? *std::move(writer) : nullptr;
  }
  static absl::Status Append(TraceFileWriter& writer, int number, size_t size = 100) {
    return writer.Append([&](uint64_t /*base_ns*/, std::string& record) { record = Record(number, size); }, {.submissions = 1},
                         0);
  }
  std::string path() const { return dir_.Path("trace"); }

  const size_t fds_before_ = OpenFds();
  TempDir dir_;
};

TEST_F(TraceFileTest, GivesBackEveryRecordInOrder) {
  auto writer = Make();
  constexpr int kRecords = 5000;
  for (int i = 0; i < kRecords; ++i) ASSERT_TRUE(Append(*writer, i).ok());
  ASSERT_TRUE(writer->Flush().ok());
  EXPECT_EQ(writer->bytes(), std::filesystem::file_size(path()));
  writer.reset();
  const ReadBack all = Read(path());
  EXPECT_EQ(all.numbers, Range(0, kRecords));
  EXPECT_EQ(all.headers, 1u);
  EXPECT_EQ(all.bad, 0u);
  EXPECT_EQ(all.missing, 0u);
  for (size_t i = 0; i < all.sequences.size(); ++i) EXPECT_EQ(all.sequences[i], i);
  EXPECT_EQ(OpenFds(), fds_before_);
  struct stat status;
  ASSERT_EQ(stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u) << "what was recorded is nobody else's business";
}

TEST_F(TraceFileTest, WhatWasFlushedCanBeReadWhileItGrows) {
  auto writer = Make();
  EXPECT_EQ(Read(path()).headers, 1u) << "from the beginning";
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(Append(*writer, i).ok());
    if (i % 100 != 0) continue;
    ASSERT_TRUE(writer->Flush().ok());
    const ReadBack all = Read(path());
    EXPECT_EQ(all.numbers, Range(0, i + 1));
    EXPECT_EQ(all.bad, 0u);
  }
}

TEST_F(TraceFileTest, RecordsAreEncodedForTheBlockThatTheyGoTo) {
  auto writer = TraceFileWriter::Create({.path = path()}, kHeader, /*now_ns=*/1000);
  ASSERT_TRUE(writer.ok());
  std::set<uint64_t> bases;
  for (uint64_t now = 1000; now < 3000; ++now) {
    uint64_t last = 0;
    ASSERT_TRUE((*writer)
                    ->Append(
                        [&](uint64_t base_ns, std::string& record) {
                          EXPECT_TRUE(record.empty());
                          last = base_ns;
                          record.assign(100, 'r');
                        },
                        {}, now)
                    .ok());
    EXPECT_LE(last, now);
    bases.insert(last);
  }
  EXPECT_EQ(bases.size(), 4u) << "one for each block";
}

TEST_F(TraceFileTest, ARecordThatNoBlockHoldsIsRefusedAndTheNextIsNot) {
  auto writer = Make();
  ASSERT_TRUE(Append(*writer, 1).ok());
  EXPECT_TRUE(Refused(Append(*writer, 2, kTraceBlockSize), absl::StatusCode::kInvalidArgument, {"65536 bytes"}));
  ASSERT_TRUE(Append(*writer, 3).ok());
  writer.reset();
  EXPECT_EQ(Read(path()).numbers, (std::vector<int>{1, 3}));
}

TEST_F(TraceFileTest, BeginsAnotherFileWhenOneIsFull) {
  auto writer = Make({.max_file_bytes = 3 * kTraceBlockSize, .keep = 2});
  constexpr int kRecords = 8000;
  for (int i = 0; i < kRecords; ++i) ASSERT_TRUE(Append(*writer, i).ok());
  ASSERT_TRUE(writer->Flush().ok());
  writer.reset();
  EXPECT_FALSE(std::filesystem::exists(path() + ".3"));
  int next = -1;
  uint64_t sequence = 0;
  for (const char* suffix : {".2", ".1", ""}) {
    const std::string name = path() + suffix;
    EXPECT_LE(std::filesystem::file_size(name), 3 * kTraceBlockSize);
    const ReadBack all = Read(name);
    EXPECT_EQ(all.headers, 1u) << name;
    ASSERT_FALSE(all.numbers.empty());
    if (next >= 0) {
      EXPECT_EQ(all.numbers.front(), next) << "nothing between two files is missing";
      EXPECT_EQ(all.sequences.front(), sequence);
    }
    EXPECT_EQ(all.numbers, Range(all.numbers.front(), all.numbers.back() + 1));
    next = all.numbers.back() + 1;
    sequence = all.sequences.back() + 1;
  }
  EXPECT_EQ(next, kRecords);
  EXPECT_EQ(OpenFds(), fds_before_);
}

TEST_F(TraceFileTest, AFileThatCannotBeSucceededStaysWithinItsLimitAndTheLossIsCounted) {
  // In the way of the old file's new name.
  ASSERT_TRUE(std::filesystem::create_directories(path() + ".1/full"));
  auto writer = Make({.max_file_bytes = 2 * kTraceBlockSize, .keep = 1});
  int number = 0;
  size_t failures = 0;
  for (; number < 3000; ++number) failures += Append(*writer, number).ok() ? 0 : 1;
  EXPECT_GT(failures, 0u);
  EXPECT_LE(std::filesystem::file_size(path()), 2 * kTraceBlockSize);
  EXPECT_GT(writer->lost().submissions, 0u);
  std::filesystem::remove_all(path() + ".1");
  while (!std::filesystem::exists(path() + ".1")) static_cast<void>(!Append(*writer, number++).ok());
  for (const int last = number + 100; number < last; ++number) ASSERT_TRUE(Append(*writer, number).ok());
  ASSERT_TRUE(writer->Flush().ok());
  const uint64_t lost = writer->lost().submissions;
  writer.reset();
  const ReadBack older = Read(path() + ".1");
  const ReadBack newer = Read(path());
  EXPECT_EQ(older.numbers.size() + newer.numbers.size() + lost, static_cast<size_t>(number));
  EXPECT_EQ(older.lost + newer.lost, lost);
}

TEST_F(TraceFileTest, WithoutOlderFilesTheSameOneBeginsAgain) {
  auto writer = Make({.max_file_bytes = 2 * kTraceBlockSize, .keep = 0});
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(Append(*writer, i).ok());
  writer.reset();
  EXPECT_FALSE(std::filesystem::exists(path() + ".1"));
  const ReadBack all = Read(path());
  EXPECT_EQ(all.headers, 1u);
  EXPECT_EQ(all.numbers, Range(all.numbers.front(), 5000));
}

TEST_F(TraceFileTest, AFullDiskCostsBlocksThatAreCountedAndThenItGoesOn) {
  // A limit of the process's own, which the kernel answers with an error like a full disk's.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  auto writer = Make();
  rlimit low = before;
  low.rlim_cur = kTraceBlockSize + 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  int number = 0;
  size_t failures = 0;
  for (; number < 3000; ++number) {
    const absl::Status status = Append(*writer, number);
    failures += status.ok() ? 0 : 1;
    EXPECT_TRUE(status.ok() || absl::StrContains(status.message(), path())) << status;
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_GE(failures, 2u);
  const uint64_t lost = writer->lost().submissions;
  EXPECT_GT(lost, 0u);
  for (; number < 6000; ++number) ASSERT_TRUE(Append(*writer, number).ok());
  ASSERT_TRUE(writer->Flush().ok());
  EXPECT_EQ(writer->lost().submissions, lost);
  writer.reset();
  const ReadBack all = Read(path());
  EXPECT_EQ(all.numbers.size() + lost, 6000u) << "recorded and lost are all there were";
  EXPECT_EQ(all.lost, lost) << "the file says so itself";
  EXPECT_EQ(all.bad, 0u);
  EXPECT_EQ(all.missing, failures);
}

TEST_F(TraceFileTest, WhatWasLostBeforeIsSaidWhereItIsMissing) {
  auto writer = Make();
  ASSERT_TRUE(Append(*writer, 0).ok());
  ASSERT_TRUE(writer->AppendLoss({.submissions = 7}, 0).ok());
  for (int i = 1; i < 2000; ++i) ASSERT_TRUE(Append(*writer, i).ok());
  EXPECT_FALSE(writer->lost().any()) << "that was not the file's fault";
  writer.reset();
  EXPECT_EQ(Read(path()).lost, 7u);
  EXPECT_EQ(Read(path()).numbers, Range(0, 2000));
}

TEST_F(TraceFileTest, TwoWritersOfOneFileAreOneTooMany) {
  auto writer = Make();
  ASSERT_TRUE(Append(*writer, 0).ok());
  ASSERT_TRUE(writer->Flush().ok());
  const auto second = TraceFileWriter::Create({.path = path()}, kHeader, 0);
  EXPECT_TRUE(Refused(second.status(), absl::StatusCode::kFailedPrecondition, {path(), "another recording"}));
  EXPECT_EQ(Read(path()).numbers, Range(0, 1)) << "nothing of it was touched";
  writer.reset();
  EXPECT_TRUE(TraceFileWriter::Create({.path = path()}, kHeader, 0).ok());
}

TEST_F(TraceFileTest, WhatCannotBeWrittenIsSaidAtOnce) {
  using Code = absl::StatusCode;
  const auto refusal = [](TraceFileOptions options) { return TraceFileWriter::Create(std::move(options), kHeader, 0).status(); };
  EXPECT_TRUE(Refused(refusal({.path = ""}), Code::kInvalidArgument, {"path is empty"}));
  EXPECT_TRUE(Refused(refusal({.path = dir_.Path("none/trace")}), Code::kNotFound, {"none/trace", "open"}));
  EXPECT_FALSE(refusal({.path = dir_.Path("")}).ok());
  EXPECT_TRUE(Refused(refusal({.path = "/dev/null"}), Code::kInvalidArgument, {"/dev/null", "regular file"}));
  EXPECT_TRUE(Refused(refusal({.path = path(), .max_file_bytes = 100}), Code::kInvalidArgument, {"max_file_bytes is 100"}));
  EXPECT_TRUE(Refused(TraceFileWriter::Create({.path = path()}, std::string(kTraceBlockSize, 'h'), 0).status(),
                      Code::kInvalidArgument, {"header"}));
  ASSERT_EQ(mkfifo(dir_.Path("fifo").c_str(), 0600), 0);
  EXPECT_FALSE(refusal({.path = dir_.Path("fifo")}).ok()) << "and does not wait";
  EXPECT_EQ(OpenFds(), fds_before_);
}

TEST_F(TraceFileTest, ACutLosesTheBlockThatItHitsAndNoOther) {
  {
    auto writer = Make();
    for (int i = 0; i < 2500; ++i) ASSERT_TRUE(Append(*writer, i).ok());
  }
  const std::string bytes = Slurp(path());
  const ReadBack whole = Read(path());
  const std::string cut = dir_.Path("cut");
  std::set<size_t> sizes;
  for (size_t size = 0; size < bytes.size(); size += 997) sizes.insert(size);
  for (size_t block = 0; block < bytes.size(); block += kTraceBlockSize) {
    for (size_t i = 0; i < 100; ++i) sizes.insert({block + i, block - std::min(block, i)});
  }
  for (const size_t size : sizes) {
    if (size > bytes.size()) continue;
    Spill(cut, absl::string_view(bytes).substr(0, size));
    const ReadBack rest = Read(cut);
    // A block that was cut behind its content has lost nothing.
    const size_t blocks = size / kTraceBlockSize;
    const size_t parts = size % kTraceBlockSize == 0 ? 0 : 1;
    EXPECT_GE(rest.good, blocks) << size;
    EXPECT_EQ(rest.good + rest.bad, blocks + parts) << size;
    EXPECT_EQ(rest.numbers, Range(0, static_cast<int>(rest.numbers.size()))) << size;
  }
  EXPECT_EQ(whole.numbers, Range(0, 2500));
}

TEST_F(TraceFileTest, DamageCostsTheBlockThatItHitsAndNoOther) {
  {
    auto writer = Make();
    for (int i = 0; i < 2500; ++i) ASSERT_TRUE(Append(*writer, i).ok());
  }
  const std::string bytes = Slurp(path());
  const ReadBack whole = Read(path());
  ASSERT_EQ(whole.good, 4u);
  const std::string damaged = dir_.Path("damaged");
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string copy = bytes;
    // Only what belongs to a block: the rest of its room is nobody's.
    const size_t block = random() % 3;
    const size_t at = block * kTraceBlockSize + random() % (kTraceBlockSize - 200);
    switch (random() % 3) {
      case 0:
        copy[at] = static_cast<char>(copy[at] ^ (1 << random() % 8));
        break;
      case 1:
        std::fill_n(copy.begin() + static_cast<std::ptrdiff_t>(at), std::min<size_t>(150, copy.size() - at), '\xaa');
        break;
      default:
        std::fill_n(copy.begin() + static_cast<std::ptrdiff_t>(block * kTraceBlockSize), kTraceBlockSize, '\0');
        break;
    }
    Spill(damaged, copy);
    const ReadBack rest = Read(damaged);
    EXPECT_EQ(rest.good, 3u) << block << " at " << at;
    EXPECT_EQ(rest.bad, 1u);
    EXPECT_EQ(rest.missing, 0u) << "it was found damaged, so it is not missing";
    EXPECT_TRUE(std::is_sorted(rest.numbers.begin(), rest.numbers.end()));
  }
}

TEST_F(TraceFileTest, IsReadFromAPipe) {
  {
    auto writer = Make();
    for (int i = 0; i < 1500; ++i) ASSERT_TRUE(Append(*writer, i).ok());
  }
  ASSERT_EQ(mkfifo(dir_.Path("fifo").c_str(), 0600), 0);
  // Written in odd pieces by another process.
  const std::string command = absl::StrCat("dd if=", path(), " of=", dir_.Path("fifo"), " bs=1021 status=none &");
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(Read(dir_.Path("fifo")).numbers, Range(0, 1500));
}

TEST_F(TraceFileTest, WhatIsNoTraceHasNoGoodBlock) {
  Spill(path(), Content(200'000));
  const ReadBack all = Read(path());
  EXPECT_EQ(all.good, 0u);
  EXPECT_EQ(all.bad, 4u);
  Spill(path(), "");
  EXPECT_EQ(Read(path()).bad, 0u);
  TraceFileReader closed(ClosedFd());
  TraceFileReader::Item item;
  EXPECT_FALSE(closed.Next(item).ok());
}

}  // namespace
}  // namespace agentos
