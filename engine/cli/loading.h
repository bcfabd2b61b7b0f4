#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/plan/pipeline.h"

namespace freshet::cli {

/// Every node type of this program; alive for ever.
const Registry& AllNodeTypes();

struct LoadRequest {
  std::vector<std::string> files;
  std::vector<std::string> sets;  ///< `--set`; applied to each file
  bool strict = false;            ///< warnings are errors
  bool require_secrets = true;
  bool wall_clock = false;  ///< windows by the wall clock may read bounded sources
  bool push_down = true;
  bool together = false;  ///< the pipelines are to run at one time: no two rules of them may be the same
};

/// Reads and checks all files and prints every problem of all of them on standard error. `*exit_code` is kExitOk, or
/// the reason why the result is empty: nothing of several files starts when one of them is wrong.
std::vector<Pipeline> LoadOrExplain(const LoadRequest& request, int* exit_code);

/// On standard error, as LoadOrExplain does.
void PrintProblems(const Diagnostics& diagnostics);

/// An error for each rule of two pipelines that would give its alerts the ids of the other one's: these are made of the
/// names of pipeline and rule.
void CheckRules(const std::vector<const Pipeline*>& pipelines, Diagnostics* diagnostics);

bool StandardOutputIsTerminal();
bool StandardErrorIsTerminal();
/// Colour on standard error: a terminal, and NO_COLOR is not set.
bool ErrorsInColor();

}  // namespace freshet::cli
