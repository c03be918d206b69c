#include "agentos/tools/fuzz_support.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/tools/chrome_export.h"
#include "agentos/tools/command_line.h"
#include "agentos/tools/html_report.h"
#include "agentos/tools/perfetto.pb.h"
#include "agentos/tools/perfetto_export.h"
#include "agentos/tools/trace_exporter.h"
#include "agentos/tools/trace_filter.h"
#include "agentos/tools/trace_formats.h"
#include "agentos/tools/trace_item.h"
#include "agentos/tools/trace_stream.h"
#include "agentos/tools/trace_summary.h"
#include "agentos/tools/trace_text.h"
#include "glog/logging.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/stubs/logging.h"
#include "google/protobuf/util/delimited_message_util.h"
#include "google/protobuf/util/json_util.h"

namespace agentos {

namespace {

using google::protobuf::io::ZeroCopyOutputStream;
using Check = void (*)(const std::string& written);

bool IsJson(absl::string_view text) {
  google::protobuf::Value value;
  return google::protobuf::util::JsonStringToMessage({text.data(), text.size()}, &value).ok();
}

// Neither of ASCII nor of those between it and Latin-1, which terminals obey too.
bool HasControlCharacters(absl::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n') || byte == 0x7f) return true;
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) return true;
  }
  return false;
}

void CheckLines(const std::string& written) {
  CHECK(written.empty() || written.back() == '\n');
  CHECK(!HasControlCharacters(written));
}

void CheckJsonLines(const std::string& written) {
  CheckLines(written);
  for (const absl::string_view line : absl::StrSplit(written, '\n', absl::SkipEmpty())) CHECK(IsJson(line));
}

void CheckJson(const std::string& written) { CHECK(IsJson(written)); }

void CheckCsv(const std::string& written) { CHECK(std::count(written.begin(), written.end(), '"') % 2 == 0); }

void CheckRecords(const std::string& written) {
  google::protobuf::io::ArrayInputStream in(written.data(), static_cast<int>(written.size()));
  bool clean_end = false;
  for (proto::v1::TraceRecord record; google::protobuf::util::ParseDelimitedFromZeroCopyStream(&record, &in, &clean_end);) {
    record.Clear();
  }
  CHECK(clean_end);
}

void CheckPerfetto(const std::string& written) {
  agentos::tools::v1::PerfettoTrace trace;
  CHECK(trace.ParseFromString(written));
}

// Nothing of a trace ends the script that it stands in.
void CheckHtml(const std::string& written) {
  const auto scripts = [&written](absl::string_view tag) {
    size_t count = 0;
    for (size_t at = written.find(tag.data(), 0, tag.size()); at != std::string::npos;
         at = written.find(tag.data(), at + 1, tag.size())) {
      ++count;
    }
    return count;
  };
  CHECK(scripts("<script") == scripts("</script"));
}

// One way of showing a trace, and what holds of the outcome.
struct Show {
  explicit Show(std::unique_ptr<TraceExporter> (*make)(ZeroCopyOutputStream*), Check written_check)
      : out(&written), exporter(make(&out)), check(written_check) {}

  std::string written;
  google::protobuf::io::StringOutputStream out;
  std::unique_ptr<TraceExporter> exporter;
  Check check;
};

template <SummaryBy kBy>
std::unique_ptr<TraceExporter> MakeSummary(ZeroCopyOutputStream* out) {
  return MakeTraceSummary(out, {.by = kBy, .histogram = true});
}

std::vector<std::unique_ptr<Show>> EveryShow() {
  std::vector<std::unique_ptr<Show>> shows;
  const auto add = [&shows](auto make, Check check) { shows.push_back(std::make_unique<Show>(make, check)); };
  add([](ZeroCopyOutputStream* out) { return MakeTraceText(out); }, CheckLines);
  add([](ZeroCopyOutputStream* out) { return MakeTraceText(out, {.width = 60, .absolute_times = true, .window = 2}); },
      CheckLines);
  // The colours are control characters.
  add([](ZeroCopyOutputStream* out) { return MakeTraceText(out, {.colour = true, .width = 30}); }, [](const std::string&) {});
  add(MakeJsonLines, CheckJsonLines);
  add(MakeCsv, CheckCsv);
  add(MakeProtoRecords, CheckRecords);
  add(MakeChromeExporter, CheckJson);
  add(MakePerfettoExporter, CheckPerfetto);
  add(MakeHtmlReport, CheckHtml);
  add(MakeSummary<SummaryBy::kOperation>, CheckLines);
  add(MakeSummary<SummaryBy::kPid>, CheckLines);
  add(MakeSummary<SummaryBy::kFd>, CheckLines);
  add(MakeSummary<SummaryBy::kPath>, CheckLines);
  return shows;
}

