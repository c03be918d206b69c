#include "agentos/tools/text_encoding.h"

#include <cstddef>

namespace agentos {

namespace {

constexpr char kHex[] = "0123456789abcdef";

// How many bytes the character at the beginning of `bytes` has; 0 when it is no UTF-8. Overlong forms, surrogates and what lies
// beyond U+10FFFF are none (RFC 3629).
size_t CharacterLength(absl::string_view bytes) {
  const auto byte = [&](size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U; };
  const auto follows = [&](size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

// Of text that is UTF-8: whether a terminal obeys the character at the beginning, instead of showing it.
bool IsControl(absl::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  return first < 0x20 || first == 0x7F || (first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0);
}

void AppendHex(char character, std::string& text) {
  const auto byte = static_cast<unsigned char>(character);
  text += {'\\', 'x', kHex[byte >> 4U], kHex[byte & 15U]};
}

}  // namespace

std::string ToUtf8(absl::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t length = CharacterLength(bytes);
    if (length == 0 || bytes[0] == '\0') {
      AppendHex(bytes[0], text);
      bytes.remove_prefix(1);
      continue;
    }
    text.append(bytes.data(), length);
    bytes.remove_prefix(length);
  }
  return text;
}

std::string ToPrintable(absl::string_view bytes) {
  const std::string text = ToUtf8(bytes);
  std::string printable;
  printable.reserve(text.size());
  for (absl::string_view rest = text; !rest.empty();) {
    const size_t length = CharacterLength(rest);
    if (IsControl(rest)) {
      for (const char byte : rest.substr(0, length)) AppendHex(byte, printable);
    } else {
      printable.append(rest.data(), length);
    }
    rest.remove_prefix(length);
  }
  return printable;
}

void AppendJsonString(absl::string_view bytes, std::string* out) {
  const std::string text = ToUtf8(bytes);
  out->push_back('"');
  for (size_t i = 0; i < text.size(); ++i) {
    const char character = text[i];
    const auto byte = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      *out += {'\\', character};
    } else if (byte < 0x20 || byte == 0x7F || character == '<' || character == '>' || character == '&') {
      *out += {'\\', 'u', '0', '0', kHex[byte >> 4U], kHex[byte & 15U]};
    } else if (byte == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      const auto control = static_cast<unsigned char>(text[++i]);
      *out += {'\\', 'u', '0', '0', kHex[control >> 4U], kHex[control & 15U]};
    } else if (byte == 0xE2 && text.compare(i, 2, "\xE2\x80") == 0 && (text[i + 2] == '\xA8' || text[i + 2] == '\xA9')) {
      // JavaScript before 2019 took these for ends of lines.
      *out += text[i + 2] == '\xA8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out->push_back(character);
    }
  }
  out->push_back('"');
}

}  // namespace agentos
