// Which level of priority has the next turn: the highest at which something waits, with aging.
//
// Every level that is passed over kPatience times in a row has the next turn: however much urgent work keeps coming, one start in
// kPatience + 1 is left for what is below it (P6). What waits at the levels is known to the caller, who says for each whether
// anything does.
//
// Thread rule: externally synchronised. Pure policy: no clock; one start is one tick.
//
//   const auto waits = [&](size_t level) { return !queues[level].empty(); };
//   const size_t level = turns.Next(waits);
//   turns.Take(level, waits);
//   Start(queues[level].PopFront());

#ifndef AGENTOS_RING_PRIORITY_TURNS_H_
#define AGENTOS_RING_PRIORITY_TURNS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "agentos/ring/types.h"

namespace agentos {

class PriorityTurns {
 public:
  // One for each Priority; the last is the highest.
  static constexpr size_t kLevels = 3;
  static_assert(static_cast<size_t>(Priority::kUrgent) == kLevels - 1);
  // How often in a row others may start before what waits at a lower level.
  static constexpr uint32_t kPatience = 16;

  // Precondition: something waits at one of the levels.
  template <typename Waits>
  size_t Next(Waits waits) const {
    for (size_t level = 0; level < kLevels; ++level) {
      if (waits(level) && passed_over_[level] >= kPatience) return level;
    }
    size_t level = kLevels - 1;
    while (!waits(level)) --level;
    return level;
  }

  // Before what starts is taken out: one at `level`, which Next has named, passes over those that wait below it.
  template <typename Waits>
  void Take(size_t level, Waits waits) {
    for (size_t below = 0; below < level; ++below) {
      if (waits(below)) ++passed_over_[below];
    }
    passed_over_[level] = 0;
  }

 private:
  std::array<uint32_t, kLevels> passed_over_{};
};

}  // namespace agentos

#endif  // AGENTOS_RING_PRIORITY_TURNS_H_
