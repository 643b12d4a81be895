"use client";

import { Toast } from "@base-ui/react/toast";
import { CircleAlert, CircleCheck, X } from "lucide-react";
import type { ReactNode } from "react";
import { errorWords } from "../_data/error-words.ts";

function ToastList() {
  const { toasts } = Toast.useToastManager();
  return toasts.map((toast) => (
    <Toast.Root
      key={toast.id}
      toast={toast}
      className="rounded-lg border border-line bg-surface shadow-pop transition-[opacity,translate] duration-200 data-ending-style:translate-y-2 data-ending-style:opacity-0 data-limited:hidden data-starting-style:translate-y-2 data-starting-style:opacity-0"
    >
      <Toast.Content className="flex items-start gap-2.5 px-3.5 py-3">
        {toast.type === "error" ? (
          <CircleAlert aria-hidden size={16} className="mt-0.5 shrink-0 text-bad" />
        ) : (
          <CircleCheck aria-hidden size={16} className="mt-0.5 shrink-0 text-ok" />
        )}
        <div className="min-w-0 flex-1">
          <Toast.Title className="font-medium" />
          <Toast.Description className="text-ink-2 break-words" />
        </div>
        <Toast.Close
          aria-label="Dismiss"
          className="-mt-0.5 -mr-1 inline-flex size-6 shrink-0 items-center justify-center rounded-md text-ink-3 hover:bg-hover hover:text-ink"
        >
          <X aria-hidden size={14} />
        </Toast.Close>
      </Toast.Content>
    </Toast.Root>
  ));
}

/** Short messages about what was just done, or refused. */
export function Toasts({ children }: { children: ReactNode }) {
  return (
    <Toast.Provider>
      {children}
      <Toast.Portal>
        <Toast.Viewport className="fixed right-4 bottom-20 z-60 flex w-[min(22rem,calc(100vw-2rem))] flex-col gap-2 md:bottom-4">
          <ToastList />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

/** `succeed("Run deleted")`, `fail("The run could not be paused", error)`. */
export function useToasts(): {
  succeed(title: string, description?: string): void;
  fail(title: string, error: unknown): void;
} {
  const manager = Toast.useToastManager();
  return {
    succeed(title, description) {
      manager.add({ title, ...(description ? { description } : {}), type: "success" });
    },
    fail(title, error) {
      manager.add({
        title,
        description: errorWords(error),
        type: "error",
        timeout: 12_000,
        priority: "high",
      });
    },
  };
}
