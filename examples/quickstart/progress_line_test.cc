#include "agentos/examples/quickstart/progress_line.h"

#include <chrono>
#include <sstream>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace agentos::quickstart {
namespace {

using std::chrono::milliseconds;

std::string WriteFor(milliseconds how_long, bool is_terminal, milliseconds first) {
  std::ostringstream out;
  Progress progress;
  progress.files = 1234;
  progress.bytes = 2048;
  {
    const ProgressLine line(&out, is_terminal, &progress, first);
    std::this_thread::sleep_for(how_long);
  }
  return out.str();
}

TEST(ProgressLine, IsSilentWhenItIsSoonOver) { EXPECT_EQ(WriteFor(milliseconds(0), true, std::chrono::hours(1)), ""); }

TEST(ProgressLine, RewritesOneLineOnATerminalAndWipesIt) {
  const std::string text = WriteFor(milliseconds(300), true, milliseconds(1));
  EXPECT_NE(text.find("\r\x1b[Kreading: 1,234 files, 2.0 KiB, "), std::string::npos) << text;
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_TRUE(text.ends_with("\r\x1b[K"));
}

TEST(ProgressLine, WritesFewLinesElsewhere) {
  const std::string text = WriteFor(milliseconds(300), false, milliseconds(1));
  EXPECT_TRUE(text.starts_with("reading: 1,234 files, 2.0 KiB, ")) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  int lines = 0;
  for (const char letter : text) lines += letter == '\n' ? 1 : 0;
  EXPECT_LE(lines, 12);
}

}  // namespace
}  // namespace agentos::quickstart
