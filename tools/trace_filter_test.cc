#include "agentos/tools/trace_filter.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentos/tools/command_line.h"
#include "agentos/tools/sample_items.h"
#include "agentos/tools/trace_item.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

std::vector<TraceItem> Items() {
  proto::v1::TraceHeader header;
  header.set_monotonic_ns(1'000'000'000);
  header.set_realtime_ns(1'700'000'000'000'000'000);
  std::vector<TraceItem> items = {header};
  items.emplace_back(SampleOperation("pid: 7 user_data: 17 read { fd: 5 size: 10 }", 1, 1'000'000'100, 0, 1'000, 10));
  items.emplace_back(SampleOperation("pid: 7 open { path: '/etc/hosts' }", 2, 1'500'000'000, 1'000, 2'000, 6));
  TracedOperation failed = SampleOperation("pid: 8 open { path: '/var/log/a.log' }", 3, 2'000'000'000, 0, 500);
  failed.error_number = 2;
  items.emplace_back(failed);
  TracedOperation pending = SampleOperation("pid: 8 splice { from_fd: 5 to_fd: 6 }", 4, 3'000'000'000, 0, 0);
  pending.ended = false;
  pending.took_ns.reset();
  items.emplace_back(pending);
  items.emplace_back(SampleOperation("pid: 9 connect { fd: 7 address: '127.0.0.1:80' }", 5, 4'000'000'000, 0, 5'000'000));
  items.emplace_back(TraceRingEvent{.created = false, .pid = 8, .time_ns = 5'000'000'000});
  items.emplace_back(TraceLoss{.submissions = 1, .time_ns = 5'000'000'000});
  return items;
}

// The numbers of the operations that pass, "ring" and "loss"; or what is wrong with the flags.
std::string Passing(const std::vector<std::string>& flags) {
  CommandLine line("tool", "Filters.", "");
  TraceFilter filter;
  filter.AddFlags(line);
  std::vector<const char*> argv = {"tool"};
  for (const std::string& flag : flags) argv.push_back(flag.c_str());
  const auto outcome = line.Parse(static_cast<int>(argv.size()), argv.data());
  if (outcome.exit_code.has_value()) return outcome.error;
  if (absl::Status status = filter.Check(); !status.ok()) return std::string(status.message());
  std::string passing;
  for (const TraceItem& item : Items()) {
    if (!filter.Passes(item)) continue;
    if (const auto* operation = std::get_if<TracedOperation>(&item)) absl::StrAppend(&passing, operation->seq, " ");
    if (std::holds_alternative<TraceRingEvent>(item)) passing += "ring ";
    if (std::holds_alternative<TraceLoss>(item)) passing += "loss ";
  }
  return passing;
}

TEST(TraceFilter, LetsEverythingPassUntilItIsTold) { EXPECT_EQ(Passing({}), "1 2 3 4 5 ring loss "); }

TEST(TraceFilter, EachFlagLetsPassWhatItSays) {
  ASSERT_EQ(setenv("TZ", "UTC", 1), 0);
  EXPECT_EQ(Passing({"--pid=7"}), "1 2 loss ");
  EXPECT_EQ(Passing({"--pid=7,8"}), "1 2 3 4 ring loss ");
  EXPECT_EQ(Passing({"--op=read,Connect"}), "1 5 loss ");
  EXPECT_EQ(Passing({"--fd=5"}), "1 4 loss ");
  EXPECT_EQ(Passing({"--fd=6"}), "4 loss ");
  EXPECT_EQ(Passing({"--path=/etc"}), "2 loss ");
  EXPECT_EQ(Passing({"--path=*.log"}), "3 loss ");
  EXPECT_EQ(Passing({"--path=127.0.0.1"}), "5 loss ");
  EXPECT_EQ(Passing({"--errno=ENOENT"}), "3 loss ");
  EXPECT_EQ(Passing({"--errno=2"}), "3 loss ");
  EXPECT_EQ(Passing({"--errno=eio"}), "loss ");
  EXPECT_EQ(Passing({"--failed"}), "3 loss ");
  EXPECT_EQ(Passing({"--in-flight"}), "4 loss ");
  EXPECT_EQ(Passing({"--slower-than=2us"}), "2 5 loss ") << "the wait counts";
  EXPECT_EQ(Passing({"--seq=2", "--seq=4"}), "2 4 loss ");
  EXPECT_EQ(Passing({"--user-data=0x11"}), "1 loss ");
  EXPECT_EQ(Passing({"--limit=2"}), "1 2 ring loss ");
  EXPECT_EQ(Passing({"--since=500ms"}), "2 3 4 5 ring loss ");
  EXPECT_EQ(Passing({"--until=1s"}), "1 2 3 loss ");
  EXPECT_EQ(Passing({"--since=2023-11-14T22:13:22Z"}), "4 5 ring loss ");
  EXPECT_EQ(Passing({"--since=2023-11-14 22:13:22.000000"}), "4 5 ring loss ") << "as --dates writes it";
  EXPECT_EQ(Passing({"--pid=7", "--op=open"}), "2 loss ") << "all of them have to hold";
}

TEST(TraceFilter, SaysWhichFlagIsWrong) {
  for (const char* flag : {"--pid=x", "--pid=abc", "--seq=1e", "--user-data=0x", "--fd=-1", "--seq=", "--user-data=zz",
                           "--op=Reed", "--errno=ENOTHING", "--errno=0", "--errno=99999", "--since=yesterday", "--until=5"}) {
    const std::string wrong = Passing({flag});
    EXPECT_TRUE(absl::StrContains(wrong, std::string(flag).substr(0, std::string(flag).find('=')))) << flag << ": " << wrong;
  }
}

TEST(TraceFilter, TimesThatLieFarApartDoNotOverflow) {
  CommandLine line("tool", "Filters.", "");
  TraceFilter filter;
  filter.AddFlags(line);
  const char* const argv[] = {"tool", "--slower-than=1s", "--since=0s"};
  ASSERT_FALSE(line.Parse(3, argv).exit_code.has_value());
  ASSERT_TRUE(filter.Check().ok());
  EXPECT_TRUE(filter.Passes(SampleOperation("pid: 7 nop {}", 1, 0, INT64_MAX, INT64_MAX)));
  EXPECT_FALSE(filter.Passes(SampleOperation("pid: 7 nop {}", 1, INT64_MIN, INT64_MAX, INT64_MAX)));
}

}  // namespace
}  // namespace agentos
