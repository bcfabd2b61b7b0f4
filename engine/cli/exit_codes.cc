#include "engine/cli/exit_codes.h"

#include <algorithm>

namespace freshet::cli {

int ExitCodeOf(const Status& status, bool starting) {
  switch (status.code()) {
    case StatusCode::kOk:
      return kExitOk;
    case StatusCode::kNotFound:
    case StatusCode::kAlreadyExists:
    case StatusCode::kUnavailable:
    case StatusCode::kIo:
    case StatusCode::kNoSpace:
      return kExitEnvironment;
    case StatusCode::kDataLoss:
    case StatusCode::kLocked:
      return kExitState;
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnsupported:
      // The file itself was found right before: what does not fit is the state.
      return starting ? kExitState : kExitFailed;
    case StatusCode::kCancelled:
    case StatusCode::kInternal:
      return kExitFailed;
  }
  return kExitFailed;
}

int WorseExitCode(int a, int b) { return std::max(a, b); }

}  // namespace freshet::cli
