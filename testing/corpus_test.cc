#include "agentos/testing/corpus_test.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace agentos {
namespace {

// Of a long file, so many places are taken, evenly.
constexpr size_t kMostPlaces = 30;

// Kept so that a debugger, or the core, has the input that stopped the process.
std::string input;

void RunTarget() {
  // A copy of its own size, so that AddressSanitizer sees a read behind the end.
  const std::string exact(input);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(exact.data()), exact.size());
}

class CorpusFile : public testing::Test {
 public:
  explicit CorpusFile(std::string path) : path_(std::move(path)) {}

  void TestBody() override {
    std::ifstream file(path_, std::ios::binary);
    ASSERT_TRUE(file.is_open()) << path_;
    const std::string whole((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    input = whole;
    RunTarget();
    const size_t step = std::max<size_t>(1, whole.size() / kMostPlaces);
    for (size_t at = 0; at < whole.size(); at += step) {
      input = whole.substr(0, at);
      RunTarget();
      for (const char change : {'\x01', '\x80', '\xff'}) {
        input = whole;
        input[at] = static_cast<char>(input[at] ^ change);
        RunTarget();
      }
    }
  }

 private:
  const std::string path_;
};

}  // namespace
}  // namespace agentos

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc < 2) {
    std::fprintf(stderr, "%s: no corpus is named\n", argv[0]);
    return 2;
  }
  for (int i = 1; i < argc; ++i) {
    const std::string path = argv[i];
    testing::RegisterTest("Corpus", path.substr(path.rfind('/') + 1).c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [path]() -> testing::Test* { return new agentos::CorpusFile(path); });
  }
  return RUN_ALL_TESTS();
}
