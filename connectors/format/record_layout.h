#pragma once

#include <cstdint>
#include <vector>

#include "connectors/format/timestamp_parser.h"

namespace freshet {

/// What a record looks like: the literals between its values, and what to do with each value. See SpeculativeDecoder.
struct RecordLayout {
  enum class Op : uint8_t { kSkip, kString, kInt64, kFloat64, kBool, kTimestamp, kJson, kEnd };
  /// What the value was in the record that the layout was learnt from.
  enum class Seen : uint8_t { kScalar, kText, kContainer };
  static constexpr int kLiteralBytesMax = 64;
  struct Step {
    char literal[kLiteralBytesMax] = {};  ///< what comes before the value; of kEnd: up to and with the line feed
    int32_t size = 0;
    uint32_t mask = 0;  ///< one bit per byte of the literal's last block of 16
    Op op = Op::kSkip;
    Seen seen = Seen::kScalar;
    int16_t column = -1;  ///< -1: the value is checked and not kept
    const TimestampParser* time = nullptr;
  };
  std::vector<Step> steps;
  std::vector<int> absent;  ///< columns that such records lack
  int64_t hits = 0;
};

}  // namespace freshet
