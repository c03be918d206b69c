// What the tests of handlers share: a manager as in manager_fixture.h, with an AsyncRing of kPid, which has nothing under way when
// a test ends.
//
// Thread rule: as AsyncRing.
//
//   class ReadStreamTest : public AsyncRingFixture {};
//   TEST_P(ReadStreamTest, Reads) { ring().RunUntilComplete(Read(ring())); }

#ifndef AGENTOS_HANDLERS_ASYNC_RING_FIXTURE_H_
#define AGENTOS_HANDLERS_ASYNC_RING_FIXTURE_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/ring_options.h"
#include "gtest/gtest.h"

namespace agentos {

class AsyncRingFixture : public ManagerTest {
 protected:
  void SetUp() override {
    ManagerTest::SetUp();
    MakeRing(AsyncRing::DefaultOptions());
  }
  void TearDown() override {
    if (ring_ != nullptr) {
      EXPECT_TRUE(ring_->RunUntilIdle().ok());
    }
    EndRing();
    ManagerTest::TearDown();
  }

  void MakeRing(const RingOptions& options) {
    EndRing();
    absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(manager(), kPid, options);
    ASSERT_TRUE(ring.ok()) << ring.status();
    ring_ = *std::move(ring);
  }
  void EndRing() { ring_.reset(); }
  AsyncRing& ring() { return *ring_; }

 private:
  std::unique_ptr<AsyncRing> ring_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_ASYNC_RING_FIXTURE_H_
