#ifndef AGENTOS_BAZEL_TESTDATA_GREETING_H_
#define AGENTOS_BAZEL_TESTDATA_GREETING_H_

#include <string>

#include "absl/strings/string_view.h"

namespace agentos {

// The smallest library that uses a dependency, for the tests of the macros in //bazel.
std::string Greeting(absl::string_view name);

}  // namespace agentos

#endif  // AGENTOS_BAZEL_TESTDATA_GREETING_H_
