#include "agentos/manager/post_office.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agentos/executor/ipc_exchange.h"
#include "agentos/manager/ipc_route.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/types.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr Pid kPid = 7;
using Lines = std::vector<std::string>;

IpcParty PartyOf(uint32_t index, uint32_t generation = 0) { return {nullptr, {index, generation}}; }

// Each party is known by its number; what was delivered is a line each: "1 ok 5", "2 gets 'hello' from 1", "3 errno 3".
class PostOfficeTest : public testing::Test {
 protected:
  void Open(size_t messages, size_t bytes, Pid pid = kPid) {
    RingOptions options;
    options.mailbox_messages = messages;
    options.mailbox_bytes = bytes;
    office_.Open(pid, options);
  }
  Lines Send(uint32_t party, const std::string& text, Pid to = kPid) {
    return Told([&](auto& deliveries) { office_.Send(PartyOf(party), 100 + party, to, text, deliveries); });
  }
  Lines Receive(uint32_t party, size_t size, Pid pid = kPid) {
    return Told([&](auto& deliveries) { office_.Receive(PartyOf(party), pid, size, deliveries); });
  }
  Lines Close() {
    return Told([&](auto& deliveries) { office_.Close(kPid, deliveries); });
  }
  // With what follows from it; "not there" when it does not wait.
  Lines Withdraw(IpcParty party, Pid mailbox = kPid) {
    bool waited = false;
    Lines lines = Told([&](auto& deliveries) { waited = office_.Withdraw(party, mailbox, deliveries); });
    return waited ? lines : Lines{"not there"};
  }

  PostOffice office_;

  template <typename Call>
  static Lines Told(Call call) {
    std::vector<IpcDelivery> deliveries;
    call(deliveries);
    Lines lines;
    for (const IpcDelivery& d : deliveries) {
      EXPECT_EQ(d.value, d.error_number == 0 && d.sender ? static_cast<int64_t>(d.data.size()) : d.value);
      lines.push_back(d.error_number != 0 ? absl::StrCat(d.party.token.index, " errno ", d.error_number)
                      : d.sender          ? absl::StrCat(d.party.token.index, " gets '", d.data.ToString(), "' from ", *d.sender)
                                          : absl::StrCat(d.party.token.index, " ok ", d.value));
    }
    return lines;
  }
};

TEST_F(PostOfficeTest, KeepsMessagesInTheOrderOfSending) {
  Open(3, 100);
  EXPECT_EQ(Send(1, "one"), Lines{"1 ok 3"});
  EXPECT_EQ(Send(1, ""), Lines{"1 ok 0"});
  EXPECT_EQ(Send(2, "three"), Lines{"2 ok 5"});
  EXPECT_EQ(Receive(3, 10), Lines{"3 gets 'one' from 101"});
  EXPECT_EQ(Receive(3, 0), Lines{"3 gets '' from 101"});
  EXPECT_EQ(Receive(3, 5), Lines{"3 gets 'three' from 102"});
}

TEST_F(PostOfficeTest, HandsAMessageToWhoeverHasWaitedLongest) {
  Open(1, 5);
  EXPECT_EQ(Receive(1, 5), Lines{});
  EXPECT_EQ(Receive(2, 5), Lines{});
  // Sent is sent: the mailbox never holds them.
  EXPECT_EQ(Send(3, "first"), (Lines{"3 ok 5", "1 gets 'first' from 103"}));
  EXPECT_EQ(Send(3, "then"), (Lines{"3 ok 4", "2 gets 'then' from 103"}));
  EXPECT_EQ(Send(3, "lies"), Lines{"3 ok 4"});
}

