#include "agentos/ring/slot_table.h"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agentos/ring/bytes.h"
#include "agentos/ring/result_buffer_pool.h"
#include "agentos/ring/slot.h"
#include "agentos/ring/submission_entry.h"
#include "gtest/gtest.h"

namespace {

// Chunks are the only aligned arrays that are made here.
bool chunks_to_be_had = true;

}  // namespace

void* operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return chunks_to_be_had ? std::aligned_alloc(static_cast<size_t>(alignment), size) : nullptr;
}
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace agentos {
namespace {

constexpr size_t kChunk = SlotTable::kSlotsPerChunk;

// A slot as one whose entry is under way.
Slot* Use(SlotTable& slots) {
  Slot* slot = slots.Allocate();
  slot->Become(SlotState::kQueued);
  return slot;
}

void End(SlotTable& slots, Slot* slot) {
  slot->Become(SlotState::kDone);
  slots.Free(slot);
}

TEST(SlotTableTest, HasAsManySlotsAsItsBoundRoundedUpToChunks) {
  struct Case {
    size_t bound;
    size_t most;
  };
  for (const Case& c : {Case{0, 0}, Case{1, kChunk}, Case{kChunk, kChunk}, Case{kChunk + 1, 2 * kChunk}}) {
    SCOPED_TRACE(c.bound);
    SlotTable slots(c.bound);
    EXPECT_TRUE(slots.Reserve(0));
    EXPECT_FALSE(slots.Reserve(c.most + 1));
    ASSERT_TRUE(slots.Reserve(c.most));
    std::vector<Slot*> taken;
    for (size_t i = 0; i < c.most; ++i) taken.push_back(Use(slots));
    EXPECT_EQ(slots.live(), c.most);
    EXPECT_EQ(std::set<Slot*>(taken.begin(), taken.end()).size(), c.most);
    EXPECT_FALSE(slots.Reserve(1));
    for (Slot* slot : taken) End(slots, slot);
    EXPECT_EQ(slots.live(), 0u);
    EXPECT_TRUE(slots.Reserve(c.most));
  }
}

TEST(SlotTableTest, HandsOutAscendingIndicesAndTheWarmestSlotAgain) {
  SlotTable slots(kChunk);
  ASSERT_TRUE(slots.Reserve(3));
  std::vector<Slot*> taken;
  for (uint32_t i = 0; i < 3; ++i) {
    taken.push_back(Use(slots));
    EXPECT_EQ(taken[i]->index, i);
    EXPECT_EQ(taken[i]->next, nullptr);
  }
  End(slots, taken[1]);
  taken[1] = Use(slots);
  EXPECT_EQ(taken[1]->index, 1u);
  for (Slot* slot : taken) End(slots, slot);
}

TEST(SlotTableTest, NeverMovesASlot) {
  SlotTable slots(16 * kChunk);
  std::map<uint32_t, Slot*> taken;
  for (size_t i = 0; i < 16 * kChunk; ++i) {
    ASSERT_TRUE(slots.Reserve(1));
    Slot* slot = Use(slots);
    slot->seq = i;
    taken[slot->index] = slot;
  }
  EXPECT_EQ(taken.size(), 16 * kChunk);
  for (const auto& [index, slot] : taken) {
    EXPECT_EQ(slots.Find({index, 0}), slot);
    EXPECT_EQ(slot->seq, index);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(slot) % 64, 0u);
    End(slots, slot);
  }
}

TEST(SlotTableTest, FindsOnlyALivingSlotOfTheTokensGeneration) {
  SlotTable slots(2 * kChunk);
  EXPECT_EQ(slots.Find({0, 0}), nullptr);
  ASSERT_TRUE(slots.Reserve(1));
  EXPECT_EQ(slots.Find({0, 0}), nullptr) << "nobody has it";
  Slot* slot = Use(slots);
  const SlotToken former = slot->token();
  EXPECT_EQ(slots.Find(former), slot);
  for (const SlotToken none : {SlotToken{former.index, former.generation + 1}, SlotToken{former.index, former.generation - 1},
                               SlotToken{former.index + 1, former.generation}, SlotToken{kChunk, 0}, SlotToken{~0u, 0}}) {
    EXPECT_EQ(slots.Find(none), nullptr) << none.index << ' ' << none.generation;
  }
  End(slots, slot);
  EXPECT_EQ(slots.Find(former), nullptr);
  EXPECT_EQ(slots.Find(slot->token()), nullptr);
  ASSERT_EQ(Use(slots), slot);
  EXPECT_EQ(slots.Find(former), nullptr) << "of a former life";
  EXPECT_EQ(slots.Find(slot->token()), slot);
  slot->Become(SlotState::kInKernel);
  slot->Become(SlotState::kAbandoned);
  EXPECT_EQ(slots.Find(slot->token()), slot) << "an abandoned one still ends";
  slots.Free(slot);
}

TEST(SlotTableTest, LetsGoOfAllThatASlotOwned) {
  ResultBufferPool* pool = ResultBufferPool::Create();
  SlotTable slots(1);
  ASSERT_TRUE(slots.Reserve(1));
  Slot* slot = Use(slots);
  slot->buffer = pool->Acquire(4096);
  const char* const memory = slot->buffer.data();
  slot->data = Bytes(std::string(100, 'a'));
  slot->peer_address = std::make_unique<std::string>("unix:@a");
  slot->entry = SyscallSubmissionEntry::ReadFile(1, std::string(100, 'b'), 2);
  slot->value = 3;
  slot->progress.phase = 4;
  slot->progress.error = 5;
  slot->progress.cancelled = true;
  slot->progress.outstanding = 0;
  End(slots, slot);

  pool->CollectReturned();
  EXPECT_EQ(pool->Acquire(4096).data(), memory);
  pool->Close();
  EXPECT_EQ(slot->generation, 1u);
  EXPECT_EQ(slots.Allocate(), slot);
  EXPECT_TRUE(slot->data.empty());
  EXPECT_EQ(slot->peer_address, nullptr);
  EXPECT_FALSE(slot->entry.has_operation());
  EXPECT_EQ(slot->ring, nullptr);
  EXPECT_EQ(slot->value, 0);
  EXPECT_EQ(slot->progress.state, SlotState::kFree);
  EXPECT_EQ(slot->progress.phase, 0);
  EXPECT_EQ(slot->progress.error, 0);
  EXPECT_FALSE(slot->progress.cancelled);
  // One that nobody accepted may be given back as it is.
  slots.Free(slot);
  EXPECT_EQ(slots.live(), 0u);
}

TEST(SlotTableTest, SaysSoWhenTheMemoryIsNotToBeHadAndGoesOnWithWhatItHas) {
  SlotTable slots(4 * kChunk);
  chunks_to_be_had = false;
  EXPECT_FALSE(slots.Reserve(1));
  EXPECT_EQ(slots.live(), 0u);
  chunks_to_be_had = true;
  ASSERT_TRUE(slots.Reserve(kChunk));
  chunks_to_be_had = false;
  EXPECT_TRUE(slots.Reserve(kChunk));
  EXPECT_FALSE(slots.Reserve(kChunk + 1));
  Slot* slot = Use(slots);
  EXPECT_EQ(slots.Find(slot->token()), slot);
  End(slots, slot);
  chunks_to_be_had = true;
  EXPECT_TRUE(slots.Reserve(4 * kChunk));
}

TEST(SlotTableTest, StopsTheProcessThatDestroysItWithALivingSlot) {
  testing::GTEST_FLAG(death_test_style) = "fast";
  EXPECT_DEATH(
      {
        SlotTable slots(1);
        if (slots.Reserve(1)) Use(slots);
      },
      "agentos_uring bug: live");
}

TEST(SlotTableTest, KeepsTokensAndSlotsTogetherWhateverIsDone) {
  std::mt19937 random(1);
  SlotTable slots(3 * kChunk);
  std::vector<std::pair<SlotToken, Slot*>> living;
  std::vector<SlotToken> former;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0 && slots.Reserve(1)) {
      Slot* slot = Use(slots);
      living.emplace_back(slot->token(), slot);
    } else if (!living.empty()) {
      std::swap(living[random() % living.size()], living.back());
      End(slots, living.back().second);
      former.push_back(living.back().first);
      living.pop_back();
    }
    ASSERT_EQ(slots.live(), living.size());
    if (!former.empty()) {
      ASSERT_EQ(slots.Find(former[random() % former.size()]), nullptr);
    }
    if (living.empty()) continue;
    const auto& [token, slot] = living[random() % living.size()];
    ASSERT_EQ(slots.Find(token), slot);
  }
  for (const auto& [token, slot] : living) End(slots, slot);
}

}  // namespace
}  // namespace agentos
