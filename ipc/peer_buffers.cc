#include "agentos/ipc/peer_buffers.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "agentos/ipc/steps.h"

namespace agentos {

void ReceivedView::Release() {
  data_ = nullptr;
  buffers_->GiveBack(descriptor_);
  buffers_.reset();
}

absl::StatusOr<std::shared_ptr<PeerBuffers>> PeerBuffers::Create(PoolLayout layout, int data_fd, int ledger_fd, uint32_t sender,
                                                                 uint32_t me) {
  auto data = SharedMemory::Adopt(data_fd, layout.bytes(), SharedMemory::Others::kRead);
  if (!data.ok()) {
    close(ledger_fd);
    return data.status();
  }
  auto ledger = SharedMemory::Adopt(ledger_fd, BufferPool::LedgerBytes(layout), SharedMemory::Others::kReadAndWrite);
  if (!ledger.ok()) return ledger.status();
  return std::shared_ptr<PeerBuffers>(new PeerBuffers(std::move(layout), *std::move(data), *std::move(ledger), sender, me));
}

PeerBuffers::PeerBuffers(PoolLayout layout, std::unique_ptr<SharedMemory> data, std::unique_ptr<SharedMemory> ledger,
                         uint32_t sender, uint32_t me)
    : layout_(std::move(layout)),
      data_(std::move(data)),
      ledger_(std::move(ledger)),
      words_(reinterpret_cast<SharedWord*>(ledger_->data())),
      sender_(sender),
      me_(me),
      returns_(ledger_->data() + BufferPool::ReturnsOffset(layout_), BufferPool::ReturnsShape(layout_)) {}

absl::Status PeerBuffers::Take(const BufferDescriptor& descriptor, uint64_t tag, ReceivedView& view) {
  if (descriptor.index >= layout_.buffers()) {
    lied_.store(true, std::memory_order_relaxed);
    return absl::DataLossError(absl::StrCat("the peer sent buffer ", descriptor.index, " of ", layout_.buffers()));
  }
  const PoolLayout::Place place = layout_.At(descriptor.index);
  const BufferWord sent = {BufferState::kSent, descriptor.generation & kGenerationMask, sender_};
  if (descriptor.size > place.size || !TryMove(words_[descriptor.index], sent, BufferMove::kReceive, me_)) {
    lied_.store(true, std::memory_order_relaxed);
    return absl::DataLossError(absl::StrCat("the peer sent ", descriptor.size, " bytes of buffer ", descriptor.index,
                                            ", which has ", place.size, " and which must be marked as sent"));
  }
  AtStep(Step::kHeldMarked);
  view.Reset();
  view.data_ = data_->data() + place.offset;
  view.buffers_ = shared_from_this();
  view.descriptor_ = descriptor;
  view.tag_ = tag;
  return absl::OkStatus();
}

void PeerBuffers::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  returns_.Close();
}

void PeerBuffers::GiveBack(const BufferDescriptor& descriptor) {
  if (guard_.InForkedChild()) return;
  const BufferWord held = {BufferState::kHeld, descriptor.generation & kGenerationMask, me_};
  // Under the lock, so that a thread that is slow between the two never lets another one be first with the next generation.
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!TryMove(words_[descriptor.index], held, BufferMove::kRelease, me_)) {
    // It says so also when the sender, told that this process had died or lied, has reclaimed it: nobody waits for it then.
    lied_.store(true, std::memory_order_relaxed);
    return;
  }
  AtStep(Step::kReturnedMarked);
  if (returns_.Reserve() == nullptr) {
    lied_.store(true, std::memory_order_relaxed);
    return;
  }
  returns_.Place(descriptor.index);
  AtStep(Step::kReturnPushed);
  returns_.WakeConsumer();
}

}  // namespace agentos
