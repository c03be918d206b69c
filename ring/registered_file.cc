#include "agentos/ring/registered_file.h"

#include <unistd.h>

namespace agentos {

RegisteredFile::~RegisteredFile() {
  if (fd_ < 0) return;
  if (registration_ == nullptr || registration_->Undo(fd_)) close(fd_);
}

}  // namespace agentos
