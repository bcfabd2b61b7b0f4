#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `select`: names the columns that go on, in that order, under other names or computed if wished.
///   State : none.                    Time  : untouched.
///   Nulls : as the expressions say.  Order : rows keep theirs; columns get the order of the list.
///   Memory: nothing is copied for bare columns.
NodeDescriptor SelectDescriptor();

}  // namespace freshet
