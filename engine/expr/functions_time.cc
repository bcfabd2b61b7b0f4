#include "engine/expr/row_kernel.h"

namespace freshet::expr_internal {
std::span<const Function> TimeFunctions() { return {}; }
}  // namespace freshet::expr_internal
