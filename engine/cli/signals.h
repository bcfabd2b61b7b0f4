#pragma once

namespace freshet::cli {

/// Counts SIGINT and SIGTERM from now on instead of dying of them, and ignores SIGPIPE so that a closed pipe is an
/// error of the sink that writes into it. Once per process.
void WatchSignals();
/// How many came so far, and the number of the last one (0: none). Any thread.
int SignalCount();
int LastSignal();

}  // namespace freshet::cli
