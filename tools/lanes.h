// Spreads stretches of time over lanes, so that no two in a lane overlap: what happens at the same time stands side by side.
//
// Stretches come in the order of their ends, more or less; one that begins before the lanes' last ends gets a lane of its own.
//
// Thread rule: a value, one thread at a time.
//
//   Lanes lanes;
//   size_t lane = lanes.Take(start_ns, end_ns);  // 0, 1, ...

#ifndef AGENTOS_TOOLS_LANES_H_
#define AGENTOS_TOOLS_LANES_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>

namespace agentos {

class Lanes {
 public:
  // The lane that has been free for the shortest time before `start`, or a new one. `end` is not before `start`.
  size_t Take(int64_t start, int64_t end) {
    auto after = free_.upper_bound({start, std::numeric_limits<size_t>::max()});
    if (after == free_.begin()) {
      free_.emplace(end, free_.size());
      return free_.size() - 1;
    }
    const size_t lane = std::prev(after)->second;
    free_.erase(std::prev(after));
    free_.emplace(end, lane);
    return lane;
  }

  // Whether Take would make a new lane.
  bool IsFull(int64_t start) const { return free_.empty() || free_.begin()->first > start; }

  size_t size() const { return free_.size(); }

 private:
  // Since when each lane is free.
  std::set<std::pair<int64_t, size_t>> free_;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_LANES_H_
