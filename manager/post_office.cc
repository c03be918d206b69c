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

void PostOffice::Send(IpcParty sender, Pid from, Pid to, Bytes data, std::vector<IpcDelivery>& deliveries) {
  std::lock_guard<std::mutex> lock(mutex_);
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
  mailbox.senders.push_back({sender, {from, std::move(data)}});
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
}

bool PostOffice::Withdraw(IpcParty party, Pid mailbox, std::vector<IpcDelivery>& deliveries) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = addresses_.find(mailbox);
  if (it == addresses_.end() || it->second.mailbox == nullptr) return false;
  if (EraseParty(it->second.mailbox->receivers, party)) return true;
  if (!EraseParty(it->second.mailbox->senders, party)) return false;
  // It may have been the one that held up smaller messages behind it.
  Admit(it->second, deliveries);
  return true;
}

}  // namespace agentos
