"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useTRPC } from "../_data/trpc.ts";
import { useToasts } from "../_ui/toasts.tsx";

/** What can be done with a dataset's import; whatever shows datasets learns of it. */
export function useDatasetActions() {
  const trpc = useTRPC();
  const queryClient = useQueryClient();
  const { fail } = useToasts();
  const onSettled = () => queryClient.invalidateQueries({ queryKey: trpc.datasets.pathKey() });
  const cancel = useMutation(
    trpc.datasets.cancel.mutationOptions({
      onSettled,
      onError: (error) => fail("The import was not canceled", error),
    }),
  );
  const retry = useMutation(
    trpc.datasets.retry.mutationOptions({
      onSettled,
      onError: (error) => fail("The import was not tried again", error),
    }),
  );
  return { cancel, retry, pending: cancel.isPending || retry.isPending };
}
