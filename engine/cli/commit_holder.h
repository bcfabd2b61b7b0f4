#pragma once

#include <functional>

#include "engine/base/env.h"
#include "engine/base/time.h"

namespace freshet::cli {

/// For the crash loop of tests/pipelines, and nothing else: with FRESHET_TEST_HOLD_COMMIT=N in the environment the N-th
/// checkpoint of this process (from 1) stops for ever between prepare and commit, after a line on standard error that
/// names its epoch; whoever asked for it then kills the process. Without the variable: empty.
std::function<void(Epoch)> CommitHolder(Env* env);

}  // namespace freshet::cli
