#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "engine/flow/message.h"
#include "engine/flow/tbb_runtime.h"

namespace freshet {

/// A cell as a node of the graph. Its output ports are joined by edges to the nodes it sends to.
class CellNode {
 public:
  virtual ~CellNode() = default;
  virtual void Put(Envelope envelope) = 0;
  /// From inside the body only: keeps the order (LIBRARIES.md, oneTBB).
  virtual void Emit(size_t port, Envelope envelope) = 0;
};

/// The graph of one run: what oneTBB does for a TbbRuntime. Made, built and destroyed by one thread; Decode and
/// PutBehind from any.
class TbbGraph final {
 public:
  /// Cells with more receivers than this (many lanes) put into them directly, from inside the same serial body: the
  /// order is the same, and a node type with hundreds of ports costs minutes of compiling.
  static constexpr size_t kPortCountMax = 8;

  explicit TbbGraph(std::shared_ptr<TbbArena> arena);
  /// REQUIRES: nothing of it runs any more.
  ~TbbGraph();
  /// Runs `f`, which adds the nodes, inside of the arena.
  void Build(const std::function<void()>& f);
  /// A node that is the graph's. `body` gets one message at a time, in the order of their arrival, must not throw, and
  /// sends its output before it returns.
  CellNode* AddCell(size_t port_count, std::function<void(const Envelope&)> body);
  void Connect(CellNode& from, size_t port, CellNode& to);
  /// A node that runs `body`, which must not throw, once for each call of Decode with its index, on any free worker.
  void AddDecoding(std::function<void()> body);
  void Decode(size_t index);
  /// An empty message for the cell, behind all that waits for the arena now. A worker that puts it itself would take it
  /// next, before what others sent and before what it has sent downstream: a source that never pauses would have it for
  /// good.
  void PutBehind(CellNode& node);
  /// It is not over when nothing moves, until CloseAndWait: then bodies have run when that returns.
  void KeepOpen();
  void CloseAndWait();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace freshet
