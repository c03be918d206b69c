#include "agentos/examples/quickstart/format.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace agentos::quickstart {

std::string WithSeparators(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string HumanBytes(uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double amount = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // From 1023.95 on, one decimal would show 1024.0.
  while (amount >= 1023.95 && unit + 1 < kUnits.size()) {
    amount /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", amount, kUnits[unit]);
}

std::string HumanDuration(absl::Duration duration) {
  if (duration < absl::Milliseconds(1)) return absl::StrFormat("%.0f us", absl::ToDoubleMicroseconds(duration));
  if (duration < absl::Milliseconds(100)) return absl::StrFormat("%.2f ms", absl::ToDoubleMilliseconds(duration));
  if (duration < absl::Seconds(1)) return absl::StrFormat("%.0f ms", absl::ToDoubleMilliseconds(duration));
  return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(duration));
}

std::string PerSecond(uint64_t count, absl::Duration duration) {
  if (duration <= absl::ZeroDuration()) return "-";
  return WithSeparators(static_cast<uint64_t>(static_cast<double>(count) / absl::ToDoubleSeconds(duration)));
}

std::string Counted(uint64_t count, const std::string& noun) {
  return absl::StrCat(WithSeparators(count), " ", noun, count == 1 ? "" : "s");
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t column = 0; column < row.size(); ++column) widths[column] = std::max(widths[column], row[column].size());
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    for (size_t column = 0; column < row.size(); ++column) {
      const std::string padding(widths[column] - row[column].size(), ' ');
      absl::StrAppend(&text, column == 0 ? row[column] + padding : absl::StrCat("  ", padding, row[column]));
    }
    while (text.back() == ' ') text.pop_back();
    text.push_back('\n');
  }
  return text;
}

}  // namespace agentos::quickstart
