"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Gauge, Share } from "lucide-react";
import Link from "next/link";
import { useRouter } from "next/navigation";
import { useState } from "react";
import type { SaeDetail } from "../../server/saes/views.ts";
import { EvaluationTiles, RecoveryTiles } from "../_charts/recovery.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { useSystemStatus } from "../_shell/connection-state.tsx";
import { Button, buttonClass } from "../_ui/button.tsx";
import { DeleteThing } from "../_ui/delete-thing.tsx";
import { formatBytes } from "../_ui/format.ts";
import { Notice } from "../_ui/notice.tsx";
import { OnePage } from "../_ui/page-states.tsx";
import { ThingHeader } from "../_ui/thing-header.tsx";
import { useToasts } from "../_ui/toasts.tsx";
import { EvaluateDialog } from "./evaluate-dialog.tsx";
import { Evaluations } from "./evaluations.tsx";
import { ExportDialog } from "./export-dialog.tsx";
import { SaeFactPanels } from "./sae-facts.tsx";
import { architectureName, provenance, widthsOf } from "./sae-words.ts";
import { FrequencyHistogram, NormHistogram } from "./spread.tsx";

const busyRefreshMs = 700;

function isBusy(sae: SaeDetail | undefined): boolean {
  return (
    sae?.status === "importing" ||
    (sae?.evaluations.some(({ status }) => status === "queued" || status === "running") ?? false)
  );
}

function useSae(id: string) {
  const trpc = useTRPC();
  const visible = useVisible();
  return useQuery(
    trpc.saes.get.queryOptions(
      { id },
      { refetchInterval: (query) => (visible && isBusy(query.state.data) ? busyRefreshMs : false) },
    ),
  );
}

/** One SAE: what it is, how its features are spread, how well it does; and what can be done with it. */
export function SaePage({ id }: { id: string }) {
  const query = useSae(id);
  return (
    <OnePage
      what="SAE"
      query={query}
      back={{ href: "/saes", label: "Go to the SAEs" }}
      missing="It may have been deleted, with its run or by itself."
    >
      {(sae) => <Page sae={sae} onChanged={() => query.refetch()} />}
    </OnePage>
  );
}

function Page({ sae, onChanged }: { sae: SaeDetail; onChanged: () => Promise<unknown> }) {
  const system = useSystemStatus();
  const [evaluating, setEvaluating] = useState(false);
  const ready = sae.status === "ready";
  return (
    <article>
      <Header sae={sae} onEvaluate={() => setEvaluating(true)} />
      {sae.status === "importing" ? (
        <Notice title="Importing" className="mb-5">
          The weights are read, checked and written anew. The page shows the rest when that is done.
        </Notice>
      ) : null}
      {sae.status === "failed" ? (
        <Notice tone="bad" title={sae.reason ?? "The import failed."} className="mb-5">
          Delete it and import it again once that is mended.
        </Notice>
      ) : null}
      {sae.recovery || sae.evaluation ? (
        <section aria-label="Outcome of the training" className="mb-6">
          {sae.recovery ? (
            <>
              <h2 className="mb-2 font-medium">Recovery of the true features</h2>
              <RecoveryTiles recovery={sae.recovery} />
            </>
          ) : null}
          {sae.evaluation && sae.d_sae ? (
            <>
              <h2 className="mt-4 mb-2 font-medium first:mt-0">At the end of its training</h2>
              <EvaluationTiles evaluation={sae.evaluation} d_sae={sae.d_sae} />
            </>
          ) : null}
        </section>
      ) : null}
      {sae.histograms ? (
        <section aria-label="How features are spread" className="mb-4 grid gap-3 md:grid-cols-2">
          {sae.histograms.frequency ? (
            <FrequencyHistogram
              frequency={sae.histograms.frequency}
              on={sae.run ? "counted after training" : "as its origin counted them"}
            />
          ) : (
            <Notice title="Firing frequencies are not known" className="h-full">
              Its origin does not say how often features fire. An evaluation counts them.
            </Notice>
          )}
          <NormHistogram norms={sae.histograms.decoder_norm} />
        </section>
      ) : null}
      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_24rem]">
        {ready ? (
          <Evaluations sae={sae} onEvaluate={() => setEvaluating(true)} onChanged={onChanged} />
        ) : null}
        <div className="flex min-w-0 flex-col gap-4">
          <SaeFactPanels sae={sae} home={system.data?.home ?? null} />
        </div>
      </div>
      <EvaluateDialog
        sae={sae}
        open={evaluating}
        onOpenChange={setEvaluating}
        onBegun={() => void onChanged()}
      />
    </article>
  );
}

function Header({ sae, onEvaluate }: { sae: SaeDetail; onEvaluate: () => void }) {
  const trpc = useTRPC();
  const router = useRouter();
  const queryClient = useQueryClient();
  const { succeed } = useToasts();
  const [exporting, setExporting] = useState(false);
  const remove = useMutation(
    trpc.saes.delete.mutationOptions({
      onSuccess: async () => {
        succeed("SAE deleted", sae.name);
        router.push("/saes");
        await queryClient.invalidateQueries({ queryKey: trpc.saes.list.pathKey() });
      },
    }),
  );
  const ready = sae.status === "ready";
  return (
    <ThingHeader
      list={{ href: "/saes", label: "SAEs" }}
      from={provenance(sae)}
      name={sae.name}
      actions={
        <>
          {ready ? (
            <>
              <Button onClick={onEvaluate}>
                <Gauge aria-hidden size={14} />
                Evaluate
              </Button>
              <Button onClick={() => setExporting(true)}>
                <Share aria-hidden size={14} />
                Export
              </Button>
              <ExportDialog sae={sae} open={exporting} onOpenChange={setExporting} />
            </>
          ) : null}
          {sae.run ? (
            <Link href={`/runs/${sae.run.id}`} className={buttonClass("ghost")}>
              Open the run
            </Link>
          ) : (
            <DeleteThing thing={sae} remove={remove}>
              {sae.bytes === null ? "Its" : `${formatBytes(sae.bytes)} of weights and its`} evaluations go
              with it. What it was imported from stays.
            </DeleteThing>
          )}
        </>
      }
    >
      <p className="mt-0.5 text-ink-2">
        {architectureName(sae.architecture)}, <span className="num">{widthsOf(sae)}</span>
        {sae.hook_name ? (
          <>
            , <span className="num">{sae.hook_name}</span>
          </>
        ) : null}
      </p>
    </ThingHeader>
  );
}