TEST_F(PostOfficeTest, MakesSendersWaitForRoomInOrder) {
  struct Case {
    const char* what;
    size_t messages, bytes;
    Lines texts;
    // The first of the texts that has to wait.
    size_t fits;
  };
  const Case kCases[] = {
      {"as many messages as it holds", 2, 100, {"a", "b", "c"}, 2},
      {"as many bytes as it holds", 100, 4, {"ab", "cd", "e"}, 2},
      {"the byte that is too many", 100, 4, {"ab", "cde"}, 1},
      {"a message of all its bytes", 100, 4, {"abcd", "e"}, 1},
      {"messages without bytes count", 1, 4, {"", ""}, 1},
      {"a full mailbox of bytes takes an empty message", 3, 2, {"ab", "", "c"}, 2},
      {"a small one does not overtake a large one that waits", 9, 4, {"abc", "de", "f"}, 1},
  };
  Pid pid = 1000;
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.what);
    Open(c.messages, c.bytes, ++pid);
    for (uint32_t i = 0; i < c.texts.size(); ++i) {
      EXPECT_EQ(Send(i, c.texts[i], pid), i < c.fits ? Lines{absl::StrCat(i, " ok ", c.texts[i].size())} : Lines{});
    }
    // Everything arrives, in order, and each sender hears once.
    size_t told = c.fits;
    for (uint32_t i = 0; i < c.texts.size(); ++i) {
      const Lines lines = Receive(50, 9, pid);
      ASSERT_FALSE(lines.empty());
      EXPECT_EQ(lines[0], absl::StrCat("50 gets '", c.texts[i], "' from ", 100 + i));
      for (size_t line = 1; line < lines.size(); ++line, ++told) {
        EXPECT_EQ(lines[line], absl::StrCat(told, " ok ", c.texts[told].size()));
      }
    }
    EXPECT_EQ(told, c.texts.size());
    EXPECT_EQ(Send(1, "abcd", 0), Lines{absl::StrCat("1 errno ", ESRCH)});
    EXPECT_EQ(Send(1, std::string(c.bytes, 'x'), pid), Lines{absl::StrCat("1 ok ", c.bytes)}) << "all room is back";
  }
}

TEST_F(PostOfficeTest, LetsInAllWhoFitOnceThereIsRoom) {
  Open(3, 4);
  EXPECT_EQ(Send(1, "abcd"), Lines{"1 ok 4"});
  for (uint32_t party = 2; party <= 4; ++party) EXPECT_EQ(Send(party, "ab"), Lines{});
  EXPECT_EQ(Receive(9, 4), (Lines{"9 gets 'abcd' from 101", "2 ok 2", "3 ok 2"}));
  EXPECT_EQ(Receive(9, 4), (Lines{"9 gets 'ab' from 102", "4 ok 2"}));
}

TEST_F(PostOfficeTest, RefusesWhatNeverFitsAndWhoIsNotThere) {
  Open(1, 4);
  EXPECT_EQ(Send(1, "abcde"), Lines{absl::StrCat("1 errno ", EMSGSIZE)});
  EXPECT_EQ(Send(1, "a", 8), Lines{absl::StrCat("1 errno ", ESRCH)});
  EXPECT_EQ(Receive(1, 9, 8), Lines{absl::StrCat("1 errno ", EPIPE)});
  EXPECT_EQ(Withdraw(PartyOf(1), 8), Lines{"not there"});
  EXPECT_EQ(Send(1, "abcd"), Lines{"1 ok 4"});
}

TEST_F(PostOfficeTest, KeepsAMessageThatIsTooLargeForItsReceiver) {
  Open(2, 9);
  Send(1, "hello");
  EXPECT_EQ(Receive(2, 4), Lines{absl::StrCat("2 errno ", EMSGSIZE)});
  EXPECT_EQ(Receive(2, 5), Lines{"2 gets 'hello' from 101"});
  // The same for receivers that wait: the first that is large enough has it.
  for (uint32_t party = 2; party <= 4; ++party) EXPECT_EQ(Receive(party, party), Lines{});
  EXPECT_EQ(Send(1, "four"),
            (Lines{"1 ok 4", absl::StrCat("2 errno ", EMSGSIZE), absl::StrCat("3 errno ", EMSGSIZE), "4 gets 'four' from 101"}));
  EXPECT_EQ(Receive(2, 1), Lines{});
  EXPECT_EQ(Send(1, "no"), (Lines{"1 ok 2", absl::StrCat("2 errno ", EMSGSIZE)}));
  EXPECT_EQ(Receive(2, 2), Lines{"2 gets 'no' from 101"});
}

TEST_F(PostOfficeTest, TellsWhoeverWaitsAtAMailboxThatCloses) {
  Open(1, 4);
  Send(1, "lost");
  Send(2, "a");
  Send(3, "b");
  EXPECT_EQ(Close(), (Lines{absl::StrCat("2 errno ", EPIPE), absl::StrCat("3 errno ", EPIPE)}));
  EXPECT_EQ(Close(), Lines{});
  EXPECT_EQ(Send(4, "a"), Lines{absl::StrCat("4 errno ", ESRCH)});
  // A new life begins with an empty mailbox.
  Open(1, 4);
  EXPECT_EQ(Receive(5, 4), Lines{});
  EXPECT_EQ(Close(), Lines{absl::StrCat("5 errno ", EPIPE)});
}

