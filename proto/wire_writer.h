// Writes a message's fields one after the other into memory, in the wire format of protocol buffers.
//
// For where a generated message would cost too much: no object is built, nothing is allocated. Fields that hold what a reader
// takes for granted (0, "") are left out, as generated code does.
//
// Thread rule: a value; one thread at a time.
// Lifetime: the memory is the caller's, and there is enough of it: 16 bytes for each number, 16 and its size for each string, 16
// for each message.
// Source: the encoding as protobuf's documentation describes it.
//
//   WireWriter writer(memory);
//   writer.Unsigned(proto::v1::Entry::kPidFieldNumber, 7);
//   char* end = writer.end();

#ifndef AGENTOS_PROTO_WIRE_WRITER_H_
#define AGENTOS_PROTO_WIRE_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"
#include "google/protobuf/io/coded_stream.h"

namespace agentos {

class WireWriter {
 public:
  static constexpr size_t kMostNumberBytes = 16;

  explicit WireWriter(char* to) : to_(reinterpret_cast<uint8_t*>(to)) {}

  // uint32, uint64, bool, enum
  void Unsigned(int field, uint64_t value) {
    if (value != 0) AnyUnsigned(field, value);
  }
  // int32, int64: a negative one takes ten bytes.
  void Signed(int field, int64_t value) { Unsigned(field, static_cast<uint64_t>(value)); }
  // sint32, sint64
  void ZigZag(int field, int64_t value) {
    Unsigned(field, (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
  }
  // bytes, string
  void String(int field, absl::string_view value) {
    if (!value.empty()) AnyString(field, value);
  }

  // Of fields that know whether they are there.
  void AnyUnsigned(int field, uint64_t value) {
    Tag(field, 0);
    Varint(value);
  }
  void AnySigned(int field, int64_t value) { AnyUnsigned(field, static_cast<uint64_t>(value)); }
  void AnyString(int field, absl::string_view value) {
    Tag(field, 2);
    Varint(value.size());
    std::memcpy(to_, value.data(), value.size());
    to_ += value.size();
  }

  // A message within: its fields are written between the two calls.
  uint8_t* Begin(int field) {
    Tag(field, 2);
    // Most are short enough for a length of one byte.
    return ++to_;
  }
  void End(uint8_t* begin) {
    const auto size = static_cast<size_t>(to_ - begin);
    if (size < 0x80) [[likely]] {
      begin[-1] = static_cast<uint8_t>(size);
      return;
    }
    const size_t more = google::protobuf::io::CodedOutputStream::VarintSize64(size) - 1;
    std::memmove(begin + more, begin, size);
    google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(size, begin - 1);
    to_ += more;
  }

  char* end() const { return reinterpret_cast<char*>(to_); }

 private:
  void Tag(int field, uint32_t wire_type) { Varint(static_cast<uint32_t>(field) << 3 | wire_type); }
  void Varint(uint64_t value) {
    if (value < 0x80) [[likely]] {
      *to_++ = static_cast<uint8_t>(value);
    } else if (value < 0x4000) {
      to_[0] = static_cast<uint8_t>(value | 0x80);
      to_[1] = static_cast<uint8_t>(value >> 7);
      to_ += 2;
    } else {
      to_ = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(value, to_);
    }
  }

  uint8_t* to_;
};

}  // namespace agentos

#endif  // AGENTOS_PROTO_WIRE_WRITER_H_
