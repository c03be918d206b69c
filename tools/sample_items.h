// Items as a trace would tell them, and what exporters make of them: for the tests of this folder.
//
// Thread rule: free functions.
//
//   EXPECT_TRUE(IsAsInFile(Exported(MakeChromeExporter, SampleItems()), "tools/testdata/sample.chrome.json"));

#ifndef AGENTOS_TOOLS_SAMPLE_ITEMS_H_
#define AGENTOS_TOOLS_SAMPLE_ITEMS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "agentos/tools/trace_exporter.h"
#include "agentos/tools/trace_item.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "gtest/gtest.h"

namespace agentos {

// An operation that ended well with `value`. The entry is in protobuf's text format.
TracedOperation SampleOperation(absl::string_view entry, uint64_t seq, int64_t queued_ns, int64_t waited_ns, int64_t took_ns,
                                int64_t value = 0);

// Of every kind one: two processes, errors, a chain, a multishot operation, what never ended, losses and damage.
std::vector<TraceItem> SampleItems();

// A busy program of three processes: files that are read and written, a server, a slow disk once in a while, some errors.
std::vector<TraceItem> BusyItems(size_t operations);

// Many operations whose every number and text comes from a random generator.
std::vector<TraceItem> WildItems(uint32_t seed, size_t count);

using MakeExporter = std::function<std::unique_ptr<TraceExporter>(google::protobuf::io::ZeroCopyOutputStream*)>;

// What the exporter writes of the items. Errors are test failures.
std::string Exported(const MakeExporter& make, const std::vector<TraceItem>& items);

// Whether the text is that of the golden file. Where it is not, the text is left in the test's outputs under the file's name.
testing::AssertionResult IsAsInFile(const std::string& text, const std::string& path);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_SAMPLE_ITEMS_H_
