#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace freshet {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

/// Structured log: one line per event on standard error, `time level message key=value…`, or JSON. Thread-safe.
/// Never put record contents or secrets into it.
using LogFields = std::vector<std::pair<std::string_view, std::string>>;
void Log(LogLevel level, std::string_view message, const LogFields& fields = {});
void SetLogLevel(LogLevel level);
void SetLogJson(bool json);
/// Called around each write so that a live terminal line can clear and redraw itself; both may be null.
void SetLogHooks(void (*before)(), void (*after)());

}  // namespace freshet
