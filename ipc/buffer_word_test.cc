#include "agentos/ipc/buffer_word.h"

#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using enum BufferState;
using enum BufferMove;

constexpr uint32_t kLender = 7;
constexpr uint32_t kReceiver = 8;

TEST(BufferWordTest, ZeroIsAFreeBuffer) { EXPECT_EQ(BufferWord::Unpack(0), BufferWord()); }

TEST(BufferWordTest, PackingIsUndoneByUnpacking) {
  for (size_t state = 0; state < kBufferStates; ++state) {
    for (const uint32_t generation : {uint32_t{0}, uint32_t{1}, kGenerationMask}) {
      for (const uint32_t owner : {uint32_t{0}, uint32_t{1}, ~uint32_t{0}}) {
        const BufferWord word = {static_cast<BufferState>(state), generation, owner};
        EXPECT_EQ(BufferWord::Unpack(word.Pack()), word);
      }
    }
  }
}

TEST(BufferWordTest, TheTableHasTheseMovesAndNoOther) {
  const std::map<std::pair<BufferState, BufferMove>, BufferState> table = {
      {{kFree, kLoan}, kLoaned},  {{kLoaned, kDrop}, kFree},      {{kLoaned, kSend}, kSent},
      {{kSent, kReceive}, kHeld}, {{kHeld, kRelease}, kReturned}, {{kReturned, kCollect}, kFree},
      {{kSent, kReclaim}, kFree}, {{kHeld, kReclaim}, kFree},     {{kReturned, kReclaim}, kFree},
  };
  for (size_t state = 0; state < 16; ++state) {
    for (size_t move = 0; move < kBufferMoves; ++move) {
      const auto key = std::pair(static_cast<BufferState>(state), static_cast<BufferMove>(move));
      const auto row = table.find(key);
      const std::optional<BufferState> expected = row == table.end() ? std::nullopt : std::optional(row->second);
      EXPECT_EQ(AfterMove(key.first, key.second), expected) << "state " << state << ", move " << move;
    }
  }
}

TEST(BufferWordTest, OnlyFreeingRaisesTheGenerationAndItWrapsAround) {
  BufferWord word = {kFree, kGenerationMask, 0};
  for (const BufferMove move : {kLoan, kSend, kReceive, kRelease}) {
    word = *AfterMove(word, move, kLender);
    EXPECT_EQ(word.generation, kGenerationMask);
    EXPECT_EQ(word.owner, kLender);
  }
  EXPECT_EQ(*AfterMove(word, kCollect, kLender), BufferWord());
}

TEST(BufferWordTest, TryMoveMovesExactlyWhatIsExpected) {
  SharedWord word{};
  const BufferWord sent = {kSent, 5, kLender};
  word.bits = sent.Pack();
  EXPECT_FALSE(TryMove(word, {kSent, 4, kLender}, kReceive, kReceiver)) << "an old generation";
  EXPECT_FALSE(TryMove(word, {kSent, 5, kReceiver}, kReceive, kReceiver)) << "another owner";
  EXPECT_FALSE(TryMove(word, sent, kRelease, kReceiver)) << "not in the table";
  EXPECT_TRUE(TryMove(word, sent, kReceive, kReceiver));
  EXPECT_EQ(BufferWord::Unpack(word.bits), (BufferWord{kHeld, 5, kReceiver}));
  EXPECT_FALSE(TryMove(word, sent, kReceive, kReceiver)) << "twice";
}

TEST(BufferWordTest, TheCensusCountsEveryBufferOnceWhateverItsBits) {
  std::vector<SharedWord> words(8);
  words[0].bits = ~uint64_t{0};
  words[1].bits = BufferWord{kHeld, 1, kReceiver}.Pack();
  words[2].bits = 5;
  EXPECT_EQ(Count(words.data(), words.size()), (BufferCensus{5, 0, 0, 1, 0, 2}));
}

// One buffer between two sides, all interleavings of their steps, each a single access to shared memory, with either side dying
// between any two of them. The steps are those of buffer_pool.cc, peer_buffers.cc and message_queue.h, in their order.
struct World {
  enum class Lender { kIdle, kLoaned, kMarked, kOut, kPopped, kDead };
  enum class Receiver { kIdle, kPeeked, kMarkedHeld, kHolding, kMarkedReturned, kDead };

