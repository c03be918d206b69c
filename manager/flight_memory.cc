#include "agentos/manager/flight_memory.h"

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/trace_records.h"

namespace agentos {

// The header of a file that is written out is its block before the first of these.
FlightMemory::FlightMemory(size_t records, uint64_t now_ns) : wanted_(records) { current_.Start(1, now_ns); }

absl::Status FlightMemory::Append(Encode encode, const TraceCounts& counts, uint64_t now_ns) {
  for (bool retried = false;; retried = true) {
    record_.clear();
    encode(current_.base_ns(), record_);
    if (current_.Add(record_)) break;
    if (retried) {
      forgotten_ += counts;
      return absl::InvalidArgumentError(
          absl::StrCat("a record of ", record_.size(), " bytes is more than a block of ", kTraceBlockSize, " holds"));
    }
    FinishBlock(now_ns);
  }
  current_counts_ += counts;
  return absl::OkStatus();
}

absl::Status FlightMemory::AppendLoss(const TraceCounts& lost, uint64_t now_ns) {
  const auto encode = [&](uint64_t base_ns, std::string& record) {
    EncodeLoss(lost, static_cast<int64_t>(now_ns), base_ns, record);
  };
  return Append(encode, {}, now_ns);
}

void FlightMemory::FinishBlock(uint64_t now_ns) {
  const absl::string_view bytes = current_.Finish();
  finished_.push_back({std::string(bytes), current_.records(), std::exchange(current_counts_, {})});
  finished_records_ += current_.records();
  current_.Start(current_.sequence() + 1, now_ns);
  while (!finished_.empty() && finished_records_ - finished_.front().records >= wanted_) ForgetOldest();
}

void FlightMemory::ForgetOldest() {
  forgotten_ += finished_.front().counts;
  finished_records_ -= finished_.front().records;
  finished_.pop_front();
}

absl::Status FlightMemory::WriteTo(const TraceFileOptions& options, const std::string& header, uint64_t now_ns) {
  if (current_.records() > 0) FinishBlock(now_ns);
  const uint64_t first = finished_.empty() ? current_.sequence() : current_.sequence() - finished_.size();
  auto writer = TraceFileWriter::CreateUnpublished(options, header, now_ns, first - 1);
  if (!writer.ok()) return writer.status();
  for (const Block& block : finished_) {
    if (absl::Status written = (*writer)->AppendBlock(block.bytes); !written.ok()) return written;
  }
  if (absl::Status published = (*writer)->Publish(); !published.ok()) return published;
  finished_.clear();
  finished_records_ = 0;
  return absl::OkStatus();
}

}  // namespace agentos
