#include "engine/base/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/base_sink.h>

#include <atomic>
#include <ctime>
#include <memory>
#include <mutex>

namespace freshet {
namespace {

std::atomic<void (*)()> before_write{nullptr};
std::atomic<void (*)()> after_write{nullptr};
std::atomic<bool> write_json{false};

/// Standard error in colour when it is a terminal, with the hooks called around each line.
class HookedStderr final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (auto* hook = before_write.load()) hook();
    stderr_.log(message);
    stderr_.flush();
    if (auto* hook = after_write.load()) hook();
  }
  void flush_() override {}
  void set_pattern_(const std::string& pattern) override {
    set_formatter_(std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc));
  }
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override {
    stderr_.set_formatter(std::move(formatter));
  }

 private:
  spdlog::sinks::ansicolor_stderr_sink_mt stderr_;
};

constexpr const char* kHumanPattern = "%Y-%m-%dT%H:%M:%S.%eZ %^%-7l%$ %v";
constexpr const char* kBarePattern = "%v";

spdlog::logger& Logger() {
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("freshet", std::make_shared<HookedStderr>());
    made->set_level(spdlog::level::info);
    made->sinks()[0]->set_pattern(kHumanPattern);
    return made;
  }();
  return *logger;
}

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    default:
      return "error";
  }
}

void PutQuoted(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out.push_back(kHex[(c >> 4) & 15]);
          out.push_back(kHex[c & 15]);
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

bool NeedsQuotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value)
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=') return true;
  return false;
}

std::string HumanLine(std::string_view message, const LogFields& fields) {
  std::string line(message);
  for (const auto& [key, value] : fields) {
    line.push_back(' ');
    line.append(key);
    line.push_back('=');
    if (NeedsQuotes(value)) {
      PutQuoted(line, value);
    } else {
      line += value;
    }
  }
  return line;
}

std::string JsonLine(LogLevel level, std::string_view message, const LogFields& fields) {
  struct timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  struct tm utc;
  ::gmtime_r(&now.tv_sec, &utc);
  char time[64];
  const size_t n = std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(time + n, sizeof time - n, ".%03dZ", static_cast<int>(now.tv_nsec / 1000000));
  std::string line = "{\"time\":\"";
  line += time;
  line += "\",\"level\":\"";
  line += LevelName(level);
  line += "\",\"message\":";
  PutQuoted(line, message);
  for (const auto& [key, value] : fields) {
    line.push_back(',');
    PutQuoted(line, key);
    line.push_back(':');
    PutQuoted(line, value);
  }
  line.push_back('}');
  return line;
}

}  // namespace

void Log(LogLevel level, std::string_view message, const LogFields& fields) {
  spdlog::logger& logger = Logger();
  if (level == LogLevel::kOff || !logger.should_log(LevelOf(level))) return;
  const std::string line = write_json.load() ? JsonLine(level, message, fields) : HumanLine(message, fields);
  logger.log(LevelOf(level), spdlog::string_view_t(line.data(), line.size()));
}

void SetLogLevel(LogLevel level) { Logger().set_level(LevelOf(level)); }

void SetLogJson(bool json) {
  write_json = json;
  Logger().sinks()[0]->set_pattern(json ? kBarePattern : kHumanPattern);
}

void SetLogHooks(void (*before)(), void (*after)()) {
  before_write = before;
  after_write = after;
}

}  // namespace freshet
