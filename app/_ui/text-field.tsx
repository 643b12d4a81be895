import type { InputHTMLAttributes, ReactNode } from "react";
import { classNames } from "./class-names.ts";

/** An input's looks; numbers are set in mono. */
export function inputClass(invalid = false, numeric = false): string {
  return classNames(
    "h-8 w-full min-w-0 rounded-md border bg-surface px-2.5 text-sm placeholder:text-ink-3 hover:border-ink-3 focus-visible:outline-offset-0",
    invalid ? "border-bad" : "border-line-strong",
    numeric && "num",
  );
}

interface TextFieldProps extends Omit<InputHTMLAttributes<HTMLInputElement>, "onChange"> {
  id: string;
  label: string;
  /** Beside the label: an explanation, or a mark. */
  aside?: ReactNode;
  hint?: ReactNode;
  fault?: string | undefined;
  unit?: string | null;
  numeric?: boolean;
  onChange: (text: string) => void;
}

/** A labelled input with its hint, or what is wrong with it, underneath. */
export function TextField({
  id,
  label,
  aside,
  hint,
  fault,
  unit,
  numeric = false,
  onChange,
  className,
  ...rest
}: TextFieldProps) {
  return (
    <FieldFrame id={id} label={label} aside={aside} hint={hint} fault={fault} className={className}>
      <div className="relative">
        <input
          id={id}
          aria-invalid={fault ? true : undefined}
          aria-describedby={fault || hint ? `${id}-note` : undefined}
          autoComplete="off"
          spellCheck={false}
          className={classNames(inputClass(Boolean(fault), numeric), unit && "pr-18")}
          onChange={(event) => onChange(event.target.value)}
          {...rest}
        />
        {unit ? (
          <span
            aria-hidden
            className="pointer-events-none absolute inset-y-0 right-2.5 flex items-center text-xs text-ink-3"
          >
            {unit}
          </span>
        ) : null}
      </div>
    </FieldFrame>
  );
}

/** Label above, control, note below; the note's place is kept only where there is one. */
export function FieldFrame({
  id,
  label,
  aside,
  hint,
  fault,
  className,
  children,
}: {
  id: string;
  label: string;
  aside?: ReactNode;
  hint?: ReactNode;
  fault?: string | undefined;
  className?: string | undefined;
  children: ReactNode;
}) {
  return (
    <div className={classNames("min-w-0", className)}>
      <div className="mb-1 flex h-5 items-center gap-1.5">
        <label htmlFor={id} className="truncate text-ink-2">
          {label}
        </label>
        {aside}
      </div>
      {children}
      {fault || hint ? (
        <p id={`${id}-note`} className={classNames("mt-1 text-xs", fault ? "text-bad" : "text-ink-3")}>
          {fault ?? hint}
        </p>
      ) : null}
    </div>
  );
}
