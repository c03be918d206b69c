#include "agentos/examples/quickstart/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "agentos/examples/quickstart/temporary_tree.h"
#include "agentos/ring/unique_fd.h"
#include "gtest/gtest.h"

namespace agentos::quickstart {
namespace {

constexpr Pid kPid = 5;

class ProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create();
    ASSERT_TRUE(manager.ok()) << manager.status();
    manager_ = *std::move(manager);
  }

  std::unique_ptr<IoUringManager> manager_;
  TemporaryTree tree_;
};

TEST_F(ProcessTest, CountsWhatItDoes) {
  tree_.Write("file", "12345");
  Process process(manager_.get(), kPid, absl::Seconds(10));
  std::vector<SyscallSubmissionEntry> entries;
  entries.push_back(SyscallSubmissionEntry::ReadFile(kPid, tree_.Path("file"), 0));
  entries.push_back(SyscallSubmissionEntry::ReadFile(kPid, tree_.Path("missing"), 1));
  // An fd is not a number of bytes.
  entries.push_back(SyscallSubmissionEntry::Open(kPid, tree_.Path("file"), O_RDONLY, 0, 2));
  absl::StatusOr<std::vector<SyscallCompletionEntry>> done = process.RunBatch(std::move(entries));
  ASSERT_TRUE(done.ok()) << done.status();
  ASSERT_EQ(done->size(), 3u);
  for (const SyscallCompletionEntry& entry : *done) {
    if (entry.user_data == 1) {
      EXPECT_EQ(entry.status.error_number(), ENOENT);
    }
    if (entry.user_data == 2) {
      const UniqueFd opened(static_cast<int>(entry.result.value()));
    }
  }
  EXPECT_EQ(process.tally().submissions, 3u);
  EXPECT_EQ(process.tally().completions, 3u);
  EXPECT_EQ(process.tally().errors, 1u);
  EXPECT_EQ(process.tally().bytes, 5u);
  EXPECT_GT(process.tally().time, absl::ZeroDuration());
}

TEST_F(ProcessTest, AnEmptyBatchIsDoneAtOnce) {
  Process process(manager_.get(), kPid, absl::Seconds(10));
  ASSERT_TRUE(manager_->CreateRing(kPid).ok());
  const absl::StatusOr<std::vector<SyscallCompletionEntry>> done = process.RunBatch({});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_TRUE(done->empty());
}

TEST_F(ProcessTest, WhatDoesNotEndInTimeIsCancelled) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]);
  const UniqueFd writing(ends[1]);
  Process process(manager_.get(), kPid, absl::Milliseconds(50));

  std::vector<SyscallSubmissionEntry> entries;
  entries.push_back(SyscallSubmissionEntry::Nop(kPid, 0));
  entries.push_back(SyscallSubmissionEntry::Read(kPid, reading.get(), 1, kCurrentPosition, 1));
  const absl::StatusOr<std::vector<SyscallCompletionEntry>> batch = process.RunBatch(std::move(entries));
  ASSERT_TRUE(batch.ok()) << batch.status();
  ASSERT_EQ(batch->size(), 2u);
  EXPECT_TRUE((*batch)[0].status.is_success());
  EXPECT_TRUE((*batch)[1].status.is_cancelled());

  const absl::StatusOr<SyscallResult> alone =
      process.RunToSuccess(SyscallSubmissionEntry::Read(kPid, reading.get(), 1, kCurrentPosition, 0));
  EXPECT_TRUE(absl::IsCancelled(alone.status())) << alone.status();
  EXPECT_EQ(process.tally().completions, 3u);
  EXPECT_EQ(process.tally().errors, 2u);
}

TEST_F(ProcessTest, ARefusalIsPassedOnAndCountsNothing) {
  Process process(manager_.get(), kPid, absl::Seconds(10));
  EXPECT_TRUE(absl::IsInvalidArgument(process.Run(SyscallSubmissionEntry::ReadFile(kPid, "", 0)).status()));
  EXPECT_EQ(process.tally().submissions, 0u);
}

}  // namespace
}  // namespace agentos::quickstart
