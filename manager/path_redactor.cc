#include "agentos/manager/path_redactor.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace agentos {

namespace {

constexpr char kUnix[] = "unix:";

}  // namespace

std::string PathRedactor::Name(absl::string_view name) {
  if (name.empty() || name == "." || name == "..") return std::string(name);
  const auto found = names_.find(name);
  if (found != names_.end()) return absl::StrCat("n", found->second);
  if (names_.size() >= most_names_) return "n";
  const size_t number = names_.size() + 1;
  names_.emplace(name, number);
  return absl::StrCat("n", number);
}

std::string PathRedactor::Path(absl::string_view path) {
  std::string redacted;
  for (const absl::string_view name : absl::StrSplit(path, '/')) absl::StrAppend(&redacted, Name(name), "/");
  redacted.pop_back();
  return redacted;
}

std::string PathRedactor::Address(absl::string_view address) {
  if (!absl::StartsWith(address, kUnix)) return std::string(address);
  return absl::StrCat(kUnix, Path(address.substr(sizeof(kUnix) - 1)));
}

void PathRedactor::Redact(proto::v1::Entry& entry) {
  const auto path = [this](auto* operation) { operation->set_path(Path(operation->path())); };
  using Entry = proto::v1::Entry;
  switch (entry.operation_case()) {
    case Entry::kReadFile:
      return path(entry.mutable_read_file());
    case Entry::kWriteFile:
      return path(entry.mutable_write_file());
    case Entry::kOpen:
      return path(entry.mutable_open());
    case Entry::kStatx:
      return path(entry.mutable_statx());
    case Entry::kUnlink:
      return path(entry.mutable_unlink());
    case Entry::kMkdir:
      return path(entry.mutable_mkdir());
    case Entry::kRename:
      entry.mutable_rename()->set_from(Path(entry.rename().from()));
      entry.mutable_rename()->set_to(Path(entry.rename().to()));
      return;
    case Entry::kConnect:
      return entry.mutable_connect()->set_address(Address(entry.connect().address()));
    case Entry::kSendTo:
      return entry.mutable_send_to()->set_address(Address(entry.send_to().address()));
    default:
      return;
  }
}

}  // namespace agentos
