// How messages leave a manager for processes of another one, and come in from there.
//
// An IpcSend to a pid that is behind a route does not end in a mailbox of this manager: the route carries it. What the other side
// sends is put into mailboxes here through the gateway, with which the route asks the manager. To those who send and receive there is
// no difference: what does not fit now waits, in order, and a message that waits can be cancelled or time out.
//
// Thread rule: the manager calls a route from any thread, with locks held, so a route neither waits nor calls the gateway from
// within. The gateway: any thread, but not after it is closed by another one.
// Lifetime: a route outlives its gateway, and that is destroyed before the manager.
//
//   absl::StatusOr<std::unique_ptr<IpcGateway>> gateway = manager->OpenGateway({kRemotePid}, &route);
//   (*gateway)->Deliver(kRemotePid, kLocalPid, data);

#ifndef AGENTOS_MANAGER_IPC_ROUTE_H_
#define AGENTOS_MANAGER_IPC_ROUTE_H_

#include "agentos/ring/bytes.h"
#include "agentos/ring/types.h"

namespace agentos {

class IpcRoute {
 public:
  virtual ~IpcRoute() = default;

  enum class Carried {
    kYes,
    // The message waits; whoever has made room calls IpcGateway::CarryWaiting.
    kNotNow,
    // The entry ends with EMSGSIZE.
    kTooLarge,
    // Nothing will ever be carried again: the entry ends with EPIPE.
    kNeverMore,
  };
  // Takes the message if that is possible now; `data` is then moved from, and otherwise as it was.
  virtual Carried TryCarry(Pid from, Pid to, Bytes& data) = 0;
  // A message waits that was not carried.
  virtual void OnWaiting() = 0;
  // A mailbox that had no room for what Deliver brought may have some now.
  virtual void OnRoom() = 0;
};

class IpcGateway {
 public:
  // Who waits to send gets EPIPE, who begins to later ESRCH.
  virtual ~IpcGateway() = default;

  enum class Delivered {
    kYes,
    // The mailbox is full: OnRoom says when to try again.
    kNoRoom,
    // The addressee has no ring, or no mailbox that holds so much, or the sender is not behind this route.
    kRefused,
  };
  // `data` is moved from when it was delivered, and otherwise as it was.
  virtual Delivered Deliver(Pid from, Pid to, Bytes& data) = 0;
  // Has the route carry what waits, oldest first, until it answers kNotNow: whether anything waits still.
  virtual bool CarryWaiting() = 0;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_IPC_ROUTE_H_
