// Four whole numbers from −128 to 127 in one word, the lowest bits first: the weights of precision int8.

fn from_int8(packed: u32) -> vec4f {
  return vec4f(vec4i(vec4u(packed) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
