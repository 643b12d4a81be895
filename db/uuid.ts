import { randomBytes } from "node:crypto";

let lastMillisecond = 0;
let counter = 0;

/**
 * UUID version 7 (RFC 9562, section 5.7): ids sort by the time they were made, within one process strictly so
 * (method 1: the 12 bits after the time are a counter, and the clock is pushed on when the counter runs over).
 */
export function uuidv7(): string {
  const now = Date.now();
  if (now > lastMillisecond) {
    lastMillisecond = now;
    counter = randomBytes(1)[0]!;
  } else {
    counter += 1;
    if (counter > 0xfff) {
      lastMillisecond += 1;
      counter = 0;
    }
  }
  const bytes = randomBytes(16);
  bytes.writeUIntBE(lastMillisecond, 0, 6);
  bytes.writeUInt16BE(0x7000 | counter, 6);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
