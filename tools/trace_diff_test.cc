#include "agentos/tools/trace_diff.h"

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/manager/trace_file_writer.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/testing/test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using testing::HasSubstr;

class TraceDiffTest : public testing::Test {
 protected:
  struct Said {
    int exit_code = 0;
    std::string out;
    std::string err;
  };

  // A trace of reads, of which those from `first_failed` on fail.
  std::string Written(const std::string& name, uint64_t operations, uint64_t first_failed = UINT64_MAX,
                      uint64_t max_file_bytes = 0) {
    proto::v1::TraceRecord header;
    header.mutable_header()->set_format_major(1);
    header.mutable_header()->set_os_pid(1);
    auto writer = TraceFileWriter::Create({.path = dir_.Path(name), .max_file_bytes = max_file_bytes, .keep = 9},
                                          header.SerializeAsString(), 0);
    EXPECT_TRUE(writer.ok()) << writer.status();
    for (uint64_t i = 1; i <= operations; ++i) {
      proto::v1::TraceRecord record;
      proto::v1::Operation& operation = *record.mutable_operation();
      operation.mutable_entry()->set_pid(7);
      operation.mutable_entry()->mutable_read()->set_fd(5);
      operation.set_seq(i);
      operation.set_queued(static_cast<int64_t>(i) * 1000);
      operation.set_took(500);
      if (i >= first_failed) operation.set_error_number(EIO);
      const auto encode = [&](uint64_t /*base_ns*/, std::string& to) { to = record.SerializeAsString(); };
      EXPECT_TRUE((*writer)->Append(encode, {}, 0).ok());
    }
    return dir_.Path(name);
  }

  static Said Run(const TraceDiffOptions& options) {
    std::ostringstream out;
    std::ostringstream err;
    const int exit_code = RunTraceDiff(options, out, err);
    return {exit_code, out.str(), err.str()};
  }

  TempDir dir_;
};

TEST_F(TraceDiffTest, TheSameIsZero) {
  const Said said = Run({.before = {Written("a", 100)}, .after = {Written("b", 100)}});
  EXPECT_EQ(said.exit_code, kTraceDiffSame);
  EXPECT_THAT(said.out, HasSubstr("100 operations\n\nSame.\n"));
  EXPECT_EQ(said.err, "");
}

TEST_F(TraceDiffTest, DifferentIsOne) {
  TraceDiffOptions options{.before = {Written("a", 100)}, .after = {Written("b", 100, 98)}};
  const Said said = Run(options);
  EXPECT_EQ(said.exit_code, kTraceDiffDifferent);
  EXPECT_THAT(said.out, HasSubstr("pid 7  Read fd 5: 0 -> EIO, 3 of 100, first the 98th\n"));
  options.as_json = true;
  EXPECT_THAT(Run(options).out, HasSubstr("\"from\":\"0\",\"to\":\"EIO\",\"count\":3,\"of\":100,\"first\":98"));
  EXPECT_EQ(Run(options).exit_code, kTraceDiffDifferent);
}

TEST_F(TraceDiffTest, ATraceInSeveralFilesIsOne) {
  const std::string path = Written("rotated", 20'000, UINT64_MAX, 131'072);
  std::vector<std::string> paths = {path};
  for (int age = 1; std::filesystem::exists(absl::StrCat(path, ".", age)); ++age) paths.push_back(absl::StrCat(path, ".", age));
  ASSERT_GT(paths.size(), 1U);
  EXPECT_EQ(Run({.before = {Written("whole", 20'000)}, .after = paths}).exit_code, kTraceDiffSame);
}

TEST_F(TraceDiffTest, WhatCannotBeReadIsTwo) {
  const std::string good = Written("good", 1);
  Spill(dir_.Path("text"), "this is no trace");
  Spill(dir_.Path("empty"), "");
  std::filesystem::create_directory(dir_.Path("folder"));
  for (const std::string name : {"absent", "text", "empty", "folder"}) {
    for (const bool is_first : {true, false}) {
      const std::string bad = dir_.Path(name);
      const Said said = Run({.before = {is_first ? bad : good}, .after = {is_first ? good : bad}});
      EXPECT_EQ(said.exit_code, kTraceDiffFailed) << name;
      EXPECT_EQ(said.out, "");
      EXPECT_THAT(said.err, testing::AllOf(testing::StartsWith("trace_diff: "), HasSubstr(bad))) << name;
    }
  }
}

TEST_F(TraceDiffTest, ADamagedTraceIsReadAndSaidToBe) {
  const std::string path = Written("cut", 20'000);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1000);
  const Said said = Run({.before = {Written("whole", 20'000)}, .after = {path}});
  EXPECT_EQ(said.exit_code, kTraceDiffDifferent);
  EXPECT_THAT(said.out, testing::AllOf(HasSubstr("It is not complete"), HasSubstr("Vanished (1)")));
}

TEST_F(TraceDiffTest, AnOutputThatIsFullIsTwo) {
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  std::ostringstream err;
  const std::string path = Written("a", 1);
  EXPECT_EQ(RunTraceDiff({.before = {path}, .after = {path}}, out, err), kTraceDiffFailed);
}

}  // namespace
}  // namespace agentos
