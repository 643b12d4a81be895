"use client";

import { Tooltip } from "@base-ui/react/tooltip";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { ThemeProvider } from "next-themes";
import { type ReactNode, useState } from "react";
import { Toasts } from "../_ui/toasts.tsx";
import { createClient, TRPCProvider } from "./trpc.ts";

function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      // The server is usually this very machine, so what the browser thinks of the network says nothing about it.
      queries: { networkMode: "always", staleTime: 1_000, retry: 1 },
      mutations: { networkMode: "always" },
    },
  });
}

/** Theme, data and toasts, for every page. */
export function Providers({ children }: { children: ReactNode }) {
  const [queryClient] = useState(createQueryClient);
  const [trpcClient] = useState(createClient);
  return (
    <ThemeProvider attribute="data-theme" defaultTheme="system" disableTransitionOnChange>
      <QueryClientProvider client={queryClient}>
        <TRPCProvider trpcClient={trpcClient} queryClient={queryClient}>
          <Tooltip.Provider delay={250}>
            <Toasts>{children}</Toasts>
          </Tooltip.Provider>
        </TRPCProvider>
      </QueryClientProvider>
    </ThemeProvider>
  );
}
