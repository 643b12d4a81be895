import net from "node:net";

/** Something else listens where the studio should. */
export class PortInUseError extends Error {
  override readonly name = "PortInUseError";
}

/** Binds and lets go again, since Next.js only dies of a taken port. Throws with one line that says what to set. */
export function assertPortFree(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", (cause: NodeJS.ErrnoException) => {
      reject(new PortInUseError(refusal(cause, host, port), { cause }));
    });
    server.listen(port, host, () => server.close(() => resolve()));
  });
}

function refusal(cause: NodeJS.ErrnoException, host: string, port: number): string {
  switch (cause.code) {
    case "EADDRINUSE":
      return `Port ${port} on ${host} is in use. Stop what listens there, or choose another: PORT=${port + 1} npm start`;
    case "EACCES":
      return `This user may not listen on port ${port}. Choose one above 1023: PORT=3000 npm start`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `HOST=${host} is not an address of this machine. Use 127.0.0.1, 0.0.0.0 or one of its own.`;
    default:
      return `The studio cannot listen on ${host}:${port}: ${cause.message}`;
  }
}

/** Resolves true once something accepts connections there, false when `signal` says to give up. */
export async function waitForPort(host: string, port: number, signal: AbortSignal): Promise<boolean> {
  const address = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  while (!signal.aborted) {
    if (await accepts(address, port)) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port });
    const answer = (yes: boolean) => () => {
      socket.destroy();
      resolve(yes);
    };
    socket.once("connect", answer(true)).once("error", answer(false));
  });
}
