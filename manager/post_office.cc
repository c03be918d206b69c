#include "agentos/manager/post_office.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace agentos {

namespace {

IpcDelivery Failure(IpcParty party, int error_number) {
  IpcDelivery delivery;
  delivery.party = party;
  delivery.error_number = error_number;
  return delivery;
}

IpcDelivery Sent(IpcParty party, size_t size) {
  IpcDelivery delivery;
  delivery.party = party;
  delivery.value = static_cast<int64_t>(size);
  return delivery;
}

bool Same(const IpcParty& a, const IpcParty& b) {
  return a.lane == b.lane && a.token.index == b.token.index && a.token.generation == b.token.generation;
}

template <typename Waiting>
bool EraseParty(std::deque<Waiting>& waiting, const IpcParty& party) {
  auto it = std::find_if(waiting.begin(), waiting.end(), [&](const Waiting& one) { return Same(one.party, party); });
  if (it == waiting.end()) return false;
  waiting.erase(it);
  return true;
}

}  // namespace

void PostOffice::Open(Pid pid, const RingOptions& options) {
  std::lock_guard<std::mutex> lock(mutex_);
  addresses_.insert_or_assign(pid, Address{options.mailbox_messages, options.mailbox_bytes, nullptr});
}

void PostOffice::Close(Pid pid, std::vector<IpcDelivery>& deliveries) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = addresses_.find(pid);
  if (it == addresses_.end()) return;
  if (it->second.mailbox != nullptr) {
    for (const WaitingSend& waiting : it->second.mailbox->senders) deliveries.push_back(Failure(waiting.party, EPIPE));
    for (const WaitingReceive& waiting : it->second.mailbox->receivers) deliveries.push_back(Failure(waiting.party, EPIPE));
    TellOfRoom(*it->second.mailbox);
  }
  addresses_.erase(it);
}

PostOffice::Mailbox& PostOffice::MailboxOf(Address& address) {
  if (address.mailbox == nullptr) address.mailbox = std::make_unique<Mailbox>();
  return *address.mailbox;
}

bool PostOffice::HasRoom(const Address& address, size_t size) {
  return address.mailbox->messages.size() < address.max_messages && address.mailbox->bytes + size <= address.max_bytes;
}

bool PostOffice::HandOver(Mailbox& mailbox, Message& message, std::vector<IpcDelivery>& deliveries) {
  while (!mailbox.receivers.empty()) {
    const WaitingReceive receiver = mailbox.receivers.front();
    mailbox.receivers.pop_front();
    if (receiver.size < message.data.size()) {
      deliveries.push_back(Failure(receiver.party, EMSGSIZE));
      continue;
    }
    IpcDelivery delivery = Sent(receiver.party, message.data.size());
    delivery.data = std::move(message.data);
    delivery.sender = message.from;
    deliveries.push_back(std::move(delivery));
    return true;
  }
  return false;
}

void PostOffice::Admit(Address& address, std::vector<IpcDelivery>& deliveries) {
  Mailbox& mailbox = *address.mailbox;
  while (!mailbox.senders.empty() && HasRoom(address, mailbox.senders.front().message.data.size())) {
    WaitingSend waiting = std::move(mailbox.senders.front());
    mailbox.senders.pop_front();
    const size_t size = waiting.message.data.size();
    deliveries.push_back(Sent(waiting.party, size));
    if (mailbox.messages.empty() && HandOver(mailbox, waiting.message, deliveries)) continue;
    mailbox.bytes += size;
    mailbox.messages.push_back(std::move(waiting.message));
  }
}

void PostOffice::TellOfRoom(Mailbox& mailbox) {
  for (IpcRoute* route : std::exchange(mailbox.turned_away, {})) route->OnRoom();
}

IpcRoute* PostOffice::RouteOf(Pid pid) const {
  if (routes_.empty()) [[likely]] {
    return nullptr;
  }
  auto it = routes_.find(pid);
  return it == routes_.end() ? nullptr : it->second;
}

std::optional<Pid> PostOffice::OpenRoute(IpcRoute* route, const std::vector<Pid>& pids) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const Pid pid : pids) {
    if (addresses_.contains(pid) || routes_.contains(pid)) return pid;
  }
  for (const Pid pid : pids) routes_.emplace(pid, route);
  departures_.emplace(route, Departures());
  return std::nullopt;
}

void PostOffice::CloseRoute(IpcRoute* route, std::vector<IpcDelivery>& deliveries) {
  std::lock_guard<std::mutex> lock(mutex_);
  absl::erase_if(routes_, [&](const auto& one) { return one.second == route; });
  for (const WaitingSend& waiting : departures_[route]) deliveries.push_back(Failure(waiting.party, EPIPE));
  departures_.erase(route);
  for (auto& [pid, address] : addresses_) {
    if (address.mailbox != nullptr) std::erase(address.mailbox->turned_away, route);
  }
}

