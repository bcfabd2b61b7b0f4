#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

/// The rules of the house that no compiler knows, as pure functions of text: who may include whom, where each
/// third-party library lives, how a file looks. tidy_test.cc runs them over the tree and over planted offenders.
///
/// A line that must break a text rule says why and names the rule: `// tidy-allow: sleep (waits for a child process)`.
/// Include rules have no such exception: change the table, and DESIGN.md with it.
namespace freshet::tidy {

struct Finding {
  std::string path;  ///< from the repository's root
  int line = 0;      ///< from 1; 0: the file as a whole
  std::string rule;  ///< short name, see the functions below
  std::string message;
};

/// Rule `include`: DESIGN.md §1's table. Rule `third-party`: each library's one place. Rule `isa`: a file compiled for
/// one instruction set includes nothing from std but <cstdint> and <cstddef> (LIBRARIES.md, xsimd).
std::vector<Finding> CheckIncludes(std::string_view path, std::string_view text);

/// Rules on how a file looks (`pragma-once`, `tab`, `space`, `newline`, `length`, `name`, `namespace`) and on what only
/// Env and the rng may do (`print`, `random`, `sleep`, `clock`). `path` decides which of them hold.
std::vector<Finding> CheckText(std::string_view path, std::string_view text);

/// Rule `layout`: the names that may stand at the top of the repository.
std::vector<Finding> CheckTopLevel(const std::vector<std::string>& names);

/// Rule `test`: a name of a test in a text (`Subject_Condition_Expectation`, in backticks) that `tests` does not hold.
std::vector<Finding> CheckNamedTests(std::string_view path, std::string_view text, const std::set<std::string>& tests);
/// The names of the test cases in a source file.
std::set<std::string> TestNames(std::string_view source);

/// "path:line: [rule] message"
std::string ToString(const Finding& finding);

}  // namespace freshet::tidy
