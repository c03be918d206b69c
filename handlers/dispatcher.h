// Choose: which way suits a request: a ring, a stream over a ring, or a task beside the rings.
//
// Rings take what the kernel executes by itself. A transfer that is large is better taken as a stream of chunks: its memory is
// bounded, its progress can be seen, and it can be stopped half-way. What computes, sleeps for long or is a program belongs on a
// thread of the AsyncTaskManager, where it can take its time without anybody's loop waiting.
//
// Thread rule: any thread.
//
//   switch (Choose(syscall, size_of_file).way) {
//     case Way::kRing: return registry.Handle(pid, syscall, std::move(answer));
//     case Way::kStream: return ring.Spawn(SendInChunks(ring, syscall));
//     case Way::kTask: return tasks.Spawn(pid, "thumbnail", MakeThumbnail);
//   }

#ifndef AGENTOS_HANDLERS_DISPATCHER_H_
#define AGENTOS_HANDLERS_DISPATCHER_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "agentos/handlers/syscall.h"

namespace agentos {

enum class Way : uint8_t { kRing, kStream, kTask };

absl::string_view WayName(Way way);

struct Choice {
  Way way;
  // Why, for people.
  absl::string_view reason;
};

// From how many bytes on a transfer is large: from here on its memory counts for more than the second or third entry.
inline constexpr uint64_t kStreamFrom = uint64_t{8} << 20;

// `size` is how much will move, where the caller knows better than the request itself: the size of a file that is read.
Choice Choose(const Syscall& syscall, std::optional<uint64_t> size = std::nullopt);

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_DISPATCHER_H_
