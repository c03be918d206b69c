// Owned bytes that move and never copy behind your back: what Write, Send and WriteFile take, and what a result gives.
//
// A Bytes takes over a std::string or a std::vector<char> as it is, copies from a string_view, or holds a buffer of a pool that
// goes back when the Bytes dies. Moving it moves the ownership and leaves the source empty.
//
// Thread rule: a value; one thread at a time. A pooled one may be destroyed on another thread than it was made on.
// Lifetime: view() and data() are valid until the Bytes is moved from, assigned to or destroyed.
//
//   Bytes a(std::move(string));                    // no copy
//   Bytes b("literal");                            // a copy
//   std::string text = std::move(a).IntoString();  // no copy when it came from a string

#ifndef AGENTOS_RING_BYTES_H_
#define AGENTOS_RING_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "agentos/ring/result_buffer_pool.h"

namespace agentos {

class Bytes {
 public:
  Bytes() noexcept : kind_(Kind::kEmpty) {}
  // Implicit on purpose: an operand called data takes whatever the caller has.
  Bytes(std::string text) noexcept : kind_(Kind::kString) { new (&string_) std::string(std::move(text)); }
  Bytes(std::vector<char> bytes) noexcept : kind_(Kind::kVector) { new (&vector_) std::vector<char>(std::move(bytes)); }
  // Null is no text.
  Bytes(const char* text) : Bytes(std::string(text == nullptr ? "" : text)) {}
  Bytes(absl::string_view text) : Bytes(std::string(text.data(), text.size())) {}
#if !defined(ABSL_USES_STD_STRING_VIEW)
  Bytes(std::string_view text) : Bytes(std::string(text)) {}
#endif
  // The first `size` bytes of `buffer`; size must not exceed its capacity.
  Bytes(PooledBuffer buffer, size_t size) noexcept : kind_(Kind::kPooled) { new (&pooled_) Pooled{std::move(buffer), size}; }

  Bytes(Bytes&& other) noexcept : kind_(Kind::kEmpty) { TakeFrom(other); }
  Bytes& operator=(Bytes&& other) noexcept {
    if (this != &other) {
      Clear();
      TakeFrom(other);
    }
    return *this;
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() { Clear(); }

  size_t size() const {
    switch (kind_) {
      case Kind::kEmpty:
        return 0;
      case Kind::kPooled:
        return pooled_.size;
      case Kind::kString:
        return string_.size();
      case Kind::kVector:
        return vector_.size();
    }
    return 0;
  }
  bool empty() const { return size() == 0; }

  const char* data() const {
    switch (kind_) {
      case Kind::kEmpty:
        return nullptr;
      case Kind::kPooled:
        return pooled_.buffer.data();
      case Kind::kString:
        return string_.data();
      case Kind::kVector:
        return vector_.data();
    }
    return nullptr;
  }

  absl::string_view view() const { return absl::string_view(data(), size()); }

  // A copy.
  std::string ToString() const { return std::string(data() == nullptr ? "" : data(), size()); }

  // The bytes as a string; without a copy when they came as one. Leaves this empty.
  std::string IntoString() && {
    std::string text = kind_ == Kind::kString ? std::move(string_) : ToString();
    Clear();
    return text;
  }

  // The pool's buffer that the bytes lie in, to be filled anew; empty when they lie elsewhere. Leaves this empty.
  PooledBuffer IntoBuffer() && {
    PooledBuffer buffer = kind_ == Kind::kPooled ? std::move(pooled_.buffer) : PooledBuffer();
    Clear();
    return buffer;
  }

  // The buffer that they lie in, null when they lie elsewhere.
  const PooledBuffer* buffer() const { return kind_ == Kind::kPooled ? &pooled_.buffer : nullptr; }

  // PooledBuffer::arena of the buffer they lie in, -1 without one.
  int arena() const { return kind_ == Kind::kPooled ? pooled_.buffer.arena() : -1; }

  // As Clear; a buffer of `owner`'s pool goes back the short way. Only the pool's owner may call it.
  void ReturnTo(ResultBufferPool& owner) noexcept {
    if (kind_ == Kind::kPooled) pooled_.buffer.ReturnTo(owner);
    Clear();
  }

  // Gives up what it holds.
  void Clear() noexcept {
    if (kind_ == Kind::kEmpty) return;
    if (kind_ == Kind::kPooled) {
      pooled_.~Pooled();
    } else if (kind_ == Kind::kString) {
      string_.~basic_string();
    } else {
      vector_.~vector();
    }
    kind_ = Kind::kEmpty;
  }

 private:
  enum class Kind : uint8_t { kEmpty, kPooled, kString, kVector };
  struct Pooled {
    PooledBuffer buffer;
    size_t size;
  };

  // Precondition: this is empty.
  void TakeFrom(Bytes& other) noexcept {
    switch (other.kind_) {
      case Kind::kEmpty:
        return;
      case Kind::kPooled:
        new (&pooled_) Pooled(std::move(other.pooled_));
        break;
      case Kind::kString:
        new (&string_) std::string(std::move(other.string_));
        break;
      case Kind::kVector:
        new (&vector_) std::vector<char>(std::move(other.vector_));
        break;
    }
    kind_ = other.kind_;
    other.Clear();
  }

  union {
    Pooled pooled_;
    std::string string_;
    std::vector<char> vector_;
  };
  Kind kind_;
};

}  // namespace agentos

#endif  // AGENTOS_RING_BYTES_H_
