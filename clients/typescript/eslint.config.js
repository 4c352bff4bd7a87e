import eslint from "@eslint/js";
import { defineConfig } from "eslint/config";
import typescript from "typescript-eslint";

export default defineConfig(
  { ignores: ["dist", "build", "src/openapi.ts"] },
  eslint.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [typescript.configs.strictTypeChecked, typescript.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Numbers in sentences are what they look like.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // `import type * as Api` and type aliases that end a union with `string & {}`.
      "@typescript-eslint/no-empty-object-type": ["error", { allowObjectTypes: "always" }],
      // `noPropertyAccessFromIndexSignature` of the compiler wants the brackets.
      "@typescript-eslint/dot-notation": "off",
      "@typescript-eslint/no-unused-vars": ["error", { varsIgnorePattern: "^_$", argsIgnorePattern: "^_" }],
      // `== null` asks for null and undefined, which the API does not tell apart.
      eqeqeq: ["error", "always", { null: "ignore" }],
    },
  },
  {
    files: ["tests/**"],
    rules: {
      // The test runner waits for them by itself.
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", package: "node:test", name: ["describe", "it"] }] },
      ],
    },
  },
  {
    files: ["scripts/*.mjs", "browser/*.mjs"],
    languageOptions: { globals: names("Buffer", "URL", "clearTimeout", "console", "process", "setTimeout") },
  },
  {
    files: ["browser/*.js"],
    languageOptions: {
      globals: names(
        ...["AbortController", "AbortSignal", "Headers", "URL", "URLSearchParams", "addEventListener", "crypto"],
        ...["clearInterval", "document", "fetch", "location", "parent", "setInterval"],
      ),
    },
  },
);

/** Globals of a platform. */
function names(...globals) {
  return Object.fromEntries(globals.map((name) => [name, "readonly"]));
}
