// The mailboxes of a manager's processes: messages between two of them, in order and bounded.
//
// A message is in its mailbox when the IpcSend completes. Messages of one sender arrive in the order in which they were sent; a
// full mailbox makes senders wait, in order. The bytes move from entry to completion without a copy.
//
// Thread rule: any thread; one lock, held for moments, under which nothing is called.
// Errors, as errno of the entry: ESRCH no such process; EPIPE it went away; EMSGSIZE the message is larger than the mailbox, or
// than what IpcRecv asked for (it then stays).
//
// Processes of other managers are behind routes (ipc_route.h); what their routes cannot carry at once waits here as well.
//
//   office.Open(7, ring_options);
//   office.Send(party, /*from=*/3, /*to=*/7, std::move(data), deliveries);

#ifndef AGENTOS_MANAGER_POST_OFFICE_H_
#define AGENTOS_MANAGER_POST_OFFICE_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "agentos/executor/ipc_exchange.h"
#include "agentos/manager/ipc_route.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/types.h"

namespace agentos {

class PostOffice final : public IpcExchange {
 public:
  // A process may be written to. The limits of its mailbox are in the options.
  void Open(Pid pid, const RingOptions& options);
  // It may not any more: what lies in the mailbox is lost, who waits to send gets EPIPE, who waits to receive is cancelled
  // elsewhere.
  void Close(Pid pid, std::vector<IpcDelivery>& deliveries);

  // Messages to `pids` go by `route` from here on. Nothing happens when one of them, which it answers, is in the office's own hands or
  // another route's.
  std::optional<Pid> OpenRoute(IpcRoute* route, const std::vector<Pid>& pids);
  // As Close for all of its processes.
  void CloseRoute(IpcRoute* route, std::vector<IpcDelivery>& deliveries);
  bool IsBehindRoute(Pid pid);
  // For the gateway (ipc_route.h) of `route`.
  IpcGateway::Delivered Deliver(IpcRoute* route, Pid from, Pid to, Bytes& data, std::vector<IpcDelivery>& deliveries);
  bool CarryWaiting(IpcRoute* route, std::vector<IpcDelivery>& deliveries);

  void Send(IpcParty sender, Pid from, Pid to, Bytes data, std::vector<IpcDelivery>& deliveries) override;
  void Receive(IpcParty receiver, Pid pid, size_t size, std::vector<IpcDelivery>& deliveries) override;
  bool Withdraw(IpcParty party, Pid mailbox, std::vector<IpcDelivery>& deliveries) override;

 private:
  struct Message {
    Pid from;
    Bytes data;
  };
  struct WaitingSend {
    IpcParty party;
    Message message;
    Pid to;
  };
  struct WaitingReceive {
    IpcParty party;
    size_t size;
  };
  struct Mailbox {
    std::deque<Message> messages;
    size_t bytes = 0;
    std::deque<WaitingSend> senders;
    std::deque<WaitingReceive> receivers;
    // Routes that have brought something which found no room.
    std::vector<IpcRoute*> turned_away;
  };
  struct Address {
    size_t max_messages;
    size_t max_bytes;
    // Made at the first use: most processes never get a letter.
    std::unique_ptr<Mailbox> mailbox;
  };

  // Messages to processes behind a route that wait for it.
  using Departures = std::deque<WaitingSend>;

  Mailbox& MailboxOf(Address& address);
  static bool HasRoom(const Address& address, size_t size);
  // Gives a message to whoever waits for one; false when nobody does.
  static bool HandOver(Mailbox& mailbox, Message& message, std::vector<IpcDelivery>& deliveries);
  // Lets waiting senders in as far as there is room.
  static void Admit(Address& address, std::vector<IpcDelivery>& deliveries);

  static void TellOfRoom(Mailbox& mailbox);
  // The route of a process that is behind one, else null.
  IpcRoute* RouteOf(Pid pid) const;
  static bool CarryOldest(IpcRoute* route, Departures& departures, std::vector<IpcDelivery>& deliveries);

  std::mutex mutex_;
  absl::flat_hash_map<Pid, Address> addresses_;
  absl::flat_hash_map<Pid, IpcRoute*> routes_;
  absl::flat_hash_map<IpcRoute*, Departures> departures_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_POST_OFFICE_H_
