#include "agentos/tools/chrome_export.h"

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/tools/sample_items.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// Whether Python's parser and the rules of the format accept it.
testing::AssertionResult IsChromeTrace(const std::string& json) {
  const std::string path = absl::StrCat(testing::TempDir(), "/trace.json");
  std::ofstream(path, std::ios::binary) << json;
  const std::string command = absl::StrCat("python3 tools/testdata/check_chrome_trace.py ", path);
  if (std::system(command.c_str()) == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "the reason is printed above";
}

TEST(ChromeExportTest, WritesTheSampleAsTheGoldenFileHasIt) {
  const std::string json = Exported(MakeChromeExporter, SampleItems());
  EXPECT_TRUE(IsChromeTrace(json));
  EXPECT_TRUE(IsAsInFile(json, "tools/testdata/sample.chrome.json"));
}

TEST(ChromeExportTest, ATraceOfNothingIsATrace) { EXPECT_TRUE(IsChromeTrace(Exported(MakeChromeExporter, {}))); }

TEST(ChromeExportTest, WhateverATraceHoldsComesOutWellFormed) {
  for (uint32_t seed = 0; seed < 5; ++seed) {
    EXPECT_TRUE(IsChromeTrace(Exported(MakeChromeExporter, WildItems(seed, 2000)))) << seed;
  }
}

TEST(ChromeExportTest, AnOutputThatIsFullIsAnError) {
  char buffer[64];
  google::protobuf::io::ArrayOutputStream out(buffer, sizeof buffer);
  const std::unique_ptr<TraceExporter> exporter = MakeChromeExporter(&out);
  EXPECT_TRUE(exporter->Begin().ok());
  absl::Status status;
  for (const TraceItem& item : SampleItems()) status = exporter->Add(item);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(exporter->End().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace agentos
