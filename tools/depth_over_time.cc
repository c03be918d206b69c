#include "agentos/tools/depth_over_time.h"

#include <algorithm>

namespace agentos {

void DepthOverTime::Add(int64_t queued_ns, int64_t started_ns, int64_t ended_ns) {
  started_ns = std::max(started_ns, queued_ns);
  ended_ns = std::max(ended_ns, started_ns);
  Change& queued = At(queued_ns);
  ++queued.waiting;
  queued.waiting_late += Late(queued_ns);
  Change& started = At(started_ns);
  --started.waiting;
  started.waiting_late -= Late(started_ns);
  ++started.under_way;
  started.under_way_late += Late(started_ns);
  Change& ended = At(ended_ns);
  --ended.under_way;
  ended.under_way_late -= Late(ended_ns);
}

std::vector<DepthOverTime::Stretch> DepthOverTime::Stretches() const {
  std::vector<Stretch> stretches;
  if (empty_) return stretches;
  int64_t waiting = 0;
  int64_t under_way = 0;
  for (int64_t number = first_;; ++number) {
    const Change& change = changes_[Slot(number)];
    waiting += change.waiting;
    under_way += change.under_way;
    // What came late in the stretch was there for the rest of it only.
    stretches.push_back({.from_ns = number * (int64_t{1} << shift_),
                         .waiting = std::max(0.0, static_cast<double>(waiting) - change.waiting_late / stretch_ns()),
                         .under_way = std::max(0.0, static_cast<double>(under_way) - change.under_way_late / stretch_ns())});
    if (number == last_) return stretches;
  }
}

DepthOverTime::Change& DepthOverTime::At(int64_t time_ns) {
  if (empty_) first_ = last_ = time_ns >> shift_;
  empty_ = false;
  while (true) {
    const int64_t number = time_ns >> shift_;
    const int64_t first = std::min(first_, number);
    const int64_t last = std::max(last_, number);
    if (static_cast<uint64_t>(last) - static_cast<uint64_t>(first) < changes_.size()) {
      first_ = first;
      last_ = last;
      return changes_[Slot(number)];
    }
    Double();
  }
}

void DepthOverTime::Double() {
  std::vector<Change> doubled(changes_.size());
  for (int64_t number = first_;; ++number) {
    const Change& change = changes_[Slot(number)];
    Change& into = doubled[Slot(number >> 1)];
    const double later = (number & 1) == 0 ? 0 : stretch_ns();
    into.waiting += change.waiting;
    into.under_way += change.under_way;
    into.waiting_late += change.waiting_late + static_cast<double>(change.waiting) * later;
    into.under_way_late += change.under_way_late + static_cast<double>(change.under_way) * later;
    if (number == last_) break;
  }
  changes_ = std::move(doubled);
  first_ >>= 1;
  last_ >>= 1;
  ++shift_;
}

double DepthOverTime::Late(int64_t time_ns) const {
  return static_cast<double>(static_cast<uint64_t>(time_ns) & ((uint64_t{1} << shift_) - 1));
}

}  // namespace agentos
