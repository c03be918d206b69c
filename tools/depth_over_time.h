// How many operations were waiting, and how many under way, at each time of a trace: means over equal stretches of time, exact
// whatever the order in which the operations come.
//
// Memory is fixed: when the operations span more than the stretches cover, each stretch becomes twice as long.
//
// Thread rule: a value, one thread at a time.
//
//   DepthOverTime depth;
//   depth.Add(queued_ns, started_ns, ended_ns);
//   for (const DepthOverTime::Stretch& stretch : depth.Stretches()) ...

#ifndef AGENTOS_TOOLS_DEPTH_OVER_TIME_H_
#define AGENTOS_TOOLS_DEPTH_OVER_TIME_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace agentos {

class DepthOverTime {
 public:
  struct Stretch {
    int64_t from_ns = 0;
    double waiting = 0;
    double under_way = 0;
  };

  // At most that many stretches, a power of two.
  explicit DepthOverTime(size_t stretches = 2048) : changes_(stretches) {}

  // One operation; times that go backwards count as no time.
  void Add(int64_t queued_ns, int64_t started_ns, int64_t ended_ns);

  // Without gaps, from the first operation to the end of the last.
  std::vector<Stretch> Stretches() const;

  // How long each of them is; a power of two.
  double stretch_ns() const { return static_cast<double>(uint64_t{1} << shift_); }

 private:
  // What changes within a stretch: by how much, and by how much times how late in it.
  struct Change {
    int64_t waiting = 0;
    int64_t under_way = 0;
    double waiting_late = 0;
    double under_way_late = 0;
  };

  Change& At(int64_t time_ns);
  void Double();
  size_t Slot(int64_t number) const { return static_cast<size_t>(number) & (changes_.size() - 1); }
  double Late(int64_t time_ns) const;

  std::vector<Change> changes_;
  // Stretches are numbered through all of time; number n begins at n << shift_.
  int shift_ = 0;
  bool empty_ = true;
  int64_t first_ = 0;
  int64_t last_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_DEPTH_OVER_TIME_H_
