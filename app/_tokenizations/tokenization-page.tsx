"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import Link from "next/link";
import { useRouter } from "next/navigation";
import type { TokenizationView } from "../../server/tokens/views.ts";
import { WaysOn } from "../_activations/ways-on.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { usesWords } from "../_models/model-words.ts";
import { useSystemStatus } from "../_shell/connection-state.tsx";
import { classNames } from "../_ui/class-names.ts";
import { DeleteThing } from "../_ui/delete-thing.tsx";
import { formatBytes } from "../_ui/format.ts";
import { OnePage } from "../_ui/page-states.tsx";
import { ThingHeader } from "../_ui/thing-header.tsx";
import { useToasts } from "../_ui/toasts.tsx";
import { WorkState } from "../_ui/work-state.tsx";
import { Sequences } from "./sequences.tsx";
import { TokenCounts, TokenFactPanels } from "./token-facts.tsx";
import { optionsWords } from "./token-words.ts";
import { useTokenActions } from "./use-token-actions.ts";

const busyRefreshMs = 700;

/** One tokenization: what it is made of, and its sequences token by token. */
export function TokenizationPage({ id, datasetId }: { id: string; datasetId: string }) {
  const trpc = useTRPC();
  const visible = useVisible();
  const query = useQuery(
    trpc.tokenizations.get.queryOptions(
      { id },
      {
        refetchInterval: ({ state }) =>
          visible && state.data?.status === "tokenizing" ? busyRefreshMs : false,
      },
    ),
  );
  return (
    <OnePage
      what="tokenization"
      query={query}
      back={{ href: `/datasets/${datasetId}`, label: "Go to the dataset" }}
    >
      {(tokenization) => <Page tokenization={tokenization} />}
    </OnePage>
  );
}

function Page({ tokenization }: { tokenization: TokenizationView }) {
  const system = useSystemStatus();
  const { cancel, retry, pending } = useTokenActions();
  const { id, name, status } = tokenization;
  const ready = status === "ready";
  return (
    <article>
      <Header tokenization={tokenization} />
      <WorkState
        status={status}
        what={`Tokenizing ${name}`}
        progress={tokenization.progress}
        reason={tokenization.reason}
        pending={pending}
        onCancel={() => cancel.mutate({ id })}
        onRetry={() => retry.mutate({ id })}
        className="mb-5"
      />
      {ready ? <TokenCounts tokenization={tokenization} /> : null}
      <div
        className={classNames(
          "grid items-start gap-4",
          ready ? "lg:grid-cols-[minmax(0,1fr)_22rem]" : "max-w-2xl",
        )}
      >
        {ready ? <Sequences id={id} total={tokenization.n_sequences ?? 0} /> : null}
        <div className="flex min-w-0 flex-col gap-4">
          <TokenFactPanels tokenization={tokenization} home={system.data?.home ?? null} />
        </div>
      </div>
    </article>
  );
}

function Header({ tokenization }: { tokenization: TokenizationView }) {
  const trpc = useTRPC();
  const router = useRouter();
  const queryClient = useQueryClient();
  const { succeed } = useToasts();
  const { id, name, dataset, model, status, options, uses, bytes } = tokenization;
  const remove = useMutation(
    trpc.tokenizations.delete.mutationOptions({
      onSuccess: async () => {
        succeed("Tokenization deleted", name);
        router.push(`/datasets/${dataset.id}`);
        await queryClient.invalidateQueries({ queryKey: trpc.tokenizations.list.pathKey() });
      },
    }),
  );
  const used = usesWords(uses);
  return (
    <ThingHeader
      list={{ href: "/datasets", label: "Datasets" }}
      from={
        <Link href={`/datasets/${dataset.id}`} className="hover:text-ink">
          {dataset.name}
        </Link>
      }
      name={name}
      actions={
        <>
          {status === "ready" ? <WaysOn model={model.id} tokenization={id} /> : null}
          {status === "tokenizing" ? null : (
            <DeleteThing thing={tokenization} remove={remove}>
              {used === null
                ? `${bytes === null ? "What was made of it so far goes" : `Its ${formatBytes(bytes)} of tokens go`} with it. The dataset and the model stay.`
                : `It is used by ${used}. What uses it must be deleted first.`}
            </DeleteThing>
          )}
        </>
      }
    >
      <p className="mt-0.5 text-ink-2">
        {model.name}, {optionsWords(options)}
      </p>
    </ThingHeader>
  );
}
