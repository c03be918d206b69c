// What a ring may hold and what happens when it is full.
//
// Thread rule: plain values.
// Errors: Validate answers InvalidArgument naming the field, its value and what is allowed.
//
//   RingOptions options;
//   options.sq_size = 64;
//   options.overflow = OverflowPolicy::kBackpressure;
//   absl::Status status = manager->CreateRing(kPid, options);

#ifndef AGENTOS_RING_RING_OPTIONS_H_
#define AGENTOS_RING_RING_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/ring/types.h"

namespace agentos {

enum class OverflowPolicy : uint8_t {
  // A full completion queue drops its oldest entry. Waiting for a dropped entry answers DataLoss.
  kDropOldest,
  // Nothing is dropped: an entry is accepted only when a completion slot is free for it, else Submit answers ResourceExhausted.
  kBackpressure,
};

struct RingOptions {
  // Accepted entries that have not started yet; 1 to kMaxQueueSize. Any number: nothing is rounded to a power of two.
  size_t sq_size = kDefaultSubmissionQueueSize;
  // Completions not yet reaped; 1 to kMaxQueueSize. Any number.
  size_t cq_size = kDefaultCompletionQueueSize;
  OverflowPolicy overflow = OverflowPolicy::kDropOldest;
  // Started entries that have not completed; 0 means cq_size.
  size_t max_in_flight = 0;
  // Bytes that started entries move, as far as it is known beforehand: the sizes of reads and receives, the data of writes and
  // sends; a ReadFile counts as 64 KiB, its first buffer. 0 means any number. An entry that is larger by itself starts when
  // nothing else is under way.
  size_t max_bytes_in_flight = 0;
  // What the process's mailbox holds before an IpcSend to it has to wait: messages, and their bytes. A single message larger than
  // mailbox_bytes is refused with EMSGSIZE.
  size_t mailbox_messages = 256;
  size_t mailbox_bytes = size_t{1} << 20;
  // The largest file ReadFile reads, in bytes; a larger one is EFBIG.
  size_t max_file_size = size_t{1} << 30;
  // How many of its waiting entries start for each one of a ring of weight 1; 1 to 1,000.
  size_t weight = 1;
  // The group that it belongs to; 0 means none.
  RingGroupId group = 0;
  // How long DestroyRing waits for entries that are slow to stop.
  absl::Duration destroy_timeout = absl::Seconds(5);

  absl::Status Validate() const;
};

}  // namespace agentos

#endif  // AGENTOS_RING_RING_OPTIONS_H_
