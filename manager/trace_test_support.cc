#include "agentos/manager/trace_test_support.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/string_view.h"
#include "agentos/manager/trace_block.h"
#include "agentos/manager/trace_file_reader.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {

using proto::v1::TraceRecord;

ReadTrace::ReadTrace(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_GE(fd.get(), 0) << path;
  TraceFileReader reader(fd.get());
  for (TraceFileReader::Item item; reader.Next(item).value_or(false);) {
    EXPECT_EQ(item.state, BlockState::kGood) << path << " at " << item.offset;
    for (absl::string_view bytes; item.block.Next(bytes);) {
      TraceRecord record;
      EXPECT_TRUE(record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) << path << " at " << item.offset;
      if (record.has_header()) {
        header_ = record.header();
      } else {
        records_.push_back(std::move(record));
      }
    }
  }
}

std::vector<proto::v1::Operation> ReadTrace::operations() const {
  std::vector<proto::v1::Operation> operations;
  for (const TraceRecord& record : records_) {
    if (record.has_operation()) operations.push_back(record.operation());
  }
  return operations;
}

size_t ReadTrace::Count(TraceRecord::RecordCase kind) const {
  return static_cast<size_t>(std::count_if(records_.begin(), records_.end(),
                                           [kind](const TraceRecord& record) { return record.record_case() == kind; }));
}

uint64_t ReadTrace::submissions() const { return Count(TraceRecord::kOperation) + Count(TraceRecord::kQueued); }

uint64_t ReadTrace::completions() const {
  return static_cast<uint64_t>(std::count_if(records_.begin(), records_.end(), [](const TraceRecord& record) {
    return record.has_operation() || (record.has_completed() && !record.completed().completion().more());
  }));
}

TraceCounts ReadTrace::lost() const {
  TraceCounts lost;
  for (const TraceRecord& record : records_) {
    if (!record.has_loss()) continue;
    lost += {record.loss().submissions(), record.loss().completions(), record.loss().others()};
  }
  return lost;
}

}  // namespace agentos
