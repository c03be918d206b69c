#include "agentos/manager/trace_file_writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace agentos {

absl::StatusOr<std::unique_ptr<TraceFileWriter>> TraceFileWriter::Create(TraceFileOptions options, std::string header,
                                                                         uint64_t now_ns) {
  if (options.path.empty()) return absl::InvalidArgumentError("path is empty: it must name the file to write");
  if (options.max_file_bytes != 0 && options.max_file_bytes < 2 * kTraceBlockSize) {
    return absl::InvalidArgumentError(absl::StrCat("max_file_bytes is ", options.max_file_bytes,
                                                   ": it must be 0 (no limit) or at least ", 2 * kTraceBlockSize,
                                                   ", two blocks"));
  }
  auto writer = std::unique_ptr<TraceFileWriter>(new TraceFileWriter(std::move(options), std::move(header)));
  writer->builder_.Start(0, now_ns);
  if (!writer->builder_.Add(writer->header_)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the header is ", writer->header_.size(), " bytes long, more than a block of ", kTraceBlockSize, " holds"));
  }
  if (absl::Status opened = writer->Open(); !opened.ok()) return opened;
  // So that a path that cannot be written is known now and not in an hour.
  if (absl::Status written = writer->Flush(); !written.ok()) return written;
  return writer;
}

TraceFileWriter::~TraceFileWriter() {
  if (fd_ < 0) return;
  static_cast<void>(Flush());
  close(fd_);
}

absl::Status TraceFileWriter::Failed(absl::string_view call, const std::string& path) const {
  return absl::ErrnoToStatus(errno, absl::StrCat("trace file ", path, ": ", call));
}

absl::Status TraceFileWriter::Open() {
  // Not O_TRUNC: what is no regular file stays as it is.
  const int fd = open(options_.path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
  if (fd < 0) return Failed("open", options_.path);
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    return absl::InvalidArgumentError(absl::StrCat("trace file ", options_.path, ": it must be a regular file"));
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

absl::Status TraceFileWriter::Append(Encode encode, uint64_t now_ns) {
  record_.clear();
  encode(builder_.base_ns(), record_);
  if (builder_.Add(record_)) return absl::OkStatus();
  // Whether or not the old block could be written, there is a new one now.
  absl::Status finished = FinishBlock(now_ns);
  record_.clear();
  encode(builder_.base_ns(), record_);
  if (builder_.Add(record_)) return finished;
  return absl::InvalidArgumentError(
      absl::StrCat("a record of ", record_.size(), " bytes is more than a block of ", kTraceBlockSize, " holds"));
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
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset_ + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Failed("pwrite", options_.path);
    done += static_cast<size_t>(n);
  }
  block_bytes_ = bytes.size();
  block_records_on_disk_ = builder_.records();
  return absl::OkStatus();
}

absl::Status TraceFileWriter::FinishBlock(uint64_t now_ns) {
  absl::Status status = Flush();
  if (status.ok()) {
    offset_ += kTraceBlockSize;
  } else {
    // Half of it may be there: the next block is written over it.
    lost_records_ += builder_.records();
  }
  const uint64_t next = builder_.sequence() + 1;
  block_bytes_ = 0;
  block_records_on_disk_ = 0;
  builder_.Start(next, now_ns);
  if (options_.max_file_bytes != 0 && offset_ + kTraceBlockSize > options_.max_file_bytes) {
    if (absl::Status rotated = Rotate(); !rotated.ok()) return rotated;
    builder_.Add(header_);
  }
  return status;
}

absl::Status TraceFileWriter::Rotate() {
  const auto name = [&](size_t age) { return age == 0 ? options_.path : absl::StrCat(options_.path, ".", age); };
  for (size_t age = options_.keep; age > 0; --age) {
    if (rename(name(age - 1).c_str(), name(age).c_str()) != 0 && errno != ENOENT) return Failed("rename", name(age - 1));
  }
  const int full = fd_;
  const uint64_t full_bytes = offset_;
  if (absl::Status opened = Open(); !opened.ok()) return opened;
  close(full);
  earlier_bytes_ += full_bytes;
  return absl::OkStatus();
}

}  // namespace agentos