TEST_F(PostOfficeTest, ForgetsAPartyThatWithdraws) {
  Open(1, 4);
  EXPECT_EQ(Withdraw(PartyOf(1)), Lines{"not there"});
  Receive(1, 4);
  Receive(2, 4);
  EXPECT_EQ(Withdraw(PartyOf(1, 1)), Lines{"not there"}) << "of another generation";
  EXPECT_EQ(Withdraw(PartyOf(1)), Lines{});
  EXPECT_EQ(Withdraw(PartyOf(1)), Lines{"not there"});
  EXPECT_EQ(Send(3, "abc"), (Lines{"3 ok 3", "2 gets 'abc' from 103"}));
  EXPECT_EQ(Withdraw(PartyOf(2)), Lines{"not there"}) << "its delivery is on the way";
}

TEST_F(PostOfficeTest, LetsInThoseWhomAWithdrawnSenderHeldUp) {
  Open(9, 4);
  Send(1, "abc");
  EXPECT_EQ(Send(2, "wide"), Lines{});
  EXPECT_EQ(Send(3, "d"), Lines{});
  EXPECT_EQ(Send(4, "e"), Lines{});
  EXPECT_EQ(Withdraw(PartyOf(2)), Lines{"3 ok 1"});
  EXPECT_EQ(Withdraw(PartyOf(4)), Lines{});
  EXPECT_EQ(Receive(9, 4), Lines{"9 gets 'abc' from 101"});
  EXPECT_EQ(Receive(9, 4), Lines{"9 gets 'd' from 103"});
  EXPECT_EQ(Receive(9, 4), Lines{});
}

