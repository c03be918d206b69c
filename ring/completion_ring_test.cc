#include "agentos/ring/completion_ring.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/observer.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/slot.h"
#include "agentos/ring/slot_table.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr Pid kPid = 7;
using Whereabouts = SyscallCompletionRing::Whereabouts;

// What it heard, a line each.
class Listener final : public RingObserver {
 public:
  void OnQueued(const SyscallSubmissionEntry& entry, Seq seq, int64_t /*now_ns*/) override {
    Say("queued", entry.pid(), seq, entry.kind(), "");
  }
  void OnDispatched(Pid pid, Seq seq, OperationKind kind, int64_t /*queued_ns*/) override {
    Say("dispatched", pid, seq, kind, "");
  }
  void OnCompleted(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) override {
    Say("completed", pid, seq, kind, Text(result));
  }
  void OnCancelled(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) override {
    Say("cancelled", pid, seq, kind, Text(result));
  }
  void OnDropped(Pid pid, Seq seq, OperationKind kind) override { Say("dropped", pid, seq, kind, ""); }

  std::vector<std::string> Heard() { return std::exchange(heard_, {}); }

 private:
  static std::string Text(const ObservedResult& result) {
    return absl::StrCat(" errno ", result.error_number, result.cancelled ? " cancelled" : "", " value ", result.value, " after ",
                        result.latency_ns);
  }
  void Say(const char* word, Pid pid, Seq seq, OperationKind kind, const std::string& result) {
    heard_.push_back(absl::StrCat(word, " ", pid, ":", seq, " ", OperationName(kind), result));
  }

  std::vector<std::string> heard_;
};

class CompletionRingTest : public testing::Test {
 protected:
  ~CompletionRingTest() override { Empty(); }

  void Begin(size_t sq_size, size_t cq_size, size_t max_in_flight = 0, OverflowPolicy overflow = OverflowPolicy::kDropOldest,
             RingObserver* observer = nullptr) {
    Empty();
    RingOptions options;
    options.sq_size = sq_size;
    options.cq_size = cq_size;
    options.max_in_flight = max_in_flight;
    options.overflow = overflow;
    ring_.Reset(kPid, options, observer);
  }

  void Empty() {
    do {
      while (Slot* slot = ring_.in_flight().front()) Complete(slot);
    } while (ring_.Start() != nullptr);
    while (Slot* slot = ring_.TakeOldest()) slots_.Free(slot);
  }

  Slot* Accept(SyscallSubmissionEntry entry = SyscallSubmissionEntry::Nop(kPid, 0), int64_t now_ns = 0) {
    EXPECT_TRUE(slots_.Reserve(1));
    Slot* slot = slots_.Allocate();
    at_once_ = ring_.Accept(slot, std::move(entry), now_ns);
    return slot;
  }
  std::vector<Slot*> Accept(size_t count) {
    std::vector<Slot*> accepted(count);
    for (Slot*& slot : accepted) slot = Accept();
    return accepted;
  }

  // The number of the entry that was dropped for it, 0 in general.
  Seq Complete(Slot* slot, int64_t now_ns = 0) {
    Slot* dropped = ring_.Complete(slot, now_ns);
    if (dropped == nullptr) return 0;
    const Seq seq = dropped->seq;
    slots_.Free(dropped);
    return seq;
  }

  // The number of the oldest completion, taken out; 0 when there is none.
  Seq Take() {
    Slot* slot = ring_.TakeOldest();
    if (slot == nullptr) return 0;
    const Seq seq = slot->seq;
    slots_.Free(slot);
    return seq;
  }

  Whereabouts Find(Seq seq, const Slot* expected = nullptr) {
    Slot* found = nullptr;
    const Whereabouts where = ring_.Find(seq, &found);
    EXPECT_EQ(found, expected) << seq;
    return where;
  }

  SlotTable slots_{4096};
  SyscallCompletionRing ring_;
  // What the last Accept answered.
  bool at_once_ = false;
};

TEST_F(CompletionRingTest, NumbersEntriesFromOneWithoutGaps) {
  Begin(4, 4, 2);
  for (Seq seq = 1; seq <= 100; ++seq) {
    Slot* slot = Accept();
    EXPECT_EQ(slot->seq, seq);
    EXPECT_EQ(slot->ring, &ring_);
    Complete(slot);
    EXPECT_EQ(Take(), seq);
  }
}

