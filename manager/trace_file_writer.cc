#include "agentos/manager/trace_file_writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agentos/manager/trace_records.h"

namespace agentos {

absl::StatusOr<std::unique_ptr<TraceFileWriter>> TraceFileWriter::Make(TraceFileOptions options, std::string header) {
  if (options.path.empty()) return absl::InvalidArgumentError("path is empty: it must name the file to write");
  if (options.max_file_bytes != 0 && options.max_file_bytes < 2 * kTraceBlockSize) {
    return absl::InvalidArgumentError(absl::StrCat("max_file_bytes is ", options.max_file_bytes,
                                                   ": it must be 0 (no limit) or at least ", 2 * kTraceBlockSize,
                                                   ", two blocks"));
  }
  if (header.size() > kTraceBlockSize / 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("the header is ", header.size(), " bytes long, more than half a block of ", kTraceBlockSize));
  }
  return std::unique_ptr<TraceFileWriter>(new TraceFileWriter(std::move(options), std::move(header)));
}

absl::StatusOr<std::unique_ptr<TraceFileWriter>> TraceFileWriter::Create(TraceFileOptions options, std::string header,
                                                                         uint64_t now_ns) {
  auto writer = Make(std::move(options), std::move(header));
  if (!writer.ok()) return writer;
  if (absl::Status begun = (*writer)->Begin(now_ns, 0); !begun.ok()) return begun;
  return writer;
}

absl::StatusOr<std::unique_ptr<TraceFileWriter>> TraceFileWriter::CreateUnpublished(TraceFileOptions options, std::string header,
                                                                                    uint64_t now_ns, uint64_t sequence) {
  auto writer = Make(std::move(options), std::move(header));
  if (!writer.ok()) return writer;
  (*writer)->is_unpublished_ = true;
  if (absl::Status begun = (*writer)->Begin(now_ns, sequence); !begun.ok()) return begun;
  return writer;
}

absl::Status TraceFileWriter::Publish() {
  if (absl::Status kept = KeepOlder(); !kept.ok()) return kept;
  if (rename(CurrentPath().c_str(), options_.path.c_str()) != 0) return Failed("rename", CurrentPath());
  is_unpublished_ = false;
  return absl::OkStatus();
}

std::string TraceFileWriter::CurrentPath() const { return is_unpublished_ ? options_.path + ".part" : options_.path; }

absl::Status TraceFileWriter::Begin(uint64_t now_ns, uint64_t sequence) {
  builder_.Start(sequence, now_ns);
  builder_.Add(header_);
  if (absl::Status opened = Open(); !opened.ok()) return opened;
  // So that a path that cannot be written is known now and not in an hour.
  return Flush();
}

TraceFileWriter::~TraceFileWriter() {
  if (fd_ < 0) return;
  static_cast<void>(Finish());
  if (is_unpublished_) unlink(CurrentPath().c_str());
  close(fd_);
}

absl::Status TraceFileWriter::Finish() {
  absl::Status flushed = Flush();
  if (!flushed.ok()) {
    lost_ += block_counts_;
    block_counts_ = {};
  }
  return flushed;
}

absl::Status TraceFileWriter::Failed(absl::string_view call, const std::string& path) const {
  return absl::ErrnoToStatus(errno, absl::StrCat("trace file ", path, ": ", call));
}

absl::Status TraceFileWriter::Open() {
  // Not O_TRUNC: what is no regular file stays as it is.
  const int fd = open(CurrentPath().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
  if (fd < 0) return Failed("open", options_.path);
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    return absl::InvalidArgumentError(absl::StrCat("trace file ", options_.path, ": it must be a regular file"));
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    absl::Status failed = errno == EWOULDBLOCK
                              ? absl::FailedPreconditionError(absl::StrCat(
                                    "trace file ", options_.path, ": another recording writes to it; choose another path"))
                              : Failed("flock", options_.path);
    close(fd);
    return failed;
  }
  if (ftruncate(fd, 0) != 0) {
    absl::Status failed = Failed("ftruncate", options_.path);
    close(fd);
    return failed;
  }
  fd_ = fd;
  offset_ = 0;
  return absl::OkStatus();
}

bool TraceFileWriter::Add(Encode encode) {
  record_.clear();
  encode(builder_.base_ns(), record_);
  return builder_.Add(record_);
}

