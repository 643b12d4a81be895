"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Copy, Pause, Play, RotateCcw, Square, Trash2, X } from "lucide-react";
import Link from "next/link";
import { useRouter } from "next/navigation";
import { useState } from "react";
import type { RunControl, RunDetail } from "../../server/runs/views.ts";
import { useTRPC } from "../_data/trpc.ts";
import { Button, type ButtonLook, buttonClass } from "../_ui/button.tsx";
import { ConfirmDialog } from "../_ui/dialog.tsx";
import { useToasts } from "../_ui/toasts.tsx";

interface ControlLook {
  label: string;
  Icon: typeof Pause;
  look: ButtonLook;
  /** What confirming means, for acts that cannot be taken back. */
  confirm?: string;
}

const controls: Record<RunControl, ControlLook> = {
  pause: { label: "Pause", Icon: Pause, look: "plain" },
  resume: { label: "Resume", Icon: Play, look: "primary" },
  retry: { label: "Try again", Icon: RotateCcw, look: "primary" },
  stop: {
    label: "Stop",
    Icon: Square,
    look: "plain",
    confirm: "It writes a checkpoint and a usable SAE, then ends for good. To go on later, pause it instead.",
  },
  cancel: { label: "Cancel", Icon: X, look: "plain", confirm: "It leaves the queue." },
  delete: {
    label: "Delete",
    Icon: Trash2,
    look: "ghost",
    confirm:
      "Its metrics, events, checkpoints and SAE are deleted with it, rows and files. This cannot be undone.",
  },
};

/** What can be done with a run now, as the server says. */
export function RunControls({ run, onChanged }: { run: RunDetail; onChanged: () => Promise<void> }) {
  const trpc = useTRPC();
  const router = useRouter();
  const queryClient = useQueryClient();
  const { succeed, fail } = useToasts();
  const [asking, setAsking] = useState<RunControl | null>(null);

  async function leave() {
    succeed("Run deleted", run.name);
    router.push("/runs");
    await queryClient.invalidateQueries({ queryKey: trpc.runs.list.pathKey() });
  }
  const control = useMutation(
    trpc.runs.control.mutationOptions({
      onSuccess: ({ status }) => (status === "deleted" ? leave() : onChanged()),
      onError: async (error, { control: wanted }) => {
        fail(`${controls[wanted].label} was refused`, error);
        await onChanged();
      },
      onSettled: () => setAsking(null),
    }),
  );
  const remove = useMutation(trpc.runs.delete.mutationOptions({ onSuccess: leave }));
  const pending = control.isPending || remove.isPending;

  function act(wanted: RunControl) {
    if (wanted === "delete") remove.mutate({ id: run.id });
    else control.mutate({ id: run.id, control: wanted });
  }

  const asked = asking ? controls[asking] : null;
  return (
    <>
      {run.allowed.map((name) => {
        const { label, Icon, look, confirm } = controls[name];
        return (
          <Button
            key={name}
            look={look}
            disabled={pending}
            onClick={() => (confirm ? setAsking(name) : act(name))}
          >
            <Icon aria-hidden size={14} />
            {label}
          </Button>
        );
      })}
      <Link href={`/runs/new?like=${run.id}`} className={buttonClass("ghost")}>
        <Copy aria-hidden size={14} />
        New like this
      </Link>
      <ConfirmDialog
        open={asking !== null}
        onOpenChange={(open) => !open && setAsking(null)}
        title={`${asked?.label ?? ""} “${run.name}”?`}
        act={asked?.label ?? ""}
        pending={pending}
        error={remove.error?.message ?? null}
        onConfirm={() => asking && act(asking)}
      >
        {asked?.confirm}
      </ConfirmDialog>
    </>
  );
}
