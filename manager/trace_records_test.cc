#include "agentos/manager/trace_records.h"

#include <cerrno>
#include <cstdint>
#include <limits>
#include <string>

#include "agentos/manager/trace_counts.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/ring/operation.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

namespace pb = proto::v1;

constexpr uint64_t kBase = 1'000'000;

pb::TraceRecord Parse(const std::string& bytes) {
  pb::TraceRecord record;
  EXPECT_TRUE(record.ParseFromString(bytes));
  EXPECT_EQ(record.SerializeAsString(), bytes) << "is not what generated code writes: " << record.DebugString();
  return record;
}

std::string Entry() {
  pb::Entry entry;
  entry.set_pid(7);
  entry.mutable_close()->set_fd(5);
  return entry.SerializeAsString();
}

TEST(TraceRecords, AnOperation) {
  const std::string entry = Entry();
  std::string record = "what was there before";
  EncodeOperation({.seq = 3, .queued_ns = 999'990, .waited_ns = 4, .entry = entry},
                  {.pid = 7,
                   .seq = 3,
                   .queued_ns = 999'990,
                   .ended_ns = 1'000'100,
                   .kind = OperationKind::kClose,
                   .value = 10,
                   .data = "0123",
                   .peer_address = "pid:1"},
                  kBase, record);
  const pb::Operation operation = Parse(record).operation();
  EXPECT_EQ(operation.entry().close().fd(), 5);
  EXPECT_EQ(operation.seq(), 3u);
  EXPECT_EQ(operation.queued(), -10);
  EXPECT_EQ(operation.waited(), 4u);
  EXPECT_EQ(operation.took(), 106u);
  EXPECT_EQ(operation.value(), 10);
  EXPECT_EQ(operation.payload().size(), 10u);
  EXPECT_EQ(operation.payload().data(), "0123");
  EXPECT_EQ(operation.peer_address(), "pid:1");
  EXPECT_FALSE(operation.cancelled());
}

TEST(TraceRecords, AnOperationThatFailedAndOneThatNeverStarted) {
  const std::string entry = Entry();
  std::string record;
  EncodeOperation({.seq = 1, .queued_ns = 1'000'000, .waited_ns = 0, .entry = entry},
                  {.pid = 7, .seq = 1, .queued_ns = 1'000'000, .ended_ns = 1'000'001, .error_number = EBADF}, kBase, record);
  EXPECT_EQ(Parse(record).operation().error_number(), EBADF);
  EXPECT_FALSE(Parse(record).operation().has_payload());
  EncodeOperation({.seq = 1, .queued_ns = 1'000'000, .entry = entry},
                  {.pid = 7, .seq = 1, .queued_ns = 1'000'000, .ended_ns = 1'000'050, .cancelled = true}, kBase, record);
  EXPECT_TRUE(Parse(record).operation().cancelled());
  EXPECT_EQ(Parse(record).operation().waited(), 50u) << "all its life";
  EXPECT_EQ(Parse(record).operation().took(), 0u);
}

TEST(TraceRecords, ClocksThatDisagreeMakeNoNegativeLengths) {
  const std::string entry = Entry();
  std::string record;
  EncodeOperation({.seq = 1, .queued_ns = 1'000'100, .waited_ns = 50, .entry = entry},
                  {.pid = 7, .seq = 1, .queued_ns = 1'000'100, .ended_ns = 1'000'120}, kBase, record);
  EXPECT_EQ(Parse(record).operation().took(), 0u);
}

TEST(TraceRecords, TheHalvesOfAnOperation) {
  const std::string entry = Entry();
  std::string record;
  EncodeQueued({.seq = 3, .queued_ns = 1'000'005, .entry = entry}, kBase, record);
  EXPECT_EQ(Parse(record).queued().time(), 5);
  EXPECT_EQ(Parse(record).queued().seq(), 3u);
  EXPECT_EQ(Parse(record).queued().entry().close().fd(), 5);
  EXPECT_FALSE(Parse(record).queued().has_waited());
  EncodeQueued({.seq = 3, .queued_ns = 1'000'005, .waited_ns = 0, .entry = entry}, kBase, record);
  EXPECT_TRUE(Parse(record).queued().has_waited()) << "it started at once";
  EXPECT_EQ(Parse(record).queued().waited(), 0u);

  EncodeDispatched(7, 3, 1'000'005, 1'000'020, kBase, record);
  EXPECT_EQ(Parse(record).dispatched().time(), 20);
  EXPECT_EQ(Parse(record).dispatched().pid(), 7u);
  EXPECT_EQ(Parse(record).dispatched().seq(), 3u);
  EXPECT_EQ(Parse(record).dispatched().waited(), 15u);

  EncodeCompleted({.pid = 7,
                   .seq = 3,
                   .queued_ns = 1'000'005,
                   .ended_ns = 1'000'105,
                   .kind = OperationKind::kRecvMany,
                   .value = 4,
                   .more = true,
                   .data = "data",
                   .peer_address = "127.0.0.1:80"},
                  kBase, record);
  const pb::Completed completed = Parse(record).completed();
  EXPECT_EQ(completed.time(), 105);
  EXPECT_EQ(completed.since_queued(), 100u);
  EXPECT_EQ(completed.completion().pid(), 7u);
  EXPECT_EQ(completed.completion().seq(), 3u);
  EXPECT_EQ(completed.completion().operation(), pb::OPERATION_KIND_RECV_MANY);
  EXPECT_TRUE(completed.completion().more());
  EXPECT_EQ(completed.completion().payload().data(), "data");
  EXPECT_EQ(completed.completion().peer_address(), "127.0.0.1:80");
}

TEST(TraceRecords, EverythingElse) {
  std::string record;
  EncodeDropped(7, 3, 1'000'001, kBase, record);
  EXPECT_EQ(Parse(record).dropped().seq(), 3u);
  EXPECT_EQ(Parse(record).dropped().pid(), 7u);
  EXPECT_EQ(Parse(record).dropped().time(), 1);
  EncodeRefused(7, 32, 8, 1'000'001, kBase, record);
  EXPECT_EQ(Parse(record).refused().entries(), 32u);
  EXPECT_EQ(Parse(record).refused().code(), 8);
  EncodeRingCreated(7, 256, 512, 1'000'001, kBase, record);
  EXPECT_EQ(Parse(record).ring_created().sq_size(), 256u);
  EXPECT_EQ(Parse(record).ring_created().cq_size(), 512u);
  EncodeRingDestroyed(7, 999'999, kBase, record);
  EXPECT_EQ(Parse(record).ring_destroyed().pid(), 7u);
  EXPECT_EQ(Parse(record).ring_destroyed().time(), -1);
  EncodeLoss({.submissions = 1, .completions = 2, .others = 3}, 1'000'000, kBase, record);
  EXPECT_EQ(Parse(record).loss().submissions(), 1u);
  EXPECT_EQ(Parse(record).loss().completions(), 2u);
  EXPECT_EQ(Parse(record).loss().others(), 3u);
}

TEST(TraceRecords, TheLargestNumbersAndStringsFit) {
  const std::string entry(40'000, 'e');
  const std::string data(40'000, 'd');
  std::string record;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EncodeCompleted({.pid = 0xffffffff,
                   .seq = std::numeric_limits<uint64_t>::max(),
                   .ended_ns = kMost,
                   .kind = OperationKind::kRecvMany,
                   .value = kMost,
                   .error_number = -1,
                   .cancelled = true,
                   .more = true,
                   .data = data,
                   .peer_address = data},
                  0, record);
  EXPECT_EQ(Parse(record).completed().completion().value(), kMost);
  EXPECT_EQ(Parse(record).completed().completion().payload().data(), data);
}

}  // namespace
}  // namespace agentos
