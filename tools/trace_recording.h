// One recording: its files in order, with the halves of each operation brought together.
//
// Thread rule: one thread at a time.
// Errors: as TraceStream's.
//
//   TraceRecording recording(std::move(files));
//   for (TraceItem item; *recording.Next(item);) ...

#ifndef AGENTOS_TOOLS_TRACE_RECORDING_H_
#define AGENTOS_TOOLS_TRACE_RECORDING_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/tools/trace_blocks.h"
#include "agentos/tools/trace_item.h"

namespace agentos {

class TraceRecording {
 public:
  static constexpr size_t kMostPending = 1'000'000;

  struct File {
    std::unique_ptr<TraceBlocks> blocks;
    // TraceItem's `file`.
    size_t number = 0;
  };

  // `files` are in the order in which they were written. `most_pending`: how many operations may be under way at once.
  explicit TraceRecording(std::vector<File> files, size_t most_pending = kMostPending);

  // False at the end; of a recording that is followed, at what is its end now.
  absl::StatusOr<bool> Next(TraceItem& item);
  // There will be no more: from now on Next hands out the operations that never ended.
  void Finish();

  // CLOCK_REALTIME less CLOCK_MONOTONIC, once the header has been read.
  int64_t realtime_offset_ns() const { return realtime_offset_ns_; }
  uint64_t bytes_read() const { return bytes_read_; }
  uint64_t bytes() const;

 private:
  struct Key {
    uint32_t pid;
    uint64_t seq;
    int64_t queued_ns;

    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H state, const Key& key) {
      return H::combine(std::move(state), key.pid, key.seq, key.queued_ns);
    }
  };

  // Takes the next record of the file; nullopt when there is none.
  absl::StatusOr<bool> NextRecord(absl::string_view& bytes);
  void AddDamage(const TraceBlocks::Item& item);
  absl::Status AddHeader(const proto::v1::TraceHeader& header);
  // False when the record has only changed what is pending.
  bool Take(TraceItem& item);
  bool TakeOperation(TraceItem& item);
  bool TakeQueued(TraceItem& item);
  bool TakeCompleted(TraceItem& item);
  void TakeRingDestroyed(TraceItem& item);
  void AddUnknown(absl::string_view bytes);
  int64_t Absolute(int64_t time_ns) const;
  void KeepPending(const Key& key, TracedOperation&& operation);

  std::vector<File> files_;
  const size_t most_pending_;
  size_t file_ = 0;
  TraceBlocks::Item block_;
  bool in_block_ = false;
  bool is_finished_ = false;
  bool shows_unknown_ = false;
  // Blocks that are not there before this one; said unless the block says so itself.
  uint64_t missing_ = 0;
  // Of the last good block, and the file that it was in.
  uint64_t last_sequence_ = 0;
  size_t sequence_file_ = 0;
  proto::v1::TraceRecord record_;
  // What comes before the next record.
  std::deque<TraceItem> ready_;
  absl::flat_hash_map<Key, TracedOperation> pending_;
  // The keys of pending_ by age, with some that are pending no more.
  std::deque<Key> by_age_;
  int64_t realtime_offset_ns_ = 0;
  uint64_t bytes_read_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_RECORDING_H_
