import { CircleAlert, CircleCheck, Info, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { classNames } from "./class-names.ts";

export type NoticeTone = "info" | "ok" | "warn" | "bad";

const tones: Record<NoticeTone, { box: string; icon: string; Icon: typeof Info }> = {
  info: { box: "border-line bg-sunken", icon: "text-ink-3", Icon: Info },
  ok: { box: "border-ok/30 bg-ok-soft", icon: "text-ok", Icon: CircleCheck },
  warn: { box: "border-warn/35 bg-warn-soft", icon: "text-warn", Icon: TriangleAlert },
  bad: { box: "border-bad/35 bg-bad-soft", icon: "text-bad", Icon: CircleAlert },
};

/** Something the reader must know: cause in the title, next step in the body, the act beside it. */
export function Notice({
  tone = "info",
  title,
  children,
  action,
  className,
}: {
  tone?: NoticeTone;
  title: ReactNode;
  children?: ReactNode;
  action?: ReactNode;
  className?: string;
}) {
  const { box, icon, Icon } = tones[tone];
  return (
    <div
      role={tone === "bad" ? "alert" : "status"}
      className={classNames(
        "flex flex-wrap items-start gap-x-3 gap-y-2 rounded-lg border px-4 py-3",
        box,
        className,
      )}
    >
      <Icon aria-hidden size={16} className={classNames("mt-0.5 shrink-0", icon)} />
      <div className="min-w-0 flex-1 basis-60">
        <p className="font-medium">{title}</p>
        {children ? <div className="mt-0.5 text-ink-2 break-words">{children}</div> : null}
      </div>
      {action ? <div className="flex shrink-0 gap-2">{action}</div> : null}
    </div>
  );
}
