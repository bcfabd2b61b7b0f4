#include "operators/registry.h"

#include "operators/derive.h"
#include "operators/filter.h"
#include "operators/select.h"
#include "operators/validate.h"

namespace freshet {

void RegisterOperators(Registry& registry) {
  registry.Add(FilterDescriptor());
  registry.Add(DeriveDescriptor());
  registry.Add(SelectDescriptor());
  registry.Add(ValidateDescriptor());
}

}  // namespace freshet
