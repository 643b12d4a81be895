import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { eventSourceWith } from "../../server/event-source.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server that answers its connections one after the other. */
async function streamServer(answers: ((response: ServerResponse, lastEventId: string) => void)[]) {
  const server = createServer((request, response) => {
    answers.shift()?.(response, String(request.headers["last-event-id"] ?? ""));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

const stream = { "content-type": "text/event-stream" };

describe("server-sent events over fetch", () => {
  it("reads events however the bytes are cut, and resumes after the last id", async () => {
    const received: object[] = [];
    const ids: string[] = [];
    const url = await streamServer([
      (response, id) => {
        ids.push(id);
        response.writeHead(200, stream);
        response.write("retry: 10\n: a comment\n\nid: 1\ndata: one\ndata: lines\n\nevent: pi");
        response.write("ng\ndata:\n\nid: 2\r\ndata: caf");
        setTimeout(() => response.end("é\r\n\r\nid: 3\ndata: cut off"), 20);
      },
      (response, id) => {
        ids.push(id);
        response.writeHead(200, stream);
        response.write("id: 3\ndata: three\n\n");
      },
    ]);
    const Source = eventSourceWith({});
    const source = new Source(url);
    closers.push(() => source.close());
    await new Promise<void>((resolve) => {
      source.addEventListener("message", (event) => {
        received.push(event);
        if (received.length === 3) resolve();
      });
    });
    expect(received).toEqual([
      { type: "message", data: "one\nlines", lastEventId: "1" },
      { type: "message", data: "café", lastEventId: "2" },
      { type: "message", data: "three", lastEventId: "3" },
    ]);
    expect(ids).toEqual(["", "2"]);
  });

  it("gives up when the server refuses, and says why", async () => {
    const url = await streamServer([
      (response) => {
        response.writeHead(401);
        response.end("no token");
      },
    ]);
    const Source = eventSourceWith({ authorization: "Bearer x" });
    const source = new Source(url);
    const event = await new Promise<object>((resolve) => source.addEventListener("error", resolve));
    expect(event).toMatchObject({ message: "The server answered 401 instead of a stream: no token" });
    expect(source.readyState).toBe(source.CLOSED);
  });
});
