"use client";

import Link from "next/link";
import { useEffect } from "react";
import { Button, buttonClass } from "./_ui/button.tsx";
import { Notice } from "./_ui/notice.tsx";

/** What stands in place of a page whose drawing failed. Training does not depend on any page. */
export default function PageError({
  error,
  reset,
}: {
  error: Error & { digest?: string };
  reset: () => void;
}) {
  useEffect(() => {
    console.error(error);
  }, [error]);
  return (
    <>
      <h1 className="mb-4 text-xl font-semibold tracking-tight">This page broke</h1>
      <Notice
        tone="bad"
        title={error.message || "The page could not be drawn."}
        action={
          <>
            <Button onClick={reset}>Draw it again</Button>
            <Link href="/runs" className={buttonClass("ghost")}>
              Go to the runs
            </Link>
          </>
        }
      >
        Runs are not affected: they train outside the browser.
        {error.digest ? <> The server's log has the details under {error.digest}.</> : null}
      </Notice>
    </>
  );
}
