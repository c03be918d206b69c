#include "agentos/manager/trace_file_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace agentos {

absl::StatusOr<bool> TraceFileReader::Next(Item& item) {
  size_t size = 0;
  while (size < kTraceBlockSize) {
    const ssize_t n = read(fd_, bytes_.data() + size, kTraceBlockSize - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "read");
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size == 0) return false;
  item.offset = offset_;
  item.missing = 0;
  offset_ += size;
  item.state = TraceBlock::Parse(absl::string_view(bytes_.data(), size), item.block);
  if (item.state != BlockState::kGood) {
    ++not_good_since_;
    return true;
  }
  const uint64_t sequence = item.block.sequence();
  if (last_sequence_.has_value() && sequence > *last_sequence_ + 1) {
    const uint64_t absent = sequence - *last_sequence_ - 1;
    item.missing = absent > not_good_since_ ? absent - not_good_since_ : 0;
  }
  last_sequence_ = sequence;
  not_good_since_ = 0;
  return true;
}

}  // namespace agentos
