"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useTRPC } from "../_data/trpc.ts";
import { useToasts } from "../_ui/toasts.tsx";

/** What can be done with a model or its import; whatever shows models learns of it. */
export function useModelActions() {
  const trpc = useTRPC();
  const queryClient = useQueryClient();
  const { fail } = useToasts();
  const changed = () => queryClient.invalidateQueries({ queryKey: trpc.models.pathKey() });
  const cancel = useMutation(
    trpc.models.cancel.mutationOptions({
      onSettled: changed,
      onError: (error) => fail("The import was not canceled", error),
    }),
  );
  const retry = useMutation(
    trpc.models.retry.mutationOptions({
      onSettled: changed,
      onError: (error) => fail("The import was not tried again", error),
    }),
  );
  return { cancel, retry, pending: cancel.isPending || retry.isPending };
}
