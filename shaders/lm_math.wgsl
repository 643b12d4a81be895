// Functions that WGSL lacks, or has too coarsely.

// tanh to 1e-7 of one: WGSL's own is promised to 1e-5 only, and overflows for large arguments on some adapters.
fn precise_tanh(x: f32) -> f32 {
  let size = abs(x);
  if (size < 0.3) {
    // Taylor, where one minus nearly one would lose what counts; the next term is 2e-10 of x.
    let s = x * x;
    return x + x * s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0 - s * (1382.0 / 155925.0)))));
  }
  // One in f32 from 9.02 on.
  let e = exp(2.0 * min(size, 10.0));
  return sign(x) * (1.0 - 2.0 / (e + 1.0));
}

// erf to 1.5e-7, of one: minimax polynomials by N. Juffa (stackoverflow.com/a/35148199), of erf(x) / x near zero and of
// log(1 − erf(x)) beyond. The largest error of the first is where the second begins.
fn erf(x: f32) -> f32 {
  let s = x * x;
  // Beyond 4, erf is one in f32.
  let size = min(abs(x), 4.0);
  if (size > 0.927734375) {
    var r = -1.72853470e-5 * size + 3.83197126e-4;
    let u = -3.88396438e-3 * size + 2.42546219e-2;
    r = r * (size * size) + u;
    r = r * size - 1.06777877e-1;
    r = r * size - 6.34846687e-1;
    r = r * size - 1.28717512e-1;
    r = r * size - size;
    return sign(x) * (1.0 - exp(r));
  }
  var r = -5.96761703e-4;
  r = r * s + 4.99119423e-3;
  r = r * s - 2.67681349e-2;
  r = r * s + 1.12819925e-1;
  r = r * s - 3.76125336e-1;
  r = r * s + 1.28379166e-1;
  return r * x + x;
}
