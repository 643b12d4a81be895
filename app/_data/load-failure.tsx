import { Button } from "../_ui/button.tsx";
import { Notice } from "../_ui/notice.tsx";

/** What stands where data could not be had: why, and a way to ask again. */
export function LoadFailure({ what, error, onRetry }: { what: string; error: unknown; onRetry: () => void }) {
  const message = error instanceof Error ? error.message : String(error);
  return (
    <Notice
      tone="bad"
      title={`${what} could not be loaded`}
      action={<Button onClick={onRetry}>Try again</Button>}
    >
      {message}
    </Notice>
  );
}
