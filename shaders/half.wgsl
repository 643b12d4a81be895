// Four numbers in 16 bits each, as two words: the storage of precision f16. Unpacking is exact; every adapter has it.

fn from_half(packed: vec2u) -> vec4f {
  return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y));
}

fn to_half(values: vec4f) -> vec2u {
  return vec2u(pack2x16float(values.xy), pack2x16float(values.zw));
}
