import { keepPreviousData } from "@tanstack/react-query";

const importingRefreshMs = 700;
const idleRefreshMs = 15_000;

interface Page {
  items: readonly { status: string }[];
}

/** How a paged list of imported things is read: again and again while it is looked at, and soon while one comes in. */
export function importingList(visible: boolean) {
  return {
    getNextPageParam: (page: { next_cursor: string | null }) => page.next_cursor,
    placeholderData: keepPreviousData,
    refetchInterval: (query: { state: { data?: { pages: readonly Page[] } | undefined } }) => {
      if (!visible) return false;
      const busy = query.state.data?.pages.some(({ items }) =>
        items.some(({ status }) => status === "importing"),
      );
      return busy ? importingRefreshMs : idleRefreshMs;
    },
  };
}
