#include "agentos/executor/result_buffers.h"

#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "agentos/executor/submission_ring.h"
#include "agentos/ring/result_buffer_pool.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLarge = 65536;

// Has no queues; remembers what was registered.
class FakeRing final : public SubmissionRing {
 public:
  struct Registration {
    unsigned index;
    absl::Span<char> memory;
  };

  explicit FakeRing(bool willing) : willing_(willing) {}

  int RegisterBuffer(unsigned index, absl::Span<char> memory) override {
    registrations.push_back({index, memory});
    return willing_ ? 0 : -ENOMEM;
  }
  int Enter(const EnterArguments& /*arguments*/) override { return 0; }
  bool Supports(unsigned /*opcode*/) const override { return false; }
  std::vector<int> OwnFds() const override { return {}; }
  std::string Features() const override { return ""; }

  std::vector<Registration> registrations;

 private:
  const bool willing_;
};

bool LiesIn(const PooledBuffer& buffer, absl::Span<char> memory) {
  return buffer.data() >= memory.data() && buffer.data() + buffer.capacity() <= memory.data() + memory.size();
}

TEST(ResultBuffersTest, RegistersTheMemoryOfASizeWhenItIsFirstAskedFor) {
  struct Case {
    size_t size;
    // -1: never.
    int index;
    size_t capacity;
  };
  // A page, the first buffer of a ReadFile, and sizes beside them.
  for (const Case& c :
       {Case{kPage, 0, kPage}, Case{kPage - 1, 0, kPage}, Case{kLarge, 1, kLarge}, Case{100, -1, 256}, Case{kPage + 1, -1, 16384},
        Case{size_t{1} << 20, -1, size_t{1} << 20}, Case{size_t{3} << 20, -1, size_t{3} << 20}}) {
    SCOPED_TRACE(c.size);
    FakeRing ring(true);
    ResultBuffers buffers(ring);
    EXPECT_TRUE(ring.registrations.empty());
    const PooledBuffer first = buffers.Acquire(c.size);
    const PooledBuffer second = buffers.Acquire(c.size);
    EXPECT_EQ(first.arena(), c.index);
    EXPECT_EQ(first.capacity(), c.capacity);
    EXPECT_NE(first.data(), second.data());
    ASSERT_EQ(ring.registrations.size(), c.index < 0 ? 0u : 1u);
    if (c.index < 0) continue;
    EXPECT_EQ(ring.registrations[0].index, static_cast<unsigned>(c.index));
    EXPECT_TRUE(LiesIn(first, ring.registrations[0].memory) && LiesIn(second, ring.registrations[0].memory));
  }
}

TEST(ResultBuffersTest, RegistersEachSizeApart) {
  FakeRing ring(true);
  ResultBuffers buffers(ring);
  const PooledBuffer large = buffers.Acquire(kLarge);
  const PooledBuffer page = buffers.Acquire(kPage);
  ASSERT_EQ(ring.registrations.size(), 2u);
  EXPECT_TRUE(LiesIn(large, ring.registrations[0].memory));
  EXPECT_TRUE(LiesIn(page, ring.registrations[1].memory));
  EXPECT_LT(ring.registrations[1].index, SubmissionRing::kOwnBuffers);
  EXPECT_LE(ring.registrations[0].memory.size() + ring.registrations[1].memory.size(), size_t{8} << 20)
      << "pinned memory is dear";
}

TEST(ResultBuffersTest, GoesOnWithOrdinaryMemoryWhenItsOwnIsInUse) {
  FakeRing ring(true);
  ResultBuffers buffers(ring);
  std::vector<PooledBuffer> held;
  held.push_back(buffers.Acquire(kPage));
  const size_t count = ring.registrations[0].memory.size() / kPage;
  while (held.size() < count) held.push_back(buffers.Acquire(kPage));
  for (const PooledBuffer& buffer : held) EXPECT_TRUE(buffer.arena() == 0 && LiesIn(buffer, ring.registrations[0].memory));
  const PooledBuffer other = buffers.Acquire(kPage);
  EXPECT_TRUE(other && other.arena() == -1);
  held.erase(held.begin(), held.begin() + 2);
  buffers.CollectReturned();
  EXPECT_EQ(buffers.Acquire(kPage).arena(), 0);
  held.back().ReturnTo(buffers.pool());
  EXPECT_EQ(buffers.Acquire(kPage).arena(), 0);
  EXPECT_EQ(ring.registrations.size(), 1u);
}

TEST(ResultBuffersTest, DoesWithoutRegistrationWhereItIsRefused) {
  FakeRing ring(false);
  ResultBuffers buffers(ring);
  for (int round = 0; round < 3; ++round) {
    for (const size_t size : {kPage, kLarge}) {
      const PooledBuffer buffer = buffers.Acquire(size);
      EXPECT_EQ(buffer.arena(), -1);
      ASSERT_TRUE(buffer);
      std::memset(buffer.data(), 'a', size);
    }
  }
  EXPECT_EQ(ring.registrations.size(), 2u) << "asked once for each size";
}

TEST(ResultBuffersTest, AnswersWithAnEmptyBufferWhenTheMemoryIsNotToBeHad) {
  FakeRing ring(true);
  ResultBuffers buffers(ring);
  EXPECT_FALSE(buffers.Acquire(~size_t{0}));
  EXPECT_TRUE(buffers.Acquire(kPage));
}

TEST(ResultBuffersTest, LeavesBuffersValidThatOutliveIt) {
  FakeRing ring(true);
  std::optional<ResultBuffers> buffers(ring);
  PooledBuffer page = buffers->Acquire(kPage);
  PooledBuffer small = buffers->Acquire(10);
  buffers.reset();
  std::memset(page.data(), 'a', kPage);
  std::memset(small.data(), 'a', 10);
  page.Reset();
  EXPECT_EQ(small.data()[9], 'a');
}

}  // namespace
}  // namespace agentos
