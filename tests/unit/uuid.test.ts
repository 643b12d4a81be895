import { describe, expect, it } from "vitest";
import { uuidv7 } from "../../db/uuid.ts";

describe("ids", () => {
  it("are version 7, unique, and sort by the order they were made in", () => {
    const begun = Date.now();
    const ids = Array.from({ length: 20_000 }, uuidv7);
    expect(new Set(ids).size).toBe(ids.length);
    expect([...ids].sort()).toEqual(ids);
    for (const id of ids.slice(0, 10))
      expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    const time = Number.parseInt(ids[0]!.replace("-", "").slice(0, 12), 16);
    expect(Math.abs(time - begun)).toBeLessThan(1_000);
  });
});
