import type { ButtonHTMLAttributes } from "react";
import { classNames } from "./class-names.ts";

export type ButtonLook = "primary" | "plain" | "ghost" | "danger";

const looks: Record<ButtonLook, string> = {
  primary: "bg-accent text-on-accent hover:bg-accent-strong border-transparent font-medium",
  plain: "bg-surface text-ink border-line-strong hover:bg-hover",
  ghost: "bg-transparent text-ink-2 border-transparent hover:bg-hover hover:text-ink",
  danger: "bg-surface text-bad border-line-strong hover:bg-bad-soft hover:border-bad",
};

/** Classes of a button, for links that look like one. */
export function buttonClass(look: ButtonLook = "plain", size: "small" | "normal" = "normal"): string {
  return classNames(
    "inline-flex shrink-0 items-center justify-center gap-1.5 whitespace-nowrap rounded-md border select-none transition-colors duration-100 disabled:opacity-50 disabled:pointer-events-none [&_svg]:shrink-0",
    size === "small" ? "h-7 px-2 text-xs" : "h-8 px-3 text-sm",
    looks[look],
  );
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: ButtonLook;
  size?: "small" | "normal";
}

export function Button({
  look = "plain",
  size = "normal",
  className,
  type = "button",
  ...rest
}: ButtonProps) {
  return <button type={type} className={classNames(buttonClass(look, size), className)} {...rest} />;
}

/** A square button with an icon alone; `label` is its accessible name and its tooltip. */
export function IconButton({
  label,
  className,
  type = "button",
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { label: string }) {
  return (
    <button
      type={type}
      aria-label={label}
      title={label}
      className={classNames(
        "inline-flex size-7 shrink-0 items-center justify-center rounded-md text-ink-3 transition-colors duration-100 hover:bg-hover hover:text-ink disabled:opacity-40",
        className,
      )}
      {...rest}
    />
  );
}
