#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>

#include "engine/base/units.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/verbs.h"

namespace freshet::cli {
namespace {

constexpr const char* kIntroduction =
    "Freshet reads streams, keeps event-time state, finds the surges while they happen, and tells people.\n"
    "A pipeline is one YAML file; `freshet run FILE` runs it.";
constexpr const char* kFooter =
    "\n`freshet help TYPE` explains a source, an operator or a sink; `freshet help exit-codes` the exit codes.";

/// The first argument that is no option.
std::string FirstWord(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (argv[i][0] != '-') return argv[i];
  return {};
}

bool LooksLikeFile(const std::string& word) {
  return word.ends_with(".yaml") || word.ends_with(".yml") || word.find('/') != std::string::npos;
}

int ExplainUnknownVerb(const std::string& word, const std::vector<Verb>& verbs) {
  std::vector<std::string> names;
  for (const Verb& verb : verbs) names.push_back(verb.app->get_name());
  std::string hint = NearestName(word, names.data(), names.size());
  if (LooksLikeFile(word)) {
    hint = "did you mean `freshet run " + word + "`?";
  } else if (!hint.empty()) {
    hint = "did you mean `freshet " + hint + "`?";
  } else {
    hint = "the verbs are";
    for (const std::string& name : names) hint += " " + name;
  }
  std::fprintf(stderr, "freshet: there is no verb `%s`; %s\n", word.c_str(), hint.c_str());
  return kExitWrong;
}

int ExplainParseError(const CLI::App& program, const CLI::ParseError& error) {
  const auto chosen = program.get_subcommands();
  const std::string verb = chosen.empty() ? "" : " " + chosen[0]->get_name();
  std::fprintf(stderr, "freshet%s: %s\nTry `freshet%s --help`.\n", verb.c_str(), error.what(), verb.c_str());
  return kExitWrong;
}

int MainOrThrow(int argc, char** argv) {
  CLI::App program(kIntroduction, "freshet");
  program.footer(kFooter);
  program.set_version_flag("-V,--version", std::string("freshet " FRESHET_VERSION), "Print the version and exit");
  program.require_subcommand(1);
  const std::vector<Verb> verbs = {AddRunVerb(program),    AddValidateVerb(program),  AddPlanVerb(program),
                                   AddTestVerb(program),   AddBenchVerb(program),     AddHelpVerb(program),
                                   AddSchemaVerb(program), AddTopVerb(program),       AddAlertsVerb(program),
                                   AddStateVerb(program),  AddSavepointVerb(program), AddVersionVerb(program)};
  if (argc == 1) {
    std::fputs(program.help().c_str(), stdout);
    return kExitOk;
  }
  const std::string word = FirstWord(argc, argv);
  const auto known = [&](const Verb& verb) { return verb.app->get_name() == word; };
  if (!word.empty() && std::none_of(verbs.begin(), verbs.end(), known)) return ExplainUnknownVerb(word, verbs);
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return program.exit(success);
  } catch (const CLI::ParseError& error) {
    return ExplainParseError(program, error);
  }
  for (const Verb& verb : verbs)
    if (verb.app->parsed()) return verb.run();
  return kExitWrong;
}

}  // namespace

int Main(int argc, char** argv) {
  try {
    return MainOrThrow(argc, argv);
  } catch (const std::exception& e) {
    // Nothing in Freshet throws on purpose: out of memory, or a bug.
    std::fprintf(stderr, "freshet: ended by an unexpected problem: %s\n", e.what());
    return kExitFailed;
  }
}

}  // namespace freshet::cli