absl::Status TraceFileWriter::Append(Encode encode, const TraceCounts& counts, uint64_t now_ns) {
  absl::Status finished;
  if (!Add(encode)) {
    // Whether or not the old block could be written, there is a new one now.
    finished = FinishBlock(now_ns);
    if (!Add(encode)) {
      lost_ += counts;
      unsaid_ += counts;
      return absl::InvalidArgumentError(
          absl::StrCat("a record of ", record_.size(), " bytes is more than a block of ", kTraceBlockSize, " holds"));
    }
  }
  block_counts_ += counts;
  return finished;
}

absl::Status TraceFileWriter::AppendLoss(const TraceCounts& lost, uint64_t now_ns) {
  unsaid_ += lost;
  const TraceCounts says = unsaid_;
  const auto encode = [&](uint64_t base_ns, std::string& record) {
    EncodeLoss(says, static_cast<int64_t>(now_ns), base_ns, record);
  };
  // A new block begins with it by itself.
  if (!Add(encode)) return FinishBlock(now_ns);
  block_losses_ += says;
  unsaid_ = {};
  return absl::OkStatus();
}

void TraceFileWriter::AddLoss(uint64_t now_ns) {
  if (unsaid_.any()) static_cast<void>(AppendLoss({}, now_ns));
}

absl::Status TraceFileWriter::AppendBlock(absl::string_view block) {
  offset_ += std::exchange(block_bytes_, 0) == 0 ? 0 : kTraceBlockSize;
  if (absl::Status written = Write(block); !written.ok()) return written;
  block_bytes_ = block.size();
  block_records_on_disk_ = builder_.records();
  return absl::OkStatus();
}

absl::Status TraceFileWriter::Flush() {
  return builder_.records() == block_records_on_disk_ && block_bytes_ > 0 ? absl::OkStatus() : WriteBlock();
}

absl::Status TraceFileWriter::WriteBlock() {
  const absl::string_view bytes = builder_.Finish();
  if (options_.max_file_bytes != 0 && offset_ + bytes.size() > options_.max_file_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("trace file ", options_.path, " is as large as max_file_bytes, ",
                                                     options_.max_file_bytes, ", allows, and no other could be begun"));
  }
  if (absl::Status written = Write(bytes); !written.ok()) return written;
  block_bytes_ = bytes.size();
  block_records_on_disk_ = builder_.records();
  return absl::OkStatus();
}

absl::Status TraceFileWriter::Write(absl::string_view bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset_ + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Failed("pwrite", options_.path);
    done += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status TraceFileWriter::FinishBlock(uint64_t now_ns) {
  absl::Status status = Flush();
  if (status.ok()) {
    offset_ += kTraceBlockSize;
  } else {
    // Half of it may be there: the next block is written over it.
    lost_ += block_counts_;
    unsaid_ += block_counts_;
    unsaid_ += block_losses_;
  }
  block_counts_ = {};
  block_losses_ = {};
  const uint64_t next = builder_.sequence() + 1;
  block_bytes_ = 0;
  block_records_on_disk_ = 0;
  builder_.Start(next, now_ns);
  if (options_.max_file_bytes != 0 && offset_ + kTraceBlockSize > options_.max_file_bytes) {
    if (absl::Status rotated = Rotate(); !rotated.ok()) {
      AddLoss(now_ns);
      return rotated;
    }
    builder_.Add(header_);
  }
  AddLoss(now_ns);
  return status;
}

absl::Status TraceFileWriter::KeepOlder() const {
  const auto name = [&](size_t age) { return age == 0 ? options_.path : absl::StrCat(options_.path, ".", age); };
  for (size_t age = options_.keep; age > 0; --age) {
    if (rename(name(age - 1).c_str(), name(age).c_str()) != 0 && errno != ENOENT) return Failed("rename", name(age - 1));
  }
  return absl::OkStatus();
}

absl::Status TraceFileWriter::Rotate() {
  if (options_.keep == 0) {
    if (ftruncate(fd_, 0) != 0) return Failed("ftruncate", options_.path);
    earlier_bytes_ += std::exchange(offset_, 0);
    return absl::OkStatus();
  }
  if (absl::Status kept = KeepOlder(); !kept.ok()) return kept;
  const int full = fd_;
  const uint64_t full_bytes = offset_;
  if (absl::Status opened = Open(); !opened.ok()) return opened;
  close(full);
  earlier_bytes_ += full_bytes;
  return absl::OkStatus();
}

}  // namespace agentos
