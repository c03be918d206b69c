// Where the buffers of a pool lie: size classes one after the other, each a row of buffers of one size.
//
// Both sides compute it from the same few numbers, so that neither has to believe an offset that the other one wrote.
//
// Thread rule: a value.
// Units: bytes; sizes are rounded up to whole pages, so that every buffer is aligned to 4096.
// Errors: Create answers InvalidArgument and names the class that is wrong.

#ifndef AGENTOS_IPC_POOL_LAYOUT_H_
#define AGENTOS_IPC_POOL_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"

namespace agentos {

struct SizeClass {
  size_t size = 0;
  uint32_t count = 0;
};

class PoolLayout {
 public:
  static constexpr size_t kMaxClasses = 8;
  static constexpr uint32_t kMaxBuffers = 65536;
  static constexpr size_t kMaxBytes = size_t{1} << 38;

  struct Place {
    size_t offset = 0;
    size_t size = 0;
  };

  // At most kMaxClasses, of rising sizes.
  static absl::StatusOr<PoolLayout> Create(std::vector<SizeClass> classes);

  const std::vector<SizeClass>& classes() const { return classes_; }
  uint32_t buffers() const { return buffers_; }
  size_t bytes() const { return bytes_; }
  size_t max_size() const { return classes_.back().size; }

  // The smallest class whose buffers hold so much.
  std::optional<size_t> ClassFor(size_t size) const;
  // Precondition: index < buffers().
  size_t ClassOf(uint32_t index) const;
  Place At(uint32_t index) const;
  // The first buffer of a class.
  uint32_t FirstOf(size_t size_class) const { return starts_[size_class].index; }

 private:
  struct Start {
    uint32_t index = 0;
    size_t offset = 0;
  };

  std::vector<SizeClass> classes_;
  std::vector<Start> starts_;
  uint32_t buffers_ = 0;
  size_t bytes_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_IPC_POOL_LAYOUT_H_
