#pragma once

#include <cstdint>

/// Bounds of the engine: each with its unit and its reason.
namespace freshet {

/// Rows per batch by default: 32 KiB of one int64 column, small enough for L1/L2, large enough to hide a 160 ns hop.
inline constexpr int32_t kBatchRowCountMax = 4096;
/// Key groups, frozen: the hash of a key picks one for ever (SEMANTICS.md §5).
inline constexpr uint16_t kKeyGroupCount = 128;
/// Bytes of one record before it is dead-lettered as too long.
inline constexpr int64_t kRecordBytesMaxDefault = 1 << 20;
/// Bytes of a raw chunk that a source hands to a decoder; 256 KiB was best in a trial (BENCHMARKS.md §2).
inline constexpr int64_t kChunkBytes = 256 << 10;
/// Default credits of a source (SEMANTICS.md §7).
inline constexpr int64_t kSourceCreditRows = 65536;
inline constexpr int64_t kSourceCreditBytes = 64 << 20;
/// Default egress budget of an edge for rows made out of state (SEMANTICS.md §7).
inline constexpr int64_t kEdgeBudgetBytes = 8 << 20;
/// Keys up to which an epoch is one synced WriteBatch rather than a sorted file.
inline constexpr int64_t kWriteBatchKeyCountMax = 2000;
/// Depth and node count allowed in a pipeline file: more is a mistake or an attack.
inline constexpr int kYamlDepthMax = 64;
inline constexpr int kYamlNodeCountMax = 100000;
/// Ring of the default dead-letter file per node.
inline constexpr int64_t kDeadLetterRingBytes = 64 << 20;
/// How often a cell with timers of the wall clock looks at it, in microseconds: fine against windows of a second.
inline constexpr int64_t kClockTickUs = 50000;
/// Late rows kept as samples where `late` is not connected.
inline constexpr int kLateSampleCount = 10;

}  // namespace freshet
