#include "agentos/executor/position_order.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

namespace agentos {

namespace {

bool IsSeekable(int fd) { return lseek(fd, 0, SEEK_CUR) != -1; }

}  // namespace

bool PositionOrder::Concerns(const Operation& operation) {
  if (const auto* read = std::get_if<operation::Read>(&operation)) return read->offset == kCurrentPosition;
  if (const auto* read = std::get_if<operation::ReadInto>(&operation)) return read->offset == kCurrentPosition;
  if (const auto* write = std::get_if<operation::Write>(&operation)) return write->offset == kCurrentPosition;
  return std::holds_alternative<operation::Lseek>(operation);
}

PositionOrder::File* PositionOrder::FindOrMake(int fd) {
  // A closed fd is all zero: its entries fail one after the other.
  struct stat status {};
  if (fstat(fd, &status) != 0) status = {};
  auto it = std::find_if(files_.begin(), files_.end(), [&](const File& file) {
    return file.fd == fd && file.device == status.st_dev && file.inode == status.st_ino;
  });
  if (it != files_.end()) return &*it;
  return &files_.emplace_back(File{.fd = fd, .device = status.st_dev, .inode = status.st_ino, .number = ++last_number_});
}

PositionOrder::File* PositionOrder::Find(const Slot& slot) {
  return &*std::find_if(files_.begin(), files_.end(), [&](const File& file) { return file.number == slot.position_file; });
}

bool PositionOrder::MayGo(const File& file, const Slot& slot) {
  switch (slot.entry.kind()) {
    case OperationKind::kRead:
    case OperationKind::kReadInto:
      return !file.reading && (!file.writing || !IsSeekable(file.fd));
    case OperationKind::kWrite:
      return !file.writing && (!file.reading || !IsSeekable(file.fd));
    default:
      return (!file.reading && !file.writing) || !IsSeekable(file.fd);
  }
}

void PositionOrder::Hold(File& file, Slot& slot) {
  slot.progress.holds_position = true;
  switch (slot.entry.kind()) {
    case OperationKind::kRead:
    case OperationKind::kReadInto:
      file.reading = true;
      return;
    case OperationKind::kWrite:
      file.writing = true;
      return;
    default:
      // An lseek of a stream fails at once and concerns nobody: it must not take
      // what others hold.
      if (file.reading || file.writing) {
        slot.progress.holds_position = false;
        return;
      }
      file.reading = file.writing = true;
      return;
  }
}

// A stream has no position to share: there only entries of a kind wait for each other.
bool PositionOrder::IsBehindParked(const File& file, const Slot& slot) {
  if (file.parked.empty()) return false;
  const auto writes = [](const Slot& any) { return any.entry.kind() == OperationKind::kWrite; };
  const auto same_kind = [&](const Slot* parked) { return writes(*parked) == writes(slot); };
  return IsSeekable(file.fd) || std::any_of(file.parked.begin(), file.parked.end(), same_kind);
}

bool PositionOrder::Acquire(Slot& slot) {
  File* file = FindOrMake(FdOf(slot.entry.operation()));
  slot.position_file = file->number;
  if (MayGo(*file, slot) && !IsBehindParked(*file, slot)) {
    Hold(*file, slot);
    return true;
  }
  slot.progress.place = SlotPlace::kParked;
  file->parked.push_back(&slot);
  return false;
}

void PositionOrder::Release(Slot& slot, std::vector<Slot*>& ready) {
  slot.progress.holds_position = false;
  File* file = Find(slot);
  if (slot.entry.kind() != OperationKind::kWrite) file->reading = false;
  if (slot.entry.kind() != OperationKind::kRead && slot.entry.kind() != OperationKind::kReadInto) file->writing = false;
  Advance(file, ready);
}

void PositionOrder::Withdraw(Slot& slot, std::vector<Slot*>& ready) {
  File* file = Find(slot);
  std::erase(file->parked, &slot);
  Advance(file, ready);
}

void PositionOrder::Advance(File* file, std::vector<Slot*>& ready) {
  const bool is_stream = !file->parked.empty() && !IsSeekable(file->fd);
  bool read_waits = false;
  bool write_waits = false;
  for (size_t i = 0; i < file->parked.size();) {
    Slot* next = file->parked[i];
    bool& waits = next->entry.kind() == OperationKind::kWrite ? write_waits : read_waits;
    if (!waits && MayGo(*file, *next)) {
      file->parked.erase(file->parked.begin() + static_cast<std::ptrdiff_t>(i));
      Hold(*file, *next);
      ready.push_back(next);
      continue;
    }
    if (!is_stream || (read_waits && write_waits)) break;
    waits = true;
    ++i;
  }
  if (file->parked.empty() && !file->reading && !file->writing) files_.erase(files_.begin() + (file - files_.data()));
}

}  // namespace agentos
