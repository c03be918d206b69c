#include "agentos/ipc/buffer_pool.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agentos/ipc/futex.h"
#include "agentos/ipc/steps.h"
#include "agentos/ring/check.h"

namespace agentos {

absl::Status LoanedBuffer::Resize(size_t size) {
  if (size > capacity_) {
    return absl::InvalidArgumentError(absl::StrCat("size ", size, " is over the buffer's capacity of ", capacity_));
  }
  descriptor_.size = size;
  return absl::OkStatus();
}

void LoanedBuffer::Reset() {
  if (pool_ == nullptr) return;
  pool_->Drop(descriptor_.index);
  pool_.reset();
  data_ = nullptr;
  capacity_ = 0;
  descriptor_ = {};
}

QueueShape BufferPool::ReturnsShape(const PoolLayout& layout) {
  // Every buffer is on its way back at most once, so the queue is never full.
  return {.capacity = std::bit_ceil(layout.buffers()), .slot_size = sizeof(uint64_t)};
}

size_t BufferPool::ReturnsOffset(const PoolLayout& layout) {
  const size_t words = layout.buffers() * sizeof(SharedWord);
  return (words + QueueControl::kLine - 1) / QueueControl::kLine * QueueControl::kLine;
}

absl::StatusOr<std::shared_ptr<BufferPool>> BufferPool::Create(BufferPoolOptions options) {
  absl::StatusOr<PoolLayout> layout = PoolLayout::Create(std::move(options.classes));
  if (!layout.ok()) return layout.status();
  auto data = SharedMemory::Create("agentos-ipc-data", layout->bytes(), SharedMemory::Others::kRead);
  if (!data.ok()) return data.status();
  auto ledger = SharedMemory::Create("agentos-ipc-ledger", LedgerBytes(*layout), SharedMemory::Others::kReadAndWrite);
  if (!ledger.ok()) return ledger.status();
  const uint32_t owner = options.owner != 0 ? options.owner : static_cast<uint32_t>(getpid());
  return std::shared_ptr<BufferPool>(new BufferPool(*std::move(layout), owner, *std::move(data), *std::move(ledger)));
}

BufferPool::BufferPool(PoolLayout layout, uint32_t owner, std::unique_ptr<SharedMemory> data,
                       std::unique_ptr<SharedMemory> ledger)
    : layout_(std::move(layout)),
      owner_(owner),
      data_(std::move(data)),
      ledger_(std::move(ledger)),
      words_(reinterpret_cast<SharedWord*>(ledger_->data())),
      returns_(ledger_->data() + ReturnsOffset(layout_), ReturnsShape(layout_)),
      own_words_(layout_.buffers()) {
  for (size_t i = 0; i < layout_.classes().size(); ++i) {
    const SizeClass& each = layout_.classes()[i];
    stats_.push_back({.size = each.size, .count = each.count, .free = each.count});
    std::vector<uint32_t>& free = free_.emplace_back();
    for (uint32_t n = each.count; n > 0; --n) free.push_back(layout_.FirstOf(i) + n - 1);
  }
}

void BufferPool::MoveTo(uint32_t index, BufferMove move) {
  BufferWord& word = own_words_[index];
  const std::optional<BufferWord> next = AfterMove(word, move, owner_);
  AGENTOS_CHECK(next.has_value());
  word = *next;
  words_[index].bits.store(word.Pack(), std::memory_order_release);
}

void BufferPool::MakeFree(uint32_t index, BufferMove move) {
  MoveTo(index, move);
  const size_t size_class = layout_.ClassOf(index);
  ++stats_[size_class].free;
  free_[size_class].push_back(index);
}

absl::Status BufferPool::CollectReturns() {
  uint32_t index = 0;
  while (returns_.Peek(index) != nullptr) {
    const bool is_out = index < own_words_.size() && own_words_[index].state == BufferState::kSent;
    const BufferWord word = is_out ? BufferWord::Unpack(words_[index].bits.load(std::memory_order_acquire)) : BufferWord();
    if (word.state != BufferState::kReturned || word.generation != own_words_[index].generation) {
      closed_.Update(absl::DataLossError(absl::StrCat("the peer gave back buffer ", index, ", which it does not have")));
      return closed_;
    }
    returns_.Advance();
    AtStep(Step::kReturnPopped);
    own_words_[index] = word;
    MakeFree(index, BufferMove::kCollect);
    AtStep(Step::kFreeMarked);
    --stats_[layout_.ClassOf(index)].out;
    --out_;
  }
  if (returns_.PeerClosed()) closed_.Update(absl::FailedPreconditionError("the peer has closed the channel"));
  if (returns_.peer_lied()) closed_.Update(absl::DataLossError("the peer's index of returned buffers ran past what it has"));
  return closed_;
}

absl::StatusOr<LoanedBuffer> BufferPool::TryLoan(size_t size, size_t size_class) {
  if (absl::Status status = CollectReturns(); !status.ok()) [[unlikely]] {
    return status;
  }
  LoanedBuffer buffer;
  std::vector<uint32_t>& free = free_[size_class];
  if (free.empty()) return buffer;
  const uint32_t index = free.back();
  free.pop_back();
  MoveTo(index, BufferMove::kLoan);
  AtStep(Step::kLoanMarked);
  SizeClassStats& stats = stats_[size_class];
  --stats.free;
  ++stats.loaned;
  ++stats.loans;
  const PoolLayout::Place place = layout_.At(index);
  buffer.pool_ = shared_from_this();
  buffer.data_ = data_->data() + place.offset;
  buffer.capacity_ = place.size;
  buffer.descriptor_ = {index, own_words_[index].generation, size};
  return buffer;
}

absl::StatusOr<LoanedBuffer> BufferPool::Loan(size_t size, absl::Duration timeout) {
  if (guard_.InForkedChild()) return absl::FailedPreconditionError("this pool belongs to the parent process");
  const std::optional<size_t> size_class = layout_.ClassFor(size);
  if (!size_class.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a loan of ", size, " bytes: the largest buffers of this pool have ", layout_.max_size()));
  }
  absl::StatusOr<LoanedBuffer> buffer;
  const auto try_loan = [this, size, &size_class, &buffer] {
    const std::lock_guard<std::mutex> lock(mutex_);
    buffer = TryLoan(size, *size_class);
    return !buffer.ok() || *buffer;
  };
  if (try_loan()) return buffer;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++stats_[*size_class].refusals;
  }
  if (timeout <= absl::ZeroDuration()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all buffers of ", layout_.classes()[*size_class].size, " bytes are in use"));
  }
  const int64_t deadline = DeadlineAfter(timeout);
  do {
    if (!returns_.sleeper().Sleep(deadline, try_loan)) {
      return absl::DeadlineExceededError(absl::StrCat("no buffer of ", layout_.classes()[*size_class].size,
                                                      " bytes came back in ", absl::FormatDuration(timeout)));
    }
  } while (buffer.ok() && !*buffer);
  return buffer;
}

