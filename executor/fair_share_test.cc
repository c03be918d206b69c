#include "agentos/executor/fair_share.h"

#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "agentos/ring/ring_options.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

std::unique_ptr<BoundRing> RingOf(size_t weight) {
  auto ring = std::make_unique<BoundRing>(nullptr);
  RingOptions options;
  options.weight = weight;
  ring->Reset(1, options, nullptr);
  return ring;
}

TEST(FairShare, P6RingsTakeTurnsAsLongAsTheirWeight) {
  const auto light = RingOf(1);
  const auto heavy = RingOf(3);
  FairShare shares;
  shares.Add(*light);
  shares.Add(*heavy);
  std::map<const BoundRing*, size_t> starts;
  for (int turn = 0; turn < 100; ++turn) {
    const FairShare::Turn next = shares.Next();
    starts[next.ring] += next.starts;
    shares.Add(*next.ring);
  }
  EXPECT_EQ(starts[heavy.get()], 3 * starts[light.get()]);
}

TEST(FairShare, P6OneThatComesWaitsForOneTurnOfEachOther) {
  const auto busy = RingOf(1);
  const auto other = RingOf(1);
  const auto late = RingOf(1);
  FairShare shares;
  shares.Add(*busy);
  shares.Add(*other);
  shares.Add(*shares.Next().ring);
  shares.Add(*late);
  size_t before = 0;
  for (FairShare::Turn turn = shares.Next(); turn.ring != late.get(); turn = shares.Next()) {
    before += turn.starts;
    shares.Add(*turn.ring);
  }
  EXPECT_EQ(before, 2 * FairShare::kStartsPerTurn);
}

TEST(FairShare, ARingIsInOnceAndCanBeTakenOut) {
  const auto one = RingOf(1);
  const auto two = RingOf(1);
  FairShare shares;
  shares.Add(*one);
  shares.Add(*one);
  shares.Add(*two);
  EXPECT_EQ(shares.size(), 2u);
  shares.Remove(*one);
  shares.Remove(*one);
  EXPECT_EQ(shares.Next().ring, two.get());
  EXPECT_TRUE(shares.empty());
}

}  // namespace
}  // namespace agentos
