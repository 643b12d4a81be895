import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const rooms = ["app", "server", "gpu", "shaders", "db", "bench"] as const;

/** Which rooms a room may import from. */
const arrows: Record<(typeof rooms)[number], readonly string[]> = {
  app: ["app", "server", "gpu"],
  server: ["server", "db", "gpu"],
  gpu: ["gpu", "shaders"],
  shaders: ["shaders"],
  db: ["db", "gpu"],
  bench: ["bench", "gpu"],
};

interface Import {
  file: string;
  specifier: string;
  typeOnly: boolean;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(ts|tsx|mjs)$/.test(name))
    .map((name) => join(folder, name));
}

function imports(file: string): Import[] {
  const text = readFileSync(join(root, file), "utf8");
  const found: Import[] = [];
  for (const match of text.matchAll(/\b(import|export)\s+(type\s+)?(?:[\w*{}\s,]+?\s+from\s+)?"([^"]+)"/g)) {
    found.push({ file, specifier: match[3]!, typeOnly: match[2] !== undefined });
  }
  for (const match of text.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g)) {
    found.push({ file, specifier: match[1]!, typeOnly: false });
  }
  return found;
}

/** Room of an import's target, or null for packages and built-ins. */
function targetRoom({ file, specifier }: Import): string | null {
  const path = specifier.startsWith("@/")
    ? specifier.slice(2)
    : specifier.startsWith(".")
      ? relative(root, resolve(root, dirname(file), specifier))
      : null;
  return path === null ? null : (path.split("/")[0] ?? null);
}

describe("arrows between rooms go one way", () => {
  for (const room of rooms) {
    it(`${room} imports only from ${arrows[room].join(", ")}`, () => {
      const wrong = sources(room)
        .flatMap(imports)
        .filter((one) => {
          const target = targetRoom(one);
          return (
            target !== null && (rooms as readonly string[]).includes(target) && !arrows[room].includes(target)
          );
        })
        .map(({ file, specifier }) => `${file} -> ${specifier}`);
      expect(wrong).toEqual([]);
    });
  }

  it("pages and components know the server by its types alone; only route handlers run it", () => {
    const wrong = sources("app")
      .filter((file) => !file.endsWith("/route.ts"))
      .flatMap(imports)
      .filter((one) => targetRoom(one) === "server" && !one.typeOnly)
      .map(({ file, specifier }) => `${file} -> ${specifier}`);
    expect(wrong).toEqual([]);
  });

  it("the schema knows the compute library by its types alone", () => {
    const wrong = sources("db")
      .flatMap(imports)
      .filter((one) => targetRoom(one) === "gpu" && !one.typeOnly)
      .map(({ file, specifier }) => `${file} -> ${specifier}`);
    expect(wrong).toEqual([]);
  });

  it("gpu stays isomorphic: Node's modules only where a device or a shader file is opened", () => {
    const wrong = sources("gpu")
      .filter((file) => !/^gpu\/device\/(node|software-vulkan|shaders)\.ts$/.test(file))
      .flatMap(imports)
      .filter(({ specifier }) => specifier.startsWith("node:") || specifier === "webgpu")
      .map(({ file, specifier }) => `${file} -> ${specifier}`);
    expect(wrong).toEqual([]);
  });
});

describe("the lock file is complete", () => {
  it("has an entry for every optional dependency, so that a clean install works on every platform", () => {
    const lock: { packages: Record<string, { optionalDependencies?: Record<string, string> }> } = JSON.parse(
      readFileSync(join(root, "package-lock.json"), "utf8"),
    );
    const names = Object.keys(lock.packages);
    const missing = Object.entries(lock.packages).flatMap(([owner, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter((name) => !names.some((path) => path.endsWith(`node_modules/${name}`)))
        .map((name) => `${owner || "."} -> ${name}`),
    );
    expect(missing).toEqual([]);
  });
});
