// An active (token, feature) pair in feature order: the activation and the gradient of the loss at its pre-activation.

struct Entry {
  token: u32,
  value: f32,
  gradient: f32,
}
