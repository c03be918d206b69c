// Messages between two processes of one manager: 32 IpcSends of the one, 32 IpcRecvs of the other, a batch each.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/ring/submission_entry.h"

namespace agentos::bench {
namespace {

constexpr size_t kBatch = 32;
constexpr Pid kReceiver = kPid + 1;

void SendAndReceive(benchmark::State& state, size_t size, Threading threading, bool receivers_wait) {
  std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
  if (manager == nullptr || !Check(state, manager->CreateRing(kReceiver))) return;
  std::vector<SyscallSubmissionEntry> sends(kBatch);
  std::vector<SyscallSubmissionEntry> receives(kBatch);
  std::vector<SyscallCompletionEntry> sent(kBatch);
  std::vector<SyscallCompletionEntry> received(kBatch);
  const std::string message(size, 'm');
  const auto receive = [&] {
    for (size_t i = 0; i < kBatch; ++i) receives[i] = SyscallSubmissionEntry::IpcRecv(kReceiver, size, i);
    return manager->SubmitBatch(kReceiver, absl::MakeSpan(receives), {});
  };
  for (auto _ : state) {
    if (receivers_wait && !Check(state, receive())) return;
    for (size_t i = 0; i < kBatch; ++i) {
      sends[i] = SyscallSubmissionEntry::IpcSend(kPid, kReceiver, absl::string_view(message), i);
    }
    if (!Check(state, manager->SubmitBatch(kPid, absl::MakeSpan(sends), {}))) return;
    if (!receivers_wait && !Check(state, receive())) return;
    if (!Check(state, ReapExactly(*manager, kPid, absl::MakeSpan(sent)))) return;
    if (!Check(state, ReapExactly(*manager, kReceiver, absl::MakeSpan(received)))) return;
    const auto bytes = static_cast<int64_t>(kBatch * size);
    if (SumValues(sent) != bytes || SumValues(received) != bytes) return state.SkipWithError("a message is missing");
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  for (const size_t size : {size_t{8}, size_t{64}, size_t{1024}}) {
    for (const Threading threading : kAllThreadings) {
      for (const bool receivers_wait : {false, true}) {
        catalog.Add(absl::StrCat("ipc_batch_32_", size), Role::kOurs,
                    ThreadingName(threading) + (receivers_wait ? "_receivers_wait" : "_messages_wait"),
                    [=](benchmark::State& state) { SendAndReceive(state, size, threading, receivers_wait); });
      }
    }
  }
}

}  // namespace agentos::bench
