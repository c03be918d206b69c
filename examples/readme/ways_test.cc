// The README's four ways in, taken out of it, each reading the same file.

#include <poll.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/task.h"
#include "agentos/handlers/when_all.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"
// clang-format off: the README's code wants the headers above it.
#include "examples/readme/ways.inc"
// clang-format on

namespace agentos {
namespace {

class ReadmeWaysTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create();
    ASSERT_TRUE(manager.ok()) << manager.status();
    manager_ = *std::move(manager);
    absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(*manager_, 7);
    ASSERT_TRUE(ring.ok()) << ring.status();
    ring_ = *std::move(ring);
    Spill(path_, "content");
  }

  TempDir directory_;
  const std::string path_ = directory_.Path("file");
  std::unique_ptr<IoUringManager> manager_;
  std::unique_ptr<AsyncRing> ring_;
};

TEST_F(ReadmeWaysTest, Blocking) {
  EXPECT_EQ(ReadBlocking(*manager_, 8, path_), "content");
  EXPECT_NE(ReadBlocking(*manager_, 8, "/no/such/file").find("ENOENT"), std::string::npos);
}

TEST_F(ReadmeWaysTest, Callback) {
  std::string content;
  ReadWithCallback(*ring_, path_, content);
  EXPECT_TRUE(ring_->RunUntilIdle().ok());
  EXPECT_EQ(content, "content");
  EXPECT_EQ(ReadWithHandle(*ring_, path_), "content");
}

TEST_F(ReadmeWaysTest, Coroutine) {
  EXPECT_EQ(ring_->RunUntilComplete(CountBytes(*ring_, {path_, "/no/such/file", path_})), 14u);
}

TEST_F(ReadmeWaysTest, EventLoop) { EXPECT_EQ(ReadInEventLoop(*ring_, path_), "content"); }

}  // namespace
}  // namespace agentos