TEST_F(PostOfficeTest, KeepsEachSendersOrderWhenManyThreadsSend) {
  constexpr uint32_t kSenders = 3;
  constexpr int64_t kEach = 2000;
  Open(4, 64);
  std::mutex mutex;
  std::vector<std::vector<int64_t>> received(kSenders);
  int64_t sent = 0;
  const auto deliver = [&](const std::vector<IpcDelivery>& deliveries) {
    std::lock_guard<std::mutex> lock(mutex);
    for (const IpcDelivery& d : deliveries) {
      int64_t number = -1;
      if (d.sender && absl::SimpleAtoi(d.data.view(), &number)) received[*d.sender].push_back(number);
      if (!d.sender && d.error_number == 0) ++sent;
    }
  };
  std::vector<std::thread> threads;
  for (Pid from = 0; from < kSenders; ++from) {
    threads.emplace_back([&, from] {
      for (int64_t i = 0; i < kEach; ++i) {
        std::vector<IpcDelivery> deliveries;
        office_.Send(PartyOf(from), from, kPid, absl::StrCat(i), deliveries);
        deliver(deliveries);
      }
    });
  }
  threads.emplace_back([&] {
    for (int64_t i = 0; i < kSenders * kEach; ++i) {
      std::vector<IpcDelivery> deliveries;
      office_.Receive(PartyOf(kSenders), kPid, 64, deliveries);
      deliver(deliveries);
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sent, kSenders * kEach);
  for (const std::vector<int64_t>& numbers : received) {
    ASSERT_EQ(numbers.size(), static_cast<size_t>(kEach));
    for (size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], static_cast<int64_t>(i));
  }
}

// Carries as much as a test says.
class FakeRoute final : public IpcRoute {
 public:
  Carried TryCarry(Pid from, Pid to, Bytes& data) override {
    if (answer != Carried::kYes) return answer;
    if (room == 0) return Carried::kNotNow;
    --room;
    carried.push_back(absl::StrCat(from, " to ", to, ": ", data.view()));
    data.Clear();
    return Carried::kYes;
  }
  void OnWaiting() override { ++waiting; }
  void OnRoom() override { ++rooms; }

  Carried answer = Carried::kYes;
  int room = 0;
  int waiting = 0;
  int rooms = 0;
  Lines carried;
};

class RouteTest : public PostOfficeTest {
 protected:
  static constexpr Pid kRemote = 50;

  RouteTest() { EXPECT_EQ(office_.OpenRoute(&route_, {kRemote, kRemote + 1}), std::nullopt); }
  Lines Carry() {
    return Told([&](auto& deliveries) { office_.CarryWaiting(&route_, deliveries); });
  }
  Lines CloseRoute() {
    return Told([&](auto& deliveries) { office_.CloseRoute(&route_, deliveries); });
  }
  // With what follows from it.
  std::pair<IpcGateway::Delivered, Lines> Deliver(Pid from, Pid to, Bytes data) {
    IpcGateway::Delivered delivered{};
    Lines lines = Told([&](auto& deliveries) { delivered = office_.Deliver(&route_, from, to, data, deliveries); });
    return {delivered, lines};
  }

  FakeRoute route_;
};

TEST_F(RouteTest, CarriesWhatIsForItsProcesses) {
  route_.room = 2;
  EXPECT_EQ(Send(1, "hello", kRemote), Lines{"1 ok 5"});
  EXPECT_EQ(Send(2, "bye", kRemote + 1), Lines{"2 ok 3"});
  EXPECT_EQ(route_.carried, (Lines{"101 to 50: hello", "102 to 51: bye"}));
  EXPECT_EQ(route_.waiting, 0);
  EXPECT_EQ(Send(3, "?", kRemote + 2), Lines{"3 errno 3"});
}

TEST_F(RouteTest, WhatItCannotCarryWaitsInOrderAndCanBeWithdrawn) {
  EXPECT_EQ(Send(1, "a", kRemote), Lines{});
  EXPECT_EQ(Send(2, "bb", kRemote), Lines{});
  route_.room = 9;
  // Not past those that wait.
  EXPECT_EQ(Send(3, "ccc", kRemote), Lines{});
  EXPECT_EQ(route_.waiting, 3);
  EXPECT_EQ(Withdraw(PartyOf(2), kRemote), Lines{});
  EXPECT_EQ(Withdraw(PartyOf(2), kRemote), Lines{"not there"});
  EXPECT_EQ(Carry(), (Lines{"1 ok 1", "3 ok 3"}));
  EXPECT_EQ(Carry(), Lines{});
}

TEST_F(RouteTest, WhatItNeverCarriesIsAnError) {
  route_.answer = IpcRoute::Carried::kTooLarge;
  EXPECT_EQ(Send(1, "a", kRemote), Lines{absl::StrCat("1 errno ", EMSGSIZE)});
  route_.answer = IpcRoute::Carried::kNeverMore;
  EXPECT_EQ(Send(2, "a", kRemote), Lines{absl::StrCat("2 errno ", EPIPE)});
}

TEST_F(RouteTest, WhoWaitsWhenItClosesIsTold) {
  EXPECT_EQ(Send(1, "a", kRemote), Lines{});
  EXPECT_EQ(CloseRoute(), Lines{absl::StrCat("1 errno ", EPIPE)});
  EXPECT_EQ(Send(2, "a", kRemote), Lines{absl::StrCat("2 errno ", ESRCH)});
  EXPECT_EQ(Carry(), Lines{});
}

TEST_F(RouteTest, DeliversIntoMailboxesAndWaitsForRoom) {
  Open(/*messages=*/1, /*bytes=*/100);
  EXPECT_EQ(Receive(1, 100), Lines{});
  EXPECT_EQ(Deliver(kRemote, kPid, "hi"), std::make_pair(IpcGateway::Delivered::kYes, Lines{"1 gets 'hi' from 50"}));
  EXPECT_EQ(Deliver(kRemote, kPid, "one").first, IpcGateway::Delivered::kYes);
  EXPECT_EQ(Deliver(kRemote, kPid, "two").first, IpcGateway::Delivered::kNoRoom);
  EXPECT_EQ(route_.rooms, 0);
  EXPECT_EQ(Receive(2, 100), Lines{"2 gets 'one' from 50"});
  EXPECT_EQ(route_.rooms, 1);
  EXPECT_EQ(Deliver(kRemote, kPid, "two").first, IpcGateway::Delivered::kYes);
  EXPECT_EQ(Deliver(kRemote, kPid, "three").first, IpcGateway::Delivered::kNoRoom);
  // Whoever has been turned away hears that there is nobody any more.
  EXPECT_EQ(Close(), Lines{});
  EXPECT_EQ(route_.rooms, 2);
  EXPECT_EQ(Deliver(kRemote, kPid, "three").first, IpcGateway::Delivered::kRefused);
}

TEST_F(RouteTest, RefusesWhatItMayNotDeliver) {
  Open(/*messages=*/1, /*bytes=*/3);
  for (const Pid from : {Pid{1}, kPid, kRemote + 2}) EXPECT_EQ(Deliver(from, kPid, "a").first, IpcGateway::Delivered::kRefused);
  EXPECT_EQ(Deliver(kRemote, kPid + 1, "a").first, IpcGateway::Delivered::kRefused);
  EXPECT_EQ(Deliver(kRemote, kRemote + 1, "a").first, IpcGateway::Delivered::kRefused);
  EXPECT_EQ(Deliver(kRemote, kPid, "four").first, IpcGateway::Delivered::kRefused);
  EXPECT_EQ(office_.OpenRoute(&route_, {60, kPid}), kPid);
  EXPECT_FALSE(office_.IsBehindRoute(60));
  EXPECT_TRUE(office_.IsBehindRoute(kRemote));
}

}  // namespace
}  // namespace agentos
