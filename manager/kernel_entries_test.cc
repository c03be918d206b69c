// How many system calls a batch costs, counted from outside: one kernel entry out and at most one home, and nothing else.

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/system_call_trace.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kBatch = 64;
constexpr size_t kBlock = 4096;
constexpr size_t kRounds = 5;

// What the child tells besides how it ended: kernel entries of each round by the manager's own count.
struct Report {
  uint64_t kernel_entries[kRounds];
};

class KernelEntries : public testing::TestWithParam<Threading> {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer makes system calls of its own";
    Spill(dir_.Path("file"), Content(kBatch * kBlock));
    void* shared = mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(shared, MAP_FAILED);
    report_ = static_cast<Report*>(shared);
  }
  void TearDown() override {
    if (report_ != nullptr) munmap(report_, sizeof(Report));
  }

  // Runs a batch of cached reads kRounds times in a child, after one that nobody counts. `run` submits and waits: "" or what went
  // wrong.
  template <typename Run>
  SystemCallTrace Trace(Run run) {
    return TraceSystemCalls([&]() -> std::string {
      // A thread that moves to another processor takes its ring to that one's kernel ring, whose memory is made at first use.
      cpu_set_t here;
      CPU_ZERO(&here);
      CPU_SET(static_cast<size_t>(sched_getcpu()), &here);
      if (sched_setaffinity(0, sizeof(here), &here) != 0) return "sched_setaffinity";
      absl::StatusOr<std::unique_ptr<IoUringManager>> manager =
          IoUringManager::Create({.executor = ExecutorKind::kIoUring, .threading = GetParam()});
      if (!manager.ok()) return manager.status().ToString();
      const Fd file(open(dir_.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
      std::string wrong = Round(**manager, file.get(), run);
      for (size_t i = 0; i < kRounds && wrong.empty(); ++i) {
        const uint64_t before = (*manager)->Stats().kernel_entries;
        wrong = Round(**manager, file.get(), run);
        report_->kernel_entries[i] = (*manager)->Stats().kernel_entries - before;
      }
      return wrong;
    });
  }

  template <typename Run>
  std::string Round(IoUringManager& manager, int file, Run run) {
    std::array<Entry, kBatch> entries;
    for (size_t i = 0; i < kBatch; ++i) entries[i] = Entry::Read(kPid, file, kBlock, static_cast<int64_t>(i * kBlock), i);
    std::array<Done, kBatch> out;
    MarkSystemCalls();
    std::string wrong = run(manager, absl::MakeSpan(entries), absl::MakeSpan(out));
    MarkSystemCalls();
    const std::string content = Content(kBatch * kBlock);
    for (const Done& done : out) {
      if (!wrong.empty()) break;
      if (done.result.data() != absl::string_view(content).substr(done.user_data * kBlock, kBlock)) wrong = "wrong content";
    }
    return wrong;
  }

  void ExpectAtMost(int most, const SystemCallTrace& trace) {
    if (trace.refused) GTEST_SKIP() << "this machine allows no tracing";
    ASSERT_EQ(trace.error, "");
    // Between rounds lies a stretch that nobody counts.
    ASSERT_EQ(trace.calls.size(), 2 * (kRounds + 1) - 1);
    for (size_t round = 0; round < kRounds; ++round) {
      std::map<long, int> calls = trace.calls[2 * (round + 1)];
      const int entries = calls[SYS_io_uring_enter];
      EXPECT_GE(entries, 1);
      EXPECT_LE(entries, most);
      EXPECT_EQ(static_cast<uint64_t>(entries), report_->kernel_entries[round]) << "the manager's own count";
      calls.erase(SYS_io_uring_enter);
      EXPECT_TRUE(calls.empty()) << Describe(calls);
    }
  }

  TempDir dir_;
  Report* report_ = nullptr;
};

TEST_P(KernelEntries, ABatchAndItsWaitTakeTwo) {
  ExpectAtMost(2, Trace([](IoUringManager& manager, absl::Span<Entry> entries, absl::Span<Done> out) -> std::string {
                 const absl::Status submitted = manager.SubmitBatch(kPid, entries, {});
                 if (!submitted.ok()) return submitted.ToString();
                 const absl::StatusOr<size_t> count = manager.WaitCompletions(kPid, kBatch, out, absl::InfiniteDuration());
                 if (!count.ok()) return count.status().ToString();
                 return *count == kBatch ? "" : absl::StrCat("only ", *count);
               }));
}

TEST_P(KernelEntries, ABatchAndAReapTakeTwo) {
  ExpectAtMost(2, Trace([](IoUringManager& manager, absl::Span<Entry> entries, absl::Span<Done> out) -> std::string {
                 const absl::Status submitted = manager.SubmitBatch(kPid, entries, {});
                 if (!submitted.ok()) return submitted.ToString();
                 const absl::StatusOr<size_t> count = manager.ReapCompletions(kPid, out);
                 if (!count.ok()) return count.status().ToString();
                 return *count == kBatch ? "" : absl::StrCat("only ", *count, ": cached reads end within the submission");
               }));
}

TEST_P(KernelEntries, SubmitAndWaitTakesOne) {
  ExpectAtMost(1, Trace([](IoUringManager& manager, absl::Span<Entry> entries, absl::Span<Done> out) -> std::string {
                 const absl::StatusOr<size_t> count =
                     manager.SubmitAndWait(kPid, entries, {}, kBatch, out, absl::InfiniteDuration());
                 if (!count.ok()) return count.status().ToString();
                 return *count == kBatch ? "" : absl::StrCat("only ", *count);
               }));
}

INSTANTIATE_TEST_SUITE_P(Threading, KernelEntries, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
