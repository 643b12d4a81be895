import { type ReactNode, useId } from "react";
import { classNames } from "./class-names.ts";

/** A titled box with hairline borders; the page's unit of content. */
export function Panel({
  title,
  aside,
  children,
  className,
  flush = false,
}: {
  title?: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
  className?: string;
  /** Content runs to the edges, as a table's does. */
  flush?: boolean;
}) {
  const id = useId();
  return (
    <section
      aria-labelledby={title ? id : undefined}
      className={classNames("min-w-0 rounded-lg border border-line bg-surface", className)}
    >
      {title ? (
        <header className="flex min-h-10 flex-wrap items-center justify-between gap-x-3 gap-y-1 border-b border-line px-4 py-1.5">
          <h2 id={id} className="text-sm font-medium">
            {title}
          </h2>
          {aside}
        </header>
      ) : null}
      <div className={flush ? "" : "p-4"}>{children}</div>
    </section>
  );
}

/** The head of a page: its name, what stands beside it, and its actions. */
export function PageHeader({
  title,
  description,
  actions,
}: {
  title: ReactNode;
  description?: ReactNode;
  actions?: ReactNode;
}) {
  return (
    <header className="mb-5 flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
      <div className="min-w-0">
        <h1 className="text-xl font-semibold tracking-tight text-balance">{title}</h1>
        {description ? <p className="mt-0.5 max-w-[70ch] text-ink-2">{description}</p> : null}
      </div>
      {actions ? <div className="flex flex-wrap items-center gap-2">{actions}</div> : null}
    </header>
  );
}

/** What a list shows instead of rows: why it is empty, and the next step. */
export function EmptyState({
  icon,
  title,
  children,
  action,
}: {
  icon?: ReactNode;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="flex flex-col items-center px-6 py-14 text-center">
      {icon ? <div className="mb-3 text-ink-3">{icon}</div> : null}
      <p className="text-base font-medium">{title}</p>
      {children ? <div className="mt-1 max-w-[52ch] text-ink-2 text-pretty">{children}</div> : null}
      {action ? <div className="mt-4 flex flex-wrap justify-center gap-2">{action}</div> : null}
    </div>
  );
}

/** Facts in two columns where there is room, without a line below the last of either. */
export function FactColumns({ children, className }: { children: ReactNode; className?: string }) {
  return (
    <dl
      className={classNames(
        "grid gap-x-8 sm:grid-cols-2 sm:[&>div:nth-last-child(2):nth-child(odd)]:border-b-0",
        className,
      )}
    >
      {children}
    </dl>
  );
}

/** A line of a definition list: name left, value right. */
export function Fact({ name, children }: { name: ReactNode; children: ReactNode }) {
  return (
    <div className="flex items-baseline justify-between gap-4 border-b border-line/70 py-1.5 last:border-b-0">
      <dt className="text-ink-2">{name}</dt>
      <dd className="min-w-8 text-right break-words">{children}</dd>
    </div>
  );
}
