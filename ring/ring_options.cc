#include "agentos/ring/ring_options.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace agentos {

namespace {

absl::Status CheckRange(absl::string_view field, size_t value, size_t least, size_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("RingOptions.", field, " is ", value, ": it must be from ", least, " to ", most));
}

}  // namespace

absl::Status RingOptions::Validate() const {
  if (absl::Status s = CheckRange("sq_size", sq_size, 1, kMaxQueueSize); !s.ok()) return s;
  if (absl::Status s = CheckRange("cq_size", cq_size, 1, kMaxQueueSize); !s.ok()) return s;
  if (absl::Status s = CheckRange("max_in_flight (0 = cq_size)", max_in_flight, 0, kMaxQueueSize); !s.ok()) return s;
  if (absl::Status s = CheckRange("weight", weight, 1, 1000); !s.ok()) return s;
  if (absl::Status s = CheckRange("mailbox_messages", mailbox_messages, 1, size_t{1} << 20); !s.ok()) return s;
  if (absl::Status s = CheckRange("mailbox_bytes", mailbox_bytes, 1, size_t{1} << 40); !s.ok()) return s;
  if (absl::Status s = CheckRange("max_file_size", max_file_size, 1, size_t{1} << 40); !s.ok()) return s;
  if (destroy_timeout < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("RingOptions.destroy_timeout is ", absl::FormatDuration(destroy_timeout),
                                                   ": it must not be negative; absl::InfiniteDuration() waits for ever"));
  }
  return absl::OkStatus();
}

}  // namespace agentos
