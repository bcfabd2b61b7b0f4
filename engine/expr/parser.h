#pragma once

#include "engine/expr/ast.h"
#include "engine/options/diagnostics.h"
#include "engine/options/span.h"

namespace freshet::expr_internal {

/// Deepest nesting that is read; an operator chain of n terms counts n, except and/or, which are flat.
inline constexpr int kExprDepthMax = 400;

/// Parses a whole expression. Reports the first syntax error at its place and returns null.
NodeRef ParseExpression(const SpannedText& text, Diagnostics* diagnostics);

}  // namespace freshet::expr_internal
