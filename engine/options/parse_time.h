#pragma once

#include <string_view>

#include "engine/base/status.h"
#include "engine/base/time.h"

namespace freshet {

/// Reads a moment as people write it in a pipeline: `2024-05-01`, `2024-05-01T12:30:00Z`, `2024-05-01
/// 12:30:00.25+02:00` (RFC 3339; seconds and zone may be left out, the zone is then UTC). For options, not for rows of
/// data.
Result<EventTime> ParseTimeText(std::string_view text);

}  // namespace freshet
