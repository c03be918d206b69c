// What was received: bytes that are read where the sender has written them. Small messages lie in the view itself.
//
// Thread rule: a view belongs to one thread at a time; it may be destroyed on another thread than it was received on.
// Lifetime: data() is valid until the view is moved from, assigned to or destroyed; that gives the buffer back to its sender. A
// view may outlive its channel and its sender, whose memory it keeps.
// Trust: a sender that does not keep to the rules can change the bytes of a large message while they are read. A reader that does
// not trust its sender checks what it has copied, not what it is about to copy.
//
//   absl::StatusOr<ReceivedView> view = channel->Receive();
//   Parse(view->view());

#ifndef AGENTOS_IPC_RECEIVED_VIEW_H_
#define AGENTOS_IPC_RECEIVED_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/string_view.h"
#include "agentos/ipc/buffer_pool.h"

namespace agentos {

class PeerBuffers;

class ReceivedView {
 public:
  // The largest message that needs no buffer.
  static constexpr size_t kInlineBytes = 112;

  ReceivedView() = default;
  ReceivedView(ReceivedView&& other) noexcept { TakeFrom(other); }
  ReceivedView& operator=(ReceivedView&& other) noexcept {
    if (this != &other) {
      Reset();
      TakeFrom(other);
    }
    return *this;
  }
  ReceivedView(const ReceivedView&) = delete;
  ReceivedView& operator=(const ReceivedView&) = delete;
  ~ReceivedView() { Reset(); }

  size_t size() const { return descriptor_.size; }
  const char* data() const { return data_ != nullptr ? data_ : inline_; }
  absl::string_view view() const { return absl::string_view(data(), size()); }
  // What the sender said beside the bytes.
  uint64_t tag() const { return tag_; }
  // Whether the bytes lie in the sender's memory: nobody has copied them.
  bool in_shared_memory() const { return data_ != nullptr; }

  // Gives the buffer back; the view is empty then.
  void Reset() {
    if (data_ != nullptr) Release();
    descriptor_.size = 0;
    tag_ = 0;
  }

  // For whoever receives: `size` is at most kInlineBytes.
  void FillInline(const char* bytes, size_t size, uint64_t tag) {
    Reset();
    // All of it, as a constant size is a few instructions.
    std::memcpy(inline_, bytes, kInlineBytes);
    descriptor_.size = size;
    tag_ = tag;
  }

 private:
  friend class PeerBuffers;

  void TakeFrom(ReceivedView& other) {
    data_ = std::exchange(other.data_, nullptr);
    buffers_ = std::move(other.buffers_);
    descriptor_ = std::exchange(other.descriptor_, {});
    tag_ = std::exchange(other.tag_, 0);
    if (data_ == nullptr && descriptor_.size != 0) std::memcpy(inline_, other.inline_, kInlineBytes);
  }
  void Release();

  // Null when the bytes are in the view.
  const char* data_ = nullptr;
  std::shared_ptr<PeerBuffers> buffers_;
  BufferDescriptor descriptor_;
  uint64_t tag_ = 0;
  char inline_[kInlineBytes];
};

}  // namespace agentos

#endif  // AGENTOS_IPC_RECEIVED_VIEW_H_
