// How messages between processes reach the entries that send and receive them.
//
// The executor starts IpcSend and IpcRecv entries; who has a mailbox is the manager's knowledge. This is the seam between them:
// the exchange answers with deliveries, each of which completes one entry.
//
// Thread rule: an implementation is thread-safe and calls nothing back: it is entered with a lane's lock held.

#ifndef AGENTOS_EXECUTOR_IPC_EXCHANGE_H_
#define AGENTOS_EXECUTOR_IPC_EXCHANGE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "agentos/ring/bytes.h"
#include "agentos/ring/slot.h"
#include "agentos/ring/types.h"

namespace agentos {

class Lane;

// An IpcSend or IpcRecv entry under way.
struct IpcParty {
  Lane* lane = nullptr;
  SlotToken token;
};

// How one of them ends.
struct IpcDelivery {
  IpcParty party;
  int error_number = 0;
  int64_t value = 0;
  // Of a received message.
  Bytes data;
  std::optional<Pid> sender;
};

class IpcExchange {
 public:
  virtual ~IpcExchange() = default;

  // Each appends the deliveries that follow, in order; the party's own is among them unless it has to wait.
  virtual void Send(IpcParty sender, Pid from, Pid to, Bytes data, std::vector<IpcDelivery>& deliveries) = 0;
  virtual void Receive(IpcParty receiver, Pid pid, size_t size, std::vector<IpcDelivery>& deliveries) = 0;

  // Forgets a party that waits at the mailbox of `mailbox`: it was cancelled. False when it does not wait there any more: its
  // delivery is on the way.
  virtual bool Withdraw(IpcParty party, Pid mailbox, std::vector<IpcDelivery>& deliveries) = 0;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_IPC_EXCHANGE_H_