TEST_F(CompletionRingTest, ChecksRoomByWhatIsCommitted) {
  constexpr auto kDrop = OverflowPolicy::kDropOldest;
  constexpr auto kPress = OverflowPolicy::kBackpressure;
  constexpr auto kOk = absl::StatusCode::kOk;
  constexpr auto kFull = absl::StatusCode::kResourceExhausted;
  constexpr auto kNever = absl::StatusCode::kInvalidArgument;
  struct Case {
    OverflowPolicy overflow;
    size_t sq_size, cq_size, max_in_flight;
    // Accepted before, and how many of those completed.
    size_t accepted, completed;
    size_t count;
    absl::StatusCode code;
  };
  const Case kCases[] = {
      // Nothing there: the queue's size is the most.
      {kDrop, 3, 2, 0, 0, 0, 3, kOk},
      {kDrop, 3, 2, 0, 0, 0, 4, kNever},
      {kPress, 3, 2, 0, 0, 0, 2, kOk},
      {kPress, 3, 2, 0, 0, 0, 3, kNever},
      {kPress, 2, 3, 0, 0, 0, 3, kNever},
      {kDrop, 3, 2, 0, 0, 0, 0, kOk},
      // Waiting entries take room under both policies; here one is started.
      {kDrop, 3, 9, 1, 3, 0, 1, kOk},
      {kDrop, 3, 9, 1, 3, 0, 2, kFull},
      {kDrop, 3, 9, 1, 4, 0, 1, kFull},
      {kDrop, 3, 9, 1, 4, 0, 0, kOk},
      {kPress, 3, 9, 1, 4, 0, 1, kFull},
      // Started entries and completions take room of the completion queue under backpressure only.
      {kDrop, 3, 2, 2, 2, 0, 3, kOk},
      {kPress, 3, 2, 2, 1, 0, 1, kOk},
      {kPress, 3, 2, 2, 2, 0, 1, kFull},
      {kPress, 3, 2, 2, 2, 2, 1, kFull},
      {kPress, 5, 4, 1, 3, 1, 2, kFull},
      {kPress, 3, 4, 1, 3, 1, 1, kOk},
      {kDrop, 3, 2, 2, 2, 2, 3, kOk},
      // What never fits is said so on a full ring, too.
      {kPress, 3, 2, 2, 2, 2, 3, kNever},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << "line " << &c - kCases);
    Begin(c.sq_size, c.cq_size, c.max_in_flight, c.overflow);
    const std::vector<Slot*> accepted = Accept(c.accepted);
    for (size_t i = 0; i < c.completed; ++i) Complete(accepted[i]);
    EXPECT_EQ(ring_.CheckRoom(c.count).code(), c.code) << ring_.CheckRoom(c.count);
  }
}

TEST_F(CompletionRingTest, SaysWhatIsFullAndHowToGoOn) {
  Begin(2, 5, 1, OverflowPolicy::kBackpressure);
  Complete(Accept(3)[0]);
  const std::string full(ring_.CheckRoom(1).message());
  for (const char* part : {"pid 7", "1 entry:", "2 of 2 waiting", "0 started", "1 of 5 completions", "reap"}) {
    EXPECT_TRUE(absl::StrContains(full, part)) << full;
  }
  const std::string never(ring_.CheckRoom(3).message());
  for (const char* part : {"pid 7", "3 entries", "holds 2", "split"}) EXPECT_TRUE(absl::StrContains(never, part)) << never;
}

TEST_F(CompletionRingTest, StartsAtMostMaxInFlightInOrder) {
  struct Case {
    size_t asked;
    size_t most;
  };
  for (const Case& c : {Case{0, 3}, Case{1, 1}, Case{2, 2}, Case{5, 5}}) {
    SCOPED_TRACE(c.asked);
    Begin(8, 3, c.asked);
    EXPECT_EQ(ring_.max_in_flight(), c.most);
    std::vector<Slot*> accepted;
    for (size_t i = 0; i < 8; ++i) {
      accepted.push_back(Accept());
      EXPECT_EQ(at_once_, i < c.most);
      EXPECT_EQ(accepted[i]->progress.state, i < c.most ? SlotState::kInKernel : SlotState::kQueued);
    }
    EXPECT_EQ(ring_.Start(), nullptr);
    for (size_t i = 0; i + c.most < 8; ++i) {
      ring_.Conclude(accepted[i], 0);
      slots_.Free(accepted[i]);
      EXPECT_EQ(ring_.in_flight().size(), c.most - 1);
      EXPECT_EQ(ring_.Start(), accepted[i + c.most]);
      EXPECT_EQ(ring_.Start(), nullptr);
    }
  }
}

