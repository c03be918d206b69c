// Parses a request of HTTP/1.1 for a server of static files: what it needs of RFC 9110 and 9112, strictly, without any I/O.
//
// Thread rule: plain functions and values.
// Errors: a status code and a reason, to be sent back; the connection cannot go on after one that names no length to skip.
//
//   const HttpParse parse = ParseHttpRequest(received);
//   if (parse.state == HttpParse::State::kIncomplete) Receive more, and parse again from the beginning.

#ifndef AGENTOS_EXAMPLES_HTTP_FILE_SERVER_HTTP_REQUEST_H_
#define AGENTOS_EXAMPLES_HTTP_FILE_SERVER_HTTP_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace agentos {

// Line and headers together may not be longer.
inline constexpr size_t kMostHttpHeader = 16 << 10;
inline constexpr size_t kMostHttpTarget = 4 << 10;

// "bytes=FIRST-LAST", "bytes=FIRST-", "bytes=-SUFFIX".
struct HttpRange {
  std::optional<uint64_t> first;
  // Inclusive; without `first` the length of the suffix.
  std::optional<uint64_t> last;

  // The bytes of a file of this size; nothing when there are none.
  struct Bytes {
    uint64_t offset;
    uint64_t length;
  };
  std::optional<Bytes> Of(uint64_t size) const;
};

struct HttpRequest {
  bool head = false;
  // Decoded, without a query, without a slash in front; no segment of it is "." or "..". Empty for the root.
  std::string path;
  // Whether the target ended with a slash.
  bool is_directory = false;
  bool keep_alive = true;
  // A single range; several are answered with the whole file, as RFC 9110 allows.
  std::optional<HttpRange> range;
};

struct HttpParse {
  enum class State : uint8_t { kIncomplete, kComplete, kError };

  State state = State::kIncomplete;
  HttpRequest request;
  // Of one that is complete: its bytes, after which the next one begins.
  size_t size = 0;
  // Of an error.
  int status = 0;
  absl::string_view reason;
};

HttpParse ParseHttpRequest(absl::string_view received);

}  // namespace agentos

#endif  // AGENTOS_EXAMPLES_HTTP_FILE_SERVER_HTTP_REQUEST_H_
