#include <algorithm>
#include <cstdio>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "agentos/ring/entry_checks.h"

namespace agentos::ring_internal {

std::string Hex(int bits) { return absl::StrCat("0x", absl::Hex(static_cast<uint32_t>(bits))); }

absl::Status Refuse(OperationKind kind, absl::string_view field, const absl::AlphaNum& is, const absl::AlphaNum& allowed) {
  return absl::InvalidArgumentError(absl::StrCat(OperationName(kind), ".", field, " is ", is, ": it must be ", allowed));
}

absl::Status RefuseFd(OperationKind kind, int fd, absl::string_view field) {
  return Refuse(kind, field, fd, "a file descriptor, from 0 upward");
}

absl::Status RefusePath(OperationKind kind, const std::string& path, absl::string_view field) {
  if (path.empty()) return Refuse(kind, field, "empty", "the name of a file");
  if (path.size() >= PATH_MAX) {
    return Refuse(kind, field, absl::StrCat(path.size(), " bytes long"), absl::StrCat("at most ", PATH_MAX - 1));
  }
  constexpr size_t kMostQuoted = 64;
  const size_t nul = path.find('\0');
  return Refuse(kind, field,
                absl::StrCat("\"", absl::CHexEscape(path.substr(0, std::min(nul, kMostQuoted))), nul > kMostQuoted ? "..." : "",
                             "\" and a NUL byte at position ", nul),
                "free of NUL bytes");
}

absl::Status RefuseBeneath(OperationKind kind, int directory_fd, const std::string& path) {
  if (directory_fd < 0) return Refuse(kind, "beneath_fd", directory_fd, "the descriptor of a directory, from 0 upward");
  constexpr size_t kMostQuoted = 64;
  return Refuse(kind, "path", absl::StrCat("\"", absl::CHexEscape(path.substr(0, kMostQuoted)), "\", absolute"),
                "relative to the directory that it has to stay beneath, without the leading '/'");
}

absl::Status RefuseSize(OperationKind kind, size_t size) {
  return Refuse(kind, "size", size, absl::StrCat("from 1 to ", kMaxTransferSize));
}

absl::Status RefuseData(OperationKind kind, size_t size, size_t most) {
  return Refuse(kind, "data", absl::StrCat(size, " bytes long"), absl::StrCat("at most ", most));
}

absl::Status RefuseOffset(OperationKind kind, int64_t offset, size_t size, absl::string_view field) {
  if (offset < kCurrentPosition) return Refuse(kind, field, offset, "-1 (the file's own position) or from 0 upward");
  return Refuse(kind, field, offset,
                absl::StrCat("at most ", kMaxOffset - static_cast<int64_t>(size), ", so that offset + ", size,
                             " bytes stays within the largest file offset"));
}

absl::Status RefuseFlags(OperationKind kind, int flags, int known, absl::string_view names, absl::string_view field) {
  return Refuse(kind, field, absl::StrCat(Hex(flags), " with the unknown bits ", Hex(flags & ~known)),
                absl::StrCat("made of ", names));
}

absl::Status RefuseBothFlags(OperationKind kind, int flags, absl::string_view names) {
  return Refuse(kind, "flags", absl::StrCat(Hex(flags), ", which asks for two things at once"), absl::StrCat("made of ", names));
}

absl::Status RefuseMode(OperationKind kind, mode_t mode) {
  char octal[16];
  std::snprintf(octal, sizeof(octal), "0%o", mode);
  return Refuse(kind, "mode", octal, "made of permission bits, from 0 to 07777");
}

absl::Status RefuseAddress(OperationKind kind, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(OperationName(kind), ".", why));
}

}  // namespace agentos::ring_internal
