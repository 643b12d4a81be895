import { Notice } from "../_ui/notice.tsx";

const ways: readonly { browser: string; way: string }[] = [
  { browser: "Chrome, Edge", way: "113 or later on Windows, macOS and ChromeOS; 121 or later on Android." },
  {
    browser: "Chrome, Edge on Linux",
    way: "144 or later on recent Intel GPUs and Mesa drivers; otherwise open chrome://flags/#enable-unsafe-webgpu, enable it, and also enable Vulkan at chrome://flags/#enable-vulkan.",
  },
  {
    browser: "Without any GPU",
    way: "Start Chromium with --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader: slow, but it trains.",
  },
  {
    browser: "Firefox",
    way: "141 or later on Windows, 145 or later on macOS; elsewhere set dom.webgpu.enabled in about:config.",
  },
  { browser: "Safari", way: "26 or later on macOS, iOS, iPadOS and visionOS." },
];

/** Says that this browser cannot train, why, and what would let it. */
export function MissingWebGpu({ reason }: { reason: string }) {
  return (
    <Notice tone="warn" title={reason} className="mb-5">
      <dl className="mt-2 grid gap-x-4 gap-y-1.5 sm:grid-cols-[auto_1fr]">
        {ways.map(({ browser, way }) => (
          <div key={browser} className="contents">
            <dt className="font-medium whitespace-nowrap text-ink">{browser}</dt>
            <dd className="max-sm:mb-1.5">{way}</dd>
          </div>
        ))}
      </dl>
      <p className="mt-2">
        WebGPU is only there on https pages and on localhost. Runs on the server need none of this.
      </p>
    </Notice>
  );
}