TEST_F(CompletionRingTest, LetsNoEntryOvertakeOneThatWaits) {
  Begin(8, 8, 1);
  const std::vector<Slot*> accepted = Accept(2);
  Complete(accepted[0]);
  Slot* last = Accept();
  EXPECT_FALSE(at_once_);
  EXPECT_EQ(ring_.Start(), accepted[1]);
  Complete(accepted[1]);
  EXPECT_EQ(ring_.Start(), last);
}

TEST_F(CompletionRingTest, StartsALinkedEntryOnlyWhenItsTurnIsGiven) {
  Begin(3, 9, 1);
  Slot* first = Accept();
  ASSERT_TRUE(slots_.Reserve(2));
  Slot* linked = slots_.Allocate();
  ring_.AcceptLinked(linked, SyscallSubmissionEntry::Nop(kPid, 0), 0);
  Slot* last_link = slots_.Allocate();
  ring_.AcceptLinked(last_link, SyscallSubmissionEntry::Nop(kPid, 0), 0);
  Slot* later = Accept();
  EXPECT_EQ(ring_.waiting(), 3u);
  EXPECT_EQ(ring_.CheckRoom(1).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Find(2, linked), Whereabouts::kQueued);
  Complete(first);
  ring_.Unlink(linked);
  EXPECT_EQ(ring_.Start(), linked) << "it was accepted before the one that waits already";
  Complete(linked);
  EXPECT_EQ(ring_.Start(), later);
  Complete(later);
  EXPECT_FALSE(ring_.may_start());
  EXPECT_EQ(ring_.Start(), nullptr);
  // Its chain has failed: it ends without a start.
  last_link->progress.cancelled = true;
  Complete(last_link);
  EXPECT_EQ(ring_.waiting(), 0u);
}

TEST_F(CompletionRingTest, LetsAnEntryWaitThatCouldStart) {
  Begin(2, 2);
  ASSERT_TRUE(slots_.Reserve(1));
  Slot* slot = slots_.Allocate();
  ring_.AcceptWaiting(slot, SyscallSubmissionEntry::Nop(kPid, 0), 0);
  EXPECT_TRUE(ring_.may_start() && ring_.in_flight().empty());
  Slot* next = Accept();
  EXPECT_FALSE(at_once_);
  EXPECT_EQ(ring_.Start(), slot);
  EXPECT_EQ(ring_.Start(), next);
}

TEST_F(CompletionRingTest, StartsADrainAloneAndWhatFollowsItAfterwards) {
  struct Case {
    // 'n' an entry, 'd' a drain.
    const char* accepted;
    size_t max_in_flight;
    // Cancelled before it starts; 0: none.
    Seq cancelled;
    // Who are in flight together, group by group.
    const char* groups;
  };
  for (const Case& c :
       {Case{"nn", 9, 0, "12 "}, Case{"d", 9, 0, "1 "}, Case{"dd", 9, 0, "1 2 "}, Case{"nndnn", 9, 0, "12 3 45 "},
        Case{"ndnndn", 9, 0, "1 2 34 5 6 "}, Case{"nnndn", 2, 0, "12 3 4 5 "}, Case{"ndnnn", 2, 0, "1 2 34 5 "},
        // Without the drain nobody is held up; another one still does.
        Case{"ndn", 9, 2, "13 "}, Case{"nddn", 9, 2, "1 3 4 "}, Case{"nddn", 9, 3, "1 2 4 "}, Case{"ndndn", 9, 2, "13 4 5 "},
        Case{"ndndn", 9, 4, "1 2 35 "}, Case{"ddn", 9, 2, "1 3 "}, Case{"dnn", 9, 2, "1 3 "}, Case{"nd", 9, 2, "1 "}}) {
    SCOPED_TRACE(testing::Message() << c.accepted << ", " << c.max_in_flight << " at once, cancelled " << c.cancelled);
    Begin(9, 9, c.max_in_flight);
    for (const char* entry = c.accepted; *entry != 0; ++entry) {
      auto nop = SyscallSubmissionEntry::Nop(kPid, 0);
      Accept(*entry == 'd' ? std::move(nop).WithDrain() : std::move(nop));
    }
    size_t seen = 0;
    ring_.ForEachWaiting([&](const Slot*) { ++seen; });
    EXPECT_EQ(seen, ring_.waiting());
    Slot* cancelled = nullptr;
    if (c.cancelled != 0) {
      ASSERT_EQ(ring_.Find(c.cancelled, &cancelled), Whereabouts::kQueued);
      Complete(cancelled);
    }
    std::string groups;
    for (;;) {
      while (ring_.Start() != nullptr) continue;
      if (ring_.in_flight().empty()) break;
      for (const Slot* slot = ring_.in_flight().front(); slot != nullptr; slot = slot->next) absl::StrAppend(&groups, slot->seq);
      absl::StrAppend(&groups, " ");
      for (size_t n = ring_.in_flight().size(); n > 0; --n) Complete(ring_.in_flight().front());
    }
    EXPECT_EQ(groups, c.groups);
    EXPECT_EQ(ring_.waiting(), 0u);
    EXPECT_FALSE(ring_.may_start());
    while (Take() != 0) continue;
    Accept();
    EXPECT_TRUE(at_once_);
  }
}

