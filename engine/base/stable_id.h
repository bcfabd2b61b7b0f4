#pragma once

#include <string>
#include <string_view>

namespace freshet {

/// 32 hexadecimal digits, a function of the bytes alone (128-bit XXH3), the same in every version and on every machine:
/// for identities that leave the process. Frozen.
std::string StableId(std::string_view bytes);

}  // namespace freshet
