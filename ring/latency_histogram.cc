#include "agentos/ring/latency_histogram.h"

#include <cmath>
#include <numeric>

namespace agentos {

uint64_t LatencyHistogram::UpperEdge(size_t bucket) {
  constexpr size_t kExact = size_t{2} << kSubBits;
  if (bucket < kExact) return bucket;
  const size_t shift = (bucket >> kSubBits) - 1;
  const uint64_t lower = static_cast<uint64_t>(bucket - (shift << kSubBits)) << shift;
  return lower + (uint64_t{1} << shift) - 1;
}

uint64_t LatencyHistogram::count() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}); }

uint64_t LatencyHistogram::Percentile(double fraction) const {
  const uint64_t total = count();
  if (total == 0) return 0;
  // The nearest rank: of two values the 99th percentile is the larger one.
  const auto rank = static_cast<uint64_t>(std::max(1.0, std::ceil(fraction * static_cast<double>(total)))) - 1;
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen > rank) return std::min(UpperEdge(i), max_);
  }
  return max_;
}

}  // namespace agentos
