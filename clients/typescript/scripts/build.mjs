// Builds dist/esm and dist/cjs, each with its declarations, so that both kinds of importers get types of their own kind.

import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";

const folder = new URL("..", import.meta.url);
const compile = (...options) => {
    execFileSync("npx", ["tsc", ...options], { cwd: folder, stdio: "inherit" });
};

rmSync(new URL("dist", folder), { recursive: true, force: true });
compile();
compile(
    "--module",
    "commonjs",
    "--moduleResolution",
    "bundler",
    "--verbatimModuleSyntax",
    "false",
    "--outDir",
    "dist/cjs",
);
writeFileSync(new URL("dist/cjs/package.json", folder), '{ "type": "commonjs" }\n');
