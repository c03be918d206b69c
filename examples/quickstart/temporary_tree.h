// A directory of a test's own, filled by it and removed at its end.
//
// Thread rule: one thread at a time.
//
//   TemporaryTree tree;
//   tree.Write("sub/file", "content");   // makes sub, too
//   Walk(tree.root());

#ifndef AGENTOS_EXAMPLES_QUICKSTART_TEMPORARY_TREE_H_
#define AGENTOS_EXAMPLES_QUICKSTART_TEMPORARY_TREE_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace agentos::quickstart {

class TemporaryTree {
 public:
  TemporaryTree() {
    const char* base = getenv("TEST_TMPDIR");
    std::string name = std::string(base == nullptr ? "/tmp" : base) + "/quickstart_tree.XXXXXX";
    root_ = mkdtemp(name.data()) == nullptr ? "" : name;
  }
  ~TemporaryTree() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  TemporaryTree(const TemporaryTree&) = delete;
  TemporaryTree& operator=(const TemporaryTree&) = delete;

  const std::string& root() const { return root_; }
  std::string Path(const std::string& name) const { return root_ + "/" + name; }

  void Write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary) << content;
  }

  void MakeDirectory(const std::string& name) const { std::filesystem::create_directories(Path(name)); }

 private:
  std::string root_;
};

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_TEMPORARY_TREE_H_
