// Numbers as people read them, and columns that line up.
//
// Thread rule: pure functions.
//
//   WithSeparators(1234567) == "1,234,567";   HumanBytes(1536) == "1.5 KiB";   HumanDuration(absl::Microseconds(1500)) == "1.50
//   ms"

#ifndef AGENTOS_EXAMPLES_QUICKSTART_FORMAT_H_
#define AGENTOS_EXAMPLES_QUICKSTART_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace agentos::quickstart {

std::string WithSeparators(uint64_t number);

std::string HumanBytes(uint64_t bytes);

std::string HumanDuration(absl::Duration duration);

// How many per second; "-" when there was no time to measure.
std::string PerSecond(uint64_t count, absl::Duration duration);

// "1 file", "2 files".
std::string Counted(uint64_t count, const std::string& noun);

// One line per row; the first column is aligned to the left, the others to the right.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_FORMAT_H_
