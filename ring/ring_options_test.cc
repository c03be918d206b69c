#include "agentos/ring/ring_options.h"

#include <cstddef>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ring/types.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

TEST(RingOptions, HasTheSizesOfTheDesignByDefault) {
  const RingOptions options;
  EXPECT_EQ(options.Validate(), absl::OkStatus());
  EXPECT_EQ(options.sq_size, 256u);
  EXPECT_EQ(options.cq_size, 512u);
  EXPECT_EQ(options.overflow, OverflowPolicy::kDropOldest);
  EXPECT_EQ(options.max_in_flight, 0u);
  EXPECT_EQ(options.max_file_size, size_t{1} << 30);
  EXPECT_EQ(options.destroy_timeout, absl::Seconds(5));
}

TEST(RingOptions, NamesTheSizeThatIsOutOfRange) {
  const struct {
    const char* name;
    size_t RingOptions::*field;
    size_t least;
    size_t most;
  } kFields[] = {
      {"sq_size", &RingOptions::sq_size, 1, kMaxQueueSize},
      {"cq_size", &RingOptions::cq_size, 1, kMaxQueueSize},
      {"max_in_flight", &RingOptions::max_in_flight, 0, kMaxQueueSize},
      {"mailbox_messages", &RingOptions::mailbox_messages, 1, size_t{1} << 20},
      {"mailbox_bytes", &RingOptions::mailbox_bytes, 1, size_t{1} << 40},
      {"max_file_size", &RingOptions::max_file_size, 1, size_t{1} << 40},
  };
  for (const auto& [name, field, least, most] : kFields) {
    for (size_t value : {least, least + 1, most - 1, most, size_t{0}, most + 1, std::numeric_limits<size_t>::max()}) {
      SCOPED_TRACE(absl::StrCat(name, " = ", value));
      RingOptions options;
      options.*field = value;
      const absl::Status status = options.Validate();
      if (value >= least && value <= most) {
        EXPECT_EQ(status, absl::OkStatus());
        continue;
      }
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_TRUE(absl::StartsWith(status.message(), absl::StrCat("RingOptions.", name))) << status;
      EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(" is ", value, ":"))) << status;
      EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat("from ", least, " to ", most))) << status;
    }
  }
}

TEST(RingOptions, TakesAnyNumberOfEntriesAndNotOnlyPowersOfTwo) {
  RingOptions options;
  for (size_t size : {3, 100, 257, 32767}) {
    options.sq_size = options.cq_size = options.max_in_flight = size;
    EXPECT_EQ(options.Validate(), absl::OkStatus()) << size;
  }
}

TEST(RingOptions, P4TakesACompletionQueueSmallerThanTheSubmissionQueue) {
  RingOptions options;
  options.sq_size = 64;
  options.cq_size = 16;
  for (OverflowPolicy overflow : {OverflowPolicy::kDropOldest, OverflowPolicy::kBackpressure}) {
    options.overflow = overflow;
    EXPECT_EQ(options.Validate(), absl::OkStatus());
  }
}

TEST(RingOptions, RefusesANegativeDestroyTimeout) {
  RingOptions options;
  for (absl::Duration timeout : {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Seconds(5), absl::InfiniteDuration()}) {
    options.destroy_timeout = timeout;
    EXPECT_EQ(options.Validate(), absl::OkStatus()) << timeout;
  }
  for (absl::Duration timeout : {absl::Nanoseconds(-1), absl::Seconds(-5), -absl::InfiniteDuration()}) {
    options.destroy_timeout = timeout;
    const absl::Status status = options.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    const std::string beginning = absl::StrCat("RingOptions.destroy_timeout is ", absl::FormatDuration(timeout), ": ");
    EXPECT_TRUE(absl::StartsWith(status.message(), beginning)) << status;
  }
}

}  // namespace
}  // namespace agentos
