#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/verbs.h"
#include "engine/expr/expr.h"
#include "engine/plan/reference.h"

namespace freshet::cli {
namespace {

constexpr const char* kExitCodesText =
    "Exit codes of freshet\n"
    "  0    done, already done, or stopped by a signal after a last checkpoint\n"
    "  1    failed while running, or a bug in Freshet\n"
    "  2    the pipeline file or the command line is wrong; nothing was started\n"
    "  3    the environment: a file is missing, a port taken, the disk full, a permission refused, a peer away\n"
    "  4    the state (or an output) is in use by another process, broken, or does not fit the pipeline\n"
    "  5    a test failed, or a target was missed\n"
    "  128+ a second signal ended the run at once (130: Ctrl-C twice); the last checkpoint counts\n"
    "Of several pipelines the worst, that is the largest, counts.\n";

constexpr const char* kExpressionsText =
    "Expressions are SQL scalar expressions over the columns of a node's input.\n"
    "  literals     1  1.5  'text'  true  false  null\n"
    "  arithmetic   + - * /   / is float64; `div` and % are integer; int64 overflow is null and counted\n"
    "  comparison   = <> < <= > >=   is null   between a and b   in (a, b)   like 'a%'\n"
    "  logic        and or not, three-valued: null is false in `filter` and `when`, and fails in `validate`\n"
    "  conditional  case when a then b else c end   coalesce(a, b)   nullif(a, b)   cast(a as int64)\n"
    "  keyed        delta(x) rate(x) lag(x) in `derive` with `key`: against the key's previous record\n"
    "Functions\n";

void PrintExpressions() {
  std::fputs(kExpressionsText, stdout);
  for (const FunctionDoc& f : ScalarFunctions()) std::printf("  %-38s %s\n", f.signature.c_str(), f.doc.c_str());
}

int Help(const CLI::App& program, const std::string& topic) {
  const Registry& registry = AllNodeTypes();
  if (topic.empty()) {
    std::printf("%s\n%s\nAlso: freshet help expressions, settings, time, exit-codes.\n",
                program.get_formatter()->make_help(&program, "freshet", CLI::AppFormatMode::Normal).c_str(),
                HelpOverview(registry).c_str());
    return kExitOk;
  }
  if (topic == "exit-codes") {
    std::fputs(kExitCodesText, stdout);
    return kExitOk;
  }
  if (topic == "expressions") {
    PrintExpressions();
    return kExitOk;
  }
  if (const std::string text = HelpType(registry, topic); !text.empty()) {
    std::fputs(text.c_str(), stdout);
    return kExitOk;
  }
  for (const CLI::App* verb : program.get_subcommands({})) {
    if (verb->get_name() != topic) continue;
    std::fputs(verb->help().c_str(), stdout);
    return kExitOk;
  }
  const std::string near = NearestType(registry, topic);
  std::fprintf(stderr, "freshet: there is no help on `%s`; %s\n", topic.c_str(),
               near.empty() ? "`freshet help` lists all types" : ("did you mean `freshet help " + near + "`?").c_str());
  return kExitWrong;
}

}  // namespace

Verb AddHelpVerb(CLI::App& program) {
  auto topic = std::make_shared<std::string>();
  CLI::App* app = program.add_subcommand("help", "Explain a node type, expressions, settings, exit codes");
  app->add_option("TYPE", *topic, "A node type, a verb, `expressions`, `settings`, `time` or `exit-codes`");
  return {app, [topic, &program] { return Help(program, *topic); }};
}

}  // namespace freshet::cli
