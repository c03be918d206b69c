// Calls what a program gave us to call, and keeps its exceptions from the loop that has others to serve. Private to handlers/.
//
// Thread rule: any thread.

#ifndef AGENTOS_HANDLERS_CALL_AND_LOG_H_
#define AGENTOS_HANDLERS_CALL_AND_LOG_H_

#include <glog/logging.h>

#include <exception>

namespace agentos::handlers_internal {

// Whether `call` came to its end without an exception; one is logged as that of `who`.
template <typename Call>
bool CallAndLog(const char* who, Call call) {
  try {
    call();
    return true;
  } catch (const std::exception& e) {
    LOG(ERROR) << "an exception left " << who << ": " << e.what();
  } catch (...) {
    LOG(ERROR) << "an exception that is no std::exception left " << who;
  }
  return false;
}

}  // namespace agentos::handlers_internal

#endif  // AGENTOS_HANDLERS_CALL_AND_LOG_H_
