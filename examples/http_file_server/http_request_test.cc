#include "agentos/examples/http_file_server/http_request.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using State = HttpParse::State;

std::string Get(const std::string& target, const std::string& fields = "") {
  return absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: x\r\n", fields, "\r\n");
}

TEST(HttpRequestTest, ReadsWhatAFileServerNeeds) {
  const std::string text = "HEAD /a/b%20c?query#part HTTP/1.1\r\nhost: x\r\nRANGE: bytes=5-9\r\nConnection: a, Close\r\n\r\nGET";
  const HttpParse parse = ParseHttpRequest(text);
  ASSERT_EQ(parse.state, State::kComplete);
  EXPECT_TRUE(parse.request.head);
  EXPECT_EQ(parse.request.path, "a/b c");
  EXPECT_FALSE(parse.request.is_directory);
  EXPECT_FALSE(parse.request.keep_alive);
  EXPECT_EQ(parse.size, text.size() - 3);
  EXPECT_EQ(parse.request.range->first, 5u);
  EXPECT_EQ(parse.request.range->last, 9u);
}

TEST(HttpRequestTest, EveryPrefixIsIncomplete) {
  const std::string text = Get("/file", "Range: bytes=-5\r\nX: y\r\n");
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(ParseHttpRequest(absl::string_view(text).substr(0, size)).state, State::kIncomplete) << size;
  }
  EXPECT_EQ(ParseHttpRequest(text).state, State::kComplete);
}

TEST(HttpRequestTest, KeepsAliveAsTheVersionSays) {
  EXPECT_TRUE(ParseHttpRequest(Get("/")).request.keep_alive);
  EXPECT_FALSE(ParseHttpRequest("GET / HTTP/1.0\r\n\r\n").request.keep_alive);
  EXPECT_TRUE(ParseHttpRequest("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").request.keep_alive);
}

TEST(HttpRequestTest, PathsStayBelowTheRoot) {
  const struct {
    const char* target;
    const char* path;
    bool is_directory;
  } kGood[] = {{"/", "", true},
               {"/a", "a", false},
               {"/a/", "a", true},
               {"//a//b", "a/b", false},
               {"/a/./b", "a/b", false},
               {"/a/../b", "b", false},
               {"/%61%2f%62", "a/b", false},
               {"/a%00", nullptr, false},
               {"/..", nullptr, false},
               {"/a/../..", nullptr, false},
               {"/%2e%2e/x", nullptr, false},
               {"/%zz", nullptr, false},
               {"/%4", nullptr, false},
               {"x", nullptr, false},
               {"http://h/x", nullptr, false}};
  for (const auto& good : kGood) {
    const HttpParse parse = ParseHttpRequest(Get(good.target));
    if (good.path == nullptr) {
      EXPECT_EQ(parse.status, 400) << good.target;
    } else {
      EXPECT_EQ(parse.request.path, good.path) << good.target;
      EXPECT_EQ(parse.request.is_directory, good.is_directory) << good.target;
    }
  }
}

TEST(HttpRequestTest, HostileRequestsHaveAStatus) {
  const struct {
    std::string text;
    int status;
  } kBad[] = {{"\r\n\r\n", 400},
              {"GET\r\n\r\n", 400},
              {"GET  / HTTP/1.1\r\n\r\n", 400},
              {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
              {"GET / http/1.1\r\nHost: x\r\n\r\n", 505},
              {"GET / HTTP/1.1\r\n\r\n", 400},
              {Get("/", "Host: y\r\n"), 400},
              {Get("/", "no colon\r\n"), 400},
              {Get("/", "name : value\r\n"), 400},
              {Get("/", " folded: value\r\n"), 400},
              {Get("/", "X: \x01\r\n"), 400},
              {Get("/", "Content-Length: 5\r\n"), 413},
              {Get("/", "Transfer-Encoding: chunked\r\n"), 413},
              {"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 405},
              {"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501},
              {"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
              {Get("/" + std::string(kMostHttpTarget, 'a')), 414},
              {"GET /" + std::string(2 * kMostHttpTarget, 'a'), 414},
              {Get("/", absl::StrCat("X: ", std::string(kMostHttpHeader, 'a'), "\r\n")), 431}};
  for (const auto& bad : kBad) {
    const HttpParse parse = ParseHttpRequest(bad.text);
    EXPECT_EQ(parse.state, State::kError) << bad.text.substr(0, 60);
    EXPECT_EQ(parse.status, bad.status) << bad.text.substr(0, 60);
  }
}

TEST(HttpRequestTest, RangesAreOfTheFile) {
  const auto bytes = [](const char* value, uint64_t size) -> std::string {
    const std::optional<HttpRange> range = ParseHttpRequest(Get("/", absl::StrCat("Range: ", value, "\r\n"))).request.range;
    if (!range.has_value()) return "whole";
    const std::optional<HttpRange::Bytes> part = range->Of(size);
    return part.has_value() ? absl::StrCat(part->offset, "+", part->length) : "none";
  };
  EXPECT_EQ(bytes("bytes=0-0", 10), "0+1");
  EXPECT_EQ(bytes("bytes=3-", 10), "3+7");
  EXPECT_EQ(bytes("bytes=3-100", 10), "3+7");
  EXPECT_EQ(bytes("bytes=-3", 10), "7+3");
  EXPECT_EQ(bytes("bytes=-30", 10), "0+10");
  EXPECT_EQ(bytes("bytes=10-", 10), "none");
  EXPECT_EQ(bytes("bytes=-0", 10), "none");
  EXPECT_EQ(bytes("bytes=0-", 0), "none");
  for (const char* malformed : {"bytes=", "bytes=-", "bytes=5-3", "bytes=1-2,4-5", "bytes= 1-2", "lines=1-2", "bytes=+1-2",
                                "bytes=99999999999999999999-"}) {
    EXPECT_EQ(bytes(malformed, 10), "whole") << malformed;
  }
}

}  // namespace
}  // namespace agentos
