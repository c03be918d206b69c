#include "agentos/manager/flight_memory.h"

#include <fcntl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/trace_block.h"
#include "agentos/manager/trace_file_reader.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr char kHeader[] = "header";

class FlightMemoryTest : public testing::Test {
 protected:
  static void Append(FlightMemory& memory, int number) {
    const auto encode = [&](uint64_t /*base_ns*/, std::string& record) {
      record = absl::StrCat(number, " ");
      record.resize(100, '.');
    };
    EXPECT_TRUE(memory.Append(encode, {.submissions = 1}, 0).ok());
  }
  // The numbers in a file, after its header. Every block is good and none is missing.
  static std::vector<int> Read(const std::string& path) {
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_GE(fd.get(), 0) << path;
    TraceFileReader reader(fd.get());
    std::vector<int> numbers;
    bool header = true;
    for (TraceFileReader::Item item; reader.Next(item).value_or(false);) {
      EXPECT_EQ(item.state, BlockState::kGood);
      EXPECT_EQ(item.missing, 0u);
      for (absl::string_view record; item.block.Next(record); header = false) {
        int number = -1;
        if (header) {
          EXPECT_EQ(record, kHeader);
        } else if (absl::SimpleAtoi(record.substr(0, record.find(' ')), &number)) {
          numbers.push_back(number);
        }
      }
    }
    return numbers;
  }
  std::string path() const { return dir_.Path("flight"); }

  TempDir dir_;
};

TEST_F(FlightMemoryTest, KeepsAtLeastTheLastAndNotMuchMore) {
  FlightMemory memory(1000, 0);
  for (int i = 0; i < 10'000; ++i) Append(memory, i);
  EXPECT_GE(memory.records(), 1000u);
  EXPECT_LT(memory.records(), 1000 + kTraceBlockSize / 100);
  EXPECT_EQ(memory.records() + memory.forgotten().submissions, 10'000u);
  const size_t there = memory.records();
  ASSERT_TRUE(memory.WriteTo({.path = path()}, kHeader, 0).ok());
  const std::vector<int> numbers = Read(path());
  ASSERT_EQ(numbers.size(), there);
  for (size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], static_cast<int>(10'000 - there + i));
}

TEST_F(FlightMemoryTest, WhatWasWrittenIsNotWrittenAgain) {
  FlightMemory memory(1000, 0);
  ASSERT_TRUE(memory.WriteTo({.path = path()}, kHeader, 0).ok());
  EXPECT_TRUE(Read(path()).empty());
  Append(memory, 1);
  ASSERT_TRUE(memory.WriteTo({.path = path()}, kHeader, 0).ok());
  EXPECT_EQ(Read(path()), std::vector<int>({1}));
  EXPECT_EQ(memory.records(), 0u);
  Append(memory, 2);
  ASSERT_TRUE(memory.WriteTo({.path = path(), .keep = 1}, kHeader, 0).ok());
  EXPECT_EQ(Read(path()), std::vector<int>({2}));
  EXPECT_EQ(Read(path() + ".1"), std::vector<int>({1})) << "the older one is kept";
}

TEST_F(FlightMemoryTest, WhatCannotBeWrittenIsStillThere) {
  FlightMemory memory(1000, 0);
  Append(memory, 1);
  EXPECT_FALSE(memory.WriteTo({.path = dir_.Path("no/such/directory")}, kHeader, 0).ok());
  Append(memory, 2);
  ASSERT_TRUE(memory.WriteTo({.path = path()}, kHeader, 0).ok());
  EXPECT_EQ(Read(path()), std::vector<int>({1, 2}));
  EXPECT_FALSE(memory.forgotten().any());
}

TEST_F(FlightMemoryTest, OneRecordIsEnough) {
  FlightMemory memory(0, 0);
  for (int i = 0; i < 2000; ++i) Append(memory, i);
  EXPECT_EQ(memory.records() + memory.forgotten().submissions, 2000u);
}

TEST_F(FlightMemoryTest, ARecordThatNoBlockHoldsIsRefused) {
  FlightMemory memory(10, 0);
  const auto huge = [](uint64_t /*base_ns*/, std::string& record) { record.assign(kTraceBlockSize, 'x'); };
  EXPECT_TRUE(Refused(memory.Append(huge, {.submissions = 1}, 0), absl::StatusCode::kInvalidArgument));
  Append(memory, 1);
  EXPECT_EQ(memory.forgotten().submissions, 1u);
}

}  // namespace
}  // namespace agentos
