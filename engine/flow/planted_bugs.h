#pragma once

#include <atomic>
#include <cstdint>

namespace freshet {

/// Deliberate mistakes that tests switch on to see that the simulator finds them. Never set outside tests.
enum class PlantedBug : uint32_t {
  kNone = 0,
  kDropCredit = 1,            ///< a credit is not given back
  kForgetTimer = 2,           ///< a watermark is forwarded without asking the operator
  kLoseDirtyKey = 4,          ///< one changed key is left out of a checkpoint
  kCommitPositionsFirst = 8,  ///< source positions become durable before the state of the same epoch
  kSwapMessages = 16,         ///< two messages change places on an edge
};

inline std::atomic<uint32_t> g_planted_bugs{0};
inline bool IsPlanted(PlantedBug bug) {
  return (g_planted_bugs.load(std::memory_order_relaxed) & static_cast<uint32_t>(bug)) != 0;
}

}  // namespace freshet
