"use client";

import { Monitor, Moon, Sun } from "lucide-react";
import { useTheme } from "next-themes";
import { useSyncExternalStore } from "react";
import { Segmented } from "../_ui/choice.tsx";

const themes = [
  { value: "light", label: "Light theme", icon: <Sun aria-hidden size={14} /> },
  { value: "system", label: "System theme", icon: <Monitor aria-hidden size={14} /> },
  { value: "dark", label: "Dark theme", icon: <Moon aria-hidden size={14} /> },
] as const;

const unsubscribe = () => undefined;
const never = () => unsubscribe;

/** Light, dark, or what the system says. */
export function ThemeSwitch() {
  const { theme, setTheme } = useTheme();
  // The choice lives in the browser, so the server's page cannot show it.
  const mounted = useSyncExternalStore(
    never,
    () => true,
    () => false,
  );
  const current = themes.find(({ value }) => value === theme)?.value ?? "system";
  return (
    <Segmented label="Theme" compact value={mounted ? current : null} choices={themes} onChange={setTheme} />
  );
}
