/** A cut stone: the studio's mark. */
export function Logo({ size = 20 }: { size?: number }) {
  return (
    <svg
      aria-hidden="true"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      className="text-accent"
    >
      <path d="M12 2.5 21.5 10 12 22 2.5 10Z" fill="currentColor" fillOpacity="0.14" />
      <path
        d="M12 2.5 21.5 10 12 22 2.5 10ZM2.5 10h19M12 2.5 8 10l4 12 4-12Z"
        stroke="currentColor"
        strokeWidth="1.4"
        strokeLinejoin="round"
      />
    </svg>
  );
}