  BufferWord word;
  // What the lender's own copy says.
  BufferState own = kFree;
  Lender lender = Lender::kIdle;
  Receiver receiver = Receiver::kIdle;
  bool in_queue = false;
  bool in_returns = false;
  // How often the message of the present generation was delivered.
  int delivered = 0;

  auto Key() const { return std::tuple(word.Pack(), own, lender, receiver, in_queue, in_returns, delivered); }
  friend bool operator<(const World& a, const World& b) { return a.Key() < b.Key(); }
};

using Lender = World::Lender;
using Receiver = World::Receiver;

// Two rounds and a bit: every state that a third could reach differs from one of the second by its generation only.
constexpr uint32_t kGenerations = 3;

bool ReceiverHolds(const World& world) { return world.receiver == Receiver::kMarkedHeld || world.receiver == Receiver::kHolding; }

World With(World world, Lender lender, BufferMove move, BufferState own) {
  const std::optional<BufferWord> next = AfterMove(world.word, move, kLender);
  EXPECT_TRUE(next.has_value()) << "the lender makes a move that the table does not have";
  if (next.has_value()) world.word = *next;
  world.lender = lender;
  world.own = own;
  if (own == kFree) world.delivered = 0;
  return world;
}

void LenderSteps(const World& world, std::vector<World>& next) {
  const bool receiver_dead = world.receiver == Receiver::kDead;
  switch (world.lender) {
    case Lender::kIdle:
      if (world.word.generation < kGenerations) next.push_back(With(world, Lender::kLoaned, kLoan, kLoaned));
      break;
    case Lender::kLoaned:
      next.push_back(With(world, Lender::kIdle, kDrop, kFree));
      next.push_back(With(world, Lender::kMarked, kSend, kSent));
      break;
    case Lender::kMarked: {
      World published = world;
      published.in_queue = true;
      published.lender = Lender::kOut;
      next.push_back(published);
      break;
    }
    case Lender::kOut:
      if (world.in_returns) {
        World popped = world;
        popped.in_returns = false;
        popped.lender = Lender::kPopped;
        next.push_back(popped);
      }
      if (receiver_dead) {
        World reclaimed = With(world, Lender::kIdle, kReclaim, kFree);
        // The channel ends with its receiver: nobody looks at the queues again.
        reclaimed.in_queue = reclaimed.in_returns = false;
        next.push_back(reclaimed);
      }
      break;
    case Lender::kPopped:
      next.push_back(With(world, Lender::kIdle, kCollect, kFree));
      break;
    case Lender::kDead:
      return;
  }
  World dead = world;
  dead.lender = Lender::kDead;
  next.push_back(dead);
}

void ReceiverSteps(const World& world, std::vector<World>& next) {
  World after = world;
  switch (world.receiver) {
    case Receiver::kIdle:
      if (!world.in_queue) break;
      after.receiver = Receiver::kPeeked;
      next.push_back(after);
      break;
    case Receiver::kPeeked: {
      const std::optional<BufferWord> held = AfterMove(world.word, kReceive, kReceiver);
      ASSERT_TRUE(held.has_value()) << "a sound lender looks like a liar";
      after.word = *held;
      after.receiver = Receiver::kMarkedHeld;
      ++after.delivered;
      next.push_back(after);
      break;
    }
    case Receiver::kMarkedHeld:
      after.in_queue = false;
      after.receiver = Receiver::kHolding;
      next.push_back(after);
      break;
    case Receiver::kHolding: {
      const std::optional<BufferWord> returned = AfterMove(world.word, kRelease, kReceiver);
      ASSERT_TRUE(returned.has_value()) << "a buffer is gone under its holder";
      after.word = *returned;
      after.receiver = Receiver::kMarkedReturned;
      next.push_back(after);
      break;
    }
    case Receiver::kMarkedReturned:
      after.in_returns = true;
      after.receiver = Receiver::kIdle;
      next.push_back(after);
      break;
    case Receiver::kDead:
      return;
  }
  World dead = world;
  dead.receiver = Receiver::kDead;
  next.push_back(dead);
}

