// The blocks that a trace file is made of: at most 64 KiB each, checksummed, and always in places that are multiples of 64 KiB.
//
// Because a block's place needs no search, nothing that was recorded (another trace, for instance) can be taken for one, and
// damage costs the block that it hits and no other. A block that is not full yet is written where it stands, and again when it
// has more; only the last of a file may be shorter on the disk.
//
//     offset  size  field, little endian
//     0       8     magic: 89 41 4f 53 54 52 0d 0a
//     8       8     sequence: 0, 1, 2, ... through all files of one recording
//     16      8     base time of the records' times, CLOCK_MONOTONIC in nanoseconds
//     24      4     length of the content in bytes
//     28      4     number of records
//     32      4     CRC-32 of the content
//     36      4     CRC-32 of the 36 bytes before
//     40            content: records, each a length as a protobuf varint and a TraceRecord of agentos/proto/trace.proto
//
// CRC-32 is that of zlib, PNG and Ethernet.
//
// Thread rule: values.
// Errors: Parse says of a block whether it is whole, not there, or damaged, and why.
//
//   TraceBlockBuilder builder;
//   builder.Start(sequence, base_ns);
//   if (!builder.Add(record.SerializeAsString())) ...  // full: write builder.Finish(), start the next
//
//   TraceBlock block;
//   if (TraceBlock::Parse(bytes, block) == BlockState::kGood) {
//     for (absl::string_view record; block.Next(record);) ...
//   }

#ifndef AGENTOS_MANAGER_TRACE_BLOCK_H_
#define AGENTOS_MANAGER_TRACE_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace agentos {

inline constexpr size_t kTraceBlockSize = 65536;
inline constexpr size_t kTraceBlockHeaderSize = 40;

class TraceBlockBuilder {
 public:
  // Begins an empty block.
  void Start(uint64_t sequence, uint64_t base_ns);

  // False when the record does not fit any more; one that fits no block never does.
  bool Add(absl::string_view record);

  // What is to be written: header and content. May be called again after further records.
  absl::string_view Finish();

  size_t records() const { return records_; }
  uint64_t base_ns() const { return base_ns_; }
  uint64_t sequence() const { return sequence_; }

 private:
  std::string bytes_;
  uint64_t sequence_ = 0;
  uint64_t base_ns_ = 0;
  uint32_t records_ = 0;
};

enum class BlockState : uint8_t {
  kGood,
  // Nothing was ever written there: all zeros, or no bytes at all.
  kEmpty,
  // The file ends within it.
  kCut,
  // Its bytes are not those that were written.
  kDamaged,
};

class TraceBlock {
 public:
  // Reads the block at the beginning of `bytes`, which are at most kTraceBlockSize and stay valid as long as `block` is used.
  static BlockState Parse(absl::string_view bytes, TraceBlock& block);

  uint64_t sequence() const { return sequence_; }
  uint64_t base_ns() const { return base_ns_; }
  size_t records() const { return records_; }

  // The next record, undecoded; false after the last one.
  bool Next(absl::string_view& record);

 private:
  uint64_t sequence_ = 0;
  uint64_t base_ns_ = 0;
  uint32_t records_ = 0;
  absl::string_view rest_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_BLOCK_H_
