#include "agentos/bazel/testdata/greeting.h"

#include "absl/strings/str_cat.h"

namespace agentos {

std::string Greeting(absl::string_view name) { return absl::StrCat("hello, ", name); }

}  // namespace agentos
