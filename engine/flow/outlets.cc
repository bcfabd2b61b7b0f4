// The sending side of a cell: links, the exchange, the egress budget.
#include "engine/flow/cell.h"
#include "engine/flow/divide_rows.h"
#include "engine/flow/planted_bugs.h"

namespace freshet {

namespace {
/// What the holds of egress budgets point to, which tells them from credits.
const char kEgressMark = 0;

/// Which node a link leads to.
int NodeBehind(const GraphPlan& plan, const LinkPlan& link) {
  return plan.cells[static_cast<size_t>(plan.edges[static_cast<size_t>(link.edges[0])].to)].nodes[0];
}
}  // namespace

struct EgressBudget::Held {
  std::shared_ptr<EgressBudget> budget;
  int64_t bytes;
  Held(std::shared_ptr<EgressBudget> b, int64_t n) : budget(std::move(b)), bytes(n) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (IsPlanted(PlantedBug::kDropCredit) && bytes % 3 == 0) return;
    const int64_t before = budget->in_flight_.fetch_sub(bytes, std::memory_order_acq_rel);
    if (before >= budget->limit_ && before - bytes < budget->limit_)
      if (Carrier* carrier = budget->carrier_.load()) carrier->Nudge(budget->cell_);
  }
};

Batch::Hold EgressBudget::Take(std::shared_ptr<EgressBudget> self, int64_t bytes) {
  in_flight_.fetch_add(bytes, std::memory_order_acq_rel);
  return Batch::Hold(std::make_shared<Held>(std::move(self), bytes), &kEgressMark);
}

bool EgressBudget::Owns(const Batch::Hold& hold) { return hold.get() == &kEgressMark; }

Outlets::Outlets(const CellEnvironment& environment, const CellPlan& plan)
    : carrier_(environment.carrier),
      plan_(&plan),
      sequences_(environment.plan->edges.size()),
      budget_(std::make_shared<EgressBudget>(environment.carrier, plan.id, environment.edge_budget_bytes)) {
  for (const LinkPlan& link : plan.links) {
    exchanges_.emplace_back();
    if (!link.exchanged) continue;
    const NodeSpec& node = environment.spec->nodes[static_cast<size_t>(plan.nodes[static_cast<size_t>(link.element)])];
    const SchemaRef schema = [&]() -> SchemaRef {
      const bool before_node =
          plan.kind == CellKind::kSorter || plan.kind == CellKind::kMerge || plan.kind == CellKind::kArrival;
      if (before_node && !node.inputs.empty()) {
        const PortRef input = node.inputs[0];
        const NodeSpec& from = environment.spec->nodes[static_cast<size_t>(input.node)];
        if (const auto* source = std::get_if<SourceNode>(&from.kind))
          return input.port == 0 ? source->bound.schema : DeadLetterSchema();
        return std::get<OperatorNode>(from.kind).bound.outputs[static_cast<size_t>(input.port)].schema;
      }
      if (const auto* source = std::get_if<SourceNode>(&node.kind))
        return link.port == 0 ? source->bound.schema : DeadLetterSchema();
      const PortIndex port = plan.kind == CellKind::kGather ? plan.gathered_port : link.port;
      return std::get<OperatorNode>(node.kind).bound.outputs[static_cast<size_t>(port)].schema;
    }();
    exchanges_.back() = std::make_unique<Exchange>();
    exchanges_.back()->codec = KeyCodec(*schema, link.exchange_key);
    if (!link.combines) continue;
    const int to = NodeBehind(*environment.plan, link);
    exchanges_.back()->combiner =
        std::get<OperatorNode>(environment.spec->nodes[static_cast<size_t>(to)].kind).bound.make_combiner();
    pre_aggregated_.emplace_back(to, 0);
  }
}

