import { TRPCClientError } from "@trpc/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../../server/cli/commands.ts";
import { createFacetClient, faultsOf } from "../../server/client.ts";
import { claimRun, recordMetrics, transition } from "../../server/runs/record.ts";
import { ensureSampleRun } from "../../server/runs/sample.ts";
import { addWorker, metricsRow, syntheticRun, type TestServices, testServices } from "./api-server.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";

describe("the API on loopback", () => {
  let test: TestServices;
  let server: ApiServer;
  beforeAll(async () => {
    test = await testServices();
    server = await serveApi(test.services);
  });
  afterAll(async () => {
    await server.close();
    await test.close();
  });
  const client = () => createFacetClient({ url: server.url }).api;

  it("creates, gets, lists, controls and deletes through the typed client", async () => {
    const api = client();
    const { id } = await api.runs.create.mutate(syntheticRun("through the API"));
    const run = await api.runs.get.query({ id });
    expect(run).toMatchObject({
      name: "through the API",
      hook_name: "synthetic",
      config: { k: 4, lr: null },
    });
    expect((await api.runs.list.query({ text: "through" })).items.map((item) => item.id)).toEqual([id]);
    expect(await api.runs.metrics.query({ id })).toEqual({ rows: [] });
    expect(await api.runs.control.mutate({ id, control: "cancel" })).toEqual({ status: "deleted" });
  });

  it("says every fault at once in the error's data", async () => {
    const error: unknown = await client()
      .runs.create.mutate({ ...syntheticRun(""), config: { d_in: 32, d_sae: 0, k: -1 } })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TRPCClientError);
    expect((error as TRPCClientError<never>).data).toMatchObject({ code: "BAD_REQUEST" });
    expect(faultsOf(error).map((fault) => fault.path)).toEqual(["name", "config.d_sae", "config.k"]);
    const check = await client().runs.check.query(syntheticRun("fine"));
    expect(check).toEqual({ faults: [], memory: null, total_steps: 244 });
  });

  it("maps errors to their codes and keeps inner ones inside", async () => {
    const id = "019ab000-0000-7000-8000-000000000000";
    const code = (promise: Promise<unknown>) =>
      promise.then(
        () => "none",
        (error: TRPCClientError<never>) => (error.data as { code: string } | null)?.code,
      );
    expect(await code(client().runs.get.query({ id }))).toBe("NOT_FOUND");
    expect(await code(client().runs.get.query({ id: "x" }))).toBe("BAD_REQUEST");
    const made = await client().runs.create.mutate(syntheticRun("waiting"));
    expect(await code(client().runs.control.mutate({ id: made.id, control: "pause" }))).toBe("CONFLICT");
    const broken = await fetch(`${server.url}/api/trpc/runs.get?input=%7B`);
    expect(JSON.stringify(await broken.json())).not.toContain("node_modules");
  });

  it("reports itself, its workers and its readiness", async () => {
    expect((await fetch(`${server.url}/api/health`)).status).toBe(200);
    expect((await fetch(`${server.url}/api/ready`)).status).toBe(503);
    const worker = await addWorker(test.services);
    expect((await fetch(`${server.url}/api/ready`)).status).toBe(200);
    expect(await client().system.status.query()).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      home: test.services.env.home,
      database: "external",
      workers: [{ id: worker, status: "idle", run_id: null }],
    });
  });

  it("makes the sample run once, also when two processes try at once", async () => {
    const { services } = test;
    const url = services.env.database_url ?? "";
    const opened = { db: services.db, sql: services.sql, close: services.close };
    const made = await Promise.all([1, 2].map(() => ensureSampleRun(opened, url, services.env.home)));
    const ids = made.filter((id) => id !== null);
    expect(ids).toHaveLength(1);
    await client().runs.control.mutate({ id: ids[0]!, control: "cancel" });
    expect(await ensureSampleRun(opened, url, services.env.home)).toBeNull();
  });

  it("serves the command line", async () => {
    const lines: string[] = [];
    const errors: string[] = [];
    const facet = (...argv: string[]) =>
      runCommand([...argv, "--url", server.url], {
        out: (line) => lines.push(line),
        err: (line) => errors.push(line),
        terminal: false,
      });
    expect(await facet("runs", "create", "from the shell", "--d_sae", "64", "--k", "4", "--d_in", "32")).toBe(
      0,
    );
    const id = lines.at(-1)!.replace("Created ", "");
    expect(await facet("runs", "show", id)).toBe(0);
    expect(lines.join("\n")).toContain("step       0 of 244");

    const watching = facet("runs", "watch", id);
    const claim = await claimRun(test.services.db, id, { id: await addWorker(test.services) });
    await recordMetrics(test.services.db, claim!, [metricsRow(244)]);
    await transition(test.services.db, id, claim!.attempt, ["initializing"], "completed");
    expect(await watching, errors.join()).toBe(0);
    expect(lines.join("\n")).toContain("completed");

    expect(await facet("runs", "list", "--status", "completed")).toBe(0);
    expect(lines.at(-1)).toContain("from the shell");
    expect(await facet("runs", "pause", id)).toBe(1);
    expect(errors.at(-1)).toBe("The run is completed, so it cannot be paused now. It can be deleted.");
    expect(await facet("runs", "delete", id)).toBe(0);
    expect(await facet("runs", "create", "bad", "--d_sae", "64", "--k", "400")).toBe(1);
    expect(errors.join("\n")).toContain("config.d_in: d_in must be a number; it is missing.");
    expect(await facet("runs", "create", "bad", "--no_such_option", "1")).toBe(2);
    expect(await facet("runs", "fly")).toBe(2);
    expect(await facet("runs", "pause")).toBe(2);
    expect(
      await runCommand(["runs", "list", "--url", "http://127.0.0.1:9"], {
        out: (line) => lines.push(line),
        err: (line) => errors.push(line),
        terminal: false,
      }),
    ).toBe(1);
    expect(errors.at(-1)).toContain("No Facet server answers");
  });
});

