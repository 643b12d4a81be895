"use client";

import { Trash2 } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Button } from "./button.tsx";
import { ConfirmDialog } from "./dialog.tsx";

/** The button that deletes a thing, once that has been confirmed; why it was refused is said in the dialog. */
export function DeleteThing({
  thing: { id, name },
  remove,
  children,
}: {
  thing: { id: string; name: string };
  /** The mutation that deletes it. */
  remove: {
    mutate: (thing: { id: string }) => void;
    reset: () => void;
    isPending: boolean;
    error: { message: string } | null;
  };
  /** What goes with it, and what stays. */
  children: ReactNode;
}) {
  const [asking, setAsking] = useState(false);
  return (
    <>
      <Button
        look="ghost"
        onClick={() => {
          remove.reset();
          setAsking(true);
        }}
      >
        <Trash2 aria-hidden size={14} />
        <span className="max-sm:sr-only">Delete</span>
      </Button>
      <ConfirmDialog
        open={asking}
        onOpenChange={setAsking}
        title={`Delete “${name}”?`}
        act="Delete"
        pending={remove.isPending}
        error={remove.error?.message ?? null}
        onConfirm={() => remove.mutate({ id })}
      >
        {children}
      </ConfirmDialog>
    </>
  );
}
