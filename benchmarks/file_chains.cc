#include "agentos/benchmarks/file_chains.h"

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "agentos/benchmarks/small_files.h"

namespace agentos::bench {
namespace {

enum Step : uint64_t { kOpen, kTransfer, kClose };

uint64_t Tag(size_t slot, Step step) { return slot * 4 + step; }

}  // namespace

std::string ShapeName(Shape shape) {
  switch (shape) {
    case Shape::kChains:
      return "chains";
    case Shape::kPipelined:
      return "pipelined";
    case Shape::kWaves:
      return "waves";
  }
  return "";
}

FileChains::FileChains(FloorRing& ring, size_t depth)
    : ring_(ring),
      depth_(depth),
      buffers_(depth, kLargestFile),
      status_(io_uring_register_files_sparse(ring.get(), static_cast<unsigned>(depth))) {}

int64_t FileChains::Run(Shape shape, const FileWork& work) {
  bytes_ = 0;
  failed_ = false;
  switch (shape) {
    case Shape::kChains:
      RunChains(work);
      break;
    case Shape::kPipelined:
      RunPipelined(work);
      break;
    case Shape::kWaves:
      RunWaves(work);
      break;
  }
  return failed_ ? -1 : bytes_;
}

void FileChains::PrepareOpen(const FileWork& work, size_t file, size_t slot, unsigned flags) {
  io_uring_sqe* sqe = ring_.NextSqe();
  const int open_flags = work.sizes == nullptr ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC;
  io_uring_prep_openat_direct(sqe, AT_FDCWD, (*work.paths)[file].c_str(), open_flags, 0644, static_cast<unsigned>(slot));
  sqe->flags |= static_cast<uint8_t>(flags);
  sqe->user_data = Tag(slot, kOpen);
}

void FileChains::PrepareTransfer(const FileWork& work, size_t file, size_t slot, unsigned flags) {
  io_uring_sqe* sqe = ring_.NextSqe();
  const int fd = static_cast<int>(slot);
  if (work.sizes == nullptr) {
    io_uring_prep_read(sqe, fd, buffers_[slot], kLargestFile, 0);
  } else {
    io_uring_prep_write(sqe, fd, buffers_[slot], static_cast<unsigned>((*work.sizes)[file]), 0);
  }
  sqe->flags |= static_cast<uint8_t>(IOSQE_FIXED_FILE | flags);
  sqe->user_data = Tag(slot, kTransfer);
}

void FileChains::PrepareClose(size_t slot) {
  io_uring_sqe* sqe = ring_.NextSqe();
  io_uring_prep_close_direct(sqe, static_cast<unsigned>(slot));
  sqe->user_data = Tag(slot, kClose);
}

void FileChains::PrepareChain(const FileWork& work, size_t file, size_t slot) {
  PrepareOpen(work, file, slot, IOSQE_IO_LINK);
  PrepareTransfer(work, file, slot, IOSQE_IO_HARDLINK);
  PrepareClose(slot);
}

size_t FileChains::Exchange(size_t count) {
  size_t seen = 0;
  while (seen < count) {
    seen += ring_.SubmitAndConsume(static_cast<unsigned>(count - seen), [this](uint64_t tag, int32_t result) {
      if (result < 0) failed_ = true;
      if (tag % 4 == kTransfer) bytes_ += result;
      if (tag % 4 == kClose) free_slots_.push_back(static_cast<uint32_t>(tag / 4));
    });
  }
  return seen;
}

void FileChains::RunChains(const FileWork& work) {
  const size_t count = work.paths->size();
  for (size_t begin = 0; begin < count; begin += depth_) {
    const size_t end = std::min(count, begin + depth_);
    for (size_t file = begin; file < end; ++file) PrepareChain(work, file, file - begin);
    Exchange(3 * (end - begin));
  }
  free_slots_.clear();
}

void FileChains::RunPipelined(const FileWork& work) {
  const size_t count = work.paths->size();
  free_slots_.clear();
  for (size_t slot = 0; slot < depth_; ++slot) free_slots_.push_back(static_cast<uint32_t>(slot));
  size_t next = 0;
  size_t under_way = 0;
  while (next < count || under_way > 0) {
    while (next < count && !free_slots_.empty()) {
      PrepareChain(work, next++, free_slots_.back());
      free_slots_.pop_back();
      under_way += 3;
    }
    under_way -= Exchange(std::min(under_way, 3 * (depth_ / 4)));
  }
  free_slots_.clear();
}

void FileChains::RunWaves(const FileWork& work) {
  const size_t count = work.paths->size();
  const size_t half = depth_ / 2;
  size_t open_before = 0;
  size_t other_half = 0;
  for (size_t begin = 0, slots = 0; begin < count || open_before > 0; begin += half, slots = half - slots) {
    const size_t now = begin < count ? std::min(count - begin, half) : 0;
    for (size_t i = 0; i < now; ++i) PrepareOpen(work, begin + i, slots + i, 0);
    for (size_t i = 0; i < open_before; ++i) PrepareClose(other_half + i);
    Exchange(now + open_before);
    for (size_t i = 0; i < now; ++i) PrepareTransfer(work, begin + i, slots + i, 0);
    if (now > 0) Exchange(now);
    open_before = now;
    other_half = slots;
  }
  free_slots_.clear();
}

}  // namespace agentos::bench
