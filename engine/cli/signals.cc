#include "engine/cli/signals.h"

#include <atomic>
#include <csignal>

namespace freshet::cli {
namespace {

// Lock-free, so that the handler may touch them.
std::atomic<int> signal_count{0};
std::atomic<int> last_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void Count(int number) {
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

int SignalCount() { return signal_count.load(); }
int LastSignal() { return last_signal.load(); }

}  // namespace freshet::cli
