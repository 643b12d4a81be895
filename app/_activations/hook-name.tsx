import { Fragment } from "react";

/** A hook point's name, which may break after a dot or a bar but stays one word when it is copied. */
export function HookName({ name }: { name: string }) {
  const parts = name.split(/(?<=[._])/);
  return (
    <span className="num wrap-anywhere">
      {parts.map((part, at) => (
        <Fragment key={parts.slice(0, at + 1).join("")}>
          {at > 0 ? <wbr /> : null}
          {part}
        </Fragment>
      ))}
    </span>
  );
}
