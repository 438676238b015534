// Bundles the page into a folder, and writes assets.def there, the list that src/server/web_assets.c embeds.
//
//   node web/build.js build/web

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".woff2": "font/woff2",
};

async function bundle() {
  const result = await esbuild.build({
    absWorkingDir: here,
    entryPoints: { app: "src/main.js", theme: "src/theme.js", "app-style": "styles/app.css" },
    outdir: resolve(out),
    bundle: true,
    minify: true,
    format: "esm",
    target: ["chrome111", "firefox113", "safari16.4"],
    loader: { ".woff2": "file" },
    assetNames: "[name]",
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
  });
  return Object.keys(result.metafile.inputs);
}

// The licence of every package that the bundle has something of.
function licences(inputs) {
  const packages = new Set();
  for (const input of inputs) {
    const found = input.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/);
    if (found) packages.add(found[1]);
  }
  return [...packages]
    .sort()
    .map((name) => {
      const folder = join(here, "node_modules", name);
      const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
      const text = file ? readFileSync(join(folder, file), "utf8").trim() : "";
      return `${name} ${version} (${license})\n\n${text}\n`;
    })
    .join(`\n${"-".repeat(80)}\n\n`);
}

// One line a file: number, name, type, hash, length, and length compressed (0: it would save nothing).
function describe(name, number) {
  const content = readFileSync(join(out, name));
  const small = extname(name) === ".woff2" ? content : gzipSync(content, { level: 9 });
  const zipped = small.length < content.length ? small : Buffer.alloc(0);
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 16);
  writeFileSync(join(out, `${name}.gz`), zipped);
  const fields = [
    number,
    `"${name}"`,
    `"${TYPES[extname(name)]}"`,
    `"${hash}"`,
    content.length,
    zipped.length,
  ];
  return `WEB_ASSET(${fields.join(", ")})\n`;
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const inputs = await bundle();
for (const name of ["index.html", "icon.svg"]) writeFileSync(join(out, name), readFileSync(join(here, name)));
writeFileSync(join(out, "licences.txt"), licences(inputs));
const names = readdirSync(out).sort();
writeFileSync(join(out, "assets.def"), names.map(describe).join(""));
