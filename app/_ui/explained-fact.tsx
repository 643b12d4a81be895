import type { ReactNode } from "react";
import { type Explanation, InfoTip } from "./info-tip.tsx";
import { Fact } from "./panel.tsx";

/** A line of a definition list whose name is explained. */
export function ExplainedFact({
  name,
  explanation,
  children,
}: {
  name: string;
  explanation: Explanation;
  children: ReactNode;
}) {
  return (
    <Fact
      name={
        <span className="flex items-center gap-1.5">
          {name}
          <InfoTip about={name} explanation={explanation} />
        </span>
      }
    >
      {children}
    </Fact>
  );
}
