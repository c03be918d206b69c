#include "agentos/benchmarks/bench_environment.h"

#include <cstddef>
#include <cstdlib>
#include <initializer_list>
#include <string>

namespace agentos::bench {
namespace {

bool quick_mode = false;

std::string FirstSet(std::initializer_list<const char*> variables, std::string otherwise) {
  for (const char* variable : variables) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') return value;
  }
  return otherwise;
}

}  // namespace

void SetQuickMode() { quick_mode = true; }

bool QuickMode() { return quick_mode; }

size_t Scaled(size_t full, size_t quick) { return quick_mode ? quick : full; }

std::string PlaceName(Place place) { return place == Place::kDisk ? "disk" : "tmpfs"; }

std::string RootOf(Place place) {
  return place == Place::kDisk ? FirstSet({"AGENTOS_BENCH_DIR", "TEST_TMPDIR", "TMPDIR"}, "/tmp")
                               : FirstSet({"AGENTOS_BENCH_SHM_DIR"}, "/dev/shm");
}

}  // namespace agentos::bench
