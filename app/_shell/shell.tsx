"use client";

import { Menu } from "@base-ui/react/menu";
import { Ellipsis, Keyboard, type LucideIcon } from "lucide-react";
import Link from "next/link";
import { usePathname } from "next/navigation";
import type { ReactNode } from "react";
import { IconButton } from "../_ui/button.tsx";
import { classNames } from "../_ui/class-names.ts";
import { AdapterName, ConnectionState } from "./connection-state.tsx";
import { destinations } from "./destinations.ts";
import { Logo } from "./logo.tsx";
import { Shortcuts, useShortcutHelp } from "./shortcuts.tsx";
import { ThemeSwitch } from "./theme-switch.tsx";

function isCurrent(pathname: string, href: string): boolean {
  return pathname === href || pathname.startsWith(`${href}/`);
}

function SideNavigation({ pathname, onHelp }: { pathname: string; onHelp: () => void }) {
  return (
    <aside className="sticky top-0 hidden h-dvh w-52 shrink-0 flex-col border-r border-line px-3 py-4 md:flex">
      <Link href="/runs" className="mb-5 flex items-center gap-2 px-2 text-base font-semibold tracking-tight">
        <Logo />
        Facet
      </Link>
      <nav aria-label="Studio">
        <ul className="flex flex-col gap-0.5">
          {destinations.map(({ href, label, Icon, key }) => {
            const current = isCurrent(pathname, href);
            return (
              <li key={href}>
                <Link
                  href={href}
                  aria-current={current ? "page" : undefined}
                  className={classNames(
                    "group flex h-8 items-center gap-2.5 rounded-md px-2 transition-colors duration-100",
                    current ? "bg-hover font-medium text-ink" : "text-ink-2 hover:bg-hover hover:text-ink",
                  )}
                >
                  <Icon aria-hidden size={15} className={current ? "text-accent" : "text-ink-3"} />
                  {label}
                  <span
                    aria-hidden
                    className="num ml-auto text-2xs text-ink-3 opacity-0 group-hover:opacity-100 group-focus-visible:opacity-100"
                  >
                    g {key}
                  </span>
                </Link>
              </li>
            );
          })}
        </ul>
      </nav>
      <div className="mt-auto flex flex-col gap-3 px-2">
        <div className="flex min-w-0 flex-col gap-1">
          <ConnectionState />
          <AdapterName />
        </div>
        <div className="flex items-center justify-between">
          <ThemeSwitch />
          <IconButton label="Keyboard shortcuts" onClick={onHelp}>
            <Keyboard aria-hidden size={15} />
          </IconButton>
        </div>
      </div>
    </aside>
  );
}

function NarrowHeader() {
  return (
    <header className="sticky top-0 z-30 flex h-12 items-center justify-between border-b border-line bg-canvas/95 px-4 backdrop-blur md:hidden">
      <Link href="/runs" className="flex items-center gap-2 text-base font-semibold tracking-tight">
        <Logo />
        Facet
      </Link>
      <div className="flex items-center gap-3">
        <ConnectionState />
        <ThemeSwitch />
      </div>
    </header>
  );
}

/** Places that have a tab of their own on a narrow screen; the others stand behind "More". */
const narrowTabs = 4;

function NarrowTab({ Icon, label, current }: { Icon: LucideIcon; label: string; current: boolean }) {
  return (
    <span
      className={classNames(
        "flex h-14 flex-col items-center justify-center gap-1 text-2xs",
        current ? "font-medium text-ink" : "text-ink-2",
      )}
    >
      <Icon aria-hidden size={18} className={current ? "text-accent" : "text-ink-3"} />
      {label}
    </span>
  );
}

function NarrowMore({ pathname }: { pathname: string }) {
  const others = destinations.slice(narrowTabs);
  return (
    <Menu.Root>
      <Menu.Trigger className="w-full">
        <NarrowTab
          Icon={Ellipsis}
          label="More"
          current={others.some(({ href }) => isCurrent(pathname, href))}
        />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner side="top" align="end" sideOffset={6} collisionPadding={12} className="z-60">
          <Menu.Popup className="min-w-44 rounded-lg border border-line-strong bg-surface p-1 shadow-pop outline-none">
            {others.map(({ href, label, Icon }) => {
              const current = isCurrent(pathname, href);
              return (
                <Menu.Item
                  key={href}
                  render={<Link href={href} aria-current={current ? "page" : undefined} />}
                  className={classNames(
                    "flex h-11 items-center gap-2.5 rounded-md px-3 outline-none data-highlighted:bg-hover",
                    current && "font-medium",
                  )}
                >
                  <Icon aria-hidden size={16} className={current ? "text-accent" : "text-ink-3"} />
                  {label}
                </Menu.Item>
              );
            })}
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}

function NarrowNavigation({ pathname }: { pathname: string }) {
  return (
    <nav
      aria-label="Studio, narrow"
      className="fixed inset-x-0 bottom-0 z-30 border-t border-line bg-canvas/95 pb-[env(safe-area-inset-bottom)] backdrop-blur md:hidden"
    >
      <ul className="grid grid-cols-5">
        {destinations.slice(0, narrowTabs).map(({ href, label, Icon }) => {
          const current = isCurrent(pathname, href);
          return (
            <li key={href}>
              <Link href={href} aria-current={current ? "page" : undefined}>
                <NarrowTab Icon={Icon} label={label} current={current} />
              </Link>
            </li>
          );
        })}
        <li>
          <NarrowMore pathname={pathname} />
        </li>
      </ul>
    </nav>
  );
}

/** What stays while pages change: navigation, connection, theme, keyboard. */
export function Shell({ children }: { children: ReactNode }) {
  const pathname = usePathname();
  const [helpOpen, setHelpOpen] = useShortcutHelp();
  return (
    <>
      <a
        href="#content"
        className="fixed top-2 left-2 z-70 -translate-y-20 rounded-md border border-line bg-surface px-3 py-2 focus-visible:translate-y-0 focus-visible:shadow-pop"
      >
        Skip to content
      </a>
      <NarrowHeader />
      <div className="flex">
        <SideNavigation pathname={pathname} onHelp={() => setHelpOpen(true)} />
        <main
          id="content"
          tabIndex={-1}
          className="min-w-0 flex-1 px-4 pt-5 pb-24 outline-none md:px-8 md:pt-7 md:pb-16"
        >
          <div className="mx-auto max-w-[1280px]">{children}</div>
        </main>
      </div>
      <NarrowNavigation pathname={pathname} />
      <Shortcuts open={helpOpen} onOpenChange={setHelpOpen} />
    </>
  );
}
