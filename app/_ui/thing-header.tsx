import { ChevronRight } from "lucide-react";
import Link from "next/link";
import type { ReactNode } from "react";

/** The head of one thing's page: where it stands, what it is called, what can be done with it. */
export function ThingHeader({
  list,
  from,
  name,
  badge,
  children,
  actions,
}: {
  /** The list that it is in. */
  list: { href: string; label: string };
  /** What it came from: text, or a link. */
  from: ReactNode;
  name: string;
  /** Beside the name. */
  badge?: ReactNode;
  /** Below the name. */
  children?: ReactNode;
  actions: ReactNode;
}) {
  return (
    <header className="mb-5 flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
      <div className="min-w-0">
        <nav aria-label="Breadcrumb" className="mb-0.5 flex items-center gap-1 text-xs text-ink-3">
          <Link href={list.href} className="hover:text-ink">
            {list.label}
          </Link>
          <ChevronRight aria-hidden size={12} />
          <span className="min-w-0 truncate">{from}</span>
        </nav>
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <h1 className="min-w-0 text-xl font-semibold tracking-tight break-words">{name}</h1>
          {badge}
        </div>
        {children}
      </div>
      <div className="flex flex-wrap items-center gap-2">{actions}</div>
    </header>
  );
}
