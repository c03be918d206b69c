#include "agentos/manager/io_uring_stats.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace agentos {

std::string IoUringStats::ToString() const {
  std::string text;
  const auto line = [&text](const char* name, uint64_t value) { absl::StrAppendFormat(&text, "%-20s %12u\n", name, value); };
  line("active rings", active_rings);
  line("submissions", total_submissions);
  line("completions", total_completions);
  if (multishot_completions > 0) line("multishot results", multishot_completions);
  if (receive_buffer_exhaustions > 0) line("receive exhaustions", receive_buffer_exhaustions);
  if (zero_copy_sends > 0) {
    line("zero-copy sends", zero_copy_sends);
    line("  copied all the same", zero_copy_copied);
  }
  line("pending", pending);
  line("errors", errors);
  line("cancelled", cancelled);
  line("dropped", dropped);
  line("rejected", rejected);
  line("bytes", bytes);
  line("kernel entries", kernel_entries);
  for (size_t i = 0; i < kOperationKinds; ++i) {
    if (completions_by_operation[i] == 0) continue;
    line(absl::StrCat("  ", OperationName(static_cast<OperationKind>(i))).c_str(), completions_by_operation[i]);
  }
  absl::StrAppend(&text, "latency p50 ", absl::FormatDuration(latency_p50), ", p90 ", absl::FormatDuration(latency_p90), ", p99 ",
                  absl::FormatDuration(latency_p99), ", p99.9 ", absl::FormatDuration(latency_p999), ", max ",
                  absl::FormatDuration(latency_max), "\n");
  return text;
}

}  // namespace agentos
