#include "agentos/tools/html_report.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "agentos/tools/sample_items.h"
#include "gmock/gmock.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using google::protobuf::Struct;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// What a browser makes of the page, used as testdata/page_after.html does.
class Browser {
 public:
  explicit Browser(const std::vector<TraceItem>& items) {
    const std::string page = Exported(MakeHtmlReport, items);
    EXPECT_LT(page.size(), 8U << 20U);
    const std::string folder = absl::StrCat(testing::TempDir(), "/browser");
    const std::string path = absl::StrCat(folder, ".html");
    std::ofstream(path, std::ios::binary) << absl::StrReplaceAll(
        page, {{"<head>", absl::StrCat("<head>", Content("tools/testdata/page_before.html"))},
               {"</body>", absl::StrCat(Content("tools/testdata/page_after.html"), "</body>")}});
    const std::string command = absl::StrCat(
        "HOME=", folder,
        " chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --user-data-dir=",
        folder, " --window-size=1280,900 --enable-logging=stderr --virtual-time-budget=20000 --dump-dom file://", path, " 2>",
        folder, ".log");
    std::FILE* pipe = popen(command.c_str(), "r");
    EXPECT_NE(pipe, nullptr);
    std::string dom;
    char buffer[4096];
    for (size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) dom.append(buffer, got);
    EXPECT_EQ(pclose(pipe), 0) << Content(absl::StrCat(folder, ".log"));

    const std::string begin = "<pre id=\"report\">";
    const size_t at = dom.find(begin);
    if (at == std::string::npos) {
      ADD_FAILURE() << "no report: " << dom.substr(0, 500) << "\n" << Content(absl::StrCat(folder, ".log"));
      return;
    }
    const std::string json = absl::StrReplaceAll(dom.substr(at + begin.size(), dom.find("</pre>", at) - at - begin.size()),
                                                 {{"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}, {"&nbsp;", "\u00A0"}});
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &report_).ok()) << json;
    std::istringstream log(Content(absl::StrCat(folder, ".log")));
    for (std::string line; std::getline(log, line);) {
      // What the browser's own pages have to say is none of ours.
      if (line.find("chrome://") != std::string::npos) continue;
      EXPECT_THAT(line, Not(HasSubstr("CONSOLE")));
    }
  }

  std::string Text(const std::string& name) const { return At(name).string_value(); }
  double Number(const std::string& name) const { return At(name).number_value(); }
  bool Is(const std::string& name) const { return At(name).bool_value(); }
  std::vector<std::string> Texts(const std::string& name) const {
    std::vector<std::string> texts;
    const google::protobuf::Value list = At(name);
    for (const auto& value : list.list_value().values()) texts.push_back(value.string_value());
    return texts;
  }

  // What holds of every page.
  void ExpectSound() const {
    EXPECT_THAT(Texts("problems"), testing::IsEmpty());
    EXPECT_THAT(Texts("outside"), testing::IsEmpty());
    EXPECT_EQ(Number("elements_of_the_trace"), 0);
    EXPECT_EQ(Number("unlabelled"), 0);
    EXPECT_TRUE(Is("width_fits"));
  }

 private:
  google::protobuf::Value At(const std::string& name) const {
    const auto found = report_.fields().find(name);
    if (found == report_.fields().end()) {
      ADD_FAILURE() << "the report has no " << name;
      return {};
    }
    return found->second;
  }

  Struct report_;
};

TEST(HtmlReportTest, ABrowserShowsAllOfTheSample) {
  const Browser browser(SampleItems());
  browser.ExpectSound();
  EXPECT_EQ(browser.Text("title"), "Trace of agent");
  EXPECT_THAT(browser.Text("banner"),
              AllOf(HasSubstr("not complete"), HasSubstr("lost 3 submissions, 4 completions and 1 other record"),
                    HasSubstr("/tmp/a.trace: 64 KiB at 131,072 cannot be read: its checksum is wrong")));
  EXPECT_EQ(browser.Text("sampled"), "");
  EXPECT_THAT(browser.Texts("tiles"), testing::IsSupersetOf({"9operations", "2processes", "2failed"}));
  EXPECT_EQ(browser.Texts("kinds").size(), 8U);
  EXPECT_EQ(browser.Texts("kinds").front(), "ReadFile") << "what took the most time comes first";
  EXPECT_EQ(browser.Number("slowest"), 8);
  EXPECT_EQ(browser.Number("unended"), 1);
  EXPECT_THAT(browser.Texts("targets"), testing::Contains("</script ><img src=x onerror=alert(1)>"));
  EXPECT_THAT(browser.Texts("targets"), testing::Contains("/tmp/\\xff"));
  EXPECT_EQ(browser.Number("legend"), 9) << "eight kinds, and the choice of what failed";
  EXPECT_GE(browser.Number("bars"), 6);
}

TEST(HtmlReportTest, TheCanvasesAreDrawnAndFollowTheKeys) {
  const Browser browser(BusyItems(3000));
  browser.ExpectSound();
  EXPECT_GT(browser.Number("timeline_colours"), 15) << "ten kinds, some of them waiting, and text";
  EXPECT_GT(browser.Number("depth_colours"), 3);
  EXPECT_EQ(browser.Text("banner"), "");
  EXPECT_EQ(browser.Number("slowest"), 50);
  EXPECT_THAT(browser.Text("whole"), HasSubstr("3,000 operations"));
  EXPECT_NE(browser.Text("closer"), browser.Text("whole"));
  EXPECT_EQ(browser.Text("home"), browser.Text("whole"));
  EXPECT_THAT(browser.Text("first"), HasSubstr("seq 1"));
  EXPECT_THAT(browser.Text("error"), testing::AnyOf(HasSubstr("ENOENT"), HasSubstr("ECONNRESET")));
  EXPECT_THAT(browser.Text("shown"), HasSubstr("latency"));
  std::vector<std::string> by_name = browser.Texts("kinds");
  std::sort(by_name.rbegin(), by_name.rend());
  EXPECT_EQ(browser.Texts("sorted"), by_name);
}

TEST(HtmlReportTest, APageOfAHugeTraceIsBoundedAndSaysSo) {
  const Browser browser(BusyItems(30'000));
  browser.ExpectSound();
  EXPECT_THAT(browser.Text("sampled"), HasSubstr("30,000 operations: the 4,000 slowest"));
  EXPECT_THAT(browser.Texts("tiles"), testing::Contains("30,000operations"));
}

TEST(HtmlReportTest, AnEmptyTraceIsAPage) {
  const Browser browser({});
  browser.ExpectSound();
  EXPECT_EQ(browser.Text("title"), "Trace");
  EXPECT_EQ(browser.Number("slowest"), 0);
}

TEST(HtmlReportTest, WhateverATraceHoldsComesOutWell) {
  const Browser browser(WildItems(1, 3000));
  browser.ExpectSound();
  EXPECT_GT(browser.Number("timeline_colours"), 3);
}

TEST(HtmlReportTest, AnOutputThatIsFullIsAnError) {
  char buffer[64];
  google::protobuf::io::ArrayOutputStream out(buffer, sizeof buffer);
  const std::unique_ptr<TraceExporter> exporter = MakeHtmlReport(&out);
  EXPECT_TRUE(exporter->Begin().ok());
  EXPECT_EQ(exporter->End().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace agentos
