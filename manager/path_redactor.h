// Replaces the names in a trace's paths by numbers: /home/ann/key.pem becomes /n1/n2/n3. The same name becomes the same number, so
// that what belongs together still does; which name it was is nowhere.
//
// Thread rule: one thread at a time.
//
//   PathRedactor redactor;
//   redactor.Redact(entry);  // a proto::v1::Entry

#ifndef AGENTOS_MANAGER_PATH_REDACTOR_H_
#define AGENTOS_MANAGER_PATH_REDACTOR_H_

#include <cstddef>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "agentos/proto/entry.pb.h"

namespace agentos {

class PathRedactor {
 public:
  // How many names are told apart; all others become "n".
  explicit PathRedactor(size_t most_names = 100'000) : most_names_(most_names) {}

  // "." and ".." and slashes stay, for what they mean is not private.
  std::string Path(absl::string_view path);
  // As agentos/ring/socket_address.h writes it: only the path of a Unix socket is a path.
  std::string Address(absl::string_view address);
  // All paths and addresses of an entry.
  void Redact(proto::v1::Entry& entry);

 private:
  std::string Name(absl::string_view name);

  const size_t most_names_;
  absl::flat_hash_map<std::string, size_t> names_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_PATH_REDACTOR_H_
