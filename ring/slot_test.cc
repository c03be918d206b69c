#include "agentos/ring/slot.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr std::array kStates = {SlotState::kFree, SlotState::kQueued, SlotState::kInKernel, SlotState::kDone,
                                SlotState::kAbandoned};
// The edges of the picture in slot.h.
constexpr std::array<std::pair<SlotState, SlotState>, 7> kEdges = {{
    {SlotState::kFree, SlotState::kQueued},
    {SlotState::kQueued, SlotState::kInKernel},
    {SlotState::kQueued, SlotState::kDone},
    {SlotState::kInKernel, SlotState::kDone},
    {SlotState::kInKernel, SlotState::kAbandoned},
    {SlotState::kDone, SlotState::kFree},
    {SlotState::kAbandoned, SlotState::kFree},
}};

TEST(SlotTest, HasTheEdgesOfThePictureAndStopsTheProcessAtEveryOther) {
  testing::GTEST_FLAG(death_test_style) = "fast";
  for (const SlotState from : kStates) {
    for (const SlotState to : kStates) {
      SCOPED_TRACE(testing::Message() << "from " << static_cast<int>(from) << " to " << static_cast<int>(to));
      Slot slot;
      slot.progress.state = from;
      if (std::find(kEdges.begin(), kEdges.end(), std::pair(from, to)) != kEdges.end()) {
        slot.Become(to);
        EXPECT_EQ(slot.progress.state, to);
      } else {
        EXPECT_DEATH(slot.Become(to), "agentos_uring bug: IsEdge");
      }
    }
  }
}

TEST(SlotTest, NamesItselfByIndexAndGeneration) {
  Slot slot;
  slot.index = 7;
  slot.generation = 9;
  EXPECT_EQ(slot.token().index, 7u);
  EXPECT_EQ(slot.token().generation, 9u);
}

class SlotListTest : public testing::Test {
 protected:
  SlotListTest() {
    for (size_t i = 0; i < slots_.size(); ++i) slots_[i].seq = i + 1;
  }

  // The numbers of what is in the list, read forwards; the links backwards must agree.
  std::vector<Seq> Seqs() const {
    std::vector<Seq> seqs;
    const Slot* prev = nullptr;
    for (const Slot* slot = list_.front(); slot != nullptr; prev = slot, slot = slot->next) {
      EXPECT_EQ(slot->prev, prev);
      seqs.push_back(slot->seq);
    }
    EXPECT_EQ(list_.size(), seqs.size());
    EXPECT_EQ(list_.empty(), seqs.empty());
    return seqs;
  }

  std::array<Slot, 8> slots_;
  SlotList list_;
};

TEST_F(SlotListTest, GivesOutInTheOrderInWhichItTook) {
  EXPECT_EQ(list_.PopFront(), nullptr);
  for (size_t i : {2u, 0u, 1u}) list_.PushBack(&slots_[i]);
  EXPECT_EQ(Seqs(), (std::vector<Seq>{3, 1, 2}));
  for (size_t i : {2u, 0u, 1u}) EXPECT_EQ(list_.PopFront(), &slots_[i]);
  EXPECT_EQ(list_.PopFront(), nullptr);
  EXPECT_TRUE(Seqs().empty());
}

TEST_F(SlotListTest, GivesUpAnyOfItsSlots) {
  struct Case {
    size_t removed;
    std::vector<Seq> left;
  };
  for (const Case& c : {Case{0, {2, 3, 9}}, Case{1, {1, 3, 9}}, Case{2, {1, 2, 9}}}) {
    SCOPED_TRACE(c.removed);
    list_ = SlotList();
    for (size_t i = 0; i < 3; ++i) list_.PushBack(&slots_[i]);
    list_.Remove(&slots_[c.removed]);
    // The end must be where it was, or has gone to.
    slots_[3].seq = 9;
    list_.PushBack(&slots_[3]);
    EXPECT_EQ(Seqs(), c.left);
  }
}

TEST_F(SlotListTest, IsEmptyAgainWithoutItsOnlySlot) {
  list_.PushBack(&slots_[0]);
  list_.Remove(&slots_[0]);
  EXPECT_TRUE(Seqs().empty());
  list_.PushBack(&slots_[1]);
  EXPECT_EQ(Seqs(), std::vector<Seq>{2});
}

TEST_F(SlotListTest, FindsByNumberWhatIsInIt) {
  for (size_t i = 0; i < 3; ++i) list_.PushBack(&slots_[i]);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(list_.Find(i + 1), &slots_[i]);
  EXPECT_EQ(list_.Find(4), nullptr);
  list_.Remove(&slots_[1]);
  EXPECT_EQ(list_.Find(2), nullptr);
}

TEST_F(SlotListTest, InsertsWhereTheNumberBelongs) {
  std::vector<size_t> order = {0, 1, 2, 3};
  do {
    list_ = SlotList();
    for (const size_t i : order) list_.InsertBySeq(&slots_[i]);
    EXPECT_EQ(Seqs(), (std::vector<Seq>{1, 2, 3, 4}));
    // The end must be where the last one stands.
    list_.PushBack(&slots_[7]);
    EXPECT_EQ(Seqs(), (std::vector<Seq>{1, 2, 3, 4, 8}));
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(SlotListTest, AgreesWithADequeWhateverIsDone) {
  std::mt19937 random(1);
  std::deque<Slot*> model;
  std::vector<Slot*> outside;
  for (Slot& slot : slots_) outside.push_back(&slot);
  for (int step = 0; step < 5000; ++step) {
    const unsigned choice = random() % 4;
    if (choice < 2 && !outside.empty()) {
      std::swap(outside[random() % outside.size()], outside.back());
      list_.PushBack(outside.back());
      model.push_back(outside.back());
      outside.pop_back();
    } else if (choice == 2 && !model.empty()) {
      const auto victim = model.begin() + random() % model.size();
      list_.Remove(*victim);
      outside.push_back(*victim);
      model.erase(victim);
    } else if (choice == 3) {
      Slot* const popped = list_.PopFront();
      ASSERT_EQ(popped, model.empty() ? nullptr : model.front());
      if (popped == nullptr) continue;
      outside.push_back(popped);
      model.pop_front();
    }
    std::vector<Seq> expected;
    for (const Slot* slot : model) expected.push_back(slot->seq);
    ASSERT_EQ(Seqs(), expected) << "step " << step;
  }
}

}  // namespace
}  // namespace agentos
