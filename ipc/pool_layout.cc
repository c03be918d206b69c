#include "agentos/ipc/pool_layout.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agentos/ipc/shared_memory.h"

namespace agentos {

absl::StatusOr<PoolLayout> PoolLayout::Create(std::vector<SizeClass> classes) {
  if (classes.empty() || classes.size() > kMaxClasses) {
    return absl::InvalidArgumentError(absl::StrCat(classes.size(), " size classes: 1 to ", kMaxClasses, " are possible"));
  }
  PoolLayout layout;
  size_t last_size = 0;
  for (SizeClass& each : classes) {
    const auto refuse = [&each](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("size class of ", each.count, " buffers of ", each.size, " bytes: ", what));
    };
    if (each.size == 0 || each.size > kMaxBytes) return refuse("the size is out of range");
    if (each.count == 0 || each.count > kMaxBuffers - layout.buffers_)
      return refuse(absl::StrCat("a pool has 1 to ", kMaxBuffers, " buffers"));
    each.size = (each.size + SharedMemory::kPageSize - 1) / SharedMemory::kPageSize * SharedMemory::kPageSize;
    if (each.size <= last_size) return refuse("sizes in pages must rise from class to class");
    if (each.size > (kMaxBytes - layout.bytes_) / each.count)
      return refuse(absl::StrCat("a pool has at most ", kMaxBytes, " bytes"));
    last_size = each.size;
    layout.starts_.push_back({layout.buffers_, layout.bytes_});
    layout.buffers_ += each.count;
    layout.bytes_ += each.size * each.count;
  }
  layout.classes_ = std::move(classes);
  return layout;
}

std::optional<size_t> PoolLayout::ClassFor(size_t size) const {
  for (size_t i = 0; i < classes_.size(); ++i) {
    if (size <= classes_[i].size) return i;
  }
  return std::nullopt;
}

size_t PoolLayout::ClassOf(uint32_t index) const {
  size_t size_class = classes_.size() - 1;
  while (index < starts_[size_class].index) --size_class;
  return size_class;
}

PoolLayout::Place PoolLayout::At(uint32_t index) const {
  const size_t size_class = ClassOf(index);
  const size_t size = classes_[size_class].size;
  return {starts_[size_class].offset + (index - starts_[size_class].index) * size, size};
}

}  // namespace agentos