bool PostOffice::IsBehindRoute(Pid pid) {
  std::lock_guard<std::mutex> lock(mutex_);
  return RouteOf(pid) != nullptr;
}

IpcGateway::Delivered PostOffice::Deliver(IpcRoute* route, Pid from, Pid to, Bytes& data, std::vector<IpcDelivery>& deliveries) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (RouteOf(from) != route) return IpcGateway::Delivered::kRefused;
  auto it = addresses_.find(to);
  if (it == addresses_.end() || data.size() > it->second.max_bytes) return IpcGateway::Delivered::kRefused;
  Mailbox& mailbox = MailboxOf(it->second);
  // Behind those who wait for room already.
  if (!mailbox.senders.empty() || !HasRoom(it->second, data.size())) {
    mailbox.turned_away.push_back(route);
    return IpcGateway::Delivered::kNoRoom;
  }
  Message message = {from, std::move(data)};
  if (mailbox.messages.empty() && HandOver(mailbox, message, deliveries)) return IpcGateway::Delivered::kYes;
  mailbox.bytes += message.data.size();
  mailbox.messages.push_back(std::move(message));
  return IpcGateway::Delivered::kYes;
}

bool PostOffice::CarryOldest(IpcRoute* route, Departures& departures, std::vector<IpcDelivery>& deliveries) {
  WaitingSend& oldest = departures.front();
  const size_t size = oldest.message.data.size();
  const IpcRoute::Carried carried = route->TryCarry(oldest.message.from, oldest.to, oldest.message.data);
  if (carried == IpcRoute::Carried::kNotNow) return false;
  if (carried == IpcRoute::Carried::kYes) {
    deliveries.push_back(Sent(oldest.party, size));
  } else {
    deliveries.push_back(Failure(oldest.party, carried == IpcRoute::Carried::kTooLarge ? EMSGSIZE : EPIPE));
  }
  departures.pop_front();
  return true;
}

bool PostOffice::CarryWaiting(IpcRoute* route, std::vector<IpcDelivery>& deliveries) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = departures_.find(route);
  if (it == departures_.end()) return false;
  while (!it->second.empty()) {
    if (!CarryOldest(route, it->second, deliveries)) return true;
  }
  return false;
}

void PostOffice::Send(IpcParty sender, Pid from, Pid to, Bytes data, std::vector<IpcDelivery>& deliveries) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (IpcRoute* const route = RouteOf(to); route != nullptr) {
    Departures& departures = departures_[route];
    departures.push_back({sender, {from, std::move(data)}, to});
    if (departures.size() > 1 || !CarryOldest(route, departures, deliveries)) route->OnWaiting();
    return;
  }
  auto it = addresses_.find(to);
  if (it == addresses_.end()) {
    deliveries.push_back(Failure(sender, ESRCH));
    return;
  }
  Address& address = it->second;
  if (data.size() > address.max_bytes) {
    deliveries.push_back(Failure(sender, EMSGSIZE));
    return;
  }
  Mailbox& mailbox = MailboxOf(address);
  mailbox.senders.push_back({sender, {from, std::move(data)}, to});
  Admit(address, deliveries);
}

void PostOffice::Receive(IpcParty receiver, Pid pid, size_t size, std::vector<IpcDelivery>& deliveries) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = addresses_.find(pid);
  if (it == addresses_.end()) {
    deliveries.push_back(Failure(receiver, EPIPE));
    return;
  }
  Address& address = it->second;
  Mailbox& mailbox = MailboxOf(address);
  mailbox.receivers.push_back({receiver, size});
  if (mailbox.messages.empty()) return;
  Message& oldest = mailbox.messages.front();
  const size_t bytes = oldest.data.size();
  if (!HandOver(mailbox, oldest, deliveries)) return;
  mailbox.messages.pop_front();
  mailbox.bytes -= bytes;
  Admit(address, deliveries);
  if (!mailbox.turned_away.empty() && mailbox.senders.empty()) TellOfRoom(mailbox);
}

bool PostOffice::Withdraw(IpcParty party, Pid mailbox, std::vector<IpcDelivery>& deliveries) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (IpcRoute* const route = RouteOf(mailbox); route != nullptr) return EraseParty(departures_[route], party);
  auto it = addresses_.find(mailbox);
  if (it == addresses_.end() || it->second.mailbox == nullptr) return false;
  if (EraseParty(it->second.mailbox->receivers, party)) return true;
  if (!EraseParty(it->second.mailbox->senders, party)) return false;
  // It may have been the one that held up smaller messages behind it.
  Admit(it->second, deliveries);
  if (it->second.mailbox->senders.empty()) TellOfRoom(*it->second.mailbox);
  return true;
}

}  // namespace agentos
