#include "agentos/tools/sample_items.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/text_format.h"

namespace agentos {

namespace {

// Of CLOCK_MONOTONIC: a machine that has been up for two days.
constexpr int64_t kBegin = 172'800'000'000'000;

}  // namespace

TracedOperation SampleOperation(absl::string_view entry, uint64_t seq, int64_t queued_ns, int64_t waited_ns, int64_t took_ns,
                                int64_t value) {
  TracedOperation operation;
  const std::string text(entry);
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &operation.entry)) << text;
  operation.seq = seq;
  operation.queued_ns = queued_ns;
  operation.waited_ns = waited_ns;
  operation.took_ns = took_ns;
  operation.ended = true;
  operation.value = value;
  return operation;
}

std::vector<TraceItem> SampleItems() {
  std::vector<TraceItem> items;
  proto::v1::TraceHeader header;
  header.set_format_major(1);
  header.set_monotonic_ns(kBegin);
  header.set_realtime_ns(1'795'471'200'000'000'000);
  header.set_os_pid(4242);
  header.set_kernel("6.1.0-40-amd64");
  header.set_machine("x86_64");
  header.set_processors(8);
  header.set_executor("io_uring");
  header.set_program("/usr/bin/agent");
  items.emplace_back(header);
  items.emplace_back(TraceRingEvent{.created = true, .pid = 7, .time_ns = kBegin + 1'000, .sq_size = 256, .cq_size = 512});
  items.emplace_back(SampleOperation("pid: 7 user_data: 1 open { path: '/etc/hosts' }", 1, kBegin + 2'000, 500, 12'345, 3));

  // A chain whose second part fails, so that the third never starts.
  items.emplace_back(SampleOperation("pid: 7 read { fd: 3 size: 4096 } modifiers { link: LINK_ON_SUCCESS }", 2, kBegin + 20'000,
                                     0, 4'000, 4096));
  TracedOperation failed =
      SampleOperation("pid: 7 write { fd: 9 payload { size: 4096 data: 'GET /' } } modifiers { link: LINK_ON_SUCCESS }", 3,
                      kBegin + 20'000, 4'000, 250);
  failed.error_number = EBADF;
  items.emplace_back(failed);
  TracedOperation never_started = SampleOperation("pid: 7 fsync { fd: 9 }", 4, kBegin + 20'000, 4'250, 0);
  never_started.cancelled = true;
  items.emplace_back(never_started);

  // Three at the same time, of another process; a path that is no UTF-8 and one that would end a script.
  items.emplace_back(SampleOperation("pid: 9 user_data: 18446744073709551615 read_file { path: '/tmp/\\377' }", 1,
                                     kBegin + 30'000, 100, 900'000, 1'000'000));
  items.emplace_back(SampleOperation("pid: 9 read_file { path: '</script ><img src=x onerror=alert(1)>' }", 2, kBegin + 30'010,
                                     90, 800'000, 12));
  TracedOperation refused = SampleOperation("pid: 9 connect { fd: 4 address: '[::1]:80' }", 3, kBegin + 30'020, 80, 700'000);
  refused.error_number = ECONNREFUSED;
  items.emplace_back(refused);

  // Multishot: three connections, then the end.
  for (int i = 0; i < 4; ++i) {
    TracedOperation accepted = SampleOperation("pid: 7 accept_many { fd: 5 }", 5, kBegin + 40'000, 10, 100'000 * (i + 1), 10 + i);
    accepted.more = i < 3;
    accepted.peer_address = "127.0.0.1:50000";
    items.emplace_back(accepted);
  }

  items.emplace_back(TraceDrop{.pid = 7, .seq = 2, .time_ns = kBegin + 500'000});
  items.emplace_back(TraceRefusal{
      .pid = 9, .entries = 16, .code = static_cast<int>(absl::StatusCode::kResourceExhausted), .time_ns = kBegin + 510'000});
  items.emplace_back(TraceLoss{.submissions = 3, .completions = 4, .others = 1, .time_ns = kBegin + 520'000});
  items.emplace_back(TraceDamage{.path = "/tmp/a.trace", .offset = 131072, .bytes = 65536, .what = "its checksum is wrong"});
  items.emplace_back(TraceUnknown{.text = "99: 1"});

  // Only its end is in the trace.
  TracedOperation end_only = SampleOperation("pid: 7", 77, kBegin + 600'000, 0, 0, 5);
  end_only.waited_ns.reset();
  end_only.took_ns.reset();
  items.emplace_back(end_only);
  items.emplace_back(TraceRingEvent{.pid = 9, .time_ns = kBegin + 1'000'000});

  TracedOperation in_flight = SampleOperation("pid: 7 recv { fd: 6 size: 100 }", 6, kBegin + 50'000, 1'000, 0);
  in_flight.took_ns.reset();
  in_flight.ended = false;
  items.emplace_back(in_flight);
  return items;
}

std::vector<TraceItem> BusyItems(size_t operations) {
  std::mt19937_64 random(11);
  // Lengths have long tails: most are short, a few very long.
  const auto length = [&](double median_ns, double spread) {
    return static_cast<int64_t>(std::lognormal_distribution<double>(std::log(median_ns), spread)(random));
  };
  const std::vector<std::string> entries = {
      "pid: 1 read { fd: 7 size: 4096 offset: 8192 }",
      "pid: 1 write { fd: 8 payload { size: 16384 } }",
      "pid: 1 fsync { fd: 8 }",
      "pid: 2 recv { fd: 12 size: 65536 }",
      "pid: 2 send { fd: 12 payload { size: 1400 } }",
      "pid: 2 accept { fd: 5 }",
      "pid: 3 read_file { path: '/var/lib/agent/session-17/memory.json' }",
      "pid: 3 open { path: '/var/lib/agent/session-17/notes.md' }",
      "pid: 3 statx { path: '/var/lib/agent/tools' }",
      "pid: 3 write_file { path: '/var/lib/agent/session-17/plan.md' payload { size: 3000 } }",
  };
  const double medians[] = {9e3, 22e3, 900e3, 160e3, 14e3, 420e3, 60e3, 12e3, 5e3, 110e3};
  const double spreads[] = {0.7, 0.6, 0.5, 0.9, 0.4, 0.8, 0.6, 0.5, 0.4, 0.7};
  const int64_t values[] = {4096, 16384, 0, 1200, 1400, 30, 48'211, 31, 0, 3000};
  std::vector<TraceItem> items;
  items.push_back(SampleItems()[0]);
  std::vector<TracedOperation> all;
  std::vector<int64_t> now(4, kBegin);
  std::vector<uint64_t> seq(4, 0);
  for (size_t i = 0; i < operations; ++i) {
    const size_t kind = std::discrete_distribution<size_t>({30, 14, 1, 12, 12, 2, 8, 6, 8, 4})(random);
    const size_t pid = kind < 3 ? 1 : kind < 6 ? 2 : 3;
    // In bursts, as agents think between what they do.
    now[pid] += random() % 97 == 0 ? length(3e6, 0.5) : length(pid == 1 ? 9e3 : 26e3, 1.0);
    const bool is_slow_disk = pid == 1 && (now[pid] - kBegin) % 40'000'000 > 36'000'000;
    TracedOperation operation = SampleOperation(entries[kind], ++seq[pid], now[pid], length(is_slow_disk ? 60e3 : 700, 0.9),
                                                length(medians[kind] * (is_slow_disk ? 25 : 1), spreads[kind]), values[kind]);
    if (kind == 7 && random() % 9 == 0) operation.error_number = ENOENT;
    if (kind == 3 && random() % 60 == 0) operation.error_number = ECONNRESET;
    all.push_back(operation);
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return EndOf(a) < EndOf(b); });
  items.insert(items.end(), all.begin(), all.end());
  return items;
}

std::vector<TraceItem> WildItems(uint32_t seed, size_t count) {
  std::mt19937_64 random(seed);
  const auto text = [&] {
    std::string bytes(random() % 20, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % 4 == 0 ? "<>&\"'\\\n/"[random() % 8] : random());
    return bytes;
  };
  // Small, large, or anything.
  const auto number = [&]() -> uint64_t {
    switch (random() % 3) {
      case 0:
        return random() % 100;
      case 1:
        return random() % 1'000'000;
      default:
        return random();
    }
  };
  const auto* oneof = proto::v1::Entry::descriptor()->FindOneofByName("operation");
  std::vector<TraceItem> items;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t kind = random() % 20;
    if (kind == 0) {
      items.emplace_back(
          TraceDamage{.path = text(), .offset = number(), .bytes = number(), .what = text(), .file = random() % 2});
    } else if (kind == 1) {
      items.emplace_back(TraceUnknown{.text = text()});
    } else if (kind == 2) {
      items.emplace_back(TraceLoss{.submissions = number(), .completions = number(), .time_ns = static_cast<int64_t>(number())});
    } else if (kind == 3) {
      items.emplace_back(TraceRefusal{
          .pid = static_cast<uint32_t>(random()), .code = static_cast<int>(number()), .time_ns = static_cast<int64_t>(number())});
    } else if (kind == 4) {
      proto::v1::TraceHeader header;
      header.set_program(text());
      header.set_monotonic_ns(number());
      header.set_realtime_ns(number());
      items.emplace_back(header);
    } else {
      TracedOperation operation;
      operation.entry.set_pid(static_cast<uint32_t>(random() % 3 == 0 ? number() : random() % 3));
      operation.entry.set_user_data(number());
      if (random() % 10 != 0) {
        const auto* field = oneof->field(static_cast<int>(random() % static_cast<uint64_t>(oneof->field_count())));
        operation.entry.GetReflection()->MutableMessage(&operation.entry, field);
      }
      if (operation.entry.has_open()) operation.entry.mutable_open()->set_path(text());
      if (operation.entry.has_write()) operation.entry.mutable_write()->mutable_payload()->set_data(text());
      if (random() % 4 == 0) operation.entry.mutable_modifiers()->set_link(proto::v1::Modifiers::LINK_ON_END);
      operation.seq = number();
      operation.file = random() % 2;
      operation.queued_ns = static_cast<int64_t>(number());
      if (random() % 4 != 0) operation.waited_ns = static_cast<int64_t>(number());
      if (random() % 4 != 0) operation.took_ns = static_cast<int64_t>(number());
      operation.ended = random() % 5 != 0;
      operation.value = static_cast<int64_t>(number());
      operation.error_number = random() % 3 == 0 ? static_cast<int>(number()) : 0;
      operation.cancelled = random() % 10 == 0;
      operation.more = random() % 10 == 0;
      operation.peer_address = text();
      items.emplace_back(operation);
    }
  }
  return items;
}

std::string Exported(const MakeExporter& make, const std::vector<TraceItem>& items) {
  std::string bytes;
  google::protobuf::io::StringOutputStream out(&bytes);
  const std::unique_ptr<TraceExporter> exporter = make(&out);
  EXPECT_TRUE(exporter->Begin().ok());
  for (const TraceItem& item : items) EXPECT_TRUE(exporter->Add(item).ok());
  EXPECT_TRUE(exporter->End().ok());
  return bytes;
}

testing::AssertionResult IsAsInFile(const std::string& text, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream golden;
  golden << file.rdbuf();
  if (file.good() && golden.str() == text) return testing::AssertionSuccess();
  const char* outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  const std::string left = absl::StrCat(outputs == nullptr ? "/tmp" : outputs, path.substr(path.rfind('/')));
  std::ofstream(left, std::ios::binary) << text;
  return testing::AssertionFailure() << "it differs from " << path << "; compare with diff " << path << " " << left << "\n"
                                     << text.substr(0, 4000);
}

}  // namespace agentos