TEST_F(CompletionRingTest, ForgetsTheDrainsOfTheFormerLife) {
  Begin(2, 2);
  Slot* drain = Accept(SyscallSubmissionEntry::Nop(kPid, 0).WithDrain());
  EXPECT_TRUE(at_once_);
  ring_.Abandon(drain);
  slots_.Free(drain);
  ring_.Reset(kPid, RingOptions(), nullptr);
  EXPECT_FALSE(ring_.may_start());
  Accept();
  EXPECT_TRUE(at_once_);
}

TEST_F(CompletionRingTest, ADrainThatIsAbandonedHoldsUpNobodyAnyMore) {
  for (const bool followed : {false, true}) {
    Begin(4, 4);
    Slot* drain = Accept(SyscallSubmissionEntry::Nop(kPid, 0).WithDrain());
    Slot* behind = followed ? Accept() : nullptr;
    EXPECT_EQ(at_once_, !followed);
    ring_.Abandon(drain);
    slots_.Free(drain);
    EXPECT_EQ(ring_.Start(), behind);
    EXPECT_FALSE(ring_.may_start());
    Accept();
    EXPECT_TRUE(at_once_);
  }
}

TEST_F(CompletionRingTest, OneThatLetsOthersGoFirstStillWaitsForADrain) {
  Begin(4, 4);
  Slot* drain = Accept(SyscallSubmissionEntry::Nop(kPid, 0).WithDrain());
  ASSERT_TRUE(slots_.Reserve(1));
  Slot* slot = slots_.Allocate();
  ring_.AcceptWaiting(slot, SyscallSubmissionEntry::Nop(kPid, 0), 0);
  EXPECT_EQ(ring_.Start(), nullptr);
  Complete(drain);
  EXPECT_EQ(ring_.Start(), slot);
}

TEST_F(CompletionRingTest, GivesOutCompletionsInTheOrderInWhichTheyCame) {
  Begin(8, 8, 3);
  const std::vector<Slot*> accepted = Accept(5);
  // The fifth never started.
  for (const size_t i : {2u, 0u, 4u, 1u}) EXPECT_EQ(Complete(accepted[i]), 0u);
  ring_.Take(accepted[0]);
  slots_.Free(accepted[0]);
  for (const Seq seq : {3u, 5u, 2u, 0u}) EXPECT_EQ(Take(), seq);
  EXPECT_EQ(Find(4, accepted[3]), Whereabouts::kQueued);
}

TEST_F(CompletionRingTest, FindsAnEntryWhereverItIs) {
  Begin(8, 1, 2);
  const std::vector<Slot*> accepted = Accept(4);
  EXPECT_EQ(Find(0), Whereabouts::kUnknown);
  EXPECT_EQ(Find(5), Whereabouts::kUnknown);
  EXPECT_EQ(Find(1, accepted[0]), Whereabouts::kInFlight);
  EXPECT_EQ(Find(3, accepted[2]), Whereabouts::kQueued);
  Complete(accepted[1]);
  EXPECT_EQ(Find(2, accepted[1]), Whereabouts::kCompleted);
  EXPECT_EQ(Complete(accepted[0]), 2u);
  EXPECT_EQ(Find(2), Whereabouts::kDropped);
  EXPECT_EQ(Take(), 1u);
  EXPECT_EQ(Find(1), Whereabouts::kUnknown);
  ring_.Conclude(accepted[3], 0);
  EXPECT_EQ(accepted[3]->progress.state, SlotState::kDone);
  EXPECT_EQ(Find(4), Whereabouts::kUnknown);
  slots_.Free(accepted[3]);
}

