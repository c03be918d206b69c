// Writes records into the blocks of a trace file, and begins another file when one is large enough.
//
// Every file begins with the same record, its header, so each can be read by itself; the blocks are numbered through all of them.
// What has not filled a block yet is on the disk after Flush: its block is written where it stands, and again later.
//
// A write that fails costs the block: its records are counted as lost and the next block takes its place, so a full disk ends
// nothing. The numbers of the blocks show the gap.
//
// Thread rule: one thread at a time.
// Errors: a Status that names the path, the call and the errno. After any of them the next call works.
//
//   auto writer = TraceFileWriter::Create({.path = "/tmp/a.trace"}, header.SerializeAsString(), now_ns);
//   (*writer)->Append([&](uint64_t base_ns, std::string& record) { ... }, now_ns);
//   (*writer)->Flush();

#ifndef AGENTOS_MANAGER_TRACE_FILE_WRITER_H_
#define AGENTOS_MANAGER_TRACE_FILE_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agentos/manager/trace_block.h"

namespace agentos {

struct TraceFileOptions {
  // A regular file; one that is there is overwritten. Only its owner may read it.
  std::string path;
  // Of one file, in bytes: at least two blocks; 0 means no limit.
  uint64_t max_file_bytes = 0;
  // How many full files are kept, as <path>.1 (the youngest), <path>.2 and so on.
  size_t keep = 1;
};

class TraceFileWriter {
 public:
  // `header` fits a block together with any record that shall be written.
  static absl::StatusOr<std::unique_ptr<TraceFileWriter>> Create(TraceFileOptions options, std::string header, uint64_t now_ns);
  // Writes what is left.
  ~TraceFileWriter();
  TraceFileWriter(const TraceFileWriter&) = delete;
  TraceFileWriter& operator=(const TraceFileWriter&) = delete;

  // `encode` writes the record, with times that count from `base_ns`, into an empty string; it is called again when its block
  // was full. InvalidArgument when no block could hold the record.
  using Encode = absl::FunctionRef<void(uint64_t base_ns, std::string& record)>;
  absl::Status Append(Encode encode, uint64_t now_ns);

  absl::Status Flush();

  // Records that were appended and are in no block on the disk, because writing it failed.
  uint64_t lost_records() const { return lost_records_; }
  // Bytes written, all files together.
  uint64_t bytes() const { return earlier_bytes_ + offset_ + block_bytes_; }

 private:
  TraceFileWriter(TraceFileOptions options, std::string header) : options_(std::move(options)), header_(std::move(header)) {}

  absl::Status Open();
  // The block is full, or ends for another reason.
  absl::Status FinishBlock(uint64_t now_ns);
  absl::Status WriteBlock();
  absl::Status Rotate();
  absl::Status Failed(absl::string_view call, const std::string& path) const;

  const TraceFileOptions options_;
  const std::string header_;
  int fd_ = -1;
  // Where the block that is being filled belongs, and how much of it is on the disk already.
  uint64_t offset_ = 0;
  uint64_t block_bytes_ = 0;
  size_t block_records_on_disk_ = 0;
  uint64_t earlier_bytes_ = 0;
  uint64_t lost_records_ = 0;
  TraceBlockBuilder builder_;
  std::string record_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_FILE_WRITER_H_
