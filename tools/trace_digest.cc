#include "agentos/tools/trace_digest.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>
#include <variant>

#include "agentos/tools/operation_details.h"

namespace agentos {

namespace {

constexpr size_t kMaxHeaders = 100;
constexpr size_t kMaxDamages = 100;
constexpr size_t kMaxTextBytes = 200;

bool IsSlower(const TraceDigest::Kept& a, const TraceDigest::Kept& b) { return a.total_ns > b.total_ns; }

size_t StepOf(int64_t length_ns) {
  constexpr int64_t kLongest = int64_t{1} << 60;
  const uint64_t quarters = static_cast<uint64_t>(std::clamp<int64_t>(length_ns, 1, kLongest)) << 2U;
  const int octave = std::bit_width(quarters) - 3;
  return static_cast<size_t>(octave) * 4 + ((quarters >> static_cast<unsigned>(octave)) & 3U);
}

int64_t Between(int64_t from_ns, int64_t to_ns) {
  if (to_ns <= from_ns) return 0;
  const uint64_t distance = static_cast<uint64_t>(to_ns) - static_cast<uint64_t>(from_ns);
  return static_cast<int64_t>(std::min<uint64_t>(distance, std::numeric_limits<int64_t>::max()));
}

// At most kMaxTextBytes of UTF-8, whole characters.
std::string Shortened(std::string text) {
  if (text.size() <= kMaxTextBytes) return text;
  size_t end = kMaxTextBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  text.resize(end);
  return text + "...";
}

TraceDigest::Outcome OutcomeOf(const TracedOperation& operation) {
  if (!operation.ended) return TraceDigest::Outcome::kNeverEnded;
  if (operation.cancelled) return TraceDigest::Outcome::kCancelled;
  return operation.error_number != 0 ? TraceDigest::Outcome::kFailed : TraceDigest::Outcome::kSuccess;
}

}  // namespace

void TraceDigest::Add(const TraceItem& item) {
  std::visit([this](const auto& value) { AddItem(value); }, item);
}

std::vector<TraceDigest::Kept> TraceDigest::KeptOperations() const {
  std::vector<Kept> all = slowest_;
  std::sort(all.begin(), all.end(), IsSlower);
  for (const Draw* draw : {&failed_, &others_, &never_ended_}) all.insert(all.end(), draw->drawn.begin(), draw->drawn.end());
  return all;
}

void TraceDigest::AddItem(const proto::v1::TraceHeader& header) {
  Saw(static_cast<int64_t>(header.monotonic_ns()));
  if (headers_.size() >= kMaxHeaders) return;
  headers_.push_back(header);
  headers_.back().clear_descriptor_set();
}

void TraceDigest::AddItem(const TracedOperation& operation) {
  Kind& kind = kinds_[operation.entry.operation_case()];
  if (kind.name.empty()) kind.name = OperationNameOf(operation.entry);
  const int64_t start = StartOf(operation);
  const int64_t end = operation.ended ? EndOf(operation) : std::max(EndOf(operation), last_ns());
  Saw(operation.queued_ns);
  Saw(end);
  const Outcome outcome = OutcomeOf(operation);
  if (outcome == Outcome::kSuccess && operation.value > 0 && MovesBytes(operation.entry)) {
    kind.bytes += static_cast<uint64_t>(operation.value);
  }
  if (operation.more) return;
  if (operation.entry.operation_case() == proto::v1::Entry::OPERATION_NOT_SET) {
    ++sums_.beginnings_lost;
    return;
  }
  ++sums_.operations;
  processes_.emplace(operation.file, operation.entry.pid());
  ++kind.calls;
  kind.failed += outcome == Outcome::kFailed ? 1 : 0;
  kind.cancelled += outcome == Outcome::kCancelled ? 1 : 0;
  kind.never_ended += outcome == Outcome::kNeverEnded ? 1 : 0;
  const bool has_started = operation.waited_ns.has_value() || operation.took_ns.has_value();
  depth_.Add(operation.queued_ns, has_started ? start : end, end);
  const int64_t total = Between(operation.queued_ns, end);
  if (outcome != Outcome::kNeverEnded) {
    kind.total_ns += static_cast<double>(total);
    kind.latency.Add(total);
    latency_.Add(total);
    ++kind.total_lengths[StepOf(total)];
    if (operation.waited_ns.has_value()) {
      kind.waited_ns += static_cast<double>(Between(operation.queued_ns, start));
      ++kind.waited_lengths[StepOf(Between(operation.queued_ns, start))];
      ++kind.took_lengths[StepOf(Between(start, end))];
    }
  }
  Keep(operation, total);
}

void TraceDigest::AddItem(const TraceRingEvent& event) { Saw(event.time_ns); }

void TraceDigest::AddItem(const TraceDrop& drop) {
  Saw(drop.time_ns);
  ++sums_.dropped;
}

void TraceDigest::AddItem(const TraceRefusal& refusal) {
  Saw(refusal.time_ns);
  sums_.refused += refusal.entries;
}

void TraceDigest::AddItem(const TraceLoss& loss) {
  Saw(loss.time_ns);
  sums_.lost_submissions += loss.submissions;
  sums_.lost_completions += loss.completions;
  sums_.lost_others += loss.others;
}

void TraceDigest::AddItem(const TraceDamage& damage) {
  ++sums_.damages;
  sums_.damaged_bytes += damage.bytes;
  if (damages_.size() < kMaxDamages) damages_.push_back(damage);
}

void TraceDigest::AddItem(const TraceUnknown& /*unknown*/) { ++sums_.unknown_records; }

void TraceDigest::Saw(int64_t time_ns) {
  first_ns_ = std::min(first_ns_.value_or(time_ns), time_ns);
  last_ns_ = std::max(last_ns_.value_or(time_ns), time_ns);
}

void TraceDigest::Keep(const TracedOperation& operation, int64_t total_ns) {
  const auto keep_in = [&](Draw& draw, size_t limit, auto&& make) {
    const std::optional<size_t> place = Place(draw, limit);
    if (!place.has_value()) return;
    if (*place == draw.drawn.size()) {
      draw.drawn.push_back(make());
    } else {
      draw.drawn[*place] = make();
    }
  };
  const auto draw = [&](Outcome outcome, auto&& make) {
    if (outcome == Outcome::kSuccess) return keep_in(others_, limits_.others, make);
    keep_in(failed_, limits_.failed, make);
  };
  const auto describe = [&] { return KeptOf(operation, total_ns); };
  if (!operation.ended) {
    keep_in(never_ended_, limits_.never_ended, describe);
  } else if (slowest_.size() < limits_.slowest) {
    slowest_.push_back(describe());
    std::push_heap(slowest_.begin(), slowest_.end(), IsSlower);
  } else if (slowest_.empty() || total_ns <= slowest_.front().total_ns) {
    // Most operations end here, so they are described only when they are drawn.
    draw(OutcomeOf(operation), describe);
  } else {
    std::pop_heap(slowest_.begin(), slowest_.end(), IsSlower);
    Kept faster = std::exchange(slowest_.back(), describe());
    std::push_heap(slowest_.begin(), slowest_.end(), IsSlower);
    const Outcome outcome = faster.outcome;
    draw(outcome, [&] { return std::move(faster); });
  }
}

std::optional<size_t> TraceDigest::Place(Draw& draw, size_t limit) {
  ++draw.offered;
  if (draw.drawn.size() < limit) return draw.drawn.size();
  const uint64_t place = random_() % draw.offered;
  if (place >= limit) return std::nullopt;
  return static_cast<size_t>(place);
}

TraceDigest::Kept TraceDigest::KeptOf(const TracedOperation& operation, int64_t total_ns) {
  return {.queued_ns = operation.queued_ns,
          .waited_ns = operation.waited_ns.has_value() ? Between(operation.queued_ns, StartOf(operation)) : -1,
          .total_ns = total_ns,
          .file = operation.file,
          .pid = operation.entry.pid(),
          .seq = operation.seq,
          .outcome = OutcomeOf(operation),
          .kind = operation.entry.operation_case(),
          .target = Shortened(TargetOf(operation.entry)),
          .result = ResultOf(operation)};
}

}  // namespace agentos
