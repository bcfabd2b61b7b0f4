#include "engine/cli/signals.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

namespace freshet::cli {
namespace {

// Lock-free, so that the handler may touch them.
std::atomic<int> signal_count{0};
std::atomic<int> last_signal{0};
std::atomic<int> reload_count{0};
std::atomic<bool> on_terminal{false};
static_assert(std::atomic<int>::is_always_lock_free);

void Count(int number) {
  const int error = errno;
  const bool reload = number == SIGHUP && !(on_terminal.load() && isatty(STDERR_FILENO) == 0);
  errno = error;
  if (reload) {
    reload_count.fetch_add(1);
    return;
  }
  last_signal.store(number);
  signal_count.fetch_add(1);
}

}  // namespace

void WatchSignals() {
  struct sigaction action {};
  action.sa_handler = Count;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

void WatchReloads() {
  on_terminal = isatty(STDERR_FILENO) == 1;
  struct sigaction before {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = Count;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGHUP, &action, nullptr);
}

int SignalCount() { return signal_count.load(); }
int ReloadCount() { return reload_count.load(); }
int LastSignal() { return last_signal.load(); }

}  // namespace freshet::cli
