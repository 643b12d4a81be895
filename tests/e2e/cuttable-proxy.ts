import net from "node:net";

/** A TCP proxy in front of the studio whose connections can be cut, as a network does it: streams break off mid-way. */
export interface CuttableProxy {
  url: string;
  /** Breaks every connection, and every new one until `mend`. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function cuttableProxy(port: number): Promise<CuttableProxy> {
  const sockets = new Set<net.Socket>();
  let whole = true;
  const server = net.createServer((client) => {
    if (!whole) {
      client.destroy();
      return;
    }
    const upstream = net.connect(port, "127.0.0.1");
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The proxy has no port.");
  const breakAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${address.port}`,
    cut() {
      whole = false;
      breakAll();
    },
    mend() {
      whole = true;
    },
    close() {
      breakAll();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
