#include "agentos/ring/priority_turns.h"

#include <array>
#include <cstddef>
#include <string>

#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kBackground = 0;
constexpr size_t kNormal = 1;
constexpr size_t kUrgent = 2;

class PriorityTurnsTest : public testing::Test {
 protected:
  size_t Next() const {
    return turns_.Next([this](size_t level) { return waiting_[level] > 0; });
  }
  size_t Start() {
    const size_t level = Next();
    turns_.Take(level, [this](size_t which) { return waiting_[which] > 0; });
    --waiting_[level];
    return level;
  }
  // The levels of the next starts, as digits.
  std::string Starts(size_t count) {
    std::string levels;
    for (size_t i = 0; i < count; ++i) levels += static_cast<char>('0' + Start());
    return levels;
  }

  PriorityTurns turns_;
  std::array<size_t, PriorityTurns::kLevels> waiting_{};
};

TEST_F(PriorityTurnsTest, P6TheHighestLevelAtWhichSomethingWaitsIsNext) {
  waiting_ = {2, 2, 2};
  EXPECT_EQ(Starts(6), "221100");
}

TEST_F(PriorityTurnsTest, P6AskingChangesNothing) {
  waiting_ = {1, 0, 1000};
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Next(), kUrgent);
}

TEST_F(PriorityTurnsTest, P6OneStartInSoManyIsLeftForTheBackground) {
  waiting_ = {1000, 0, 1000};
  const std::string round = std::string(PriorityTurns::kPatience, '2') + "0";
  EXPECT_EQ(Starts(3 * round.size()), round + round + round);
}

TEST_F(PriorityTurnsTest, P6EachLevelBelowHasATurnOfItsOwn) {
  waiting_ = {1000, 1000, 1000};
  std::string starts = Starts(300);
  for (const char level : {'0', '1', '2'}) EXPECT_NE(starts.find(level), std::string::npos);
  // The lowest first when both have waited as long: it has been passed over by the other one, too.
  EXPECT_EQ(starts.find_first_not_of('2'), PriorityTurns::kPatience);
  EXPECT_EQ(starts.substr(PriorityTurns::kPatience, 2), "01");
}

TEST_F(PriorityTurnsTest, P6BackgroundIsPassedOverByWhatIsNormalAsWell) {
  waiting_ = {1, 1000, 0};
  EXPECT_EQ(Starts(PriorityTurns::kPatience + 2), std::string(PriorityTurns::kPatience, '1') + "01");
}

TEST_F(PriorityTurnsTest, P6ALevelAtWhichNothingWaitsIsNotPassedOver) {
  waiting_ = {0, 0, 1000};
  Starts(100);
  waiting_[kBackground] = 1;
  EXPECT_EQ(Starts(PriorityTurns::kPatience + 1), std::string(PriorityTurns::kPatience, '2') + "0");
}

TEST_F(PriorityTurnsTest, P6ATurnBeginsTheCountAnew) {
  waiting_ = {1, 0, PriorityTurns::kPatience - 1};
  Starts(PriorityTurns::kPatience - 1);
  EXPECT_EQ(Start(), kBackground) << "nothing else waits";
  waiting_ = {1, 0, 1000};
  EXPECT_EQ(Starts(PriorityTurns::kPatience), std::string(PriorityTurns::kPatience, '2'));
  EXPECT_EQ(Start(), kBackground);
}

TEST_F(PriorityTurnsTest, P6AHigherLevelPaysForNothingBelow) {
  waiting_ = {0, 1, 1};
  EXPECT_EQ(Start(), kUrgent);
  EXPECT_EQ(Start(), kNormal);
  waiting_ = {5, 0, 5};
  EXPECT_EQ(Starts(10), "2222200000");
}

}  // namespace
}  // namespace agentos
