#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "engine/base/cpu.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/verbs.h"
#include "engine/flow/graph.h"
#include "engine/plan/explain.h"

namespace freshet::cli {
namespace {

struct PlanArguments {
  LoadRequest load;
  bool dot = false;
  bool mermaid = false;
  int lanes = 0;
};

int LaneCount(const Pipeline& pipeline, int asked) {
  if (asked > 0) return asked;
  return pipeline.settings().parallelism > 0 ? pipeline.settings().parallelism : AvailableCores();
}

/// The cell of each node; lanes of one node are one group.
PlanGroups GroupsOf(const Pipeline& pipeline, const GraphPlan& plan) {
  PlanGroups groups;
  for (const CellPlan& cell : plan.cells) {
    if (cell.lane != 0) continue;
    if (cell.kind != CellKind::kSource && cell.kind != CellKind::kChain && cell.kind != CellKind::kSink) continue;
    for (size_t i = 0; i < cell.nodes.size(); ++i) {
      PlanGroup& group = groups[cell.nodes[i]];
      group.group = cell.id;
      if (i > 0)
        group.note = "fused with " + pipeline.graph.nodes[static_cast<size_t>(cell.nodes[i - 1])].id;
      else if (cell.lane_count > 1)
        group.note = std::to_string(cell.lane_count) + " lanes";
    }
  }
  return groups;
}

int Plan(const PlanArguments& arguments) {
  int exit_code = kExitOk;
  for (const Pipeline& p : LoadOrExplain(arguments.load, &exit_code)) {
    const GraphPlan plan = PlanGraph(p.graph, LaneCount(p, arguments.lanes));
    const PlanGroups groups = GroupsOf(p, plan);
    std::string text;
    if (arguments.dot)
      text = ExplainDot(p, groups);
    else if (arguments.mermaid)
      text = ExplainMermaid(p, groups);
    else
      text = ExplainText(p, groups) + "\ncells\n" + DescribeGraph(p.graph, plan);
    std::fputs(text.c_str(), stdout);
  }
  return exit_code;
}

}  // namespace

Verb AddPlanVerb(CLI::App& program) {
  auto a = std::make_shared<PlanArguments>();
  a->load.require_secrets = false;
  CLI::App* app = program.add_subcommand("plan", "Show how a pipeline will run");
  app->add_option("FILE", a->load.files, "Pipeline files")->required();
  app->add_option("--set", a->load.sets, "Override an option: path.to.option=value (repeatable)")->take_all();
  app->add_option("--lanes", a->lanes, "Plan for N lanes (default: settings.parallelism, or this machine's cores)")
      ->check(CLI::Range(1, 128));
  app->add_flag("--wall-clock", a->load.wall_clock, "Let windows with `time: processing` read bounded sources");
  CLI::Option* dot = app->add_flag("--dot", a->dot, "For Graphviz");
  app->add_flag("--mermaid", a->mermaid, "For Markdown pages")->excludes(dot);
  return {app, [a] { return Plan(*a); }};
}

}  // namespace freshet::cli
