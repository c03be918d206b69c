// The words every other header speaks: process ids, sequence numbers, priorities and the default sizes.
//
// Thread rule: plain values and constants; free to use from any thread.

#ifndef AGENTOS_RING_TYPES_H_
#define AGENTOS_RING_TYPES_H_

#if !defined(__cplusplus) || __cplusplus < 202002L
#error "agentos_uring needs C++20: add copts = [\"-std=c++20\"] to the target that includes this header."
#endif

#include <cstddef>
#include <cstdint>

namespace agentos {

// The AgentOS process id: a name the caller chooses for a process, tenant, session or actor. It has nothing to do with the host's
// pid, and every value of the type is a legal one.
using Pid = uint32_t;

// Names one accepted entry of one ring. A ring counts from 1 upward without gaps; 0 is never a sequence number.
using Seq = uint64_t;

// Rings that one thread waits for together (IoUringManager::NewRingGroup). 0 is no group.
using RingGroupId = uint32_t;

// Which of a ring's waiting entries starts first.
enum class Priority : uint8_t { kBackground, kNormal, kUrgent };

// What the next entry of a batch waits for.
enum class Link : uint8_t {
  // Nothing.
  kNone,
  // That this entry has succeeded; when it did not, the next and all that follow in the chain complete as cancelled.
  kOnSuccess,
  // That this entry has ended, however it ended.
  kOnEnd,
};

inline constexpr size_t kDefaultSubmissionQueueSize = 256;
inline constexpr size_t kDefaultCompletionQueueSize = 512;

// The largest queue a ring may ask for, in entries: what 100,000 waiting connections of one process need, and some.
inline constexpr size_t kMaxQueueSize = 262144;

// As an offset of Read and Write: the file's own position, as read(2) and write(2) use it.
inline constexpr int64_t kCurrentPosition = -1;

// The most bytes one Read, Write, Send or Recv may name: what the kernel moves at most in one call (read(2), NOTES).
inline constexpr size_t kMaxTransferSize = 0x7ffff000;

}  // namespace agentos

#endif  // AGENTOS_RING_TYPES_H_
