#include "operators/registry.h"

#include "operators/alert.h"
#include "operators/anomaly.h"
#include "operators/change_point.h"
#include "operators/contribution.h"
#include "operators/derive.h"
#include "operators/false_discovery.h"
#include "operators/filter.h"
#include "operators/inhibit.h"
#include "operators/isolation_forest.h"
#include "operators/join.h"
#include "operators/notify.h"
#include "operators/select.h"
#include "operators/statistical_outlier.h"
#include "operators/validate.h"
#include "operators/window/window.h"

namespace freshet {

void RegisterOperators(Registry& registry) {
  registry.Add(FilterDescriptor());
  registry.Add(DeriveDescriptor());
  registry.Add(SelectDescriptor());
  registry.Add(ValidateDescriptor());
  registry.Add(WindowDescriptor());
  registry.Add(JoinDescriptor());
  registry.Add(StatisticalOutlierDescriptor());
  registry.Add(IsolationForestDescriptor());
  registry.Add(AnomalyDescriptor());
  registry.Add(ChangePointDescriptor());
  registry.Add(ContributionDescriptor());
  registry.Add(FalseDiscoveryDescriptor());
  registry.Add(AlertDescriptor());
  registry.Add(NotifyDescriptor());
  registry.Add(InhibitDescriptor());
}

}  // namespace freshet
