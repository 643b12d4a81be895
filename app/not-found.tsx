import type { Metadata } from "next";
import Link from "next/link";
import { buttonClass } from "./_ui/button.tsx";
import { EmptyState } from "./_ui/panel.tsx";

export const metadata: Metadata = { title: "Not found" };

export default function NotFound() {
  return (
    <>
      <h1 className="sr-only">Not found</h1>
      <EmptyState
        title="There is nothing at this address"
        action={
          <Link href="/runs" className={buttonClass("primary")}>
            Go to the runs
          </Link>
        }
      >
        The page may have been deleted, or the address was typed wrong.
      </EmptyState>
    </>
  );
}
