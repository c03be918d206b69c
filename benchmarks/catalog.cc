#include "agentos/benchmarks/catalog.h"

#include <string>
#include <utility>

namespace agentos::bench {
namespace {

const char* RoleName(Role role) {
  switch (role) {
    case Role::kFloor:
      return "floor";
    case Role::kOurs:
      return "ours";
    case Role::kPeer:
      return "peer";
  }
  return "";
}

}  // namespace

void Catalog::Add(const std::string& work, Role role, const std::string& variant, Function function, const Options& options) {
  items_.push_back({work + "/" + RoleName(role) + ":" + variant, std::move(function), options});
}

}  // namespace agentos::bench
