import {
  Activity,
  Component,
  Gauge,
  Layers,
  LibraryBig,
  type LucideIcon,
  Rows3,
  SquarePlay,
} from "lucide-react";

export interface Destination {
  href: string;
  label: string;
  Icon: LucideIcon;
  /** Second key after `g`. */
  key: string;
}

/** The places of the studio, in the order of the navigation. */
export const destinations: readonly Destination[] = [
  { href: "/runs", label: "Runs", Icon: Activity, key: "r" },
  { href: "/models", label: "Models", Icon: Layers, key: "m" },
  { href: "/datasets", label: "Datasets", Icon: LibraryBig, key: "d" },
  { href: "/activations", label: "Activations", Icon: Rows3, key: "a" },
  { href: "/saes", label: "SAEs", Icon: Component, key: "e" },
  { href: "/playground", label: "Playground", Icon: SquarePlay, key: "p" },
  { href: "/system", label: "System", Icon: Gauge, key: "s" },
];
