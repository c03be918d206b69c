#include "agentos/executor/provided_buffers.h"

#include <algorithm>
#include <utility>

namespace agentos {

void ProvidedBuffers::Start() {
  tried_ = true;
  ready_ = kernel_.MakeBufferGroup(kMostBuffers) && Grow();
  exhaustions_ = 0;
}

bool ProvidedBuffers::Provide(uint16_t id) {
  PooledBuffer buffer = buffers_.Acquire(kBufferSize);
  if (!buffer) return false;
  kernel_.ProvideBuffer(id, absl::MakeSpan(buffer.data(), kBufferSize));
  provided_[id] = std::move(buffer);
  return true;
}

PooledBuffer ProvidedBuffers::Take(uint16_t id) {
  PooledBuffer filled = std::move(provided_[id]);
  ++taken_since_growth_;
  if (!Provide(id)) ++missing_;
  return filled;
}

bool ProvidedBuffers::Grow() {
  if (taken_since_growth_ < provided_.size() - missing_) return true;
  taken_since_growth_ = 0;
  ++exhaustions_;
  for (size_t id = 0; missing_ > 0 && id < provided_.size(); ++id) {
    if (provided_[id]) continue;
    if (!Provide(static_cast<uint16_t>(id))) break;
    --missing_;
  }
  const size_t wanted = std::clamp(2 * provided_.size(), kFirstBuffers, kMostBuffers);
  while (provided_.size() < wanted && missing_ == 0) {
    provided_.emplace_back();
    if (Provide(static_cast<uint16_t>(provided_.size() - 1))) continue;
    provided_.pop_back();
    break;
  }
  return missing_ < provided_.size();
}

}  // namespace agentos
