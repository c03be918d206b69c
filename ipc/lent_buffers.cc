#include "agentos/ipc/lent_buffers.h"

#include <memory>
#include <utility>

#include "agentos/ring/lent_memory.h"

namespace agentos::ipc {

namespace {

class LoanMemory final : public LentMemory {
 public:
  explicit LoanMemory(LoanedBuffer loan) : loan_(std::move(loan)) {}
  char* data() override { return loan_.data(); }
  size_t capacity() const override { return loan_.capacity(); }
  LoanedBuffer Take() { return std::move(loan_); }

 private:
  LoanedBuffer loan_;
};

class ViewMemory final : public LentMemory {
 public:
  explicit ViewMemory(ReceivedView view) : view_(std::move(view)) {}
  // Nobody writes to it: it is mapped for reading only, and a Bytes gives constant memory.
  char* data() override { return const_cast<char*>(view_.data()); }
  size_t capacity() const override { return view_.size(); }

 private:
  const ReceivedView view_;
};

}  // namespace

Bytes AsBytes(LoanedBuffer&& loan) {
  if (!loan) return Bytes();
  const size_t size = loan.size();
  return Bytes(Lend(std::make_shared<LoanMemory>(std::move(loan))), size);
}

Bytes AsBytes(ReceivedView&& view) {
  if (!view.in_shared_memory()) {
    Bytes copy(view.view());
    view.Reset();
    return copy;
  }
  const size_t size = view.size();
  return Bytes(Lend(std::make_shared<ViewMemory>(std::move(view))), size);
}

FillAndSend ToFillAndSend(LoanedBuffer&& loan) {
  if (!loan) return {};
  const size_t size = loan.size();
  auto memory = std::make_shared<LoanMemory>(std::move(loan));
  return {.to_fill = LendToFill(memory), .to_send = Bytes(Lend(memory), size)};
}

PooledBuffer ToFill(LoanedBuffer&& loan) {
  if (!loan) return PooledBuffer();
  return Lend(std::make_shared<LoanMemory>(std::move(loan)));
}

LoanedBuffer TakeLoan(Bytes& bytes) {
  const std::shared_ptr<LentMemory> memory = bytes.buffer() == nullptr ? nullptr : LentBy(*bytes.buffer());
  auto* const loan_memory = dynamic_cast<LoanMemory*>(memory.get());
  if (loan_memory == nullptr) return LoanedBuffer();
  LoanedBuffer loan = loan_memory->Take();
  if (loan) loan.Resize(bytes.size()).IgnoreError();
  bytes.Clear();
  return loan;
}

}  // namespace agentos::ipc
