// What the timeline formats have in common: where each operation stands in the picture, whatever it is written as.
//
// Every process of the trace is a group. In it, an operation is a slice from its submission to its end, on the first lane where
// nothing else stands at that time; within the slice lie its time in the queue and its time under way. Completions of operations
// that have many, and what has no length, are marks on a lane of their own. Counters tell how many operations were waiting and
// under way. An operation that was linked to the next one points to it.
//
// Memory grows with the number of processes and of operations that were under way at the same time, never with the trace.
//
// Thread rule, lifetime, errors: those of trace_exporter.h.

#ifndef AGENTOS_TOOLS_TIMELINE_EXPORTER_H_
#define AGENTOS_TOOLS_TIMELINE_EXPORTER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/tools/depth_over_time.h"
#include "agentos/tools/lanes.h"
#include "agentos/tools/operation_details.h"
#include "agentos/tools/trace_exporter.h"
#include "agentos/tools/trace_item.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream.h"

namespace agentos {

class TimelineExporter : public TraceExporter {
 public:
  absl::Status Begin() final;
  absl::Status Add(const TraceItem& item) final;
  absl::Status End() final;

 protected:
  // A place in the picture. Lane 0 is for marks, the others are for slices.
  struct Place {
    // The AgentOS pid, or where two recordings have the same one, another number from 1 to 2^31 - 1.
    int32_t process = 0;
    size_t lane = 0;
  };

  struct Slice {
    Place place;
    std::string name;
    int64_t queued_ns = 0;
    // Not set when nobody knows; then it has no parts.
    std::optional<int64_t> started_ns;
    int64_t ended_ns = 0;
    bool failed = false;
    std::vector<OperationDetail> details;
    // The number of the link to the operation after it, and of that from the one before; 0 is none.
    uint64_t link_out = 0;
    uint64_t link_in = 0;
    // Where the one before stands, and the last moment within it.
    Place before;
    int64_t before_ns = 0;
  };

  struct Mark {
    // Of the whole trace when it is of no process.
    std::optional<Place> place;
    std::string name;
    int64_t time_ns = 0;
    bool failed = false;
    std::vector<OperationDetail> details;
  };

  explicit TimelineExporter(google::protobuf::io::ZeroCopyOutputStream* out) : out_(out) {}

  virtual void WriteBegin() = 0;
  virtual void WriteHeader(const proto::v1::TraceHeader& header) = 0;
  // Each process and lane is announced before it is used.
  virtual void WriteProcess(int32_t process, absl::string_view name) = 0;
  virtual void WriteLane(const Place& place, absl::string_view name) = 0;
  virtual void WriteSlice(const Slice& slice) = 0;
  virtual void WriteMark(const Mark& mark) = 0;
  virtual void WriteDepth(int32_t process, const DepthOverTime::Stretch& stretch) = 0;
  virtual void WriteEnd() = 0;

  google::protobuf::io::CodedOutputStream& out() { return out_; }

  // What times can count from: the beginning of the recording.
  int64_t first_ns() const { return first_ns_.value_or(0); }

 private:
  struct Process {
    int32_t id = 0;
    Lanes lanes;
    std::set<size_t> announced;
    std::optional<DepthOverTime> depth;
  };

  // Whose successor is awaited.
  struct Link {
    int32_t process = 0;
    uint64_t seq = 0;
    uint64_t number = 0;
    Place place;
    int64_t time_ns = 0;
  };

  void AddItem(const proto::v1::TraceHeader& header);
  void AddItem(const TracedOperation& operation);
  void AddItem(const TraceRingEvent& event);
  void AddItem(const TraceDrop& drop);
  void AddItem(const TraceRefusal& refusal);
  void AddItem(const TraceLoss& loss);
  void AddItem(const TraceDamage& damage);
  void AddItem(const TraceUnknown& unknown);

  Process& ProcessOf(size_t file, uint32_t pid);
  Place Announced(Process& process, size_t lane);
  void MarkOf(size_t file, uint32_t pid, std::string name, int64_t time_ns, std::vector<OperationDetail> details);
  void MarkOfAll(std::string name, int64_t time_ns, std::vector<OperationDetail> details);
  void TakeLinks(const TracedOperation& operation, Slice& slice);
  void Saw(int64_t time_ns);

  google::protobuf::io::CodedOutputStream out_;
  std::map<std::pair<size_t, uint32_t>, Process> processes_;
  std::set<int32_t> ids_;
  int32_t next_id_ = std::numeric_limits<int32_t>::max();
  std::deque<Link> links_;
  uint64_t last_link_ = 0;
  std::optional<int64_t> first_ns_;
  std::optional<int64_t> last_ns_;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TIMELINE_EXPORTER_H_
