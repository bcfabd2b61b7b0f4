#pragma once

namespace freshet::cli {

/// Counts SIGINT and SIGTERM from now on instead of dying of them, and ignores SIGPIPE so that a closed pipe is an
/// error of the sink that writes into it. Once per process.
void WatchSignals();
/// How many came so far, and the number of the last one (0: none). Any thread.
int SignalCount();
/// From now on SIGHUP asks to read the pipeline files again. A terminal that hangs up sends it too: then it counts as a
/// signal to stop. Ignored from the start (nohup) it stays ignored. Once per process.
void WatchReloads();
/// How often SIGHUP asked so far. Any thread.
int ReloadCount();
int LastSignal();

}  // namespace freshet::cli
