#pragma once

#include <atomic>
#include <cstdint>

namespace freshet {

/// Deliberate mistakes that tests switch on to see that the simulator finds them. Never set outside tests.
enum class PlantedBug : uint32_t {
  kNone = 0,
  kDropCredit = 1,                ///< a credit is not given back
  kForgetTimer = 2,               ///< a watermark is forwarded without asking the operator
  kLoseDirtyKey = 4,              ///< one changed key is left out of a checkpoint
  kCommitPositionsFirst = 8,      ///< source positions become durable before the state of the same epoch
  kSwapMessages = 16,             ///< two messages change places on an edge
  kWatermarkEarly = 1 << 5,       ///< a watermark is sent before the rows that it covers
  kMisalignedBarrier = 1 << 6,    ///< a cell takes its snapshot at the first barrier, not at the last
  kParkedBehind = 1 << 7,         ///< what was parked at a barrier is taken after what came later
  kPositionShort = 1 << 8,        ///< a source's position stays one chunk behind the rows that were sent
  kSinkCommitsEarly = 1 << 9,     ///< sinks commit an epoch before it is durable
  kDropAbandonedEpoch = 1 << 10,  ///< the rows of an abandoned epoch do not go into the next one
  kForgetTombstone = 1 << 11,     ///< a checkpoint leaves out that a key was erased
  kGatherBeforeMarks = 1 << 12,   ///< a gather sends rows on before all lanes have marked them
  kCreditTwice = 1 << 13,         ///< a credit is given back twice
  kUnsyncedCommit = 1 << 14,      ///< what the store wrote is not on the disk when it says so (in tests/support)
  kChangeSealed = 1 << 15,     ///< a value that a checkpoint has still to write is changed without being written first
  kEagerUnsynced = 1 << 16,    ///< an alert may leave before it is durable in the outbox
  kSendPrepared = 1 << 17,     ///< rows on commit may leave before their epoch is committed
  kForgetSent = 1 << 18,       ///< an alert that was sent is not known any more when it comes again
  kKeepUncommitted = 1 << 19,  ///< rows of epochs that were not committed stay in the outbox
  kPrepareUnsynced = 1 << 20,  ///< an epoch is committed before its rows are durable in the outbox
  kForgetAway = 1 << 21,       ///< some keys that left memory are not found when they are needed
  kForgetAside = 1 << 22,      ///< of keys put aside the committed value is read
};

struct PlantedBugName {
  PlantedBug bug;
  const char* name;
};
/// Those that any pipeline can show; engine/flow/README.md says what each does and which seed finds it.
inline constexpr PlantedBugName kPlantedBugs[] = {
    {PlantedBug::kDropCredit, "drop a credit"},
    {PlantedBug::kForgetTimer, "forget a timer"},
    {PlantedBug::kLoseDirtyKey, "lose a dirty key"},
    {PlantedBug::kCommitPositionsFirst, "commit positions before state"},
    {PlantedBug::kSwapMessages, "swap two messages"},
    {PlantedBug::kWatermarkEarly, "send a watermark before its rows"},
    {PlantedBug::kMisalignedBarrier, "snapshot at the first barrier"},
    {PlantedBug::kParkedBehind, "take parked messages last"},
    {PlantedBug::kPositionShort, "leave a position behind"},
    {PlantedBug::kSinkCommitsEarly, "commit sinks before the store"},
    {PlantedBug::kDropAbandonedEpoch, "drop an abandoned epoch"},
    {PlantedBug::kForgetTombstone, "forget a tombstone"},
    {PlantedBug::kGatherBeforeMarks, "gather before all lanes marked"},
    {PlantedBug::kCreditTwice, "give a credit back twice"},
    {PlantedBug::kChangeSealed, "change a sealed value"},
    {PlantedBug::kUnsyncedCommit, "do not sync a commit"},
};
/// Those that network sinks can show, to be found by the simulations of the outbox.
inline constexpr PlantedBugName kPlantedOutboxBugs[] = {
    {PlantedBug::kLoseDirtyKey, "lose a dirty key"},
    {PlantedBug::kPositionShort, "leave a position behind"},
    {PlantedBug::kSinkCommitsEarly, "commit sinks before the store"},
    {PlantedBug::kDropAbandonedEpoch, "drop an abandoned epoch"},
    {PlantedBug::kUnsyncedCommit, "do not sync a commit"},
    {PlantedBug::kEagerUnsynced, "do not sync an alert"},
    {PlantedBug::kSendPrepared, "send before the commit"},
    {PlantedBug::kForgetSent, "forget what was sent"},
    {PlantedBug::kKeepUncommitted, "keep uncommitted rows"},
    {PlantedBug::kPrepareUnsynced, "do not sync prepared rows"},
};
/// Those that only pipelines with too little memory can show.
inline constexpr PlantedBugName kPlantedMemoryBugs[] = {
    {PlantedBug::kForgetAway, "forget a key that is away"},
    {PlantedBug::kForgetAside, "forget a key put aside"},
};

inline std::atomic<uint32_t> g_planted_bugs{0};
/// Set by the simulator: what a checkpoint writes behind its barrier is compared with what stood there at the barrier.
inline std::atomic<bool> g_drains_compared{false};
inline bool IsPlanted(PlantedBug bug) {
  return (g_planted_bugs.load(std::memory_order_relaxed) & static_cast<uint32_t>(bug)) != 0;
}

}  // namespace freshet
