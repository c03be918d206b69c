#include "agentos/examples/quickstart/format.h"

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace agentos::quickstart {
namespace {

TEST(Format, SeparatesThousands) {
  EXPECT_EQ(WithSeparators(0), "0");
  EXPECT_EQ(WithSeparators(999), "999");
  EXPECT_EQ(WithSeparators(1000), "1,000");
  EXPECT_EQ(WithSeparators(1234567), "1,234,567");
  EXPECT_EQ(WithSeparators(UINT64_MAX), "18,446,744,073,709,551,615");
}

TEST(Format, PicksTheUnitOfBytes) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(HumanBytes(UINT64_MAX), "16.0 EiB");
}

TEST(Format, PicksTheUnitOfTime) {
  EXPECT_EQ(HumanDuration(absl::ZeroDuration()), "0 us");
  EXPECT_EQ(HumanDuration(absl::Microseconds(1500)), "1.50 ms");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(340)), "340 ms");
  EXPECT_EQ(HumanDuration(absl::Seconds(75)), "75.0 s");
}

TEST(Format, NoRateWithoutTime) {
  EXPECT_EQ(PerSecond(5, absl::ZeroDuration()), "-");
  EXPECT_EQ(PerSecond(5000, absl::Milliseconds(500)), "10,000");
}

TEST(Format, CountsInTheRightNumber) {
  EXPECT_EQ(Counted(0, "file"), "0 files");
  EXPECT_EQ(Counted(1, "file"), "1 file");
  EXPECT_EQ(Counted(2000, "file"), "2,000 files");
}

TEST(Format, TableLinesUpAndHasNoTrailingSpaces) {
  EXPECT_EQ(FormatTable({{"name", "n"}, {"a", "100"}, {"b", ""}}), "name    n\na     100\nb\n");
}

}  // namespace
}  // namespace agentos::quickstart
