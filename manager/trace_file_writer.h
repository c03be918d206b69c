// Writes records into the blocks of a trace file, and begins another file when one is large enough.
//
// Every file begins with the same record, its header, so each can be read by itself; the blocks are numbered through all of them.
// What has not filled a block yet is on the disk after Flush: its block is written where it stands, and again later.
//
// A write that fails costs the block: what its records told of is counted as lost, the next block takes its place and says so, so a
// full disk ends nothing. The numbers of the blocks show the gap.
//
// The file is locked (flock(2)) while it is written: a second writer of the same file is refused.
//
// Thread rule: one thread at a time.
// Errors: a Status that names the path, the call and the errno. After any of them the next call works.
//
//   auto writer = TraceFileWriter::Create({.path = "/tmp/a.trace"}, header.SerializeAsString(), now_ns);
//   (*writer)->Append([&](uint64_t base_ns, std::string& record) { ... }, {.submissions = 1}, now_ns);
//   (*writer)->Flush();

#ifndef AGENTOS_MANAGER_TRACE_FILE_WRITER_H_
#define AGENTOS_MANAGER_TRACE_FILE_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agentos/manager/trace_block.h"
#include "agentos/manager/trace_counts.h"
#include "agentos/manager/trace_sink.h"

namespace agentos {

struct TraceFileOptions {
  // A regular file; one that is there is overwritten. Only its owner may read it.
  std::string path;
  // Of one file, in bytes: at least two blocks; 0 means no limit.
  uint64_t max_file_bytes = 0;
  // How many full files are kept, as <path>.1 (the youngest), <path>.2 and so on.
  size_t keep = 1;
};

class TraceFileWriter final : public TraceSink {
 public:
  // `header` fits a block together with any record that shall be written.
  static absl::StatusOr<std::unique_ptr<TraceFileWriter>> Create(TraceFileOptions options, std::string header, uint64_t now_ns);
  // Writes to <path>.part until Publish; what is not published goes with it. Its first block has the number `sequence`.
  static absl::StatusOr<std::unique_ptr<TraceFileWriter>> CreateUnpublished(TraceFileOptions options, std::string header,
                                                                            uint64_t now_ns, uint64_t sequence);
  // The file gets its name, and older ones of that name get theirs, as when a file is full: nobody sees half of it.
  absl::Status Publish();
  // Finishes.
  ~TraceFileWriter() override;
  TraceFileWriter(const TraceFileWriter&) = delete;
  TraceFileWriter& operator=(const TraceFileWriter&) = delete;

  // InvalidArgument when no block could hold the record.
  absl::Status Append(Encode encode, const TraceCounts& counts, uint64_t now_ns) override;
  absl::Status AppendLoss(const TraceCounts& lost, uint64_t now_ns) override;
  // A whole block that was built elsewhere, as it is. Everything before it must be on the disk, and be a block's worth or nothing.
  absl::Status AppendBlock(absl::string_view block);

  absl::Status Flush();
  // The last Flush: what cannot be written now is lost. Nothing may be appended afterwards.
  absl::Status Finish();

  // What was appended and is not on the disk, because a block could not be written.
  const TraceCounts& lost() const { return lost_; }
  // Bytes written, all files together.
  uint64_t bytes() const { return earlier_bytes_ + offset_ + block_bytes_; }

 private:
  TraceFileWriter(TraceFileOptions options, std::string header) : options_(std::move(options)), header_(std::move(header)) {}

  static absl::StatusOr<std::unique_ptr<TraceFileWriter>> Make(TraceFileOptions options, std::string header);
  absl::Status Begin(uint64_t now_ns, uint64_t sequence);
  absl::Status Open();
  absl::Status KeepOlder() const;
  // What it writes to.
  std::string CurrentPath() const;
  bool Add(Encode encode);
  // The block is full.
  absl::Status FinishBlock(uint64_t now_ns);
  // Says in the new block what the one before it took with it.
  void AddLoss(uint64_t now_ns);
  absl::Status WriteBlock();
  absl::Status Write(absl::string_view bytes);
  absl::Status Rotate();
  absl::Status Failed(absl::string_view call, const std::string& path) const;

  const TraceFileOptions options_;
  const std::string header_;
  int fd_ = -1;
  bool is_unpublished_ = false;
  // Where the block that is being filled belongs, and how much of it is on the disk already.
  uint64_t offset_ = 0;
  uint64_t block_bytes_ = 0;
  size_t block_records_on_disk_ = 0;
  uint64_t earlier_bytes_ = 0;
  // What the block tells of, and what it says was lost.
  TraceCounts block_counts_;
  TraceCounts block_losses_;
  TraceCounts lost_;
  // Lost, and no block on the disk says so yet.
  TraceCounts unsaid_;
  TraceBlockBuilder builder_;
  std::string record_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_FILE_WRITER_H_
