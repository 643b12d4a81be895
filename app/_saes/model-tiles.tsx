"use client";

import { useQuery } from "@tanstack/react-query";
import Link from "next/link";
import { Tiles } from "../_charts/metric-tiles.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { formatCount } from "../_ui/format.ts";
import { mainModelMeasures } from "./model-measure-definitions.ts";

/** What the newest evaluation of an SAE in its model came to; nothing where there is none. */
export function ModelTiles({ saeId }: { saeId: string }) {
  const trpc = useTRPC();
  const sae = useQuery(trpc.saes.get.queryOptions({ id: saeId }));
  const newest = sae.data?.evaluations.find(({ model_result }) => model_result !== null);
  if (!newest?.model_result || newest.subject === null) return null;
  const measures = newest.model_result;
  return (
    <>
      <h2 className="mt-4 mb-2 font-medium">In the model</h2>
      <Tiles
        label="In the model"
        tiles={mainModelMeasures.map(({ label, explanation, value }) => ({
          label,
          explanation,
          value: value(measures),
        }))}
      />
      <p className="mt-2 text-xs text-ink-3">
        {newest.subject.model.name}, <span className="num">{newest.subject.hook_name}</span>, on{" "}
        <span className="num">{formatCount(measures.n_tokens)}</span> tokens of held-out text.{" "}
        <Link href={`/saes/${saeId}`} className="text-accent hover:underline">
          All figures
        </Link>
      </p>
    </>
  );
}
