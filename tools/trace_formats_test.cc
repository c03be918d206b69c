#include "agentos/tools/trace_formats.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/tools/sample_items.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/util/delimited_message_util.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// Whether Python's parser takes each line.
testing::AssertionResult IsJsonLines(const std::string& text) {
  const std::string path = absl::StrCat(testing::TempDir(), "/lines.json");
  std::ofstream(path, std::ios::binary) << text;
  const std::string command = absl::StrCat(
      "python3 -c 'import json,sys; [json.loads(l)[\"type\"] for l in open(sys.argv[1], encoding=\"utf-8\")]' ", path);
  if (std::system(command.c_str()) == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "the reason is printed above";
}

TEST(TraceFormats, WriteTheSampleAsTheGoldenFilesHaveIt) {
  const std::string json = Exported(MakeJsonLines, SampleItems());
  EXPECT_TRUE(IsJsonLines(json));
  EXPECT_TRUE(IsAsInFile(json, "tools/testdata/sample.jsonl"));
  EXPECT_TRUE(IsAsInFile(Exported(MakeCsv, SampleItems()), "tools/testdata/sample.csv"));
}

TEST(TraceFormats, WhateverATraceHoldsIsJson) {
  for (uint32_t seed = 0; seed < 5; ++seed) EXPECT_TRUE(IsJsonLines(Exported(MakeJsonLines, WildItems(seed, 1000))));
}

TEST(TraceFormats, RecordsCanBeReadAsProtobufSays) {
  for (uint32_t seed = 0; seed < 5; ++seed) {
    const auto items = seed == 0 ? SampleItems() : WildItems(seed, 500);
    const std::string bytes = Exported(MakeProtoRecords, items);
    google::protobuf::io::ArrayInputStream in(bytes.data(), static_cast<int>(bytes.size()));
    size_t records = 0;
    bool end = false;
    while (!end) {
      proto::v1::TraceRecord record;
      const bool read = google::protobuf::util::ParseDelimitedFromZeroCopyStream(&record, &in, &end);
      ASSERT_TRUE(read || end);
      records += read ? 1 : 0;
    }
    size_t expected = 0;
    for (const TraceItem& item : items) {
      expected += std::holds_alternative<TraceDamage>(item) || std::holds_alternative<TraceUnknown>(item) ? 0 : 1;
    }
    EXPECT_EQ(records, expected);
  }
}

TEST(TraceFormats, TheDateOfAHeaderKeepsItsNanoseconds) {
  proto::v1::TraceHeader header;
  header.set_realtime_ns(1'795'471'200'123'456'789);
  EXPECT_NE(Exported(MakeJsonLines, {header}).find("\"began\":1795471200.123456789}"), std::string::npos);
}

TEST(TraceFormats, AnOutputThatIsFullIsAnError) {
  for (const auto& make : {MakeJsonLines, MakeCsv, MakeProtoRecords}) {
    char buffer[16];
    google::protobuf::io::ArrayOutputStream out(buffer, sizeof buffer);
    const std::unique_ptr<TraceExporter> exporter = make(&out);
    absl::Status status = exporter->Begin();
    for (const TraceItem& item : SampleItems()) {
      if (status.ok()) status = exporter->Add(item);
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  }
}

}  // namespace
}  // namespace agentos
