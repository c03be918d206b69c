// What recording costs the thread that is recorded, in allocations and system calls: nothing.

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/trace_options.h"
#include "agentos/testing/allocation_count.h"
#include "agentos/testing/system_call_trace.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kBatch = 32;
constexpr size_t kBlock = 4096;

class TraceCostTest : public testing::TestWithParam<Threading> {
 protected:
  TraceCostTest() { Spill(dir_.Path("file"), Content(kBatch * kBlock)); }

  absl::StatusOr<std::unique_ptr<IoUringManager>> Make(TraceMode mode) const {
    IoUringManagerOptions options;
    options.executor = ExecutorKind::kIoUring;
    options.threading = GetParam();
    options.kernel_rings = 1;
    options.trace.mode = mode;
    options.trace.path = dir_.Path("trace");
    return IoUringManager::Create(options);
  }
  // A batch of reads: "" or what went wrong.
  std::string Round(IoUringManager& manager, int file) {
    for (size_t i = 0; i < kBatch; ++i) {
      entries_[i] = Entry::Read(kPid, file, kBlock, static_cast<int64_t>(i * kBlock), i);
    }
    const absl::StatusOr<size_t> count = manager.SubmitAndWait(kPid, absl::MakeSpan(entries_), absl::MakeSpan(seqs_), kBatch,
                                                               absl::MakeSpan(done_), absl::Seconds(30));
    if (!count.ok()) return count.status().ToString();
    for (const Done& done : done_) {
      if (!done.status.is_success()) return done.status.error_message();
    }
    return "";
  }

  TempDir dir_;
  std::array<Entry, kBatch> entries_;
  std::array<Seq, kBatch> seqs_ = {};
  std::array<Done, kBatch> done_;
};

TEST_P(TraceCostTest, NoAllocationPerRecord) {
  const Fd file(open(dir_.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  for (const TraceMode mode : {TraceMode::kOff, TraceMode::kStream, TraceMode::kFlightRecorder}) {
    auto manager = Make(mode);
    ASSERT_TRUE(manager.ok()) << manager.status();
    for (int i = 0; i < 10; ++i) ASSERT_EQ(Round(**manager, file.get()), "");
    const size_t before = AllocationCount();
    for (int i = 0; i < 50; ++i) ASSERT_EQ(Round(**manager, file.get()), "");
    EXPECT_EQ(AllocationCount() - before, 0u) << static_cast<int>(mode);
  }
}

TEST_P(TraceCostTest, NoSystemCallPerRecord) {
  std::map<TraceMode, std::map<long, int>> calls;
  for (const TraceMode mode : {TraceMode::kOff, TraceMode::kStream, TraceMode::kFlightRecorder}) {
    const SystemCallTrace trace = TraceSystemCalls([&]() -> std::string {
      auto manager = Make(mode);
      if (!manager.ok()) return manager.status().ToString();
      const Fd file(open(dir_.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
      std::string wrong;
      for (int i = 0; i < 3 && wrong.empty(); ++i) wrong = Round(**manager, file.get());
      MarkSystemCalls();
      for (int i = 0; i < 5 && wrong.empty(); ++i) wrong = Round(**manager, file.get());
      MarkSystemCalls();
      return wrong;
    });
    if (trace.refused) GTEST_SKIP() << "no tracing here";
    ASSERT_EQ(trace.error, "");
    ASSERT_EQ(trace.calls.size(), 1u);
    calls[mode] = trace.calls[0];
  }
  EXPECT_EQ(Describe(calls[TraceMode::kStream]), Describe(calls[TraceMode::kOff]));
  EXPECT_EQ(Describe(calls[TraceMode::kFlightRecorder]), Describe(calls[TraceMode::kOff]));
}

INSTANTIATE_TEST_SUITE_P(Threading, TraceCostTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
