// RingOptions.max_bytes_in_flight (P6): what the ring counts, and when.

#include <cstddef>
#include <utility>

#include "agentos/ring/completion_ring.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/slot.h"
#include "agentos/ring/slot_table.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr Pid kPid = 7;

class BytesInFlightTest : public testing::Test {
 protected:
  ~BytesInFlightTest() override { Empty(); }

  void BeginWith(size_t max_bytes_in_flight, size_t max_in_flight = 0) {
    Empty();
    ring_.Reset(kPid, {.sq_size = 16, .cq_size = 16, .max_in_flight = max_in_flight, .max_bytes_in_flight = max_bytes_in_flight},
                nullptr);
  }
  void Empty() {
    do {
      while (Slot* slot = ring_.in_flight().front()) Complete(slot);
    } while (ring_.Start() != nullptr);
    while (Slot* slot = ring_.TakeOldest()) slots_.Free(slot);
  }

  Slot* Accept(SyscallSubmissionEntry entry) {
    EXPECT_TRUE(slots_.Reserve(1));
    Slot* slot = slots_.Allocate();
    at_once_ = ring_.Accept(slot, std::move(entry), 0);
    return slot;
  }
  Slot* Read(size_t size) { return Accept(SyscallSubmissionEntry::Read(kPid, 0, size, 0, 0)); }
  // How many start, and are in flight then.
  size_t InFlight() {
    while (ring_.Start() != nullptr) continue;
    return ring_.in_flight().size();
  }
  void Complete(Slot* slot) { EXPECT_EQ(ring_.Complete(slot, 0), nullptr); }

  SlotTable slots_{64};
  SyscallCompletionRing ring_;
  // Whether the entry accepted last was started at once.
  bool at_once_ = false;
};

TEST_F(BytesInFlightTest, P6BoundsWhatIsUnderWayToTheByte) {
  BeginWith(100);
  Slot* first = Read(60);
  Read(40);
  EXPECT_TRUE(at_once_);
  Slot* third = Read(1);
  EXPECT_FALSE(at_once_);
  EXPECT_EQ(InFlight(), 2u);
  Complete(first);
  EXPECT_EQ(ring_.Start(), third);
  // 41 are under way.
  Read(60);
  EXPECT_FALSE(at_once_);
  Read(59);
  EXPECT_FALSE(at_once_) << "it would fit, but nobody overtakes";
  EXPECT_EQ(InFlight(), 2u);
}

TEST_F(BytesInFlightTest, P6OneBeyondTheLimitGoesAloneAndIsNeverStuck) {
  BeginWith(100);
  Slot* large = Read(kMaxTransferSize);
  EXPECT_TRUE(at_once_) << "nothing else is under way";
  Slot* larger = Read(kMaxTransferSize);
  Slot* small = Read(1);
  EXPECT_EQ(InFlight(), 1u);
  Complete(large);
  EXPECT_EQ(ring_.Start(), larger);
  EXPECT_EQ(InFlight(), 1u);
  Complete(larger);
  EXPECT_EQ(ring_.Start(), small);
  Read(99);
  EXPECT_TRUE(at_once_) << "nothing of the large ones is counted any more";
}

// Something else stays under way in both: what is alone starts whatever is counted.
TEST_F(BytesInFlightTest, P6CountsNothingForWhatIsCancelledBeforeItStarts) {
  BeginWith(100);
  Read(50);
  Complete(Read(60));
  Read(50);
  EXPECT_TRUE(at_once_);
  Read(1);
  EXPECT_FALSE(at_once_);
}

TEST_F(BytesInFlightTest, P6WhatIsAbandonedDoesNotCountAnyMore) {
  BeginWith(100);
  Read(10);
  Slot* stuck = Read(90);
  Slot* next = Read(90);
  EXPECT_EQ(ring_.Start(), nullptr);
  ring_.Abandon(stuck);
  slots_.Free(stuck);
  EXPECT_EQ(ring_.Start(), next);
  Read(1);
  EXPECT_FALSE(at_once_);
}

TEST_F(BytesInFlightTest, P6HoldsWithTheOtherLimitAndWithDrains) {
  BeginWith(100, 2);
  Slot* first = Read(1);
  Slot* second = Read(1);
  Slot* third = Read(99);
  EXPECT_EQ(InFlight(), 2u) << "two at once";
  Slot* drain = Accept(SyscallSubmissionEntry::Read(kPid, 0, 100, 0, 0).WithDrain());
  Slot* last = Read(100);
  Complete(first);
  EXPECT_EQ(ring_.Start(), third) << "1 + 99";
  Complete(second);
  EXPECT_EQ(ring_.Start(), nullptr);
  Complete(third);
  EXPECT_EQ(ring_.Start(), drain);
  EXPECT_EQ(ring_.Start(), nullptr);
  Complete(drain);
  EXPECT_EQ(ring_.Start(), last);
  Complete(last);
  Read(100);
  EXPECT_TRUE(at_once_);
}

// Between two processes that use it, one after the other.
TEST_F(BytesInFlightTest, P6ANewLifeBeginsWithNothingUnderWay) {
  BeginWith(100);
  Slot* stuck = Read(100);
  ring_.Abandon(stuck);
  slots_.Free(stuck);
  BeginWith(0);
  for (int i = 0; i < 5; ++i) {
    Read(kMaxTransferSize);
    EXPECT_TRUE(at_once_);
  }
  BeginWith(100);
  Read(100);
  EXPECT_TRUE(at_once_);
}

}  // namespace
}  // namespace agentos