void BufferPool::Drop(uint32_t index) {
  if (guard_.InForkedChild()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    MakeFree(index, BufferMove::kDrop);
    --stats_[layout_.ClassOf(index)].loaned;
  }
  returns_.sleeper().WakeSleepers();
}

std::optional<BufferDescriptor> BufferPool::MarkSent(LoanedBuffer&& buffer) {
  AGENTOS_CHECK(Owns(buffer));
  const BufferDescriptor descriptor = buffer.descriptor_;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_.ok()) return std::nullopt;
    MoveTo(descriptor.index, BufferMove::kSend);
    SizeClassStats& stats = stats_[layout_.ClassOf(descriptor.index)];
    --stats.loaned;
    ++stats.out;
    ++out_;
  }
  AtStep(Step::kSentMarked);
  buffer.pool_.reset();
  buffer.data_ = nullptr;
  buffer.capacity_ = 0;
  buffer.descriptor_ = {};
  return descriptor;
}

bool BufferPool::AwaitOutBelow(uint32_t limit, absl::Duration timeout) {
  const auto is_below = [this, limit] {
    const std::lock_guard<std::mutex> lock(mutex_);
    return out_ < limit || !CollectReturns().ok() || out_ < limit;
  };
  if (is_below()) return true;
  if (timeout <= absl::ZeroDuration()) return false;
  const int64_t deadline = DeadlineAfter(timeout);
  while (returns_.sleeper().Sleep(deadline, is_below)) {
    if (is_below()) return true;
  }
  return is_below();
}

void BufferPool::Close(absl::Status why, WhatIsOut what_is_out) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_.Update(std::move(why));
    if (what_is_out == WhatIsOut::kReclaimed) Reclaim();
  }
  returns_.sleeper().WakeAll();
}

void BufferPool::Reclaim() {
  for (uint32_t i = 0; i < own_words_.size(); ++i) {
    if (own_words_[i].state != BufferState::kSent) continue;
    MakeFree(i, BufferMove::kReclaim);
    --stats_[layout_.ClassOf(i)].out;
    --out_;
  }
}

std::vector<SizeClassStats> BufferPool::Stats() {
  const std::lock_guard<std::mutex> lock(mutex_);
  // What came back is counted as free whether or not somebody has loaned since; a lie shows at the next loan.
  CollectReturns().IgnoreError();
  return stats_;
}

absl::Status BufferPool::status() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return closed_;
}

uint32_t BufferPool::out() {
  const std::lock_guard<std::mutex> lock(mutex_);
  CollectReturns().IgnoreError();
  return out_;
}

}  // namespace agentos
