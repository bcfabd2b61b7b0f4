#include "engine/flow/divide_rows.h"

#include <utility>

namespace freshet {
namespace {

Batch TakePart(const Batch& batch, const std::vector<int32_t>& rows, std::shared_ptr<const PartialRows> partials = {}) {
  const Batch part = batch.Take(rows.data(), static_cast<int32_t>(rows.size()));
  RowMeta meta = part.meta();
  meta.positions = AllocateBuffer(int64_t{4} * static_cast<int64_t>(rows.size()));
  for (size_t i = 0; i < rows.size(); ++i) meta.positions.as<uint32_t>()[i] = static_cast<uint32_t>(rows[i]);
  meta.partials = std::move(partials);
  return part.WithMeta(std::move(meta));
}

/// Groups that have to be taken row by row.
std::vector<uint8_t> LateGroups(const Batch& batch, const CombinedRows& combined) {
  std::vector<uint8_t> late(combined.groups().size());
  for (int32_t row = 0; row < batch.row_count(); ++row) {
    const int32_t group = combined.group_of()[static_cast<size_t>(row)];
    if (group >= 0 && batch.row_watermark(row) >= combined.groups()[static_cast<size_t>(group)].over_at)
      late[static_cast<size_t>(group)] = 1;
  }
  return late;
}

}  // namespace

void FindLanes(const EncodedKeys& keys, int32_t row_count, int lane_count, std::vector<uint8_t>* lane_of) {
  lane_of->resize(static_cast<size_t>(row_count));
  for (int32_t row = 0; row < row_count; ++row)
    (*lane_of)[static_cast<size_t>(row)] = static_cast<uint8_t>(LaneOfKeyGroup(KeyGroupOf(keys.hash(row)), lane_count));
}

std::vector<Batch> DivideRows(const Batch& batch, const std::vector<uint8_t>& lane_of, int lane_count) {
  std::vector<std::vector<int32_t>> rows(static_cast<size_t>(lane_count));
  for (int32_t row = 0; row < batch.row_count(); ++row) rows[lane_of[static_cast<size_t>(row)]].push_back(row);
  std::vector<Batch> parts(rows.size());
  for (size_t lane = 0; lane < parts.size(); ++lane)
    if (!rows[lane].empty()) parts[lane] = TakePart(batch, rows[lane]);
  return parts;
}

std::vector<Batch> DivideCombined(const Batch& batch, const std::shared_ptr<const CombinedRows>& combined,
                                  const std::vector<uint8_t>& lane_of, int lane_count) {
  const std::vector<uint8_t> late = LateGroups(batch, *combined);
  std::vector<std::vector<int32_t>> rows(static_cast<size_t>(lane_count));
  std::vector<PartialRows> partials(rows.size());
  for (int32_t row = 0; row < batch.row_count(); ++row) {
    const size_t lane = lane_of[static_cast<size_t>(row)];
    int32_t group = combined->group_of()[static_cast<size_t>(row)];
    if (group >= 0 && late[static_cast<size_t>(group)] != 0) group = -1;
    if (group >= 0 && combined->groups()[static_cast<size_t>(group)].first_row != row) {
      ++partials[lane].more_rows;
      continue;
    }
    rows[lane].push_back(row);
    partials[lane].group_of.push_back(group);
  }
  std::vector<Batch> parts(rows.size());
  for (size_t lane = 0; lane < parts.size(); ++lane) {
    PartialRows& p = partials[lane];
    if (rows[lane].empty()) continue;
    if (p.more_rows == 0) {
      parts[lane] = TakePart(batch, rows[lane]);
      continue;
    }
    p.combined = combined;
    p.whole = batch;
    parts[lane] = TakePart(batch, rows[lane], std::make_shared<const PartialRows>(std::move(p)));
  }
  return parts;
}

}  // namespace freshet
