#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/env.h"
#include "engine/batch/schema.h"
#include "engine/flow/combiner.h"
#include "engine/flow/network_sink.h"
#include "engine/flow/operator.h"
#include "engine/flow/sink.h"
#include "engine/flow/source.h"
#include "engine/options/diagnostics.h"
#include "engine/options/options_node.h"

namespace freshet {

/// Which conservation law holds (SEMANTICS.md §4).
enum class NodeClass : uint8_t { kSource, kRowWise, kStateful, kExpanding, kSink };
/// In which order an operator wants its rows: as they come, or held until the watermark passes and sorted by
/// (event time, ordinal) (SEMANTICS.md §2.5). For kByEventTime the planner puts a sorter before the exchange; late rows
/// leave on the node's `late` output and never reach the operator.
enum class InputOrder : uint8_t { kByArrival, kByEventTime };
/// In which order rows leave: row for row in input order, or by time, as made by watermarks: the lanes' rows are merged
/// by (moment, event time, key columns' canonical bytes, position in the lane's output); a row's moment is its event
/// time or its row watermark, whichever is later: they differ for revisions of results that have left before.
enum class OutputOrder : uint8_t { kInputOrder, kByTime };
enum class Delivery : uint8_t { kExactlyOnce, kEffectivelyOnce, kAtLeastOnce };

struct OutputPort {
  std::string name;  ///< "" for the main output, else as in `id.NAME`
  SchemaRef schema;
  OutputOrder order = OutputOrder::kInputOrder;
  /// For kByTime: indices of the key columns in `schema`, for ties; may be empty. Each instance must emit its rows in
  /// the order (moment, event time, canonical key bytes of these columns), and all rows of moments below a watermark
  /// before that watermark is passed on: the gather merges sorted lanes.
  std::vector<int> key_columns;
  /// Later rows may replace earlier ones: the columns `revision` and `op` say which. The planner hands it on through
  /// row-wise operators and checks who reads it.
  bool revises = false;
  /// Rows are told apart by `alert_id` and `state`, through replays too. The planner hands it on as well.
  bool alert_rows = false;
  /// How what detectors added to its rows was found out, in words for people: "anomaly of views (count)". Empty: no
  /// detector. The planner hands it on through row-wise operators that do not set it.
  std::string method = {};
};

/// `settings.alert_links`: links in alerts by which whoever gets one silences it (engine/base/signed_link.h).
struct AlertLinks {
  std::string url;     ///< under which people reach the engine's HTTP server; no slash at the end
  std::string secret;  ///< signs the links; never printed
  Duration valid_for;  ///< of a link, from the time of its alert
  bool operator==(const AlertLinks&) const = default;
};

/// The constant plan of one operator: bound to its inputs' schemas, shared by all its instances. Made once at load.
struct BoundOperator {
  std::vector<OutputPort> outputs;  ///< [0] is the main output
  NodeClass node_class = NodeClass::kRowWise;
  bool stateless = false;  ///< may be fused; then no key, kByArrival, kInputOrder
  bool accepts_selection = false;
  InputOrder input_order = InputOrder::kByArrival;
  /// For kByEventTime: all rows of a moment are judged together, once. The end of the input judges the open ones, so
  /// rows of an input that has grown since are late (`after_end`) up to the newest moment that the end let go.
  bool judges_moments = false;
  /// For kByEventTime: late rows reach the operator as well, which sends them to its own `late`, with others that only
  /// it can tell. They come in the order of their row watermarks among the others' event times; late is a row that is
  /// older than its own watermark.
  bool takes_late = false;
  /// Key columns of input 0: rows of one key group go to one lane. Absent: one lane sees all rows. Never present and
  /// empty.
  std::optional<std::vector<int>> key;
  /// For an operator that tells its inputs apart (a join): the key columns of each. Bounded inputs then come as they
  /// come, not merged, and `input` of ProcessBatch says which it is; so all its outputs must be kByTime, in an order
  /// that depends on rows alone.
  std::vector<std::vector<int>> input_keys;
  /// Has timers of the wall clock (Operator::OnClock): its output is no function of its input. Then no key: lanes would
  /// see different clocks. Refused where all sources are bounded, but for `--wall-clock` (SEMANTICS.md §2.6).
  bool wants_clock = false;
  /// Column push-down: names read from input 0, and whether all other input columns pass to the main output.
  std::vector<std::string> columns_read;
  bool passes_input_columns = true;
  /// Lines for `freshet plan`: ("where", "views > 10").
  std::vector<std::pair<std::string, std::string>> explain;
  std::function<std::unique_ptr<Operator>()> instantiate;
  /// If all the operator does is to keep some rows and count the others as `filtered`: the rows it keeps. Any thread. A
  /// source's decode stage then runs it beside the decoder (SourceCell::Prepare).
  std::function<Selection(const Batch&)> filter;
  /// With `key` and one kind of input: makes partial results in front of the exchange, which `instantiate`'s operators
  /// then find among their rows (RowMeta::partials). Null: rows travel as they are.
  std::function<std::unique_ptr<Combiner>()> make_combiner;
};

struct BoundSource {
  SchemaRef schema;  ///< after push-down when `BindContext::needed` is given
  bool bounded = true;
  /// It cannot go back to a position (a pipe, a socket): a reload hands the open source on to the next run.
  bool stays_open = false;
  /// Its input does not wait for us (a pipe, a feed): `on_overflow` may drop. All live sources do.
  bool pushes = false;
  /// Bounded, several partitions: read side by side and merged by time (`read: by_time`). Then Poll is told which
  /// partition to read, and answers for one that has ended with an empty chunk that says so.
  bool by_time = false;
  /// Live, and may have several partitions: their rows interleave as they arrive.
  bool interleaves = false;
  /// Ordered within a partition; several partitions of a bounded source are read one after another unless `by_time`.
  std::vector<std::pair<std::string, std::string>> explain;
  std::function<std::unique_ptr<Source>()> make_source;
  std::function<std::unique_ptr<Decoder>()> make_decoder;
};

struct BoundSink {
  Delivery delivery = Delivery::kAtLeastOnce;
  std::string delivery_note;  ///< on what that depends, for `plan`; may be empty
  bool blocking = true;       ///< does I/O: gets a thread of its own
  /// Rows of a finished state: console and blackhole start a new generation, others say "already processed"
  /// (SEMANTICS.md §3.3).
  bool restartable = false;
  std::vector<std::pair<std::string, std::string>> explain;
  /// One of the two. Rows of a network sink go through the outbox, as `outbox` says.
  std::function<std::unique_ptr<Sink>()> make_sink;
  std::function<std::unique_ptr<NetworkSink>()> make_network_sink;
  OutboxOptions outbox;
};

/// What a node's Make gets besides its options. Problems go to `diagnostics` with a place; Make then returns nullopt.
struct BindContext {
  std::string pipeline_name;
  std::string node_id;
  std::string directory;  ///< of the pipeline file, for relative paths (SEMANTICS.md §8.4)
  std::vector<const Schema*> inputs;
  std::vector<std::string> input_names;
  std::vector<bool> alert_inputs;  ///< sinks: inputs whose rows are those of an `alert`, each with its own identity
  std::string input_method;        ///< OutputPort::method of the inputs, each once: "a; b"
  const AlertLinks* alert_links = nullptr;  ///< null: alerts carry no links
  Diagnostics* diagnostics = nullptr;
  Env* env = nullptr;
  SourceSpan node_span;
  /// Sources only: the columns somebody reads; absent: all. The bound schema has these, in the schema's order.
  const std::vector<std::string>* needed = nullptr;
  bool terminal = false;  ///< standard output is a terminal
};

enum class NodeKind : uint8_t { kSource, kOperator, kSink };

/// One node type: everything the engine, `freshet help` and `freshet schema` know about it.
struct NodeDescriptor {
  std::string type;
  NodeKind kind = NodeKind::kOperator;
  std::string summary;  ///< one line
  std::string doc;      ///< a few paragraphs for `help`, with units, time, nulls, memory, order
  std::string example;  ///< YAML of one node
  std::vector<OptionSpec> options;
  int inputs_max = 1;                     ///< operators and sinks; sinks and row-wise operators may take many
  std::vector<std::string> output_names;  ///< beside the main one: "late", "dead_letter", "rejected"
  std::function<std::optional<BoundOperator>(const OptionsNode&, const BindContext&)> make_operator;
  std::function<std::optional<BoundSource>(const OptionsNode&, const BindContext&)> make_source;
  std::function<std::optional<BoundSink>(const OptionsNode&, const BindContext&)> make_sink;
};

/// The node types that exist, by kind and name. Filled by explicit lists (operators/registry.cc,
/// connectors/registry.cc); read-only afterwards.
class Registry {
 public:
  void Add(NodeDescriptor descriptor) { descriptors_.push_back(std::move(descriptor)); }
  const NodeDescriptor* Find(NodeKind kind, const std::string& type) const {
    for (const NodeDescriptor& d : descriptors_)
      if (d.kind == kind && d.type == type) return &d;
    return nullptr;
  }
  const std::vector<NodeDescriptor>& descriptors() const { return descriptors_; }

 private:
  std::vector<NodeDescriptor> descriptors_;
};

/// Schema of every source's and operator's `dead_letter` output: node, partition (file), line (1-based, 0 unknown),
/// record (from 0), reason, raw (bytes; invalid UTF-8 is kept).
SchemaRef DeadLetterSchema();
/// Schema of a `late` output: the input's columns, then late_reason: string (LateReasonOf, or "after_end": the end of
/// the input closed what the row of a grown one belongs to), late_window_end: timestamp (null for operators without
/// windows), lateness_ms: int64. Names that the input already has get a trailing underscore.
SchemaRef LateSchema(const Schema& input);
/// Why a late row is late: "late", or "after_idle" when it is only because its partition or input was idle
/// (SEMANTICS.md §2.4).
inline const char* LateReasonOf(const Batch& batch, int32_t row) {
  return batch.after_idle(row) ? "after_idle" : "late";
}

}  // namespace freshet