describe("the API with a token", () => {
  const token = "0123456789abcdefghij";
  let test: TestServices;
  let server: ApiServer;
  beforeAll(async () => {
    test = await testServices({ FACET_TOKEN: token, HOST: "0.0.0.0" });
    server = await serveApi(test.services);
  });
  afterAll(async () => {
    await server.close();
    await test.close();
  });

  it("answers only those who have it, on calls, uploads and streams", async () => {
    for (const given of [undefined, "wrong-wrong-wrong-wrong"]) {
      const client = createFacetClient({ url: server.url, ...(given === undefined ? {} : { token: given }) });
      await expect(client.api.runs.list.query({})).rejects.toThrow(/token is needed/);
      await expect(client.uploadActivations(new Blob(["x"]), {})).rejects.toMatchObject({ status: 401 });
      await expect(
        new Promise((resolve, reject) => {
          client.api.runs.live.subscribe(
            { id: "019ab000-0000-7000-8000-000000000000" },
            { onData: resolve, onError: reject },
          );
        }),
      ).rejects.toThrow();
    }
    const client = createFacetClient({ url: server.url, token });
    const { id } = await client.api.runs.create.mutate(syntheticRun("guarded"));
    const first = await new Promise<{ data: { type: string } }>((resolve, reject) => {
      const subscription = client.api.runs.live.subscribe(
        { id },
        {
          onData: (message) => {
            subscription.unsubscribe();
            resolve(message);
          },
          onError: reject,
        },
      );
    });
    expect(first.data.type).toBe("snapshot");
    const cookie = await fetch(`${server.url}/api/trpc/runs.list`, {
      headers: { cookie: `other=1; facet_token=${token}` },
    });
    expect(cookie.status).toBe(200);
  });
});
