#pragma once

#include <cstdint>

namespace freshet {

/// Number of line feeds in `size` bytes. Picks the widest instruction set this processor has; the environment variable
/// FRESHET_ISA=sse2 forces the narrow one (tests). All give the same number.
int64_t CountLineFeeds(const char* bytes, int64_t size);

namespace count_lines_sse2 {
int64_t Count(const uint8_t* bytes, int64_t size);
}
namespace count_lines_avx2 {
int64_t Count(const uint8_t* bytes, int64_t size);
}

}  // namespace freshet
