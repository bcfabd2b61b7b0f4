#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/expr/eval.h"

namespace freshet::expr_internal {

/// What a row of a function came to: a value, null, or null because it cannot be computed (counted).
enum class Outcome : uint8_t { kValue, kNull, kFailed };

/// What a row function may use beside its arguments.
struct RowState {
  VecWriter* out = nullptr;        ///< for text it makes
  const void* prepared = nullptr;  ///< what the function's Prepare made, or null
};

using Kernel = Vec (*)(const EvalContext& context, std::span<const Vec> args, Kind result, const void* prepared);

/// Why a constant argument will not do.
struct PrepareProblem {
  size_t argument = 0;
  const char* code = "";
  std::string message;
  std::string suggestion;
};
/// Turns constant arguments into something quicker (a compiled pattern, a zone). Null with a filled `problem` on error;
/// null without one when there is nothing to prepare.
using Prepare = std::shared_ptr<const void> (*)(std::span<const EvalRef> args, PrepareProblem* problem);

/// One overload of a scalar function.
struct Function {
  const char* name;
  /// A letter per parameter: b(ool) i(nt64) f(loat64) s(tring) t(imestamp) d(uration).
  const char* parameters;
  Kind result;
  Kernel kernel;
  Prepare prepare;
  const char* signature;
  const char* doc;
};

std::span<const Function> MathFunctions();
std::span<const Function> StringFunctions();
std::span<const Function> PatternFunctions();
std::span<const Function> TimeFunctions();
/// All overloads of all groups.
const std::vector<Function>& AllFunctions();
Kind ParameterKind(char letter);

/// Calls `function`; `prepared` came from its Prepare.
EvalRef MakeCall(const Function& function, std::vector<EvalRef> args, std::shared_ptr<const void> prepared);
/// A stable 64-bit hash of any value (XXH3 over a canonical form; int64 and float64 of one value hash alike).
EvalRef MakeHash(EvalRef operand);
/// Text end to end; with `skip_nulls` (concat) nulls count as empty, else (||) they make the result null.
EvalRef MakeConcat(std::vector<EvalRef> operands, bool skip_nulls);

}  // namespace freshet::expr_internal
