"use client";

import type { Precision } from "../../gpu/lm/precision.ts";
import { Segmented } from "../_ui/choice.tsx";
import { InfoTip } from "../_ui/info-tip.tsx";
import { FieldFrame } from "../_ui/text-field.tsx";
import { modelExplanations, precisions } from "./model-words.ts";

/** Chooses how a model's weights lie on the GPU. */
export function PrecisionField({
  id,
  value,
  fault,
  onChange,
}: {
  id: string;
  value: Precision;
  fault?: string | undefined;
  onChange: (precision: Precision) => void;
}) {
  return (
    <FieldFrame
      id={id}
      label="Model’s weights"
      fault={fault}
      aside={<InfoTip about="Precision of the model’s weights" explanation={modelExplanations.precision} />}
    >
      <Segmented
        label="Precision of the model’s weights"
        value={value}
        choices={precisions.map(([precision, label]) => ({ value: precision, label }))}
        onChange={onChange}
      />
    </FieldFrame>
  );
}
