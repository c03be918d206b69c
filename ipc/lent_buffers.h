// Loans and views as the bytes of entries: what makes IpcSend, ReadInto, Write and the rest work on shared memory without a copy.
//
// Thread rule: as lent_memory.h.
// Lifetime: the loan, or the view, is given back when the last entry, completion or Bytes over it is gone.
//
//   // A loaned buffer is filled by the program and sent:
//   manager->Submit(pid, Entry::IpcSend(pid, target, ipc::AsBytes(*std::move(loan)), 1));
//
//   // A file is read into a loaned buffer and sent, in one batch; what the file was shorter is not sent:
//   auto [to_fill, to_send] = ipc::ToFillAndSend(*std::move(loan));
//   batch.push_back(Entry::ReadInto(pid, fd, std::move(to_fill), size, 0, 1).WithLink());
//   batch.push_back(Entry::IpcSend(pid, target, std::move(to_send), 2));

#ifndef AGENTOS_IPC_LENT_BUFFERS_H_
#define AGENTOS_IPC_LENT_BUFFERS_H_

#include "agentos/ipc/buffer_pool.h"
#include "agentos/ipc/received_view.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/result_buffer_pool.h"

namespace agentos::ipc {

// size() bytes of it; empty for an empty loan.
Bytes AsBytes(LoanedBuffer&& loan);
// Those of a message that lies in its slot are copied, they are few.
Bytes AsBytes(ReceivedView&& view);

struct FillAndSend {
  PooledBuffer to_fill;
  Bytes to_send;
};
FillAndSend ToFillAndSend(LoanedBuffer&& loan);
// A loan to be filled by ReadInto or RecvInto, whose result then has it.
PooledBuffer ToFill(LoanedBuffer&& loan);

// The loan that the bytes lie in, resized to them: `bytes` is empty then. An empty loan, and nothing happens, when they lie
// elsewhere.
LoanedBuffer TakeLoan(Bytes& bytes);

}  // namespace agentos::ipc

#endif  // AGENTOS_IPC_LENT_BUFFERS_H_