TEST_F(CompletionRingTest, DropsTheOldestAndRemembersTheLast1024) {
  constexpr Seq kRemembered = 1024;
  constexpr Seq kKept = 2;
  Begin(1, kKept, 1);
  // Twice around the circle.
  for (Seq seq = 1; seq <= 2 * kRemembered + 10 + kKept; ++seq) {
    ASSERT_EQ(Complete(Accept()), seq > kKept ? seq - kKept : 0);
    const Seq dropped = seq > kKept ? seq - kKept : 0;
    if (dropped == 0) continue;
    ASSERT_EQ(Find(dropped), Whereabouts::kDropped);
    if (dropped < kRemembered) continue;
    ASSERT_EQ(Find(dropped - kRemembered + 1), Whereabouts::kDropped);
    ASSERT_EQ(Find(dropped - kRemembered), Whereabouts::kUnknown);
  }
  EXPECT_EQ(ring_.completed().size(), kKept);
}

TEST_F(CompletionRingTest, AbandonsAnEntryForGood) {
  Listener listener;
  Begin(2, 2, 1, OverflowPolicy::kBackpressure, &listener);
  const std::vector<Slot*> accepted = Accept(2);
  listener.Heard();
  ring_.Abandon(accepted[0]);
  EXPECT_EQ(accepted[0]->progress.state, SlotState::kAbandoned);
  EXPECT_EQ(accepted[0]->ring, nullptr);
  EXPECT_EQ(Find(1), Whereabouts::kUnknown);
  EXPECT_TRUE(listener.Heard().empty());
  EXPECT_TRUE(ring_.CheckRoom(1).ok());
  EXPECT_EQ(ring_.Start(), accepted[1]);
  slots_.Free(accepted[0]);
  Begin(1, 1);
}

TEST_F(CompletionRingTest, BeginsANewLifeThatKnowsNothingOfTheFormer) {
  Listener first;
  Listener second;
  Begin(2, 1, 1, OverflowPolicy::kDropOldest, &first);
  Complete(Accept());
  Complete(Accept());
  EXPECT_EQ(Find(1), Whereabouts::kDropped);
  EXPECT_EQ(Take(), 2u);
  first.Heard();

  RingOptions options;
  options.sq_size = 5;
  options.cq_size = 6;
  ring_.Reset(9, options, &second);
  EXPECT_EQ(ring_.pid(), 9u);
  EXPECT_EQ(ring_.options().sq_size, 5u);
  EXPECT_EQ(ring_.max_in_flight(), 6u);
  Slot* slot = Accept(SyscallSubmissionEntry::Nop(9, 0));
  EXPECT_EQ(slot->seq, 1u);
  EXPECT_EQ(Find(1, slot), Whereabouts::kInFlight);
  EXPECT_EQ(Find(2), Whereabouts::kUnknown);
  Complete(slot);
  EXPECT_EQ(Take(), 1u);
  EXPECT_EQ(Find(1), Whereabouts::kUnknown) << "dropped in the former life";
  EXPECT_TRUE(first.Heard().empty());
  EXPECT_EQ(second.Heard(),
            (std::vector<std::string>{"queued 9:1 Nop", "dispatched 9:1 Nop", "completed 9:1 Nop errno 0 value 0 after 0"}));
}