TraceFilter FilterOf(const std::vector<const char*>& flags) {
  TraceFilter filter;
  CommandLine line("fuzz", "", "");
  filter.AddFlags(line);
  std::vector<const char*> arguments = {"fuzz"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  CHECK(!line.Parse(static_cast<int>(arguments.size()), arguments.data()).exit_code.has_value());
  CHECK(filter.Check().ok());
  return filter;
}

const std::vector<TraceFilter>& EveryFilter() {
  static const auto& filters = *new std::vector<TraceFilter>{
      FilterOf({"--pid=7", "--op=read,open,unknown"}),
      FilterOf({"--fd=5"}),
      FilterOf({"--path=*tmp*", "--path=etc"}),
      FilterOf({"--errno=ENOENT"}),
      FilterOf({"--failed"}),
      FilterOf({"--in-flight"}),
      FilterOf({"--slower-than=1ms"}),
      FilterOf({"--since=1ms", "--until=1h"}),
      FilterOf({"--since=2026-11-23T22:00:00Z"}),
      FilterOf({"--until=1970-01-01T00:00:01Z"}),
      FilterOf({"--seq=1", "--user-data=0x11"}),
      FilterOf({"--limit=2"}),
  };
  return filters;
}

// Goes through a stream; what was wrong is said in words.
template <typename Visit>
TraceSeen Read(absl::StatusOr<std::unique_ptr<TraceStream>> stream, const Visit& visit) {
  TraceSeen seen;
  absl::Status status = stream.status();
  TraceItem item;
  while (status.ok()) {
    const absl::StatusOr<bool> next = (*stream)->Next(item);
    status = next.status();
    if (!status.ok()) break;
    if (!*next) {
      seen.is_readable = true;
      return seen;
    }
    ++seen.items;
    if (std::holds_alternative<TracedOperation>(item)) ++seen.operations;
    visit(item);
  }
  CHECK(!status.message().empty());
  return seen;
}

}  // namespace

MemoryFile::MemoryFile(absl::string_view bytes)
    : fd_(memfd_create("trace", MFD_CLOEXEC)), path_(absl::StrCat("/proc/self/fd/", fd_)) {
  CHECK(pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
}

MemoryFile::~MemoryFile() { close(fd_); }

TraceSeen ReadThrough(const std::vector<std::string>& paths) {
  return Read(TraceStream::Open(paths), [](const TraceItem&) {});
}

TraceSeen ReadThroughPipe(absl::string_view bytes) {
  int ends[2] = {};
  CHECK(pipe(ends) == 0);
  CHECK(write(ends[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  // Opening a pipe that nobody writes to would wait for somebody.
  auto stream = TraceStream::Open({absl::StrCat("/proc/self/fd/", ends[0])});
  close(ends[0]);
  close(ends[1]);
  return Read(std::move(stream), [](const TraceItem&) {});
}

TraceSeen ShowInEveryWay(const std::string& path) {
  // Text that is no UTF-8 is said on the standard error stream, each time.
  google::protobuf::SetLogHandler(nullptr);
  std::vector<std::unique_ptr<Show>> shows = EveryShow();
  std::vector<TraceFilter> filters = EveryFilter();
  for (const auto& show : shows) CHECK(show->exporter->Begin().ok());
  const TraceSeen seen = Read(TraceStream::Open({path}), [&](const TraceItem& item) {
    for (const auto& show : shows) CHECK(show->exporter->Add(item).ok());
    for (TraceFilter& filter : filters) filter.Passes(item);
  });
  for (const auto& show : shows) {
    CHECK(show->exporter->End().ok());
    show->check(show->written);
  }
  return seen;
}

}  // namespace agentos
