#include "agentos/tools/text_encoding.h"

#include <string>

#include "gtest/gtest.h"

namespace agentos {
namespace {

std::string Json(absl::string_view bytes) {
  std::string out;
  AppendJsonString(bytes, &out);
  return out;
}

TEST(TextEncodingTest, TextStaysAsItIs) {
  EXPECT_EQ(ToUtf8(""), "");
  EXPECT_EQ(ToUtf8("/tmp/a b\n"), "/tmp/a b\n");
  EXPECT_EQ(ToUtf8("\xC3\xA4 \xE2\x82\xAC \xF0\x9F\x90\xA7"), "\xC3\xA4 \xE2\x82\xAC \xF0\x9F\x90\xA7");
  EXPECT_EQ(ToUtf8("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF"), "\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF");
}

TEST(TextEncodingTest, WhatIsNoUtf8IsSpelledOut) {
  EXPECT_EQ(ToUtf8("a\xFFz"), "a\\xffz");
  EXPECT_EQ(ToUtf8(absl::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(ToUtf8("\x80"), "\\x80") << "a continuation without a beginning";
  EXPECT_EQ(ToUtf8("\xE2\x82"), "\\xe2\\x82") << "the string ends within a character";
  EXPECT_EQ(ToUtf8("\xC0\xAF"), "\\xc0\\xaf") << "a slash that is too long";
  EXPECT_EQ(ToUtf8("\xE0\x9F\xBF"), "\\xe0\\x9f\\xbf") << "too long";
  EXPECT_EQ(ToUtf8("\xF0\x8F\xBF\xBF"), "\\xf0\\x8f\\xbf\\xbf") << "too long";
  EXPECT_EQ(ToUtf8("\xED\xA0\x80"), "\\xed\\xa0\\x80") << "half of a pair of UTF-16";
  EXPECT_EQ(ToUtf8("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond the last character";
}

TEST(TextEncodingTest, NothingReachesATerminalAsACommand) {
  EXPECT_EQ(ToPrintable("\x1B[2J\n\x7F\xFF"), "\\x1b[2J\\x0a\\x7f\\xff");
  EXPECT_EQ(ToPrintable("\xC2\x9B"
                        "2J\xC2\x80\xC2\x9F"),
            "\\xc2\\x9b"
            "2J\\xc2\\x80\\xc2\\x9f");
  EXPECT_EQ(ToPrintable("\xC2\xA0\xC3\xA4 a"), "\xC2\xA0\xC3\xA4 a");
  EXPECT_EQ(ToPrintable(""), "");
  EXPECT_EQ(Json("\xC2\x9B\xC2\xA0"), "\"\\u009b\xC2\xA0\"");
}

TEST(TextEncodingTest, JsonHoldsWhatStringsMayHold) {
  EXPECT_EQ(Json("a\"b\\c\n\x01\x7F"), R"("a\"b\\c\u000a\u0001\u007f")");
  EXPECT_EQ(Json("\xFF"), R"("\\xff")");
  EXPECT_EQ(Json("\xC3\xA4"), "\"\xC3\xA4\"");
}

TEST(TextEncodingTest, JsonCannotEndAScript) {
  EXPECT_EQ(Json("</script><!--&"), R"("\u003c/script\u003e\u003c!--\u0026")");
  EXPECT_EQ(Json("\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA"), "\"\\u2028\\u2029\xE2\x80\xAA\"");
}

}  // namespace
}  // namespace agentos