void Outlets::Send(int edge, Message message, uint64_t exchange_sequence) {
  Envelope envelope{edge, sequences_[static_cast<size_t>(edge)]++, std::move(message), exchange_sequence};
  if (IsPlanted(PlantedBug::kSwapMessages)) {
    // Keeps every 17th message back until the next one on the same edge has gone.
    if (!swapped_ && envelope.sequence % 17 == 3 && std::holds_alternative<Batch>(envelope.message)) {
      swapped_ = std::make_unique<Envelope>(std::move(envelope));
      return;
    }
    if (swapped_ && swapped_->edge == edge) {
      std::swap(swapped_->sequence, envelope.sequence);
      carrier_->Send(std::move(envelope));
      carrier_->Send(std::move(*std::exchange(swapped_, nullptr)));
      return;
    }
  }
  carrier_->Send(std::move(envelope));
}

bool Outlets::connected(int element, PortIndex port) const {
  for (const LinkPlan& link : plan_->links)
    if (link.element == element && link.port == port) return true;
  return false;
}

std::optional<Outlets::OnlyExchange> Outlets::only_exchange(int element, PortIndex port) const {
  std::optional<OnlyExchange> found;
  for (size_t l = 0; l < plan_->links.size(); ++l) {
    const LinkPlan& link = plan_->links[l];
    if (link.element != element || link.port != port) continue;
    if (found || !link.exchanged) return std::nullopt;
    found = {&link, &exchanges_[l]->codec, exchanges_[l]->combiner.get()};
  }
  return found;
}

void Outlets::SendParts(const OnlyExchange& to, std::vector<Batch> parts) {
  Exchange& exchange = *exchanges_[static_cast<size_t>(to.link - plan_->links.data())];
  const uint64_t sequence = ++exchange.sequence;
  for (size_t lane = 0; lane < parts.size(); ++lane) {
    Send(to.link->edges[lane], std::move(parts[lane]), sequence);
  }
}

void Outlets::SendRows(int element, PortIndex port, const Batch& batch, uint64_t exchange_sequence) {
  if (batch.empty()) return;
  for (size_t l = 0; l < plan_->links.size(); ++l) {
    const LinkPlan& link = plan_->links[l];
    if (link.element != element || link.port != port) continue;
    if (link.exchanged) {
      SendExchanged(link, *exchanges_[l], batch.Dense());
      continue;
    }
    Send(link.edges[0], batch.Dense(), exchange_sequence);
  }
}

void Outlets::SendExchanged(const LinkPlan& link, Exchange& exchange, const Batch& batch) {
  const OnlyExchange to{&link, &exchange.codec, exchange.combiner.get()};
  exchange.keys.Encode(exchange.codec, batch);
  FindLanes(exchange.keys, batch.row_count(), to.lane_count(), &lane_of_);
  if (to.combiner != nullptr && to.combiner->Wants())
    if (const auto combined = to.combiner->Combine(batch, exchange.keys))
      return SendCombined(to, batch, combined, lane_of_);
  SendParts(to, DivideRows(batch, lane_of_, to.lane_count()));
}

void Outlets::SendCombined(const OnlyExchange& to, const Batch& batch,
                           const std::shared_ptr<const CombinedRows>& combined, const std::vector<uint8_t>& lane_of) {
  std::vector<Batch> parts = DivideCombined(batch, combined, lane_of, to.lane_count());
  size_t at = 0;
  for (const LinkPlan* link = plan_->links.data(); link != to.link; ++link) at += link->combines;
  for (const Batch& part : parts)
    if (!part.empty()) pre_aggregated_[at].second += RowsMeant(part) - part.row_count();
  SendParts(to, std::move(parts));
}

void Outlets::SendAll(const Message& message) {
  for (const LinkPlan& link : plan_->links)
    for (int edge : link.edges) Send(edge, message);
  if (swapped_ && !std::holds_alternative<Watermark>(message))
    carrier_->Send(std::move(*std::exchange(swapped_, nullptr)));
}

void Outlets::SendMarks(uint64_t exchange_sequence) {
  for (const LinkPlan& link : plan_->links)
    if (link.marks) Send(link.edges[0], Mark{exchange_sequence});
}

}  // namespace freshet
