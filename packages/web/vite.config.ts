import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Everything in files of our own with hashed names: the page runs under `default-src 'self'`. */
export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2023",
    // A data: URL would need an exception in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: false,
    sourcemap: false,
  },
  worker: { format: "es" },
  server: { host: "127.0.0.1", proxy: { "/v1": "http://127.0.0.1:4600", "/login": "http://127.0.0.1:4600" } },
});
