#include "agentos/examples/quickstart/steps.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/examples/quickstart/format.h"

namespace agentos::quickstart {

namespace {

constexpr absl::string_view kMessage = "good day";
constexpr size_t kMaxMessageSize = 4096;
constexpr char kNoSuchPath[] = "/no/such/file";

}  // namespace

absl::StatusOr<std::string> WriteResult(Process* writer, Process* reader, const std::string& path, const std::string& content) {
  absl::StatusOr<SyscallResult> written =
      writer->RunToSuccess(SyscallSubmissionEntry::WriteFile(writer->pid(), path, content, /*user_data=*/0));
  if (!written.ok()) return written.status();
  absl::StatusOr<SyscallResult> read =
      reader->RunToSuccess(SyscallSubmissionEntry::ReadFile(reader->pid(), path, /*user_data=*/0));
  if (!read.ok()) return read.status();
  if (read->data() != content)
    return absl::DataLossError(absl::StrCat("what was read back from ", path, " is not what was written"));
  return absl::StrCat("process ", writer->pid(), " wrote ", Counted(content.size(), "byte"), " to ", path, ", process ",
                      reader->pid(), " read the same back");
}

absl::StatusOr<std::string> PassMessage(Process* sender, Process* receiver) {
  absl::StatusOr<Seq> receiving =
      receiver->Start(SyscallSubmissionEntry::IpcRecv(receiver->pid(), kMaxMessageSize, /*user_data=*/0));
  if (!receiving.ok()) return receiving.status();
  absl::StatusOr<SyscallResult> sent =
      sender->RunToSuccess(SyscallSubmissionEntry::IpcSend(sender->pid(), receiver->pid(), kMessage, /*user_data=*/0));
  // Also after a failed IpcSend: the IpcRecv is not left behind.
  absl::StatusOr<SyscallResult> received = receiver->FinishToSuccess(*receiving);
  if (!sent.ok()) return sent.status();
  if (!received.ok()) return received.status();
  if (received->data() != kMessage) return absl::DataLossError("the message that arrived is not the one that was sent");
  return absl::StrCat("process ", receiver->pid(), " received \"", received->data(), "\" from ", received->peer_address());
}

absl::StatusOr<std::string> ShowError(Process* process) {
  absl::StatusOr<SyscallCompletionEntry> done =
      process->Run(SyscallSubmissionEntry::ReadFile(process->pid(), kNoSuchPath, /*user_data=*/0));
  if (!done.ok()) return done.status();
  if (!done->status.is_error()) return absl::InternalError(absl::StrCat("reading ", kNoSuchPath, " did not end with an error"));
  return absl::StrCat(done->status.error_message(), ", as it should");
}

}  // namespace agentos::quickstart
