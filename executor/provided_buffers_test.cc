#include "agentos/executor/provided_buffers.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "agentos/executor/result_buffers.h"
#include "agentos/executor/submission_ring.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// A ring that executes nothing and remembers what memory it was given.
class GroupRing final : public SubmissionRing {
 public:
  explicit GroupRing(bool has_groups) : has_groups_(has_groups) {}

  int Enter(const EnterArguments& /*arguments*/) override { return 0; }
  bool Supports(unsigned /*opcode*/) const override { return false; }
  int RegisterBuffer(unsigned /*index*/, absl::Span<char> /*memory*/) override { return -EOPNOTSUPP; }
  std::vector<int> OwnFds() const override { return {}; }
  std::string Features() const override { return ""; }
  bool MakeBufferGroup(unsigned most) override {
    most_ = most;
    return has_groups_;
  }
  void ProvideBuffer(uint16_t id, absl::Span<char> memory) override { given.push_back({id, memory}); }

  struct Given {
    uint16_t id;
    absl::Span<char> memory;
  };
  std::vector<Given> given;
  unsigned most() const { return most_; }

 private:
  const bool has_groups_;
  unsigned most_ = 0;
};

// What the kernel does when more comes than it has memory for.
void TakeAll(ProvidedBuffers& provided, size_t count) {
  for (size_t id = 0; id < count; ++id) EXPECT_TRUE(provided.Take(static_cast<uint16_t>(id)));
}

TEST(ProvidedBuffers, AreMadeWhenFirstAskedFor) {
  GroupRing ring(true);
  ResultBuffers buffers(ring);
  ProvidedBuffers provided(ring, buffers);
  EXPECT_TRUE(ring.given.empty());
  ASSERT_TRUE(provided.Ready());
  EXPECT_EQ(ring.most(), ProvidedBuffers::kMostBuffers);
  ASSERT_EQ(ring.given.size(), ProvidedBuffers::kFirstBuffers);
  for (size_t i = 0; i < ring.given.size(); ++i) {
    EXPECT_EQ(ring.given[i].id, i);
    EXPECT_EQ(ring.given[i].memory.size(), ProvidedBuffers::kBufferSize);
  }
  EXPECT_TRUE(provided.Ready());
  EXPECT_EQ(ring.given.size(), ProvidedBuffers::kFirstBuffers);
  EXPECT_EQ(provided.exhaustions(), 0u);
}

TEST(ProvidedBuffers, AreNoneWhereTheRingHasNoGroups) {
  GroupRing ring(false);
  ResultBuffers buffers(ring);
  ProvidedBuffers provided(ring, buffers);
  EXPECT_FALSE(provided.Ready());
  EXPECT_FALSE(provided.Ready());
  EXPECT_TRUE(ring.given.empty());
}

TEST(ProvidedBuffers, OneThatIsTakenIsReplacedAtOnce) {
  GroupRing ring(true);
  ResultBuffers buffers(ring);
  ProvidedBuffers provided(ring, buffers);
  ASSERT_TRUE(provided.Ready());
  const GroupRing::Given seventh = ring.given[7];
  PooledBuffer filled = provided.Take(7);
  EXPECT_EQ(filled.data(), seventh.memory.data());
  ASSERT_EQ(ring.given.size(), ProvidedBuffers::kFirstBuffers + 1);
  EXPECT_EQ(ring.given.back().id, 7);
  EXPECT_NE(ring.given.back().memory.data(), filled.data()) << "it is the caller's now";
}

TEST(ProvidedBuffers, AreTwiceAsManyAfterEachExhaustionUpToABound) {
  GroupRing ring(true);
  ResultBuffers buffers(ring);
  ProvidedBuffers provided(ring, buffers);
  ASSERT_TRUE(provided.Ready());
  size_t given = ring.given.size();
  for (size_t count = ProvidedBuffers::kFirstBuffers; count < ProvidedBuffers::kMostBuffers; count *= 2) {
    TakeAll(provided, count);
    EXPECT_TRUE(provided.Grow());
    // One for each that was taken, and as many more.
    given += 2 * count;
    EXPECT_EQ(ring.given.size(), given);
  }
  TakeAll(provided, ProvidedBuffers::kMostBuffers);
  EXPECT_TRUE(provided.Grow());
  EXPECT_EQ(ring.given.size(), given + ProvidedBuffers::kMostBuffers);
  EXPECT_EQ(provided.exhaustions(), 7u);
}

TEST(ProvidedBuffers, ManyWhoSayThatTheyRanOutOnceMakeThemGrowOnce) {
  GroupRing ring(true);
  ResultBuffers buffers(ring);
  ProvidedBuffers provided(ring, buffers);
  ASSERT_TRUE(provided.Ready());
  TakeAll(provided, ProvidedBuffers::kFirstBuffers);
  for (int i = 0; i < 500; ++i) EXPECT_TRUE(provided.Grow());
  EXPECT_EQ(ring.given.size(), 3 * ProvidedBuffers::kFirstBuffers);
  EXPECT_EQ(provided.exhaustions(), 1u);
}

}  // namespace
}  // namespace agentos
