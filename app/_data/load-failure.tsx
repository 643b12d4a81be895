import { Button } from "../_ui/button.tsx";
import { Notice } from "../_ui/notice.tsx";
import { errorWords } from "./error-words.ts";

/** What stands where data could not be had: why, and a way to ask again. */
export function LoadFailure({ what, error, onRetry }: { what: string; error: unknown; onRetry: () => void }) {
  return (
    <Notice
      tone="bad"
      title={`${what} could not be loaded`}
      action={<Button onClick={onRetry}>Try again</Button>}
    >
      {errorWords(error)}
    </Notice>
  );
}
