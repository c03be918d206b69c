// Bytes of a trace as text that other programs read: Linux knows no encoding of paths and payloads, JSON and Perfetto know one only.
//
// Thread rule: pure functions.
// Errors: none; every input has an output.
//
//   std::string json;
//   AppendJsonString(operation.entry.open().path(), &json);  // "/tmp/\\xffa"

#ifndef AGENTOS_TOOLS_TEXT_ENCODING_H_
#define AGENTOS_TOOLS_TEXT_ENCODING_H_

#include <string>

#include "absl/strings/string_view.h"

namespace agentos {

// The bytes as UTF-8: what is none of it is written as \xHH, a zero as \x00, and everything else stays.
std::string ToUtf8(absl::string_view bytes);

// The same for a terminal: control characters, those beyond ASCII too, are written as \xHH as well.
std::string ToPrintable(absl::string_view bytes);

// Appends the bytes as a JSON string, quotes included, UTF-8 as ToUtf8 makes it. It can stand within a <script> element, too: it
// holds no '<', '>' or '&', and no line separators; and on a terminal, for it holds no control characters.
void AppendJsonString(absl::string_view bytes, std::string* out);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TEXT_ENCODING_H_
