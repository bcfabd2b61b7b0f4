#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"

namespace freshet {

/// A category as a number that a forest can use: how rare it has been lately, in bits, log2((rows + 1) / (its rows +
/// 1/2)). So a category never seen lies far out, a common one near 0, and no order is invented between names.
///
/// Counts are halved whenever they sum to 4,096, and what has fallen below a half is forgotten: the memory is of some
/// 4,096 rows, and at most 8,192 categories of 16 bytes. Categories are told apart by a 64-bit hash.
/// A plain value, deterministic; not thread-safe.
class CategoryRarity {
 public:
  /// Of the category before it is learned.
  double BitsAndLearn(std::string_view category);

  size_t memory_bytes() const { return sizeof *this + counts_.capacity() * sizeof(Count); }
  void Encode(ByteSink& sink) const;
  /// False if the bytes are not such counts.
  bool Decode(ByteSource& source);

 private:
  struct Count {
    uint64_t hash;
    double rows;
  };
  std::vector<Count> counts_;  // by hash
  double total_ = 0;
};

}  // namespace freshet
