// Bytes as the content of blocks whose checksums are right, so that what stands behind these is reached: the records.
//
// The first byte says what the times count from, whether a header comes first, and whether blocks are missing; what follows is
// records, each after its length. An empty one begins the next block.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/string_view.h"
#include "agentos/manager/trace_block.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/tools/fuzz_support.h"
#include "glog/logging.h"

namespace {

constexpr size_t kMostBlocks = 4;

constexpr uint64_t kBaseTimes[] = {
    0,
    1,
    1'000'000'000'000,
    uint64_t{1} << 62,
    std::numeric_limits<int64_t>::max() - 1,
    std::numeric_limits<int64_t>::max(),
    uint64_t{1} << 63,
    std::numeric_limits<uint64_t>::max(),
};
constexpr uint8_t kBaseTimeBits = 7;
constexpr uint8_t kNoHeaderBit = 8;
constexpr uint8_t kBlocksAreMissingBit = 16;

std::string Header(int os_pid) {
  agentos::proto::v1::TraceRecord record;
  record.mutable_header()->set_format_major(1);
  record.mutable_header()->set_os_pid(os_pid);
  record.mutable_header()->set_monotonic_ns(1'000'000'000'000);
  record.mutable_header()->set_realtime_ns(1'795'000'000'000'000'000);
  return record.SerializeAsString();
}

// The next record; what is no number is a length of its own, and what is longer than the rest is the rest.
absl::string_view TakeRecord(absl::string_view& rest) {
  size_t size = static_cast<uint8_t>(rest.front());
  rest.remove_prefix(1);
  if (size >= 0x80 && !rest.empty()) {
    size = (size & 0x7f) | static_cast<size_t>(static_cast<uint8_t>(rest.front())) << 7;
    rest.remove_prefix(1);
  }
  const absl::string_view record = rest.substr(0, size);
  rest.remove_prefix(record.size());
  return record;
}

std::string FileOf(uint8_t kind, absl::string_view rest, int os_pid) {
  std::string file;
  agentos::TraceBlockBuilder builder;
  size_t blocks = 0;
  uint64_t sequence = 0;
  const auto start = [&] { builder.Start(sequence, kBaseTimes[kind & kBaseTimeBits]); };
  const auto finish = [&] {
    file.resize(blocks++ * agentos::kTraceBlockSize);
    const absl::string_view bytes = builder.Finish();
    file.append(bytes.data(), bytes.size());
    sequence += (kind & kBlocksAreMissingBit) != 0 ? 3 : 1;
  };
  start();
  if ((kind & kNoHeaderBit) == 0) CHECK(builder.Add(Header(os_pid)));
  while (!rest.empty()) {
    const absl::string_view record = TakeRecord(rest);
    if ((!record.empty() || blocks + 1 >= kMostBlocks) && builder.Add(record)) continue;
    finish();
    start();
    builder.Add(record);
  }
  finish();
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view records(reinterpret_cast<const char*>(data + 1), size - 1);
  const agentos::MemoryFile one(FileOf(*data, records, 100));
  const agentos::TraceSeen seen = agentos::ShowInEveryWay(one.path());

  // Two recordings are merged; nothing of either is lost.
  const agentos::MemoryFile other(FileOf(*data, records, 200));
  const agentos::TraceSeen others = agentos::ReadThrough({other.path()});
  const agentos::TraceSeen both = agentos::ReadThrough({other.path(), one.path()});
  CHECK(both.is_readable == seen.is_readable);
  // Without headers that tell them apart, the files are one recording.
  if (!seen.is_readable || (*data & kNoHeaderBit) != 0) return 0;
  CHECK(both.items == seen.items + others.items && both.operations == seen.operations + others.operations);
  return 0;
}
