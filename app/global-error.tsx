"use client";

/** What stands when not even the layout could be drawn; it can rely on nothing but HTML. */
export default function GlobalError({ error, reset }: { error: Error; reset: () => void }) {
  return (
    <html lang="en">
      <body style={{ fontFamily: "system-ui, sans-serif", padding: "3rem", maxWidth: "40rem" }}>
        <h1 style={{ fontSize: "1.25rem" }}>The studio could not be drawn</h1>
        <p>{error.message}</p>
        <p>Runs are not affected: they train outside the browser.</p>
        <button type="button" onClick={reset}>
          Draw it again
        </button>
      </body>
    </html>
  );
}