TEST_F(CompletionRingTest, TellsTheObserverEachWordOnceWhenItBecomesTrue) {
  Listener listener;
  Begin(4, 1, 1, OverflowPolicy::kDropOldest, &listener);
  Slot* read = Accept(SyscallSubmissionEntry::Read(kPid, 3, 10, 0, 0), 100);
  Slot* fsync = Accept(SyscallSubmissionEntry::Fsync(kPid, 3, 0), 110);
  Slot* nop = Accept(SyscallSubmissionEntry::Nop(kPid, 0), 120);
  EXPECT_EQ(listener.Heard(),
            (std::vector<std::string>{"queued 7:1 Read", "dispatched 7:1 Read", "queued 7:2 Fsync", "queued 7:3 Nop"}));
  read->value = 10;
  Complete(read, 150);
  EXPECT_EQ(listener.Heard(), std::vector<std::string>{"completed 7:1 Read errno 0 value 10 after 50"});
  ring_.Start();
  fsync->progress.error = EIO;
  Complete(fsync, 111);
  EXPECT_EQ(listener.Heard(), (std::vector<std::string>{"dispatched 7:2 Fsync", "completed 7:2 Fsync errno 5 value 0 after 1",
                                                        "dropped 7:1 Read"}));
  // Cancelled before it started, and straight to somebody who waits.
  nop->progress.cancelled = true;
  ring_.Conclude(nop, 1120);
  EXPECT_EQ(listener.Heard(), std::vector<std::string>{"cancelled 7:3 Nop errno 0 cancelled value 0 after 1000"});
  slots_.Free(nop);
  EXPECT_EQ(Take(), 2u);
  EXPECT_TRUE(listener.Heard().empty());
}

TEST_F(CompletionRingTest, FillsInWhatBecameOfAnEntry) {
  Begin(1, 1);
  SyscallCompletionEntry out;
  out.more = true;
  Slot* slot = Accept(SyscallSubmissionEntry::RecvFrom(kPid, 3, 10, 0, 42));
  slot->value = 5;
  slot->data = Bytes("hello");
  slot->peer_address = std::make_unique<std::string>("1.2.3.4:5");
  Complete(slot);
  SyscallCompletionRing::Fill(*slot, out);
  EXPECT_EQ(out.seq, 1u);
  EXPECT_EQ(out.pid, kPid);
  EXPECT_EQ(out.user_data, 42u);
  EXPECT_FALSE(out.more);
  EXPECT_TRUE(out.status.is_success());
  EXPECT_EQ(out.result.value(), 5);
  EXPECT_EQ(out.result.data(), "hello");
  EXPECT_EQ(out.result.peer_address(), "1.2.3.4:5");
  EXPECT_TRUE(slot->data.empty());
  EXPECT_EQ(Take(), 1u);

  // The same place is filled again: nothing of before may be left.
  slot = Accept();
  slot->progress.cancelled = true;
  Complete(slot);
  SyscallCompletionRing::Fill(*slot, out);
  EXPECT_TRUE(out.status.is_cancelled());
  EXPECT_EQ(out.status.error_number(), 0);
  EXPECT_EQ(out.result.value(), 0);
  EXPECT_EQ(out.result.data(), "");
  EXPECT_EQ(out.result.peer_address(), "");
  Take();

  struct Case {
    SyscallSubmissionEntry entry;
    const char* message;
  };
  Case cases[] = {{SyscallSubmissionEntry::ReadFile(kPid, "/a", 0), "ReadFile(/a): "},
                  {SyscallSubmissionEntry::Connect(kPid, 3, "[::1]:80", 0), "Connect(fd 3 to [::1]:80): "},
                  {SyscallSubmissionEntry::Lseek(kPid, 4, 0, 0, 0), "Lseek(fd 4): "},
                  {SyscallSubmissionEntry::IpcSend(kPid, 9, "a", 0), "IpcSend(to pid 9): "}};
  for (Case& c : cases) {
    slot = Accept(std::move(c.entry));
    slot->progress.error = EIO;
    Complete(slot);
    SyscallCompletionRing::Fill(*slot, out);
    EXPECT_EQ(out.status.error_number(), EIO);
    EXPECT_TRUE(absl::StartsWith(out.status.error_message(), c.message)) << out.status.error_message();
    Take();
  }
  Complete(slot = Accept());
  SyscallCompletionRing::Fill(*slot, out);
  EXPECT_TRUE(out.status.is_success());
}

TEST_F(CompletionRingTest, StopsTheProcessThatEndsARingWithEntriesInIt) {
  testing::GTEST_FLAG(death_test_style) = "fast";
  Begin(2, 2, 1);
  const std::vector<Slot*> accepted = Accept(2);
  for (Slot* slot : accepted) {
    EXPECT_DEATH(ring_.Reset(kPid, RingOptions(), nullptr), "agentos_uring bug: idle");
    EXPECT_DEATH(ring_.~SyscallCompletionRing(), "agentos_uring bug: idle");
    Complete(slot);
  }
  EXPECT_DEATH(ring_.Reset(kPid, RingOptions(), nullptr), "agentos_uring bug: idle");
}

}  // namespace
}  // namespace agentos
