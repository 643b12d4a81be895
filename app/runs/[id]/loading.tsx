import { RunSkeleton } from "../../_runs/run-skeleton.tsx";

export default function Loading() {
  return <RunSkeleton />;
}
