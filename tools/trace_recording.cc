#include "agentos/tools/trace_recording.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "agentos/manager/trace_header.h"
#include "google/protobuf/unknown_field_set.h"

namespace agentos {

namespace {

using google::protobuf::Message;
using proto::v1::TraceRecord;

// Whether a newer version has said something here that this one does not know.
bool HasUnknownFields(const Message& message) {
  const auto* reflection = message.GetReflection();
  if (!reflection->GetUnknownFields(message).empty()) return true;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  return std::any_of(fields.begin(), fields.end(), [&](const google::protobuf::FieldDescriptor* field) {
    return field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE &&
           HasUnknownFields(reflection->GetMessage(message, field));
  });
}

int64_t Signed(uint64_t number) { return static_cast<int64_t>(std::min<uint64_t>(number, std::numeric_limits<int64_t>::max())); }

// The item's operation, which is made the item's when it holds something else: reusing it saves its memory.
TracedOperation& OperationIn(TraceItem& item) {
  if (auto* operation = std::get_if<TracedOperation>(&item)) {
    operation->waited_ns.reset();
    operation->took_ns.reset();
    operation->ended = operation->cancelled = operation->more = false;
    operation->value = 0;
    operation->error_number = 0;
    operation->payload.Clear();
    operation->peer_address.clear();
    return *operation;
  }
  return item.emplace<TracedOperation>();
}

}  // namespace

TraceRecording::TraceRecording(std::vector<File> files, size_t most_pending)
    : files_(std::move(files)), most_pending_(most_pending) {}

uint64_t TraceRecording::bytes() const {
  uint64_t bytes = 0;
  for (const File& file : files_) bytes += file.blocks->size();
  return bytes;
}

int64_t TraceRecording::Absolute(int64_t time_ns) const {
  int64_t sum = 0;
  const int64_t base_ns = Signed(block_.block.base_ns());
  if (__builtin_add_overflow(base_ns, time_ns, &sum)) return time_ns < 0 ? 0 : std::numeric_limits<int64_t>::max();
  return std::max<int64_t>(0, sum);
}

absl::StatusOr<bool> TraceRecording::NextRecord(absl::string_view& bytes) {
  for (;;) {
    if (in_block_ && block_.block.Next(bytes)) return true;
    in_block_ = false;
    if (file_ >= files_.size()) return false;
    absl::StatusOr<bool> next = files_[file_].blocks->Next(block_);
    if (!next.ok()) return next.status();
    if (!*next) {
      // The last one may have more later.
      if (file_ + 1 >= files_.size()) return false;
      ++file_;
      continue;
    }
    bytes_read_ += kTraceBlockSize;
    missing_ += block_.missing;
    if (block_.state == BlockState::kGood) {
      in_block_ = true;
      // From one file of the recording to the next.
      if (std::exchange(sequence_file_, file_) != file_ && block_.block.sequence() > last_sequence_ + 1) {
        missing_ += block_.block.sequence() - last_sequence_ - 1;
      }
      last_sequence_ = block_.block.sequence();
    } else if (block_.state != BlockState::kEmpty) {
      AddDamage(block_);
      return true;
    }
  }
}

void TraceRecording::AddDamage(const TraceBlocks::Item& item) {
  const char* what = item.state == BlockState::kCut ? "the file ends within it" : "its bytes are not those that were written";
  const TraceBlocks& blocks = *files_[file_].blocks;
  const uint64_t size = blocks.size();
  const uint64_t bytes = size > item.offset ? std::min<uint64_t>(size - item.offset, kTraceBlockSize) : kTraceBlockSize;
  ready_.push_back(TraceDamage{blocks.name(), item.offset, bytes, what, files_[file_].number});
}

absl::Status TraceRecording::AddHeader(const proto::v1::TraceHeader& header) {
  if (header.format_major() > kTraceFormatMajor) {
    return absl::FailedPreconditionError(absl::StrCat(files_[file_].blocks->name(), " has the format ", header.format_major(),
                                                      ".", header.format_minor(), ", and this program reads ", kTraceFormatMajor,
                                                      ".x: use the tools of the version that wrote it, or a newer one"));
  }
  shows_unknown_ = header.format_minor() > kTraceFormatMinor;
  realtime_offset_ns_ = static_cast<int64_t>(header.realtime_ns() - header.monotonic_ns());
  return absl::OkStatus();
}

absl::StatusOr<bool> TraceRecording::Next(TraceItem& item) {
  for (;;) {
    if (!ready_.empty()) {
      item = std::move(ready_.front());
      ready_.pop_front();
      return true;
    }
    absl::string_view bytes;
    absl::StatusOr<bool> next = NextRecord(bytes);
    if (!next.ok()) return next.status();
    if (!ready_.empty()) continue;
    if (!*next) {
      if (!is_finished_ || pending_.empty()) return false;
      std::vector<TracedOperation> left;
      for (auto& [key, operation] : pending_) left.push_back(std::move(operation));
      pending_.clear();
      std::sort(left.begin(), left.end(), [](const auto& a, const auto& b) { return a.queued_ns < b.queued_ns; });
      for (TracedOperation& operation : left) ready_.push_back(std::move(operation));
      continue;
    }
    if (!record_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      ready_.push_back(
          TraceUnknown{absl::StrCat("a record of ", bytes.size(), " bytes that is no message"), files_[file_].number});
      continue;
    }
    if (record_.has_header()) {
      if (absl::Status status = AddHeader(record_.header()); !status.ok()) return status;
    }
    if (missing_ > 0 && !record_.has_header()) {
      // Blocks that could not be written are accounted for by what follows them.
      if (!record_.has_loss()) {
        ready_.push_back(TraceDamage{files_[file_].blocks->name(), block_.offset, 0,
                                     absl::StrCat(missing_, missing_ == 1 ? " block is" : " blocks are", " missing before it"),
                                     files_[file_].number});
      }
      missing_ = 0;
    }
    if (shows_unknown_ && record_.record_case() != TraceRecord::RECORD_NOT_SET && HasUnknownFields(record_)) {
      ready_.push_back(TraceUnknown{record_.ShortDebugString(), files_[file_].number});
    }
    if (!Take(item)) continue;
    if (ready_.empty()) return true;
    ready_.push_back(std::move(item));
  }
}

void TraceRecording::Finish() { is_finished_ = true; }

bool TraceRecording::Take(TraceItem& item) {
  const size_t file = files_[file_].number;
  switch (record_.record_case()) {
    case TraceRecord::kOperation:
      return TakeOperation(item);
    case TraceRecord::kQueued:
      return TakeQueued(item);
    case TraceRecord::kDispatched: {
      const auto& dispatched = record_.dispatched();
      const int64_t waited_ns = Signed(dispatched.waited());
      const Key key = {dispatched.pid(), dispatched.seq(), Absolute(dispatched.time()) - waited_ns};
      if (const auto found = pending_.find(key); found != pending_.end()) found->second.waited_ns = waited_ns;
      return false;
    }
    case TraceRecord::kCompleted:
      return TakeCompleted(item);
    case TraceRecord::kDropped:
      item = TraceDrop{record_.dropped().pid(), record_.dropped().seq(), Absolute(record_.dropped().time()), file};
      return true;
    case TraceRecord::kRefused: {
      const auto& refused = record_.refused();
      item = TraceRefusal{refused.pid(), refused.entries(), refused.code(), Absolute(refused.time()), file};
      return true;
    }
    case TraceRecord::kLoss: {
      const auto& loss = record_.loss();
      item = TraceLoss{loss.submissions(), loss.completions(), loss.others(), Absolute(loss.time()), file};
      return true;
    }
    case TraceRecord::kRingCreated: {
      const auto& ring = record_.ring_created();
      item = TraceRingEvent{true, ring.pid(), Absolute(ring.time()), ring.sq_size(), ring.cq_size(), file};
      return true;
    }
    case TraceRecord::kRingDestroyed:
      TakeRingDestroyed(item);
      return true;
    case TraceRecord::kHeader:
      item = record_.header();
      return true;
    case TraceRecord::RECORD_NOT_SET:
      break;
  }
  item = TraceUnknown{record_.ShortDebugString(), file};
  return true;
}

bool TraceRecording::TakeOperation(TraceItem& item) {
  proto::v1::Operation& from = *record_.mutable_operation();
  TracedOperation& to = OperationIn(item);
  to.entry.Swap(from.mutable_entry());
  to.seq = from.seq();
  to.file = files_[file_].number;
  to.queued_ns = Absolute(from.queued());
  to.waited_ns = Signed(from.waited());
  to.took_ns = Signed(from.took());
  to.ended = true;
  to.value = from.value();
  to.error_number = from.error_number();
  to.cancelled = from.cancelled();
  if (from.has_payload()) to.payload.Swap(from.mutable_payload());
  if (!from.peer_address().empty()) to.peer_address = from.peer_address();
  return true;
}

bool TraceRecording::TakeQueued(TraceItem& item) {
  proto::v1::Queued& from = *record_.mutable_queued();
  TracedOperation operation;
  operation.entry.Swap(from.mutable_entry());
  operation.seq = from.seq();
  operation.file = files_[file_].number;
  operation.queued_ns = Absolute(from.time());
  if (from.has_waited()) operation.waited_ns = Signed(from.waited());
  KeepPending({operation.entry.pid(), operation.seq, operation.queued_ns}, std::move(operation));
  if (pending_.size() <= most_pending_) return false;
  while (!by_age_.empty()) {
    const auto oldest = pending_.find(by_age_.front());
    by_age_.pop_front();
    if (oldest == pending_.end()) continue;
    item = std::move(oldest->second);
    pending_.erase(oldest);
    return true;
  }
  return false;
}

void TraceRecording::KeepPending(const Key& key, TracedOperation&& operation) {
  pending_.insert_or_assign(key, std::move(operation));
  by_age_.push_back(key);
  if (by_age_.size() <= 2 * pending_.size() + 1024) return;
  std::erase_if(by_age_, [this](const Key& one) { return !pending_.contains(one); });
}

bool TraceRecording::TakeCompleted(TraceItem& item) {
  proto::v1::Completion& from = *record_.mutable_completed()->mutable_completion();
  const int64_t since_queued_ns = Signed(record_.completed().since_queued());
  const int64_t ended_ns = Absolute(record_.completed().time());
  const Key key = {from.pid(), from.seq(), ended_ns - since_queued_ns};
  TracedOperation operation;
  if (const auto found = pending_.find(key); found != pending_.end()) {
    if (from.more()) {
      operation = found->second;
    } else {
      operation = std::move(found->second);
      pending_.erase(found);
    }
  } else {
    operation.entry.set_pid(from.pid());
    operation.seq = from.seq();
    operation.queued_ns = std::max<int64_t>(0, key.queued_ns);
  }
  operation.file = files_[file_].number;
  operation.ended = true;
  operation.took_ns = std::max<int64_t>(0, since_queued_ns - operation.waited_ns.value_or(0));
  operation.value = from.value();
  operation.error_number = from.error_number();
  operation.cancelled = from.cancelled();
  operation.more = from.more();
  operation.payload.Swap(from.mutable_payload());
  operation.peer_address = from.peer_address();
  item = std::move(operation);
  return true;
}

void TraceRecording::TakeRingDestroyed(TraceItem& item) {
  const proto::v1::RingDestroyed& ring = record_.ring_destroyed();
  const int64_t time_ns = Absolute(ring.time());
  // Their ends were lost.
  for (auto it = pending_.begin(); it != pending_.end();) {
    if (it->first.pid != ring.pid() || it->first.queued_ns > time_ns) {
      ++it;
      continue;
    }
    ready_.push_back(std::move(it->second));
    pending_.erase(it++);
  }
  item = TraceRingEvent{false, ring.pid(), time_ns, 0, 0, files_[file_].number};
}

}  // namespace agentos
