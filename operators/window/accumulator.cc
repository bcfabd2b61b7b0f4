#include "operators/window/accumulator.h"

#include <bit>
#include <cmath>
#include <limits>
#include <new>
#include <string>
#include <type_traits>

#include "operators/window/distinct_set.h"
#include "operators/window/reproducible_sum.h"

namespace freshet {
namespace {

/// Reads values of one C++ type from a column.
template <class T>
struct Reader;
template <>
struct Reader<int64_t> {
  explicit Reader(const Column& c) : values(c.int64s()) {}
  int64_t operator()(int32_t row) const { return values[row]; }
  const int64_t* values;
};
template <>
struct Reader<double> {
  explicit Reader(const Column& c) : values(c.float64s()) {}
  double operator()(int32_t row) const { return values[row]; }
  const double* values;
};
template <>
struct Reader<bool> {
  explicit Reader(const Column& c) : column(c) {}
  bool operator()(int32_t row) const { return column.BoolAt(row); }
  const Column& column;
};
template <>
struct Reader<std::string> {
  explicit Reader(const Column& c) : column(c) {}
  std::string_view operator()(int32_t row) const { return column.StringAt(row); }
  const Column& column;
};
/// Numbers as doubles, for the variance.
struct NumberReader {
  explicit NumberReader(const Column& c)
      : integers(c.type() == TypeId::kInt64 ? c.int64s() : nullptr),
        doubles(c.type() == TypeId::kInt64 ? nullptr : c.float64s()) {}
  double operator()(int32_t row) const {
    return integers != nullptr ? static_cast<double>(integers[row]) : doubles[row];
  }
  const int64_t* integers;
  const double* doubles;
};
/// 64 bits that stand for a value: the value itself where it fits.
struct FingerprintReader {
  explicit FingerprintReader(const Column& c) : column(c) {}
  uint64_t operator()(int32_t row) const {
    switch (column.type()) {
      case TypeId::kBool:
        return column.BoolAt(row) ? 1 : 2;
      case TypeId::kInt64:
      case TypeId::kTimestamp:
        return static_cast<uint64_t>(column.int64s()[row]);
      case TypeId::kFloat64: {
        const double v = column.float64s()[row];
        if (std::isnan(v)) return std::bit_cast<uint64_t>(std::numeric_limits<double>::quiet_NaN());
        return std::bit_cast<uint64_t>(v == 0 ? 0.0 : v);
      }
      default:
        return TextFingerprint(column.StringAt(row));
    }
  }
  const Column& column;
};

void Put(ByteSink& sink, int64_t v) { sink.PutI64(v); }
void Put(ByteSink& sink, double v) { sink.PutF64(v); }
void Put(ByteSink& sink, bool v) { sink.PutBool(v); }
void Put(ByteSink& sink, const std::string& v) { sink.PutString(v); }
void Get(ByteSource& source, int64_t* v) { *v = source.GetI64(); }
void Get(ByteSource& source, double* v) { *v = source.GetF64(); }
void Get(ByteSource& source, bool* v) { *v = source.GetBool(); }
void Get(ByteSource& source, std::string* v) { v->assign(source.GetString()); }
void Append(ColumnBuilder& out, int64_t v) { out.AppendInt64(v); }
void Append(ColumnBuilder& out, double v) { out.AppendFloat64(v); }
void Append(ColumnBuilder& out, bool v) { out.AppendBool(v); }
void Append(ColumnBuilder& out, const std::string& v) { out.AppendString(v); }

/// A total order: -0 before 0, NaN last.
bool Less(int64_t a, int64_t b) { return a < b; }
bool Less(bool a, bool b) { return !a && b; }
bool Less(std::string_view a, std::string_view b) { return a < b; }
bool Less(double a, double b) {
  if (a == b) return std::signbit(a) && !std::signbit(b);
  if (std::isnan(a)) return false;
  return std::isnan(b) || a < b;
}

struct RowIdentity {
  int64_t time_us;
  uint64_t ordinal;
  bool operator<(const RowIdentity& o) const {
    return time_us != o.time_us ? time_us < o.time_us : ordinal < o.ordinal;
  }
};

/// What a text takes beside its std::string.
int64_t TextHeap(const std::string& text) {
  return text.capacity() > 15 ? static_cast<int64_t>(text.capacity()) + 17 : 0;
}

// ---- states
// ----------------------------------------------------------------------------------------------------------

struct CountState {
  int64_t count = 0;
  void Merge(const CountState& o) { count += o.count; }
  void Finish(AggregateResult, ColumnBuilder& out, int64_t*) const { out.AppendInt64(count); }
  void Encode(ByteSink& sink) const { sink.PutVarint(static_cast<uint64_t>(count)); }
  bool Decode(ByteSource& source) {
    count = static_cast<int64_t>(source.GetVarint());
    return source.ok();
  }
};

/// 2^64 values of 64 bits fit into 128: no partial sum overflows, only a result may.
struct IntegerSum {
  uint64_t low = 0;  // two words, so that a state needs no alignment beyond 8
  int64_t high = 0;
  int64_t count = 0;
  Int128 value() const { return static_cast<Int128>(static_cast<Uint128>(static_cast<uint64_t>(high)) << 64 | low); }
  void AddWide(Int128 v) {
    const Int128 sum = value() + v;
    low = static_cast<uint64_t>(sum);
    high = static_cast<int64_t>(sum >> 64);
  }
  void Add(int64_t v) {
    AddWide(v);
    ++count;
  }
  void Merge(const IntegerSum& o) {
    AddWide(o.value());
    count += o.count;
  }
  void Finish(AggregateResult result, ColumnBuilder& out, int64_t* nulled) const {
    if (count == 0) return out.AppendNull();
    const Int128 sum = value();
    if (result == AggregateResult::kAvg)
      return out.AppendFloat64(static_cast<double>(sum) / static_cast<double>(count));
    if (sum == static_cast<int64_t>(sum)) return out.AppendInt64(static_cast<int64_t>(sum));
    out.AppendNull();
    ++*nulled;
  }
  void Encode(ByteSink& sink) const {
    sink.PutVarint(static_cast<uint64_t>(count));
    sink.PutU64(low);
    sink.PutI64(high);
  }
  bool Decode(ByteSource& source) {
    count = static_cast<int64_t>(source.GetVarint());
    low = source.GetU64();
    high = source.GetI64();
    return source.ok();
  }
};

struct FloatSum : ReproducibleSum {
  void Finish(AggregateResult result, ColumnBuilder& out, int64_t*) const {
    if (count() == 0) return out.AppendNull();
    out.AppendFloat64(result == AggregateResult::kAvg ? Value() / static_cast<double>(count()) : Value());
  }
};

/// Sample variance out of the reproducible sums of x and x^2, each known to about 106 bits, in double-double arithmetic
/// (Dekker 1971): no cancellation until the spread is some 2^-45 of the mean.
struct VarianceState {
  ReproducibleSum sum;
  ReproducibleSum squares;
  void Add(double v) {
    sum.Add(v);
    squares.AddSquare(v);
  }
  void Merge(const VarianceState& o) {
    sum.Merge(o.sum);
    squares.Merge(o.squares);
  }
  double Variance() const {
    const auto n = static_cast<double>(sum.count());
    double s = 0, s_low = 0, q = 0, q_low = 0;
    sum.ValuePair(&s, &s_low);
    squares.ValuePair(&q, &q_low);
    const double nq = n * q;
    const double nq_low = std::fma(n, q, -nq) + n * q_low;
    const double ss = s * s;
    const double ss_low = std::fma(s, s, -ss) + 2 * s * s_low;
    // Knuth's two-sum: `error` is what rounding took from the difference.
    const double difference = nq - ss;
    const double back = difference - nq;
    const double error = (nq - (difference - back)) - (ss + back);
    const double numerator = difference + (error + (nq_low - ss_low));
    if (std::isnan(numerator)) return numerator;
    return numerator <= 0 ? 0 : numerator / n / (n - 1);
  }
  void Finish(AggregateResult result, ColumnBuilder& out, int64_t*) const {
    if (sum.count() < 2) return out.AppendNull();
    const double variance = Variance();
    out.AppendFloat64(result == AggregateResult::kStddev ? std::sqrt(variance) : variance);
  }
  void Encode(ByteSink& sink) const {
    sum.Encode(sink);
    squares.Encode(sink);
  }
  bool Decode(ByteSource& source) { return sum.Decode(source) && squares.Decode(source); }
};

/// The least or the greatest value. Text keeps its string's memory from one value to the next.
template <class T, bool kGreatest>
struct Extreme {
  T value{};
  bool set = false;
  template <class U>
  void Add(const U& v) {
    if (set && !(kGreatest ? Less(value, v) : Less(v, value))) return;
    value = v;
    set = true;
  }
  void Merge(const Extreme& o) {
    if (o.set) Add(o.value);
  }
  int64_t HeapBytes() const requires std::is_same_v<T, std::string> { return TextHeap(value); }
  void Finish(AggregateResult, ColumnBuilder& out, int64_t*) const { set ? Append(out, value) : out.AppendNull(); }
  void Encode(ByteSink& sink) const {
    sink.PutBool(set);
    if (set) Put(sink, value);
  }
  bool Decode(ByteSource& source) {
    set = source.GetBool();
    if (set) Get(source, &value);
    return source.ok();
  }
};

/// The value of the first or last row by (event time, ordinal).
template <class T, bool kLast>
struct Edge {
  RowIdentity row{};
  T value{};
  bool set = false;
  template <class U>
  void Add(const U& v, RowIdentity at) {
    if (set && !(kLast ? row < at : at < row)) return;
    row = at;
    value = v;
    set = true;
  }
  void Merge(const Edge& o) {
    if (o.set) Add(o.value, o.row);
  }
  int64_t HeapBytes() const requires std::is_same_v<T, std::string> { return TextHeap(value); }
  void Finish(AggregateResult, ColumnBuilder& out, int64_t*) const { set ? Append(out, value) : out.AppendNull(); }
  void Encode(ByteSink& sink) const {
    sink.PutBool(set);
    if (!set) return;
    sink.PutI64(row.time_us);
    sink.PutU64(row.ordinal);
    Put(sink, value);
  }
  bool Decode(ByteSource& source) {
    set = source.GetBool();
    if (!set) return source.ok();
    row.time_us = source.GetI64();
    row.ordinal = source.GetU64();
    Get(source, &value);
    return source.ok();
  }
};

struct DistinctState : DistinctSet {
  void Finish(AggregateResult, ColumnBuilder& out, int64_t*) const { out.AppendInt64(Count()); }
};

// ---- loops
// -----------------------------------------------------------------------------------------------------------

/// f(state, row) for each row that counts: in an open window, through the filter, argument not null.
template <class State, class F>
void ForEachRow(const AccumulatorInput& in, size_t offset, F&& f) {
  const Column* nulls = in.argument != nullptr && in.argument->may_have_nulls() ? in.argument : nullptr;
  const auto visit = [&](int32_t row) {
    std::byte* cell = in.cells[row];
    if (cell == nullptr) return;
    f(*reinterpret_cast<State*>(cell + offset), row);
  };
  const auto visit_valid = [&](int32_t row) {
    if (!nulls->IsNull(row)) visit(row);
  };
  if (in.rows == nullptr) {
    if (nulls == nullptr)
      for (int32_t row = 0; row < in.count; ++row) visit(row);
    else
      for (int32_t row = 0; row < in.count; ++row) visit_valid(row);
  } else {
    if (nulls == nullptr)
      for (int32_t i = 0; i < in.count; ++i) visit(in.rows[i]);
    else
      for (int32_t i = 0; i < in.count; ++i) visit_valid(in.rows[i]);
  }
}

template <class State>
inline constexpr bool kHasHeap = requires(const State& s) {
  s.HeapBytes();
};

/// ForEachRow for an Update.
template <class State, class F>
void UpdateRows(const AccumulatorInput& in, size_t offset, F&& f) {
  if constexpr (kHasHeap<State>) {
    int64_t grown = 0;
    ForEachRow<State>(in, offset, [&](State& s, int32_t row) {
      const int64_t before = s.HeapBytes();
      f(s, row);
      grown += s.HeapBytes() - before;
    });
    if (in.heap_bytes != nullptr) *in.heap_bytes += grown;
  } else {
    ForEachRow<State>(in, offset, f);
  }
}

template <class State>
class Typed : public Accumulator {
 public:
  size_t size() const override { return sizeof(State); }
  size_t alignment() const override { return alignof(State); }
  void Construct(std::byte* state) const override { new (state) State(); }
  void Destroy(std::byte* state) const override { reinterpret_cast<State*>(state)->~State(); }
  void Merge(std::byte* into, const std::byte* from) const override {
    reinterpret_cast<State*>(into)->Merge(*reinterpret_cast<const State*>(from));
  }
  void Finish(AggregateResult result, const std::byte* state, ColumnBuilder& out, int64_t* nulled) const override {
    reinterpret_cast<const State*>(state)->Finish(result, out, nulled);
  }
  void Encode(const std::byte* state, ByteSink& sink) const override {
    reinterpret_cast<const State*>(state)->Encode(sink);
  }
  bool Decode(std::byte* state, ByteSource& source) const override {
    return reinterpret_cast<State*>(state)->Decode(source);
  }
  bool has_heap() const override { return kHasHeap<State>; }
  int64_t HeapBytes(const std::byte* state) const override {
    if constexpr (kHasHeap<State>)
      return reinterpret_cast<const State*>(state)->HeapBytes();
    else
      return Accumulator::HeapBytes(state);
  }
};

class CountRows final : public Typed<CountState> {
  void Update(const AccumulatorInput& in, size_t offset) const override {
    ForEachRow<CountState>(in, offset, [](CountState& s, int32_t) { ++s.count; });
  }
};

template <class State, class ReaderType>
class AddValues final : public Typed<State> {
  void Update(const AccumulatorInput& in, size_t offset) const override {
    const ReaderType read(*in.argument);
    UpdateRows<State>(in, offset, [&](State& s, int32_t row) { s.Add(read(row)); });
  }
};

template <class State, class ReaderType>
class AddRows final : public Typed<State> {
  bool order_free() const override { return false; }
  void Update(const AccumulatorInput& in, size_t offset) const override {
    const ReaderType read(*in.argument);
    UpdateRows<State>(in, offset, [&](State& s, int32_t row) {
      s.Add(read(row), RowIdentity{in.batch->time(row).us, in.batch->ordinal(row).value});
    });
  }
};

using Made = std::shared_ptr<const Accumulator>;

template <class T>
Made MakeOfType(AccumulatorKind kind) {
  switch (kind) {
    case AccumulatorKind::kMin:
      return std::make_shared<AddValues<Extreme<T, false>, Reader<T>>>();
    case AccumulatorKind::kMax:
      return std::make_shared<AddValues<Extreme<T, true>, Reader<T>>>();
    case AccumulatorKind::kFirst:
      return std::make_shared<AddRows<Edge<T, false>, Reader<T>>>();
    case AccumulatorKind::kLast:
      return std::make_shared<AddRows<Edge<T, true>, Reader<T>>>();
    default:
      return nullptr;
  }
}

}  // namespace

std::shared_ptr<const Accumulator> MakeAccumulator(AccumulatorKind kind, TypeId argument) {
  if (kind == AccumulatorKind::kCount) return std::make_shared<CountRows>();
  if (argument == TypeId::kListFloat64) return nullptr;
  if (kind == AccumulatorKind::kDistinct) return std::make_shared<AddValues<DistinctState, FingerprintReader>>();
  if (kind == AccumulatorKind::kVariance)
    return IsNumeric(argument) ? std::make_shared<AddValues<VarianceState, NumberReader>>() : Made();
  if (kind == AccumulatorKind::kSum) {
    if (argument == TypeId::kInt64) return std::make_shared<AddValues<IntegerSum, Reader<int64_t>>>();
    if (argument == TypeId::kFloat64) return std::make_shared<AddValues<FloatSum, Reader<double>>>();
    return nullptr;
  }
  switch (argument) {
    case TypeId::kBool:
      return MakeOfType<bool>(kind);
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return MakeOfType<int64_t>(kind);
    case TypeId::kFloat64:
      return MakeOfType<double>(kind);
    case TypeId::kString:
    case TypeId::kJson:
      return MakeOfType<std::string>(kind);
    default:
      return nullptr;
  }
}

}  // namespace freshet
