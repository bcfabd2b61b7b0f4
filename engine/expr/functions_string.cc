#include "engine/expr/row_kernel.h"

namespace freshet::expr_internal {
std::span<const Function> StringFunctions() { return {}; }
}  // namespace freshet::expr_internal
