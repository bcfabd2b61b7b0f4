#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace freshet::cli {

/// One verb of the program: its command line, and what it does. The function is called once the line has been read and
/// gives the exit code.
struct Verb {
  CLI::App* app = nullptr;
  std::function<int()> run;
};

Verb AddAlertsVerb(CLI::App& program);
Verb AddRunVerb(CLI::App& program);
Verb AddValidateVerb(CLI::App& program);
Verb AddPlanVerb(CLI::App& program);
Verb AddTestVerb(CLI::App& program);
Verb AddBenchVerb(CLI::App& program);
Verb AddHelpVerb(CLI::App& program);
Verb AddSavepointVerb(CLI::App& program);
Verb AddSchemaVerb(CLI::App& program);
Verb AddStateVerb(CLI::App& program);
Verb AddTopVerb(CLI::App& program);
Verb AddVersionVerb(CLI::App& program);

/// The whole program: reads the command line, runs one verb, gives the exit code. Never throws.
int Main(int argc, char** argv);

}  // namespace freshet::cli
