#ifndef AGENTOS_BAZEL_TESTDATA_GREETING_H_
#define AGENTOS_BAZEL_TESTDATA_GREETING_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace agentos {

// The smallest library that uses a dependency, for the tests of the macros in //bazel.
std::string Greeting(absl::string_view name);

// Inline, so that the coverage of a header has something to show.
inline size_t GreetingSize(absl::string_view name) { return Greeting(name).size(); }

}  // namespace agentos

#endif  // AGENTOS_BAZEL_TESTDATA_GREETING_H_
