#include <sys/ioctl.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "engine/base/units.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/top.h"
#include "engine/cli/verbs.h"
#include "engine/serve/http_fetch.h"

namespace freshet::cli {
namespace {

constexpr Duration kPatience = Duration::Seconds(3);

struct TopArguments {
  std::string where;
  std::string interval = "1s";
  bool once = false;
  bool json = false;
};

/// An address as it is, of a state directory what its run wrote into http.addr, of a pipeline that of its state.
Result<HttpAddress> FindAddress(const std::string& where) {
  if (where.empty()) return HttpAddress();
  Env* const env = Env::Posix();
  std::string directory = where;
  Result<FileInfo> info = env->Stat(where);
  if (info.ok() && info->is_regular) {
    LoadOptions options;
    options.registry = &AllNodeTypes();
    options.require_secrets = false;
    Diagnostics problems;
    const std::optional<Pipeline> pipeline = LoadPipeline(where, options, &problems);
    if (!pipeline) return Status::InvalidArgument("`" + where + "` is no pipeline; `freshet validate` says why");
    directory = pipeline->settings().checkpoint_path;
    info = env->Stat(directory);
  }
  if (info.ok() && info->is_directory) {
    const Result<std::string> text = env->ReadFile(directory + "/http.addr");
    if (!text.ok())
      return Status::Unavailable("nothing runs on the state " + directory + " (or it runs with --http off)");
    return ParseHttpAddress(text->substr(0, text->find('\n')));
  }
  std::string address = where;
  if (address.starts_with("http://")) address = address.substr(7);
  address = address.substr(0, address.find('/'));
  Result<HttpAddress> parsed = ParseHttpAddress(address);
  if (!parsed.ok())
    return Status::InvalidArgument("`" + where + "` is neither an address nor a state directory nor a pipeline file");
  return parsed;
}

TopStyle StyleOf(bool live) {
  TopStyle style;
  style.width = SIZE_MAX;
  if (!StandardOutputIsTerminal()) return style;
  style.color = Env::Posix()->Variable("NO_COLOR").value_or("").empty();
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return style;
  style.width = size.ws_col;
  if (live) style.height = size.ws_row;
  return style;
}

/// One look: the text to show.
Result<std::string> Look(const TopArguments& arguments, bool live) {
  FRESHET_ASSIGN_OR_RETURN(const HttpAddress address, FindAddress(arguments.where));
  const std::string token = Env::Posix()->Variable("FRESHET_HTTP_TOKEN").value_or("");
  FRESHET_ASSIGN_OR_RETURN(std::string body, HttpFetch(address, "/api/v1/pipeline", token, kPatience));
  if (arguments.json) return body;
  FRESHET_ASSIGN_OR_RETURN(const JsonValue answer, JsonValue::Parse(body));
  return RenderTop(answer, StyleOf(live));
}

int Top(const TopArguments& arguments) {
  const Result<Duration> interval = ParseDuration(arguments.interval);
  if (!interval.ok() || interval->us < 100000) {
    std::fprintf(stderr, "freshet top: --interval wants a time of 100ms or more, such as 1s\n");
    return kExitWrong;
  }
  const bool live = !arguments.once && StandardOutputIsTerminal() && !arguments.json;
  for (bool first = true;; first = false) {
    Result<std::string> text = Look(arguments, live);
    // Once it has been seen, a run that is away may come back: it is being restarted.
    if (!text.ok() && (first || !live)) {
      std::fprintf(stderr, "freshet top: %s\n", text.status().message().c_str());
      return text.status().code() == StatusCode::kInvalidArgument ? kExitWrong : kExitEnvironment;
    }
    const std::string shown = text.ok() ? *text : text.status().message() + "; waiting\n";
    std::fputs((live ? "\033[H\033[2J" + shown : shown).c_str(), stdout);
    std::fflush(stdout);
    if (arguments.once || (!live && !arguments.json)) return kExitOk;
    Env::Posix()->SleepMicros(interval->us);
  }
}

}  // namespace

Verb AddTopVerb(CLI::App& program) {
  auto a = std::make_shared<TopArguments>();
  CLI::App* app = program.add_subcommand("top", "Show live what a running engine does, the slowest node first");
  app->add_option("WHERE", a->where,
                  "Address (127.0.0.1:9464, the default), state directory or pipeline file of what runs");
  app->add_flag("--once", a->once, "Print it once and exit, also where standard output is no terminal");
  app->add_flag("--json", a->json, "Print what /api/v1/pipeline answers, once per interval a line");
  app->add_option("--interval", a->interval, "How often to look (default 1s)");
  app->footer(
      "\nBUSY: share of the last seconds that the node's busiest lane worked (a sink: wrote). WAITS: share that it had "
      "to "
      "wait\nfor room behind it. The bottleneck (>) is the busiest node behind one that waits. Ctrl-C ends.");
  return {app, [a] { return Top(*a); }};
}

}  // namespace freshet::cli
