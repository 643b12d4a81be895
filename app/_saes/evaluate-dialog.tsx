"use client";

import { useState } from "react";
import type { SaeDetail } from "../../server/saes/views.ts";
import { Segmented } from "../_ui/choice.tsx";
import { Modal } from "../_ui/dialog.tsx";
import { Notice } from "../_ui/notice.tsx";
import { EvaluateInModel } from "./evaluate-in-model.tsx";
import { EvaluateOnSets } from "./evaluate-on-sets.tsx";

type Ground = "sets" | "model";

const descriptions: Record<Ground, string> = {
  sets: "A worker measures on the CPU how well it reconstructs stored activations, beside any training.",
  model: "A worker puts the reconstruction into the model, and measures what the model loses by it.",
};

/** Why an SAE cannot be put into a model; undefined: it can. */
function refusal({ config }: SaeDetail): string | undefined {
  if (config === null) return undefined;
  if (config.n_hook_points > 1) {
    return "A crosscoder reads several hook points at once, and only what reads one can be put into a model.";
  }
  return config.transcoder && config.metadata.hook_name_out === null
    ? "Where this transcoder writes is not recorded."
    : undefined;
}

/** Asks on what an SAE is to be measured. */
export function EvaluateDialog({
  sae,
  open,
  onOpenChange,
  onBegun,
}: {
  sae: SaeDetail;
  open: boolean;
  onOpenChange: (open: boolean) => void;
  onBegun: () => void;
}) {
  const [chosen, setChosen] = useState<Ground | null>(null);
  const refused = refusal(sae);
  const ground = chosen ?? (sae.evaluations[0]?.subject && refused === undefined ? "model" : "sets");
  const form = {
    sae,
    onClose: () => onOpenChange(false),
    onBegun: () => {
      onOpenChange(false);
      onBegun();
    },
  };
  return (
    <Modal
      wide
      open={open}
      onOpenChange={onOpenChange}
      title={`Evaluate “${sae.name}”`}
      description={descriptions[ground]}
    >
      {sae.needed_sets.length === 0 ? (
        <Notice tone="warn" title="What this SAE computes was not recorded when it was trained.">
          Export it, and import it again to evaluate it.
        </Notice>
      ) : (
        <>
          <div className="mb-4">
            <Segmented
              label="Measured on"
              value={ground}
              choices={[
                { value: "sets", label: "Activation sets" },
                {
                  value: "model",
                  label: "In the language model",
                  ...(refused === undefined ? {} : { disabled: refused }),
                },
              ]}
              onChange={setChosen}
            />
          </div>
          {ground === "sets" ? <EvaluateOnSets {...form} /> : <EvaluateInModel {...form} />}
        </>
      )}
    </Modal>
  );
}
