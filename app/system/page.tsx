import type { Metadata } from "next";
import { SystemStatus } from "../_system/system-status.tsx";

export const metadata: Metadata = { title: "System" };

export default function SystemPage() {
  return <SystemStatus />;
}