void ExpectSound(const World& world) {
  SCOPED_TRACE(absl::StrCat("word ", world.word.state, " own ", world.own, " lender ", world.lender, " receiver ", world.receiver,
                            " in queue ", world.in_queue, " in returns ", world.in_returns));
  EXPECT_LE(world.delivered, 1);
  if (ReceiverHolds(world)) {
    EXPECT_EQ(world.word, (BufferWord{kHeld, world.word.generation, kReceiver}));
    EXPECT_EQ(world.own, kSent) << "the lender takes for its own what the receiver reads";
  }
  if (world.lender != Lender::kDead) {
    // Exactly one owner, and the word names it.
    EXPECT_EQ(world.own == kFree, world.word.state == kFree);
    EXPECT_EQ(world.own == kLoaned, world.word.state == kLoaned);
    if (world.own == kLoaned) {
      EXPECT_EQ(world.word.owner, kLender);
    }
  }
}

std::set<World> AllWorlds() {
  std::set<World> seen = {World()};
  std::vector<World> frontier = {World()};
  while (!frontier.empty()) {
    std::vector<World> next;
    for (const World& world : frontier) {
      LenderSteps(world, next);
      ReceiverSteps(world, next);
    }
    frontier.clear();
    for (const World& world : next) {
      if (seen.insert(world).second) frontier.push_back(world);
    }
  }
  return seen;
}

TEST(BufferLifeTest, EveryInterleavingWithACrashAtEachStepHasOneOwner) {
  const std::set<World> worlds = AllWorlds();
  // The enumeration has been everywhere: each step of each side, alive and with the other one dead.
  std::set<std::pair<Lender, Receiver>> places;
  for (const World& world : worlds) {
    ExpectSound(world);
    places.insert({world.lender, world.receiver});
  }
  for (const Lender lender : {Lender::kIdle, Lender::kLoaned, Lender::kMarked, Lender::kOut, Lender::kPopped, Lender::kDead}) {
    EXPECT_TRUE(places.contains({lender, Receiver::kDead})) << static_cast<int>(lender);
  }
  for (const Receiver receiver : {Receiver::kIdle, Receiver::kPeeked, Receiver::kMarkedHeld, Receiver::kHolding,
                                  Receiver::kMarkedReturned, Receiver::kDead}) {
    EXPECT_TRUE(places.contains({Lender::kDead, receiver})) << static_cast<int>(receiver);
  }
  EXPECT_GT(worlds.size(), 100u);
}

// Runs one side alone, in any of its ways, and answers all that it ends in.
std::set<World> Alone(const World& start, void (*steps)(const World&, std::vector<World>&)) {
  std::set<World> seen = {start};
  std::vector<World> frontier = {start};
  while (!frontier.empty()) {
    std::vector<World> next;
    for (const World& world : frontier) steps(world, next);
    frontier.clear();
    for (const World& world : next) {
      const bool crashed = world.lender != start.lender && world.lender == Lender::kDead;
      const bool ended = world.receiver != start.receiver && world.receiver == Receiver::kDead;
      if (!crashed && !ended && seen.insert(world).second) frontier.push_back(world);
    }
  }
  return seen;
}

TEST(BufferLifeTest, WhateverADeadReceiverHadIsFreeAgain) {
  for (const World& world : AllWorlds()) {
    if (world.receiver != Receiver::kDead || world.lender == Lender::kDead) continue;
    bool freed = false;
    for (const World& later : Alone(world, LenderSteps)) freed |= later.word.state == kFree && later.own == kFree;
    EXPECT_TRUE(freed) << "lost: state " << static_cast<int>(world.word.state);
  }
}

TEST(BufferLifeTest, WhatADeadLenderHadPublishedIsReceivedOnce) {
  for (const World& world : AllWorlds()) {
    if (world.lender != Lender::kDead || world.receiver == Receiver::kDead || !world.in_queue) continue;
    int most = 0;
    for (const World& later : Alone(world, ReceiverSteps)) most = std::max(most, later.delivered);
    EXPECT_EQ(most, 1);
  }
}

}  // namespace
}  // namespace agentos
