#pragma once

#include "engine/base/status.h"

namespace freshet::cli {

/// What the program tells its caller: a contract for scripts, printed by `freshet help exit-codes`.
enum ExitCode : int {
  kExitOk = 0,           ///< done, already done, or stopped by a signal after a last checkpoint
  kExitFailed = 1,       ///< failed while running, or a bug
  kExitWrong = 2,        ///< the pipeline file or the command line is wrong; nothing was started
  kExitEnvironment = 3,  ///< a file is missing, a port taken, the disk full, a permission refused, a peer away
  kExitState = 4,        ///< the state (or an output) is in use, broken, or does not fit the pipeline
  kExitTarget = 5,       ///< a test failed, or a target was missed
  kExitSignal = 128,     ///< + the signal's number: a second signal ended it at once; the last checkpoint counts
};

/// The code for a failure. `starting`: before the first record was read.
int ExitCodeOf(const Status& status, bool starting);
/// Which of two outcomes of one command counts: a failure over OK, then the larger number.
int WorseExitCode(int a, int b);

}  // namespace freshet::cli
