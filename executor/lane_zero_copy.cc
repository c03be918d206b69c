#include <utility>

#include "agentos/executor/lane.h"

// Sends without a copy have two results: how many bytes were taken, and later that the kernel reads the data no more. The entry
// ends with the first; the data stays where it is until the second.

namespace agentos {

void Lane::OnZeroCopyResult(Slot& slot, const SubmissionRing::Result& result) {
  // The first of the two, or the only one when nothing was taken.
  slot.progress.lent = (result.flags & IORING_CQE_F_MORE) != 0;
  if (slot.progress.lent) ++counters_.zero_copy_sends;
  OnStep(slot, EndStep(context_, slot, MemberOf(result.user_data), result.value));
}

void Lane::OnNotification(const SubmissionRing::Result& result) {
  const bool copied = (static_cast<uint32_t>(result.value) & IORING_NOTIF_USAGE_ZC_COPIED) != 0;
  context_.zero_copy.Report(copied);
  if (copied) ++counters_.zero_copy_copied;
  if (lent_.erase(result.user_data) > 0) return;
  // It goes on with what the kernel did not take at once.
  if (Slot* slot = slots_.Find(TokenOf(result.user_data))) slot->progress.lent = false;
}

void Lane::KeepLent(Slot& slot) {
  slot.progress.lent = false;
  lent_.emplace(EncodeUserData(slot.token(), 0), std::move(std::get<operation::Send>(slot.entry.operation()).data));
}

}  // namespace agentos
