#pragma once

#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace freshet {

/// Four floats. SSE2 is part of x86-64, so no run-time dispatch is needed; elsewhere plain code does the same
/// operations in the same order and gives the same bits.
/// Min and Max return the *second* operand when one of them is NaN: this is how missing features drop out.
struct FloatLanes {
#if defined(__SSE2__)
  __m128 v;
  static FloatLanes Load(const float* p) { return {_mm_loadu_ps(p)}; }
  static FloatLanes All(float x) { return {_mm_set1_ps(x)}; }
  void Store(float* p) const { _mm_storeu_ps(p, v); }
  FloatLanes operator+(FloatLanes o) const { return {_mm_add_ps(v, o.v)}; }
  FloatLanes operator-(FloatLanes o) const { return {_mm_sub_ps(v, o.v)}; }
  FloatLanes operator*(FloatLanes o) const { return {_mm_mul_ps(v, o.v)}; }
  static FloatLanes Min(FloatLanes a, FloatLanes b) { return {_mm_min_ps(a.v, b.v)}; }
  static FloatLanes Max(FloatLanes a, FloatLanes b) { return {_mm_max_ps(a.v, b.v)}; }
  /// (lane 0 + lane 2) + (lane 1 + lane 3).
  float Sum() const {
    const __m128 pairs = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
  }
#else
  float v[4];
  template <class F>
  static FloatLanes Each(F f) {
    return {{f(0), f(1), f(2), f(3)}};
  }
  static FloatLanes Load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static FloatLanes All(float x) { return {{x, x, x, x}}; }
  void Store(float* p) const { std::memcpy(p, v, sizeof v); }
  FloatLanes operator+(FloatLanes o) const {
    return Each([&](int i) { return v[i] + o.v[i]; });
  }
  FloatLanes operator-(FloatLanes o) const {
    return Each([&](int i) { return v[i] - o.v[i]; });
  }
  FloatLanes operator*(FloatLanes o) const {
    return Each([&](int i) { return v[i] * o.v[i]; });
  }
  static FloatLanes Min(FloatLanes a, FloatLanes b) {
    return Each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static FloatLanes Max(FloatLanes a, FloatLanes b) {
    return Each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  float Sum() const { return (v[0] + v[2]) + (v[1] + v[3]); }
#endif
};

}  // namespace freshet
