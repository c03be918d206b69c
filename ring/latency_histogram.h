// How long things took: counts in buckets whose width grows with the value, so that any percentile is known within 1/8.
//
// Thread rule: externally synchronised; a value.
//
//   LatencyHistogram histogram;
//   histogram.Add(1500);
//   histogram.Percentile(0.99);

#ifndef AGENTOS_RING_LATENCY_HISTOGRAM_H_
#define AGENTOS_RING_LATENCY_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace agentos {

class LatencyHistogram {
 public:
  // Nanoseconds; a negative value (a clock that went back) counts as 0.
  void Add(int64_t nanoseconds) {
    const auto value = static_cast<uint64_t>(std::max<int64_t>(nanoseconds, 0));
    // A batch that came and went together has one latency.
    if (value != last_value_) {
      last_value_ = value;
      last_bucket_ = BucketOf(value);
      max_ = std::max(max_, value);
    }
    ++counts_[last_bucket_];
  }

  void Merge(const LatencyHistogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    max_ = std::max(max_, other.max_);
  }

  // The upper edge of the bucket that holds the `fraction` (0 to 1) of all values, at most the largest value; 0 when empty.
  uint64_t Percentile(double fraction) const;
  uint64_t max() const { return max_; }
  uint64_t count() const;

 private:
  // Eight buckets per power of two.
  static constexpr int kSubBits = 3;
  static constexpr size_t kBuckets = (64 - kSubBits + 1) << kSubBits;

  static size_t BucketOf(uint64_t value) {
    const int width = std::bit_width(value);
    if (width <= kSubBits + 1) return static_cast<size_t>(value);
    const int shift = width - kSubBits - 1;
    return (static_cast<size_t>(shift) << kSubBits) + static_cast<size_t>(value >> shift);
  }
  static uint64_t UpperEdge(size_t bucket);

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t max_ = 0;
  uint64_t last_value_ = 0;
  size_t last_bucket_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_RING_LATENCY_HISTOGRAM_H_
