"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useTRPC } from "../_data/trpc.ts";
import { useToasts } from "../_ui/toasts.tsx";

/** What can be done while a tokenization is made or after it failed; whatever shows them learns of it. */
export function useTokenActions() {
  const trpc = useTRPC();
  const queryClient = useQueryClient();
  const { fail } = useToasts();
  const onSettled = () => queryClient.invalidateQueries({ queryKey: trpc.tokenizations.pathKey() });
  const cancel = useMutation(
    trpc.tokenizations.cancel.mutationOptions({
      onSettled,
      onError: (error) => fail("The tokenizing was not canceled", error),
    }),
  );
  const retry = useMutation(
    trpc.tokenizations.retry.mutationOptions({
      onSettled,
      onError: (error) => fail("It was not tried again", error),
    }),
  );
  return { cancel, retry, pending: cancel.isPending || retry.isPending };
}
