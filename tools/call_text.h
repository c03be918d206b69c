// What an operation was asked for, as a line of C would say it: Open("/etc/hostname", O_RDONLY|O_CLOEXEC).
//
// Flags are those of Linux on the machine that reads; numbers without a name stay numbers. Strings are escaped, so nothing of a
// trace reaches a terminal as a control character.
//
// Thread rule: pure functions.
//
//   CallAsText(operation.entry);  // "Read(fd 5, 4096, at 0)"

#ifndef AGENTOS_TOOLS_CALL_TEXT_H_
#define AGENTOS_TOOLS_CALL_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "agentos/proto/entry.pb.h"

namespace agentos {

std::string CallAsText(const proto::v1::Entry& entry);

// In quotes, with everything but printable ASCII escaped; what is longer than `most` bytes is cut and ends with "...".
std::string QuotedText(absl::string_view bytes, size_t most = 256);

// "12.3us": three digits and a unit.
std::string ShortTime(double ns);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_CALL_TEXT_H_
