#include "agentos/examples/http_file_server/http_request.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace agentos {

namespace {

HttpParse Error(int status, absl::string_view reason) {
  HttpParse parse;
  parse.state = HttpParse::State::kError;
  parse.status = status;
  parse.reason = reason;
  return parse;
}

// The characters of a token (RFC 9110, 5.6.2).
bool IsToken(absl::string_view text) {
  constexpr absl::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains(kOthers, c);
  });
}

bool IsFieldValue(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '\t' || static_cast<unsigned char>(c) >= ' '; });
}

// "%41" for "A"; nothing when a percent sign is followed by something else, or means NUL.
std::optional<std::string> PercentDecode(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
          !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]))) {
        return std::nullopt;
      }
      c = absl::HexStringToBytes(text.substr(i + 1, 2))[0];
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    decoded += c;
  }
  return decoded;
}

// Takes "." and ".." out; nothing when the path would lead out of the root.
std::optional<std::string> Normalize(absl::string_view path) {
  std::vector<absl::string_view> segments;
  for (const absl::string_view segment : absl::StrSplit(path, '/')) {
    if (segment.empty() || segment == ".") continue;
    if (segment != "..") {
      segments.push_back(segment);
    } else if (segments.empty()) {
      return std::nullopt;
    } else {
      segments.pop_back();
    }
  }
  return absl::StrJoin(segments, "/");
}

// Digits only: no sign, no space.
bool ParseNumber(absl::string_view text, std::optional<uint64_t>& number) {
  if (text.empty()) return true;
  uint64_t value = 0;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) || !absl::SimpleAtoi(text, &value)) {
    return false;
  }
  number = value;
  return true;
}

// A range that is malformed is no range (RFC 9110, 14.2).
std::optional<HttpRange> ParseRange(absl::string_view value) {
  if (!absl::ConsumePrefix(&value, "bytes=")) return std::nullopt;
  const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(value, absl::MaxSplits('-', 1));
  HttpRange range;
  if (!absl::StrContains(value, '-') || !ParseNumber(ends.first, range.first) || !ParseNumber(ends.second, range.last)) {
    return std::nullopt;
  }
  if (!range.first.has_value() && !range.last.has_value()) return std::nullopt;
  if (range.first.has_value() && range.last.has_value() && *range.last < *range.first) return std::nullopt;
  return range;
}

// What the fields of one request have said so far.
struct Fields {
  bool host = false;
  bool close = false;
  bool keep_alive = false;
  bool body = false;
  std::optional<HttpRange> range;
};

// False: the line is no field.
bool ReadField(absl::string_view line, Fields& fields) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return false;
  const absl::string_view name = line.substr(0, colon);
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (!IsToken(name) || !IsFieldValue(value)) return false;
  if (absl::EqualsIgnoreCase(name, "Host")) {
    if (fields.host) return false;
    fields.host = true;
  } else if (absl::EqualsIgnoreCase(name, "Connection")) {
    for (const absl::string_view option : absl::StrSplit(value, ',')) {
      fields.close |= absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(option), "close");
      fields.keep_alive |= absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(option), "keep-alive");
    }
  } else if (absl::EqualsIgnoreCase(name, "Content-Length")) {
    fields.body |= value != "0";
  } else if (absl::EqualsIgnoreCase(name, "Transfer-Encoding")) {
    fields.body = true;
  } else if (absl::EqualsIgnoreCase(name, "Range")) {
    fields.range = ParseRange(value);
  }
  return true;
}

bool IsOtherMethod(absl::string_view method) {
  constexpr absl::string_view kOthers[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"};
  return std::find(std::begin(kOthers), std::end(kOthers), method) != std::end(kOthers);
}

}  // namespace

std::optional<HttpRange::Bytes> HttpRange::Of(uint64_t size) const {
  if (size == 0) return std::nullopt;
  if (!first.has_value()) {
    const uint64_t length = std::min(*last, size);
    if (length == 0) return std::nullopt;
    return Bytes{size - length, length};
  }
  if (*first >= size) return std::nullopt;
  return Bytes{*first, std::min(last.value_or(size - 1), size - 1) - *first + 1};
}

HttpParse ParseHttpRequest(absl::string_view received) {
  const absl::string_view head = received.substr(0, kMostHttpHeader);
  const size_t end = head.find("\r\n\r\n");
  const size_t line_end = head.find("\r\n");
  if (line_end == absl::string_view::npos && received.size() > kMostHttpTarget + 32) return Error(414, "URI Too Long");
  if (end == absl::string_view::npos) {
    return received.size() >= kMostHttpHeader ? Error(431, "Request Header Fields Too Large") : HttpParse();
  }

  const std::vector<absl::string_view> words = absl::StrSplit(head.substr(0, line_end), ' ');
  if (words.size() != 3 || !IsToken(words[0]) || words[1].empty()) return Error(400, "Bad Request");
  const auto [method, target, version] = std::tie(words[0], words[1], words[2]);
  if (!absl::StartsWith(version, "HTTP/1.") || version.size() != 8) return Error(505, "HTTP Version Not Supported");
  if (target.size() > kMostHttpTarget) return Error(414, "URI Too Long");

  Fields fields;
  if (line_end != end) {
    for (const absl::string_view line : absl::StrSplit(head.substr(line_end + 2, end - line_end - 2), "\r\n")) {
      if (!ReadField(line, fields)) return Error(400, "Bad Request");
    }
  }
  const bool is_1_0 = version == "HTTP/1.0";
  if (!fields.host && !is_1_0) return Error(400, "Bad Request");
  if (method != "GET" && method != "HEAD") {
    return IsOtherMethod(method) ? Error(405, "Method Not Allowed") : Error(501, "Not Implemented");
  }
  // Files are not sent to; a body would have to be read past.
  if (fields.body) return Error(413, "Content Too Large");

  const absl::string_view undecoded = target.substr(0, target.find_first_of("?#"));
  const std::optional<std::string> decoded = target[0] == '/' ? PercentDecode(undecoded) : std::nullopt;
  std::optional<std::string> path = decoded.has_value() ? Normalize(*decoded) : std::nullopt;
  if (!path.has_value()) return Error(400, "Bad Request");

  HttpParse parse;
  parse.state = HttpParse::State::kComplete;
  parse.size = end + 4;
  parse.request.head = method == "HEAD";
  parse.request.path = *std::move(path);
  parse.request.is_directory = decoded->back() == '/';
  parse.request.keep_alive = !fields.close && (!is_1_0 || fields.keep_alive);
  parse.request.range = fields.range;
  return parse;
}

}  // namespace agentos
