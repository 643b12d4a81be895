import type { NextConfig } from "next";

const config: NextConfig = {
  turbopack: { root: import.meta.dirname },
  serverExternalPackages: ["pg-boss", "postgres"],
  poweredByHeader: false,
  reactStrictMode: true,
};

export default config;
